"""AVA's csv files (ground truth, predictions, person boxes, excluded times), read and checked.

A row is `video,time,x1,y1,x2,y2,action[,person id or score]`, or `video,time`: a keyframe without people.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from relact.errors import InputError, at
from relact.interop.ava_rows import FIELDS, Floats, Ints, Kind, Rows, read_rows
from relact.interop.faults import Faults
from relact.interop.files import atomic_path

Units = Literal["unit", "pixel"]
Bools = npt.NDArray[np.bool_]

SLACK = 0.05
"""How far a box in fractions may leave the frame: a detector's rounding passes, a pixel box does not."""
_LATEST = 1e9  # seconds; also the largest action id


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyframes:
    """Keyframes as columns: `video [R]` indexes `videos`; microseconds, so 902, 0902 and 902.000 are one."""

    videos: tuple[str, ...]
    video: Ints
    microseconds: Ints

    def __len__(self) -> int:
        return len(self.video)


@dataclass(frozen=True, slots=True, kw_only=True)
class AvaTable:
    """The rows of one AVA csv file as columns, in file order.

    `boxes [R, 4]` as x1, y1, x2, y2; `action [R]`, -1 where a box file leaves it empty; `score [R]` (1.0
    where the file has none; not in ground truth); `person [R]` (-1 where the file has none; ground truth
    only). `empty` lists the two-column rows, keyframes without people, on the same `videos`. `lines [R]` are
    line numbers from 1.
    """

    path: str
    kind: Kind
    videos: tuple[str, ...]
    video: Ints
    microseconds: Ints
    boxes: Floats
    action: Ints
    score: Floats | None
    person: Ints | None
    lines: Ints
    empty: Keyframes

    def __len__(self) -> int:
        return len(self.video)

    @property
    def time(self) -> Floats:
        """Seconds, `[R]`."""
        return self.microseconds / 1e6

    @property
    def row_keyframes(self) -> Keyframes:
        """The keyframe of every row, `[R]`."""
        return Keyframes(videos=self.videos, video=self.video, microseconds=self.microseconds)

    @property
    def keyframes(self) -> Keyframes:
        """The keyframe of every row, then those without people; one with several rows comes several times."""
        return Keyframes(
            videos=self.videos,
            video=np.concatenate([self.video, self.empty.video]),
            microseconds=np.concatenate([self.microseconds, self.empty.microseconds]),
        )

    def take(self, rows: Bools) -> "AvaTable":
        """Those rows alone; all keyframes without people."""
        columns = {name: getattr(self, name) for name in ("video", "microseconds", "boxes", "action", "lines")}
        optional = {"score": self.score, "person": self.person}
        columns |= {name: column for name, column in optional.items() if column is not None}
        return replace(self, **{name: column[rows] for name, column in columns.items()})

    def of_videos(self, names: Collection[str]) -> "AvaTable":
        """The rows and keyframes of those videos alone."""
        kept = [code for code, name in enumerate(self.videos) if name in names]
        code, videos = np.full(len(self.videos), -1), tuple(self.videos[k] for k in kept)
        code[kept] = np.arange(len(kept))
        table, alone = self.take(code[self.video] >= 0), code[self.empty.video] >= 0
        empty = Keyframes(
            videos=videos, video=code[self.empty.video[alone]], microseconds=self.empty.microseconds[alone]
        )
        return replace(table, videos=videos, video=code[table.video], empty=empty)

    def where(self, row: int) -> str:
        """`file line 12` of a row, for messages."""
        return at(self.path, int(self.lines[row]))


def read_ava_csv(path: str | Path, kind: Kind, box_units: Units = "unit", faults: Faults | None = None) -> AvaTable:
    """Ground truth, predictions or person boxes from an AVA csv file, gzipped or not.

    7 or 8 columns, mixed as they come. Ground truth: the 8th is the person id. Predictions: the score, 1.0
    without one. Boxes: the score, and `action` may be empty (the FAIR proposals). An empty file is a table
    without rows. `box_units` says what the file holds: only "unit" can be checked against the frame.
    Raises InputError naming file, line and field of a row that is none of these or has values out of range; with
    `faults` that skip, such rows are left out, and only a file that cannot be read as text raises.
    """
    rows = _checked(path, kind, box_units, faults)
    people = rows.columns > 2
    action = rows.values[people, 5]
    last = rows.values[people, 6]
    lines = rows.lines[people]
    return AvaTable(
        path=str(path),
        kind=kind,
        videos=rows.videos,
        video=rows.video[people],
        microseconds=_microseconds(rows.values[people, 0]),
        boxes=np.ascontiguousarray(rows.values[people, 1:5]),
        action=action.astype(np.int64),
        score=None if kind == "groundtruth" else last,
        person=last.astype(np.int64) if kind == "groundtruth" else None,
        lines=lines,
        empty=_keyframes(rows, ~people),
    )


def read_excluded(path: str | Path, faults: Faults | None = None) -> Keyframes:
    """The keyframes of an excluded-timestamps file, rows `video,time`; faults as those of `read_ava_csv`."""
    rows = _checked(path, "excluded", "unit", faults)
    return _keyframes(rows, np.ones(len(rows.lines), np.bool_))


def _keyframes(rows: "Rows", chosen: Bools) -> Keyframes:
    return Keyframes(videos=rows.videos, video=rows.video[chosen], microseconds=_microseconds(rows.values[chosen, 0]))


def _microseconds(seconds: Floats) -> Ints:
    return np.rint(seconds * 1e6).astype(np.int64)


