"""`detect` of one video: every output, and what there is to say of it."""

import dataclasses
import hashlib
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from relact.bank.window import reach
from relact.data.decode import FrameStream, video_index
from relact.errors import InputError, at
from relact.interop.box_table import BoxTable, VideoBoxes
from relact.model import ActionDetector
from relact.nn.precision import resolve
from relact.run.report import PAGE, report_one
from relact.video.annotate import between, draw_video
from relact.video.journal import Journal, JournaledDetector
from relact.video.live import LiveLines
from relact.video.people import Detector
from relact.video.pipeline import DetectConfig, Progress, detect_stream
from relact.video.run_record import Counts, Protocol, RunRecord, Source, Weights, fingerprint, versions
from relact.video.segments import Hysteresis, open_segments
from relact.video.sources import DetectedPeople, FiledPeople, PeopleSource
from relact.video.tables import open_actions, open_ava
from relact.viz.draw import Sighting, short_names, sighting

Say = Callable[[str], None]

_PARTS = re.compile(r"\.(actions|segments|ava|annotated|run|report|video)\.[0-9a-f]{8}\.part\.\w+")
"""What a killed run leaves of its outputs."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What all videos of a command share."""

    model: ActionDetector
    weights: Weights
    finder: BoxTable | Detector
    """what knows the people"""
    box_source: str
    """its name: a box file's, a detector's"""
    config: DetectConfig
    producer: ActionDetector | None = None
    """writes the rows of the memory, where that is another model"""
    producer_weights: Weights | None = None
    live: bool = False
    """print each keyframe to standard output as it becomes known"""
    quiet: bool = False
    report: bool = True
    """write the page to look at"""


def detect_one(
    video: str, name: str, folder: Path, setup: Setup, progress: Progress, *, source: str | None = None
) -> Result:
    """One video, all outputs; they appear when the whole video is done, or not at all.

    `source` is where it lies, where `video` is a passing copy of it.

    What was paid for is kept in `.resume/` until then: the same call goes on from there, to the same bytes. A live
    source has no second time, and so no journal and no drawing; an interrupt (Ctrl-C) ends it well.
    """
    with ExitStack() as opened:
        stream = opened.enter_context(FrameStream(video))
        if stream.live:
            opened.enter_context(_ended_by_interrupt(stream))
            if setup.config.draw:
                setup = dataclasses.replace(setup, config=dataclasses.replace(setup.config, draw=False))
                progress.warnings.append("a live source cannot be read twice: annotated.mp4 is not drawn")
        journal, finder = None, setup.finder
        if not stream.live:
            journal = opened.enter_context(Journal(folder, _run(video, stream, setup)))
            progress.warnings += [journal.note] if journal.note else []
            _clear(folder)
            finder = finder if isinstance(finder, BoxTable) else JournaledDetector(finder, journal)
        people = people_of(video, finder, setup.config, stream)
        result = _outputs(video, name, folder, setup, progress, stream, people, journal, source or video)
        if setup.report:
            _report(folder, setup, progress)
        if journal is not None:
            journal.finish()
    return result


def people_of(
    video: str, finder: BoxTable | Detector, config: DetectConfig, stream: FrameStream, *, drawn: bool = True
) -> PeopleSource:
    """The people of one video. Raises InputError where the box file counts frames that only come with the stream."""
    if not isinstance(finder, BoxTable):
        return DetectedPeople(
            finder, hz=config.detect_hz, every=config.every, threshold=config.box_threshold,
            remember=drawn and config.draw,
        )  # fmt: skip
    info = stream.info
    boxes = finder.for_video(video, info.width, info.height)
    seconds = boxes.instants.astype(np.float64)
    if boxes.clock == "frames":
        if stream.live:
            raise InputError(f"{at(video)}: {boxes.path} counts frames; for a live source give boxes by seconds")
        times = video_index(video).times
        boxes.check_frames(len(times))
        seconds = times[boxes.instants.astype(np.int64)]
    return FiledPeople(boxes, seconds, width=info.width, height=info.height, threshold=config.box_threshold)


