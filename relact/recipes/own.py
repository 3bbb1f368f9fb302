"""One's own labels: a folder that `relact data convert` made (docs/tutorials/own-data.md)."""

from dataclasses import replace

from relact import backbones
from relact.data.ava import AvaData
from relact.data.transforms import TransformConfig
from relact.heads import acar, linear
from relact.losses import LossConfig
from relact.recipe import Recipe
from relact.train.loop import TrainConfig
from relact.train.optim import OptimConfig


def own_small() -> Recipe:
    """One's own labels on a CPU: a narrow SlowFast from scratch, judged on the clips that it learns."""
    return Recipe(
        name="own_small",
        data=AvaData(source="custom", root="own", cap=0),
        backbone=backbones.config("slowfast_debug"),
        head=linear.Config(dropout=0.0),
        loss=LossConfig(kind="ava"),
        transform=TransformConfig(short_side=128, flip=0.5),
        optim=OptimConfig(
            kind="adamw", lr=2e-3, weight_decay=1e-4, warmup_epochs=1, warmup_start=0.01, clip_norm=5.0
        ),
        train=TrainConfig(epochs=20, batch_size=8, workers=0, precision="fp32"),
    )  # fmt: skip


def own() -> Recipe:
    """One's own labels on a GPU: ACAR-Net on SlowFast R50 of Kinetics-400; give data.val for videos kept apart."""
    return replace(
        own_small(),
        name="own",
        backbone=backbones.config("slowfast_r50_8x8"),
        head=acar.Config(),
        transform=TransformConfig(short_side=256, flip=0.5, box_jitter=0.075),
        optim=OptimConfig(lr=0.016, lr_batch=8, warmup_epochs=1, warmup_start=0.125, clip_norm=5.0),
        train=TrainConfig(epochs=10, batch_size=8, freeze_bn=True, init="slowfast_r50_8x8_k400_pyslowfast"),
    )
