"""A backbone made ready for inference: batch norms folded, channels last, and in bf16 where that is asked for."""

from typing import Literal

import torch
from torch import Tensor, nn

from relact.backbones.base import Backbone
from relact.backbones.fused import fuse
from relact.nn.fold import fold_batch_norms

Precision = Literal["fp32", "bf16"]


class Prepared(Backbone):
    """A folded copy of a backbone, for the device that it is on: the same maps, always in fp32, without gradients.

    On a CPU ReLUs and sums are fused into the convolutions. In bf16 a net that consists of convolutions holds its
    weights in bf16, so that nothing is cast per call; others (attention, layer norms) keep fp32 weights and run under
    autocast.
    """

    def __init__(self, backbone: Backbone, precision: Precision) -> None:
        super().__init__()
        self.channels = backbone.channels
        self.frames = backbone.frames
        self.stride = backbone.stride
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.net = fold_batch_norms(backbone).requires_grad_(False)
        self.autocast = precision == "bf16" and not _only_convolutions(self.net)
        self.net.to(memory_format=torch.channels_last_3d)
        if not self.autocast:
            self.net.to(self.dtype)
        on_cpu = next(self.net.parameters()).device.type == "cpu"
        if on_cpu and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            fuse(self.net)

    def forward(self, frames: Tensor, valid: Tensor | None = None) -> dict[str, Tensor]:
        dtype = torch.float32 if self.autocast else self.dtype
        frames = frames.to(dtype=dtype, memory_format=torch.channels_last_3d)
        with torch.no_grad(), torch.autocast(frames.device.type, torch.bfloat16, enabled=self.autocast):
            maps = self.net(frames, valid)
        return {name: x.float() for name, x in maps.items()}


def prepare_for_inference(backbone: Backbone, precision: Precision) -> Prepared:
    """A folded copy in the given precision; `backbone`, the master copy, stays as it is and in fp32."""
    return Prepared(backbone, precision)


def _only_convolutions(net: nn.Module) -> bool:
    leaves = (module for module in net.modules() if next(module.parameters(recurse=False), None) is not None)
    return all(isinstance(module, nn.Conv3d) for module in leaves)
