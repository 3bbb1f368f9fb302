"""Two processes, started by torchrun as a user starts them, train what one process trains."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file

from relact.recipe import override
from relact.recipes import load
from relact.run import train
from tests.make_stage import make_stage

pytestmark = pytest.mark.skipif(not dist.is_gloo_available(), reason="this PyTorch has no gloo")

EXACT = {
    "transform.short_side": "48", "transform.flip": "0.5", "train.epochs": "2", "train.batch_size": "4",
    "train.freeze_bn": "true", "optim.kind": "sgd", "optim.lr": "0.05",
}  # fmt: skip
"""6 keyframes: a batch of 4, and one of 2; SGD, for AdamW makes large steps of tiny differences"""
PARTS = {"train.batch_size": "5", "train.ema": "0.9", "train.logs": '["csv"]'}
"""of the last batch, of one clip, the second process has nothing"""
CROPPED = {
    "transform.short_side": "96", "transform.crop": "48", "train.batch_size": "2", "train.seed": "1", "head": "acar",
    "head.reduce": "8", "head.width": "8", "head.dropout": "0", "head.operator_dropout": "0",
}  # fmt: skip
"""clips, parts and whole batches without anybody, and a head between people"""
ONLINE = {
    "transform.flip": "0", "head": "pairwise:aia_serial", "head.reduce": "16", "head.hidden": "16", "head.dropout": "0",
    "head.relation_dropout": "0", "memory.mode": "online", "optim.lr": "0.01",
}  # fmt: skip
OFFLINE = {
    "transform.flip": "0", "head": "lfb", "head.width": "16", "head.dropout": "0",
    "head.layer_dropout": "0", "memory.mode": "offline",
    "train.freeze_backbone": "true",
}  # fmt: skip
DIVERGING = {"optim.lr": "1e30", "optim.warmup_start": "1e-32"}


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos: six keyframes."""
    return make_stage(tmp_path_factory.mktemp("three"), videos=3)


def words(out: Path, three: Path, *settings: dict[str, str]) -> list[str]:
    """`relact train debug` with these, the later of two wins."""
    chosen = {"data.root": str(three)}
    for part in (EXACT, *settings):
        chosen |= part
    return ["train", "debug", "-o", str(out), *(w for name, v in chosen.items() for w in ("--set", f"{name}={v}"))]


def alone(out: Path, three: Path, *settings: dict[str, str]) -> Path:
    chosen = {"data.root": str(three)}
    for part in (EXACT, *settings):
        chosen |= part
    train(override(load("debug"), chosen), out, say=lambda _: None, quiet=True)
    return out


def together(arguments: list[str]) -> str:
    """Two processes of this Python with these arguments; returns all that they say."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}", *arguments],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def losses(run: Path) -> list[float]:
    entries = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [entry["loss"] for entry in entries if "loss" in entry]


def compare(one: Path, two: Path) -> None:
    assert len(losses(one)) > 2
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    weights, others = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    for name, value in weights.items():
        torch.testing.assert_close(others[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_two_processes_train_what_one_trains(three: Path, tmp_path: Path):
    parts = {"train.accumulate": "2", "train.checkpoint_backbone": "true"}
    said = together(["-m", "relact", *words(tmp_path / "two", three, PARTS, parts)])
    assert "2 processes" in said
    assert said.count("mAP@0.5") == 1, "only the first talks"
    assert "Warning" not in said
    one = alone(tmp_path / "one", three, PARTS)
    compare(one, tmp_path / "two")
    assert {p.name for p in (tmp_path / "two").iterdir()} == {p.name for p in one.iterdir()}


@pytest.fixture(scope="module")
def pairs(three: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Several trainings and a test in one start of two processes, and what was said."""
    folder = tmp_path_factory.mktemp("pairs")
    commands = [
        words(folder / "cropped", three, CROPPED), ["test", str(folder / "cropped")],
        words(folder / "online", three, ONLINE), words(folder / "diverging", three, DIVERGING),
    ]  # fmt: skip
    return folder, together([str(Path(__file__).with_name("several_trainings.py")), json.dumps(commands)])


def test_clips_without_people_do_not_hang_and_do_not_count(pairs: tuple[Path, str], three: Path, tmp_path: Path):
    folder, said = pairs
    one = alone(tmp_path / "one", three, CROPPED)
    assert 0.0 in losses(one), "no batch without people: choose another seed"
    assert any(losses(one))
    compare(one, folder / "cropped")
    assert said.count("mAP@0.5") == 3, "two trainings and a test, each told once"
    assert (folder / "cropped" / "predictions.csv").read_text().count("\n") == (
        (one / "predictions.csv").read_text().count("\n")
    )


def test_both_keep_the_same_bank_as_one(pairs: tuple[Path, str], three: Path, tmp_path: Path):
    one, two = alone(tmp_path / "one", three, ONLINE), pairs[0] / "online"
    compare(one, two)
    [bank], [other] = ([*run.glob("bank.*.safetensors")] for run in (one, two))
    expected, got = load_file(bank), load_file(other)
    assert torch.equal(got["count"], expected["count"])
    torch.testing.assert_close(got["loss"], expected["loss"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(got["features"].float(), expected["features"].float(), rtol=1e-2, atol=1e-3)


def test_a_loss_that_is_not_finite_stops_both(pairs: tuple[Path, str]):
    said = pairs[1]
    assert said.count("stopped: the loss is") == 2
    assert said.count("on [Keyframe(video='stage_3_000") == 2


@pytest.mark.slow
def test_two_processes_fill_one_bank_and_one_store_of_maps(three: Path, weights: Path, tmp_path: Path):
    settings = {**OFFLINE, "train.init": str(weights)}
    together(["-m", "relact", *words(tmp_path / "two", three, settings)])
    compare(alone(tmp_path / "one", three, settings), tmp_path / "two")
    for run in ("one", "two"):
        assert len([*(tmp_path / run / "bank" / "train").glob("*.safetensors")]) == 3
