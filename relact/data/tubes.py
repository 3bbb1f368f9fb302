"""Keyframes of data sets whose annotation is tubes over frames (UCF101-24, J-HMDB-21): every frame may be one."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from relact.config import STRICT
from relact.data.extracted import looked_at
from relact.data.places import check_files, frame_folders, videos_below
from relact.data.samples import Protocol, Sample, Truth, people_of_keyframe
from relact.data.usable import unreadable
from relact.errors import InputError
from relact.interop.box_files import read_boxes
from relact.interop.faults import Faults
from relact.interop.ucf24 import PICTURE, UcfTubes
from relact.labels import LabelMap
from relact.types import Keyframe

BOXES = "a detector's boxes: csv video,frame,x1,y1,x2,y2,score, frames from 0"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TubeData:
    """What these data sets have in common: videos or frames below a folder, and what is a keyframe there."""

    source: str
    root: str
    annotation: str | None
    """below root; None: the first of `looked_for` that is there"""
    split: Literal["official", "all"] | int
    """all: train and judge on every video there (shows that the chain learns, no more)"""
    videos: str = "."
    """below root: the videos, anywhere below it"""
    frames: str | None = None
    """below root: extracted frames instead of videos, a folder a video (ACT: rgb-images, Frames)"""
    frame_step: int = Field(default=1, ge=1)
    """take every n-th annotated frame as a keyframe"""
    val_boxes: str | None = None
    """below root: a detector's boxes for tests (UCF101-24 in ACAR-Net, MRSN: YOWO's); None = the annotated ones"""
    val_score: float = Field(default=0.0, ge=0, le=1)
    """least score of such a box (ACAR-Net: all)"""
    cap: int = Field(default=0, ge=0)
    """best rows a keyframe that the metric counts; 0 = all, as in the protocol of these data sets"""
    skip_bad: bool = False
    """leave out what cannot be used (videos that do not open or have a broken tube, rows of val_boxes) and count it,
    instead of stopping at the first; videos that are not below the folder are left out anyway"""

    @property
    def rate(self) -> None:
        """Windows are laid out in the video's own frames."""
        return None

    @property
    def judges_training(self) -> bool:
        """Whether validation sees the training clips: then its result says nothing about others."""
        return self.split == "all"

    @property
    def protocol(self) -> Protocol:
        """ACT's frame-mAP, and video-mAP where every frame is looked at."""
        return Protocol(
            measure="frames", cap=self.cap, tubes=self.frame_step == 1, boxes=self.val_boxes or "annotated"
        )  # fmt: skip

    looked_for: ClassVar[tuple[str, ...]] = ()
    """annotations below root, for a data set that is published in several files"""

    @property
    def annotation_file(self) -> Path:
        """Where the annotation is, or is looked for first."""
        files = [Path(self.root) / name for name in self._annotations]
        return next((file for file in files if file.is_file()), files[0])

    @property
    def _annotations(self) -> tuple[str, ...]:
        return self.looked_for if self.annotation is None else (self.annotation,)

    def check_places(self, name: str, annotation: str, videos: str, frames: str) -> None:
        """Raises InputError for what is not there, with where each can be had."""
        root = Path(self.root)
        others = " or ".join(self._annotations[1:])
        wanted = {self.annotation_file: f"{annotation} (nor is {others} there)" if others else annotation}
        wanted[root / (self.frames or self.videos)] = frames if self.frames else videos
        if self.val_boxes is not None:
            wanted[root / self.val_boxes] = BOXES
        check_files(name, root, wanted, "set data.root, or the settings of data that name them")

    def files(self, tubes: UcfTubes) -> dict[int, Path]:
        """Index of each video that is there → its file, or its folder of frames. Raises InputError where none is."""
        return files_of(Path(self.root) / (self.frames or self.videos), tubes, frames=self.frames is not None)

    def keyframes(
        self, tubes: UcfTubes, files: Mapping[int, Path], labels: LabelMap, faults: Faults, *, test: bool
    ) -> list[Sample]:
        """Those of these files; in tests with a detector's people where `val_boxes` names them.

        Faults are videos that do not open, those with an action that is not one of `labels`, and those of the reader
        of the boxes. Raises InputError in any case for a video of which the boxes know nothing: without it the result
        would be too good.
        """
        files = self._of_known_actions(tubes, files, labels, faults)
        closed = unreadable(files.values(), faults)
        files = {code: path for code, path in files.items() if path not in closed}
        samples = [
            sample
            for code, path in files.items()
            for sample in tube_keyframes(tubes, code, path, labels, self.frame_step)
        ]
        if not test or self.val_boxes is None:
            return samples
        named = {tubes.videos[code]: path for code, path in files.items()}
        boxes = Path(self.root) / self.val_boxes
        return with_detections(samples, boxes, named, self.val_score, self.frame_step, len(labels), faults)

    def _of_known_actions(
        self, tubes: UcfTubes, files: Mapping[int, Path], labels: LabelMap, faults: Faults
    ) -> dict[int, Path]:  # fmt: skip
        strange = np.flatnonzero(tubes.label > len(labels))
        strange = strange[np.unique(tubes.video[strange], return_index=True)[1]]  # the first of each video
        for row in strange.tolist():
            faults.add(
                f"{self.annotation_file}: {tubes.videos[tubes.video[row]]} tube {tubes.tube[row]}: label "
                f"{tubes.label[row] - 1}; expected 0 to {len(labels) - 1}, one of the data set's {len(labels)} actions"
            )
        gone = set(tubes.video[strange].tolist())
        return {code: path for code, path in files.items() if code not in gone}


