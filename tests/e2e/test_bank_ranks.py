"""Two processes that each see half of every batch end with the bank of one that sees it all."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from relact.bank import OnlineBank, Rows
from relact.bank.online import Update
from relact.head import MemorySpec
from relact.train.exchange import gather_rows
from relact.types import Keyframe

DIM, BATCH, RANKS = 6, 4, 2
KEYS = [Keyframe(f"v{i % 3}", i // 3) for i in range(21)]
ROOM = [i % 4 for i in range(21)]
"""people of each keyframe, often none"""


def steps() -> list[list[tuple[Keyframe, Rows, float]]]:
    """Two epochs of batches. The last one of each is short; a keyframe comes twice in it, as samplers pad."""
    random = np.random.default_rng(5)
    batches = []
    for _ in range(2):
        order = random.permutation(len(KEYS)).tolist()
        for begin in range(0, len(KEYS), BATCH):
            chosen = order[begin : begin + BATCH]
            batches.append([entry(KEYS[i], ROOM[i], random) for i in chosen])
        batches[-1].append(entry(KEYS[order[-1]], ROOM[order[-1]], random))
    return batches


def entry(key: Keyframe, count: int, random: np.random.Generator) -> tuple[Keyframe, Rows, float]:
    loss = float(random.random())
    rows = Rows.of(
        key.tick, random.normal(size=(count, DIM)), boxes=random.random((count, 4)), score=random.random(count),
        track=random.integers(0, 9, count), tag=loss,
    )  # fmt: skip
    return key, rows, loss


def fill(update: Update, rank: int, ranks: int, path: Path) -> None:
    bank = OnlineBank(KEYS, ROOM, dim=DIM, update=update)
    spec = MemorySpec(radius=3, dim=DIM)
    for batch in steps():
        share = (len(batch) + ranks - 1) // ranks
        mine = batch[rank * share : (rank + 1) * share]
        bank.window([key for key, _, _ in mine], spec)
        for key, rows, loss in gather_rows(mine):
            bank.write(key, rows, loss)
    bank.save(path)


def in_process(rank: int, update: Update, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS)
    try:
        fill(update, rank, RANKS, Path(folder) / f"{rank}.safetensors")
        nothing = gather_rows([])
        assert nothing == []
        alone = gather_rows([entry(KEYS[1], 1, np.random.default_rng(0))] if rank == 1 else [])
        assert [key for key, _, _ in alone] == [KEYS[1]]
        assert [len(rows) for _, rows, _ in alone] == [1]
    finally:
        dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_gloo_available(), reason="this PyTorch has no gloo")
@pytest.mark.parametrize("update", ["overwrite", "lower_loss"])
def test_two_processes_end_with_the_same_bank_as_one(update: Update, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fill(update, 0, 1, tmp_path / "one.safetensors")
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    mp.spawn(in_process, (update, str(tmp_path)), nprocs=RANKS)
    one = (tmp_path / "one.safetensors").read_bytes()
    assert [(tmp_path / f"{rank}.safetensors").read_bytes() == one for rank in range(RANKS)] == [True, True]


def test_the_scene_of_the_test_tells_the_updates_apart(tmp_path: Path):
    for update in ("overwrite", "lower_loss"):
        fill(update, 0, 1, tmp_path / update)
    assert (tmp_path / "overwrite").read_bytes() != (tmp_path / "lower_loss").read_bytes()


def test_without_processes_nothing_changes():
    written = [entry(KEYS[1], 1, np.random.default_rng(0))]
    assert gather_rows(written) is written
    assert not torch.distributed.is_initialized()
