"""SlowFast (Feichtenhofer et al., ICCV 2019), in its detection form.

The released nets differ in the switches of `SlowFastConfig` and in nothing else; the names of parameters are the
same for all of them.
"""

from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from relact.backbones.base import Backbone
from relact.backbones.resnet3d import NONLOCAL_FORMS, Four, NonLocalForm, Pathway, ResNetConfig, initialise
from relact.config import STRICT
from relact.nn.padding import Padding, zero_padding

SlowIndex = Literal["linspace", "stride"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SlowFastConfig(ResNetConfig):
    """Switches of the published SlowFast nets; the defaults are R50 8x8 (32 frames of which the slow path sees 8)."""

    num_frames: int = 32
    frame_stride: int = 2
    alpha: int = 4
    """frames of the fast pathway per frame of the slow one"""
    fast_width: int = 8
    """channels of the fast stem"""
    fusion_kernel: int = 7
    """frames that a lateral convolution spans"""
    fusion_norm: bool = True
    """batch norm and ReLU after a lateral convolution (not in MMAction2 nor in ACAR-Net's R101)"""
    slow_index: SlowIndex = "linspace"
    """frames of the slow pathway: over the full span (PySlowFast) or every alpha-th from the first"""

    def build(self) -> "SlowFast":
        return SlowFast(
            num_frames=self.num_frames,
            width=self.width,
            fast_width=self.fast_width,
            alpha=self.alpha,
            depths=self.depths,
            fusion_kernel=self.fusion_kernel,
            fusion_norm=self.fusion_norm,
            slow_index=self.slow_index,
            s4_temporal_blocks=self.depths[2] if self.s4_temporal_blocks is None else self.s4_temporal_blocks,
            s5_stride=self.s5_stride,
            s5_dilation=self.s5_dilation,
            nonlocal_form=NONLOCAL_FORMS[self.nonlocal_form],
            nonlocal_after=self.nonlocal_after,
        )


class Lateral(nn.Module):
    """Fast to slow: a convolution over time with stride alpha doubles the channels."""

    def __init__(self, channels: int, *, kernel: int, alpha: int, norm: bool) -> None:
        super().__init__()
        shape, pad = (kernel, 1, 1), (kernel // 2, 0, 0)
        self.conv = nn.Conv3d(channels, 2 * channels, shape, (alpha, 1, 1), pad, bias=False)
        self.bn = nn.BatchNorm3d(2 * channels) if norm else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, slow: Tensor, fast: Tensor) -> Tensor:
        lateral = self.conv(fast)
        if self.bn is not None:
            lateral = self.relu(self.bn(lateral))
        return torch.cat([slow, lateral], 1)


class SlowFast(Backbone):
    """Two maps: slow [B, 32 width, T / alpha, h, w] and fast [B, 32 fast_width, T, h, w]."""

    def __init__(
        self,
        *,
        num_frames: int,
        width: int,
        fast_width: int,
        alpha: int,
        depths: Four,
        fusion_kernel: int,
        fusion_norm: bool,
        slow_index: SlowIndex,
        s4_temporal_blocks: int,
        s5_stride: int,
        s5_dilation: int,
        nonlocal_form: NonLocalForm,
        nonlocal_after: tuple[tuple[int, ...], ...],
    ) -> None:
        super().__init__()
        self.channels = {"slow": 32 * width, "fast": 32 * fast_width}
        self.frames = {"slow": num_frames // alpha, "fast": num_frames}
        self.stride = 16 * s5_stride
        self.alpha = alpha
        self.slow_index = slow_index
        fused = (fast_width, 4 * fast_width, 8 * fast_width, 16 * fast_width)
        self.slow = Pathway(
            width,
            stem_kernel=1,
            stage_kernels=(1, 1, 3, 3),
            depths=depths,
            extra=(2 * fused[0], 2 * fused[1], 2 * fused[2], 2 * fused[3]),
            s4_temporal_blocks=s4_temporal_blocks,
            s5_stride=s5_stride,
            s5_dilation=s5_dilation,
            nonlocal_form=nonlocal_form,
            nonlocal_after=nonlocal_after,
        )
        self.fast = Pathway(
            fast_width,
            stem_kernel=5,
            stage_kernels=(3, 3, 3, 3),
            depths=depths,
            extra=(0, 0, 0, 0),
            s4_temporal_blocks=s4_temporal_blocks,
            s5_stride=s5_stride,
            s5_dilation=s5_dilation,
            nonlocal_form=nonlocal_form,
            nonlocal_after=((), (), (), ()),
        )
        self.fuse = nn.ModuleDict(
            {
                f"s{stage}": Lateral(channels, kernel=fusion_kernel, alpha=alpha, norm=fusion_norm)
                for stage, channels in enumerate(fused, start=1)
            }
        )
        initialise(self)

    def forward(self, frames: Tensor, valid: Tensor | None = None) -> dict[str, Tensor]:
        padding = Padding.of(frames, valid)
        frames = zero_padding(frames, padding, 1)
        slow = self.slow.s1(self.slow_frames(frames), padding)
        fast = self.fast.s1(frames, padding)
        slow, fast = self.slow.s2(self.fuse["s1"](slow, fast), padding), self.fast.s2(fast, padding)
        slow, fast = self.slow.s3(self.fuse["s2"](slow, fast), padding), self.fast.s3(fast, padding)
        slow, fast = self.slow.s4(self.fuse["s3"](slow, fast), padding), self.fast.s4(fast, padding)
        slow, fast = self.slow.s5(self.fuse["s4"](slow, fast), padding), self.fast.s5(fast, padding)
        return {"slow": slow, "fast": fast}

    def slow_frames(self, frames: Tensor) -> Tensor:
        """The slow pathway's share of frames [B, 3, T, H, W], in the frames' own memory format."""
        indices = slow_indices(frames.shape[2], self.alpha, self.slow_index)
        return torch.cat([frames[:, :, index : index + 1] for index in indices], 2)


def slow_indices(num_frames: int, alpha: int, rule: SlowIndex) -> list[int]:
    """Which frames the slow pathway sees, e.g. of 32 with alpha 4: 0 4 8 13 17 22 26 31, or 0 4 8 … 28."""
    count = num_frames // alpha
    if rule == "stride" or count == 1:
        return list(range(0, count * alpha, alpha))
    return [step * (num_frames - 1) // (count - 1) for step in range(count)]
