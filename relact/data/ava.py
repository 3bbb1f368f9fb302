"""Videos with labels in AVA's csv format: AVA itself, Stage, or one's own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from relact.config import STRICT
from relact.data.places import VIDEO_SUFFIXES, check_files, name_missing
from relact.data.samples import Protocol, Sample, people_of_keyframe
from relact.data.tracks import linked, tracks_of_file
from relact.data.usable import of_readable_videos, within_their_videos
from relact.interop.ava_csv import AvaTable, read_ava_csv, read_excluded
from relact.interop.faults import Faults
from relact.labels import SHIPPED, LabelMap
from relact.types import Keyframe

TRUTH = "the ground truth, video,second,x1,y1,x2,y2,action,person a line (data.train, data.val)"
LABELS = "the actions, id,name,group,evaluated a line, or the name of a shipped map (data.labels)"
VIDEOS = "a folder of the videos, named as in the ground truth (data.videos)"
REMEDY = (
    "make the folder of your own labels with relact data convert, a generated one with relact data stage, or give the "
    "one you have: --set data.root=FOLDER"
)

Place = Callable[[str, float], tuple[Path, float]]
"""A video's name and an annotation's second → the file, and the seconds from its first frame."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AvaData:
    """A folder: `videos/` with the video files, `groundtruth.csv`, and `labels.csv` (or a shipped label map)."""

    source: Literal["ava", "custom"] = "ava"
    """both are this; `custom` says that the labels are one's own"""
    root: str = "."
    videos: str = "videos"
    """folder of the video files, below root"""
    train: str = "groundtruth.csv"
    val: str = "groundtruth.csv"
    exclude: str | None = None
    """excluded timestamps, left out of training"""
    tracks: str | None = None
    """a box file with ids, below root, on the annotation's seconds: people take the id of the box that covers them"""
    link: bool = False
    """link the people of videos without any ids from keyframe to keyframe, by overlap"""
    labels: str = "labels.csv"
    """a file below root, or the name of a shipped map"""
    start: float = 0.0
    """annotation second of a file's first frame (AVA's cut videos: 900)"""
    rate: float = Field(default=30.0, gt=0)
    """ticks a second of the clock on which windows are laid out"""
    cap: int = Field(default=50, ge=0)
    """best rows a keyframe that the metric counts (AVA's protocol; 0 = all)"""
    skip_bad: bool = False
    """leave out what cannot be used (rows, videos, keyframes) and count it, instead of stopping at the first"""

    @property
    def judges_training(self) -> bool:
        """Whether validation sees the training clips: then its result says nothing about others."""
        return self.train == self.val

    @property
    def protocol(self) -> Protocol:
        """AVA's frame-mAP."""
        return Protocol(measure="ava", cap=self.cap)

    def label_map(self) -> LabelMap:
        """The actions, in the order of the classifier's outputs."""
        file = Path(self.root) / self.labels
        if not self._has_labels():
            self._check("train", "val")
        return LabelMap.load(file if file.is_file() else self.labels)

    def annotation_files(self, split: Literal["train", "val"]) -> list[tuple[Path, Path | None]]:
        """The csv of a split, and its excluded timestamps."""
        root = Path(self.root)
        skip = root / self.exclude if self.exclude is not None and split == "train" else None
        return [(root / (self.train if split == "train" else self.val), skip)]

    def samples(self, split: Literal["train", "val"], faults: Faults | None = None) -> list[Sample]:
        """Every annotated keyframe of a split. Ids are those of `tracks`, else of the annotation, else of `link`.

        They are of one video only, and -1 where nobody knows. Faults, which stop or are left out as `skip_bad` says:
        rows that are none, videos that are missing or do not open, actions that the label map does not have, keyframes
        past the end of their video. Raises InputError in any case where no video is there, and for a file of tracks
        that has no ids, or none for these people. `faults` collects them instead of one of its own.
        """
        self._check(split)
        faults = Faults(skip=self.skip_bad) if faults is None else faults
        [(truth, out)] = self.annotation_files(split)
        table = read_ava_csv(truth, "groundtruth", faults=faults)
        files = self._files(table.videos, faults)
        skip = set() if out is None else excluded(out, faults)

        def place(video: str, second: float) -> tuple[Path, float]:
            return files[video], second - self.start

        samples = list(keyframes_of(table.of_videos(files), self.label_map(), place, faults))
        samples = of_readable_videos(samples, faults)
        if self.tracks is not None:
            samples = tracks_of_file(samples, Path(self.root) / self.tracks, faults)
        if self.link:
            samples = linked(samples)
        return within_their_videos([sample for sample in samples if sample.key not in skip], faults)

    def _has_labels(self) -> bool:
        return self.labels in SHIPPED or (Path(self.root) / self.labels).is_file() or Path(self.labels).is_file()

    def _check(self, *splits: Literal["train", "val"]) -> None:
        """Raises InputError that lists what is not there, and how such a folder is made."""
        root = Path(self.root)
        wanted = {path: TRUTH for split in splits for path, _ in self.annotation_files(split)}
        if not self._has_labels():
            wanted[root / self.labels] = LABELS
        wanted[root / self.videos] = VIDEOS
        check_files("labels in AVA's format", root, wanted, REMEDY)

    def _files(self, videos: tuple[str, ...], faults: Faults) -> dict[str, Path]:
        folder = Path(self.root) / self.videos
        known = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in VIDEO_SUFFIXES}
        name_missing("videos", folder, videos, known, "a video's file is named as in the ground truth", faults)
        return known


