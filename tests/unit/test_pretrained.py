"""Published layouts: checkpoints in each one's own names and container come back as the model they were made of."""

import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from relact import backbones
from relact.backbones import Backbone, BackboneConfig
from relact.backbones.layouts import canonical, detect
from relact.backbones.pretrained import LAYOUTS, convert, fitting_presets, load_published
from relact.errors import InputError

DEEP = (2, 3, 12, 2)
SLOWFAST = replace(backbones.config("slowfast_debug"), num_frames=8, depths=DEEP)
SLOWONLY = replace(backbones.config("slowonly_debug"), depths=DEEP)
NONLOCAL = {"nonlocal_after": ((), (1,), (0, 10), ())}

# Names as the specification's table has them: ours, PySlowFast's, PyTorchVideo's, MMAction2's, ACAR-Net's.
TABLE = [
    ("slow.s1.conv.weight", "s1.pathway0_stem.conv.weight", "blocks.0.multipathway_blocks.0.conv.weight",
     "backbone.slow_path.conv1.conv.weight", "module.backbone.module.slow_conv1.weight"),
    ("slow.s1.bn.bias", "s1.pathway0_stem.bn.bias", "blocks.0.multipathway_blocks.0.norm.bias",
     "backbone.slow_path.conv1.bn.bias", "module.backbone.module.slow_bn1.bias"),
    ("fast.s4.2.conv_a.weight", "s4.pathway1_res2.branch2.a.weight",
     "blocks.3.multipathway_blocks.1.res_blocks.2.branch2.conv_a.weight",
     "backbone.fast_path.layer3.2.conv1.conv.weight", "module.backbone.module.fast_res3.2.conv1.weight"),
    ("fast.s4.2.bn_a.running_var", "s4.pathway1_res2.branch2.a_bn.running_var",
     "blocks.3.multipathway_blocks.1.res_blocks.2.branch2.norm_a.running_var",
     "backbone.fast_path.layer3.2.conv1.bn.running_var", "module.backbone.module.fast_res3.2.bn1.running_var"),
    ("slow.s2.0.shortcut.conv.weight", "s2.pathway0_res0.branch1.weight",
     "blocks.1.multipathway_blocks.0.res_blocks.0.branch1_conv.weight",
     "backbone.slow_path.layer1.0.downsample.conv.weight",
     "module.backbone.module.slow_res1.0.downsample.0.weight"),
    ("slow.s2.0.shortcut.bn.weight", "s2.pathway0_res0.branch1_bn.weight",
     "blocks.1.multipathway_blocks.0.res_blocks.0.branch1_norm.weight",
     "backbone.slow_path.layer1.0.downsample.bn.weight",
     "module.backbone.module.slow_res1.0.downsample_bn.weight"),
    ("fuse.s1.conv.weight", "s1_fuse.conv_f2s.weight",
     "blocks.0.multipathway_fusion.conv_fast_to_slow.weight",
     "backbone.slow_path.conv1_lateral.conv.weight", "module.backbone.module.Tconv1.0.weight"),
    ("fuse.s1.bn.running_mean", "s1_fuse.bn.running_mean", "blocks.0.multipathway_fusion.norm.running_mean",
     "backbone.slow_path.conv1_lateral.bn.running_mean", "module.backbone.module.Tconv1.1.running_mean"),
    ("fuse.s4.conv.weight", "s4_fuse.conv_f2s.weight",
     "blocks.3.multipathway_fusion.conv_fast_to_slow.weight",
     "backbone.slow_path.layer3_lateral.conv.weight", "module.backbone.module.Tconv4.0.weight"),
]  # fmt: skip

