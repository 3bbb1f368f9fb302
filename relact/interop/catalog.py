"""The public weights that relact can read, as data: where each is, what it is, and what it is good for.

Addresses and figures are those of the model zoos of PySlowFast, PyTorchVideo, MMAction2, ACAR-Net and torchvision.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

Kind = Literal["backbone", "detector", "people"]

APACHE = "code Apache-2.0; no licence of the weights is stated; the data set's terms apply"
BSD = "code BSD-3-Clause; no licence of the weights is stated; the data set's terms apply"

_PSF = "https://dl.fbaipublicfiles.com/pyslowfast/model_zoo/"
_PTV = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/"
_MM = "https://download.openmmlab.com/mmaction/v1.0/"
_DRIVE = "https://drive.google.com/file/d/"

START = "start training from"
AVA = "AVA actions as published (80 classes), or start training from"

# Parameters of the backbones, and of a linear classifier on top.
_SLOWONLY_R50, _SLOWFAST_R50, _SLOWFAST_R50_4X16 = 31_634_496, 33_644_488, 33_558_216
_SLOWFAST_R101, _SLOWFAST_R101_50_50, _SLOWFAST_R101_NL = 61_904_968, 52_852_808, 59_158_088
_SLOWFAST_R50_MM, _SLOWFAST_R50_4X16_MM, _SLOWFAST_R101_MM = 33_643_560, 33_557_288, 61_990_312
_SLOWFAST_R101_ACAR = 61_904_040


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """One public weight file."""

    name: str
    url: str
    kind: Kind
    """backbone: pre-trained for recognition; detector: trained for action detection; people: finds persons"""
    preset: str | None
    """the backbone that it fits; None for person detectors"""
    layout: str
    trained_on: str
    figure: str
    """as its authors published it"""
    good_for: str
    num_parameters: int
    licence: str = APACHE
    by_hand: bool = False
    """a page for a browser: no program can fetch it"""

    @property
    def file(self) -> str:
        """The name that it has in the cache; PySlowFast's pre-trained files are called like what came of them."""
        if self.by_hand:
            return f"{self.name}.pth"
        folder, name = self.url.rsplit("/", 2)[-2:]
        return f"pretrain_{name}" if folder == "pretrain" else name

    @property
    def about_bytes(self) -> int:
        """Its size as it follows from its parameters: about, since files may hold more than those."""
        return 4 * self.num_parameters


def sha256_prefix(file: str) -> str | None:
    """The first digits of the sha256 that OpenMMLab and torchvision write at the end of their file names."""
    match = re.search(r"-([0-9a-f]{8})\.\w+$", file)
    return match[1] if match else None


def _pyslowfast(name: str, path: str, kind: Kind, preset: str, data: str, figure: str, parameters: int) -> Published:
    return Published(
        name=name,
        url=_PSF + path,
        kind=kind,
        preset=preset,
        layout="pyslowfast_caffe2",
        trained_on=data,
        figure=figure,
        good_for=START if kind == "backbone" else AVA,
        num_parameters=parameters,
    )


def _pytorchvideo(name: str, path: str, kind: Kind, preset: str, data: str, figure: str, parameters: int) -> Published:
    return Published(
        name=name,
        url=_PTV + path,
        kind=kind,
        preset=preset,
        layout="pytorchvideo",
        trained_on=data,
        figure=figure,
        good_for=START if kind == "backbone" else AVA,
        num_parameters=parameters,
    )


def _mmaction2(
    name: str, folder: str, file: str, kind: Kind, preset: str, data: str, figure: str, parameters: int
) -> Published:
    return Published(
        name=name,
        url=f"{_MM}{folder}/{file}.pth",
        kind=kind,
        preset=preset,
        layout="mmaction2",
        trained_on=data,
        figure=figure,
        good_for=START if kind == "backbone" else AVA,
        num_parameters=parameters,
    )


def _acar(name: str, drive_id: str, kind: Kind, preset: str, data: str, figure: str, parameters: int) -> Published:
    return Published(
        name=name,
        url=f"{_DRIVE}{drive_id}/view",
        kind=kind,
        preset=preset,
        layout="acar",
        trained_on=data,
        figure=figure,
        good_for=START if kind == "backbone" else "the ACAR-Net detector as published (60 AVA classes)",
        num_parameters=parameters,
        by_hand=True,
    )


