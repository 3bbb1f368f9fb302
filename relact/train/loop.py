"""The training loop."""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeVar

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import nn
from torch.utils.data import DataLoader

from relact.config import STRICT
from relact.data.collate import ShapeBatches
from relact.data.dataset import ClipDataset
from relact.train.checkpoint import Running, seed_step
from relact.train.distributed import rank
from relact.train.log import LogKind, TrainLog
from relact.train.optim import OptimConfig, rate
from relact.train.step import Trained, train_step
from relact.types import Batch

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainConfig:
    """How long and how."""

    epochs: int = Field(default=6, ge=1)
    batch_size: int = Field(default=8, ge=1)
    """clips of one step, over all processes: the rate, the schedule and the loss are those of this batch"""
    accumulate: int = Field(default=1, ge=1)
    """each process takes its share of a batch in so many parts, one after the other: less memory, same gradient"""
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
    checkpoint_backbone: bool = False
    """keep the inputs of the backbone's blocks only, and run these again in the backward pass: less memory, slower"""
    compile: bool = False
    """the backbone through torch.compile; each new size of clips is compiled anew"""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """judge and save a moving average of the weights with this decay, such as 0.999; None = the weights"""
    save_every_steps: int | None = Field(default=None, ge=1)
    """save what a stopped run needs also within an epoch; None = after each epoch alone"""
    logs: tuple[LogKind, ...] = ()
    """beside log.jsonl: csv (log.csv), tensorboard (a folder tensorboard/; an extra of the installation)"""


IMMATERIAL = ("workers", "maps", "save_every_steps", "logs")
"""fields of `TrainConfig` that a run may be resumed with other values of: they do not change what comes out"""


def fit(
    trained: Trained,
    batches: "DataLoader[Batch | None]",
    running: Running,
    *,
    config: TrainConfig,
    optim: OptimConfig,
    log: TrainLog | None,
    save: Callable[[], None],
    end_epoch: Callable[[], None],
) -> None:
    """All steps behind those that are done; `save()` within epochs and `end_epoch()` after each of them.

    Only the first of several processes has a log.
    """
    progress, steps = running.progress, _sampler(batches).steps
    for epoch in range(progress.step // steps, config.epochs):
        set_position(batches, epoch, progress.step % steps)
        set_modes(trained, running.model, config)
        for parts in _grouped(batches, config.accumulate):
            moment = epoch + progress.step % steps / steps
            lr = rate(optim, moment, config.epochs)
            for group in running.optimiser.param_groups:
                group["lr"] = lr
            seed_step(config.seed, progress.step, rank())
            loss = train_step(trained, parts, running.optimiser, clip_norm=optim.clip_norm, memory=running.memory)
            if running.average is not None:
                running.average.update(running.model, progress.step)
            if log is not None:
                log.step(epoch=round(moment, 4), step=progress.step, loss=loss, lr=lr)
            progress.step, progress.loss = progress.step + 1, progress.loss + loss
            if progress.step % steps and progress.step % (config.save_every_steps or steps) == 0:
                save()
        if log is not None:
            log.epoch(epoch + 1, progress.loss / steps)
        progress.loss = 0.0
        end_epoch()


def _grouped(items: Iterable[T], count: int) -> Iterator[tuple[T, ...]]:
    """So many at a time."""
    return zip(*[iter(items)] * count, strict=True)


def _sampler(batches: "DataLoader[Batch | None]") -> ShapeBatches:
    assert isinstance(batches.batch_sampler, ShapeBatches)
    return batches.batch_sampler


def set_position(batches: "DataLoader[Batch | None]", epoch: int, step: int = 0) -> None:
    """So that order and augmentation depend on the seed and the epoch alone, also after a resume in its middle."""
    sampler = _sampler(batches)
    assert isinstance(batches.dataset, ClipDataset)
    sampler.epoch = batches.dataset.epoch = epoch
    sampler.first = step


def set_modes(trained: Trained, model: nn.Module, config: TrainConfig) -> None:
    """Everything trains but what is frozen."""
    trained.train()
    backbone = model.get_submodule("backbone")
    if config.freeze_backbone:
        backbone.eval()
    elif config.freeze_bn:
        freeze_statistics(backbone.modules())


def freeze_statistics(modules: Iterable[nn.Module]) -> None:
    """Batch norms use and keep their running statistics while everything else trains."""
    for module in modules:
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
