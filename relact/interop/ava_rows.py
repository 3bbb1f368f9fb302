"""The lines of AVA's csv files as columns of numbers, read fast; a line that is not such a row is named.

Whether the numbers make sense is `ava_csv`'s business. No null is ever filled in: numpy's C reader takes
lines of one width, mixed lines are read width by width, and parts of a file that it refuses go through the
`csv` module line by line.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from relact.errors import InputError, at
from relact.interop.faults import Faults

Kind = Literal["groundtruth", "predictions", "boxes", "excluded"]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FIELDS = ("video", "time", "x1", "y1", "x2", "y2", "action")
_CHUNK = 1 << 20  # bytes parsed at a time: the lines of a whole file would not stay in the cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Numbers as written: `values [R, 7]` = time, box, action (-1: none), last; `columns [R]` of a line."""

    path: str
    videos: tuple[str, ...]
    video: Ints
    values: Floats
    columns: npt.NDArray[np.int8]
    lines: Ints

    def take(self, rows: Ints | npt.NDArray[np.bool_]) -> "Rows":
        """Those rows, in their order, and the videos that they name, by first appearance."""
        used, first, code = np.unique(self.video[rows], return_index=True, return_inverse=True)
        order = np.argsort(first)
        return Rows(
            path=self.path,
            videos=tuple(self.videos[k] for k in used[order].tolist()),
            video=np.argsort(order)[code],
            values=self.values[rows],
            columns=self.columns[rows],
            lines=self.lines[rows],
        )


@dataclass(frozen=True, slots=True)
class _Block:
    """Some lines of one width: video names as bytes, values as in `Rows`."""

    names: npt.NDArray[np.bytes_]
    values: Floats
    columns: int
    lines: Ints


def read_rows(path: str | Path, kind: Kind, faults: Faults) -> Rows:
    """All rows of a file, blank lines skipped; lines that are none are `faults`. InputError names file, line and field.

    Raises it in any case for a file that cannot be read, is no text, or names a video in no UTF-8.
    """
    data = _read_bytes(path)
    # else a row may go over several lines, or several rows be in one, and the file cannot be cut into parts
    plain = b'"' not in data and (b"\r" not in data or data.count(b"\r") == data.count(b"\r\n"))
    rows = _join(list(_blocks(data, _CHUNK if plain else len(data), kind, path, faults)), path)
    return _without_cut_line(rows, data, kind, faults)


def _read_bytes(path: str | Path) -> bytes:
    """The whole file, unzipped, without a byte-order mark."""
    try:
        data = Path(path).read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: the gzip file is cut off or damaged ({error})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected an AVA csv file") from error
    if b"\0" in data:
        raise InputError(f"{path}: is not a text file; expected an AVA csv file")
    return data.removeprefix(b"\xef\xbb\xbf")


class _NotPlainError(Exception):
    """A line that the fast path cannot read; the careful pass says which and why, or reads it."""


def _blocks(data: bytes, size: int, kind: Kind, path: str | Path, faults: Faults) -> Iterator[_Block]:
    """Parts of about this size; those that the fast path cannot read are gone through line by line."""
    start, line = 0, 1
    while start < len(data):
        end = data.find(b"\n", start + size) + 1 or len(data)
        # Latin-1 carries the bytes through unchanged; names are decoded as UTF-8 once each, in _join.
        text = data[start:end].decode("latin-1")
        lines = text.split("\n")
        if not lines[-1].strip():
            lines.pop()
        try:
            if '"' in text:
                raise _NotPlainError
            yield from list(_blocks_of_lines(lines, line, kind))
        except _NotPlainError:
            yield from _careful_blocks(text, line, kind, path, faults, is_last=end == len(data))
        start, line = end, line + len(lines)


def _blocks_of_lines(lines: list[str], first: int, kind: Kind) -> Iterator[_Block]:
    """One block if all lines have the width of the first, else one per width."""
    if not lines:
        return
    width = lines[0].count(",") + 1
    try:
        block = _parse(lines, width, first + np.arange(len(lines)), kind)
    except ValueError:
        block = None
    if block is not None:
        yield block
        return
    widths = np.array([line.count(",") + 1 if line.strip() else 0 for line in lines])
    for width in np.unique(widths[widths > 0]).tolist():
        chosen = np.flatnonzero(widths == width)
        try:
            block = _parse([lines[k] for k in chosen.tolist()], width, first + chosen, kind)
        except ValueError as error:
            raise _NotPlainError from error
        if block is None:
            raise _NotPlainError
        yield block


def _widths(kind: Kind) -> tuple[int, ...]:
    return (2,) if kind == "excluded" else (2, 7, 8)


def _parse(lines: list[str], width: int, numbers: Ints, kind: Kind) -> _Block | None:
    """Lines of one width by numpy's C reader; None for a wrong width or skipped lines. Raises ValueError."""
    if width not in _widths(kind):
        return None
    action = f"S{max(map(len, lines))}" if kind == "boxes" else "f8"
    columns = [
        ("name", f"S{max(map(len, lines))}"),
        ("box", "f8", (min(width, 6) - 1,)),
        ("action", action),
        ("last", "f8"),
    ]
    chosen = columns[: {2: 2, 7: 3, 8: 4}[width]]
    table = np.loadtxt(lines, np.dtype(chosen), comments=None, delimiter=",", ndmin=1, encoding="latin-1")
    if len(table) != len(lines):
        return None
    values = _blank(len(lines), kind)
    values[:, : min(width, 6) - 1] = table["box"]
    if width > 2:
        values[:, 5] = _numbers(table["action"]) if kind == "boxes" else table["action"]
    if width == 8:
        values[:, 6] = table["last"]
    return _Block(table["name"], values, width, numbers)


