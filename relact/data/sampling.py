"""Which frames a keyframe wants: functions of times and indices, and the clock that gives frames their times.

Conventions (PySlowFast's, and so the published weights'): a window is `range(c - L/2, c + L/2, stride)` about
its keyframe c with L = frames x stride, so the keyframe is sample `T // 2`; at both ends of a video the first
or the last frame is repeated. Windows are laid out at the frame rate that a model was trained at (AVA: 30)
and the frames are chosen by timestamp; or, for data sets that count frames (UCF101-24), laid out in frames.
"""

from collections import deque
from fractions import Fraction
from statistics import median

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Picture = npt.NDArray[np.uint8]
"""RGB `[H, W, 3]`"""
Size = tuple[int, int]
"""width, height"""

TIE_S = 1e-6
"""Frames equally near to within this are a tie: rounding must not decide (30 fps windows on 15 fps)."""
JUMP_S = 10.0
"""A clock that goes back further was restarted (joined files, a camera that reconnects), not jittered."""


def window_offsets(num_frames: int, frame_stride: int) -> Ints:
    """Frames of a window relative to its keyframe, which is sample `num_frames // 2`: `[T]`."""
    return (np.arange(num_frames, dtype=np.int64) - num_frames // 2) * frame_stride


def window_times(keyframe_s: float, num_frames: int, frame_stride: int, fps: float = 30.0) -> Floats:
    """Seconds that the window about `keyframe_s` wants: `[T]`; may lie before 0 and past the end."""
    return keyframe_s + window_offsets(num_frames, frame_stride) / fps


def frame_window(centre: int, num_frames: int, frame_stride: int, total: int | None = None) -> Ints:
    """Frames of the window about frame `centre`, clamped to the video's `total` frames if known: `[T]`."""
    return (centre + window_offsets(num_frames, frame_stride)).clip(0, None if total is None else total - 1)


def prefers_earlier(earlier: float, later: float, wanted: float) -> bool:
    """Whether `wanted`, between the two times, belongs to the earlier; ties do."""
    return wanted - earlier <= later - wanted + TIE_S


def nearest(frame_times: Floats, wanted: Floats) -> Ints:
    """Index of the frame nearest in time to each wanted second: `[N] ascending, [...] -> [...]`.

    Ties go to the earlier frame; seconds before the first and past the last frame take that frame.
    """
    assert len(frame_times), "a video has at least one frame"
    last = len(frame_times) - 1
    later = np.searchsorted(frame_times, wanted).clip(max=last)
    earlier = (later - 1).clip(min=0)
    take_earlier = wanted - frame_times[earlier] <= frame_times[later] - wanted + TIE_S
    return np.where(take_earlier & (wanted <= frame_times[last]), earlier, later)


def keyframe_times(last_frame_s: float, every: float = 1.0) -> Floats:
    """Seconds of the keyframes: 0, `every`, 2 x `every`, ... up to and including the time of the last frame.

    The first keyframe is the first frame, so no video is too short to be judged; tick k is at k x `every`.
    """
    times: Floats = np.arange(int(last_frame_s / every) + 2, dtype=np.float64) * every
    return times[times <= last_frame_s]


class Clock:
    """Times in seconds from a stream's own timestamps: the first frame is 0 and time only goes forward.

    A timestamp that is missing or does not advance is replaced by the previous time plus the typical step
    (the median of the recent good ones; `nominal_step` seconds until there are some). Frames are never put
    into another order.
    """

    def __init__(self, time_base: Fraction, nominal_step: float) -> None:
        self._base = time_base
        self._nominal = nominal_step
        self._steps: deque[float] = deque(maxlen=15)
        self._origin: tuple[int, float] | None = None  # a timestamp and the second that it stands for
        self._repaired = False
        self.last: float | None = None
        self.faults = 0
        """Timestamps that were missing or did not advance."""

    @property
    def step(self) -> float:
        """Typical seconds between frames."""
        return median(self._steps) if len(self._steps) >= 3 else self._nominal

    def tick(self, stamp: int | None) -> float:
        """Second of the next frame, whose timestamp is `stamp` in units of the time base."""
        following = 0.0 if self.last is None else self.last + self.step
        time = following if stamp is None else self._second(stamp, following)
        good = stamp is not None and (self.last is None or time > self.last)
        if good and self.last is not None and not self._repaired:
            self._steps.append(time - self.last)
        if not good:
            self.faults += 1
            if stamp is not None and following - time > JUMP_S:
                self._origin = (stamp, following)
            time = following
        self._repaired = not good
        self.last = time
        return time

    def _second(self, stamp: int, following: float) -> float:
        if self._origin is None:
            self._origin = (stamp, following)
        origin, second = self._origin
        # integers are divided once, so that times are correctly rounded: 15360 at 1/15360 is exactly 1.0
        return (stamp - origin) * self._base.numerator / self._base.denominator + second
