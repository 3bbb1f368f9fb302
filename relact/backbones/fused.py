"""Convolutions of a folded backbone with their ReLU and residual sum in one oneDNN call: for bf16 on a CPU.

At bf16's speed every further pass over a map counts (in SlowFast R50: a tenth of the time). The operators are those
that torch's own compiler emits for such patterns; they are not documented, so tests hold them to the plain modules.
"""

import torch
from torch import Tensor, nn

from relact.backbones.resnet3d import Bottleneck, Stem
from relact.nn.padding import Padding, zero_padding_


class FusedConv(nn.Module):
    """ReLU(convolution of x (+ other)); shares the weights of the convolution that it is made from."""

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        self.weight = conv.weight
        self.bias = conv.bias
        self.padding = list(conv.padding)
        self.stride = list(conv.stride)
        self.dilation = list(conv.dilation)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        shape = (self.weight, self.bias, self.padding, self.stride, self.dilation, 1)
        if other is None:
            return torch.ops.mkldnn._convolution_pointwise(x, *shape, "relu", [], "")
        return torch.ops.mkldnn._convolution_pointwise.binary(x, other, *shape, "add", 1.0, "relu", [], "")


class FusedBottleneck(nn.Module):
    """A folded Bottleneck in three calls, four with a projection."""

    def __init__(self, block: Bottleneck) -> None:
        super().__init__()
        self.map_stride = block.map_stride
        self.conv_a = FusedConv(block.conv_a)
        self.conv_b = FusedConv(block.conv_b)
        self.conv_c = FusedConv(block.conv_c)
        self.shortcut = block.shortcut
        self.nl = block.nl

    def forward(self, x: Tensor, padding: Padding | None = None) -> Tensor:
        y = self.conv_b(zero_padding_(self.conv_a(x), padding, self.map_stride))
        y = self.conv_c(y, x if self.shortcut is None else self.shortcut(x))
        return y if self.nl is None else self.nl(y, padding)


def fuse(net: nn.Module) -> None:
    """Replaces the bottlenecks and stems of a folded net, in place."""
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Bottleneck):
                module.add_module(name, FusedBottleneck(child))
            elif isinstance(child, Stem):
                child.add_module("conv", FusedConv(child.conv))
                child.add_module("relu", nn.Identity())