def keyframes_of(table: AvaTable, labels: LabelMap, place: Place, faults: Faults) -> Iterator[Sample]:
    """Every keyframe of a ground truth; ticks are seconds, or thousandths where one lies between two seconds.

    Rows of an action that the label map does not have are faults.
    """
    table, columns = _with_columns(table, labels, faults)
    assert table.person is not None
    nobody = np.zeros((0, 4), np.float32), np.zeros((0, len(labels)), np.float32), np.zeros(0, np.int64)
    unit = ticks_of(table)

    def sample(video: int, micro: int, boxes: np.ndarray, hot: np.ndarray, person: np.ndarray) -> Sample:
        name, second = table.videos[video], micro / 1e6
        path, time = place(name, second)
        key = Keyframe(name, round(second * unit))
        return Sample(key=key, path=path, stamp=second, boxes=boxes, labels=hot, person=person, time=time)

    order = np.lexsort((np.arange(len(table)), table.microseconds, table.video))
    changes = (np.diff(table.video[order]) != 0) | (np.diff(table.microseconds[order]) != 0)
    for rows in np.split(order, np.flatnonzero(changes) + 1) if len(order) else ():
        people = people_of_keyframe(table.boxes[rows], columns[rows], table.person[rows], len(labels))
        yield sample(int(table.video[rows[0]]), int(table.microseconds[rows[0]]), *people)
    for video, micro in zip(table.empty.video.tolist(), table.empty.microseconds.tolist(), strict=True):
        yield sample(video, micro, *nobody)


def ticks_of(table: AvaTable) -> int:
    """Ticks a second: 1 where all keyframes are whole seconds, else 1000."""
    return 1 if (table.keyframes.microseconds % 1_000_000 == 0).all() else 1000


def excluded(path: Path, faults: Faults) -> set[Keyframe]:
    """The keyframes of a file of excluded timestamps."""
    rows = read_excluded(path, faults)
    return {Keyframe(rows.videos[v], round(m / 1e6)) for v, m in zip(rows.video, rows.microseconds, strict=True)}


def _with_columns(table: AvaTable, labels: LabelMap, faults: Faults) -> tuple[AvaTable, np.ndarray]:
    """The rows, and the classifier's column of each; -1 for one of AVA's 80 that is not evaluated."""
    of_id = {label.id: column for column, label in enumerate(labels)}
    columns = np.array([of_id.get(int(action), -1) for action in table.action], dtype=np.int64)
    left_out = LabelMap.load("ava").ids if labels == LabelMap.load("ava60") else ()
    strange = (columns < 0) & ~np.isin(table.action, left_out)
    if not strange.any():
        return table, columns
    ids = f"the label map has {len(labels)} ids in {min(labels.ids)} to {max(labels.ids)}"
    faults.add_rows(strange, lambda row: f"{table.where(row)}: action {table.action[row]}; {ids}")
    return table.take(~strange), columns[~strange]
