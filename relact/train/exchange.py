"""What the processes of a distributed training tell each other of the rows of a bank that each of them keeps."""

from dataclasses import replace

import numpy as np
import torch
import torch.distributed as dist

from relact.bank import Rows
from relact.bank.rows import Halves
from relact.types import Keyframe

Written = list[tuple[Keyframe, Rows, float]]
"""keyframe, its rows, the loss of the visit"""


def gather_rows(written: Written) -> Written:
    """What all processes have written, in the order of their ranks: who writes that ends with the same bank as all.

    Every process must call it as often as the others, also with nothing to tell. What came is returned where
    torch.distributed is not initialised.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return written
    ranks = dist.get_world_size()
    notes: list[list[tuple[Keyframe, Rows, float, tuple[int, int]]]] = [[] for _ in range(ranks)]
    dist.all_gather_object(notes, [(key, rows.without_features(), loss, _shape(rows)) for key, rows, loss in written])
    sizes = [sum(count * width for *_, (count, width) in of_rank) for of_rank in notes]
    values = _gather([rows.features for _, rows, _ in written], sizes)
    return [entry for of_rank, halves in zip(notes, values, strict=True) for entry in _filled(of_rank, halves)]


def _gather(features: list[Halves], sizes: list[int]) -> list[Halves]:
    """The features of every rank, one behind the other: as bytes, which every backend takes, and of one length."""
    device = torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
    mine = np.zeros(max(sizes), np.float16)
    np.concatenate([np.zeros(0, np.float16), *(part.ravel() for part in features)], out=mine[: sizes[dist.get_rank()]])
    padded = torch.from_numpy(mine.view(np.uint8)).to(device)
    everyone = [torch.empty_like(padded) for _ in sizes]
    if len(padded):
        dist.all_gather(everyone, padded)
    return [part.cpu().numpy().view(np.float16)[:size] for part, size in zip(everyone, sizes, strict=True)]


def _filled(notes: list[tuple[Keyframe, Rows, float, tuple[int, int]]], halves: Halves) -> Written:
    """The entries of a rank with their features again."""
    ends = np.cumsum([count * width for *_, (count, width) in notes]).tolist()
    return [
        (key, replace(rows, features=halves[end - count * width : end].reshape(count, width)), loss)
        for (key, rows, loss, (count, width)), end in zip(notes, ends, strict=True)
    ]


def _shape(rows: Rows) -> tuple[int, int]:
    count, width = rows.features.shape
    return count, width
