"""Downloads published weights into a folder of the user's, checks them, and offline says what to put where."""

import hashlib
import http.client
import os
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path

from relact.errors import InputError, at
from relact.interop.catalog import Published, sha256_prefix
from relact.interop.files import atomic_path, sha256_of

Progress = Callable[[int, int | None], None]
"""Called with the bytes that have come and, where the server says it, the bytes to come in all."""

TIMEOUT_SECONDS = 10.0
_CHUNK = 1 << 20


def weights_folder() -> Path:
    """Where fetched weights lie: $RELACT_HOME/weights, else ~/.cache/relact/weights."""
    home = os.environ.get("RELACT_HOME")
    return Path(home).expanduser() / "weights" if home else Path.home() / ".cache" / "relact" / "weights"


def weights_path(entry: Published, progress: Progress | None = None) -> Path:
    """The checked file of a catalogue entry, fetched if it is not in `weights_folder()` yet.

    InputError, one line, where it cannot be fetched: it says which file to put into which folder.
    """
    path = weights_folder() / entry.file
    if path.is_file():
        return verify(path)
    if entry.by_hand:
        raise InputError(
            f"{entry.name}: Google Drive gives it to browsers only; open {entry.url}, save the file as "
            f"{path.name} in {path.parent}, and run this again (or relact weights convert on where it is)"
        )
    return fetch_url(entry.url, entry.file, progress)


def fetch_url(url: str, file: str, progress: Progress | None = None, folder: Path | None = None) -> Path:
    """What is behind a URL as `file` of a folder (`weights_folder()`): found there or fetched, checked either way."""
    path = (folder or weights_folder()) / file
    if path.is_file():
        return verify(path)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response, atomic_path(path) as temporary:
            announced = response.headers.get("Content-Length")
            length = None if announced is None else int(announced)
            digest, received = _copy(response, temporary, length, progress)
            _check_arrival(url, digest, received, length)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"cannot fetch {url} ({reason}); fetch it on a machine that can, and put {path.name} into {path.parent}"
        ) from error
    _record(path, digest)
    return path


def verify(path: Path) -> Path:
    """The path, if the file's sha256 is the one recorded when it came (or, for a first look, that of its name)."""
    digest, record = sha256_of(path), _record_path(path)
    recorded = record.read_text().split()[0] if record.is_file() else sha256_prefix(path.name)
    if recorded is not None and not digest.startswith(recorded):
        raise InputError(
            f"{at(path)}: damaged or another file: its sha256 begins with {digest[:8]}, expected {recorded[:8]}; "
            f"delete it and fetch it again"
        )
    if recorded is None:
        _record(path, digest)
    return path


def _copy(
    response: http.client.HTTPResponse, target: Path, length: int | None, progress: Progress | None
) -> tuple[str, int]:
    """The sha256 and the bytes of what came."""
    digest, received = hashlib.sha256(), 0
    with target.open("wb") as file:
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            received += len(chunk)
            if progress is not None:
                progress(received, length)
    return digest.hexdigest(), received


def _check_arrival(url: str, digest: str, received: int, length: int | None) -> None:
    if length is not None and received != length:
        raise InputError(f"{url}: {received} of {length} bytes came; fetch it again")
    prefix = sha256_prefix(url)
    if prefix is not None and not digest.startswith(prefix):
        raise InputError(f"{url}: its sha256 begins with {digest[:8]}, expected {prefix}; it is not what was published")


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _record(path: Path, digest: str) -> None:
    assert re.fullmatch("[0-9a-f]{64}", digest)
    with atomic_path(_record_path(path)) as temporary:
        temporary.write_text(f"{digest}  {path.name}\n")
