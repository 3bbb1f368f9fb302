"""One pass over a video: decode, find and follow people, judge each keyframe. Memory does not grow with its length."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from relact.bank.window import reach
from relact.data.decode import Frame, FrameStream
from relact.data.windows import KeyframeWindow, SampledFrame, WindowSpec, WindowStream
from relact.model import ActionDetector
from relact.types import Detections
from relact.video.journal import Journal
from relact.video.judge import Judge, Known
from relact.video.progress import Progress as Progress
from relact.video.sources import PeopleSource


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectConfig:
    """The choices of `relact detect`; times in seconds."""

    every: float = 1.0
    """between keyframes"""
    detect_hz: float = 5.0
    """person detections a second; tracking wants 5 or more"""
    box_threshold: float = 0.5
    threshold: float = 0.05
    """least score of an action in the tables"""
    draw: bool = True
    formats: tuple[str, ...] = ("csv",)
    short_side: int | None = None
    """pixels; None = what the model was trained at"""
    precision: str = "auto"
    batch: int | None = None
    """keyframes at a time; None = 8 on a GPU, 1 on a CPU, for a live source and with `causal`"""
    causal: bool = False
    """heads with memory read the past only, and each keyframe is given out when its own clip is over"""


def detect_video(
    path: str | Path,
    *,
    name: str,
    model: ActionDetector,
    people: PeopleSource,
    config: DetectConfig,
    progress: Progress,
) -> Iterator[Detections]:
    """Detections of every keyframe, in order, as soon as a batch of them is complete. `name` is the video's key."""
    with FrameStream(path) as stream:
        yield from detect_stream(stream, name=name, model=model, people=people, config=config, progress=progress)


def detect_stream(
    stream: FrameStream,
    *,
    name: str,
    model: ActionDetector,
    people: PeopleSource,
    config: DetectConfig,
    progress: Progress,
    producer: ActionDetector | None = None,
    journal: Journal | None = None,
) -> Iterator[Detections]:
    """The same of a stream that is open. `producer` writes the rows that a head with memory reads, where that is
    another model; `journal` knows what an earlier run has paid for.
    """
    judge = Judge(
        model, name=name, every=config.every, precision=config.precision, producer=producer, causal=config.causal,
        journal=journal,
    )  # fmt: skip
    one_by_one = judge.device.type != "cuda" or config.causal or stream.live
    batch_size = config.batch or (1 if one_by_one else 8)
    spec = WindowSpec(num_frames=model.clip.num_frames, frame_stride=model.clip.frame_stride, fps=model.clip.rate)
    progress.info = stream.info
    progress.warnings += _cautions(model, config, stream)
    done = 0 if journal is None else journal.judged * batch_size
    frames = _Arrivals(stream, progress)
    events = WindowStream(
        frames, spec, size=stream.info.resized(config.short_side or model.clip.short_side), every=config.every,
        sample_every=people.sample_every, from_tick=done,
    )  # fmt: skip
    waiting: list[Known] = []
    since = time.perf_counter()
    for event in events:
        since = progress.spend("decode", since)
        if isinstance(event, SampledFrame):
            people.see(event)
            since = progress.spend("people", since)
            continue
        waiting.append(Known(window=event, people=people.at(event), came=frames.came(event), complete=frames.latest))
        progress.covered = stream.decoded_s
        if len(waiting) == batch_size:
            yield from judge.take(waiting, stream.info, progress)
            waiting, since = [], time.perf_counter()
    progress.spend("decode", since)
    if waiting:
        yield from judge.take(waiting, stream.info, progress)
    yield from judge.finish(frames.latest, stream.info, progress)
    progress.covered = stream.decoded_s
    progress.resumed = min(done, progress.keyframes)
    progress.cut_off = stream.warning
    progress.warnings += [stream.warning] if stream.warning else []
    if stream.hurried:
        progress.warnings.append("frames came faster than they were judged: how long they waited is not in the delay")


def _cautions(model: ActionDetector, config: DetectConfig, stream: FrameStream) -> list[str]:
    """What a person should know before the first result."""
    spec, said = model.memory, list[str]()
    if spec is None:
        return said
    _, ahead = reach(spec)
    if config.every != 1.0:
        seconds = f"{spec.radius * config.every:g} s back"
        seconds += "" if config.causal else f" and {ahead * config.every:g} s ahead"
        said.append(f"the head's memory counts keyframes: {config.every:g} s apart, it reaches {seconds}")
    if stream.live and not config.causal and ahead:
        said.append(f"the head reads {ahead * config.every:g} s ahead, so results come as late; --causal does not wait")
    return said


class _Arrivals:
    """The frames of a stream, and when those that somebody may still ask for were decoded."""

    def __init__(self, stream: FrameStream, progress: Progress) -> None:
        self._stream = stream
        self._progress = progress
        self._times: deque[tuple[int, float]] = deque()
        self.latest = 0.0

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._stream:
            self._progress.frames += 1
            self._times.append((frame.index, frame.arrived))
            self.latest = frame.arrived
            yield frame

    def came(self, window: KeyframeWindow) -> float:
        """When a keyframe was; asked in the order of keyframes, those before it are forgotten."""
        while self._times[0][0] < window.index:
            self._times.popleft()
        return self._times[0][1]
