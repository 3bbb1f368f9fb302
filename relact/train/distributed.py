"""The processes of one run, as `torchrun` starts them: who each is, and what they tell each other.

Everything here also works in a process that is alone, and then costs nothing.
"""

import atexit
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn

from relact.errors import InputError
from relact.nn.precision import default_device

T = TypeVar("T")

PATIENCE = timedelta(days=14)
"""How long a process waits for another: the first fills a bank or judges while the others wait. torchrun ends them all
when one dies, so that nobody waits for the dead."""


def meet(device: str | None) -> torch.device:
    """Joins the processes that torchrun has started, if it has, until this one ends; returns its own device.

    On GPUs each process has one. Raises InputError where there are more processes than GPUs, and for a GPU by number.
    """
    where = torch.device(device) if device else default_device()
    if not _launched():
        return where
    where = _own(where)
    if not dist.is_initialized():
        dist.init_process_group("gloo" if where.type == "cpu" else "cpu:gloo,cuda:nccl", timeout=PATIENCE)
        atexit.register(dist.destroy_process_group)
    return where


def _launched() -> bool:
    """Whether torchrun, or a cluster in its way, has said who is who."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys() and int(os.environ["WORLD_SIZE"]) > 1


def _own(where: torch.device) -> torch.device:
    if where.type != "cuda":
        return where
    local, here = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if where.index not in (None, local):
        raise InputError(f"--device {where}: torchrun gives each process a GPU of its own; leave the number out")
    if local >= here:
        raise InputError(
            f"torchrun has started at least {local + 1} processes on this machine, which has {here} GPU(s): "
            f"give --nproc-per-node {here}, or --device cpu"
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if size() > 1 else 0


def is_first() -> bool:
    """Whether this one writes, logs and talks."""
    return rank() == 0


def total(value: float) -> float:
    """The sum over all processes, the same in each."""
    if size() == 1:
        return value
    tensor = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(tensor)
    return float(tensor)


def gathered(value: T) -> list[T]:
    """The value of every process, by rank."""
    if size() == 1:
        return [value]
    values: list[T] = [value] * size()
    dist.all_gather_object(values, value)
    return values


def told(work: Callable[[], T]) -> T:
    """What the first process makes of `work`, in each; the others only wait for it."""
    if size() == 1:
        return work()
    answer: list[T | None] = [work() if rank() == 0 else None]
    dist.broadcast_object_list(answer, src=0)
    return answer[0]  # type: ignore[return-value]  # never None unless `work` says so


def wait() -> None:
    """Until all are here."""
    told(lambda: None)


def mine(everything: list[T]) -> list[T]:
    """The share that this process has of what can be done in any order."""
    return everything[rank() :: size()]


def normalise_together(model: nn.Module, parts: Sequence[str], where: torch.device) -> bool:
    """On several GPUs batch norms of these parts see the clips of all processes. Returns whether there are any.

    Then no process may be without a clip in a forward pass. A CPU has no such layer: there each sees its own clips.
    """
    if size() == 1 or where.type != "cuda":
        return False
    convert: Callable[[nn.Module], nn.Module] = nn.SyncBatchNorm.convert_sync_batchnorm
    for part in parts:
        setattr(model, part, convert(model.get_submodule(part)))
    return any(isinstance(module, nn.SyncBatchNorm) for module in model.modules())
