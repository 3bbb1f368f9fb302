"""The bottleneck ResNet over frames that SlowOnly and both pathways of SlowFast are made of.

Modules get numbers, not configurations. Each convolution's batch norm is registered right after it, which is what
folding goes by. Nothing here changes the number of frames.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from relact.backbones.base import BackboneConfig
from relact.backbones.nonlocal_block import NonLocal
from relact.config import STRICT
from relact.nn.padding import Padding, zero_padding_

Kernel = tuple[int, int, int]
Four = tuple[int, int, int, int]


class NonLocalForm(NamedTuple):
    """One of the published forms of the non-local block; its fields are NonLocal's arguments."""

    softmax: bool
    pool: Kernel
    pool_last: bool
    out_bias: bool


class Stem(nn.Module):
    """Convolution with spatial stride 2, batch norm, ReLU, max-pool with spatial stride 2: stride 4 in all."""

    def __init__(self, out_channels: int, temporal_kernel: int) -> None:
        super().__init__()
        kernel, pad = (temporal_kernel, 7, 7), (temporal_kernel // 2, 3, 3)
        self.conv = nn.Conv3d(3, out_channels, kernel, (1, 2, 2), pad, bias=False)
        self.bn = nn.BatchNorm3d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))

    def forward(self, frames: Tensor, padding: Padding | None = None) -> Tensor:
        # After a ReLU nothing is below zero, so zeros do to the maximum what the pool's own edge does.
        x = zero_padding_(self.bn(self.conv(frames)), padding, 2)
        return self.pool(self.relu(x))