CAFFE2 = {
    "conv1_w": "slow.s1.conv.weight",
    "res_conv1_bn_s": "slow.s1.bn.weight",
    "res_conv1_bn_riv": "slow.s1.bn.running_var",
    "t_conv1_w": "fast.s1.conv.weight",
    "t_res_conv1_bn_rm": "fast.s1.bn.running_mean",
    "res4_5_branch2a_w": "slow.s4.5.conv_a.weight",
    "t_res2_0_branch1_w": "fast.s2.0.shortcut.conv.weight",
    "t_res2_0_branch1_bn_rm": "fast.s2.0.shortcut.bn.running_mean",
    "res5_2_branch2c_bn_b": "slow.s5.2.bn_c.bias",
    "t_pool1_subsample_w": "fuse.s1.conv.weight",
    "t_pool1_subsample_bn_s": "fuse.s1.bn.weight",
    "t_res4_5_branch2c_bn_subsample_w": "fuse.s4.conv.weight",
    "t_res4_22_branch2c_bn_subsample_bn_riv": "fuse.s4.bn.running_var",
    "nonlocal_conv4_6_theta_w": "slow.s4.6.nl.theta.weight",
    "nonlocal_conv4_6_out_b": "slow.s4.6.nl.out.bias",
    "nonlocal_conv4_6_bn_s": "slow.s4.6.nl.bn.weight",
    "pred_w": "head.proj.weight",
    "conv1_w_momentum": None,
    "lr": None,
    "model_iter": None,
}


@pytest.mark.parametrize("row", TABLE)
def test_names_of_the_table(row: tuple[str, ...]) -> None:
    for layout, theirs in zip(("pyslowfast", "pytorchvideo", "mmaction2", "acar"), row[1:], strict=True):
        assert canonical(theirs, layout) == row[0]


def test_further_names() -> None:
    assert canonical("s4.pathway0_nonlocal6.conv_theta.weight", "pyslowfast") == "slow.s4.6.nl.theta.weight"
    assert canonical("head.projection.bias", "pyslowfast") == "head.proj.bias"
    assert canonical("model.blocks.0.conv.weight", "pytorchvideo") == "slow.s1.conv.weight"
    assert canonical("model.blocks.3.res_blocks.5.branch2.norm_c.bias", "pytorchvideo") == "slow.s4.5.bn_c.bias"
    assert canonical("model.detection_head.proj.weight", "pytorchvideo") == "head.proj.weight"
    assert canonical("detection_head.proj.weight", "pytorchvideo") == "head.proj.weight"
    assert canonical("blocks.6.proj.weight", "pytorchvideo") == "head.proj.weight"
    assert canonical("backbone.layer3.4.conv3.bn.weight", "mmaction2") == "slow.s4.4.bn_c.weight"
    nonlocal_block = "backbone.layer2.2.non_local_block."
    assert canonical(nonlocal_block + "phi.0.conv.bias", "mmaction2") == "slow.s3.2.nl.phi.bias"
    assert canonical(nonlocal_block + "theta.conv.weight", "mmaction2") == "slow.s3.2.nl.theta.weight"
    assert canonical(nonlocal_block + "conv_out.conv.weight", "mmaction2") == "slow.s3.2.nl.out.weight"
    assert canonical(nonlocal_block + "conv_out.bn.weight", "mmaction2") == "slow.s3.2.nl.bn.weight"
    assert canonical("roi_head.bbox_head.fc_cls.weight", "mmaction2") == "head.proj.weight"
    assert canonical("module.backbone.module.Tconv2.weight", "acar") == "fuse.s2.conv.weight"
    assert canonical("slow_res1.0.bn3.weight", "acar") == "slow.s2.0.bn_c.weight"
    assert canonical("module.head.module.hr2o.1.conv_q.weight", "acar") == "head.hr2o.1.conv_q.weight"
    assert canonical("something.else", "acar") == "something.else"


@pytest.mark.parametrize(("theirs", "ours"), CAFFE2.items())
def test_caffe2_blobs(theirs: str, ours: str | None) -> None:
    assert canonical(theirs, "pyslowfast_caffe2") == ours


# What follows writes checkpoints: our names to theirs, by the same table, read in the other direction.