def _outputs(
    video: str,
    name: str,
    folder: Path,
    setup: Setup,
    progress: Progress,
    stream: FrameStream,
    people: PeopleSource,
    journal: Journal | None,
    source: str,
) -> Result:
    model, config = setup.model, setup.config
    ids, sightings, names = set[int](), list[Sighting](), short_names(model.labels)
    outputs = [*(f"actions.{kind}" for kind in config.formats), "segments.csv", "ava.csv"]
    with ExitStack() as opened:
        tables = [
            opened.enter_context(open_actions(folder / file, model.labels, video=name, threshold=config.threshold))
            for file in outputs[: len(config.formats)]
        ]
        tables.append(opened.enter_context(open_ava(folder / "ava.csv", model.labels, every=config.every)))
        if setup.live:
            tables.append(
                LiveLines(sys.stdout, model.labels, progress.delays, threshold=config.threshold, live=stream.live)
            )
        rule = Hysteresis(every=config.every)
        segments = opened.enter_context(open_segments(folder / "segments.csv", model.labels, rule, video=name))
        bar = opened.enter_context(_bar(video, setup.quiet))
        found = detect_stream(
            stream, name=name, model=model, people=people, config=config, progress=progress,
            producer=setup.producer, journal=journal,
        )  # fmt: skip
        for detections in found:
            for table in (*tables, segments):
                table.write(detections)
            ids.update(detections.person.tolist())
            if config.draw:
                sightings.append(sighting(detections, names))
            bar(progress)
        segments.close(progress.covered)
        warning = people.warning(progress.covered, progress.boxes)
        progress.warnings += [warning] if warning and not progress.cut_off else []  # a broken tail explains it
    if config.draw:
        since = time.perf_counter()
        everywhere = between(people.seen, sightings, width=stream.info.width, height=stream.info.height)
        draw_video(video, folder / "annotated.mp4", everywhere, every=config.every)
        progress.spend("draw", since)
        outputs.append("annotated.mp4")
    counts = Counts(
        frames=progress.frames, keyframes=progress.keyframes, boxes=progress.boxes, people=len(ids),
        segments=segments.count,
    )  # fmt: skip
    record = _record(video, setup, progress, stream, counts, tuple(outputs), source)
    record.write(folder / "run.json")
    return Result(video=video, folder=folder, progress=progress, people=len(ids))


def _report(folder: Path, setup: Setup, progress: Progress) -> None:
    """The page of a result that is there already: what hinders it is said, and the result stands."""
    try:
        report_one(folder, labels=setup.model.labels)
    except InputError as error:
        progress.warnings.append(f"{PAGE} is not written: {error}")


