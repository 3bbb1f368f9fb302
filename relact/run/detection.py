"""`detect`: videos in, tables, segments, a drawn video and a record of the run out."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from relact.backbones.prepared import Prepared, prepare_for_inference
from relact.data.decode import probe, video_index
from relact.errors import InputError
from relact.interop.box_files import read_boxes
from relact.interop.box_table import BoxTable
from relact.model import ActionDetector
from relact.nn.memory import keep_freed_memory
from relact.nn.precision import default_device, resolve
from relact.run.models import load_model, weights_file
from relact.types import Detections
from relact.video.annotate import between, draw_video
from relact.video.people import CheckedDetector, Detector, load_detector
from relact.video.pipeline import DetectConfig, Progress, detect_video
from relact.video.run_record import Counts, Protocol, RunRecord, Source, Weights, fingerprint
from relact.video.segments import Hysteresis, open_segments
from relact.video.sources import DetectedPeople, FiledPeople, PeopleSource
from relact.video.tables import open_actions, open_ava
from relact.viz.draw import Sighting, short_names, sighting

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one video."""

    video: str
    folder: Path
    progress: Progress
    people: int = 0
    error: InputError | None = None

    def to_json(self) -> dict[str, Any]:
        """For `relact detect --json`."""
        return {
            "video": self.video,
            "folder": str(self.folder),
            "error": None if self.error is None else str(self.error),
            "keyframes": self.progress.keyframes,
            "boxes": self.progress.boxes,
            "people": self.people,
            "seconds_covered": round(self.progress.covered, 3),
            "warnings": self.progress.warnings,
        }


def detect(
    video: str | Path,
    *,
    model: ActionDetector,
    boxes: str | Path | None = None,
    detector: str | Detector = "auto",
    config: DetectConfig | None = None,
) -> Iterator[Detections]:
    """Detections of a video, keyframe by keyframe, as they become known; nothing is written.

    `model` comes from `create_model` or `load_model`; `boxes` is a box file, without which `detector` finds people: a
    name as on the command line, or any function from pictures to (boxes, scores), see `relact.video.people.Detector`.
    """
    config = config or DetectConfig()
    people = _people(str(video), _finder(boxes, detector, model), config)
    yield from detect_video(
        video,
        name=Path(video).stem,
        model=prepare(model, config.precision),
        people=people,
        config=config,
        progress=Progress(),
    )


def detect_files(
    videos: Sequence[str],
    *,
    weights: str | Path,
    out: Path | None,
    boxes: Path | None = None,
    box_format: str | None = None,
    box_units: str | None = None,
    detector: str = "auto",
    config: DetectConfig,
    device: str | None = None,
    say: Say = print,
    quiet: bool = False,
) -> list[Result]:
    """Every video into a folder of its own; one that fails is reported and the others are done."""
    where = torch.device(device) if device else default_device()
    if where.type == "cpu":
        keep_freed_memory()
    model = prepare(load_model(weights, device=where), config.precision)
    finder = _finder(boxes, detector, model, box_format=box_format, box_units=box_units)
    folders = _folders(videos, out)
    fingerprint_of_weights = Weights.of(weights_file(weights), str(weights))
    results = []
    for video, folder in zip(videos, folders, strict=True):
        progress = Progress()
        try:
            record = _record(
                video, model, fingerprint_of_weights, config, box_source=str(boxes or detector),
                detection_rate=config.detect_hz if boxes is None else None,
            )  # fmt: skip
            result = _detect_one(
                video, folder, model=model, people=_people(video, finder, config), config=config, progress=progress,
                record=record, quiet=quiet,
            )  # fmt: skip
            _tell(result, say)
        except InputError as error:
            result = Result(video=video, folder=folder, progress=progress, error=error)
        results.append(result)
    return results


def prepare(model: ActionDetector, precision: str) -> ActionDetector:
    """The model for inference: its backbone folded and in the chosen number format. The given one stays as it is."""
    if isinstance(model.backbone, Prepared):
        return model
    dtype = resolve(precision, next(model.parameters()).device)
    return model.with_backbone(
        prepare_for_inference(model.backbone, "bf16" if dtype == torch.bfloat16 else "fp32")
    ).eval()


def _folders(videos: Sequence[str], out: Path | None) -> list[Path]:
    """`OUT/stem`, or `video.relact` beside the video; numbered where two videos share a name."""
    folders: list[Path] = []
    for video in videos:
        first = out / Path(video).stem if out is not None else Path(video).with_suffix(".relact")
        folder, number = first, 2
        while folder in folders:
            folder, number = first.with_name(f"{first.name}_{number}"), number + 1
        folders.append(folder)
    return folders


def _finder(
    boxes: str | Path | None,
    detector: str | Detector,
    model: ActionDetector,
    *,
    box_format: str | None = None,
    box_units: str | None = None,
) -> BoxTable | Detector:
    """What knows the people of all videos: read or loaded once."""
    if boxes is not None:
        return read_boxes(boxes, format=box_format, units=box_units)
    if isinstance(detector, str):
        return load_detector(detector, next(model.parameters()).device)
    return CheckedDetector(detector, "the detector")


