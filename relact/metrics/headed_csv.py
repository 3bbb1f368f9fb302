"""A csv file with a header as columns of numbers and of names, read by numpy; a line that is wrong is named."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from relact.errors import InputError, at
from relact.labels import LabelMap
from relact.metrics.ap_rules import Floats, Ints

UNIT, PIXEL = ("x1", "y1", "x2", "y2"), ("x1_px", "y1_px", "x2_px", "y2_px")
_TEXTS = ("video", "action")
_NUMBERS = ("frame", *UNIT, *PIXEL, "action_id", "score", "person", "person_id", "track", "track_id")
_TRACKS = ("track_id", "track", "person_id", "person")
_CHUNK = 1 << 16  # lines parsed at a time: texts are as wide as the longest line


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows of a file: `videos` and the names of actions are listed once, `video [R]` and `action [R]` index them;
    `numbers` holds the other known columns, NaN where a cell is empty.
    """

    path: Path
    videos: tuple[str, ...]
    video: Ints
    names: tuple[str, ...] | None
    action: Ints
    numbers: dict[str, Floats]
    lines: Ints

    def _refuse(self, bad: npt.NDArray[np.bool_], name: str, expected: str) -> None:
        if bad.any():
            row = int(bad.argmax())
            value = self.numbers[name][row]
            got = "empty" if np.isnan(value) else f"{value:g}"
            raise InputError(f"{at(self.path, int(self.lines[row]))}: {name} is {got}; expected {expected}")

    def frames(self) -> Ints:
        """Frame numbers from 0."""
        if "frame" not in self.numbers:
            raise InputError(f"{at(self.path, 1)}: no column frame; the header needs video,frame,x1,y1,x2,y2,action")
        frame = self.numbers["frame"]
        self._refuse(~(frame >= 0) | (frame != np.floor(frame)), "frame", "a frame's number, from 0")
        return frame.astype(np.int64)

    def boxes(self, units: Literal["unit", "pixel"] | None) -> tuple[Floats, Literal["unit", "pixel"]]:
        """Boxes `[R, 4]` and what they are in. x1_px … are pixels; x1 … are fractions where both are there, else as
        `units` says, else told by their size.
        """
        both = all(name in self.numbers for name in (*UNIT, *PIXEL))
        chosen = PIXEL if not all(name in self.numbers for name in UNIT) or (both and units == "pixel") else UNIT
        if not all(name in self.numbers for name in chosen):
            raise InputError(f"{at(self.path, 1)}: no boxes; the header needs x1,y1,x2,y2 or x1_px,y1_px,x2_px,y2_px")
        boxes = np.column_stack([self.numbers[name] for name in chosen])
        for k, name in enumerate(chosen):
            self._refuse(~np.isfinite(boxes[:, k]), name, "a finite number")
        for low, high in ((0, 2), (1, 3)):
            self._refuse(boxes[:, high] < boxes[:, low], chosen[high], f"no less than {chosen[low]}")
        if chosen is PIXEL:
            return boxes, "pixel"
        return boxes, units or ("unit" if both or boxes.max(initial=0) <= 1.5 else "pixel")

    def actions(self, labels: LabelMap) -> Ints:
        """Ids: of `action_id`, else of `action`, which holds names of the label map, or ids."""
        if "action_id" in self.numbers:
            identity = self.numbers["action_id"]
            self._refuse(~(identity >= 1) | (identity != np.floor(identity)), "action_id", "an action's id, from 1")
            return identity.astype(np.int64)
        if self.names is None:
            raise InputError(f"{at(self.path, 1)}: no column action or action_id")
        known = {label.name: label.id for label in labels}
        ids = np.array([known.get(name, int(name) if name.isdigit() else 0) for name in self.names], np.int64)
        result = ids[self.action] if len(ids) else np.zeros(0, np.int64)
        if (result < 1).any():
            row = int((result < 1).argmax())
            name = self.names[self.action[row]]
            raise InputError(
                f"{at(self.path, int(self.lines[row]))}: action {name!r} is not in the label map, such as "
                f"{labels[0].name!r} ({labels[0].id}); ids start at 1"
            )
        return result

    def scores(self, *, required: bool) -> Floats:
        """The scores; 1 without a column where it is not required."""
        if "score" not in self.numbers:
            if required:
                raise InputError(f"{at(self.path, 1)}: no column score; predictions need one")
            return np.ones(len(self.video))
        self._refuse(~np.isfinite(self.numbers["score"]), "score", "a finite number")
        return self.numbers["score"]

    def tracks(self) -> Ints:
        """Ids of people or tubes, -1 for none."""
        name = next((name for name in _TRACKS if name in self.numbers), None)
        if name is None:
            return np.full(len(self.video), -1)
        track = np.nan_to_num(self.numbers[name], nan=-1)
        self._refuse(track != np.floor(track), name, "a whole number")
        return track.astype(np.int64)


