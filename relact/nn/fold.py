"""Folds batch norms into the convolutions before them: for inference, where both are one affine map."""

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

Module = TypeVar("Module", bound=nn.Module)


@torch.no_grad()
def fold_batch_norms(module: Module) -> Module:
    """A copy in eval mode whose convolutions have taken in the batch norm that was registered right after them.

    The batch norms become identities; outputs are those of the original in eval mode, up to rounding.
    """
    folded = copy.deepcopy(module).eval()
    for parent in list(folded.modules()):
        before: nn.Module | None = None
        for name, child in list(parent.named_children()):
            if isinstance(before, nn.Conv3d) and isinstance(child, nn.BatchNorm3d):
                _fold(before, child)
                parent.add_module(name, nn.Identity())
            before = child
    return folded


def _fold(conv: nn.Conv3d, norm: nn.BatchNorm3d) -> None:
    assert conv.out_channels == norm.num_features
    assert norm.running_mean is not None
    assert norm.running_var is not None
    conv.weight, bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    conv.register_parameter("bias", bias)
