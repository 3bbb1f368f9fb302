"""Person boxes of a file as one table, whatever its format, and the boxes of one video as the pipeline wants
them.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from relact.errors import InputError, at
from relact.interop.faults import Faults

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Units = Literal["unit", "pixel"]
Clock = Literal["seconds", "frames"]

SLACK = 0.01
SLACK_PX = 3.0
"""A box may leave the picture by 1 % of it or 3 pixels and is cut; further out it is of another video, or
other units.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxTable:
    """The people of one file: R boxes, each person of each instant once, in file order.

    `video [R]` indexes `videos`; the name "" (formats that name no video) stands for the video at hand.
    `instant [R]`: float64 seconds, or int64 frames from 0, as `clock` says. `boxes [R, 4]` as x1, y1, x2, y2
    in `units`; `picture` (width, height) is what pixel boxes refer to, None for the video's own. `score [R]`
    is 1 and `person_id [R]` -1 where the file has none. Actions: row `label_row[l]` does `label_id[l]`.
    `line [R]` is the line or entry (`line_word`) of the file, from 1. `empty_video`, `empty_instant`:
    instants that are known to show nobody. `amodal`: boxes reach beyond the picture on purpose (MOT) and are
    only cut.
    """

    path: str
    clock: Clock
    units: Units
    videos: tuple[str, ...]
    video: Ints
    instant: Floats | Ints
    boxes: Floats
    score: Floats
    person_id: Ints
    line: Ints
    line_word: str
    label_row: Ints
    label_id: Ints
    empty_video: Ints
    empty_instant: Floats | Ints
    picture: tuple[int, int] | None = None
    amodal: bool = False

    def __len__(self) -> int:
        return len(self.video)

    def where(self, row: int) -> str:
        """`boxes.csv line 12`, for messages."""
        return place(self.path, int(self.line[row]), self.line_word)

    def for_video(self, name: str, width: int, height: int, faults: Faults | None = None) -> "VideoBoxes":
        """The boxes of a video of `width` x `height` pixels (upright), as fractions of its picture.

        `name` is a path or a key. It matches a name of the file that is equal, or equal without folder and
        suffix (`v_x_g01_c01.avi` is `Class/v_x_g01_c01`). Raises InputError for a video that the file does
        not know, and for boxes that lie outside the picture, unless `faults` skip these.
        """
        code = _find_video(name, self.videos, self.path)
        rows = np.flatnonzero(self.video == code)
        rows = rows[np.argsort(self.instant[rows], kind="stable")]
        unit, outside, say = self._unit_boxes(rows, width, height)
        (faults or Faults()).add_rows(outside, say)
        rows, unit = rows[~outside], unit[~outside]
        empty = self.empty_instant[self.empty_video == code]
        instants, start = _grouped(self.instant[rows], empty)
        position = np.full(len(self), -1)
        position[rows] = np.arange(len(rows))
        label_row = position[self.label_row]
        return VideoBoxes(
            path=self.path,
            name=self.videos[code],
            clock=self.clock,
            instants=instants,
            start=start,
            boxes=unit,
            score=self.score[rows],
            person_id=self.person_id[rows],
            line=self.line[rows],
            line_word=self.line_word,
            label_row=label_row[label_row >= 0],
            label_id=self.label_id[label_row >= 0],
        )

    def _unit_boxes(self, rows: Ints, width: int, height: int) -> tuple[Floats, Bools, Callable[[int], str]]:
        """The boxes of these rows cut to the picture, which lie outside of it, and how to say that of one."""
        pixel = self.units == "pixel"
        across, down = (self.picture or (width, height)) if pixel else (1, 1)
        unit = self.boxes[rows] / np.asarray([across, down, across, down], np.float64)
        slack = np.maximum(SLACK, SLACK_PX / np.asarray([width, height] * 2))
        outside = ((unit < -slack) | (unit > 1 + slack)).any(axis=1)
        cut = unit.clip(0, 1)
        if self.amodal:
            outside = (unit[:, 2:] <= 0).any(axis=1) | (unit[:, :2] >= 1).any(axis=1)

        def say(number: int) -> str:
            return (
                f"{self.where(int(rows[number]))}: box {_text(self.boxes[rows[number]])} lies outside the picture, "
                f"which is {f'{across} x {down} pixels' if pixel else '0 to 1'}; is this file of another video"
                f"{'' if pixel else ', or in pixels (--box-units pixel)'}?"
            )

        return cut, np.asarray(outside, np.bool_), say


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoBoxes:
    """The boxes of one video, grouped by instant: rows `start[i]` to `start[i + 1]` belong to `instants[i]`.

    `instants [I]` ascend: seconds, or frames from 0, as `clock` says. `boxes [R, 4]` in [0, 1]; the rest as
    in BoxTable.
    """

    path: str
    name: str
    clock: Clock
    instants: Floats | Ints
    start: Ints
    boxes: Floats
    score: Floats
    person_id: Ints
    line: Ints
    line_word: str
    label_row: Ints
    label_id: Ints

    def __len__(self) -> int:
        return len(self.boxes)

    def where(self, row: int) -> str:
        """`boxes.csv line 12`, for messages."""
        return place(self.path, int(self.line[row]), self.line_word)

    def rows(self, i: int) -> slice:
        """The rows of instant `i`."""
        return slice(int(self.start[i]), int(self.start[i + 1]))

    def tolerance(self) -> float:
        """Half the usual step of the file in its own clock, but at most half a second: how near counts as
        the same.
        """
        steps = np.diff(self.instants)
        usual = float(np.quantile(steps, 0.1, method="lower")) if len(steps) else 1.0
        return usual / 2 if self.clock == "frames" else min(usual / 2, 0.5)

    def nearest(self, instant: float, tolerance: float | None = None) -> slice:
        """Rows of the instant nearest to one in the file's own clock; an empty slice where none is near
        enough.
        """
        [found] = self._nearest(np.asarray([instant], np.float64), self.instants.astype(np.float64), tolerance)
        return found

    def check_frames(self, num_frames: int) -> None:
        """Raises InputError where the file has boxes on frames that a video of `num_frames` does not have."""
        if self.clock == "frames" and len(self.instants) and self.instants[-1] >= num_frames:
            late = int(np.searchsorted(self.instants, num_frames))
            row = min(int(self.start[late]), len(self) - 1)
            raise InputError(
                f"{self.where(row)}: frame {int(self.instants[late])} (counted from 0), but the video has "
                f"{num_frames} frames; is this file of another video?"
            )

    def _nearest(self, wanted: Floats, instants: Floats, tolerance: float | None) -> list[slice]:
        if not len(instants):
            return [slice(0, 0)] * len(wanted)
        index = _nearest_index(instants, wanted)
        limit = self.tolerance() if tolerance is None else tolerance
        near = np.abs(instants[index] - wanted) <= limit + 1e-9
        return [self.rows(i) if ok else slice(0, 0) for i, ok in zip(index.tolist(), near.tolist(), strict=True)]


