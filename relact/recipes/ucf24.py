"""UCF101-24 recipes."""

from relact import backbones
from relact.data.transforms import TransformConfig
from relact.data.ucf24 import UCF24Data
from relact.heads import linear
from relact.losses import LossConfig
from relact.recipe import Recipe
from relact.train.loop import TrainConfig
from relact.train.optim import OptimConfig


def ucf24_small() -> Recipe:
    """A narrow SlowFast on a folder of UCF101-24 clips, trained and judged on the same ones: does the chain learn?"""
    return Recipe(
        name="ucf24_small",
        data=UCF24Data(root="ucf24", frame_step=5, split="all"),
        backbone=backbones.config("slowfast_debug"),
        head=linear.Config(dropout=0.0),
        loss=LossConfig(kind="cross_entropy"),
        transform=TransformConfig(short_side=112, flip=0.5),
        optim=OptimConfig(kind="adamw", lr=2e-3, weight_decay=1e-4, warmup_epochs=1, clip_norm=5.0),
        train=TrainConfig(epochs=6, batch_size=8, workers=1),
    )
