"""A published detector into a whole model: backbone and classifier."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from relact import create_model, load_published


def test_a_detector_fills_the_backbone_and_the_classifier(tmp_path: Path):
    torch.manual_seed(1)
    giver = create_model("linear", backbone="slowfast_r50_8x8", num_classes=80)
    canonical = {f"backbone.{name}": value for name, value in giver.backbone.state_dict().items()}
    canonical |= {f"head.proj.{name}": value for name, value in giver.classifier.state_dict().items()}
    save_file({name: value.clone() for name, value in canonical.items()}, tmp_path / "published.safetensors")
    torch.manual_seed(2)
    taker = create_model("linear", backbone="slowfast_r50_8x8", num_classes=80)
    report = load_published(taker, tmp_path / "published.safetensors")
    assert not report.missing
    assert not report.unexpected
    assert not report.mismatched
    assert all(torch.equal(a, b) for a, b in zip(taker.state_dict().values(), giver.state_dict().values(), strict=True))


def test_a_classifier_of_other_classes_is_reported_and_left_as_it_was(tmp_path: Path):
    giver = create_model("linear", backbone="slowfast_debug", num_classes=80)
    state = {f"backbone.{name}": value.clone() for name, value in giver.backbone.state_dict().items()}
    state |= {f"head.proj.{name}": value.clone() for name, value in giver.classifier.state_dict().items()}
    save_file(state, tmp_path / "eighty.safetensors")
    taker = create_model("linear", backbone="slowfast_debug", num_classes=60)
    before = taker.classifier.weight.clone()
    report = load_published(taker, tmp_path / "eighty.safetensors")
    assert {name for name, _, _ in report.mismatched} == {"classifier.weight", "classifier.bias"}
    assert torch.equal(taker.classifier.weight, before)
