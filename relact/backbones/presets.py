"""The published nets as configurations; differences read vertically.

Names: family, depth, and frames x stride of the slow pathway. No suffix: PySlowFast's form, which PyTorchVideo shares.
`_mm`: MMAction2's (no norm in laterals, no dilation, every alpha-th frame, ImageNet's mean). `_acar`: ACAR-Net's.
`_nl`: with non-local blocks. `_50_50`: R101 whose s4 looks over time in its first 6 blocks only.
"""

from dataclasses import replace

from relact.backbones.base import BackboneConfig, Triple
from relact.backbones.slowfast import SlowFastConfig
from relact.backbones.slowonly import SlowOnlyConfig
from relact.backbones.torchvision_nets import TorchvisionConfig

_R101 = (3, 4, 23, 3)


def _unit(red: float, green: float, blue: float) -> Triple:
    """A mean or deviation that was published for pixels in 0..255."""
    return (red / 255, green / 255, blue / 255)


_MM_MEAN, _MM_STD = _unit(123.675, 116.28, 103.53), _unit(58.395, 57.12, 57.375)
_ACAR_MEAN = _unit(110.63666788, 103.16065604, 96.29023126)
_ACAR_STD = _unit(38.7568578, 37.88248729, 40.02898126)

_slowonly = SlowOnlyConfig(num_frames=4, frame_stride=16)
_slowonly_mm = replace(_slowonly, s5_dilation=1, mean=_MM_MEAN, std=_MM_STD)
_slowonly_nl = replace(
    _slowonly,
    nonlocal_form="embedded_gaussian",
    nonlocal_after=((), (0, 2), (0, 2, 4), ()),
    mean=_MM_MEAN,
    std=_MM_STD,
)
_r50 = SlowFastConfig()
_r101 = replace(_r50, depths=_R101, fusion_kernel=5)
_r101_50_50 = replace(_r101, s4_temporal_blocks=6)
_r101_nl = replace(_r101_50_50, nonlocal_after=((), (), (6, 13, 20), ()))
_mm = replace(_r50, fusion_norm=False, slow_index="stride", s5_dilation=1, mean=_MM_MEAN, std=_MM_STD)
_swin = TorchvisionConfig(
    arch="swin3d_t", num_frames=32, frame_stride=2, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)

PRESETS: dict[str, BackboneConfig] = {
    "slowonly_r50_4x16": _slowonly,
    "slowonly_r50_8x8": replace(_slowonly, num_frames=8, frame_stride=8),
    "slowonly_r50_16x4": replace(_slowonly, num_frames=16, frame_stride=4),
    "slowonly_r101_8x8": replace(_slowonly, num_frames=8, frame_stride=8, depths=_R101),
    "slowonly_r50_nl": _slowonly_nl,
    "slowonly_r50_4x16_mm": _slowonly_mm,
    "slowonly_r50_8x8_mm": replace(_slowonly_mm, num_frames=8, frame_stride=8),
    "slowonly_r50_16x4_mm": replace(_slowonly_mm, num_frames=16, frame_stride=4),
    "slowonly_r101_8x8_mm": replace(_slowonly_mm, num_frames=8, frame_stride=8, depths=_R101),
    "slowfast_r50_4x16": replace(_r50, alpha=8, fusion_kernel=5),
    "slowfast_r50_8x8": _r50,
    "slowfast_r50_8x4": replace(_r50, frame_stride=1),
    "slowfast_r50_nl": replace(_r50, nonlocal_after=((), (1, 3), (1, 3, 5), ())),
    "slowfast_r101_8x8": _r101,
    "slowfast_r101_8x8_50_50": _r101_50_50,
    "slowfast_r101_16x8_50_50": replace(_r101_50_50, num_frames=64),
    "slowfast_r101_nl_8x8": _r101_nl,
    "slowfast_r101_nl_16x8": replace(_r101_nl, num_frames=64),
    "slowfast_r50_8x8_acar": _r50,
    "slowfast_r101_8x8_acar": replace(_r101, fusion_norm=False, slow_index="stride", mean=_ACAR_MEAN, std=_ACAR_STD),
    "slowfast_r50_4x16_mm": replace(_mm, alpha=8, fusion_kernel=5),
    "slowfast_r50_8x8_mm": _mm,
    "slowfast_r101_8x8_mm": replace(_mm, depths=_R101),
    "mvit_v2_s": TorchvisionConfig(arch="mvit_v2_s", num_frames=16, frame_stride=4),
    "swin3d_t": _swin,
    "swin3d_s": replace(_swin, arch="swin3d_s"),
    "swin3d_b": replace(_swin, arch="swin3d_b"),
    "r3d_18": TorchvisionConfig(
        arch="r3d_18",
        num_frames=16,
        frame_stride=2,
        mean=(0.43216, 0.394666, 0.37645),
        std=(0.22803, 0.22145, 0.216989),
    ),
    # For tests and trials on a CPU: the same code, narrow and shallow.
    "slowonly_debug": replace(_slowonly, frame_stride=8, width=8, depths=(1, 1, 1, 1)),
    "slowfast_debug": replace(_r50, num_frames=16, width=8, fast_width=2, depths=(1, 1, 1, 1)),
    # For Stage (relact/data/stage): one second, and little seen beyond a box, so no dilation.
    "slowfast_stage": replace(
        _r50, num_frames=16, frame_stride=2, width=8, fast_width=4, depths=(1, 1, 1, 1), s5_dilation=1
    ),
}
"""Configurations by name."""
