"""Every fault of a ground truth file, line by line: `relact.interop.ava_csv` stops at the first, this goes on.

What passes here, that reader takes; a property test holds them together.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from relact.errors import InputError, at
from relact.interop.ava_csv import SLACK

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Severity = Literal["problem", "warning", "ignored"]

EXAMPLES = 5
"""So many places are kept of each kind of finding."""
_LATEST = 1e9


@dataclass(slots=True, kw_only=True)
class Finding:
    """One kind of fault, how often, and where first."""

    kind: str
    severity: Severity
    """problem: training stops at it, or learns what is wrong; warning: look at it; ignored: left out silently"""
    count: int = 0
    examples: list[str] = field(default_factory=list)


class Findings:
    """Findings by kind, in the order in which they came."""

    def __init__(self) -> None:
        self._of_kind: dict[str, Finding] = {}

    def add(self, severity: Severity, kind: str, *examples: str, count: int | None = None) -> None:
        """More of a kind; `count` where there are more than the examples."""
        found = self._of_kind.setdefault(kind, Finding(kind=kind, severity=severity))
        found.count += len(examples) if count is None else count
        found.examples += examples[: EXAMPLES - len(found.examples)]

    @property
    def all(self) -> list[Finding]:
        """Problems first, ignored last."""
        order = ("problem", "warning", "ignored")
        return sorted(self._of_kind.values(), key=lambda found: order.index(found.severity))

    def count(self, severity: Severity) -> int:
        """How many of a severity."""
        return sum(found.count for found in self._of_kind.values() if found.severity == severity)


@dataclass(slots=True, kw_only=True)
class TruthRows:
    """The rows that are rows: `values [R, 7]` second, box, action, person (-1: none); `columns [R]` 2, 7 or 8."""

    path: str
    videos: tuple[str, ...]
    video: Ints
    values: Floats
    columns: Ints
    lines: Ints
    """of the file, from 1; 0 where it has none: a pickle of tubes, whose times are frames from 1"""
    good: Bools
    """rows without a fault: `[R]`; further checks take more away"""
    absent: Bools
    """rows of videos that are missing or cannot be read: `[R]`; the rows themselves may be good"""

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def people(self) -> Bools:
        """Good rows of a person; the others are keyframes without people."""
        return self.good & (self.columns > 2)

    @property
    def usable(self) -> Bools:
        """Rows to train on."""
        return self.good & ~self.absent

    @property
    def microseconds(self) -> Ints:
        """The keyframes' time; 0 where it is no number."""
        return np.rint(np.where(np.isfinite(self.values[:, 0]), self.values[:, 0], 0) * 1e6).astype(np.int64)

    def where(self, row: int) -> str:
        """File and line; the video and its frame where the file has no lines."""
        line = int(self.lines[row])
        if line > 0:
            return at(self.path, line)
        return f"{self.path}: {self.videos[self.video[row]]}, frame {self.values[row, 0]:g}"

    def mark(self, bad: Bools, kind: str, found: Findings, say: Callable[[int], str], severity: Severity) -> None:
        """Adds a finding for the `bad` rows; a problem makes them not good."""
        rows = np.flatnonzero(bad)
        if len(rows):
            examples = [f"{self.where(row)}: {say(row)}" for row in rows[:EXAMPLES].tolist()]
            found.add(severity, kind, *examples, count=len(rows))
            if severity == "problem":
                self.good &= ~bad


def read_truth(path: Path, found: Findings) -> TruthRows:
    """All rows of a ground truth file. Raises InputError only where it is not there or no text."""
    videos: dict[str, int] = {}
    video: list[int] = []
    values: list[list[float]] = []
    columns: list[int] = []
    lines: list[int] = []
    text = _text(path)
    reader = csv.reader(io.StringIO(text, newline=""))
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            found.add("problem", "lines that are no csv", f"{at(path, reader.line_num)}: {error}")
            continue
        if cells is None:
            break
        if not any(cell.strip() for cell in cells):
            continue
        row = _row(cells, at(path, reader.line_num), reader.line_num, found)
        if row is not None:
            video.append(videos.setdefault(cells[0].strip(), len(videos)))
            values.append(row)
            columns.append(len(cells))
            lines.append(reader.line_num)
    rows = TruthRows(
        path=str(path),
        videos=tuple(videos),
        video=np.array(video, np.int64),
        values=np.array(values).reshape(-1, 7),
        columns=np.array(columns, np.int64),
        lines=np.array(lines, np.int64),
        good=np.ones(len(lines), np.bool_),
        absent=np.zeros(len(lines), np.bool_),
    )
    check_numbers(rows, found)
    if not text.endswith(("\n", "\r")) and len(rows) > 1 and columns[-1] < min(columns[:-1]):
        last = np.arange(len(rows)) == len(rows) - 1
        rows.mark(last, "a last line that is cut off", found, lambda row: f"{columns[row]} columns", "problem")
    return rows


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        text = data.decode("utf-8-sig")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: the gzip file is cut off or damaged ({error})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text ({error.reason}); expected rows video,second,x1,…") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected rows video,second,x1,…") from error
    if "\0" in text:
        raise InputError(f"{path}: is not a text file; expected rows video,second,x1,y1,x2,y2,action,person")
    return text