def to_pyslowfast(name: str) -> str:
    way = {"slow": "0", "fast": "1"}
    if match := re.fullmatch(r"fuse\.(s\d)\.(conv|bn)\.(\w+)", name):
        return f"{match[1]}_fuse.{'conv_f2s' if match[2] == 'conv' else 'bn'}.{match[3]}"
    if match := re.fullmatch(r"(slow|fast)\.s1\.(\w+)\.(\w+)", name):
        return f"s1.pathway{way[match[1]]}_stem.{match[2]}.{match[3]}"
    if match := re.fullmatch(r"slow\.(s\d)\.(\d+)\.nl\.(\w+)\.(\w+)", name):
        return f"{match[1]}.pathway0_nonlocal{match[2]}.{'' if match[3] == 'bn' else 'conv_'}{match[3]}.{match[4]}"
    match = re.fullmatch(r"(slow|fast)\.(s\d)\.(\d+)\.(.+)\.(\w+)", name)
    assert match
    parts = {"shortcut.conv": "branch1", "shortcut.bn": "branch1_bn"}
    parts |= {f"conv_{k}": f"branch2.{k}" for k in "abc"} | {f"bn_{k}": f"branch2.{k}_bn" for k in "abc"}
    return f"{match[2]}.pathway{way[match[1]]}_res{match[3]}.{parts[match[4]]}.{match[5]}"


def to_caffe2(name: str) -> str:
    name, value = name.rsplit(".", 1)
    t = "t_" if name.startswith("fast") else ""
    norm = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}
    plain = {"weight": "w", "bias": "b"}
    if match := re.fullmatch(r"fuse\.s(\d)\.(conv|bn)", name):
        k = int(match[1])
        place = "t_pool1_subsample" if k == 1 else f"t_res{k}_{DEEP[k - 2] - 1}_branch2c_bn_subsample"
        return f"{place}_bn_{norm[value]}" if match[2] == "bn" else f"{place}_{plain[value]}"
    if name.endswith("s1.conv"):
        return f"{t}conv1_{plain[value]}"
    if name.endswith("s1.bn"):
        return f"{t}res_conv1_bn_{norm[value]}"
    if match := re.fullmatch(r"slow\.s(\d)\.(\d+)\.nl\.(\w+)", name):
        place = f"nonlocal_conv{match[1]}_{match[2]}_{match[3]}"
        return f"{place}_{norm[value] if match[3] == 'bn' else plain[value]}"
    match = re.fullmatch(r"\w+\.s(\d)\.(\d+)\.(.+)", name)
    assert match
    parts = {"shortcut.conv": "branch1", "shortcut.bn": "branch1_bn"}
    parts |= {f"conv_{k}": f"branch2{k}" for k in "abc"} | {f"bn_{k}": f"branch2{k}_bn" for k in "abc"}
    suffix = norm[value] if "bn" in match[3] else plain[value]
    return f"{t}res{match[1]}_{match[2]}_{parts[match[3]]}_{suffix}"


def to_pytorchvideo(name: str, *, both: bool) -> str:
    way, _, rest = name.partition(".")
    if match := re.fullmatch(r"s(\d)\.(conv|bn)\.(\w+)", rest) if way == "fuse" else None:
        part = "conv_fast_to_slow" if match[2] == "conv" else "norm"
        return f"blocks.{int(match[1]) - 1}.multipathway_fusion.{part}.{match[3]}"
    block = f"blocks.{int(rest[1]) - 1}." + (f"multipathway_blocks.{('slow', 'fast').index(way)}." if both else "")
    rest = rest[3:]
    if name.split(".")[1] == "s1":
        return block + rest.replace("bn.", "norm.")
    rest = re.sub(r"shortcut\.(\w+)", r"branch1_\1", re.sub(r"\b((?:conv|bn)_[abc])", r"branch2.\1", rest))
    return block + "res_blocks." + rest.replace("branch1_bn", "branch1_norm").replace("bn_", "norm_")


