"""AVA-Kinetics v1.0: AVA's movies and ten seconds each of many Kinetics videos, one annotated moment in each.

Kinetics' annotation counts seconds of the whole video; a file holds the part that its name says:
`00_77WAvZ_o_12_22.mp4` or `00_77WAvZ_o_000012_000022.mp4` is second 12 to 22.
"""

import re
from collections import defaultdict
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field
from pydantic.dataclasses import dataclass

from relact.config import STRICT
from relact.data.ava import keyframes_of
from relact.data.ava_official import AvaOfficialData, JudgedAsAva
from relact.data.places import check_files, frame_folders, name_missing, videos_below
from relact.data.proposals import BoxesConfig, Detections, with_boxes
from relact.data.samples import Sample
from relact.data.usable import of_readable_videos, within_their_videos
from relact.errors import InputError
from relact.interop.ava_csv import AvaTable, read_ava_csv
from relact.interop.faults import Faults
from relact.labels import LabelMap

ANNOTATION = "of the archive ava_kinetics_v1_0.tar.gz, from AVA's own page"
CLIPS = "ten seconds of each Kinetics-700 video, named ID_START_END.mp4"
EXTRACTED = "a folder of frames a clip, named ID_START_END, extracted at 30 frames a second"
BOXES = "a detector's boxes on the annotated moments: video,second,x1,y1,x2,y2,,score a line"
_NAMED = re.compile(r"^(.+)_(\d+)_(\d+)$")


class _Part(NamedTuple):
    start: int
    end: int
    path: Path


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AvaKineticsData(JudgedAsAva):
    """A folder with `kinetics_{train,val}_v1.0.csv` and Kinetics' clips, and AVA's folder beside it."""

    source: Literal["ava_kinetics"] = "ava_kinetics"
    root: str = "ava_kinetics"
    annotations: str = "annotations"
    """below root: kinetics_{train,val}_v1.0.csv"""
    videos: str = "kinetics"
    """below root: the clips"""
    frames: str | None = None
    """below root: extracted frames instead of clips, a folder a clip"""
    ava: AvaOfficialData | None = Field(default_factory=AvaOfficialData)
    """AVA's part; None = Kinetics alone"""
    labels: str = "ava60"
    """ava60: the 60 classes of the metric; ava: all 80; the same for AVA's part"""
    train_boxes: BoxesConfig = Field(default_factory=BoxesConfig)
    val_boxes: BoxesConfig = Field(default_factory=lambda: BoxesConfig(score=0.85))
    missing: Literal["refuse", "skip"] = "refuse"
    """keyframes whose clip is not there: Kinetics' videos vanish from the web, so no two copies are alike"""
    rate: float = Field(default=30.0, gt=0)
    """frames a second at which windows are laid out, and at which frames were extracted"""
    cap: int = Field(default=50, ge=0)
    """best rows a keyframe that the metric counts; 0 = all"""
    skip_bad: bool = False
    """leave out what cannot be used (rows, videos, keyframes), of AVA too, and count it, instead of stopping at the
    first"""

    def annotation_files(self, split: Literal["train", "val"]) -> list[tuple[Path, Path | None]]:
        """The csv of a split, which excludes nothing, and AVA's."""
        own = Path(self.root) / self.annotations / f"kinetics_{split}_v1.0.csv"
        return [(own, None), *(self.ava.annotation_files(split) if self.ava is not None else ())]

    def samples(self, split: Literal["train", "val"], faults: Faults | None = None) -> list[Sample]:
        """Every keyframe of a split: AVA's, ticks in seconds, and Kinetics', ticks in thousandths of a second.

        Faults, which stop or are left out as `skip_bad` says: clips that are missing (unless `missing` leaves them out
        uncounted) or do not open, keyframes past their end, and those of the annotation and of boxes. Raises
        InputError in any case that lists the files which are not there and where each can be had. `faults` collects
        them instead of one of its own.
        """
        faults = Faults(skip=self.skip_bad) if faults is None else faults
        root, labels = Path(self.root), self.label_map()
        boxes = self.train_boxes if split == "train" else self.val_boxes
        file = self.annotation_files(split)[0][0]
        wanted = {file: ANNOTATION, root / (self.frames or self.videos): EXTRACTED if self.frames else CLIPS}
        if boxes.file is not None:
            wanted[root / boxes.file] = BOXES
        check_files("AVA-Kinetics", root, wanted, "set data.root, or the settings of data that name them")
        if self.ava is not None and self.ava.label_map() != labels:
            raise InputError(f"data.ava.labels={self.ava.labels} and data.labels={self.labels}: expected the same")
        samples = self._kinetics(read_ava_csv(file, "groundtruth", faults=faults), labels, faults)
        if boxes.file is not None:
            samples = with_boxes(
                samples, Detections(root / boxes.file, faults), labels, boxes, training=split == "train",
                empty=lambda video, second: None,
            )  # fmt: skip
        samples = of_readable_videos(samples, faults)
        if self.frames is None:
            samples = within_their_videos(samples, faults)
        return [*(self.ava.samples(split, faults) if self.ava is not None else ()), *samples]

    def _kinetics(self, table: AvaTable, labels: LabelMap, faults: Faults) -> list[Sample]:
        folder = Path(self.root) / (self.frames or self.videos)
        parts: dict[str, list[_Part]] = defaultdict(list)
        for name, path in (frame_folders(folder) if self.frames else videos_below(folder)).items():
            if named := _NAMED.match(name):
                parts[named[1]].append(_Part(int(named[2]), int(named[3]), path))
        known = {video: found[0].path for video, found in parts.items()}
        if self.missing == "refuse":
            remedy = "data.missing=skip leaves them out; state it beside the result"
            name_missing("videos", folder, table.videos, known, remedy, faults)
        elif not any(video in known for video in table.videos):
            name_missing("videos", folder, table.videos, known, "expected files named ID_START_END.mp4")

        def place(video: str, second: float) -> tuple[Path, float]:
            """The clip that holds the moment, else the video's first: its end is checked later."""
            of_video = parts[video]
            part = next((part for part in of_video if part.start <= second <= part.end), of_video[0])
            return part.path, second - part.start

        return list(keyframes_of(table.of_videos(known), labels, place, faults))
