"""The baselines as plain loops over actors, cells and layers (SlowFast, Sec. 4.1; AlphAction's predictor)."""

import dataclasses

import pytest
import torch
from torch import Tensor

from relact.heads import linear
from tests.heads.scenes import built, scene_for


def fully_connected(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """One output channel after the other."""
    return torch.stack([(row * x).sum() + b for row, b in zip(weight, bias, strict=True)])


def reference(named: dict[str, Tensor], roi: Tensor) -> Tensor:
    """One actor: the largest value of each channel over the cells, then FC and ReLU, as many as there are."""
    channels, rows, columns = roi.shape
    x = roi[:, 0, 0]
    for i in range(rows):
        for j in range(columns):
            x = torch.stack([torch.maximum(x[c], roi[c, i, j]) for c in range(channels)])
    for layer in range(len(named) // 2):
        x = fully_connected(named[f"layers.{layer}.weight"], named[f"layers.{layer}.bias"], x)
        x = torch.stack([value if value > 0 else value * 0 for value in x])
    return x


@pytest.mark.parametrize("variant", linear.VARIANTS.values(), ids=linear.VARIANTS)
def test_values_and_gradients_are_those_of_the_description(variant: linear.Config):
    narrow = tuple(5 + i for i in range(len(variant.hidden)))
    head = built(dataclasses.replace(variant, hidden=narrow))
    whole = scene_for(head, (2, 0, 1))
    whole.rois.requires_grad_(True)
    got = head(whole).features
    want = torch.stack([reference(dict(head.named_parameters()), roi) for roi in whole.rois])
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
    along = torch.randn_like(got)
    leaves = {"rois": whole.rois, **dict(head.named_parameters())}
    ours = torch.autograd.grad((got * along).sum(), list(leaves.values()))
    theirs = torch.autograd.grad((want * along).sum(), list(leaves.values()))
    for name, a, b in zip(leaves, ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, msg=name)
