"""The rows of one video on disk: appended tick by tick, and when the video is done a plain safetensors file.

While it is written there are `NAME.part`, room for a header and then the features, and `NAME.journal`, a record a tick
with everything else and checksums. Features never move: sealing puts the other arrays behind them, the header in front,
and renames. Whatever a crash cuts off is found by its checksum and cut away when the file is opened again.
"""

import hashlib
import json
import os
import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from relact.bank.rows import Halves, Rows
from relact.errors import InputError

ROOM = 4096
"""bytes before the features: a safetensors header filled up with spaces, so that rows begin on a page"""
RECORD = struct.Struct("<qII")
"""tick, rows, crc32 of their features; then the other arrays, then the crc32 of all that"""
CHECK = struct.Struct("<I")
ROW_BYTES = 8 + 4 + 4 + 16
LONGEST_NAME = 2048
"""bytes of a video's name: it stands in the header"""


def stem(video: str) -> str:
    """A file name for any name of a video, without a suffix; long ones are cut and told apart by a hash.

    No two names give the same: what `quote` makes has two digits behind each "%", what is made here has not.
    """
    name = quote(video, safe=" ()+,=@[]~", errors="surrogatepass")
    if len(name) > 200:
        return f"{name[:180]}%-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return f"%2E{name[1:]}" if name.startswith(".") else name or "%"


class VideoWriter:
    """Appends the rows of a video; opened again after a crash it goes on behind the last whole tick."""

    def __init__(self, folder: Path, video: str, dim: int) -> None:
        """Raises InputError for a name that its header has no room for."""
        if len(video.encode(errors="surrogatepass")) > LONGEST_NAME:
            raise InputError(
                f"{folder}: a video's name of {len(video)} characters, {video[:60]} …: give it a shorter one"
            )
        self.video = video
        self._dim = dim
        self._part, self._journal, self._sealed = (
            folder / f"{stem(video)}.{kind}" for kind in ("part", "journal", "safetensors")
        )
        self._index: list[Rows] = []
        self._count = self._check = 0
        self.last: int | None = None
        """the last tick that is written"""
        there = self._part.is_file()
        self._notes = self._journal.open("r+b" if there and self._journal.is_file() else "w+b", buffering=0)
        self._data = self._part.open("r+b" if there else "w+b", buffering=0)
        self._recover()

    def write(self, tick: int, rows: Rows) -> None:
        """The people of a tick, maybe none. Raises InputError for a tick that is there already or comes too late."""
        if self.last is not None and tick <= self.last:
            raise InputError(
                f"{self._part}: tick {tick} of {self.video} after tick {self.last}: each is written once, in order"
            )
        if rows.features.shape[1] != self._dim:
            raise InputError(f"{self._part}: rows of {rows.features.shape[1]} channels, this bank's have {self._dim}")
        if (rows.tick != tick).any():
            raise InputError(
                f"{self._part}: rows of tick {np.unique(rows.tick).tolist()} at tick {tick} of {self.video}"
            )
        features = np.ascontiguousarray(rows.features).reshape(-1).view(np.uint8).data
        record = RECORD.pack(tick, len(rows), zlib.crc32(features)) + _index_bytes(rows)
        _write_all(self._data, features)
        _write_all(self._notes, record + CHECK.pack(zlib.crc32(record)))
        self._note(tick, rows, features)

    def close(self) -> None:
        """Without sealing."""
        self._data.close()
        self._notes.close()

    def seal(self, notes: dict[str, str]) -> Path:
        """Makes it a safetensors file with these notes in its header, and returns its path."""
        arrays = _arrays(self._index)
        index = b"".join(array.tobytes() for array in arrays.values())
        notes = {**notes, "video": self.video, "crc32": f"{self._check:08x}", "index": f"{zlib.crc32(index):08x}"}
        header = _header(self._count, self._dim, arrays, notes)
        _write_all(self._data, index)
        self._data.truncate()
        self._data.seek(0)
        _write_all(self._data, header)
        os.fsync(self._data.fileno())
        self.close()
        os.replace(self._part, self._sealed)
        _sync_folder(self._sealed.parent)  # the journal goes only when the new name is there for good
        self._journal.unlink()
        return self._sealed

    def _recover(self) -> None:
        """Reads the whole records of a journal, as far as their features are there, and cuts off the rest."""
        self._data.seek(0, os.SEEK_END)
        if self._data.tell() < ROOM:
            self._data.truncate(ROOM)
        self._data.seek(ROOM)
        journal, at = self._notes.read(), 0
        while (found := _record(journal, at)) is not None:
            tick, count, check, end = found
            features = self._data.read(count * self._dim * 2)
            if len(features) < count * self._dim * 2 or zlib.crc32(features) != check:
                break
            values = np.frombuffer(features, np.float16).reshape(count, self._dim)
            self._note(tick, _rows(tick, values, journal[at + RECORD.size : end - CHECK.size]), features)
            at = end
        self._notes.seek(at)
        self._notes.truncate()
        self._data.seek(ROOM + self._count * self._dim * 2)
        self._data.truncate()

    def _note(self, tick: int, rows: Rows, features: "bytes | memoryview") -> None:
        self.last = tick
        self._count += len(rows)
        self._check = zlib.crc32(features, self._check)
        if len(rows):
            self._index.append(rows.without_features())


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFile:
    """A sealed file: its rows, features memory-mapped, and the notes of its writer."""

    path: Path
    rows: Rows
    notes: dict[str, str]

    @classmethod
    def open(cls, path: Path, *, verify: bool, header_crc: str | None = None) -> "VideoFile":
        """Checks header, size and index, with `verify` also every byte of the features. InputError otherwise."""
        header = Header.read(path)
        if header_crc is not None and header.crc32 != header_crc:
            raise InputError(f"{path}: damaged, or not the file that the manifest describes; build it again")
        if header.size != header.ends:
            raise InputError(f"{path}: {header.size} bytes, its header speaks of {header.ends}: cut short, or grown")
        count, dim = header.shape
        begins = ROOM + count * dim * 2
        with path.open("rb") as file:
            file.seek(begins)
            index = file.read()
        if len(index) != count * (8 + ROW_BYTES) or f"{zlib.crc32(index):08x}" != header.notes.get("index"):
            raise InputError(f"{path}: the checksum of its index does not fit: a damaged file; build it again")
        features: Halves = np.zeros((0, dim), np.float16)
        if count:  # as a plain array, whose slices are made in half the time
            features = np.asarray(np.memmap(path, np.float16, "r", ROOM, (count, dim)))
        if verify and f"{zlib.crc32(features.data):08x}" != header.notes.get("crc32"):
            raise InputError(f"{path}: the checksum of its rows does not fit: a damaged file; build it again")
        ticks, rest = np.frombuffer(index[: 8 * count], np.int64), index[8 * count :]
        return cls(path=path, rows=_rows(ticks, features, rest), notes=header.notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first `ROOM` bytes of a sealed file, and its size."""

    shape: tuple[int, int]
    """(rows, channels)"""
    ends: int
    """bytes that the file must have"""
    notes: dict[str, str]
    crc32: str
    """of these bytes"""
    size: int
    """bytes that the file has"""

    @classmethod
    def read(cls, path: Path) -> "Header":
        """InputError where it cannot be read, or is not that of a bank's file."""
        try:
            with path.open("rb") as file:
                room = file.read(ROOM)
                size = file.seek(0, os.SEEK_END)
            if int.from_bytes(room[:8], "little") != ROOM - 8:
                raise ValueError("another length than a bank's")
            entries = json.loads(room[8:])
            notes = entries.pop("__metadata__")
            count, dim = entries["features"]["shape"]
            ends = ROOM + max(int(entry["data_offsets"][1]) for entry in entries.values())
            if entries["features"]["dtype"] != "F16" or "video" not in notes or min(int(count), int(dim)) < 0:
                raise ValueError(f"features {entries['features']}")
        except FileNotFoundError:
            raise InputError(f"{path}: this file of the bank is not there; build it again") from None
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}: not a file of a feature bank: its header cannot be read ({error})") from None
        return cls(shape=(count, dim), ends=ends, notes=notes, crc32=f"{zlib.crc32(room):08x}", size=size)