def to_mmaction2(name: str, *, both: bool) -> str:
    way, stage, rest = name.split(".", 2)
    if way == "fuse":
        place = "conv1" if stage == "s1" else f"layer{int(stage[1]) - 1}"
        return f"backbone.slow_path.{place}_lateral.{rest}"
    start = f"backbone.{way}_path." if both else "backbone."
    if stage == "s1":
        return f"{start}conv1.{rest}"
    rest = re.sub(r"(conv|bn)_([abc])", lambda m: f"conv{'abc'.index(m[2]) + 1}.{m[1]}", rest)
    rest = re.sub(r"nl\.(phi|g)\.", r"non_local_block.\1.0.conv.", rest.replace("shortcut.", "downsample."))
    rest = rest.replace("nl.theta.", "non_local_block.theta.conv.").replace("nl.out.", "non_local_block.conv_out.conv.")
    return f"{start}layer{int(stage[1]) - 1}.{rest.replace('nl.bn.', 'non_local_block.conv_out.bn.')}"


def to_acar(name: str) -> str:
    way, stage, rest = name.split(".", 2)
    if way == "fuse":
        place = rest.replace("conv", "0").replace("bn", "1")
        return f"module.backbone.module.Tconv{stage[1]}.{place}"
    if stage == "s1":
        return f"module.backbone.module.{way}_{rest.replace('conv', 'conv1').replace('bn', 'bn1')}"
    rest = re.sub(r"(conv|bn)_([abc])", lambda m: f"{m[1]}{'abc'.index(m[2]) + 1}", rest)
    rest = rest.replace("shortcut.conv", "downsample.0").replace("shortcut.bn", "downsample_bn")
    return f"module.backbone.module.{way}_res{int(stage[1]) - 1}.{rest}"


def save_pyth(state: dict[str, Tensor], path: Path) -> None:
    torch.save({"epoch": 3, "model_state": state, "optimizer_state": {}, "cfg": "TRAIN: true"}, path)


def save_mm(state: dict[str, Tensor], path: Path) -> None:
    torch.save({"meta": {"epoch": 1}, "state_dict": state}, path)


def save_flat(state: dict[str, Tensor], path: Path) -> None:
    torch.save(state, path)


def save_caffe2(state: dict[str, Tensor], path: Path) -> None:
    blobs = {}
    for name, value in state.items():
        array = value.numpy()
        if array.ndim == 5 and "branch2c_w" in name:
            array = array.reshape(array.shape[:2])  # Caffe2 drops dimensions of 1
        blobs[name] = array
        if array.ndim > 1:
            blobs[f"{name}_momentum"] = np.zeros_like(array)
    blobs |= {"lr": np.float32(0.1), "model_iter": np.array([7])}
    path.write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))


Case = tuple[str, BackboneConfig, Callable[[str], str], Callable[[dict[str, Tensor], Path], None], str]
CASES: dict[str, Case] = {
    "pyslowfast": ("pyslowfast", SLOWFAST, to_pyslowfast, save_pyth, "a.pyth"),
    "pyslowfast non-local": ("pyslowfast", replace(SLOWFAST, **NONLOCAL), to_pyslowfast, save_pyth, "a.pyth"),
    "pyslowfast slowonly": ("pyslowfast", SLOWONLY, to_pyslowfast, save_pyth, "a.pyth"),
    "caffe2": ("pyslowfast_caffe2", SLOWFAST, to_caffe2, save_caffe2, "a.pkl"),
    "caffe2 non-local": ("pyslowfast_caffe2", replace(SLOWFAST, **NONLOCAL), to_caffe2, save_caffe2, "a.pkl"),
    "caffe2 slowonly": ("pyslowfast_caffe2", SLOWONLY, to_caffe2, save_caffe2, "a.pkl"),
    "pytorchvideo": ("pytorchvideo", SLOWFAST, lambda n: to_pytorchvideo(n, both=True), save_pyth, "a.pyth"),
    "pytorchvideo detection": (
        "pytorchvideo", SLOWFAST, lambda n: "model." + to_pytorchvideo(n, both=True), save_pyth, "a.pyth",
    ),
    "pytorchvideo slowonly": (
        "pytorchvideo", SLOWONLY, lambda n: to_pytorchvideo(n, both=False), save_pyth, "a.pyth",
    ),
    "mmaction2": (
        "mmaction2", replace(SLOWFAST, fusion_norm=False), lambda n: to_mmaction2(n, both=True), save_mm, "a.pth",
    ),
    "mmaction2 lateral norm": ("mmaction2", SLOWFAST, lambda n: to_mmaction2(n, both=True), save_mm, "a.pth"),
    "mmaction2 slowonly non-local": (
        "mmaction2", replace(SLOWONLY, **NONLOCAL, nonlocal_form="embedded_gaussian"),
        lambda n: to_mmaction2(n, both=False), save_mm, "a.pth",
    ),
    "acar": ("acar", SLOWFAST, to_acar, save_flat, "a.pth"),
    "acar conv only": (
        "acar", replace(SLOWFAST, fusion_norm=False),
        lambda n: re.sub(r"(Tconv\d)\.0", r"\1", to_acar(n)), save_flat, "a.pth",
    ),
    "acar pre-trained": (
        "acar", SLOWFAST, lambda n: to_acar(n).removeprefix("module.backbone.module."), save_flat, "a.pth",
    ),
    "relact": ("relact", SLOWFAST, lambda n: n, lambda s, p: save_file(s, p), "a.safetensors"),
}  # fmt: skip


