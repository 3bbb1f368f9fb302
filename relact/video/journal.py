"""What a pass over a video has paid for, kept while it runs: a run that was killed goes on, to the same bytes.

A journal is a list of records: what the detector found in each picture, what the model made of each batch of keyframes.
The next run does everything cheap again (decoding, tracking, linking) and takes these answers instead of asking again,
in the same order. Records go to the system one by one, so that a killed process loses at most the one that it was
writing; a torn or damaged record, and all behind it, is cut off when the journal is opened.
"""

import json
import os
import shutil
import struct
import sys
import zlib
from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from relact.data.sampling import Picture
from relact.errors import InputError
from relact.video.people import Detector, Found

if sys.platform != "win32":
    import fcntl

Arrays = dict[str, npt.NDArray[Any]]

FOLDER = ".resume"
_FILE = "journal.bin"
_HEADER = struct.Struct("<QIB")
"""bytes of the record, their CRC-32 (the kind's byte included), the kind"""


class Kind(IntEnum):
    """What a record holds."""

    RUN = 0
    """JSON: the video, the weights and all choices that the answers hang on"""
    FOUND = 1
    """the detector's boxes and scores in a picture"""
    ROWS = 2
    """a batch's rows for the bank"""
    JUDGED = 3
    """a batch's scores"""


class Journal:
    """The journal of one video in its output folder, `.resume/`; removed by `finish` when all outputs stand.

    `run` is what the answers hang on; a journal of another run is discarded, and `note` says so. `judged` is the number
    of JUDGED records that an earlier run left. Raises InputError where another process is writing here.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any]) -> None:
        self._folder = folder / FOLDER
        self._path = self._folder / _FILE
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = open(self._path, "a+b", buffering=0)  # noqa: SIM115 - held open and locked
        except OSError as error:
            raise InputError(f"{self._folder}: cannot be written ({error.strerror})") from error
        self._lock()
        self.note = ""
        self._begun = dict(json.loads(json.dumps(run)))
        kinds, self._end = self._scan()
        self._file.truncate(self._end)
        self._file.seek(0)
        self._left = len(kinds)
        self.judged = kinds.count(Kind.JUDGED)
        if not self._continues():
            self._file.truncate(0)
            self._file.seek(0)
            self._left = self.judged = 0
            self._append(Kind.RUN, json.dumps(self._begun).encode())
        self._empty = not self._left

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if error is not None and self._empty:
            shutil.rmtree(self._folder)
            if not any(self._folder.parent.iterdir()):
                self._folder.parent.rmdir()

    def recall(self, kind: Kind) -> Arrays | None:
        """The next record, which must be of this kind; None when all that an earlier run left has been recalled."""
        if not self._left:
            return None
        length, _, found = _HEADER.unpack(self._file.read(_HEADER.size))
        if found != kind:
            raise InputError(
                f"{self._path}: what an interrupted run left does not fit this one ({Kind(found).name} where "
                f"{kind.name} is due); delete {self._folder} to begin anew"
            )
        self._left -= 1
        return load(self._file.read(length))

    def append(self, kind: Kind, arrays: Arrays) -> None:
        """Adds an answer; it is the system's, and survives this process, when the call returns."""
        assert not self._left, "answers are added behind those of the earlier run"
        self._empty = False
        self._append(kind, save({name: np.ascontiguousarray(values) for name, values in arrays.items()}))

    def finish(self) -> None:
        """The outputs are complete: the journal goes."""
        shutil.rmtree(self._folder)

    def _append(self, kind: Kind, payload: bytes) -> None:
        checksum = zlib.crc32(payload, zlib.crc32(bytes([kind])))
        record = memoryview(_HEADER.pack(len(payload), checksum, kind) + payload)
        try:
            while record:
                record = record[self._file.write(record) :]
        except OSError as error:
            raise InputError(f"{self._path}: cannot be written ({error.strerror})") from error

    def _scan(self) -> tuple[list[int], int]:
        """The kinds of all whole records, and where they end."""
        size, end, kinds = os.fstat(self._file.fileno()).st_size, 0, list[int]()
        self._file.seek(0)
        while len(header := self._file.read(_HEADER.size)) == _HEADER.size:
            length, checksum, kind = _HEADER.unpack(header)
            if kind not in set(Kind) or length > size - end - _HEADER.size:
                break
            if zlib.crc32(self._file.read(length), zlib.crc32(bytes([kind]))) != checksum:
                break
            end += _HEADER.size + length
            kinds.append(kind)
        return kinds, end

    def _continues(self) -> bool:
        """Whether the journal begins as this run does; reads its first record."""
        if not self._left:
            return False
        length, _, kind = _HEADER.unpack(self._file.read(_HEADER.size))
        if kind != Kind.RUN:
            return False
        self._left -= 1
        was = json.loads(self._file.read(length))
        others = sorted(key for key in was.keys() | self._begun.keys() if was.get(key) != self._begun.get(key))
        if others:
            self.note = f"an interrupted run with another {', '.join(others)} was here; begun anew"
        return not others

    def _lock(self) -> None:
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise InputError(
                f"{self._folder.parent}: another relact detect is writing here; wait for it, or choose another --out"
            ) from error


class JournaledDetector:
    """A detector that is asked only for what the journal does not know."""

    def __init__(self, detector: Detector, journal: Journal) -> None:
        self._detector = detector
        self._journal = journal

    def __call__(self, pictures: Sequence[Picture]) -> list[Found]:
        """See `Detector`."""
        return [self._found(picture) for picture in pictures]

    def _found(self, picture: Picture) -> Found:
        known = self._journal.recall(Kind.FOUND)
        if known is None:
            [(boxes, scores)] = self._detector([picture])
            known = {"boxes": boxes, "scores": scores}
            self._journal.append(Kind.FOUND, known)
        return known["boxes"], known["scores"]
