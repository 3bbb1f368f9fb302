"""AMCRNet's released checkpoint, by the names that its code gives: all of it goes in, nothing is left over."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from relact import Actors, create_model, load_published
from relact.backbones.layouts import canonical, detect
from relact.backbones.pretrained import LAYOUTS, convert
from tests.unit.test_pretrained import random_state, to_mmaction2

SMALL = {"width": 16, "heads": 2}


def model(classes: int, variant: str = "slim", backbone: str = "slowfast_r50_8x8_mm", **settings: object) -> nn.Module:
    return create_model(f"amcrnet:{variant}", backbone=backbone, num_classes=classes, settings={**SMALL, **settings})


def released_name(name: str) -> str:
    """Our name → the released code's, by the list of its state dict."""
    part, _, rest = name.partition(".")
    if part == "backbone":
        return to_mmaction2(rest, both=True)
    if part == "classifier":
        return f"head.cls_head.fc_cls.{rest}"
    if match := re.fullmatch(r"position\.layers\.(\d+)\.(.+)", rest):
        layer = int(match[1])
        place = "outconv0" if layer == 12 else f"pos_net.{layer // 2}.{layer % 2}"
        return f"pose_net.{place}.{match[2]}"
    rest = rest.replace("fusion.reduce", "roi_head.channel_downsample")
    rest = re.sub(r"\.(qkv|proj)\.", r".attn.\1.", re.sub(r"\.(fc[12])\.", r".mlp.\1.", rest))
    for ours, theirs in (("bhoi", "modlue"), ("history.0", "module_high"), ("history.1", "module_roi")):
        rest = rest.replace(f"{ours}.blocks", f"BHOI_{theirs}.blocks")
    return f"head.{rest}"


def released(giver: nn.Module, *, prefix: str = "", counters: bool = True) -> dict[str, Tensor]:
    return {
        prefix + released_name(name): value.clone()
        for name, value in giver.state_dict().items()
        if counters or not name.endswith("num_batches_tracked")
    }


SHAPES = {
    **{f"pose_net.pos_net.{k}.{j}.conv.weight": (o, (i, o)[j], 3, 3)
       for k, (i, o) in enumerate([(1, 2), (2, 2), (2, 2), (2, 2), (2, 4), (4, 16)]) for j in (0, 1)},
    "pose_net.pos_net.5.1.bn.running_var": (16,),
    "pose_net.outconv0.conv.weight": (1024, 16, 3, 3),
    "pose_net.outconv0.bn.weight": (1024,),
    "head.temporal_embed": (15, 1024),
    "head.roi_head.channel_downsample.conv.weight": (512, 3072, 1, 1, 1),
    "head.roi_head.channel_downsample.bn.bias": (512,),
    **{f"head.{stack}.blocks.{i}.{name}": shape
       for stack, depth in (("BHOI_modlue", 4), ("BHOI_module_high", 2)) for i in range(depth)
       for name, shape in {
           "attn_norm.weight": (1024,), "attn_norm.bias": (1024,), "attn.qkv.weight": (3072, 1024),
           "attn.proj.weight": (1024, 1024), "attn.proj.bias": (1024,), "mlp_norm.weight": (1024,),
           "mlp_norm.bias": (1024,), "mlp.fc1.weight": (1024, 1024), "mlp.fc1.bias": (1024,),
           "mlp.fc2.weight": (1024, 1024), "mlp.fc2.bias": (1024,)}.items()},
    "head.cls_head.fc_cls.weight": (81, 1024),
    "head.cls_head.fc_cls.bias": (81,),
}  # fmt: skip
"""what the release's state dict is known to hold outside of the backbone, but for further values of batch norms"""


def test_names_and_shapes_of_the_released_state_dict():
    with torch.device("meta"):
        ours = create_model("amcrnet:slim", backbone="slowfast_r50_8x8_mm", num_classes=81).state_dict()
    for theirs, shape in SHAPES.items():
        name = canonical(theirs, "amcrnet")
        assert name is not None
        assert tuple(ours[name.replace("head.proj.", "classifier.")].shape) == shape, theirs
    of_head = {name for name in ours if not name.startswith("backbone.")}
    named = {canonical(name, "amcrnet").replace("head.proj.", "classifier.") for name in SHAPES}
    assert all(".bn." in name for name in of_head - named)
    assert {released_name(name) for name in named} == set(SHAPES)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("counters", [True, False])