def _row(cells: list[str], where: str, line: int, found: Findings) -> list[float] | None:
    """Second, box, action, person; None, with a finding, for what is no row."""
    if len(cells) not in (2, 7, 8):
        expected = "2, 7 or 8 (video,second,x1,y1,x2,y2,action[,person])"
        found.add(
            "problem", "lines with a wrong number of columns", f"{where}: {len(cells)} columns; expected {expected}"
        )
        return None
    values = [0.0, 0.0, 0.0, 0.0, 0.0, -1.0, -1.0]
    for k, cell in enumerate(cells[1:]):
        try:
            if "_" in cell:  # float() reads 1_000; no other reader of these files does
                raise ValueError
            values[k] = float(cell)
        except ValueError:
            if line == 1 and k == 0:
                found.add(
                    "problem", "a header line", f"{where}: {','.join(cells)[:60]!r}; expected rows from line 1 on"
                )
            else:
                found.add("problem", "cells that are no numbers", f"{where}: {cell[:60]!r}; expected a number")
            return None
    return values


def check_numbers(rows: TruthRows, found: Findings) -> None:
    """What the reader of these files refuses, and boxes without area."""
    time, boxes, action, person = (rows.values[:, k] for k in (0, slice(1, 5), 5, 6))
    people = rows.columns > 2
    nameless = np.array([not name for name in rows.videos], np.bool_)[rows.video]

    def mark(bad: Bools, kind: str, say: Callable[[int], str], severity: Severity = "problem") -> None:
        rows.mark(bad, kind, found, say, severity)

    def box(row: int) -> str:
        return "box " + " ".join(f"{value:g}" for value in boxes[row])

    mark(nameless, "rows without a video's name", lambda row: "the first cell is empty")
    mark(
        ~((time >= 0) & (time < _LATEST)),
        "times that are none",
        lambda row: f"second {time[row]:g}; expected 0 or more",
    )
    finite = np.isfinite(boxes).all(axis=1)
    mark(people & ~finite, "boxes that are no numbers", lambda row: f"{box(row)}; expected fractions from 0 to 1")
    pixel = people & finite & (boxes >= 2).any(axis=1)
    mark(pixel, "boxes in pixels", lambda row: f"{box(row)}; expected fractions of the picture, from 0 to 1")
    far = people & finite & ~pixel & ((boxes < -SLACK) | (boxes > 1 + SLACK)).any(axis=1)
    mark(far, "boxes outside of the picture", lambda row: f"{box(row)}; expected 0 to 1")
    mark(
        people & finite & ~pixel & ~far & ((boxes < 0) | (boxes > 1)).any(axis=1),
        "boxes a little outside of the picture", box, "warning",
    )  # fmt: skip
    turned = people & finite & ~pixel & (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    mark(turned, "boxes the wrong way round", lambda row: f"{box(row)}; expected x1 < x2 and y1 < y2")
    empty = people & finite & ~turned & (boxes[:, 2:] == boxes[:, :2]).any(axis=1)
    mark(empty, "boxes without area", box)
    mark(
        people & ~((action >= 1) & (action < _LATEST) & (action == np.floor(action))), "actions that are none",
        lambda row: f"action {action[row]:g}; expected a number from 1",
    )  # fmt: skip
    mark(
        people & ~((np.abs(person) < 2.0**53) & (person == np.floor(person))), "person ids that are no whole numbers",
        lambda row: f"person {person[row]:g} (is this a file of predictions?)",
    )  # fmt: skip


def write_rows(rows: TruthRows, source: Path, target: Path) -> int:
    """Copies the usable lines to `target`; how many."""
    from relact.interop.files import atomic_path

    good = set(rows.lines[rows.usable].tolist())
    reader = csv.reader(io.StringIO(_text(source), newline=""))
    with atomic_path(target) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        while True:
            try:
                cells = next(reader, None)
            except csv.Error:
                continue
            if cells is None:
                break
            if reader.line_num in good:
                writer.writerow(cells)
    return len(good)