class _Problem(NamedTuple):
    bad: Bools
    say: Callable[[int], str]


def _checked(path: str | Path, kind: Kind, box_units: Units, faults: Faults | None) -> Rows:
    """The rows whose numbers can be; the others are `faults`, the first in file order where none is given."""
    faults = Faults() if faults is None else faults
    rows = read_rows(path, kind, faults)
    problems = [_name_problem(rows), _time_problem(rows)]
    if kind != "excluded":
        problems += [*_box_problems(rows, box_units), *_id_problems(rows, kind)]
    problems = [problem for problem in problems if problem.bad.any()]
    if not problems:
        return rows
    bad = np.logical_or.reduce([problem.bad for problem in problems])

    def say(row: int) -> str:
        problem = next(problem for problem in problems if problem.bad[row])
        return f"{at(rows.path, int(rows.lines[row]))}: {problem.say(row)}"

    faults.add_rows(bad, say)
    return rows.take(~bad)


def _name_problem(rows: Rows) -> _Problem:
    nameless = np.array([not name for name in rows.videos], np.bool_)[rows.video]
    return _Problem(nameless, lambda row: "the video name is empty")


def _time_problem(rows: Rows) -> _Problem:
    time = rows.values[:, 0]
    return _Problem(
        ~((time >= 0) & (time < _LATEST)),
        lambda row: f"time {time[row]:g}; expected seconds from the start of the video",
    )


def _box_problems(rows: Rows, box_units: Units) -> Iterator[_Problem]:
    boxes = rows.values[:, 1:5]
    low, high = (-SLACK, 1 + SLACK) if box_units == "unit" else (-np.inf, np.inf)
    inside = np.isfinite(boxes) & (boxes >= low) & (boxes <= high)
    yield _Problem(~np.all(inside, axis=1), lambda row: _outside(boxes[row]))
    yield _Problem(np.any(boxes[:, 2:] < boxes[:, :2], axis=1), lambda row: _inverted(boxes[row]))


def _outside(box: Floats) -> str:
    k = next(k for k in range(4) if not -SLACK <= box[k] <= 1 + SLACK)
    field = f"{FIELDS[2 + k]}={box[k]:g}"
    if not np.isfinite(box[k]):
        return f"{field} is not a finite number"
    if box[k] >= 2:
        return f"{field} > 1. Pixel boxes? add --box-units pixel"
    bound = "> 1" if box[k] > 1 else "< 0"
    return f"{field} {bound}: outside the frame; expected fractions of it, from 0 to 1"


def _inverted(box: Floats) -> str:
    k = 0 if box[2] < box[0] else 1
    return f"{FIELDS[4 + k]}={box[2 + k]:g} < {FIELDS[2 + k]}={box[k]:g}; expected a box as x1,y1,x2,y2"


def _id_problems(rows: Rows, kind: Kind) -> Iterator[_Problem]:
    action, last = rows.values[:, 5], rows.values[:, 6]
    real = (rows.columns > 2) if kind != "boxes" else (action != -1)
    yield _Problem(real & ~(action >= 1), lambda row: f"action {action[row]:g}; ids start at 1")
    yield _Problem(
        real & ~((action < _LATEST) & (action == np.floor(action))),
        lambda row: f"action {action[row]:g}; expected the number of an action, from 1",
    )
    if kind == "groundtruth":
        yield _Problem(
            ~((np.abs(last) < 2.0**53) & (last == np.floor(last))),
            lambda row: f"person id {last[row]:g}; expected a whole number (is this a predictions file?)",
        )
    else:
        yield _Problem(~np.isfinite(last), lambda row: f"score {last[row]:g} is not a finite number")


# --- writing


def format_ava_rows(
    *,
    videos: Sequence[str],
    seconds: npt.ArrayLike,
    boxes: npt.ArrayLike,
    actions: npt.ArrayLike,
    scores: npt.ArrayLike,
    decimals: int = 3,
    score_decimals: int = 6,
) -> Iterator[str]:
    """Lines of the AVA submission csv, as the official evaluator reads them: one a (box, action) pair.

    `videos`, `seconds`, `actions`, `scores` have R entries, `boxes [R, 4]` in fractions of the frame. Whole
    seconds are written as 0902, others with six decimals. Few score decimals make ties, and the metric
    depends on their order.
    """
    columns = np.asarray(seconds, np.float64), np.asarray(boxes, np.float64), np.asarray(scores, np.float64)
    if not all(np.isfinite(column).all() for column in columns):
        raise InputError("a time, box or score to be written is not a finite number")
    row = f"%s,%s{f',%.{decimals}f' * 4},%d,%.{score_decimals}f\n"
    times, corners, marks = (column.tolist() for column in columns)
    ids: list[int] = np.asarray(actions, np.int64).tolist()
    for video, time, box, action, score in zip(videos, times, corners, ids, marks, strict=True):
        yield row % (_quoted(video), format_time(time), *box, action, score)


def format_time(seconds: float) -> str:
    """A timestamp as AVA writes it: 0902, or 5.016949 where it is not a whole second."""
    return f"{int(seconds):04d}" if seconds == int(seconds) else f"{seconds:.6f}"


def _quoted(name: str) -> str:
    return name if not set(name) & set(',"\r\n') else '"' + name.replace('"', '""') + '"'


def write_ava_csv(path: str | Path, lines: Iterable[str]) -> None:
    """Writes lines of `format_ava_rows` (of one call, or of many chained) to `path`, whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(lines)
