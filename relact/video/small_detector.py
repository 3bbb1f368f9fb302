"""A small person detector that trains in a minute or two on a CPU: Faster R-CNN on seven convolutions.

For people who stand out from where they are, seen from afar, as in Stage or by a fixed camera; torchvision's
detectors see more. A file of it holds half-precision weights; `relact detect --detector people.safetensors` reads it.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from relact.errors import InputError, at
from relact.interop.files import atomic_path

SHORT_SIDE = 144
"""pixels, to which pictures are resized"""
ANCHORS = (22, 32, 48)
"""square roots of areas, in pixels of the resized picture"""
SHAPES = (0.25, 1.5, 2.5, 4.0)
"""height over width: who lies, sits, stands"""


class Backbone(nn.Sequential):
    """Seven convolutions, at most 64 channels, one map at stride 8."""

    out_channels = 64

    def __init__(self) -> None:
        widths = ((3, 16, 2), (16, 24, 1), (24, 32, 2), (32, 48, 1), (48, 64, 2), (64, 64, 1), (64, 64, 1))
        super().__init__(*(_convolution(*width) for width in widths))


def _convolution(before: int, after: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
    )


def small_detector(score_threshold: float = 0.05) -> FasterRCNN:
    """With random weights; class 1 is a person, as in torchvision's own."""
    return FasterRCNN(
        Backbone(),
        min_size=SHORT_SIDE,
        max_size=4 * SHORT_SIDE,
        image_mean=[0.45] * 3,
        image_std=[0.225] * 3,
        rpn_anchor_generator=AnchorGenerator((ANCHORS,), (SHAPES,)),
        rpn_pre_nms_top_n_train=600,
        rpn_pre_nms_top_n_test=300,
        rpn_post_nms_top_n_train=300,
        rpn_post_nms_top_n_test=100,
        box_roi_pool=MultiScaleRoIAlign(["0"], output_size=5, sampling_ratio=2),
        box_head=_Head(64 * 25, 128),
        box_predictor=_Predictor(128),
        box_score_thresh=score_threshold,
        box_nms_thresh=0.6,
        box_detections_per_img=50,
        box_batch_size_per_image=64,
    )


class _Head(nn.Sequential):
    def __init__(self, before: int, after: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(before, after), nn.ReLU(inplace=True))


class _Predictor(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.score, self.boxes = nn.Linear(width, 2), nn.Linear(width, 8)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.score(x), self.boxes(x)


def load_small_detector(path: str | Path, score_threshold: float = 0.05) -> FasterRCNN:
    """From a file that `save_small_detector` wrote. Raises InputError for any other."""
    model = small_detector(score_threshold)
    try:
        model.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    except FileNotFoundError:
        raise InputError(f"{at(path)}: no such file; `relact detector train` writes one") from None
    except (SafetensorError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{at(path)}: not weights of relact's small person detector ({first})") from None
    return model.eval()


def save_small_detector(model: nn.Module, path: str | Path) -> None:
    """Weights in half precision; counters of batches are left whole."""
    tensors = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, temporary, metadata={"format": "pt"})


def train_detector(
    model: FasterRCNN,
    batches: Iterable[tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]]],
    *,
    steps: int,
    lr: float = 2e-3,
) -> Iterable[float]:
    """Yields each step's loss; a batch is pictures `[3, H, W]` in 0..1 and boxes `[N, 4]` in their pixels, N may be 0.

    AdamW, warm-up over a tenth of the steps, then a cosine. Raises FloatingPointError for a loss that is not finite.
    """
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-3)
    climb = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / climb) * 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    model.train()
    for (pictures, boxes), _ in zip(batches, range(steps), strict=False):
        targets = [{"boxes": b, "labels": torch.ones(len(b), dtype=torch.int64)} for b in boxes]
        loss = torch.stack(list(model(list(pictures), targets).values())).sum()
        if not bool(torch.isfinite(loss)):
            raise FloatingPointError(f"the detector's loss is {loss.detach():g}: are its boxes sound?")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        yield float(loss.detach())
