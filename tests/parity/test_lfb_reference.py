"""LFB's operator and STO as plain loops over clips, actors, layers and slots of the bank."""

import dataclasses

import pytest
import torch
from torch import Tensor

from relact.heads import lfb
from relact.types import Scene
from tests.heads.scenes import built, scene_for
from tests.heads.test_lfb import SMALL

Named = dict[str, Tensor]


def relu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, x * 0)


def linear(named: Named, name: str, x: Tensor) -> Tensor:
    """One row after the other."""
    rows = [(row * x).sum() for row in named[f"{name}.weight"]]
    return torch.stack(rows) + named[f"{name}.bias"]


def norm(named: Named, name: str, x: Tensor) -> Tensor:
    mean = x.sum() / len(x)
    normed = (x - mean) / (((x - mean) ** 2).sum() / len(x) + 1e-5) ** 0.5
    if f"{name}.weight" not in named:
        return normed
    return named[f"{name}.weight"] * normed + named[f"{name}.bias"]


def layer(named: Named, name: str, x: Tensor, bank: list[Tensor]) -> Tensor:
    """One actor: theta against phi, the weighted sum of g, norm, ReLU, product, residual."""
    if not bank:
        return x
    theta = linear(named, f"{name}.theta", x)
    scores = [(theta * linear(named, f"{name}.phi", row)).sum() / len(theta) ** 0.5 for row in bank]
    total = torch.stack([score.exp() for score in scores]).sum()
    parts = [score.exp() / total * linear(named, f"{name}.g", row) for score, row in zip(scores, bank, strict=True)]
    gathered = torch.stack(parts).sum(0)
    return x + linear(named, f"{name}.out", relu(norm(named, f"{name}.norm", gathered)))


def bank_of(config: lfb.Config, whole: Scene, clip: int, people: list[Tensor]) -> list[Tensor]:
    if config.bank == "current":
        return people
    memory = whole.memory
    assert memory is not None
    rows = [memory.features[clip, slot] for slot in range(memory.mask.shape[1]) if memory.mask[clip, slot]]
    slots = (config.radius + 1 + config.future) * config.max_per_tick
    zero = torch.zeros_like(memory.features[clip, 0])
    return rows + ([] if config.mask_padding else [zero] * (slots - len(rows)))


def reference(config: lfb.Config, named: Named, whole: Scene) -> Tensor:
    result = []
    for clip in range(len(whole.valid)):
        people = [roi.amax(dim=(1, 2)) for roi in whole.rois[whole.actors.clip == clip]]
        bank = [linear(named, "reduce_bank", row) for row in bank_of(config, whole, clip, people)]
        for person in people:
            x = linear(named, "reduce_query", person)
            for number in range(config.layers):
                x = layer(named, f"layers.{number}", x, bank)
            result.append(torch.cat([person, x]))
    return torch.stack(result)


@pytest.mark.parametrize("variant", lfb.VARIANTS)
def test_values_and_gradients_are_those_of_the_description(variant: str):
    config = dataclasses.replace(lfb.VARIANTS[variant], **SMALL)
    head = built(config)
    whole = scene_for(head, (2, 3, 2, 0))  # the third clip's bank is empty
    leaves: Named = {"rois": whole.rois, **dict(head.named_parameters())}
    whole.rois.requires_grad_(True)
    got, want = head(whole).features, reference(config, dict(head.named_parameters()), whole)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
    along = torch.randn_like(got)
    ours = torch.autograd.grad((got * along).sum(), list(leaves.values()))
    theirs = torch.autograd.grad((want * along).sum(), list(leaves.values()))
    for name, a, b in zip(leaves, ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, msg=name)
