"""One step of the optimiser: over the clips of all processes, taken in one part or several."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from relact.losses import LossConfig, action_loss
from relact.model import ActionDetector
from relact.nn.precision import autocast
from relact.train.distributed import gathered, size, total
from relact.train.memory import OnlineMemory
from relact.types import Batch, Keyframe

Named = dict[str, Tensor]
Faulty = tuple[float, dict[str, float], list[Keyframe]]
"""a loss that is not finite, its parts, and where"""


class Objective(nn.Module):
    """A model and its loss as one module, so that everything which asks for gradients runs inside `forward`."""

    def __init__(self, model: ActionDetector, *, loss: LossConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.dtype = dtype

    def forward(self, batch: Batch | None) -> tuple[Tensor, Tensor | None, Named]:
        """The mean loss of a batch, the rows that the head stores of its actors, and the head's own losses by name.

        None is no clip at all: a process with nothing to do takes part in the step with a loss of 0.
        """
        if batch is None:
            return self.model.classifier.weight.sum() * 0, None, {}
        with autocast(batch.frames.device, self.dtype):
            output = self.model(
                batch.frames, batch.actors, valid=batch.valid, memory=batch.memory, labels=batch.labels, maps=batch.maps
            )
        value = action_loss(output.logits, batch.labels, exclusive=self.model.exclusive, config=self.loss)
        for part in output.relations.aux.values():
            value = value + part
        store = output.relations.store
        parts = {name: part.detach() for name, part in output.relations.aux.items()}
        return value, None if store is None else store.detach(), parts

    def rows(self, batch: Batch | None) -> float:
        """How many actors the mean loss of a batch is over."""
        if batch is None:
            return 0.0
        return float(batch.labels.sum()) if self.loss.kind == "cross_entropy" else float(len(batch.actors))


def compiled(model: ActionDetector) -> ActionDetector:
    """The same parameters behind a compiled backbone; the given model stays plain, for judging."""
    backbone = copy(model.backbone)
    backbone.compile()
    return model.with_backbone(backbone)


Trained = Objective | DistributedDataParallel


def shared(objective: Objective) -> Trained:
    """The same, its gradients averaged over the processes, where there are several.

    Heads may leave parameters out where a batch has no actors or no memory: these are looked for at each step.
    """
    if size() == 1:
        return objective
    # nothing reads it: where no parameter is left out in the first step, PyTorch warns on every screen
    objective.register_parameter("left_out", nn.Parameter(torch.zeros((), device=objective.model.mean.device)))
    return DistributedDataParallel(objective, find_unused_parameters=True)


def train_step(
    trained: Trained,
    parts: Sequence[Batch | None],
    optimiser: torch.optim.Optimizer,
    *,
    clip_norm: float | None = None,
    memory: OnlineMemory | None = None,
) -> float:
    """Forward, loss, backward, step, between reading and writing an online memory; returns the loss of all processes.

    `parts` are this process' share of the batch; the gradient is that of the whole batch, each part weighted by its
    actors among those of all parts of all processes. A loss that is not finite stops training in all of them, before
    the weights have changed, and says on which keyframes.
    """
    objective = trained.module if isinstance(trained, DistributedDataParallel) else trained
    assert isinstance(objective, Objective)
    device = objective.model.mean.device
    actors = max(total(sum(map(objective.rows, parts))), 1.0)
    optimiser.zero_grad(set_to_none=True)
    value, faulty = 0.0, list[Faulty]()
    seen: list[tuple[Batch, Tensor]] = []
    todo = _not_empty(parts)
    for number, part in enumerate(todo, start=1):
        share = objective.rows(part) / actors
        batch = None if part is None else (memory.read(part) if memory is not None else part).to(device)
        with _apart(trained) if number < len(todo) else nullcontext():
            loss, store, named = trained(batch)
            (loss * (share * size())).backward()  # the average over processes is then the sum
        own = float(loss.detach())
        value += own * share
        if batch is not None and not math.isfinite(own):
            faulty.append((own, {name: float(loss) for name, loss in named.items()}, list(batch.keys)))
        if memory is not None and batch is not None:
            assert store is not None, "a head with memory stores rows for it"
            seen.append((batch, store))
    value = total(value)
    if total(len(faulty)):
        raise FloatingPointError(_diagnosis(gathered(faulty)))
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(objective.parameters(), clip_norm)
    optimiser.step()
    if memory is not None:
        memory.write(seen, value)
    return value


Part = TypeVar("Part")


def _not_empty(parts: Sequence[Part | None]) -> Sequence[Part | None]:
    """At least one, for a process must take part in every step."""
    return [part for part in parts if part is not None] or [None]


def _apart(trained: Trained) -> AbstractContextManager[None]:
    """Gradients are added up here before they are averaged over the processes."""
    return trained.no_sync() if isinstance(trained, DistributedDataParallel) else nullcontext()


def _diagnosis(found: Sequence[Sequence[Faulty]]) -> str:
    value, parts, keys = next(faulty for of_process in found for faulty in of_process)
    return f"the loss is {value:g} (parts {parts}) on {keys[:4]}: lower optim.lr?"
