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

from relact.data.sampling import Picture, Size, prefers_earlier, window_offsets, window_times


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


Event = SampledFrame | KeyframeWindow

NO_PICTURE: Picture = np.zeros((1, 1, 3), np.uint8)


class WindowStream:
    """Iterates once over `frames` and yields what they make up: samples and keyframe windows.

    Keyframes lie at 0, `every`, 2 x `every`, ... up to the last frame; windows come in their order, pictures
    `size` = (width, height). With `sample_every`, the frames nearest to 0, `sample_every`, ... come too, at
    `sample_size` or the video's own. Events are ordered by the last time they need, samples first: when
    a window comes, all samples up to its last wanted time have come. A window is yielded with the first frame
    at or after that time, and at the end with the last frame repeated.

    Whoever knows what the windows before `from_tick` showed saves their conversion: those laid out in seconds
    come with pictures of one black pixel. Frames just before a keyframe that the video turns out not to reach
    are converted in vain.
    """

    def __init__(
        self,
        frames: Iterable[DecodedFrame],
        window: WindowSpec,
        *,
        size: Size,
        every: float = 1.0,
        sample_every: float | None = None,
        sample_size: Size | None = None,
        from_tick: int = 0,
    ) -> None:
        assert every > 0, f"the period of the keyframes must be positive, got {every}"
        self._frames = frames
        self._windows = (
            _CountedWindows(window, size, every)
            if window.fps is None
            else _TimedWindows(window, size, every, from_tick)
        )
        self._samples = None if sample_every is None else _Samples(sample_every, sample_size)

    def __iter__(self) -> Iterator[Event]:
        previous: DecodedFrame | None = None
        for frame in self._frames:
            samples = self._samples.push(previous, frame) if self._samples else iter(())
            for _, event in merge(samples, self._windows.push(previous, frame), key=_due):
                yield event
            previous = frame
        if previous is not None:
            yield from self._windows.finish(previous)


def _due(event: tuple[float, Event]) -> float:
    return event[0]


def _nearer(previous: DecodedFrame | None, frame: DecodedFrame, wanted: float) -> DecodedFrame:
    """Of two neighbours with `wanted` not after the second, the one that `nearest` takes."""
    if previous is not None and prefers_earlier(previous.time_s, frame.time_s, wanted):
        return previous
    return frame


class _Samples:
    """Frames at regular times."""

    def __init__(self, every: float, size: Size | None) -> None:
        assert every > 0, f"the period of the samples must be positive, got {every}"
        self._every = every
        self._size = size
        self._tick = 0

    def push(self, previous: DecodedFrame | None, frame: DecodedFrame) -> Iterator[tuple[float, Event]]:
        while (wanted := self._tick * self._every) <= frame.time_s:
            self._tick += 1
            chosen = _nearer(previous, frame, wanted)
            yield (
                wanted,
                SampledFrame(
                    time_s=wanted,
                    index=chosen.index,
                    frame_s=chosen.time_s,
                    pts=chosen.pts,
                    picture=chosen.rgb(self._size),
                ),
            )


class _Window:
    """A window that waits for its frames: `wanted`, ascending, are seconds or frame numbers."""

    __slots__ = ("keyframe", "pictures", "tick", "time_s", "wanted")

    def __init__(self, tick: int, time_s: float, wanted: list[float]) -> None:
        self.tick = tick
        self.time_s = time_s
        self.wanted = wanted
        self.pictures: list[Picture] = []
        self.keyframe: tuple[int, float, int | None] = (0, 0.0, None)

    @property
    def next_wanted(self) -> float | None:
        """What it waits for; None: complete."""
        return self.wanted[len(self.pictures)] if len(self.pictures) < len(self.wanted) else None

    def mark(self, frame: DecodedFrame) -> None:
        """`frame` is the keyframe's."""
        self.keyframe = (frame.index, frame.time_s, frame.pts)

    def event(self) -> KeyframeWindow:
        """The complete window; the one copy of its pictures is made here."""
        index, frame_s, pts = self.keyframe
        return KeyframeWindow(
            tick=self.tick,
            time_s=self.time_s,
            index=index,
            frame_s=frame_s,
            pts=pts,
            frames=np.stack(self.pictures),
        )