@contextmanager
def _ended_by_interrupt(stream: FrameStream) -> Iterator[None]:
    """The first Ctrl-C or termination ends a live source, and its outputs are written; the second is as ever."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in (signal.SIGINT, signal.SIGTERM)}

    def end(number: int, frame: object) -> None:
        stream.stop()
        for known, handler in before.items():
            signal.signal(known, handler)

    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _clear(folder: Path) -> None:
    """Removes what a killed run left; the journal is locked, so nobody is writing it."""
    for path in folder.iterdir():
        if _PARTS.fullmatch(path.name):
            path.unlink()


def _run(video: str, stream: FrameStream, setup: Setup) -> Mapping[str, Any]:
    """All that scores, boxes and ids hang on: a journal of anything else is of no use."""
    size, head = fingerprint(Path(video)) if Path(video).is_file() else (None, None)
    config = dataclasses.asdict(setup.config)
    device = next(setup.model.parameters()).device
    return {
        "video": [size, head, Path(video).stat().st_mtime_ns if size is not None else video],
        "weights": [setup.weights.sha256, setup.producer_weights.sha256 if setup.producer_weights else None],
        "configuration": {key: config[key] for key in config if key not in ("draw", "formats", "threshold")},
        "source of boxes": _boxes_fingerprint(video, stream, setup),
        "machine": [str(device), str(resolve(setup.config.precision, device)), torch.get_num_threads()],
        "software": versions(),
    }


def _boxes_fingerprint(video: str, stream: FrameStream, setup: Setup) -> list[str]:
    if isinstance(setup.finder, BoxTable):
        boxes: VideoBoxes = setup.finder.for_video(video, stream.info.width, stream.info.height)
        arrays = (boxes.instants, boxes.boxes, boxes.score, boxes.person_id)
        return ["boxes", *(hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest() for values in arrays)]
    script = Path(setup.box_source.rpartition(":")[0])
    code = hashlib.sha256(script.read_bytes()).hexdigest() if script.is_file() else ""
    return [setup.box_source, code]


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


def tell(result: Result, setup: Setup, say: Say) -> None:
    """One line a video, and whatever a person should know."""
    done = result.progress
    assert done.info is not None
    info = done.info
    rotated = f", rotated {info.rotation}°" if info.rotation else ""
    say(
        f"{result.video}: {info.width} x {info.height}{rotated}, {done.covered:.1f} s, {done.keyframes} keyframes, "
        f"{result.people} people, {done.boxes} boxes → {result.folder}"
    )
    if done.resumed:
        say(f"{result.video}: went on from an interrupted run, which had judged {done.resumed} keyframes")
    if (setup.config.causal or setup.live) and done.keyframes:
        say(f"{result.video}: {_delay(done, setup.model)}")
    for warning in done.warnings:
        say(f"warning: {result.video}: {warning}")
    if setup.report and (result.folder / PAGE).is_file():
        say(f"{result.video}: look at {result.folder / PAGE}")


def _delay(done: Progress, model: ActionDetector) -> str:
    figures = done.delays.to_json(live=True)

    def told(name: str) -> str:
        return "median {median:.0f} ms, 95 % {p95:.0f} ms, most {max:.0f} ms".format(**figures[name])

    clip, text = model.clip, f"delay after the last frame needed: {told('after_last_frame_ms')}"
    if clip.rate is not None:
        after = (clip.num_frames - 1 - clip.num_frames // 2) * clip.frame_stride / clip.rate
        text += f" (a clip ends {after:.2f} s after its keyframe)"
    return text


def _record(
    video: str,
    setup: Setup,
    progress: Progress,
    stream: FrameStream,
    counts: Counts,
    outputs: tuple[str, ...],
    source: str,
) -> RunRecord:
    model, config, info = setup.model, setup.config, stream.info
    device = next(model.parameters()).device
    size, head = fingerprint(Path(video)) if Path(video).is_file() else (None, None)
    spec = model.memory
    return RunRecord(
        protocol=Protocol(
            keyframe_period=config.every,
            window=model.clip.num_frames,
            stride=model.clip.frame_stride,
            short_side=config.short_side or model.clip.short_side,
            box_source=setup.box_source,
            box_threshold=config.box_threshold,
            action_threshold=config.threshold,
            classes=len(model.labels),
            detection_rate=None if isinstance(setup.finder, BoxTable) else config.detect_hz,
            frame_rate=model.clip.rate,
            memory=None if spec is None else (reach(spec)[0], 0 if config.causal else reach(spec)[1]),
            causal=config.causal,
        ),
        weights=setup.weights,
        source=Source(
            file=source,
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
        counts=counts,
        device=str(device),
        precision=str(resolve(config.precision, device)).removeprefix("torch."),
        timings={stage: round(seconds, 3) for stage, seconds in progress.seconds.items()},
        delay=progress.delays.to_json(live=stream.live),
        producer=setup.producer_weights,
        resumed_keyframes=progress.resumed,
        outputs=outputs,
        warnings=tuple(progress.warnings),
    )
