"""What there is to choose from, counted: backbones and heads."""

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from relact import backbones, heads
from relact.bank.window import reach
from relact.head import HeadConfig
from relact.labels import LabelMap
from relact.model import ActionDetector
from relact.run.models import labels_for
from relact.types import Actors, Memory, Scene

FRAME = (256, 341)
"""height and width of a clip for which work is counted: 4:3 at short side 256"""


def backbone_table() -> list[dict[str, Any]]:
    """Every backbone preset: name, window, channels of its maps, parameters (counted on empty tensors)."""
    rows = []
    for name in backbones.available():
        config = backbones.config(name)
        with torch.device("meta"):
            network = config.build()
        rows.append(
            {
                "name": name,
                "window": f"{config.num_frames}x{config.frame_stride}",
                "maps": ", ".join(f"{pathway} {channels}" for pathway, channels in network.channels.items()),
                "parameters": sum(p.numel() for p in network.parameters()),
            }
        )
    return rows


def head_table(*, backbone: str = "slowfast_r50_8x8", num_classes: int = 60, actors: int = 5) -> list[dict[str, Any]]:
    """Every variant of every head on a backbone: parameters, work per clip, and what its paper claims.

    Parameters of a head include its classifier. GMAC are billions of multiply-adds of the head in one clip of 256 x 341
    pixels with this many actors (and a full memory where it has one), counted without computing.
    """
    labels = labels_for(num_classes)
    rows = []
    for name in heads.available():
        for variant, config in heads.variants(name).items():
            try:
                rows.append(_row(name, variant, config, backbone, labels, actors))
            except ValueError as error:  # a backbone that this head cannot stand on
                rows.append({"head": name, "variant": variant, "error": str(error)})
    return rows


def _row(name: str, variant: str, config: HeadConfig, backbone: str, labels: LabelMap, actors: int) -> dict[str, Any]:
    with torch.device("meta"):
        model = ActionDetector.of(backbones.config(backbone), config, labels=labels, exclusive=()).eval()
    own = [*model.head.parameters(), *model.classifier.parameters()]
    return {
        "head": name,
        "variant": variant,
        "parameters": sum(p.numel() for p in own),
        "with_backbone": sum(p.numel() for p in model.parameters()),
        "gmac": round(_gmac(model, actors), 2),
        "memory": None if model.head.memory is None else model.head.memory.radius,
        "published": heads.published(name).get(variant, ""),
    }


def _gmac(model: ActionDetector, count: int) -> float:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.head(_empty_scene(model, count))
    return float(counter.get_total_flops()) / 2e9


def _empty_scene(model: ActionDetector, count: int) -> Scene:
    """A clip of tensors without values, only their shapes."""
    stride = model.backbone.stride
    rows, columns = (-(-size // stride) for size in FRAME)
    with torch.device("meta"):
        maps = {
            name: torch.empty(1, channels, model.backbone.frames[name], rows, columns)
            for name, channels in model.backbone.channels.items()
        }
        channels = sum(model.backbone.channels.values())
        boxes = torch.empty(count, 4)
        people = Actors(
            boxes=boxes,
            clip=torch.empty(count, dtype=torch.long),
            counts=(count,),
            scores=torch.empty(count),
            track=torch.empty(count, dtype=torch.long),
        )
        regions = torch.empty(count, channels, model.roi.size, model.roi.size)
        memory = _empty_memory(model)
    return Scene(
        maps=maps,
        pooled=torch.empty(1, channels, rows, columns, device="meta"),
        valid=torch.tensor([[rows, columns]]),
        actors=people,
        rois=regions,
        roi_boxes=boxes,
        frame=torch.tensor([FRAME]),
        stride=stride,
        memory=memory,
        objects=people,
        object_rois=regions,
    )


def _empty_memory(model: ActionDetector) -> Memory | None:
    """As many people a second as there are slots for, or three."""
    spec = model.head.memory
    if spec is None:
        return None
    ticks = sum(reach(spec)) + spec.include_current
    slots = ticks * (spec.max_per_tick or 3)
    whole = torch.empty(1, slots, dtype=torch.long)
    return Memory(
        features=torch.empty(1, slots, spec.dim),
        dt=whole,
        track=whole,
        tag=torch.empty(1, slots),
        mask=torch.empty(1, slots, dtype=torch.bool),
    )