def place(path: str, line: int, word: str) -> str:
    """`file line 12`, or `file entry 3` where the file has no lines."""
    return at(path, line) if word == "line" else f"{path} {word} {line}"


def _text(box: Floats) -> str:
    return "(" + ", ".join(f"{value:g}" for value in box) + ")"


def _nearest_index(sorted_values: Floats, wanted: Floats) -> Ints:
    """Index of the nearest value, the earlier of two that are equally near."""
    after = np.searchsorted(sorted_values, wanted).clip(1, max(len(sorted_values) - 1, 1))
    before = after - 1
    if len(sorted_values) == 1:
        return np.zeros(len(wanted), np.int64)
    later = sorted_values[after] - wanted < wanted - sorted_values[before]
    return np.where(later, after, before)


def _grouped(instants: Floats | Ints, empty: Floats | Ints) -> tuple[Floats | Ints, Ints]:
    """Distinct instants, those without boxes included, and where the rows of each begin (sorted rows)."""
    distinct = np.unique(np.concatenate([instants, empty.astype(instants.dtype)]))
    return distinct, np.append(np.searchsorted(instants, distinct), len(instants)).astype(np.int64)


def _find_video(name: str, videos: Sequence[str], path: str) -> int:
    """Index of the video that `name` means. Raises InputError naming the nearest."""
    key = name.replace("\\", "/")
    for wanted, known in (
        (key, videos),
        (PurePosixPath(key).name, videos),
        (bare_name(key), videos),
        ("/".join([*PurePosixPath(key).parts[-2:-1], bare_name(key)]), [_no_suffix(video) for video in videos]),
        (bare_name(key), [bare_name(video) for video in videos]),
    ):
        found = [k for k, video in enumerate(known) if video == wanted]
        if len(found) == 1:
            return found[0]
        if found:
            several = ", ".join(repr(videos[k]) for k in found[:3])
            raise InputError(f"{path}: {name!r} may be any of {several}; give the video the name that the file uses")
    if "" in videos:
        return videos.index("")
    raise InputError(f"{path}: has no boxes of {name!r}; {_known(bare_name(key), videos)}")


def _known(wanted: str, videos: Sequence[str]) -> str:
    if not videos:
        return "it names no video at all (an empty file?)"
    near = difflib.get_close_matches(wanted, videos, n=1, cutoff=0.5)
    shown = ", ".join(repr(video) for video in videos[:5]) + (", …" if len(videos) > 5 else "")
    nearest = f"; nearest name: {near[0]!r}" if near else ""
    return f"it has {len(videos)} video{'s' if len(videos) != 1 else ''}: {shown}{nearest}"