class _TimedWindows:
    """Windows laid out in seconds: opened as soon as their first frame may be near, before the keyframe."""

    def __init__(self, spec: WindowSpec, size: Size, every: float, from_tick: int) -> None:
        self._spec = spec
        self._size = size
        self._from_tick = from_tick
        self._every = every
        self._ticks = count()
        self._pending: deque[_Window] = deque()
        self._coming = self._plan()

    def _plan(self) -> _Window:
        tick = next(self._ticks)
        spec, time_s = self._spec, tick * self._every
        assert spec.fps is not None
        wanted = window_times(time_s, spec.num_frames, spec.frame_stride, spec.fps)
        return _Window(tick, time_s, wanted.tolist())

    def push(self, previous: DecodedFrame | None, frame: DecodedFrame) -> Iterator[tuple[float, Event]]:
        for window in self._pending:
            self._fill(window, previous, frame)
        while self._pending and self._pending[0].next_wanted is None:
            window = self._pending.popleft()
            yield window.wanted[-1], window.event()
        while self._coming.wanted[0] <= frame.time_s:  # one at a time: a gap of hours may hold thousands
            window, self._coming = self._coming, self._plan()
            self._fill(window, previous, frame)
            if window.next_wanted is None:
                yield window.wanted[-1], window.event()
            else:
                self._pending.append(window)

    def _fill(self, window: _Window, previous: DecodedFrame | None, frame: DecodedFrame) -> None:
        while (wanted := window.next_wanted) is not None and wanted <= frame.time_s:
            self._add(window, _nearer(previous, frame, wanted))

    def _add(self, window: _Window, frame: DecodedFrame) -> None:
        if len(window.pictures) == self._spec.num_frames // 2:
            window.mark(frame)
        window.pictures.append(frame.rgb(self._size) if window.tick >= self._from_tick else NO_PICTURE)

    def finish(self, last: DecodedFrame) -> Iterator[KeyframeWindow]:
        """The windows that the end of the video cut off."""
        while self._pending and (window := self._pending.popleft()).time_s <= last.time_s:
            while window.next_wanted is not None:
                self._add(window, last)
            yield window.event()


class _CountedWindows:
    """Windows laid out in the video's own frames about the frame nearest to each keyframe time.

    Which frame that is shows only when it comes, so all pictures of half a window are kept, converted: small
    ones, where the decoder's own would not be.
    """

    def __init__(self, spec: WindowSpec, size: Size, every: float) -> None:
        self._offsets = window_offsets(spec.num_frames, spec.frame_stride)
        self._size = size
        self._every = every
        self._tick = 0
        self._pending: deque[_Window] = deque()
        self._recent: deque[Picture] = deque(maxlen=spec.num_frames // 2 * spec.frame_stride + 2)

    def push(self, previous: DecodedFrame | None, frame: DecodedFrame) -> Iterator[tuple[float, Event]]:
        self._recent.append(frame.rgb(self._size))
        for window in self._pending:
            self._fill(window, frame)
        while self._pending and self._pending[0].next_wanted is None:
            yield frame.time_s, self._pending.popleft().event()
        while (time_s := self._tick * self._every) <= frame.time_s:
            chosen = _nearer(previous, frame, time_s)
            window = _Window(self._tick, time_s, (chosen.index + self._offsets).clip(0).tolist())
            window.mark(chosen)
            self._tick += 1
            self._fill(window, frame)
            if window.next_wanted is None:
                yield frame.time_s, window.event()
            else:
                self._pending.append(window)

    def _fill(self, window: _Window, frame: DecodedFrame) -> None:
        while (wanted := window.next_wanted) is not None and wanted <= frame.index:
            window.pictures.append(self._recent[int(wanted) - frame.index - 1])

    def finish(self, last: DecodedFrame) -> Iterator[KeyframeWindow]:
        """The windows that the end of the video cut off."""
        for window in self._pending:
            missing = len(window.wanted) - len(window.pictures)
            window.pictures += [last.rgb(self._size)] * missing
            yield window.event()