def _blank(count: int, kind: Kind) -> Floats:
    """Values of rows that give none: no action, no person id, score 1."""
    values = np.zeros((count, 7))
    values[:, 5] = -1
    values[:, 6] = -1 if kind == "groundtruth" else 1
    return values


def _numbers(texts: npt.NDArray[np.bytes_]) -> Floats:
    stripped = np.strings.strip(texts)
    return np.where(stripped == b"", b"-1", stripped).astype(np.float64)


def _join(blocks: Sequence[_Block], path: str | Path) -> Rows:
    """Blocks in file order, video names as codes."""
    codes: dict[str, int] = {}
    video = [_encode(block.names, codes, path) for block in blocks]
    lines = np.concatenate([np.zeros(0, np.int64), *(block.lines for block in blocks)])
    columns = np.repeat(
        np.array([b.columns for b in blocks], np.int8), np.array([len(b.lines) for b in blocks], np.int64)
    )
    rows = Rows(
        path=str(path),
        videos=tuple(codes),
        video=np.concatenate([np.zeros(0, np.int64), *video]),
        values=np.concatenate([np.zeros((0, 7)), *(block.values for block in blocks)]),
        columns=columns,
        lines=lines,
    )
    return rows if bool((lines[1:] > lines[:-1]).all()) else rows.take(np.argsort(lines, kind="stable"))


def _encode(names: npt.NDArray[np.bytes_], codes: dict[str, int], path: str | Path) -> Ints:
    """Codes of video names, new ones added to `codes`; a run of equal names is looked up once."""
    change = np.concatenate([[True], names[1:] != names[:-1]])
    distinct, inverse = np.unique(names[change], return_inverse=True)
    first = np.full(len(distinct), len(inverse))
    np.minimum.at(first, inverse, np.arange(len(inverse)))
    code = np.empty(len(distinct), np.int64)
    for k in np.argsort(first).tolist():
        code[k] = codes.setdefault(_decode(distinct[k], path), len(codes))
    return code[inverse][np.cumsum(change) - 1]


def _decode(name: bytes, path: str | Path) -> str:
    try:
        return name.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: video name {name!r} is not UTF-8 text; expected an AVA csv file") from error


def _careful_blocks(
    text: str, first: int, kind: Kind, path: str | Path, faults: Faults, *, is_last: bool
) -> list[_Block]:
    """By the csv module; `first` is the number of its first line, `is_last` whether the file ends with it."""
    found: dict[int, list[tuple[int, bytes, list[float]]]] = {}
    cut = is_last and not text.endswith(("\n", "\r"))
    before = first - 1
    reader = csv.reader(io.StringIO(text, newline=""))
    fault = ""  # of the line before: told when it is known whether that was the last one
    while True:
        try:
            fields = next(reader, None)
            if fault:
                faults.add(fault + ("; the last line is cut off" if cut and fields is None else ""))
            fault = ""
            if fields is None:
                break
            if any(field.strip() for field in fields):
                number = before + reader.line_num
                values = _careful_row(fields, kind, at(path, number))
                found.setdefault(len(fields), []).append((number, fields[0].encode("latin-1"), values))
        except csv.Error as error:
            if fault:
                faults.add(fault)
            fault = f"{at(path, before + reader.line_num)}: is not a csv line ({error})"
        except _BadLineError as error:
            fault = str(error)
    return [_block(width, rows) for width, rows in found.items()]


class _BadLineError(Exception):
    """A line that is no row, in words."""


def _block(width: int, rows: list[tuple[int, bytes, list[float]]]) -> _Block:
    lines, names, values = zip(*rows, strict=True)
    return _Block(np.array(names), np.array(values), width, np.array(lines, np.int64))


def _careful_row(fields: list[str], kind: Kind, place: str) -> list[float]:
    if len(fields) not in _widths(kind):
        raise _BadLineError(f"{place}: expected {_layout(kind)}, got {len(fields)} columns: {_short(','.join(fields))}")
    values = _blank(1, kind)[0].tolist()
    last = "person id" if kind == "groundtruth" else "score"
    for k, (field, name) in enumerate(zip(fields[1:], (*FIELDS[1:], last), strict=False)):
        if kind == "boxes" and name == "action" and not field.strip():
            continue
        values[k] = _number(field, name, place)
    return values


def _number(field: str, name: str, place: str) -> float:
    try:
        if "_" in field:  # float() reads 1_000; no other reader of these files does
            raise ValueError
        return float(field)
    except ValueError:
        header = " (these files have no header line)" if place.endswith(" line 1") and name == "time" else ""
        raise _BadLineError(f"{place}: {name} {_short(field)!r} is not a number{header}") from None


def _layout(kind: Kind) -> str:
    if kind == "excluded":
        return "2 columns (video,time)"
    last = "person id" if kind == "groundtruth" else "score"
    return f"7 or 8 columns ({','.join(FIELDS)}[,{last}]) or 2 (video,time of a keyframe without people)"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _without_cut_line(rows: Rows, data: bytes, kind: Kind, faults: Faults) -> Rows:
    """A last line without its end and narrower than all others was cut off."""
    if kind == "excluded" or len(rows.lines) < 2 or data.endswith((b"\n", b"\r")):
        return rows
    last, least = int(rows.columns[-1]), int(rows.columns[:-1].min())
    if last >= least:
        return rows
    faults.add(f"{at(rows.path, int(rows.lines[-1]))}: the last line is cut off ({last} of {least} columns)")
    return rows.take(np.arange(len(rows.lines) - 1))
