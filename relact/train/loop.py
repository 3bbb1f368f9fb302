"""The training loop."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import nn
from torch.utils.data import DataLoader

from relact.config import STRICT
from relact.data.collate import ShapeBatches
from relact.data.dataset import ClipDataset
from relact.losses import LossConfig, action_loss
from relact.model import ActionDetector
from relact.nn.precision import autocast
from relact.train.log import TrainLog
from relact.train.memory import OnlineMemory
from relact.train.optim import OptimConfig, rate
from relact.types import Batch


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainConfig:
    """How long and how."""

    epochs: int = Field(default=6, ge=1)
    batch_size: int = Field(default=8, ge=1)
    workers: int = Field(default=2, ge=0)
    """processes that decode; 0 = in the training process"""
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    freeze_bn: bool = False
    """keep the backbone's batch statistics as loaded, still training their scales (ACAR-Net)"""
    freeze_backbone: bool = False
    """train the head alone, on maps that the backbone of `init` made once of every keyframe; no augmentation then"""
    maps: str | None = None
    """with freeze_backbone: a folder for these maps, shared by runs on the same backbone; None = in the run folder"""
    init: str | None = None
    """backbone weights to start from: a run folder, a file, or a name of `relact weights list`"""


def train_epoch(
    model: ActionDetector,
    batches: "DataLoader[Batch]",
    optimiser: torch.optim.Optimizer,
    *,
    epoch: int,
    epochs: int,
    optim: OptimConfig,
    loss: LossConfig,
    dtype: torch.dtype,
    log: TrainLog,
    memory: OnlineMemory | None = None,
) -> float:
    """One pass over the data; returns the mean loss."""
    total, steps = 0.0, 0
    for step, batch in enumerate(batches):
        moment = epoch + step / len(batches)
        for group in optimiser.param_groups:
            group["lr"] = rate(optim, moment, epochs)
        value = train_step(model, batch, optimiser, optim=optim, loss=loss, dtype=dtype, memory=memory)
        total, steps = total + value, steps + 1
        log.step(
            epoch=round(moment, 4),
            step=epoch * len(batches) + step,
            loss=value,
            lr=rate(optim, moment, epochs),
        )
    return total / max(steps, 1)


def train_step(
    model: ActionDetector,
    batch: Batch,
    optimiser: torch.optim.Optimizer,
    *,
    optim: OptimConfig,
    loss: LossConfig,
    dtype: torch.dtype,
    memory: OnlineMemory | None = None,
) -> float:
    """Forward, loss, backward, step, between reading and writing an online memory.

    A loss that is not finite stops training and says on which keyframes.
    """
    batch = (memory.read(batch) if memory is not None else batch).to(next(model.parameters()).device)
    with autocast(batch.frames.device, dtype):
        output = model(
            batch.frames, batch.actors, valid=batch.valid, memory=batch.memory, labels=batch.labels, maps=batch.maps
        )
    value = action_loss(output.logits, batch.labels, exclusive=model.exclusive, config=loss)
    for part in output.relations.aux.values():
        value = value + part
    if not bool(torch.isfinite(value)):
        parts = {name: float(part.detach()) for name, part in output.relations.aux.items()}
        raise FloatingPointError(
            f"the loss is {value.detach():g} (parts {parts}) on {list(batch.keys)[:4]}: lower optim.lr?"
        )
    optimiser.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    if optim.clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), optim.clip_norm)
    optimiser.step()
    if memory is not None:
        assert output.relations.store is not None, "a head with memory stores rows for it"
        memory.write(batch, output.relations.store, float(value.detach()))
    return float(value.detach())


def fit(
    model: ActionDetector,
    batches: "DataLoader[Batch]",
    optimiser: torch.optim.Optimizer,
    *,
    config: TrainConfig,
    optim: OptimConfig,
    loss: LossConfig,
    dtype: torch.dtype,
    folder: Path,
    save: Callable[[int], None],
    memory: OnlineMemory | None = None,
    first_epoch: int = 0,
    quiet: bool = False,
) -> None:
    """All epochs from `first_epoch` on; `save(epochs_done)` after each."""
    log_path, total = folder / "log.jsonl", config.epochs * len(batches)
    with TrainLog(log_path, total, done=first_epoch * len(batches), quiet=quiet) as log:
        for epoch in range(first_epoch, config.epochs):
            set_epoch(batches, epoch)
            model.train()
            if config.freeze_backbone:
                model.backbone.eval()
            elif config.freeze_bn:
                freeze_statistics(model.backbone.modules())
            mean = train_epoch(
                model,
                batches,
                optimiser,
                epoch=epoch,
                epochs=config.epochs,
                optim=optim,
                loss=loss,
                dtype=dtype,
                log=log,
                memory=memory,
            )
            log.epoch(epoch + 1, mean)
            save(epoch + 1)


def set_epoch(batches: "DataLoader[Batch]", epoch: int) -> None:
    """So that order and augmentation depend on the seed and the epoch alone, also after a resume."""
    assert isinstance(batches.batch_sampler, ShapeBatches)
    assert isinstance(batches.dataset, ClipDataset)
    batches.batch_sampler.epoch = batches.dataset.epoch = epoch


def freeze_statistics(modules: Iterable[nn.Module]) -> None:
    """Batch norms use and keep their running statistics while everything else trains."""
    for module in modules:
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