def _people(video: str, finder: BoxTable | Detector, config: DetectConfig) -> PeopleSource:
    if not isinstance(finder, BoxTable):
        return DetectedPeople(finder, hz=config.detect_hz, every=config.every, threshold=config.box_threshold)
    info = probe(video)
    boxes = finder.for_video(video, info.width, info.height)
    seconds = boxes.instants.astype(np.float64)
    if boxes.clock == "frames":
        times = video_index(video).times
        boxes.check_frames(len(times))
        seconds = times[boxes.instants.astype(np.int64)]
    return FiledPeople(boxes, seconds, width=info.width, height=info.height, threshold=config.box_threshold)


def _detect_one(
    video: str,
    folder: Path,
    *,
    model: ActionDetector,
    people: PeopleSource,
    config: DetectConfig,
    progress: Progress,
    record: Callable[[Progress, int, tuple[str, ...]], RunRecord],
    quiet: bool,
) -> Result:
    """One video, all outputs; they appear when the whole video is done, or not at all."""
    name, ids, sightings = Path(video).stem, set[int](), list[Sighting]()
    names = short_names(model.labels)
    outputs = [*(f"actions.{kind}" for kind in config.formats), "segments.csv", "ava.csv"]
    with ExitStack() as opened:
        tables = [
            opened.enter_context(open_actions(folder / file, model.labels, video=name, threshold=config.threshold))
            for file in outputs[: len(config.formats)]
        ]
        tables.append(opened.enter_context(open_ava(folder / "ava.csv", model.labels, every=config.every)))
        rule = Hysteresis(every=config.every)
        segments = opened.enter_context(open_segments(folder / "segments.csv", model.labels, rule, video=name))
        bar = opened.enter_context(_bar(video, quiet))
        found = detect_video(video, name=name, model=model, people=people, config=config, progress=progress)
        for detections in found:
            for table in (*tables, segments):
                table.write(detections)
            ids.update(detections.person.tolist())
            if config.draw:
                sightings.append(sighting(detections, names))
            bar(progress)
        segments.close(progress.covered)
        warning = people.warning(progress.covered, progress.boxes)
        progress.warnings += [warning] if warning and not progress.warnings else []  # a broken tail explains it
    if config.draw:
        since = time.perf_counter()
        assert progress.info is not None
        everywhere = between(people.seen, sightings, width=progress.info.width, height=progress.info.height)
        draw_video(video, folder / "annotated.mp4", everywhere, every=config.every)
        progress.spend("draw", since)
        outputs.append("annotated.mp4")
    record(progress, len(ids), tuple(outputs)).write(folder / "run.json")
    return Result(video=video, folder=folder, progress=progress, people=len(ids))


@contextmanager
def _bar(video: str, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """A progress line in seconds of the video."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[done]}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with ProgressBar(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        task = bar.add_task(Path(video).name, total=None, done="")

        def update(progress: Progress) -> None:
            assert progress.info is not None
            done = f"{progress.keyframes} keyframes, {progress.boxes} boxes"
            bar.update(task, total=progress.info.announced_s, completed=progress.covered, done=done)

        yield update


def _tell(result: Result, say: Say) -> None:
    """One line a video, and whatever a person should know."""
    done = result.progress
    assert done.info is not None
    info = done.info
    rotated = f", rotated {info.rotation}°" if info.rotation else ""
    say(
        f"{result.video}: {info.width} x {info.height}{rotated}, {done.covered:.1f} s, {done.keyframes} keyframes, "
        f"{result.people} people, {done.boxes} boxes → {result.folder}"
    )
    for warning in done.warnings:
        say(f"warning: {result.video}: {warning}")


def _record(
    video: str,
    model: ActionDetector,
    weights: Weights,
    config: DetectConfig,
    *,
    box_source: str,
    detection_rate: float | None,
) -> Callable[[Progress, int, tuple[str, ...]], RunRecord]:
    device = next(model.parameters()).device

    def record(progress: Progress, people: int, outputs: tuple[str, ...]) -> RunRecord:
        assert progress.info is not None
        info = progress.info
        size, head = fingerprint(Path(video)) if Path(video).is_file() else (None, None)
        return RunRecord(
            protocol=Protocol(
                keyframe_period=config.every,
                window=model.clip.num_frames,
                stride=model.clip.frame_stride,
                short_side=config.short_side or model.clip.short_side,
                box_source=box_source,
                box_threshold=config.box_threshold,
                action_threshold=config.threshold,
                classes=len(model.labels),
                detection_rate=detection_rate,
                frame_rate=model.clip.rate,
            ),
            weights=weights,
            source=Source(
                file=video,
                bytes=size,
                head_sha256=head,
                duration=info.announced_s,
                width=info.width,
                height=info.height,
                rate=info.rate,
                rotation=info.rotation,
                codec=info.codec,
            ),
            seconds_covered=progress.covered,
            counts=Counts(frames=progress.frames, keyframes=progress.keyframes, boxes=progress.boxes, people=people),
            device=str(device),
            precision=str(resolve(config.precision, device)).removeprefix("torch."),
            timings={stage: round(seconds, 3) for stage, seconds in progress.seconds.items()},
            outputs=outputs,
            warnings=tuple(progress.warnings),
        )

    return record
