"""Optimiser and learning rate."""

import math
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import nn

from relact.config import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OptimConfig:
    """Defaults are ACAR-Net's (spec: SGD with Nesterov momentum, weight decay 1e-7 on everything)."""

    kind: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(default=0.01, gt=0)
    """peak"""
    lr_batch: int | None = Field(default=None, ge=1)
    """the batch that `lr` is meant for: with another one the rate is scaled linearly; None = `lr` as it is"""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-7, ge=0)
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    hold: float = Field(default=0.0, ge=0, lt=1)
    """cosine: this part of training stays at the peak before the rate falls; it helps some heads (docs/stage.md)"""
    milestones: tuple[float, ...] = ()
    """step: epochs, fractions allowed, at which the rate falls to a tenth"""
    warmup_epochs: float = Field(default=0.0, ge=0)
    warmup_start: float = Field(default=0.1, ge=0, le=1)
    """the rate climbs linearly from this part of the peak"""
    clip_norm: float | None = Field(default=None, gt=0)


def for_batch(config: OptimConfig, batch_size: int) -> OptimConfig:
    """The same with the rate of this batch, all processes together."""
    if config.lr_batch is None:
        return config
    return replace(config, lr=config.lr * batch_size / config.lr_batch, lr_batch=None)


def optimiser(model: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """Over every parameter that wants a gradient."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if config.kind == "adamw":
        return torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        parameters,
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
        weight_decay=config.weight_decay,
    )


def rate(config: OptimConfig, epoch: float, epochs: int) -> float:
    """Learning rate at a moment of training, in epochs (2.5 = half way through the third)."""
    if epoch < config.warmup_epochs:
        return config.lr * (config.warmup_start + (1 - config.warmup_start) * epoch / config.warmup_epochs)
    if config.schedule == "cosine":
        start = max(config.warmup_epochs, config.hold * epochs)
        done = max(epoch - start, 0) / max(epochs - start, 1e-9)
        return config.lr * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    if config.schedule == "step":
        return config.lr * 0.1 ** sum(epoch >= milestone for milestone in config.milestones)
    return config.lr
