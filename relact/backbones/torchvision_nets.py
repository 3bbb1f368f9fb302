"""torchvision's video nets as backbones: MViT v2 S, Swin3D T/S/B and R3D-18 without their classifiers.

Attention over the whole frame cannot be masked from outside, so clips of unequal size run once per distinct size:
exact by construction, and the loaders group clips of like shape anyway.
"""

from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torchvision.models.video import (
    MViT,
    SwinTransformer3d,
    VideoResNet,
    mvit_v2_s,
    r3d_18,
    swin3d_b,
    swin3d_s,
    swin3d_t,
)

from relact.backbones.base import Backbone, BackboneConfig
from relact.config import STRICT
from relact.nn.padding import cells

Arch = Literal["mvit_v2_s", "swin3d_t", "swin3d_s", "swin3d_b", "r3d_18"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TorchvisionConfig(BackboneConfig):
    """One of torchvision's nets, by the name of its builder; `load_published` loads torchvision's weights for it."""

    arch: Arch

    def build(self) -> "TorchvisionBackbone":
        if self.arch == "mvit_v2_s":
            return TorchvisionBackbone(mvit_v2_s(), channels=768, frames=self.num_frames // 2, stride=32)
        if self.arch == "swin3d_t":
            return TorchvisionBackbone(swin3d_t(), channels=768, frames=self.num_frames // 2, stride=32)
        if self.arch == "swin3d_s":
            return TorchvisionBackbone(swin3d_s(), channels=768, frames=self.num_frames // 2, stride=32)
        if self.arch == "swin3d_b":
            return TorchvisionBackbone(swin3d_b(), channels=1024, frames=self.num_frames // 2, stride=32)
        return TorchvisionBackbone(r3d_18(), channels=512, frames=self.num_frames // 8, stride=16)


class TorchvisionBackbone(Backbone):
    """One map: main [B, channels, T', h, w]; T' is T / 2 for MViT and Swin3D, T / 8 for R3D-18."""

    def __init__(self, net: nn.Module, *, channels: int, frames: int, stride: int) -> None:
        super().__init__()
        self.channels = {"main": channels}
        self.frames = {"main": frames}
        self.stride = stride
        self.net = net
        net.add_module("fc" if isinstance(net, VideoResNet) else "head", nn.Identity())

    def forward(self, frames: Tensor, valid: Tensor | None = None) -> dict[str, Tensor]:
        height, width = frames.shape[-2:]
        sizes = [] if valid is None else [(rows, columns) for rows, columns in valid.tolist()]
        if all(size == (height, width) for size in sizes):
            return {"main": self._map(frames)}
        return {"main": self._by_size(frames, sizes)}

    def _by_size(self, frames: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
        """Crop the clips of each distinct size, run them together, and put their maps into a map of zeros."""
        groups = {size: [i for i, other in enumerate(sizes) if other == size] for size in dict.fromkeys(sizes)}
        maps = {size: self._map(frames[clips, :, :, : size[0], : size[1]]) for size, clips in groups.items()}
        some = next(iter(maps.values()))
        rows, columns = cells(torch.tensor(frames.shape[-2:]), self.stride).tolist()
        result = some.new_zeros(len(frames), *some.shape[1:3], rows, columns)
        for size, clips in groups.items():
            part = maps[size]
            result[clips, :, :, : part.shape[-2], : part.shape[-1]] = part
        return result

    def _map(self, frames: Tensor) -> Tensor:
        if isinstance(self.net, MViT):
            return _mvit_map(self.net, frames)
        if isinstance(self.net, SwinTransformer3d):
            return _swin_map(self.net, frames)
        return _resnet_map(self.net, frames)


def _swin_map(net: SwinTransformer3d, frames: Tensor) -> Tensor:
    tokens = net.norm(net.features(net.pos_drop(net.patch_embed(frames))))
    return tokens.permute(0, 4, 1, 2, 3)


def _resnet_map(net: VideoResNet, frames: Tensor) -> Tensor:
    return net.layer4(net.layer3(net.layer2(net.layer1(net.stem(frames)))))


def _mvit_map(net: MViT, frames: Tensor) -> Tensor:
    """MViT's own forward, but for any size: its relative positions are interpolated, only the grid was fixed."""
    x = net.conv_proj(frames)
    grid = x.shape[2:]
    x = x.flatten(2).transpose(1, 2)
    token = net.pos_encoding.class_token.expand(len(x), -1).unsqueeze(1)
    x = torch.cat((token, x), 1)
    for block in net.blocks:
        x, grid = block(x, grid)
    x = net.norm(x)[:, 1:]
    return x.transpose(1, 2).unflatten(2, tuple(grid))
