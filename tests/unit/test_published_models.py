"""Published detectors by name: fetched, built with their code base's conventions, loaded whole."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from relact import create_model, load_model, load_published
from relact.errors import InputError
from relact.interop.catalog import Published
from relact.nn.roi import PYTORCHVIDEO
from relact.run import models


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """A catalogue of one small detector whose file is already in the cache."""
    entry = Published(
        name="tiny_ava", url="https://example.org/zoo/tiny.safetensors", kind="detector", preset="slowfast_debug",
        layout="pytorchvideo", trained_on="nothing", figure="none", good_for="tests", num_parameters=1,
    )  # fmt: skip
    monkeypatch.setenv("RELACT_HOME", str(tmp_path))
    monkeypatch.setattr(models, "published", lambda: (entry,))
    monkeypatch.setattr(models, "find", lambda name: entry)
    monkeypatch.setattr(models, "fetch", lambda name: tmp_path / "weights" / entry.file)
    return entry


def pytorchvideo_names(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Our names → PyTorchVideo's, by the spec's table."""
    blocks = {"s1": 0, "s2": 1, "s3": 2, "s4": 3, "s5": 4}
    renamed = {}
    for name, value in model.backbone.state_dict().items():
        path, stage, *rest = name.split(".")
        block = f"blocks.{blocks[stage]}"
        inner = ".".join(rest)
        if path == "fuse":
            part = inner.replace("conv.", "conv_fast_to_slow.").replace("bn.", "norm.")
            renamed[f"{block}.multipathway_fusion.{part}"] = value
            continue
        way = f"{block}.multipathway_blocks.{('slow', 'fast').index(path)}"
        if stage == "s1":
            renamed[f"{way}.{inner.replace('bn.', 'norm.')}"] = value
        elif "shortcut" in inner:
            part = inner.replace("shortcut.conv", "branch1_conv").replace("shortcut.bn", "branch1_norm")
            renamed[f"{way}.res_blocks.{part}"] = value
        else:
            number, part = inner.split(".", 1)
            renamed[f"{way}.res_blocks.{number}.branch2.{part.replace('bn_', 'norm_')}"] = value
    renamed |= {f"detection_head.proj.{name}": value for name, value in model.classifier.state_dict().items()}
    return {f"model.{name}": value.clone() for name, value in renamed.items()}


def test_a_published_detector_is_loaded_whole_with_its_conventions(tiny: Published, tmp_path: Path):
    giver = create_model("linear", backbone="slowfast_debug", num_classes=80)
    (tmp_path / "weights").mkdir()
    save_file(pytorchvideo_names(giver), tmp_path / "weights" / tiny.file)
    model = load_model("tiny_ava")
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), giver.state_dict().values(), strict=True))
    assert model.roi == PYTORCHVIDEO
    assert model.exclusive == ()
    assert len(model.labels) == 80
    assert not model.training


def test_a_file_without_its_classifier_is_refused(tiny: Published, tmp_path: Path):
    giver = create_model("linear", backbone="slowfast_debug", num_classes=80)
    (tmp_path / "weights").mkdir()
    names = pytorchvideo_names(giver)
    save_file({name: value for name, value in names.items() if "proj" not in name}, tmp_path / "weights" / tiny.file)
    with pytest.raises(InputError, match="not the detector that it should be"):
        load_model("tiny_ava")


@pytest.mark.slow
def test_a_released_acar_file_is_loaded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Keys by the spec's A7: `module.head.module.conv_reduce.weight`, `module.head.module.fc2.weight`."""
    monkeypatch.setenv("RELACT_HOME", str(tmp_path))
    giver = create_model("acar", backbone="slowfast_r50_8x8_acar", num_classes=60)
    state = {f"backbone.{name}": value.clone() for name, value in giver.backbone.state_dict().items()}
    state |= {f"head.{name}": value.clone() for name, value in giver.head.state_dict().items()}
    state["head.fc2.weight"] = giver.classifier.weight.detach().clone()
    taker = create_model("acar", backbone="slowfast_r50_8x8_acar", num_classes=60)
    save_file(state, tmp_path / "acar.safetensors")
    report = load_published(taker, tmp_path / "acar.safetensors")
    assert not report.missing
    assert not report.unexpected
    assert not report.mismatched
    assert all(torch.equal(a, b) for a, b in zip(taker.state_dict().values(), giver.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "no such run folder"),
        ("slowfast_r50_8x8_k400_pyslowfast", "not a detector of actions"),
        ("acar_r50_8x8_ava_acar", "Google Drive gives it to browsers only"),
    ],
)
def test_what_cannot_detect_says_why(name: str, message: str):
    with pytest.raises(InputError, match=message):
        load_model(name)