def random_state(net: nn.Module) -> nn.Module:
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + (0.5 if name.endswith("running_var") else 0))
    return net.eval()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("named", [True, False])
def test_every_layout_comes_back_exactly(case: str, named: bool, tmp_path: Path) -> None:
    layout, config, rename, save, file = CASES[case]
    net = random_state(config.build())
    state = {name: value for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    theirs = {rename(name): value for name, value in state.items()}
    assert len(theirs) == len(state)
    assert case == "relact" or not set(theirs) & set(state)
    save(theirs, tmp_path / file)
    fresh = config.build().eval()
    report = load_published(fresh, tmp_path / file, layout if named else None)
    assert report.layout == layout
    assert sorted(report.matched) == sorted(state)
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())
    for name, value in fresh.state_dict().items():
        if name in state:
            assert torch.equal(value, state[name]), name


def test_outputs_are_identical(tmp_path: Path) -> None:
    net = backbones.config("slowfast_debug").build().eval()
    torch.save({"model_state": {to_pyslowfast(n): v for n, v in weights(net).items()}}, tmp_path / "a.pyth")
    fresh = backbones.config("slowfast_debug").build().eval()
    load_published(fresh, tmp_path / "a.pyth")
    frames = torch.randn(1, 3, 16, 48, 64)
    with torch.no_grad():
        for name, x in net(frames).items():
            assert (fresh(frames)[name] - x).abs().max() == 0


def weights(net: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}


class Model(nn.Module):
    """As much of a detector as loading looks at."""

    def __init__(self, config: BackboneConfig, classes: int) -> None:
        super().__init__()
        self.backbone = config.build()
        self.head = nn.Module()
        self.head.proj = nn.Linear(320, classes)
        self.head.fresh = nn.Linear(2, 2)


def test_a_model_around_a_backbone(tmp_path: Path) -> None:
    net = random_state(SLOWFAST.build())
    state = {to_pyslowfast(name): value for name, value in weights(net).items()}
    state |= {"head.projection.weight": torch.rand(5, 320), "head.projection.bias": torch.rand(5)}
    save_pyth(state, tmp_path / "a.pyth")
    model = Model(SLOWFAST, 5)
    report = load_published(model, tmp_path / "a.pyth")
    assert torch.equal(model.head.proj.weight, state["head.projection.weight"])
    assert report.missing == ("head.fresh.weight", "head.fresh.bias")
    assert "backbone.slow.s1.conv.weight" in report.matched
    other = Model(SLOWFAST, 4)
    report = load_published(other, tmp_path / "a.pyth")
    assert report.mismatched == (("head.proj.weight", (5, 320), (4, 320)), ("head.proj.bias", (5,), (4,)))
    assert torch.equal(other.backbone.state_dict()["slow.s1.conv.weight"], state["s1.pathway0_stem.conv.weight"])
    report = load_published(SLOWFAST.build(), tmp_path / "a.pyth")
    assert report.unexpected == ("head.proj.weight", "head.proj.bias")
    assert "head.proj.weight" in str(report)