_VIDEO_SUFFIXES = frozenset(
    [".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".3gp"]
)


def _no_suffix(video: str) -> str:
    """Without a video's suffix; other dots belong to the name."""
    pure = PurePosixPath(video)
    return str(pure.with_suffix("")) if pure.suffix.lower() in _VIDEO_SUFFIXES else video


def bare_name(video: str) -> str:
    """A video's name without folder and suffix."""
    return PurePosixPath(_no_suffix(video)).name


def merged(video: Ints, instant: Floats | Ints, boxes: Floats, person_id: Ints, label: Ints) -> tuple[Ints, Ints, Ints]:
    """One row a person from one row a (person, action): kept rows, then `label_row`, `label_id` on them.

    Rows are one person where video, instant, box and person id are equal. `label [R]` is -1 for none. The
    first row of a person is kept, in file order.
    """
    keys = np.column_stack([video, instant, boxes, person_id]).astype(np.float64)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    kept = np.sort(first)
    new = np.searchsorted(kept, first)[inverse.ravel()]
    labelled = label >= 0
    pairs = np.unique(np.column_stack([new[labelled], label[labelled]]), axis=0)
    return kept, pairs[:, 0], pairs[:, 1]


def make_table(
    *,
    path: object,
    clock: Clock,
    units: Units,
    videos: Sequence[str],
    video: npt.ArrayLike,
    instant: npt.ArrayLike,
    boxes: Floats,
    score: Floats | None = None,
    person_id: npt.ArrayLike | None = None,
    label: npt.ArrayLike | None = None,
    line: Ints | None = None,
    line_word: str = "line",
    empty_video: npt.ArrayLike = (),
    empty_instant: npt.ArrayLike = (),
    picture: tuple[int, int] | None = None,
    amodal: bool = False,
    faults: Faults | None = None,
) -> BoxTable:
    """A checked table from one row a box, or a (box, action). Raises InputError naming the first row that
    cannot be, unless `faults` skip such rows.
    """
    when, of_video = np.asarray(instant, np.float64), np.asarray(video, np.int64)
    number = np.arange(1, len(boxes) + 1) if line is None else line
    marks = np.ones(len(boxes)) if score is None else score
    person = np.full(len(boxes), -1.0) if person_id is None else np.asarray(person_id, np.float64)
    action = np.full(len(boxes), -1.0) if label is None else np.asarray(label, np.float64)
    problems = [problem for problem in _problems(clock, units, when, boxes, marks, person, action) if problem[0].any()]
    if problems:
        bad = np.logical_or.reduce([wrong for wrong, _ in problems])

        def say(row: int) -> str:
            text = next(text for wrong, text in problems if wrong[row])
            return f"{place(str(path), int(number[row]), line_word)}: {text.format(**_facts(boxes[row], when[row]))}"

        (faults or Faults()).add_rows(bad, say)
        parts = of_video, when, number, boxes, marks, person, action
        of_video, when, number, boxes, marks, person, action = (part[~bad] for part in parts)
    kept, label_row, label_id = merged(of_video, when, boxes, person.astype(np.int64), action.astype(np.int64))
    kind: Any = np.float64 if clock == "seconds" else np.int64
    return BoxTable(
        path=str(path),
        clock=clock,
        units=units,
        videos=tuple(videos),
        video=of_video[kept],
        instant=when[kept].astype(kind),
        boxes=boxes[kept],
        score=marks[kept],
        person_id=person[kept].astype(np.int64),
        line=number[kept],
        line_word=line_word,
        label_row=label_row,
        label_id=label_id,
        empty_video=np.asarray(empty_video, np.int64),
        empty_instant=np.asarray(empty_instant, kind),
        picture=picture,
        amodal=amodal,
    )


def _facts(box: Floats, when: float) -> dict[str, object]:
    return {"box": _text(box), "when": f"{when:g}"}


def _problems(
    clock: Clock, units: Units, when: Floats, boxes: Floats, score: Floats, person: Floats, action: Floats
) -> list[tuple[Bools, str]]:
    finite = np.isfinite(boxes).all(axis=1)
    problems = [
        (~finite, "box {box} is not four finite numbers; expected x1, y1, x2, y2"),
        (
            (boxes[:, 2:] < boxes[:, :2]).any(axis=1),
            "box {box} has x2 < x1 or y2 < y1; expected x1, y1, x2, y2",
        ),
        (~np.isfinite(score), "the score of box {box} is not a finite number"),
        (person != np.floor(person), "the person id of box {box} is not a whole number"),
        (action != np.floor(action), "the action id of box {box} is not a whole number"),
        (action == 0, "action 0; ids start at 1"),
    ]
    if clock == "seconds":
        problems.append((~((when >= 0) & (when < 1e9)), "time {when}; expected seconds from the start of the video"))
    else:
        wrong = ~((when >= 0) & (when < 1e9) & (when == np.floor(when)))
        problems.append((wrong, "frame {when} (counted from 0); expected a whole number, 0 or more"))
    if units == "unit":
        far = np.where(finite, np.abs(boxes).max(axis=1, initial=0), 0) >= 2
        problems.append((far, "box {box} has a coordinate beyond 1. Pixel boxes? add --box-units pixel"))
    return problems
