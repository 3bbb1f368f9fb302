"""The videos of a job: found in folders, lists and buckets, each with a name of its own, and fetched where need be."""

import itertools
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from relact.data.places import VIDEO_SUFFIXES
from relact.data.source import is_live
from relact.errors import InputError, at

BUCKETS = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs", "file")
"""Schemes of addresses that pyarrow's file systems list and read."""
RESERVED = ("detections", "videos.jsonl", "index.html")
"""What lies beside the folders of the videos."""
RESULT_SUFFIX = ".relact"
"""of the folder that detect writes beside a video"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """A video to do. `bytes` and `modified` (nanoseconds of the epoch) are None where the place does not tell."""

    source: str
    """an absolute path, or an address"""
    name: str
    """of its folder and its rows in the tables; no other video of the job has it"""
    bytes: int | None = None
    modified: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    source: str
    parts: tuple[str, ...]
    """of the path, the last one without its suffix"""
    least: int
    """so many of the last parts make the shortest name"""
    bytes: int | None
    modified: int | None


def names_many(argument: str) -> bool:
    """Whether an argument of `relact detect` stands for any number of videos: a folder, a list, a bucket."""
    scheme = _scheme(argument)
    if scheme == "file":
        return Path(unquote(urlsplit(argument).path)).is_dir()
    return argument.startswith("@") or scheme in BUCKETS or (not scheme and Path(argument).is_dir())


def list_videos(arguments: Sequence[str], out: Path) -> list[Video]:
    """The videos that files, folders, `@lists` and addresses name, the largest first; each once.

    In a folder those with a video's suffix, at any depth; not what detect wrote (`out`, `*.relact`), nor hidden ones.
    A line of a list is a path from the current folder, or an address; empty lines and those that begin with # count
    for nothing. A video that is not there is the job's to report. Raises InputError where nothing is found, for a live
    source, and for an address without pyarrow or of a place that cannot be read.
    """
    found: dict[str, _Found] = {}
    for argument, where in _spread(arguments):
        for one in _found(argument, out, where):
            found.setdefault(_identity(one.source), one)
    if not found:
        raise InputError(f"{', '.join(arguments)}: no videos; expected files ending in {', '.join(VIDEO_SUFFIXES)}")
    entries = list(found.values())
    videos = [
        Video(source=one.source, name=name, bytes=one.bytes, modified=one.modified)
        for one, name in zip(entries, _names(entries), strict=True)
    ]
    # A long video that comes last would be waited for alone; of equals the order is the same at every start.
    return sorted(videos, key=lambda video: (-(video.bytes or 0), video.name))


@contextmanager
def local_file(video: Video) -> Iterator[str]:
    """What the decoder can open: the path or web address itself, or a copy of a bucket's file, removed afterwards.

    Raises InputError where it cannot be fetched.
    """
    if _scheme(video.source) not in BUCKETS:
        yield video.source
        return
    with tempfile.TemporaryDirectory(prefix="relact-") as folder:
        copy = Path(folder) / PurePosixPath(unquote(urlsplit(video.source).path)).name
        system, path = _file_system(video.source)
        try:
            with system.open_input_stream(path) as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 23)
        except OSError as error:
            raise InputError(f"{at(video.source)}: cannot be fetched ({error})") from error
        if video.modified is not None:  # the journal of a killed worker is of this very file
            os.utime(copy, ns=(video.modified, video.modified))
        yield str(copy)


def _spread(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Arguments with the lines of lists in their place; and where each stands, for messages."""
    for argument in arguments:
        if not argument.startswith("@"):
            yield argument, ""
            continue
        path = argument[1:]
        try:
            text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a text in UTF-8"
            raise InputError(f"{argument}: cannot be read ({reason}); expected a text file, a video a line") from error
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                yield line.strip(), f"{at(path, number)}: "


def _found(argument: str, out: Path, where: str) -> Iterator[_Found]:
    if argument.startswith("@"):
        raise InputError(f"{where}{argument}: a list in a list; expected paths and addresses")
    if _scheme(argument) in BUCKETS:
        yield from _in_bucket(argument, where)
    elif is_live(argument):
        raise InputError(
            f"{where}{argument}: a live source, which never ends; expected files, or one of {', '.join(BUCKETS)}://"
        )
    elif _scheme(argument):
        address = urlsplit(argument)
        parts = _parts(PurePosixPath(unquote(address.path))) or (address.hostname or "stream",)
        yield _Found(source=argument, parts=parts, least=1, bytes=None, modified=None)
    elif Path(argument).is_dir():
        yield from _in_folder(Path(argument).absolute(), out.absolute())
    else:
        path = Path(argument).absolute()
        yield _of_file(path.parent.resolve() / path.name if ".." in path.parts else path, 1)