def test_mmaction2s_unused_class_is_dropped() -> None:
    state = {
        "backbone.conv1.conv.weight": torch.zeros(64, 3, 1, 7, 7),
        "roi_head.bbox_head.fc_cls.weight": torch.arange(81.0)[:, None].expand(81, 4),
        "roi_head.bbox_head.fc_cls.bias": torch.arange(81.0),
    }
    converted = convert(state)
    assert converted["head.proj.weight"].shape == (80, 4)
    assert converted["head.proj.bias"].tolist() == list(range(1, 81))
    classifier = {"backbone.conv1.conv.weight": torch.zeros(1), "cls_head.fc_cls.bias": torch.arange(400.0)}
    assert convert(classifier)["head.proj.bias"].shape == (400,)


def test_torchvision_weights(tmp_path: Path) -> None:
    from torchvision.models.video import r3d_18

    theirs = random_state(r3d_18())
    torch.save(theirs.state_dict(), tmp_path / "r3d_18.pth")
    net = backbones.config("r3d_18").build()
    report = load_published(net, tmp_path / "r3d_18.pth")
    assert (report.layout, report.unexpected) == ("torchvision", ("head.proj.weight", "head.proj.bias"))
    assert torch.equal(net.state_dict()["net.layer4.1.conv2.0.weight"], theirs.layer4[1].conv2[0].weight)


@pytest.mark.parametrize("name", ["mvit_v2_s", "swin3d_t", "r3d_18"])
def test_torchvision_names_are_complete(name: str) -> None:
    from torchvision.models import get_model

    with torch.device("meta"):
        theirs, ours = get_model(name).state_dict(), backbones.config(name).build().state_dict()
    assert detect(theirs) == "torchvision"
    assert detect(ours) == "relact"
    converted = {canonical(key, "torchvision") for key in theirs}
    assert converted - set(ours) == {"head.proj.weight", "head.proj.bias"}
    assert set(ours) <= converted


def test_another_architecture_is_refused_and_nothing_is_loaded(tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = weights(backbones.config("slowonly_r50_8x8").build())
    save_pyth({to_pyslowfast(n): torch.zeros(v.shape, dtype=v.dtype) for n, v in shapes.items()}, tmp_path / "a.pyth")
    net = backbones.config("slowonly_debug").build()
    before = net.slow.s1.conv.weight.clone()
    with pytest.raises(InputError, match=r"a\.pyth: weights of another architecture.*it fits: slowonly_r50_4x16"):
        load_published(net, tmp_path / "a.pyth")
    assert torch.equal(net.slow.s1.conv.weight, before)


def test_deeper_nets_do_not_slip_in(tmp_path: Path) -> None:
    """All tensors of an R50 are in an R101's file with the right shapes; it is still another net."""
    save_flat(weights(SLOWONLY.build()), tmp_path / "deep.pth")
    shallow = replace(SLOWONLY, depths=(1, 1, 1, 1)).build()
    with pytest.raises(InputError, match="that we do not have"):
        load_published(shallow, tmp_path / "deep.pth")


def test_fitting_presets() -> None:
    with torch.device("meta"):
        state = backbones.config("slowfast_r101_nl_8x8").build().state_dict()
    assert fitting_presets(state) == ["slowfast_r101_nl_8x8", "slowfast_r101_nl_16x8"]
    assert fitting_presets({"slow.s1.conv.weight": torch.zeros(1)}) == []


def test_unknown_layouts(tmp_path: Path) -> None:
    save_flat({"encoder.weight": torch.zeros(1)}, tmp_path / "a.pth")
    net = backbones.config("slowonly_debug").build()
    with pytest.raises(InputError, match=r"a\.pth: no known layout .* encoder\.weight"):
        load_published(net, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"expected one of pyslowfast.*got 'caffe'"):
        load_published(net, tmp_path / "a.pth", "caffe")
    assert {"pyslowfast", "pyslowfast_caffe2", "pytorchvideo", "mmaction2", "acar"} <= set(LAYOUTS)


def test_parts_of_backbone_are_typed() -> None:
    assert isinstance(SLOWFAST.build(), Backbone)
