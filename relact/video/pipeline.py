"""One pass over a video: decode, find and follow people, judge each keyframe. Memory does not grow with its length."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from relact.data.decode import Frame, FrameStream
from relact.data.source import VideoInfo
from relact.data.windows import KeyframeWindow, SampledFrame, WindowSpec, WindowStream
from relact.model import ActionDetector
from relact.nn.precision import autocast, resolve
from relact.types import Actors, Detections, Keyframe, View
from relact.video.linking import SparseLinker
from relact.video.sources import Ids, People, PeopleSource


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
    """keyframes at a time; None = 1 on a CPU, 8 on a GPU"""


@dataclass(slots=True)
class Progress:
    """What a pass has done so far, for the progress line and run.json."""

    info: VideoInfo | None = None
    frames: int = 0
    keyframes: int = 0
    boxes: int = 0
    covered: float = 0.0
    """seconds"""
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    """spent per stage"""

    def spend(self, stage: str, since: float) -> float:
        """Adds the time since `since` to a stage; returns now."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - since
        return now


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
    judge = Judge(model, name=name, every=config.every, precision=config.precision)
    batch_size = config.batch or (8 if judge.device.type == "cuda" else 1)
    spec = WindowSpec(num_frames=model.clip.num_frames, frame_stride=model.clip.frame_stride, fps=model.clip.rate)
    with FrameStream(path) as stream:
        progress.info = stream.info
        size = stream.info.resized(config.short_side or model.clip.short_side)
        events = WindowStream(
            _counted(stream, progress), spec, size=size, every=config.every, sample_every=people.sample_every
        )
        waiting: list[tuple[KeyframeWindow, People]] = []
        since = time.perf_counter()
        for event in events:
            since = progress.spend("decode", since)
            if isinstance(event, SampledFrame):
                people.see(event)
                since = progress.spend("people", since)
                continue
            waiting.append((event, people.at(event)))
            progress.covered = stream.decoded_s
            if len(waiting) == batch_size:
                yield from judge(waiting, stream.info, progress)
                waiting, since = [], time.perf_counter()
        progress.spend("decode", since)
        yield from judge(waiting, stream.info, progress)
        progress.covered = stream.decoded_s
        progress.warnings += [stream.warning] if stream.warning else []


def _counted(stream: FrameStream, progress: Progress) -> Iterator[Frame]:
    for frame in stream:
        progress.frames += 1
        yield frame


class Judge:
    """Runs the model over keyframes and gives their people ids where nobody else did."""

    def __init__(self, model: ActionDetector, *, name: str, every: float, precision: str) -> None:
        self.device = next(model.parameters()).device
        self._model = model
        self._name = name
        self._dtype = resolve(precision, self.device)
        self._linker = SparseLinker(period=every)

    @torch.inference_mode()
    def __call__(
        self, waiting: Sequence[tuple[KeyframeWindow, People]], info: VideoInfo, progress: Progress
    ) -> Iterator[Detections]:
        """One batch; keyframes without people cost no forward pass."""
        since = time.perf_counter()
        full = [entry for entry in waiting if len(entry[1].boxes)]
        scores, features = self._forward(full) if full else (iter(()), iter(()))
        progress.spend("model", since)
        for window, people in waiting:
            empty = np.zeros((0, len(self._model.labels)), np.float32)
            rows = next(scores) if len(people.boxes) else empty
            ids = self._ids(window, people, next(features) if len(people.boxes) else None)
            progress.keyframes += 1
            progress.boxes += len(rows)
            yield Detections(
                key=Keyframe(self._name, window.tick),
                time=window.time_s,
                frame=window.index,
                pts=window.pts if window.pts is not None else -1,
                width=info.width,
                height=info.height,
                boxes=people.boxes,
                box_scores=people.scores,
                scores=rows,
                person=ids,
                track=people.ids,
            )

    def _forward(
        self, full: Sequence[tuple[KeyframeWindow, People]]
    ) -> tuple[Iterator[npt.NDArray[np.float32]], Iterator[npt.NDArray[np.float32]]]:
        # [B, T, H, W, 3] seen as [B, 3, T, H, W] is channels-last already; one window alone is not copied at all
        windows = [window.frames for window, _ in full]
        frames = torch.from_numpy(np.stack(windows) if len(windows) > 1 else windows[0][None]).permute(0, 4, 1, 2, 3)
        view = View.whole(frames.shape[-1], frames.shape[-2])
        boxes = [view.to_clip(torch.from_numpy(people.boxes)) for _, people in full]
        actors = Actors.of(boxes, scores=[torch.from_numpy(people.scores) for _, people in full])
        with autocast(self.device, self._dtype):
            output = self._model(frames.to(self.device, non_blocking=True), actors.to(self.device))
        cuts = np.cumsum(actors.counts)[:-1]
        store = output.relations.store if output.relations.store is not None else output.relations.features
        return (
            iter(np.split(output.scores.float().cpu().numpy(), cuts)),
            iter(np.split(store.float().cpu().numpy(), cuts)),
        )

    def _ids(self, window: KeyframeWindow, people: People, features: npt.NDArray[np.float32] | None) -> Ids:
        if (people.ids >= 0).all():
            return people.ids
        return self._linker.update(people.boxes, window.time_s, features)
