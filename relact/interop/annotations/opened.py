"""The annotation files as they come: plain or in a zip, XML streamed, JSON whole; nothing outside is ever fetched."""

import json
import xml.parsers.expat as expat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn, Protocol

from relact.errors import InputError, at

_CHUNK = 1 << 20


class Handler(Protocol):
    """Takes the elements of an XML file as they pass."""

    def start(self, name: str, attributes: dict[str, str], line: int) -> None:
        """An element begins."""

    def end(self, name: str, text: str, line: int) -> None:
        """An element ends; `text` is what stood directly in it before its end."""


@contextmanager
def opened(path: Path, suffix: str) -> Iterator[tuple[IO[bytes], str]]:
    """A binary stream and its name for messages: the file, or the one member of a zip that ends in `suffix`."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected {suffix} or a .zip with it")
    if not zipfile.is_zipfile(path):
        if path.suffix.lower() == ".zip":
            raise InputError(f"{path}: is not a zip file, or was cut off")
        with path.open("rb") as file:
            yield file, str(path)
        return
    with zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if name.lower().endswith(suffix)]
        if len(members) != 1:
            some = ", ".join(members[:3] or archive.namelist()[:3]) or "nothing"
            raise InputError(f"{path}: expected one {suffix} file in the zip, got {len(members)} (it holds {some})")
        try:
            with archive.open(members[0]) as file:
                yield file, f"{path} {members[0]}"
        except (zipfile.BadZipFile, RuntimeError, EOFError) as error:
            raise InputError(f"{path}: {members[0]} cannot be unzipped ({error})") from error


def stream_xml(path: Path, handler: Handler) -> None:
    """Sends the elements of an XML file through `handler`; memory does not grow with the file.

    Raises InputError with file and line for XML that is broken or cut off, and for any document type or entity of the
    file's own: they can make a small file endless, or read other files.
    """
    with opened(path, ".xml") as (file, name):
        parser = expat.ParserCreate()
        parser.buffer_text = True
        texts: list[list[str]] = []

        def start(element: str, attributes: dict[str, str]) -> None:
            texts.append([])
            handler.start(element, attributes, parser.CurrentLineNumber)

        def end(element: str) -> None:
            handler.end(element, "".join(texts.pop()), parser.CurrentLineNumber)

        def refuse(*_: object) -> NoReturn:
            where = at(name, parser.CurrentLineNumber)
            raise InputError(f"{where}: a DOCTYPE or an entity; expected plain XML as annotation tools write it")

        parser.StartElementHandler, parser.EndElementHandler = start, end
        parser.CharacterDataHandler = lambda text: texts[-1].append(text) if texts else None
        parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
        parser.ExternalEntityRefHandler = refuse
        try:
            while chunk := file.read(_CHUNK):
                parser.Parse(chunk)
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            said = expat.errors.messages.get(error.code, str(error))
            raise InputError(f"{at(name, error.lineno)}: broken XML ({said}); is the file cut off?") from error
        except OSError as error:
            raise InputError(f"{name}: cannot be read ({error.strerror})") from error


def load_json(path: Path) -> Any:
    """The content of a JSON file, or of the one in a zip. Raises InputError with file and line for broken JSON."""
    with opened(path, ".json") as (file, name):
        try:
            return json.loads(file.read())
        except json.JSONDecodeError as error:
            cut = "; is the file cut off?" if error.pos >= len(error.doc.rstrip()) - 1 else ""
            raise InputError(f"{at(name, error.lineno)}: broken JSON ({error.msg}){cut}") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{name}: is not a text file ({error.reason}); expected JSON") from error
        except RecursionError as error:
            raise InputError(f"{name}: JSON nested too deep; expected what an annotation tool writes") from error
