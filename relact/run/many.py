"""`detect` of many videos: what is to be done, one video of it, and what became of each; who does it is `many_engines`.

In the folder of the results: `NAME/` as `detect` of one video writes it, `detections/NAME.parquet` of all videos, which
together are one table, `videos.jsonl` with a line a video, and `.state/NAME.json`, by which the next start knows what
is done.
"""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import socket
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

import torch

from relact.errors import InputError
from relact.interop.files import atomic_path, sha256_of
from relact.run.detection import load_setup
from relact.run.many_videos import Video, list_videos, local_file
from relact.run.models import PRODUCER, weights_file
from relact.run.one_video import Setup, detect_one
from relact.run.report import PAGE, index
from relact.video.pipeline import DetectConfig, Progress
from relact.video.run_record import fingerprint

Say = Callable[[str], None]
State = Literal["todo", "running", "done", "failed", "skipped"]

DETECTIONS, RECORD, STATES = "detections", "videos.jsonl", ".state"
SAVED_EVERY_S = 10.0
"""So often at most is the record written while videos are being done."""
SHOWN_FAILURES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A line of videos.jsonl: what became of a video. `skipped`: an earlier start did it with the same settings."""

    video: str
    name: str
    state: State
    bytes: int | None = None
    modified: int | None = None
    """nanoseconds of the epoch"""
    settings: str = ""
    """sha256 of all that the detections hang on, the video apart"""
    attempts: int = 0
    """times that this start began it"""
    worker: str = ""
    """machine:process that did it"""
    error: str | None = None
    trace: str | None = None
    """where an error is a fault of the program's"""
    seconds: float = 0.0
    """of wall time"""
    seconds_covered: float = 0.0
    """of the video"""
    keyframes: int = 0
    boxes: int = 0
    people: int = 0
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, video: Video, state: State, **facts: Any) -> "Outcome":
        """Of a video, with its facts."""
        return cls(
            video=video.source, name=video.name, bytes=video.bytes, modified=video.modified, state=state, **facts
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """A line of videos.jsonl, as plain values."""
        return dataclasses.asdict(self)

    def text(self) -> str:
        """A line of videos.jsonl."""
        return json.dumps(self.to_json(), ensure_ascii=False) + "\n"

    def line(self) -> str:
        """For the screen."""
        if self.state == "failed":
            return f"failed: {self.error}"
        return (
            f"{self.video}: {self.seconds_covered:.1f} s, {self.keyframes} keyframes, {self.people} people, "
            f"{self.boxes} boxes, in {self.seconds:.1f} s"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What all workers need to know; plain values, so that it travels to other machines. Paths are absolute."""

    out: Path
    weights: str
    boxes: Path | None
    box_format: str | None
    box_units: str | None
    detector: str
    config: DetectConfig
    report: bool
    settings: str
    """see `Outcome`"""
    device: str | None = None

    @classmethod
    def of(
        cls, *, out: Path, weights: str | Path, boxes: Path | None, detector: str, config: DetectConfig, **others: Any
    ) -> "Job":
        """Fetches published weights, if need be. Raises InputError for a missing file, or without pyarrow."""
        if find_spec("pyarrow") is None:
            raise InputError('many videos make a Parquet set, which needs pyarrow: pip install "relact[parquet]"')
        if re.match("[a-z][a-z0-9]+:/", str(out)):
            raise InputError(f"--out {out}: expected a folder that all machines share, not an address")
        if boxes is not None and not boxes.is_file():
            raise InputError(f"{boxes}: no such file; expected person boxes")
        formats = tuple(dict.fromkeys([*config.formats, "parquet"]))
        script, colon, function = detector.rpartition(":")
        settings = _settings(weights, boxes, detector, config, others)
        return cls(
            out=out.absolute(),
            weights=str(Path(weights).absolute()) if Path(weights).exists() else str(weights),
            boxes=None if boxes is None else boxes.absolute(),
            detector=f"{Path(script).absolute()}:{function}" if colon else detector,
            config=dataclasses.replace(config, formats=formats),
            settings=settings,
            **others,
        )

    def state_of(self, name: str) -> Path:
        """The file by which the next start knows what became of a video."""
        return self.out / STATES / f"{name}.json"

    def wanted(self, name: str) -> list[Path]:
        """The files of a video that is done."""
        files = [*(f"actions.{kind}" for kind in self.config.formats), "segments.csv", "ava.csv", "run.json"]
        files += (["annotated.mp4"] if self.config.draw else []) + ([PAGE] if self.report else [])
        return [self.set_file(name), *(self.out / name / file for file in files)]

    def set_file(self, name: str) -> Path:
        """A video's part of the Parquet set."""
        return self.out / DETECTIONS / f"{name}.parquet"


def _settings(
    weights: str | Path, boxes: Path | None, detector: str, config: DetectConfig, others: Mapping[str, Any]
) -> str:
    script = Path(detector.rpartition(":")[0])
    producer = Path(weights) / PRODUCER
    choices = {
        "weights": sha256_of(weights_file(weights)),
        "producer": sha256_of(weights_file(producer)) if producer.is_dir() else None,
        "boxes": [sha256_of(boxes), others.get("box_format"), others.get("box_units")] if boxes else None,
        "detector": None if boxes else detector,
        "its code": sha256_of(script) if script.is_file() and not boxes else None,
        "config": {k: v for k, v in dataclasses.asdict(config).items() if k not in ("draw", "formats", "batch")},
    }
    return hashlib.sha256(json.dumps(choices, sort_keys=True).encode()).hexdigest()


class Worker:
    """Does one video after the other; the model is loaded for the first and kept."""

    def __init__(self, job: Job, threads: int | None = None) -> None:
        self._job, self._threads = job, threads
        self._setup: Setup | None = None
        self._name = f"{socket.gethostname()}:{os.getpid()}"

    def do(self, video: Video, attempt: int = 1) -> Outcome:
        """One video, and its state on the disk. Raises InputError only where the model cannot be loaded."""
        setup = self._loaded()
        facts: dict[str, Any] = {"settings": self._job.settings, "worker": self._name}
        began = time.perf_counter()
        self._write(Outcome.of(video, "running", attempts=attempt, **facts))
        self._job.set_file(video.name).unlink(missing_ok=True)  # the set holds what is done with these settings alone
        facts["attempts"] = attempt
        try:
            facts |= self._detect(video, setup)
            outcome = Outcome.of(video, "done", seconds=_since(began), **facts)
        except InputError as error:
            outcome = Outcome.of(video, "failed", error=_named(video, str(error)), seconds=_since(began), **facts)
        except (KeyboardInterrupt, SystemExit):  # told to stop: no fault of the video's
            self._write(Outcome.of(video, "todo", **(facts | {"attempts": attempt - 1})))
            raise
        except Exception as error:  # whatever one video does to the program, thousands may wait behind it
            told = _named(video, f"{type(error).__name__}: {error}")
            trace = traceback.format_exc()
            outcome = Outcome.of(video, "failed", error=told, trace=trace, seconds=_since(began), **facts)
        self._write(outcome)
        return outcome

    def _detect(self, video: Video, setup: Setup) -> dict[str, Any]:
        folder, progress = self._job.out / video.name, Progress()
        with local_file(video) as path:
            result = detect_one(path, video.name, folder, setup, progress, source=video.source)
        _link(folder / "actions.parquet", self._job.set_file(video.name))
        told = result.to_json()
        return {key: told[key] for key in ("seconds_covered", "keyframes", "boxes", "people", "warnings")}

    def _loaded(self) -> Setup:
        if self._setup is None:
            if self._threads is not None:
                torch.set_num_threads(self._threads)
            job = self._job
            self._setup = load_setup(
                job.weights, boxes=job.boxes, box_format=job.box_format, box_units=job.box_units,
                detector=job.detector, config=job.config, device=job.device, quiet=True, report=job.report,
            )  # fmt: skip
        return self._setup

    def _write(self, outcome: Outcome) -> None:
        with atomic_path(self._job.state_of(outcome.name)) as temporary:
            temporary.write_text(outcome.text(), encoding="utf-8")


class Board:
    """What became of the videos of a start, for one who watches: lines on the screen, videos.jsonl, the summary."""

    def __init__(self, job: Job, videos: Sequence[Video], say: Say) -> None:
        self._job, self._say = job, say
        self.outcomes = {video.name: Outcome.of(video, "todo", settings=job.settings) for video in videos}
        self._began = self._saved = time.monotonic()
        self._num_told = 0

    def known(self, outcome: Outcome) -> None:
        """Of a video that is not to be done now."""
        self.outcomes[outcome.name] = outcome

    def take(self, outcome: Outcome, *, told: bool = False) -> None:
        """Of a video that was done; `told`: somebody else has said so."""
        self.outcomes[outcome.name] = outcome
        self._num_told += 1
        if not told:
            self._say(f"[{self._num_told}/{self.num_todo + self._num_told}] {outcome.line()}")
        if time.monotonic() - self._saved > SAVED_EVERY_S:
            self.save()

    @property
    def num_todo(self) -> int:
        """Videos of which nothing is known yet."""
        return sum(outcome.state == "todo" for outcome in self.outcomes.values())

    def save(self) -> None:
        """Write videos.jsonl, in the order of the names."""
        with atomic_path(self._job.out / RECORD) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(self.outcomes[name].text() for name in sorted(self.outcomes))
        self._saved = time.monotonic()

    def finish(self) -> list[Outcome]:
        """The record and the summary; all outcomes, by name."""
        self.save()
        outcomes = [self.outcomes[name] for name in sorted(self.outcomes)]
        failed = [outcome for outcome in outcomes if outcome.state == "failed"]
        for outcome in failed[:SHOWN_FAILURES]:
            self._say(outcome.line())
        if len(failed) > SHOWN_FAILURES:
            self._say(f"failed: … and {len(failed) - SHOWN_FAILURES} more: {self._job.out / RECORD}")
        count = Counter(outcome.state for outcome in outcomes)
        self._say(
            f"{len(outcomes)} videos: {count['done']} done, {count['failed']} failed, {count['skipped']} done before, "
            f"in {time.monotonic() - self._began:.1f} s → {self._job.out / DETECTIONS}, {self._job.out / RECORD}"
        )
        if self._job.report:
            self._say(f"look at {index(self._job.out)}")
        others = self._others()
        if others:
            self._say(f"warning: {self._job.out / DETECTIONS} also holds {others} videos that this start does not name")
        return outcomes

    def _others(self) -> int:
        files = (self._job.out / DETECTIONS).glob("*.parquet")
        return sum(file.stem not in self.outcomes for file in files if not file.name.startswith("."))


def plan(
    job: Job, arguments: Sequence[str], say: Say, *, again: bool = False, retries: int = 0
) -> tuple[Board, list[tuple[Video, int]]]:
    """What is known, and the videos to do, each with the number of the attempt.

    Done videos are left alone: the same file, the same settings, all outputs there. `again`: an engine starts its
    workers anew, so what failed has failed, and a video that was being done when one died has had that attempt.
    """
    videos = list_videos(arguments, job.out)
    board = Board(job, videos, say)
    (job.out / DETECTIONS).mkdir(parents=True, exist_ok=True)
    todo, changed = list[tuple[Video, int]](), 0
    for video in videos:
        before = _read_state(job.state_of(video.name))
        same = before is not None and before.settings == job.settings and _same_file(before, video, job)
        if before is not None and same and before.state == "done" and _all_there(job, video.name):
            board.known(dataclasses.replace(before, video=video.source, state="skipped"))
        elif before is not None and same and again and before.state == "failed":
            board.known(before)
        elif before is not None and same and again and before.state == "running" and before.attempts > retries:
            board.known(killed(job, video, before.attempts))
        else:
            attempt = before.attempts + 1 if before is not None and same and again else 1
            todo.append((video, attempt))
            changed += before is not None and before.state == "done" and not same
    if changed:
        say(f"{changed} videos were done with other settings, or have changed: they are done again")
    board.save()
    return board, todo


def killed(job: Job, video: Video, attempts: int) -> Outcome:
    """Of a video whose workers died."""
    outcome = Outcome.of(
        video, "failed", settings=job.settings, attempts=attempts,
        error=f"{video.source}: its worker was killed (for memory?), {attempts} times",
    )  # fmt: skip
    with atomic_path(job.state_of(video.name)) as temporary:
        temporary.write_text(outcome.text(), encoding="utf-8")
    return outcome


def _read_state(path: Path) -> Outcome | None:
    """None where nothing is known; a file that is not ours counts as nothing, and is written anew."""
    try:
        return Outcome(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _all_there(job: Job, name: str) -> bool:
    return all(path.is_file() for path in job.wanted(name))


def _same_file(before: Outcome, video: Video, job: Job) -> bool:
    """By size and time; a copy with another time is the same if it begins with the same MiB, as run.json has it."""
    if before.bytes != video.bytes:
        return False
    if before.modified == video.modified:
        return before.video == video.source or video.bytes is not None
    path = Path(video.source)
    if not path.is_file():
        return False
    try:
        record = json.loads((job.out / video.name / "run.json").read_text(encoding="utf-8"))
        known = cast(str | None, record["source"]["head_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return known == fingerprint(path)[1]


def _link(source: Path, target: Path) -> None:
    """The same bytes under a second name: a hard link, or a copy where the file system has none."""
    with atomic_path(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def _named(video: Video, error: str) -> str:
    return error if video.source in error else f"{video.source}: {error}"


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 3)
