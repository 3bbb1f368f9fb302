"""The smallest recipe: the whole chain in a minute on a CPU."""

from relact import backbones
from relact.data.ava import AvaData
from relact.data.transforms import TransformConfig
from relact.heads import linear
from relact.losses import LossConfig
from relact.recipe import Recipe
from relact.train.loop import TrainConfig
from relact.train.optim import OptimConfig


def debug() -> Recipe:
    """A narrow SlowFast on a few little plays (relact data stage --scale 1): what the tests train."""
    return Recipe(
        name="debug",
        data=AvaData(root="play", cap=0),
        backbone=backbones.config("slowfast_debug"),
        head=linear.Config(dropout=0.0),
        loss=LossConfig(kind="ava"),
        transform=TransformConfig(short_side=96, flip=0.0),
        optim=OptimConfig(  # the start is low enough for the widest head
            kind="adamw", lr=2e-3, weight_decay=1e-4, warmup_epochs=1, warmup_start=0.01, clip_norm=5.0
        ),
        train=TrainConfig(epochs=20, batch_size=8, workers=0, precision="fp32"),
    )
