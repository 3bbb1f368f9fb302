"""Who does what from when to when: keyframe scores joined to segments, with hysteresis, as they come."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from relact.errors import InputError, at
from relact.interop.files import atomic_path
from relact.labels import LabelMap
from relact.types import Detections

HEADER = (
    "video",
    "person_id",
    "action_id",
    "action",
    "start_s",
    "end_s",
    "mean_score",
    "peak_score",
    "keyframes",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One person doing one action without a break; `column` is the action's place in the label map."""

    person: int
    column: int
    start: float
    end: float
    """seconds"""
    mean: float
    peak: float
    """scores of the keyframes in it"""
    count: int
    """how many keyframes those are"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hysteresis:
    """When a segment begins and ends.

    It opens at a keyframe of a score >= `high` and stays while scores are >= `low`. Up to `max_gap` keyframes
    in a row that miss the person are bridged; a score below `low` is never bridged. Each keyframe stands for
    `every` seconds around it; a segment shorter than `min_seconds` is dropped.
    """

    every: float = 1.0
    high: float = 0.5
    low: float = 0.35
    max_gap: int = 1
    min_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high:
            raise InputError(f"segments: expected 0 < low <= high, got low {self.low} and high {self.high}")
        if self.every <= 0 or self.max_gap < 0 or self.min_seconds < 0:
            raise InputError(f"segments: expected every > 0, max_gap >= 0 and min_seconds >= 0, got {self}")


class Segmenter:
    """Takes the keyframes of one video in order of time and gives the segments that each of them ends.

    Holds one row of K columns per person in sight; a person who is gone for longer than the gap is forgotten.
    """

    def __init__(self, rule: Hysteresis, *, num_classes: int, start: float = 0.0) -> None:
        self._rule, self._start = rule, start
        self._time = -np.inf
        self._person = np.zeros(0, np.int64)
        self._missed = np.zeros(0, np.int64)
        self._count = np.zeros((0, num_classes), np.int64)  # 0 where no segment is open
        self._bounds = np.zeros((2, 0, num_classes))  # start, end
        self._scores = np.zeros((2, 0, num_classes))  # sum, peak

    def add(self, detections: Detections) -> list[Segment]:
        """The segments that are over now that this keyframe is known. The ids of a keyframe must differ."""
        time = detections.time
        assert time > self._time, f"keyframes out of order: {time} after {self._time}"
        middle = (self._time + time) / 2  # keyframes closer than `every` share the time between them
        np.minimum(self._bounds[1], middle, out=self._bounds[1])
        begin = max(time - self._rule.every / 2, middle)
        scores = self._align(detections)
        here, open_ = self._missed == 0, self._count > 0
        over = open_ & np.where(here[:, None], scores < self._rule.low, (self._missed > self._rule.max_gap)[:, None])
        closed = self._close(over)
        opens = ~open_ & (scores >= self._rule.high)
        self._bounds[0, opens] = begin
        self._scores[:, opens] = 0.0
        counts = opens | (open_ & ~over & here[:, None])
        self._bounds[1, counts] = time + self._rule.every / 2
        self._scores[0, counts] += scores[counts]
        self._scores[1, counts] = np.maximum(self._scores[1, counts], scores[counts])
        self._count[counts] += 1
        self._select(here | (self._count > 0).any(axis=1))
        self._time = time
        return closed

    def close(self, end: float = np.inf) -> list[Segment]:
        """The segments that are still open when the video is over, at `end` seconds."""
        np.minimum(self._bounds[1], end, out=self._bounds[1])
        return self._close(self._count > 0)

    def _align(self, detections: Detections) -> npt.NDArray[np.float64]:
        """One row of state and of scores for each person known or seen now; scores 0 for those missed."""
        new = np.setdiff1d(detections.person, self._person)
        rows = ((0, len(new)), (0, 0))
        self._person = np.concatenate([self._person, new])
        self._missed = np.pad(self._missed, (0, len(new))) + 1
        self._count = np.pad(self._count, rows)
        self._bounds, self._scores = (
            np.pad(self._bounds, ((0, 0), *rows)),
            np.pad(self._scores, ((0, 0), *rows)),
        )
        order = np.argsort(self._person)
        row = order[np.searchsorted(self._person, detections.person, sorter=order)]
        assert len(np.unique(row)) == len(row), "a person stands twice in one keyframe"
        self._missed[row] = 0
        scores = np.zeros(self._count.shape)
        scores[row] = detections.scores
        return scores

    def _close(self, over: npt.NDArray[np.bool_]) -> list[Segment]:
        person, column = np.nonzero(over)
        start, end = self._bounds[:, over].clip(min=self._start)
        total, peak = self._scores[:, over]
        count = self._count[over]
        self._count[over] = 0
        columns = (self._person[person], column, start, end, total / count, peak, count)
        rows = zip(*(values.tolist() for values in columns), strict=True)
        segments = [
            Segment(person=p, column=k, start=s, end=e, mean=m, peak=h, count=n) for p, k, s, e, m, h, n in rows
        ]
        return [s for s in segments if s.end > s.start and s.end - s.start >= self._rule.min_seconds - 1e-9]

    def _select(self, rows: npt.NDArray[np.bool_]) -> None:
        if not rows.all():
            self._person, self._missed, self._count = (
                self._person[rows],
                self._missed[rows],
                self._count[rows],
            )
            self._bounds, self._scores = self._bounds[:, rows], self._scores[:, rows]


def segments(
    stream: Iterable[Detections],
    rule: Hysteresis,
    *,
    num_classes: int,
    start: float = 0.0,
    end: float = np.inf,
) -> Iterator[Segment]:
    """The segments of one video that lasts from `start` to `end` (seconds), each as soon as it is over."""
    segmenter = Segmenter(rule, num_classes=num_classes, start=start)
    for detections in stream:
        yield from segmenter.add(detections)
    yield from segmenter.close(end)


class SegmentTable:
    """segments.csv while it is written; lines in the order in which the segments end."""

    def __init__(self, file: IO[str], labels: LabelMap, rule: Hysteresis, video: str) -> None:
        self._segmenter = Segmenter(rule, num_classes=len(labels))
        self._labels, self._video, self._lines = labels, video, csv.writer(file, lineterminator="\n")
        self._lines.writerow(HEADER)
        self.count = 0
        """segments so far"""

    def write(self, detections: Detections) -> None:
        """Take the next keyframe; append the segments that it ends."""
        self._append(self._segmenter.add(detections))

    def close(self, end: float = np.inf) -> None:
        """Append the segments that last to the end, cut at `end` seconds. A second call does nothing."""
        self._append(self._segmenter.close(end))

    def _append(self, ended: list[Segment]) -> None:
        self.count += len(ended)
        for s in ended:
            label = self._labels[s.column]
            numbers = (f"{s.start:.3f}", f"{s.end:.3f}", f"{s.mean:.4f}", f"{s.peak:.4f}", s.count)
            self._lines.writerow((self._video, s.person, label.id, label.name, *numbers))


@contextmanager
def open_segments(path: Path, labels: LabelMap, rule: Hysteresis, *, video: str) -> Iterator[SegmentTable]:
    """`segments.csv`; appears under its name when the block ends well.

    Call `close(end)` with the seconds that were decoded, so that the last segments do not reach past them.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = SegmentTable(file, labels, rule, video)
        yield table
        table.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    """A line of segments.csv, fields in the order of its columns; times in seconds."""

    video: str
    person: int
    action_id: int
    action: str
    start: float
    end: float
    mean: float
    peak: float
    count: int


def read_segments(path: Path) -> list[SegmentRow]:
    """The lines of a segments.csv that relact wrote. InputError names file and line of anything else."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected the segments.csv that relact detect writes")
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        if tuple(header) != HEADER:
            expected = ",".join(HEADER)
            raise InputError(f"{at(path, 1)}: expected the header {expected}, got {','.join(header)!r}")
        return [_segment_row(cells, at(path, lines.line_num)) for cells in lines]


def _segment_row(cells: list[str], where: str) -> SegmentRow:
    try:
        video, person, action_id, action, start, end, mean, peak, count = cells
        return SegmentRow(
            video=video,
            person=int(person),
            action_id=int(action_id),
            action=action,
            start=float(start),
            end=float(end),
            mean=float(mean),
            peak=float(peak),
            count=int(count),
        )
    except ValueError as error:
        got = ",".join(cells)
        raise InputError(f"{where}: expected {','.join(HEADER)}, got {got!r} ({error})") from error
