"""An upload read as it comes: onto the disk, hashed on the way, and refused at the limit without reading on."""

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from relact.serve.gate import Refused

FILE = "file"
"""the form's field that holds the video"""

_SLOW_S = 30.0
"""A client that sends nothing for so long has gone."""
_FLUSH = 1 << 20
_FIELD_BYTES = 1000
_MAX_PARTS = 16
_BROWSERS_WRITE = {"%22": '"', "%0D": "\r", "%0A": "\n"}
"""in the names of a form's files, and nothing else in this way"""
_SPARE = 1 << 29
"""bytes of the disk that uploads leave free"""


@dataclass(slots=True)
class Upload:
    """What came."""

    path: Path
    name: str = ""
    bytes: int = 0
    sha256: str = ""
    fields: dict[str, str] = field(default_factory=dict)


def clean_name(name: str) -> str:
    """A file's name as it is shown: printable text of a sane length. It never names a file here."""
    for code, letter in _BROWSERS_WRITE.items():
        name = name.replace(code, letter)
    shown = "".join(letter for letter in name if letter.isprintable()).strip()
    return shown[:200] or "video"


async def receive(
    chunks: AsyncIterator[bytes], content_type: str, length: int | None, path: Path, *, most: int
) -> Upload:
    """Reads a form (multipart/form-data) whose field `file` is the video, and writes that to `path`.

    `length` is what the client announces, `most` the bytes of the largest video. Raises Refused for anything that is
    not such a form, for too much of it, and for a client that stops; `path` may then hold a part.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise Refused(415, f"expected a form (multipart/form-data) with the video as its field {FILE!r}")
    if length is not None and length > most + (1 << 16):
        raise Refused(413, _too_large(most))
    if shutil.disk_usage(path.parent).free < (length or 0) + _SPARE:
        raise Refused(507, "the server has no room for this video now", after=600)
    with path.open("wb") as file:
        form = _Form(boundary, file, Upload(path), most)
        async for chunk in _timely(chunks):
            form.write(chunk)
            if form.waiting >= _FLUSH:
                await asyncio.to_thread(form.flush)
        form.end()
        await asyncio.to_thread(form.flush, sync=True)
    return form.upload


async def _timely(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(_SLOW_S):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise Refused(408, f"nothing came for {_SLOW_S:g} s; the upload was given up") from error
        yield chunk


class _Form:
    """The parts of a form, as they come."""

    def __init__(self, boundary: bytes, file: BinaryIO, upload: Upload, most: int) -> None:
        self.upload = upload
        self._file, self._most, self._hash = file, most, hashlib.sha256()
        self._header = [b"", b""]
        self._headers: dict[bytes, bytes] = {}
        self._field: str | None = None
        self._value, self._pending = bytearray(), bytearray()
        self._parts, self._files, self._ended = 0, 0, False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._on_name,
                    "on_header_value": self._on_value,
                    "on_header_end": self._on_header,
                    "on_headers_finished": self._on_headers,
                    "on_part_data": self._on_data,
                    "on_part_end": self._on_part,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise Refused(400, f"this form cannot be read: {error}") from error

    @property
    def waiting(self) -> int:
        """Bytes that are not on the disk yet."""
        return len(self._pending)

    def write(self, chunk: bytes) -> None:
        """A part of the request."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise Refused(400, f"this form cannot be read: {error}") from error

    def flush(self, sync: bool = False) -> None:
        """What has gathered goes to the disk; with `sync`, it stays there when the power fails."""
        pending, self._pending = self._pending, bytearray()
        self._hash.update(pending)
        try:
            self._file.write(pending)
            if sync:
                self._file.flush()
                os.fsync(self._file.fileno())
        except OSError as error:
            raise Refused(507, "the server has no room for this video now", after=600) from error
        self.upload.sha256 = self._hash.hexdigest()

    def end(self) -> None:
        """The request is over. Raises Refused where the form is not."""
        if not self._ended:
            raise Refused(400, "the upload was cut off; send it again")
        if not self._files:
            raise Refused(400, f"the form has no file; expected the video as its field {FILE!r}")
        if not self.upload.bytes:
            raise Refused(415, "the file is empty (0 bytes)")

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise Refused(400, f"the form has more than {_MAX_PARTS} parts")
        self._headers, self._header, self._value = {}, [b"", b""], bytearray()

    def _on_name(self, chunk: bytes, start: int, end: int) -> None:
        self._header[0] += chunk[start:end]

    def _on_value(self, chunk: bytes, start: int, end: int) -> None:
        self._header[1] += chunk[start:end]

    def _on_header(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = [b"", b""]

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        if self._field == FILE:
            self._files += 1
            if self._files > 1:
                raise Refused(400, "the form has more than one file; send one video a request")
            self.upload.name = clean_name(options.get(b"filename", b"").decode("utf-8", "replace"))

    def _on_data(self, chunk: bytes, start: int, end: int) -> None:
        if self._field == FILE:
            self.upload.bytes += end - start
            if self.upload.bytes > self._most:
                raise Refused(413, _too_large(self._most))
            self._pending += chunk[start:end]
            return
        self._value += chunk[start:end]
        if len(self._value) > _FIELD_BYTES:
            name = clean_name(self._field or "")
            raise Refused(400, f"the form's field {name!r} is too long; expected the video as its field {FILE!r}")

    def _on_part(self) -> None:
        if self._field is not None and self._field != FILE:
            self.upload.fields[self._field] = self._value.decode("utf-8", "replace")

    def _on_end(self) -> None:
        self._ended = True


def _too_large(most: int) -> str:
    return f"the video is larger than the {most / 1e6:g} MB that this server takes"
