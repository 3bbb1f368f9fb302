"""AVA v2.1 and v2.2 as they are published: annotation files, movies or their frames, a detector's boxes."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from relact.config import STRICT
from relact.data.ava import excluded, keyframes_of
from relact.data.extracted import listed_folders
from relact.data.places import check_files, frame_folders, name_missing, videos_below
from relact.data.proposals import BoxesConfig, Detections, with_boxes, without
from relact.data.samples import Protocol, Sample
from relact.data.tracks import linked, tracks_of_file
from relact.data.usable import of_readable_videos, within_their_videos
from relact.errors import InputError
from relact.interop.ava_csv import read_ava_csv
from relact.interop.faults import Faults
from relact.labels import LabelMap
from relact.types import Keyframe

INCLUDED = (902, 1798)
"""first and last annotated second of every movie (ava_included_timestamps)"""
ANNOTATION = "of AVA's annotation archive, from the data set's own page"
MOVIES = "the movies, by ava_file_names_trainval; cut with ffmpeg -ss 900 -t 901, or whole (data.start=0)"
EXTRACTED = "a folder a movie, extracted with ffmpeg at 30 frames a second from second 900 on"
FRAME_LISTS = (
    "PySlowFast's list, https://dl.fbaipublicfiles.com/video-long-term-feature-banks/data/ava/frame_lists/{split}.csv"
)
BOXES = (
    "a detector's boxes: PySlowFast's ava_{split}_predicted_boxes.csv (those of LFB), MMAction2's "
    "ava_dense_proposals_{split}.FAIR pickles, or ACAR-Net's (train: https://drive.google.com/file/d/"
    "1CsCUVxdxVyZ5vUM2eGzzV42wzKxPa7bK/view, val: https://drive.google.com/file/d/1uTlgYtR_zt85JCx-HoqNNXWwCilUTd9w/view)"
)


class JudgedAsAva:
    """What AVA's data sets have in common: the classes, and frame-mAP on the boxes of a detector."""

    root: str
    labels: str
    val_boxes: BoxesConfig
    cap: int

    @property
    def judges_training(self) -> bool:
        """Never: the splits are of different videos."""
        return False

    @property
    def protocol(self) -> Protocol:
        """AVA's frame-mAP."""
        file = self.val_boxes.file
        source = "annotated" if file is None else f"{file}, score >= {self.val_boxes.score:g}"
        return Protocol(measure="ava", cap=self.cap, boxes=source)

    def label_map(self) -> LabelMap:
        """The actions, in the order of the classifier's outputs."""
        file = Path(self.root) / self.labels
        return LabelMap.load(file if file.is_file() else self.labels)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AvaOfficialData(JudgedAsAva):
    """A folder with `annotations/` (ava_train_v2.2.csv …), `videos/` or frames, and a detector's boxes."""

    source: Literal["ava_official"] = "ava_official"
    root: str = "ava"
    version: Literal["2.1", "2.2"] = "2.2"
    annotations: str = "annotations"
    """below root: ava_{train,val}_v{version}.csv and their excluded timestamps"""
    videos: str = "videos"
    """below root: the movies, named by their ids"""
    frames: str | None = None
    """below root: extracted frames instead of movies, a folder a movie; at `rate` from second `start` on"""
    frame_lists: str | None = None
    """below root, with `frames`: a folder of PySlowFast's frame lists, train.csv and val.csv, which say in which folder
    of `frames` those of a movie are; without, it is the folder of its name"""
    labels: str = "ava60"
    """ava60: the 60 classes of the metric (ACAR-Net); ava: all 80 (PySlowFast, MMAction2); or a pbtxt below root"""
    train_boxes: BoxesConfig = Field(default_factory=BoxesConfig)
    val_boxes: BoxesConfig = Field(default_factory=lambda: BoxesConfig(score=0.85))
    start: float = 900.0
    """annotation second of a file's first frame: 900 for cut movies and their frames, 0 for whole ones"""
    shift: int = 0
    """frames by which the keyframe comes later: 0 (PySlowFast, ACAR-Net), 1 (MMAction2, AMCRNet)"""
    rate: float = Field(default=30.0, gt=0)
    """frames a second at which windows are laid out, and at which frames were extracted"""
    val_every: int = Field(default=1, ge=1)
    """judge every n-th second only (PySlowFast while it trains: 4)"""
    tracks: str | None = None
    """a box file with ids, below root: people take the id of the box that covers them"""
    link: bool = False
    """link the people of movies without any ids from keyframe to keyframe, by overlap"""
    cap: int = Field(default=50, ge=0)
    """best rows a keyframe that the metric counts: 50 (the official evaluator), 0 = all (PySlowFast, MMAction2)"""
    skip_bad: bool = False
    """leave out what cannot be used (rows, videos, keyframes) and count it, instead of stopping at the first"""

    def annotation_files(self, split: Literal["train", "val"]) -> list[tuple[Path, Path | None]]:
        """The csv of a split, and its excluded timestamps."""
        return [(self._annotation(split), self._annotation(f"{split}_excluded_timestamps"))]

    def samples(self, split: Literal["train", "val"], faults: Faults | None = None) -> list[Sample]:
        """Every keyframe of a split from second 902 to 1798 that is not excluded.

        Faults, which stop or are left out as `skip_bad` says: movies that are missing or do not open, keyframes past
        their end, and those of the annotation and of boxes. Raises InputError in any case that lists the files which
        are not there and where each can be had, and for frame lists that do not fit the frames. `faults` collects them
        instead of one of its own.
        """
        self._check(split)
        faults = Faults(skip=self.skip_bad) if faults is None else faults
        labels, exclude = self.label_map(), excluded(self._annotation(f"{split}_excluded_timestamps"), faults)
        table = read_ava_csv(self._annotation(split), "groundtruth", faults=faults)
        known = self._movies(table.videos, split, faults)
        table, later = table.of_videos(known), self.shift / self.rate

        def place(movie: str, second: float) -> tuple[Path, float]:
            return known[movie], second - self.start + later

        samples = [s for s in keyframes_of(table, labels, place, faults) if INCLUDED[0] <= s.stamp <= INCLUDED[1]]
        boxes = self.train_boxes if split == "train" else self.val_boxes
        if boxes.file is not None:
            movies, nobody = set(table.videos), samples[0].labels[:0] if samples else None

            def empty(video: str, second: float) -> Sample | None:
                if nobody is None or video not in movies or not INCLUDED[0] <= second <= INCLUDED[1]:
                    return None
                path, time = place(video, second)
                first = samples[0]
                return Sample(
                    key=Keyframe(video, round(second)), path=path, stamp=second, boxes=first.boxes[:0], labels=nobody,
                    person=first.person[:0], time=time,
                )  # fmt: skip

            found = Detections(Path(self.root) / boxes.file, faults)
            samples = with_boxes(samples, found, labels, boxes, training=split == "train", empty=empty)
        samples = of_readable_videos(without(samples, exclude), faults)
        if split == "val":
            samples = [sample for sample in samples if sample.key.tick % self.val_every == 0]
        samples.sort(key=lambda sample: sample.key)
        if self.tracks is not None:
            samples = tracks_of_file(samples, Path(self.root) / self.tracks, faults)
        if self.link:
            samples = linked(samples)
        return within_their_videos(samples, faults) if self.frames is None else samples

    def _annotation(self, name: str) -> Path:
        return Path(self.root) / self.annotations / f"ava_{name}_v{self.version}.csv"

    def _check(self, split: str) -> None:
        root = Path(self.root)
        boxes = self.train_boxes if split == "train" else self.val_boxes
        wanted = {self._annotation(name): ANNOTATION for name in (split, f"{split}_excluded_timestamps")}
        wanted[root / (self.frames or self.videos)] = EXTRACTED if self.frames else MOVIES
        if self.frame_lists is not None:
            if self.frames is None:
                raise InputError("data.frame_lists: they list extracted frames; set data.frames to the folder of those")
            wanted[root / self.frame_lists / f"{split}.csv"] = FRAME_LISTS.replace("{split}", split)
        if boxes.file is not None:
            wanted[root / boxes.file] = BOXES.replace("{split}", split)
        check_files(f"AVA v{self.version}", root, wanted, "set data.root, or the settings of data that name them")

    def _movies(self, movies: tuple[str, ...], split: str, faults: Faults) -> dict[str, Path]:
        """Each movie that is there → its file, or its folder of frames."""
        folder = Path(self.root) / (self.frames or self.videos)
        if self.frame_lists is not None:
            known = listed_folders(Path(self.root) / self.frame_lists / f"{split}.csv", folder, movies)
        else:
            known = frame_folders(folder) if self.frames else videos_below(folder)
        what = "folders of frames" if self.frames else "movies"
        remedy = "all movies of a split are needed, or its csv must be cut to those"
        name_missing(what, folder, movies, known, remedy, faults)
        return known
