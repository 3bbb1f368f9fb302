"""Videos with labels in AVA's csv format: AVA itself, the generated toy set, or one's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from relact.config import STRICT
from relact.data.samples import Sample, people_of_keyframe
from relact.errors import InputError
from relact.interop.ava_csv import AvaTable, read_ava_csv, read_excluded
from relact.labels import LabelMap
from relact.types import Keyframe

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AvaData:
    """A folder: `videos/` with the video files, `groundtruth.csv`, and `labels.csv` (or a shipped label map)."""

    source: Literal["ava"] = "ava"
    root: str = "."
    videos: str = "videos"
    """folder of the video files, below root"""
    train: str = "groundtruth.csv"
    val: str = "groundtruth.csv"
    exclude: str | None = None
    """excluded timestamps, left out of training"""
    labels: str = "labels.csv"
    """a file below root, or the name of a shipped map"""
    start: float = 0.0
    """annotation second of a file's first frame (AVA's cut videos: 900)"""
    rate: float = Field(default=30.0, gt=0)
    """ticks a second of the clock on which windows are laid out"""
    cap: int = Field(default=50, ge=0)
    """best rows a keyframe that the metric counts (AVA's protocol; 0 = all)"""

    @property
    def judges_training(self) -> bool:
        """Whether validation sees the training clips: then its result says nothing about others."""
        return self.train == self.val

    def label_map(self) -> LabelMap:
        """The actions, in the order of the classifier's outputs."""
        file = Path(self.root) / self.labels
        return LabelMap.load(file if file.is_file() else self.labels)

    def samples(self, split: Literal["train", "val"]) -> list[Sample]:
        """Every annotated keyframe of a split. Raises InputError for a video that is missing, with the first few."""
        table = read_ava_csv(Path(self.root) / (self.train if split == "train" else self.val), "groundtruth")
        files = self._files(table.videos)
        skip = self._excluded() if split == "train" else set()
        labels = self.label_map()
        return [sample for sample in self._keyframes(table, files, labels) if sample.key not in skip]

    def _keyframes(self, table: AvaTable, files: dict[str, Path], labels: LabelMap) -> Iterator[Sample]:
        of_id = {label.id: column for column, label in enumerate(labels)}
        columns = np.array([of_id.get(int(action), -1) for action in table.action], dtype=np.int64)
        assert table.person is not None
        order = np.lexsort((np.arange(len(table)), table.microseconds, table.video))
        changes = (np.diff(table.video[order]) != 0) | (np.diff(table.microseconds[order]) != 0)
        for rows in np.split(order, np.flatnonzero(changes) + 1) if len(order) else ():
            boxes, hot, person = people_of_keyframe(table.boxes[rows], columns[rows], table.person[rows], len(labels))
            yield self._sample(table.videos[table.video[rows[0]]], table.time[rows[0]], files, boxes, hot, person)
        for video, micro in zip(table.empty.video, table.empty.microseconds, strict=True):
            nobody = (
                np.zeros((0, 4), np.float32),
                np.zeros((0, len(labels)), np.float32),
                np.zeros(0, np.int64),
            )
            yield self._sample(table.videos[video], micro / 1e6, files, *nobody)

    def _sample(
        self,
        video: str,
        second: float,
        files: dict[str, Path],
        boxes: np.ndarray,
        hot: np.ndarray,
        person: np.ndarray,
    ) -> Sample:
        key = Keyframe(video, round(second))
        time = float(second) - self.start
        return Sample(key=key, path=files[video], boxes=boxes, labels=hot, person=person, time=time)

    def _files(self, videos: tuple[str, ...]) -> dict[str, Path]:
        folder = Path(self.root) / self.videos
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; put the videos there or set data.videos")
        known = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in VIDEO_SUFFIXES}
        missing = [name for name in videos if name not in known]
        if missing:
            raise InputError(
                f"{folder}: {len(missing)} of {len(videos)} videos are missing, such as {', '.join(missing[:5])}"
            )
        return known

    def _excluded(self) -> set[Keyframe]:
        if self.exclude is None:
            return set()
        rows = read_excluded(Path(self.root) / self.exclude)
        return {Keyframe(rows.videos[v], round(m / 1e6)) for v, m in zip(rows.video, rows.microseconds, strict=True)}
