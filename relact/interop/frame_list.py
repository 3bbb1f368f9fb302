"""PySlowFast's frame lists (`frame_lists/train.csv`): where the extracted frames of each AVA movie are.

A header, then a line a frame: `original_vido_id video_id frame_id path labels`, with single spaces between; `path` is
below the folder of frames, and the order of a movie's lines is the order of its frames.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from relact.errors import InputError, at

HEADER = "original_vido_id video_id frame_id path labels"
"""The first name is spelt so in the published lists; here it may be spelt well."""
_CHUNK_LINES = 1 << 17
"""A list of AVA has six million lines: so many are held at a time."""
_NUMBERED = re.compile(r"(\d+)\.\w+$")


@dataclass(frozen=True, slots=True)
class ListedFrames:
    """The frames of one movie: `first` and `last` are file names in `folder`, relative to the folder of all frames."""

    folder: str
    first: str
    last: str
    count: int


def read_frame_list(path: str | Path) -> dict[str, ListedFrames]:
    """The movies of a list, in its order.

    Raises InputError naming file and line: for another header, a line of other fields, frames of a movie that are not
    numbered 0, 1, 2 … one line after the other, and for a movie whose frames are in several folders or whose files are
    not numbered as its lines are.
    """
    movies: dict[str, ListedFrames] = {}
    open_movie: _Movie | None = None
    for first_line, table in _chunks(Path(path)):
        starts = np.flatnonzero(np.concatenate([[True], table["movie"][1:] != table["movie"][:-1]]))
        for begin, end in itertools.pairwise([*starts.tolist(), len(table)]):
            rows, line = table[begin:end], first_line + begin
            name = rows["movie"][0].decode()
            if open_movie is None or open_movie.name != name:
                _close(open_movie, movies, path)
                if name in movies:
                    raise InputError(f"{at(path, line)}: movie {name} was listed before; expected its lines together")
                open_movie = _Movie(name=name, first=rows["path"][0].decode(), line=line)
            open_movie.add(rows, line, path)
    _close(open_movie, movies, path)
    return movies


@dataclass(slots=True)
class _Movie:
    """A movie whose lines are being read."""

    name: str
    first: str
    line: int
    last: str = ""
    count: int = 0

    def add(self, rows: npt.NDArray[np.void], line: int, path: str | Path) -> None:
        wrong = rows["frame"] != np.arange(self.count, self.count + len(rows))
        if wrong.any():
            k = int(wrong.argmax())
            raise InputError(
                f"{at(path, line + k)}: frame {rows['frame'][k]} of {self.name}; expected {self.count + k}, "
                "its frames numbered from 0, a line each, in order"
            )
        self.count += len(rows)
        self.last = rows["path"][-1].decode()


def _close(movie: _Movie | None, movies: dict[str, ListedFrames], path: str | Path) -> None:
    if movie is None:
        return
    first, last = PurePosixPath(movie.first), PurePosixPath(movie.last)
    numbers = _NUMBERED.search(first.name), _NUMBERED.search(last.name)
    where = at(path, movie.line)
    if numbers[0] is None or numbers[1] is None or first.is_absolute() or ".." in first.parts:
        raise InputError(f"{where}: path {movie.first}; expected MOVIE/MOVIE_000001.jpg, below the folder of frames")
    if first.parent != last.parent:
        raise InputError(f"{where}: {movie.name}: from {first.parent} to {last.parent}; expected one folder a movie")
    if int(numbers[1][1]) - int(numbers[0][1]) != movie.count - 1:
        raise InputError(
            f"{where}: {movie.name} has {movie.count} lines, from {first.name} to {last.name}; expected a line for "
            "each number between"
        )
    movies[movie.name] = ListedFrames(str(first.parent), first.name, last.name, movie.count)


def _chunks(path: Path) -> Iterator[tuple[int, npt.NDArray[np.void]]]:
    """The line number of the first, and `movie`, `frame` and `path` of some lines."""
    try:
        with path.open(encoding="utf-8") as file:
            header = file.readline().strip().replace("vido", "video")
            if header != HEADER.replace("vido", "video"):
                raise InputError(f"{at(path, 1)}: expected the header {HEADER!r} of a frame list, got {header[:60]!r}")
            line = 2
            while lines := list(itertools.islice(file, _CHUNK_LINES)):
                yield line, _parsed(lines, line, path)
                line += len(lines)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not a text in UTF-8; expected a frame list") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected a frame list") from error


def _parsed(lines: list[str], first: int, path: Path) -> npt.NDArray[np.void]:
    if lines.count("\n"):  # numpy would leave it out
        _refuse_first_bad(lines, first, path)
    text = f"S{max(len(line.encode()) for line in lines)}"
    kinds = [("movie", text), ("video", "i8"), ("frame", "i8"), ("path", text), ("labels", "S1")]
    try:
        table = np.loadtxt(lines, np.dtype(kinds), comments=None, delimiter=" ", ndmin=1, encoding="utf-8")
    except ValueError:
        _refuse_first_bad(lines, first, path)
    return table


def _refuse_first_bad(lines: list[str], first: int, path: Path) -> NoReturn:
    """Raises InputError for the line that numpy could not read."""
    for number, line in enumerate(lines, first):
        fields = line.rstrip("\n").split(" ")
        if len(fields) != 5:
            raise InputError(f"{at(path, number)}: {len(fields)} fields between spaces; expected the 5 of {HEADER!r}")
        for name, value in (("video_id", fields[1]), ("frame_id", fields[2])):
            if not re.fullmatch(r"\d{1,18}", value):
                raise InputError(f"{at(path, number)}: {name} {value!r}; expected a whole number")
    raise InputError(f"{path}: cannot be read as a frame list, {HEADER!r}")
