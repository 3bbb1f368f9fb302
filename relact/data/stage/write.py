"""A Stage set on disk: videos, labels in AVA's format, proposals, primitives, the log of events; then the manifest."""

import csv
import errno
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pydantic import Field
from pydantic.dataclasses import dataclass

from relact.config import STRICT
from relact.data.encode import VideoWriter
from relact.data.folder import INCOMPLETE, MANIFEST, being_written
from relact.data.stage.families import ACTIONS, GROUPS, PRIMITIVES, FamilyName
from relact.data.stage.long_skits import SECONDS as LONG_SECONDS
from relact.data.stage.play import SHORT, Play, frames, write_play
from relact.data.stage.script import HEIGHT, WIDTH
from relact.data.stage.truth import Row, action_rows, log, people_rows, primitive_rows, proposals
from relact.errors import InputError
from relact.interop.files import atomic_path, sha256_of

FORMAT = 3
"""Raised when the same seed begins to give another set."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StageConfig:
    """What decides a set."""

    videos: int = Field(default=20, ge=1)
    validation: float = Field(default=0.2, ge=0, le=1)
    """share of the videos, the last ones, that `val.csv` has instead of `train.csv`"""
    seconds: int = Field(default=48, ge=3)
    """of a video, about; from 24 on it has long skits, whose labels need memory"""
    families: tuple[FamilyName, ...] = ()
    """only these; none given = all"""
    seed: int = Field(default=0, ge=0)
    rate: int = Field(default=15, ge=8)
    """frames a second"""
    scale: int = Field(default=2, ge=1, le=6)
    """pixels a unit: 2 gives 576 x 192"""

    def __post_init__(self) -> None:
        if self.families and not any(f in SHORT for f in self.families) and self.seconds < LONG_SECONDS:
            raise ValueError(f"seconds={self.seconds}: a scene of {self.families[0]} takes {LONG_SECONDS}")


class _Written(NamedTuple):
    actions: list[Row]
    primitives: list[Row]
    proposals: list[Row]
    people: list[Row]
    cuts: list[Row]
    events: list[dict[str, object]]


def generate(
    folder: Path, config: StageConfig | None = None, *, workers: int = 1, say: Callable[[str], None] = lambda text: None
) -> None:
    """Writes a set into a new folder; the same config gives the same labels and frames.

    Raises InputError for a folder that holds something, and where the disk is full or cannot be written.
    """
    config = config or StageConfig()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: is there already; give a new folder, or remove it")
    try:
        with being_written(folder):
            _write_set(folder, config, workers, say)
    except OSError as error:
        why = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        raise InputError(f"{folder}: {why}; without a {MANIFEST} the set is not whole: remove it") from error


def _write_set(folder: Path, config: StageConfig, workers: int, say: Callable[[str], None]) -> None:
    one = partial(_write_video, folder / "videos", config)
    numbers = range(config.videos)
    parts: list[_Written] = []
    if workers <= 1:
        for number in numbers:
            parts.append(one(number))
            _progress(number + 1, config.videos, say)
    else:
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads, as torch has, may hang
        with ProcessPoolExecutor(min(workers, os.cpu_count() or 1), mp_context=context) as pool:
            for number, part in enumerate(pool.map(one, numbers), start=1):
                parts.append(part)
                _progress(number, config.videos, say)
    first = config.videos - round(config.validation * config.videos)
    train, val = parts[:first], parts[first:]
    files: dict[str, list[Row]] = {
        "groundtruth.csv": _all(parts, "actions"), "train.csv": _all(train, "actions"), "val.csv": _all(val, "actions"),
        "excluded.csv": _all(parts, "cuts"),
        "primitives_train.csv": _all(train, "primitives"), "primitives_val.csv": _all(val, "primitives"),
        "proposals.csv": [["video", "time_s", "x1", "y1", "x2", "y2", "score"], *_all(parts, "proposals")],
        "people.csv": [["video", "time_s", "x1", "y1", "x2", "y2", "person"], *_all(parts, "people")],
        "labels.csv": [["id", "name", "group"], *([i, n, GROUPS[n]] for i, n in enumerate(ACTIONS, start=1))],
        "primitives.csv": [["id", "name", "group"], *([i, n, "PRIMITIVE"] for i, n in enumerate(PRIMITIVES, start=1))],
    }  # fmt: skip
    for name, rows in files.items():
        _write_csv(folder / name, rows)
    with atomic_path(folder / "events.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(event) + "\n" for part in parts for event in part.events))
    _write_manifest(folder, config)
    for name in ("train.csv", "val.csv"):
        never = [label for number, label in enumerate(ACTIONS, start=1) if all(row[6] != number for row in files[name])]
        if never and files[name] and not config.families:
            say(f"{name}: nobody does: {', '.join(never)}; more or longer videos have them all")


def _progress(done: int, total: int, say: Callable[[str], None]) -> None:
    if done % 20 == 0 or done == total:
        say(f"{done} of {total} videos")


def _all(parts: Iterable[_Written], what: str) -> list[Row]:
    return [row for part in parts for row in getattr(part, what)]


def video_name(config: StageConfig, number: int) -> str:
    """Of one video of a set: different seeds give different names, so that sets can be joined."""
    return f"stage_{config.seed}_{number:04d}"


def play_of(config: StageConfig, number: int) -> Play:
    """The script of one video of a set."""
    return write_play(video_name(config, number), (config.seed, number), config.seconds, config.families)


def _write_video(folder: Path, config: StageConfig, number: int) -> _Written:
    play = play_of(config, number)
    size = WIDTH * config.scale, HEIGHT * config.scale
    with VideoWriter(folder / f"{play.name}.mp4", *size, config.rate, exact=True) as writer:
        for time, picture in frames(play, config.rate, config.scale):
            writer.write(picture, time)
    return _Written(
        actions=list(action_rows(play)),
        primitives=list(primitive_rows(play)),
        proposals=list(proposals(play, (config.seed, number))),
        people=list(people_rows(play)),
        cuts=[[play.name, f"{second:04d}"] for second in (0, *play.cuts())],
        events=list(log(play)),
    )


def _write_csv(path: Path, rows: list[Row]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _write_manifest(folder: Path, config: StageConfig) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != INCOMPLETE)
    content = {
        "set": "stage",
        "format": FORMAT,
        "config": {name: getattr(config, name) for name in StageConfig.__dataclass_fields__},
        "files": {str(path.relative_to(folder)): sha256_of(path) for path in files},
    }
    with atomic_path(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