def files_of(folder: Path, tubes: UcfTubes, *, frames: bool) -> dict[int, Path]:
    """Index of the video in the annotation → its file, or its folder of frames; those that are there.

    Raises InputError where none is.
    """
    found = (frame_folders(folder) if folder.is_dir() else {}) if frames else videos_below(folder)
    named = ((code, name.split("/")[-1]) for code, name in enumerate(tubes.videos))
    files = {code: found[name] for code, name in named if name in found}
    if not files:
        kind = "" if frames else ".avi"
        raise InputError(
            f"{folder}: none of the {len(tubes.videos)} annotated videos is below it, such as {tubes.videos[0]}{kind}"
        )
    return files


def tube_keyframes(tubes: UcfTubes, code: int, path: Path, labels: LabelMap, step: int) -> Iterator[Sample]:
    """Every `step`-th annotated frame of a video, its people with the numbers of their tubes."""
    rows = np.flatnonzero(tubes.video == code)
    if not len(rows):
        return  # nobody is annotated there
    rows = rows[np.argsort(tubes.frame[rows], kind="stable")]
    boxes = (tubes.boxes[rows] / np.array([*PICTURE, *PICTURE])).clip(0, 1)
    frames, starts = np.unique(tubes.frame[rows], return_index=True)
    parts = list(zip(frames.tolist(), np.split(np.arange(len(rows)), starts[1:]), strict=True))
    for frame, part in parts[::step]:
        people = people_of_keyframe(boxes[part], tubes.label[rows[part]] - 1, tubes.tube[rows[part]], len(labels))
        yield Sample(
            key=Keyframe(tubes.videos[code], frame + 1),  # these data sets count frames from 1
            stamp=frame + 1.0,
            path=path,
            boxes=people[0],
            labels=people[1],
            person=people[2],
            frame=frame,
        )


def with_detections(
    samples: list[Sample],
    file: Path,
    videos: Mapping[str, Path],
    score: float,
    step: int,
    num_classes: int,
    faults: Faults,
) -> list[Sample]:
    """A detector's people instead of the annotated ones, which become what they are judged by.

    Frames that only the detector knows, every `step`-th of them from the first on, are keyframes too: what is found
    there is wrong. Broken rows are faults. Raises InputError for a file that counts seconds, and a video it lacks.
    """
    table = read_boxes(file, faults=faults)
    if table.clock != "frames":
        raise InputError(
            f"{file}: counts seconds; expected boxes on numbered frames (csv video,frame,x1,y1,x2,y2,score)"
        )
    known = {sample.key: sample for sample in samples}
    done: dict[Keyframe, Sample] = {}
    for name, path in videos.items():
        picture = looked_at(path)
        found = table.for_video(name, picture.width, picture.height, faults)
        for number, frame in enumerate(found.instants.astype(int).tolist()):
            key = Keyframe(name, frame + 1)
            if key not in known and frame % step:
                continue
            rows = np.arange(found.start[number], found.start[number + 1])
            rows = rows[found.score[rows] >= score]
            done[key] = _tested(known.get(key), key, path, found.boxes[rows], found.score[rows], num_classes)
    nobody = np.zeros((0, 4)), np.zeros(0)
    for key, sample in known.items():
        done.setdefault(key, _tested(sample, key, sample.path, *nobody, num_classes))
    return [done[key] for key in sorted(done)]


def _tested(
    sample: Sample | None, key: Keyframe, path: Path, boxes: np.ndarray, scores: np.ndarray, num_classes: int
) -> Sample:
    people = len(boxes)
    if sample is None:
        truth = Truth(
            boxes=np.zeros((0, 4)), labels=np.zeros((0, num_classes), np.float32), person=np.zeros(0, np.int64)
        )
        sample = Sample(
            key=key, path=path, stamp=float(key.tick), boxes=truth.boxes, labels=truth.labels, person=truth.person,
            frame=key.tick - 1, listed=False,
        )  # fmt: skip
    return replace(
        sample,
        boxes=boxes.astype(np.float32),
        labels=np.zeros((people, num_classes), np.float32),
        person=np.full(people, -1, np.int64),
        scores=scores.astype(np.float32),
        truth=Truth(boxes=sample.boxes, labels=sample.labels, person=sample.person),
    )
