"""`relact live`: a source judged and shown at the same time, in the browser or in a window."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from relact.data.decode import Frame
from relact.model import ActionDetector
from relact.nn.memory import keep_freed_memory
from relact.nn.precision import default_device
from relact.run.detection import name_of, prepare
from relact.run.models import load_model, load_producer
from relact.serve.live_source import LivePeople, LiveStream, Skipped
from relact.serve.live_view import LiveView, shown_size
from relact.video.people import Detector, load_detector
from relact.video.pipeline import DetectConfig, Progress, detect_stream
from relact.viz.draw import short_names

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveConfig:
    """The choices of `relact live`; times in seconds."""

    weights: str
    detector: str = "auto"
    device: str | None = None
    precision: str = "auto"
    every: float = 1.0
    detect_hz: float = 5.0
    box_threshold: float = 0.5


class LiveRun:
    """A source that is being judged, and the view of it. Opening it waits for its first frames.

    Raises InputError for weights or a source that cannot be used.
    """

    def __init__(self, source: str, config: LiveConfig) -> None:
        device = torch.device(config.device) if config.device else default_device()
        if device.type == "cpu":
            keep_freed_memory()
        model = load_model(config.weights, device=device)
        producer = load_producer(config.weights, device=device)
        self._model = prepare(model, config.precision)
        self._producer = None if producer is None else prepare(producer, config.precision)
        self._finder: Detector = load_detector(config.detector, device)
        self._config = config
        self.name = name_of(source)
        """for titles: without what an address may hold of passwords"""
        self.view = LiveView(short_names(model.labels), self._counts)
        self.stream = LiveStream(source, self._show)
        self.view_size = shown_size(self.stream.info.size)
        """width and height of the pictures that are shown"""
        self.progress, self._skipped = Progress(), Skipped()
        self.error: BaseException | None = None
        self._judge = threading.Thread(target=self._run, name="judge", daemon=True)
        self._draw = threading.Thread(target=self.view.draw_for_ever, name="draw", daemon=True)

    @property
    def running(self) -> bool:
        """Whether more may come."""
        return self._judge.is_alive()

    def start(self) -> None:
        """Begins; what is shown is in `view`."""
        self._judge.start()
        self._draw.start()

    def stop(self) -> None:
        """Ends it soon; the handler of a signal may call it."""
        self.stream.stop()

    def finish(self) -> None:
        """Waits for the end and frees all; raises what went wrong."""
        self.stop()
        if self._judge.ident is not None:
            self._judge.join()
            self._draw.join()
        self.stream.close()
        if self.error is not None:
            raise self.error

    def summary(self) -> str:
        """How it went, in a line or two."""
        progress, state = self.progress, self.view.state()
        text = (
            f"{self.name}: {state.frames} frames, {progress.keyframes} keyframes, {progress.boxes} boxes; "
            f"passed over: {state.dropped} frames, {state.passed_over} keyframes"
        )
        if self.view.delays:
            middle, high = np.percentile(self.view.delays, [50, 95])
            text += f"\npictures drawn {self.view.drawn}, late by {middle:.3f} s (95 %: {high:.3f} s)"
        if progress.keyframes:
            spread = progress.delays.to_json(live=True)
            after, own = spread["after_last_frame_ms"], spread["after_keyframe_ms"]
            text += (
                f"\nactions known {own['median'] / 1000:.2f} s after their keyframe (95 %: {own['p95'] / 1000:.2f} s), "
                f"{after['median'] / 1000:.2f} s after the last frame of its clip (95 %: {after['p95'] / 1000:.2f} s)"
            )
        return text

    def _show(self, frame: Frame) -> None:
        self.view.frame(frame, self.view_size)

    def _run(self) -> None:
        config = self._config
        people = LivePeople(
            self._finder, self.stream, self.view.people, hz=config.detect_hz, every=config.every,
            threshold=config.box_threshold, ahead=_ahead(self._model, self.stream.info.rate), skipped=self._skipped,
        )  # fmt: skip
        found = detect_stream(
            self.stream,
            name=self.name,
            model=self._model,
            people=people,
            config=DetectConfig(
                every=config.every, detect_hz=config.detect_hz, box_threshold=config.box_threshold,
                precision=config.precision, draw=False, causal=True,
            ),
            progress=self.progress,
            producer=self._producer,
        )  # fmt: skip
        try:
            for detections in found:
                self.view.actions(detections, self.progress.delays.last_of_keyframe_ms / 1000)
        except BaseException as error:  # whoever waits for the end shall see it
            self.error = error
        finally:
            self.view.end()

    def _counts(self) -> tuple[int, int, int]:
        """Frames that came, frames and keyframes that were passed over."""
        return self.stream.came, self.stream.dropped + self._skipped.pictures, self._skipped.keyframes


def _ahead(model: ActionDetector, rate: float | None) -> float:
    """Seconds from a keyframe to the last frame of its clip."""
    clip = model.clip
    return (clip.num_frames - 1 - clip.num_frames // 2) * clip.frame_stride / (clip.rate or rate or 25.0)