_K400, _K600, _K700 = "Kinetics-400", "Kinetics-600", "Kinetics-700"
_SLOW_400, _FAST_400, _FAST_600 = _linear(2048, 400), _linear(2304, 400), _linear(2304, 600)
_SLOW_AVA, _FAST_AVA = _linear(2048, 80), _linear(2304, 80)
_R101_AVA = _SLOWFAST_R101_NL + _FAST_AVA
_R101_600 = _SLOWFAST_R101_NL + _FAST_600

_FIXED: tuple[Published, ...] = (
    _pyslowfast(
        "slowonly_r50_4x16_k400_pyslowfast", "kinetics400/SLOWONLY_4x16_R50.pkl", "backbone", "slowonly_r50_4x16",
        _K400, "top-1 72.7", _SLOWONLY_R50 + _SLOW_400,
    ),
    _pyslowfast(
        "slowonly_r50_8x8_k400_pyslowfast", "kinetics400/SLOWONLY_8x8_R50.pkl", "backbone", "slowonly_r50_8x8",
        _K400, "top-1 74.8", _SLOWONLY_R50 + _SLOW_400,
    ),
    _pyslowfast(
        "slowfast_r50_4x16_k400_pyslowfast", "kinetics400/SLOWFAST_4x16_R50.pkl", "backbone", "slowfast_r50_4x16",
        _K400, "top-1 75.6", _SLOWFAST_R50_4X16 + _FAST_400,
    ),
    _pyslowfast(
        "slowfast_r50_8x8_k400_pyslowfast", "kinetics400/SLOWFAST_8x8_R50.pkl", "backbone", "slowfast_r50_8x8",
        _K400, "top-1 77.0", _SLOWFAST_R50 + _FAST_400,
    ),
    _pyslowfast(
        "slowonly_r50_4x16_ava_pyslowfast", "ava/C2D_8x8_R50.pkl", "detector", "slowonly_r50_4x16",
        f"AVA v2.2 after {_K400}", "mAP 19.5", _SLOWONLY_R50 + _SLOW_AVA,
    ),
    _pyslowfast(
        "slowfast_r101_nl_8x8_ava21_pyslowfast", "ava/SLOWFAST_32x2_R101_50_50_v2.1.pkl", "detector",
        "slowfast_r101_nl_8x8", f"AVA v2.1 after {_K600}", "mAP 28.2", _R101_AVA,
    ),
    _pyslowfast(
        "slowfast_r101_nl_8x8_ava_pyslowfast", "ava/SLOWFAST_32x2_R101_50_50.pkl", "detector",
        "slowfast_r101_nl_8x8", f"AVA v2.2 after {_K600}", "mAP 29.1", _R101_AVA,
    ),
    _pyslowfast(
        "slowfast_r101_nl_16x8_ava_pyslowfast", "ava/SLOWFAST_64x2_R101_50_50.pkl", "detector",
        "slowfast_r101_nl_16x8", f"AVA v2.2 after {_K600}", "mAP 29.4", _R101_AVA,
    ),
    _pyslowfast(
        "slowonly_r50_4x16_ava_pretrain_pyslowfast", "ava/pretrain/C2D_8x8_R50.pkl", "backbone",
        "slowonly_r50_4x16", _K400, "none stated", _SLOWONLY_R50 + _SLOW_400,
    ),
    _pyslowfast(
        "slowfast_r101_nl_8x8_k600_v2.1_pyslowfast", "ava/pretrain/SLOWFAST_32x2_R101_50_50_v2.1.pkl", "backbone",
        "slowfast_r101_nl_8x8", _K600, "none stated", _R101_600,
    ),
    _pyslowfast(
        "slowfast_r101_nl_8x8_k600_pyslowfast", "ava/pretrain/SLOWFAST_32x2_R101_50_50.pkl", "backbone",
        "slowfast_r101_nl_8x8", _K600, "none stated", _R101_600,
    ),
    _pyslowfast(
        "slowfast_r101_nl_16x8_k600_pyslowfast", "ava/pretrain/SLOWFAST_64x2_R101_50_50.pkl", "backbone",
        "slowfast_r101_nl_16x8", _K600, "none stated", _R101_600,
    ),
    _pytorchvideo(
        "slowonly_r50_4x16_k400_pytorchvideo", "kinetics/SLOW_4x16_R50.pyth", "backbone", "slowonly_r50_4x16",
        _K400, "none stated", _SLOWONLY_R50 + _SLOW_400,
    ),
    _pytorchvideo(
        "slowonly_r50_8x8_k400_pytorchvideo", "kinetics/SLOW_8x8_R50.pyth", "backbone", "slowonly_r50_8x8",
        _K400, "none stated", _SLOWONLY_R50 + _SLOW_400,
    ),
    _pytorchvideo(
        "slowfast_r50_4x16_k400_pytorchvideo", "kinetics/SLOWFAST_4x16_R50.pyth", "backbone", "slowfast_r50_4x16",
        _K400, "none stated", _SLOWFAST_R50_4X16 + _FAST_400,
    ),
    _pytorchvideo(
        "slowfast_r50_8x8_k400_pytorchvideo", "kinetics/SLOWFAST_8x8_R50.pyth", "backbone", "slowfast_r50_8x8",
        _K400, "none stated", _SLOWFAST_R50 + _FAST_400,
    ),
    _pytorchvideo(
        "slowfast_r101_8x8_k400_pytorchvideo", "kinetics/SLOWFAST_8x8_R101.pyth", "backbone", "slowfast_r101_8x8",
        _K400, "none stated", _SLOWFAST_R101 + _FAST_400,
    ),
    _pytorchvideo(
        "slowfast_r101_16x8_50_50_k400_pytorchvideo", "kinetics/SLOWFAST_16x8_R101_50_50.pyth", "backbone",
        "slowfast_r101_16x8_50_50", _K400, "none stated", _SLOWFAST_R101_50_50 + _FAST_400,
    ),
    _pytorchvideo(
        "slowonly_r50_4x16_ava_pytorchvideo", "ava/SLOW_4x16_R50_DETECTION.pyth", "detector", "slowonly_r50_4x16",
        f"AVA v2.2 after {_K400}", "mAP 19.5", _SLOWONLY_R50 + _SLOW_AVA,
    ),
    _pytorchvideo(
        "slowfast_r50_8x8_ava_pytorchvideo", "ava/SLOWFAST_8x8_R50_DETECTION.pyth", "detector", "slowfast_r50_8x8",
        f"AVA v2.2 after {_K400}", "mAP 24.67", _SLOWFAST_R50 + _FAST_AVA,
    ),
    _mmaction2(
        "slowfast_r50_8x8_k400_mmaction2",
        "recognition/slowfast/slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb",
        "slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb_20220818-1cb6dfc8",
        "backbone", "slowfast_r50_8x8_mm", _K400, "none stated", _SLOWFAST_R50_MM + _FAST_400,
    ),
    _mmaction2(
        "slowfast_r50_4x16_k400_mmaction2",
        "recognition/slowfast/slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb",
        "slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb_20220901-701b0f6f",
        "backbone", "slowfast_r50_4x16_mm", _K400, "none stated", _SLOWFAST_R50_4X16_MM + _FAST_400,
    ),
    _mmaction2(
        "slowfast_r101_8x8_k400_mmaction2",
        "recognition/slowfast/slowfast_r101_8xb8-8x8x1-256e_kinetics400-rgb",
        "slowfast_r101_8xb8-8x8x1-256e_kinetics400-rgb_20220901-9c0e09bd",
        "backbone", "slowfast_r101_8x8_mm", _K400, "none stated", _SLOWFAST_R101_MM + _FAST_400,
    ),
    _mmaction2(
        "slowonly_r50_8x8_k400_mmaction2",
        "recognition/slowonly/slowonly_r50_8xb16-8x8x1-256e_kinetics400-rgb",
        "slowonly_r50_8xb16-8x8x1-256e_kinetics400-rgb_20220901-2132fc87",
        "backbone", "slowonly_r50_8x8_mm", _K400, "none stated", _SLOWONLY_R50 + _SLOW_400,
    ),
    _mmaction2(
        "slowonly_r50_8x8_k700_mmaction2",
        # The folder and the file differ in the number of GPUs.
        "recognition/slowonly/slowonly_imagenet-pretrained-r50_8xb16-8x8x1-steplr-150e_kinetics700-rgb",
        "slowonly_imagenet-pretrained-r50_16xb16-8x8x1-steplr-150e_kinetics700-rgb_20220901-4098e1eb",
        "backbone", "slowonly_r50_8x8_mm", _K700, "none stated", _SLOWONLY_R50 + _linear(2048, 700),
    ),
    _mmaction2(
        "slowfast_r50_8x8_ava_mmaction2",
        "detection/slowfast/slowfast_kinetics400-pretrained-r50_8xb6-8x8x1-cosine-10e_ava22-rgb",
        "slowfast_kinetics400-pretrained-r50_8xb6-8x8x1-cosine-10e_ava22-rgb_20220906-d934a48f",
        "detector", "slowfast_r50_8x8_mm", f"AVA v2.2 after {_K400}", "mAP 25.90",
        _SLOWFAST_R50_MM + _linear(2304, 81),
    ),
    _mmaction2(
        "slowonly_r50_4x16_ava21_mmaction2",
        "detection/slowonly/slowonly_kinetics400-pretrained-r50_8xb16-4x16x1-20e_ava21-rgb",
        "slowonly_kinetics400-pretrained-r50_8xb16-4x16x1-20e_ava21-rgb_20220906-953ef5fe",
        "detector", "slowonly_r50_4x16_mm", f"AVA v2.1 after {_K400}", "mAP 20.72",
        _SLOWONLY_R50 + _linear(2048, 81),
    ),
    _mmaction2(
        "slowonly_r50_16x4_ava_kinetics_mmaction2",
        "detection/slowonly/slowonly_k700-pre-r50_8xb8-16x4x1-10e-tricks_ava-kinetics-rgb",
        "slowonly_k700-pre-r50_8xb8-16x4x1-10e-tricks_ava-kinetics-rgb_20221205-dd652f81",
        "detector", "slowonly_r50_16x4_mm", f"AVA-Kinetics after {_K700}", "mAP 31.29",
        _SLOWONLY_R50 + _linear(2048, 81),
    ),
    _acar(
        "slowfast_r50_8x8_k400_acar", "1kQO_dnM9JjV3sBtvowXqQa6d0xcxn5rs", "backbone", "slowfast_r50_8x8_acar",
        _K400, "none stated", _SLOWFAST_R50,
    ),
    _acar(
        "slowfast_r101_8x8_k700_acar", "1qDdAntE5Onh7btniftOL8MrbsD7OIqj4", "backbone", "slowfast_r101_8x8_acar",
        _K700, "none stated", _SLOWFAST_R101_ACAR,
    ),
    _acar(
        "acar_r50_8x8_ava_acar", "12vGZoWElxB-Lhn_sGz1aRMqAacexgKtm", "detector", "slowfast_r50_8x8_acar",
        f"AVA v2.2 after {_K400}", "mAP 27.83", 58_873_800,
    ),
    _acar(
        "acar_r101_8x8_ava_acar", "1d9UdvwS0HR-h84j_z4JbRWwEbITSt_FN", "detector", "slowfast_r101_8x8_acar",
        f"AVA v2.2 after {_K700}", "mAP 31.69", 75_597_992,
    ),
    _acar(
        "acar_r101_8x8_ava_kinetics_acar", "1c-6o-s5ix2dD1rN2m51FPtfKv8fTPy8m", "detector",
        "slowfast_r101_8x8_acar", f"AVA-Kinetics after {_K700}", "mAP 33.74 on AVA", 75_597_992,
    ),
)  # fmt: skip

VIDEO_NETS = ("mvit_v2_s", "swin3d_t", "swin3d_s", "swin3d_b", "r3d_18")
PERSON_DETECTORS = ("fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_resnet50_fpn_v2")


@cache
def published() -> tuple[Published, ...]:
    """All public weights; torchvision tells about its own, so this imports it."""
    return _FIXED + tuple(
        entry for arch in (*VIDEO_NETS, *PERSON_DETECTORS) for entry in _of_torchvision(arch, arch in VIDEO_NETS)
    )


def _of_torchvision(arch: str, video: bool) -> list[Published]:
    from torchvision.models import get_model_weights

    return [
        Published(
            name=f"{arch}_{weights.name.lower()}_torchvision",
            url=weights.url,
            kind="backbone" if video else "people",
            preset=arch if video else None,
            layout="torchvision",
            trained_on=_K400 if video else "COCO",
            figure=", ".join(
                f"{what} {value}" for values in weights.meta["_metrics"].values() for what, value in values.items()
            ),
            good_for=START if video else "finding persons",
            num_parameters=weights.meta["num_params"],
            licence=BSD,
        )
        for weights in get_model_weights(arch)
    ]
