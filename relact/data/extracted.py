"""Videos as folders of extracted frames, for those who have them: the answers of `decode`, from pictures.

A folder a video, its pictures numbered in order: `video_000001.jpg` (PySlowFast), `image_000001.jpg` (ACAR-Net),
`img_00001.jpg` (MMAction2), `00001.png` (ACT). Frame 0 is the lowest number; what is asked for in seconds is found at
the rate at which the frames were extracted (AVA: 30).
"""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import torch

from relact.data.decode import probe
from relact.data.sampling import Floats, Ints, Size
from relact.data.source import Converter, VideoInfo
from relact.errors import InputError, at
from relact.interop.frame_list import read_frame_list

SUFFIXES = (".jpg", ".jpeg", ".png")
_NUMBER = re.compile(r"(\d+)$")


@dataclass(frozen=True, slots=True, eq=False)
class FrameFolder:
    """The pictures of one video in order, and their size as stored."""

    files: tuple[Path, ...]
    width: int
    height: int

    def resized(self, short_side: int | None) -> Size:
        """Width and height with the short side at `short_side`, the long one rounded down; None: as they are."""
        if short_side is None:
            return self.width, self.height
        other = max(self.width, self.height) * short_side // min(self.width, self.height)
        return (short_side, other) if self.width <= self.height else (other, short_side)


def frame_folder(path: str | Path) -> FrameFolder:
    """The frames of a folder; kept while the folder stays the same.

    Raises InputError for a folder without numbered pictures, and where a number is missing: all frames behind it would
    be taken for earlier ones.
    """
    try:
        changed = Path(path).stat().st_mtime_ns
    except OSError as error:
        raise InputError(f"{at(path)}: cannot be read ({error.strerror}); expected a folder of frames") from error
    return _folder(str(path), changed)


@lru_cache(maxsize=1024)
def _folder(path: str, changed: int) -> FrameFolder:
    numbered: dict[int, Path] = {}
    for file in Path(path).iterdir():
        found = _NUMBER.search(file.stem)
        if file.suffix.lower() in SUFFIXES and found:
            numbered[int(found[1])] = file
    if not numbered:
        raise InputError(f"{at(path)}: no numbered pictures ({', '.join(SUFFIXES)}); expected img_00001.jpg …")
    numbers = sorted(numbered)
    if numbers[-1] - numbers[0] >= len(numbers):
        gap = next(n for n, following in itertools.pairwise(numbers) if following != n + 1)
        raise InputError(f"{at(path)}: frame {gap + 1} is missing, though {numbers[-1]} is there; extract it again")
    first = _decoded(numbered[numbers[0]])
    return FrameFolder(tuple(numbered[n] for n in numbers), first.width, first.height)


def read_frames(
    path: str | Path,
    *,
    times: Floats | None = None,
    frames: Ints | None = None,
    rate: float | None = None,
    short_side: int | None = None,
) -> torch.Tensor:
    """As `read_clip`, from a folder: frames nearest to `times` at `rate` a second, or numbered: uint8 `[3, T, H, W]`.

    What lies outside the video is clamped to it. Raises InputError as `frame_folder`, and for a broken picture.
    """
    assert (times is None) != (frames is None), "give either times or frames"
    folder = frame_folder(path)
    if times is not None:
        assert rate is not None, "seconds need the rate at which the frames were extracted"
        # as `sampling.nearest` at regular times: of two that are equally near the earlier
        frames = np.ceil(np.asarray(times) * rate - 0.5 - 1e-6).astype(np.int64)
    wanted = np.asarray(frames).clip(0, len(folder.files) - 1)
    size, convert = folder.resized(short_side), Converter(1)
    pictures = {int(number): convert(_decoded(folder.files[number]), size) for number in np.unique(wanted)}
    return torch.from_numpy(np.stack([pictures[int(number)] for number in wanted])).permute(3, 0, 1, 2)


def listed_folders(frame_list: Path, folder: Path, movies: Iterable[str]) -> dict[str, Path]:
    """Movie → its folder of frames below `folder`, as PySlowFast's frame list says, of those that the list has.

    Raises InputError where a folder does not hold the very frames of the list: a picture before the first of them
    would move all others by one; and as `read_frame_list`.
    """
    listed, known = read_frame_list(frame_list), {}
    for movie in movies:
        if movie not in listed:
            continue
        frames = listed[movie]
        known[movie] = folder / frames.folder
        for name, step in ((frames.first, -1), (frames.last, 1)):
            beyond = known[movie] / _shifted(name, step)
            if not (known[movie] / name).is_file() or beyond.is_file():
                what = f"{beyond} is there too" if beyond.is_file() else f"{known[movie] / name} is not there"
                raise InputError(
                    f"{frame_list}: lists {frames.count} frames of {movie}, {frames.first} to {frames.last}, but "
                    f"{what}; a list and frames of different extractions?"
                )
    return known


def _shifted(name: str, step: int) -> str:
    """The name of the picture before or after."""
    path = Path(name)
    digits = _NUMBER.search(path.stem)
    assert digits is not None, "read_frame_list lets numbered names through alone"
    number = int(digits[1]) + step
    return f"{path.stem[: digits.start()]}{number:0{len(digits[1])}d}{path.suffix}"


def looked_at(path: Path) -> VideoInfo | FrameFolder:
    """Size of a video file, or of its extracted frames."""
    return frame_folder(path) if path.is_dir() else probe(path)


def _decoded(file: Path) -> av.VideoFrame:
    try:
        with av.open(str(file)) as container:
            return next(container.decode(video=0))
    except (av.FFmpegError, OSError, StopIteration) as error:
        raise InputError(f"{at(file)}: not a picture, or a damaged one; extract it again") from error
