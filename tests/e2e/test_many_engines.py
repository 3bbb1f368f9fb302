"""`relact detect` of many videos by a local Ray of two workers and by two processes of torchrun; some are killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from relact.data.encode import VideoWriter
from relact.run import detect_files
from relact.run.many_engines import detect_many
from relact.video.pipeline import DetectConfig
from tests.make_stage import make_stage

pytest.importorskip("pyarrow", reason="the Parquet set needs pyarrow")

CONFIG = DetectConfig(draw=False, formats=("parquet",))
NAMES = [f"stage_3_{number:04d}" for number in range(4)]

_PATIENCE_S = 400

DETECTOR = """
import os, signal, time
import numpy as np

def find(pictures):
    time.sleep(0.2 * len(pictures))
    if "RELACT_TEST_KILLS" in os.environ and max(picture.mean() for picture in pictures) < 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return [(np.array([[20., 30, 60, 90]], np.float32), np.array([.9], np.float32)) for _ in pictures]
"""
"""Slow enough to be killed at work; dies of black pictures."""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """Four good videos, one that is none, a detector, and what a plain run makes of the good ones."""
    folder = tmp_path_factory.mktemp("many")
    make_stage(folder / "play", videos=4)
    (folder / "play" / "videos").rename(folder / "films")
    (folder / "films" / "broken.mp4").write_text("not a video")
    (folder / "mine.py").write_text(DETECTOR)
    with _one_thread():
        results = detect_files(
            [str(folder / "films" / f"{name}.mp4") for name in NAMES], weights=weights, out=folder / "plain",
            detector=f"{folder / 'mine.py'}:find", config=CONFIG, report=False, say=_silent,
        )  # fmt: skip
    assert not any(result.error for result in results)
    return folder


@pytest.fixture
def black(work: Path) -> Iterator[Path]:
    """A video that its workers die of."""
    path = work / "films" / "black.mp4"
    with VideoWriter(path, 64, 64, fps=10) as video:
        for k in range(20):
            video.write(np.zeros((64, 64, 3), np.uint8), k / 10)
    yield path
    path.unlink()


@pytest.mark.slow
def test_ray_with_a_killed_worker_and_a_killing_video(work: Path, black: Path, weights: Path):
    pytest.importorskip("ray", reason="needs Ray")
    out = work / "ray"
    command = [sys.executable, "-m", "relact", "detect", *_words(work, weights, out),
               "--engine", "ray", "--workers", "2", "--retries", "1"]  # fmt: skip
    with _started(command, RAY_ADDRESS="local", RELACT_TEST_KILLS="1") as job:
        victim = _kill_one(out, job)
        said, _ = job.communicate(timeout=_PATIENCE_S)
    record = _record(out)
    assert job.returncode == 1, said
    assert {name: entry["state"] for name, entry in record.items()} == {
        **dict.fromkeys(NAMES, "done"), "broken": "failed", "black": "failed",
    }  # fmt: skip
    assert record[victim]["attempts"] == 2, said
    assert record["black"]["attempts"] == 2
    assert f"{black}: its worker was killed (for memory?), 2 times" in said
    assert "broken.mp4: is not a video" in said
    _same_as_plain(work, out)
    _nothing_to_do(work, black, weights, out)


@pytest.mark.slow
def test_torchrun_with_two_processes_one_of_which_is_killed(work: Path, weights: Path):
    out = work / "torchrun"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = ["-m", "relact", "detect", *_words(work, weights, out)]
    with _started([*torchrun, "--max-restarts", "1", *words]) as job:
        victim = _kill_one(out, job)
        said, _ = job.communicate(timeout=_PATIENCE_S)
    record = _record(out)
    assert {name: entry["state"] for name, entry in record.items()} == {
        **dict.fromkeys(NAMES, "done"),
        "broken": "failed",
    }
    assert job.returncode == 1, "a video failed, and the one restart was used"
    assert said.count("5 videos:") == 1, said
    assert record[victim]["attempts"] == 2, said
    assert len({entry["worker"] for entry in record.values()}) > 1
    _same_as_plain(work, out)
    before = _times(out)
    (work / "films" / "broken.mp4").rename(work / "broken.away")
    try:
        again = subprocess.run([*torchrun, *words], env=_environment(), capture_output=True, text=True, check=False)
    finally:
        (work / "broken.away").rename(work / "films" / "broken.mp4")
    assert again.returncode == 0, again.stderr
    assert "4 videos: 0 done, 0 failed, 4 done before" in again.stderr
    assert _times(out) == before


def _words(work: Path, weights: Path, out: Path) -> list[str]:
    return [str(work / "films"), "-w", str(weights), "-o", str(out), "--detector", f"{work / 'mine.py'}:find"]


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


@contextlib.contextmanager
def _started(command: list[str], **more: str) -> Iterator["subprocess.Popen[str]"]:
    """Ended, and told to end what it started, where the test fails."""
    with subprocess.Popen(
        command, env=_environment(**more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as job:
        try:
            yield job
        finally:
            if job.poll() is None:
                job.terminate()


def _kill_one(out: Path, job: "subprocess.Popen[str]") -> str:
    """Kills a worker that is in the middle of a good video, and has detected people in some pictures; which video."""
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until and job.poll() is None:
        for name in NAMES:
            state, journal = out / ".state" / f"{name}.json", out / name / ".resume" / "journal.bin"
            if state.is_file() and journal.is_file() and journal.stat().st_size > 2000:
                known = json.loads(state.read_text())
                if known["state"] == "running":
                    os.kill(int(known["worker"].partition(":")[2]), signal.SIGKILL)
                    return name
        time.sleep(0.02)
    raise AssertionError(f"no worker was at work: {job.communicate()[0] if job.poll() is not None else 'it hangs'}")


def _record(out: Path) -> dict[str, dict[str, object]]:
    return {entry["name"]: entry for entry in map(json.loads, (out / "videos.jsonl").read_text().splitlines())}


def _same_as_plain(work: Path, out: Path) -> None:
    assert sorted(path.stem for path in (out / "detections").iterdir()) == NAMES
    for name in NAMES:
        for file in ("actions.parquet", "segments.csv", "ava.csv"):
            assert (out / name / file).read_bytes() == (work / "plain" / name / file).read_bytes(), (name, file)
        assert (out / "detections" / f"{name}.parquet").samefile(out / name / "actions.parquet")


def _nothing_to_do(work: Path, black: Path, weights: Path, out: Path) -> None:
    """Whatever the engine is, and where one process does it."""
    before = _times(out)
    black.rename(work / "black.away")
    try:
        again = detect_many(
            [str(work / "films")], weights=weights, out=out, detector=f"{work / 'mine.py'}:find", config=CONFIG,
            say=_silent,
        )  # fmt: skip
    finally:
        (work / "black.away").rename(black)
    assert [outcome.state for outcome in again] == ["failed", *["skipped"] * 4]
    assert _times(out) == before


def _times(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "detections").iterdir()}


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """The bits of a score depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _silent(text: str) -> None:
    pass