def _record(journal: bytes, at: int) -> tuple[int, int, int, int] | None:
    """(tick, rows, crc of the features, where it ends) of a whole record."""
    if at + RECORD.size > len(journal):
        return None
    tick, count, check = RECORD.unpack_from(journal, at)
    end = at + RECORD.size + count * ROW_BYTES + CHECK.size
    if end > len(journal):
        return None
    (expected,) = CHECK.unpack_from(journal, end - CHECK.size)
    return (tick, count, check, end) if zlib.crc32(journal[at : end - CHECK.size]) == expected else None


def _arrays(parts: list[Rows]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays behind the features, in their order in the file."""
    kinds = {"tick": np.int64, "track": np.int64, "tag": np.float32, "score": np.float32, "boxes": np.float32}
    empty = {"boxes": np.zeros((0, 4), np.float32)}
    return {
        name: np.concatenate([empty.get(name, np.zeros(0, kind)), *(getattr(part, name) for part in parts)])
        for name, kind in kinds.items()
    }


def _index_bytes(rows: Rows) -> bytes:
    """Everything but features and tick."""
    return b"".join(np.ascontiguousarray(a).tobytes() for a in (rows.track, rows.tag, rows.score, rows.boxes))


def _rows(tick: "int | np.ndarray[Any, Any]", features: Halves, index: bytes) -> Rows:
    """The inverse of `_index_bytes`."""
    count = len(features)
    cuts = np.cumsum([0, 8 * count, 4 * count, 4 * count, 16 * count]).tolist()
    track, tag, score, boxes = (index[a:b] for a, b in pairwise(cuts))
    return Rows(
        features=features,
        tick=np.full(count, tick, np.int64) if isinstance(tick, int) else tick,
        track=np.frombuffer(track, np.int64),
        tag=np.frombuffer(tag, np.float32),
        score=np.frombuffer(score, np.float32),
        boxes=np.frombuffer(boxes, np.float32).reshape(count, 4),
    )


def _header(count: int, dim: int, arrays: dict[str, np.ndarray[Any, Any]], notes: dict[str, str]) -> bytes:
    """safetensors: the length of the header, the header, spaces up to the first row."""
    kinds = {"int64": "I64", "float32": "F32"}
    end = count * dim * 2
    entries: dict[str, Any] = {
        "__metadata__": notes,
        "features": {"dtype": "F16", "shape": [count, dim], "data_offsets": [0, end]},
    }
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        entries[name] = {"dtype": kinds[str(array.dtype)], "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(entries, ensure_ascii=False).encode(errors="surrogatepass")
    assert len(text) <= ROOM - 8, f"a header of {len(text)} bytes does not fit"
    return struct.pack("<Q", ROOM - 8) + text.ljust(ROOM - 8)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_all(file: Any, data: "bytes | memoryview") -> None:
    """An unbuffered file may take less than it is given."""
    view = memoryview(data)
    while len(view):
        view = view[file.write(view) :]