@pytest.mark.parametrize("layout", ["amcrnet", None])
@pytest.mark.parametrize("variant", ["slim", "slim_hrafb", "slim_no_bank"])
def test_a_released_file_fills_the_whole_model(
    prefix: str, counters: bool, layout: str | None, variant: str, tmp_path: Path
):
    torch.manual_seed(1)
    giver = random_state(model(81, variant, "slowfast_debug"))
    state = released(giver, prefix=prefix, counters=counters)
    assert len(state) == len({re.sub(r"^module\.", "", name) for name in state})
    torch.save({"meta": {}, "state_dict": state}, tmp_path / "a.pth")
    taker = model(81, variant, "slowfast_debug").eval()
    report = load_published(taker, tmp_path / "a.pth", layout=layout)
    assert report.layout == "amcrnet"
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())
    assert len(report.matched) == len(state)
    for name, value in taker.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, giver.state_dict()[name]), name


def test_the_loaded_model_says_what_the_other_one_said(tmp_path: Path):
    torch.manual_seed(3)
    giver = model(81, "slim", "slowfast_debug").eval()
    torch.save({"state_dict": released(giver, prefix="module.")}, tmp_path / "a.pth")
    taker = model(81, "slim", "slowfast_debug").eval()
    load_published(taker, tmp_path / "a.pth", layout="amcrnet")
    frames = torch.randn(1, 3, 16, 64, 80)
    actors = Actors.of([torch.tensor([[4.0, 4, 40, 60], [20.0, 0, 76, 62]])])
    with torch.no_grad():
        assert torch.equal(taker(frames, actors).logits, giver(frames, actors).logits)


@pytest.mark.parametrize("variant", ["slim", "slim_hrafb"])
def test_the_unused_row_goes_where_a_model_has_80_classes(variant: str, tmp_path: Path):
    torch.manual_seed(1)
    giver = random_state(model(81, variant, "slowfast_debug"))
    torch.save({"state_dict": released(giver)}, tmp_path / "a.pth")
    taker = model(80, variant, "slowfast_debug")
    report = load_published(taker, tmp_path / "a.pth", layout="amcrnet")
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())
    assert torch.equal(taker.classifier.weight, giver.classifier.weight[1:])
    assert torch.equal(taker.classifier.bias, giver.classifier.bias[1:])


def test_other_classes_are_reported_and_left_as_they_were(tmp_path: Path):
    giver = model(81, "slim", "slowfast_debug")
    torch.save({"state_dict": released(giver)}, tmp_path / "a.pth")
    taker = model(60, "slim", "slowfast_debug")
    report = load_published(taker, tmp_path / "a.pth")
    assert [name for name, _, _ in report.mismatched] == ["classifier.weight", "classifier.bias"]
    assert not report.missing


def test_another_variant_is_reported_by_name(tmp_path: Path):
    giver = model(81, "slim", "slowfast_debug")
    torch.save({"state_dict": released(giver)}, tmp_path / "a.pth")
    taker = model(81, "slim_no_bank", "slowfast_debug")
    report = load_published(taker, tmp_path / "a.pth")
    assert not report.missing
    assert {name.split(".")[1] for name in report.unexpected} == {"history", "temporal_embed"}


def test_the_layout_is_told_from_mmaction2s():
    names = ["backbone.slow_path.conv1.conv.weight", "head.cls_head.fc_cls.weight"]
    assert detect(names) == "mmaction2"
    assert detect([*names, "pose_net.pos_net.0.0.conv.weight"]) == "amcrnet"
    assert detect([*names, "module.head.BHOI_modlue.blocks.0.attn.qkv.weight"]) == "amcrnet"
    assert "amcrnet" in LAYOUTS
    assert canonical("module.backbone.slow_path.layer3_lateral.conv.weight", "amcrnet") == "fuse.s4.conv.weight"
    converted = convert({"head.cls_head.fc_cls.bias": torch.arange(81.0)}, "amcrnet")
    assert converted["head.proj.bias"].shape == (81,)  # only a model's own classes say whether row 0 is wanted