def _identity(source: str) -> str:
    """The same for all spellings of a file; a link to a video under another name is a video of its own."""
    if _scheme(source):
        return source
    path = Path(source)
    return str(path.parent.resolve() / path.name)


def _in_folder(folder: Path, out: Path) -> Iterator[_Found]:
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place)
        folders[:] = sorted(
            name for name in folders
            if not name.startswith(".") and not name.endswith(RESULT_SUFFIX) and here / name != out
        )  # fmt: skip
        for name in sorted(files):
            if Path(name).suffix.lower() in VIDEO_SUFFIXES and not name.startswith("."):
                yield _of_file(here / name, len((here / name).relative_to(folder).parts))


def _of_file(path: Path, least: int) -> _Found:
    try:
        facts = path.stat()
    except OSError:
        return _Found(source=str(path), parts=_parts(path), least=least, bytes=None, modified=None)
    return _Found(
        source=str(path), parts=_parts(path), least=least, bytes=facts.st_size, modified=facts.st_mtime_ns
    )  # fmt: skip


def _in_bucket(address: str, where: str) -> Iterator[_Found]:
    system, path = _file_system(address)
    from pyarrow import fs

    try:
        top = system.get_file_info(path)
        many = top.type == fs.FileType.Directory
        files = system.get_file_info(fs.FileSelector(path, recursive=True)) if many else [top]
    except OSError as error:
        raise InputError(f"{where}{address}: cannot be listed ({error})") from error
    base = len(PurePosixPath(path).parts)
    first, mark, options = address.partition("?")  # s3://bucket/folder?endpoint_override=…
    for file in sorted(files, key=lambda file: file.path):
        inside = PurePosixPath(file.path).parts[base:]
        if many and (
            file.type != fs.FileType.File
            or PurePosixPath(file.path).suffix.lower() not in VIDEO_SUFFIXES
            or any(part.startswith(".") or part.endswith(RESULT_SUFFIX) for part in inside)
        ):
            continue
        there = file.type == fs.FileType.File
        yield _Found(
            source=f"{first.rstrip('/')}/{quote('/'.join(inside))}{mark}{options}" if many else address,
            parts=_parts(PurePosixPath(file.path)),
            least=max(len(inside), 1),
            bytes=file.size if there else None,
            modified=file.mtime_ns if there else None,
        )


def _file_system(address: str) -> tuple[Any, str]:
    try:
        from pyarrow import fs
    except ImportError as error:
        raise InputError(f'{address}: addresses of buckets need pyarrow: pip install "relact[parquet]"') from error
    try:
        return fs.FileSystem.from_uri(address)
    except (ValueError, OSError, NotImplementedError) as error:
        raise InputError(f"{address}: cannot be reached ({error})") from error


def _names(entries: Sequence[_Found]) -> list[str]:
    """The shortest name of each that no other has: its own, `own_mkv` beside `own.mp4`, or `folder__own`."""
    twins = Counter(one.parts for one in entries)
    parts = [
        one.parts if twins[one.parts] == 1 else (*one.parts[:-1], f"{one.parts[-1]}_{_suffix(one.source)}")
        for one in entries
    ]
    lengths = [one.least for one in entries]
    while True:
        names = ["__".join(p[-length:]) for p, length in zip(parts, lengths, strict=True)]
        count = Counter([*names, *RESERVED])
        longer = [
            length + 1 if count[name] > 1 and length < len(p) else length
            for p, name, length in zip(parts, names, lengths, strict=True)
        ]
        if longer == lengths:
            break
        lengths = longer
    chosen = dict[str, None](dict.fromkeys(RESERVED))
    for name in names:
        others = (f"{name}_{number}" for number in itertools.count(2))  # addresses may differ in their query alone
        chosen[next(other for other in itertools.chain([name], others) if other not in chosen)] = None
    return list(chosen)[len(RESERVED) :]


def _suffix(source: str) -> str:
    path = urlsplit(source).path if _scheme(source) else source
    return PurePosixPath(path).suffix.lstrip(".")


def _parts(path: PurePosixPath | Path) -> tuple[str, ...]:
    """Without the root, and without the suffix of the file."""
    return tuple(part for part in path.with_suffix("").parts if part != path.anchor)


def _scheme(argument: str) -> str:
    scheme, colon, _ = argument.partition("://")
    return scheme.lower() if colon and scheme.isalnum() else ""
