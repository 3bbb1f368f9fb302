"""RoIAlign over the time-averaged maps, with the switches in which the published code bases differ."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.autograd.function import once_differentiable
from torchvision.ops import roi_align

from relact.config import STRICT
from relact.nn.padding import extend_edges
from relact.nn.precision import exactly
from relact.types import Actors, Scene


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RoIConfig:
    """How boxes are read off the maps; the defaults are PySlowFast's."""

    size: int = Field(default=7, ge=1)
    """cells per side (MMAction2: 8)"""
    sampling: int = Field(default=0, ge=0)
    """samples per cell side; 0 = as many as the box covers cells"""
    aligned: bool = True
    """half-cell shift of Mask R-CNN's later code; False in ACAR-Net, PyTorchVideo and PySlowFast's Caffe2 models"""
    grid: Literal["stride", "map"] = "stride"
    """box → map: divided by the stride, or by the clip's own size over its map's (ACAR-Net; differs by up to 2 %)"""
    expand: float = Field(default=1.0, gt=0)
    """boxes grown about their centres, then cut to the frame (IGMN tests with 1.25)"""
    expand_train: float | None = Field(default=None, ge=1)
    """in training grown by a factor drawn for each box between 1 and this (IGMN: 1.5); None = by `expand`"""


PYSLOWFAST = RoIConfig()
PYTORCHVIDEO = RoIConfig(aligned=False)
MMACTION2 = RoIConfig(size=8)
ACAR = RoIConfig(aligned=False, grid="map")


def average_time(maps: Mapping[str, Float[Tensor, "B _C _T h w"]]) -> Float[Tensor, "B C h w"]:
    """Each pathway averaged over its frames, then concatenated: the same as averaging after RoIAlign, at 1/T of it."""
    return torch.cat([pathway.mean(dim=2, dtype=_full(pathway)) for pathway in maps.values()], dim=1)


def read_boxes(
    actors: Actors, *, frame: Int[Tensor, "B 2"], config: RoIConfig, training: bool = False
) -> Float[Tensor, "A 4"]:
    """The boxes that RoIAlign reads: grown as `config` says, then cut to the frame (a detector may reach outside)."""
    factor: float | Tensor = config.expand
    if training and config.expand_train is not None:
        factor = 1 + torch.rand_like(actors.boxes[:, :1]) * (config.expand_train - 1)
    return _grow(actors.boxes, factor).clamp(min=0).minimum(_sizes(frame, actors))


def rois(
    pooled: Float[Tensor, "B C h w"],
    actors: Actors,
    *,
    frame: Int[Tensor, "B 2"],
    valid: Int[Tensor, "B 2"],
    stride: int,
    config: RoIConfig,
    boxes: Float[Tensor, "A 4"] | None = None,
) -> Float[Tensor, "A C S S"]:
    """RoI features of every actor, in fp32 or more (torchvision has no bf16 kernel on a CPU).

    `frame` is each clip's real (height, width) in pixels and `valid` its map's real (rows, columns), both on the host.
    `boxes` are `read_boxes` of the actors, where they are at hand.
    """
    if boxes is None:
        boxes = read_boxes(actors, frame=frame, config=config)
    if config.grid == "map":
        boxes, scale = boxes * (_sizes(valid, actors) / _sizes(frame, actors)), 1.0
    else:
        scale = 1.0 / stride
    with exactly(pooled.device):
        x = _edges_continued(pooled.to(_full(pooled)), valid)
        if x.requires_grad and torch.is_grad_enabled() and x.device.type == "cpu":
            regions: Tensor = _AlignOnCPU.apply(x, boxes.detach().to(x), actors, config, scale)
            return regions
        return _align(x, boxes.to(x), actors.clip, config, scale)


def read_map(x: Float[Tensor, "B C h w"], scene: Scene, config: RoIConfig) -> Float[Tensor, "A C S S"]:
    """RoI features of a scene's actors off a map of the head's own, with the boxes that the scene was read with."""
    frame, valid = scene.frame, scene.valid
    if scene.padded is not None:
        frame, valid = (torch.tensor([size] * len(valid)).reshape(-1, 2) for size in (scene.padded, x.shape[-2:]))
    return rois(
        x,
        scene.actors,
        frame=frame,
        valid=valid,
        stride=scene.stride,
        config=config,
        boxes=scene.roi_boxes,
    )


def _align(x: Tensor, boxes: Tensor, clip: Tensor, config: RoIConfig, scale: float) -> Tensor:
    return roi_align(
        x,
        torch.cat([clip[:, None].to(x), boxes], dim=1),
        output_size=config.size,
        spatial_scale=scale,
        sampling_ratio=config.sampling or -1,
        aligned=config.aligned,
    )


class _AlignOnCPU(torch.autograd.Function):
    """RoIAlign whose backward pass is a product with its weights: torchvision's adds sample by sample, in four times
    the time. It is the same for every channel, so RoIAlign of a map with a channel a cell, 1 there, tells the weights.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, boxes: Tensor, actors: Actors, config: RoIConfig, scale: float) -> Tensor:
        ctx.settings = x.shape, boxes, actors, config, scale
        return _align(x, boxes, actors.clip, config, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        shape, boxes, actors, config, scale = ctx.settings
        rows, columns = shape[2:]
        cells = torch.eye(rows * columns, dtype=grad.dtype).view(1, -1, rows, columns)
        weights = _align(cells, boxes, torch.zeros_like(actors.clip), config, scale)  # [A, h w, S, S]
        parts = (actors.pad(each.flatten(2))[0] for each in (grad, weights))
        return torch.einsum("bncs,bnps->bcp", *parts).view(shape), None, None, None, None


def _sizes(size: Int[Tensor, "B 2"], actors: Actors) -> Float[Tensor, "A 4"]:
    """(height, width) a clip → (w, h, w, h) an actor, to scale or cut its box with."""
    return size.to(actors.boxes, non_blocking=True).index_select(0, actors.clip).flip(1).repeat(1, 2)


def _edges_continued(pooled: Float[Tensor, "B C h w"], valid: Int[Tensor, "B 2"]) -> Float[Tensor, "B C h w"]:
    """Without it a box at the edge of a small clip would be blended with padding that its neighbours brought."""
    full = bool((valid == torch.tensor(pooled.shape[-2:])).all())  # on the host: nothing waits
    return pooled if full else extend_edges(pooled, valid)


def _full(x: Tensor) -> torch.dtype:
    """fp32 for the half formats, else as it is."""
    return torch.promote_types(x.dtype, torch.float32)


def _grow(boxes: Float[Tensor, "A 4"], factor: float | Float[Tensor, "A 1"]) -> Float[Tensor, "A 4"]:
    if isinstance(factor, float) and factor == 1.0:
        return boxes
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 * factor
    return torch.cat([centre - half, centre + half], dim=1)