class Shortcut(nn.Module):
    """The projection beside a stage's first block."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, 1, (1, stride, stride), bias=False)
        self.bn = nn.BatchNorm3d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class Bottleneck(nn.Module):
    """a: over time, b: over space (stride and dilation here), c: back to the full width; plus the input."""

    def __init__(
        self,
        in_channels: int,
        inner: int,
        *,
        temporal_kernel: int,
        stride: int,
        dilation: int,
        map_stride: int,
        project: bool,
        nonlocal_form: NonLocalForm | None,
    ) -> None:
        super().__init__()
        out_channels = 4 * inner
        self.map_stride = map_stride
        kernel, pad = (temporal_kernel, 1, 1), (temporal_kernel // 2, 0, 0)
        self.conv_a = nn.Conv3d(in_channels, inner, kernel, padding=pad, bias=False)
        self.bn_a = nn.BatchNorm3d(inner)
        around = (0, dilation, dilation)
        self.conv_b = nn.Conv3d(
            inner, inner, (1, 3, 3), (1, stride, stride), around, (1, dilation, dilation), bias=False
        )
        self.bn_b = nn.BatchNorm3d(inner)
        self.conv_c = nn.Conv3d(inner, out_channels, 1, bias=False)
        self.bn_c = nn.BatchNorm3d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = Shortcut(in_channels, out_channels, stride) if project else None
        self.nl = (
            None
            if nonlocal_form is None
            else NonLocal(out_channels, stride=map_stride * stride, **nonlocal_form._asdict())
        )

    def forward(self, x: Tensor, padding: Padding | None = None) -> Tensor:
        # conv_b is the only one that looks sideways; a zero before the ReLU is a zero after it.
        y = zero_padding_(self.bn_a(self.conv_a(x)), padding, self.map_stride)
        y = self.relu(self.bn_b(self.conv_b(self.relu(y))))
        y = self.bn_c(self.conv_c(y))
        y += x if self.shortcut is None else self.shortcut(x)
        y = self.relu(y)
        return y if self.nl is None else self.nl(y, padding)


class Stage(nn.ModuleList):
    """Blocks 0, 1, … of one stage; the first changes width and stride."""

    def __init__(
        self,
        in_channels: int,
        inner: int,
        num_blocks: int,
        *,
        temporal_kernel: int,
        temporal_blocks: int,
        stride: int,
        dilation: int,
        map_stride: int,
        nonlocal_after: Sequence[int],
        nonlocal_form: NonLocalForm,
    ) -> None:
        """temporal_blocks: the first so many blocks have the temporal kernel, later ones a kernel of 1.

        map_stride: pixels per cell of the input map; nonlocal_after: blocks that a non-local block follows.
        """
        super().__init__(
            Bottleneck(
                in_channels if block == 0 else 4 * inner,
                inner,
                temporal_kernel=temporal_kernel if block < temporal_blocks else 1,
                stride=stride if block == 0 else 1,
                dilation=dilation,
                map_stride=map_stride if block == 0 else map_stride * stride,
                project=block == 0,
                nonlocal_form=nonlocal_form if block in nonlocal_after else None,
            )
            for block in range(num_blocks)
        )

    def forward(self, x: Tensor, padding: Padding | None = None) -> Tensor:
        for block in self:
            x = block(x, padding)
        return x


class Pathway(nn.Module):
    """Stem and stages s1 … s5 of one pathway; `extra` channels join the input of each stage (laterals)."""

    def __init__(
        self,
        width: int,
        *,
        stem_kernel: int,
        stage_kernels: Four,
        depths: Four,
        extra: Four,
        s4_temporal_blocks: int,
        s5_stride: int,
        s5_dilation: int,
        nonlocal_after: tuple[tuple[int, ...], ...],
        nonlocal_form: NonLocalForm,
    ) -> None:
        super().__init__()
        self.s1 = Stem(width, stem_kernel)

        def stage(index: int, stride: int, dilation: int, map_stride: int) -> Stage:
            return Stage(
                (width if index == 0 else width * 2 ** (index + 1)) + extra[index],
                width * 2**index,
                depths[index],
                temporal_kernel=stage_kernels[index],
                temporal_blocks=s4_temporal_blocks if index == 2 else depths[index],
                stride=stride,
                dilation=dilation,
                map_stride=map_stride,
                nonlocal_after=nonlocal_after[index],
                nonlocal_form=nonlocal_form,
            )

        self.s2 = stage(0, stride=1, dilation=1, map_stride=4)
        self.s3 = stage(1, stride=2, dilation=1, map_stride=4)
        self.s4 = stage(2, stride=2, dilation=1, map_stride=8)
        self.s5 = stage(3, stride=s5_stride, dilation=s5_dilation, map_stride=16)


def initialise(backbone: nn.Module) -> None:
    """He et al.'s normal init for convolutions; non-local blocks start as the identity (Wang et al., Sec. 4.1)."""
    for module in backbone.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in backbone.modules():
        if isinstance(module, NonLocal):
            nn.init.zeros_(module.bn.weight)


NONLOCAL_FORMS = {
    "dot_product": NonLocalForm(softmax=False, pool=(2, 2, 2), pool_last=False, out_bias=True),
    "embedded_gaussian": NonLocalForm(softmax=True, pool=(1, 2, 2), pool_last=True, out_bias=False),
}
"""PySlowFast's and MMAction2's published forms, whose weights do not fit each other."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ResNetConfig(BackboneConfig):
    """The switches that SlowOnly and SlowFast share; the defaults are PySlowFast's R50 for detection."""

    width: int = 64
    """channels of the (slow) stem; its last map has 32 times as many"""
    depths: Four = (3, 4, 6, 3)
    """blocks of s2 … s5; R101 has 23 in s4"""
    s4_temporal_blocks: int | None = None
    """so many first blocks of s4 look over time, in both pathways; None: all"""
    s5_stride: Literal[1, 2] = 1
    """1 for detection (a map cell is 16 px), 2 for classification (32 px)"""
    s5_dilation: Literal[1, 2] = 2
    """2: PySlowFast, PyTorchVideo, ACAR-Net; 1: MMAction2, and all of them for classification"""
    nonlocal_form: Literal["dot_product", "embedded_gaussian"] = "dot_product"
    """PySlowFast's or MMAction2's non-local block, in the slow pathway"""
    nonlocal_after: tuple[tuple[int, ...], ...] = ((), (), (), ())
    """per stage s2 … s5, the blocks that a non-local block follows"""
