"""A source that is looked at while it runs: shown as it comes, judged as fast as the machine can, never waited for."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from relact.data.decode import Frame, FrameStream
from relact.data.windows import KeyframeWindow, SampledFrame
from relact.video.people import Detector
from relact.video.sources import DetectedPeople, People

WAITING_FRAMES = 48
"""that wait to be judged: older ones are dropped"""
LATE_S = 0.75
"""A picture or keyframe that has waited longer is passed over: what costs time is spent on newer ones."""

_POLL_S = 0.05


class LiveStream(FrameStream):
    """The frames of a source at its own pace: a file is played, all else comes when it comes.

    `show` is given every frame the moment that it is due, by a thread of its own. Who iterates gets those that it is
    fast enough for: of the frames that wait, the oldest are `dropped`, so that the last of them is never old.
    """

    def __init__(self, path: str | Path, show: Callable[[Frame], None]) -> None:
        self._show = show
        self._frames: deque[Frame] = deque()
        self._came: deque[tuple[float, float]] = deque(maxlen=2048)
        self._change = threading.Condition()
        self._ended = self._stopped = False
        self._error: BaseException | None = None
        self._reader = threading.Thread(target=self._read, name="live source", daemon=True)
        self.dropped = 0
        self.came = 0
        """frames so far"""
        super().__init__(path)  # last: it closes what yields nothing

    def __iter__(self) -> Iterator[Frame]:
        self._reader.start()
        index = 0
        while (frame := self._next()) is not None:
            frame.index = index  # consecutive for whoever judges, whatever was dropped
            index += 1
            yield frame
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Ends it at once. Takes no lock, so that the handler of a signal may call it."""
        self._stopped = True
        super().stop()

    def close(self) -> None:
        """Releases the source, once nobody reads it; one that sends nothing is left alone."""
        self.stop()
        if self._reader.is_alive():
            self._reader.join(20 * _POLL_S)
        if not self._reader.is_alive():
            super().close()

    def age(self, time_s: float) -> float:
        """Seconds since the frame at this time of the video came."""
        now = time.perf_counter()
        with self._change:
            later = next((came for at, came in self._came if at >= time_s - 1e-6), now)
        return now - later

    def _next(self) -> Frame | None:
        with self._change:
            while not self._frames and not self._ended and not self._stopped:
                self._change.wait(_POLL_S)
            return self._frames.popleft() if self._frames and not self._stopped else None

    def _read(self) -> None:
        began: float | None = None
        try:
            for frame in super().__iter__():
                if began is None:
                    began = time.perf_counter() - frame.time_s
                if not self.live:
                    began = self._pace(began, frame.time_s)
                if self._stopped:
                    return
                self._take(frame)
        except BaseException as error:  # whoever judges shall see it
            self._error = error
        finally:
            with self._change:
                self._ended = True
                self._change.notify_all()

    def _pace(self, began: float, time_s: float) -> float:
        """Waits until a frame of a file is due; a file that decodes too slowly is played late, not skipped."""
        while not self._stopped and (left := began + time_s - time.perf_counter()) > 0:
            time.sleep(min(left, _POLL_S))
        return max(began, time.perf_counter() - time_s)

    def _take(self, frame: Frame) -> None:
        self._show(frame)
        with self._change:
            self.came += 1
            self._came.append((frame.time_s, time.perf_counter()))
            self._frames.append(frame)
            if len(self._frames) > WAITING_FRAMES:
                self._frames.popleft()
                self.dropped += 1
            self._change.notify_all()


@dataclass(slots=True)
class Skipped:
    """What the machine was too slow for."""

    pictures: int = 0
    """in which nobody was looked for"""
    keyframes: int = 0
    """that were not judged"""


class LivePeople:
    """The people of a live source, told as soon as they are seen; what is already old is passed over.

    A keyframe that is passed over has nobody, which costs no forward pass.
    """

    def __init__(
        self, detector: Detector, stream: LiveStream, tell: Callable[[float, People], None], *, hz: float,
        every: float, threshold: float, ahead: float, skipped: Skipped,
    ) -> None:  # fmt: skip
        """`ahead`: seconds from a keyframe to the last frame of its clip, which nobody can be early for."""
        self._ahead = ahead
        self._people = DetectedPeople(detector, hz=hz, every=every, threshold=threshold)
        self._stream, self._tell, self._skipped = stream, tell, skipped
        self._passed = -math.inf
        self.sample_every = self._people.sample_every

    def see(self, sample: SampledFrame) -> None:
        """A picture at the sampled rate."""
        if self._stream.age(sample.frame_s) > LATE_S:
            self._skipped.pictures += sample.frame_s > self._passed  # one frame may be the nearest to several samples
            self._passed = max(self._passed, sample.frame_s)
            return
        self._people.see(sample)
        for moment in self._people.seen:
            self._tell(*moment)
        self._people.seen.clear()  # a stream may have no end

    def at(self, window: KeyframeWindow) -> People:
        """The people of a keyframe whose pictures have all been seen."""
        if self._stream.age(window.frame_s) - self._ahead > LATE_S:
            self._skipped.keyframes += 1
            return People.nobody()
        return self._people.at(window)

    @property
    def seen(self) -> Iterable[tuple[float, People]]:
        """Nothing is kept."""
        return ()

    def warning(self, covered: float, boxes: int) -> str | None:
        """What a person should know at the end."""
        return self._people.warning(covered, boxes)
