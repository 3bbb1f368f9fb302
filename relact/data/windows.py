"""One pass over a video's frames, shared by all who want some of them: keyframe windows and sampled pictures.

Each frame is converted at most once a size, only if a window or a sample takes it, and is let go with the
last window that holds it. What is chosen equals `nearest(all_times, wanted)`, but is known as soon as the
first frame at or after the wanted time has come, so a live source works as a file does.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import count
from typing import Protocol

import numpy as np
import numpy.typing as npt

from relact.data.sampling import prefers_earlier, window_offsets, window_times

Picture = npt.NDArray[np.uint8]
Size = tuple[int, int]


class DecodedFrame(Protocol):
    """What `relact.data.decode.Frame` offers."""

    index: int
    time_s: float
    pts: int | None

    def rgb(self, size: Size | None = None) -> Picture:
        """`[H, W, 3]` at (width, height)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSpec:
    """The frames that a backbone sees about a keyframe: `num_frames`, `frame_stride` apart at `fps`."""

    num_frames: int = 32
    frame_stride: int = 2
    fps: float | None = 30.0
    """None: the stride counts the video's own frames"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampledFrame:
    """The frame nearest to one of the regular times, for the detector."""

    time_s: float
    """the time that was wanted"""
    index: int
    frame_s: float
    """the frame's own time"""
    pts: int | None
    picture: Picture


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeyframeWindow:
    """All frames of one keyframe's window; `index`, `frame_s` and `pts` are the keyframe's own frame."""

    tick: int
    time_s: float
    """tick x the period"""
    index: int
    frame_s: float
    pts: int | None
    frames: Picture
    """uint8 [T, H, W, 3]"""


class _Window:
    """A window that waits for frames: `wanted`, ascending, are seconds or frame indices."""

    __slots__ = ("keyframe", "pictures", "tick", "time_s", "wanted")

    def __init__(self, tick: int, time_s: float, wanted: list[float]) -> None:
        self.tick = tick
        self.time_s = time_s
        self.wanted = wanted
        self.pictures: list[Picture] = []
        self.keyframe: DecodedFrame | None = None
