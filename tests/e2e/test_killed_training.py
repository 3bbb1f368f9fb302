"""A training that is killed at any moment and started again ends with the same bits as one that was left alone."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

EVERYTHING = [
    "head.dropout=0.5", "transform.flip=0.5", "transform.brightness=0.3", "train.epochs=6", "train.batch_size=2",
    "train.save_every_steps=2", "train.ema=0.9", "train.accumulate=2",
]  # fmt: skip
"""all that is random, averaged or saved in a training without memory: 12 steps"""
ONLINE = ["train.epochs=3", "train.batch_size=2", "train.save_every_steps=2", "head=igmn", "memory.mode=online",
          "head.width=16", "head.memory_width=16", "head.hidden=16", "optim.lr=0.0005"]  # fmt: skip
OFFLINE = ["train.epochs=2", "head=lfb", "head.width=16", "memory.mode=offline", "optim.lr=0.0005"]


def check(play: Path, folder: Path, settings: list[str], kills: int, seed: int) -> Counter[str]:
    """Runs, kills, compares; returns how often what happened."""
    chosen = [f"data.root={play}", "transform.short_side=48", *settings]
    words = ["train", "debug", *(word for setting in chosen for word in ("--set", setting))]
    script = Path(__file__).with_name("killed_training.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder), str(kills), str(seed), *words],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    print("\n" + "\n".join(map(str, events)))
    alone = next(event["result"] for event in events if event["event"] == "alone")
    ended = [event["result"] for event in events if event["event"] == "ended"]
    assert ended
    assert all(result == alone for result in ended), [*ended, alone]
    assert not {"rehearsal"} & set(alone["names"].split())
    assert ".part" not in alone["names"]
    assert ".tmp" not in alone["names"]
    return Counter(event["event"] for event in events)


def test_a_training_killed_three_times(play: Path, tmp_path: Path):
    assert check(play, tmp_path, EVERYTHING, kills=3, seed=1)["killed"] == 3


@pytest.mark.slow
def test_a_training_killed_thirty_times(play: Path, tmp_path: Path):
    assert check(play, tmp_path, EVERYTHING, kills=30, seed=2)["killed"] == 30


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "kills"), [(ONLINE, 10), (OFFLINE, 10)], ids=["online", "offline"])
def test_a_training_with_memory_killed(settings: list[str], kills: int, play: Path, tmp_path: Path):
    assert check(play, tmp_path, settings, kills=kills, seed=3)["killed"] == kills


@pytest.mark.slow
def test_a_training_on_frozen_maps_killed(play: Path, weights: Path, tmp_path: Path):
    settings = ["train.epochs=2", "train.batch_size=2", "train.freeze_backbone=true", f"train.init={weights}"]
    assert check(play, tmp_path, settings, kills=8, seed=4)["killed"] == 8