def read_columns(path: Path) -> Columns | None:
    """The columns of a csv file with a header, gzipped or not; None where its first line is none.

    Raises InputError for a file that cannot be read, and for the first line that does not fit its header.
    """
    data = _read(path)
    header = _header(data.lstrip().partition(b"\n")[0])
    if "video" not in header or not {"x1", "x1_px"} & set(header):
        return None
    lines = _text(path, data).splitlines()
    numbers = np.array([k for k, line in enumerate(lines, start=1) if line.strip()], np.int64)
    lines = [line for line in lines if line.strip()]
    kept = {name: k for k, name in enumerate(header) if name in (*_TEXTS, *_NUMBERS)}
    try:
        parts = [_parse(lines[k : k + _CHUNK], header, kept) for k in range(1, len(lines), _CHUNK)]
    except ValueError:
        _explain(path, lines, numbers, header, kept)
        raise
    videos, video = _joined([part["video"] for part in parts])
    names, action = _joined([part["action"] for part in parts]) if "action" in kept else (None, video)
    return Columns(
        path=path,
        videos=videos,
        video=video,
        names=names,
        action=action,
        numbers={
            name: np.concatenate([np.zeros(0), *(part[name] for part in parts)]) for name in kept if name in _NUMBERS
        },
        lines=numbers[1:],
    )


def _read(path: Path) -> bytes:
    """The whole file, unzipped, without a byte-order mark."""
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{at(path)}: the gzip file is cut off or damaged ({error})") from error
    except OSError as error:
        raise InputError(f"{at(path)}: cannot be read ({error.strerror}); expected boxes with actions") from error
    return data.removeprefix(b"\xef\xbb\xbf")


def _header(line: bytes) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line.decode("utf-8", "replace").strip()]), [])]


def _text(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{at(path)}: not a text file ({error.reason}); expected boxes with actions") from error


def _parse(lines: list[str], header: list[str], kept: dict[str, int]) -> npt.NDArray[np.void]:
    """Lines as a structured array of the kept columns. Raises ValueError."""
    if any(line.count(",") != len(header) - 1 and '"' not in line for line in lines):
        raise ValueError("columns")
    width = max(map(len, lines))
    kind: list[Any] = [(name, f"U{width}" if name in _TEXTS else "f8") for name in kept]
    columns = list(kept.values())

    def load(rows: list[str]) -> npt.NDArray[np.void]:
        return np.loadtxt(
            rows, np.dtype(kind), comments=None, delimiter=",", quotechar='"', usecols=columns, ndmin=1,
            encoding="utf-8",
        )  # fmt: skip

    try:
        return load(lines)
    except ValueError:  # empty cells, of people without an id, say
        return load(list(_filled(lines)))


def _filled(lines: list[str]) -> Iterator[str]:
    """The lines with nan in empty cells."""
    for cells in csv.reader(lines):
        out = io.StringIO()
        csv.writer(out).writerow([cell if cell.strip() else "nan" for cell in cells])
        yield out.getvalue()


def _joined(parts: list[npt.NDArray[np.str_]]) -> tuple[tuple[str, ...], Ints]:
    """Distinct texts, stripped, and the index of each row's."""
    codes: dict[str, int] = {}
    indices = [np.zeros(0, np.int64)]
    for part in parts:
        names, index = np.unique(part, return_inverse=True)
        ours = np.array([codes.setdefault(str(name).strip(), len(codes)) for name in names], np.int64)
        indices.append(ours[index])
    return tuple(codes), np.concatenate(indices)


def _explain(path: Path, lines: list[str], numbers: Ints, header: list[str], kept: dict[str, int]) -> None:
    """Raises InputError for the first line that does not fit."""
    for number, cells in zip(numbers.tolist(), csv.reader(lines), strict=False):
        if len(cells) != len(header):
            cut = "; is the file cut off?" if number == numbers[-1] else ""
            raise InputError(
                f"{at(path, number)}: {len(cells)} columns; expected {len(header)} as the header says{cut}"
            )
        for name, k in kept.items():
            if name in _NUMBERS and number != numbers[0] and not _is_number(cells[k]):
                raise InputError(f"{at(path, number)}: {name} is {cells[k]!r}; expected a number")


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True
