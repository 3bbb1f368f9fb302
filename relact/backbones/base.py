"""What every backbone is: frames in, named maps out, whose cells cover a known number of pixels."""

import abc

from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from relact.config import STRICT

Triple = tuple[float, float, float]


class Backbone(nn.Module, abc.ABC):
    """Frames to maps.

    channels: the maps' names and channels, in the order in which heads concatenate them (slow before fast).
    frames: the frames of each map.
    stride: pixels per map cell, in height and width; a map has ceil(H / stride) rows.
    """

    channels: dict[str, int]
    frames: dict[str, int]
    stride: int

    @abc.abstractmethod
    def forward(self, frames: Tensor, valid: Tensor | None = None) -> dict[str, Tensor]:
        """Maps {name: [B, C, T', h, w]} of normalised frames [B, 3, T, H, W].

        valid: [B, 2] int64 on the host, each clip's unpadded height and width; None where nothing is padded.
        Real cells never depend on the padding, whatever it holds, or on other clips (batch norms in training
        mode excepted); what padded cells hold is unspecified.
        """

    def __call__(self, frames: Tensor, valid: Tensor | None = None) -> dict[str, Tensor]:
        """`forward`, with its types."""
        return super().__call__(frames, valid)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BackboneConfig(abc.ABC):
    """What all backbones share: the window of frames that they see, and how pixels are normalised."""

    num_frames: int
    """frames of a clip"""
    frame_stride: int
    """steps of a 30 fps clock between two frames of a clip"""
    mean: Triple = (0.45, 0.45, 0.45)
    """subtracted per channel (RGB, pixels in 0..1)"""
    std: Triple = (0.225, 0.225, 0.225)
    """divided by, per channel"""

    @abc.abstractmethod
    def build(self) -> Backbone:
        """The module with fresh random weights."""
