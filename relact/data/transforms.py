"""From a frame to a clip: resize, crop, flip; every change is recorded in the `View` that carries boxes along."""

import numpy as np
import torch
from jaxtyping import UInt8
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from relact.config import STRICT
from relact.types import View


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TransformConfig:
    """Sizes in pixels. Testing resizes to `short_side` and keeps the whole frame."""

    short_side: int = Field(default=256, ge=16)
    train_short_side: tuple[int, int] | None = None
    """train: drawn evenly from this range; None = `short_side`"""
    crop: int | None = Field(default=None, ge=16)
    """train: side of a random square window; None = the whole frame"""
    flip: float = Field(default=0.5, ge=0, le=1)
    """train: probability of mirroring"""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Draw:
    """The random choices of one training clip, drawn before decoding so that the frame is resized once."""

    short_side: int
    left: float = 0.0
    top: float = 0.0
    flip: bool = False


def draw(config: TransformConfig, random: np.random.Generator | None) -> Draw:
    """Choices for one clip; `random` None = testing, nothing random."""
    if random is None:
        return Draw(short_side=config.short_side)
    low, high = config.train_short_side or (config.short_side, config.short_side)
    return Draw(
        short_side=int(random.integers(low, high + 1)),
        left=float(random.random()),
        top=float(random.random()),
        flip=bool(random.random() < config.flip),
    )


def apply(frames: UInt8[Tensor, "3 T H W"], chosen: Draw, crop: int | None) -> tuple[UInt8[Tensor, "3 T H2 W2"], View]:
    """The resized frames cropped and mirrored, and the view that says so."""
    height, width = frames.shape[-2:]
    clip_height, clip_width = min(crop or height, height), min(crop or width, width)
    top, left = round(chosen.top * (height - clip_height)), round(chosen.left * (width - clip_width))
    clip = frames[..., top : top + clip_height, left : left + clip_width]
    view = View(
        width=width,
        height=height,
        clip_width=clip_width,
        clip_height=clip_height,
        left=left,
        top=top,
        flip=chosen.flip,
    )
    return (clip.flip(-1) if chosen.flip else clip), view


def inside(boxes: Tensor, view: View, minimum: float = 1.0) -> Tensor:
    """Which boxes (pixels of the clip) still show at least `minimum` pixels a side within the crop."""
    size = torch.tensor([view.clip_width, view.clip_height], dtype=boxes.dtype)
    cut = boxes.clamp(min=0).reshape(-1, 2, 2).minimum(size)
    return ((cut[:, 1] - cut[:, 0]) >= minimum).all(dim=1)
