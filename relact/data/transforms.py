"""From a frame to a clip: crop, flip and colours by torchvision's operators (v2); a `View` carries the boxes along.

Frames are resized where they are decoded; what is done here is recorded in the `View`, which also goes back. In
training, where a recipe asks for it, boxes are moved a little (docs/decisions/0012-augmentation.md).
"""

from typing import Literal

import numpy as np
import torch
import torchvision.transforms.v2.functional as F
from jaxtyping import Float, UInt8
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
    short_side_draw: Literal["even", "inverse"] = "even"
    """train: the range of `train_short_side` is drawn from evenly (MMAction2), or its inverse is (PySlowFast)"""
    frame_jitter: int = Field(default=0, ge=0)
    """train: each frame is drawn from itself and so many before it (MMAction2: stride - 1)"""
    box_jitter: float | tuple[float, float, float, float] | None = None
    """train: each side of a box moves by up to this part of the box's size, either way (ACAR-Net: 0.075); or, for x
    and y, by up to so much outward and inward (AIA: 0.2, 0.1, 0.1, 0.05, as x out, x in, y out, y in)"""
    brightness: float = Field(default=0.0, ge=0, lt=1)
    """train: pixels times a factor of 1 - this to 1 + this (PySlowFast: 0.4, where it is on)"""
    contrast: float = Field(default=0.0, ge=0, lt=1)
    """train: likewise, about the mean grey (PySlowFast: 0.4)"""
    saturation: float = Field(default=0.0, ge=0, lt=1)
    """train: likewise, about the grey of each pixel (PySlowFast: 0.4)"""
    pca: float = Field(default=0.0, ge=0)
    """train: deviation of the shift along ImageNet's principal colours (AlexNet, PySlowFast: 0.1)"""
    test_short_sides: tuple[int, ...] = ()
    """tests: sizes whose logits are averaged, box by box (ACAR-Net's "++": three); () = `short_side` alone"""
    test_flip: bool = False
    """tests: average with the mirrored clips as well (ACAR-Net's "++")"""

    def views(self) -> "list[Draw]":
        """How each clip of a test is seen: every size, plain and mirrored."""
        sides = self.test_short_sides or (self.short_side,)
        return [Draw(short_side=side, flip=flip) for side in sides for flip in ((False, True)[: 1 + self.test_flip])]


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
    if config.short_side_draw == "inverse":
        short_side = round(1 / random.uniform(1 / high, 1 / low))
    else:
        short_side = int(random.integers(low, high + 1))
    return Draw(
        short_side=short_side,
        left=float(random.random()),
        top=float(random.random()),
        flip=bool(random.random() < config.flip),
    )


def apply(frames: UInt8[Tensor, "3 T H W"], chosen: Draw, crop: int | None) -> tuple[UInt8[Tensor, "3 T H2 W2"], View]:
    """The resized frames cropped and mirrored, and the view that says so."""
    height, width = frames.shape[-2:]
    clip_height, clip_width = min(crop or height, height), min(crop or width, width)
    top, left = round(chosen.top * (height - clip_height)), round(chosen.left * (width - clip_width))
    clip = F.crop(frames, top, left, clip_height, clip_width)
    view = View(
        width=width,
        height=height,
        clip_width=clip_width,
        clip_height=clip_height,
        left=left,
        top=top,
        flip=chosen.flip,
    )
    return (F.horizontal_flip(clip) if chosen.flip else clip), view


def inside(boxes: Tensor, view: View, minimum: float = 1.0) -> Tensor:
    """Which boxes (pixels of the clip) still show at least `minimum` pixels a side within the crop."""
    size = torch.tensor([view.clip_width, view.clip_height], dtype=boxes.dtype)
    cut = boxes.clamp(min=0).reshape(-1, 2, 2).minimum(size)
    return ((cut[:, 1] - cut[:, 0]) >= minimum).all(dim=1)


def jittered(
    boxes: Float[Tensor, "N 4"],
    view: View,
    amount: float | tuple[float, float, float, float] | None,
    random: np.random.Generator,
) -> Float[Tensor, "N 4"]:
    """Boxes (pixels of the clip) whose sides moved independently, cut to the clip; None = as they are."""
    if amount is None:
        return boxes
    x_out, x_in, y_out, y_in = amount if isinstance(amount, tuple) else (amount,) * 4
    size = boxes[:, 2:] - boxes[:, :2]
    outward = torch.tensor([x_out, y_out]), torch.tensor([x_in, y_in])
    drawn = torch.from_numpy(random.random((len(boxes), 2, 2))).to(boxes)  # [N, corner, axis]
    moved = (drawn * (outward[0] + outward[1]) - outward[1]) * size[:, None]  # positive = outward
    grown = torch.cat([boxes[:, :2] - moved[:, 0], boxes[:, 2:] + moved[:, 1]], dim=1)
    limit = torch.tensor([view.clip_width, view.clip_height] * 2, dtype=boxes.dtype)
    cut = grown.clamp(min=0).minimum(limit)
    gone = ((cut[:, 2:] - cut[:, :2]) < 1).any(dim=1, keepdim=True)
    return torch.where(gone, boxes, cut)  # a box at the edge must not be lost to chance


# ImageNet's principal colours, RGB in 0..1 (Krizhevsky et al., NIPS 2012, as PySlowFast has them).
_PCA_VALUES = torch.tensor([0.225, 0.224, 0.229])
_PCA_VECTORS = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


def recoloured(
    frames: UInt8[Tensor, "3 T H W"], config: TransformConfig, random: np.random.Generator
) -> UInt8[Tensor, "3 T H W"]:
    """All frames of a clip alike: brightness, contrast and saturation in a drawn order, then the principal colours."""
    strengths = (config.brightness, config.contrast, config.saturation)
    if not any(strengths) and not config.pca:
        return frames
    moving = frames.transpose(0, 1)  # [T, 3, H, W]
    change = F.adjust_brightness, F.adjust_contrast, F.adjust_saturation
    for which in random.permutation(3).tolist():
        if strengths[which]:
            factor = float(random.uniform(1 - strengths[which], 1 + strengths[which]))
            moving = change[which](moving, factor)
    if config.pca:
        along = torch.from_numpy(random.normal(0, config.pca, 3)).float()
        shift = (_PCA_VECTORS * along * _PCA_VALUES).sum(dim=1) * 255
        moving = (moving.float() + shift[:, None, None]).round().clamp(0, 255).to(torch.uint8)
    return moving.transpose(0, 1)
