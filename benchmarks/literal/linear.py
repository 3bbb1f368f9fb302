"""SlowFast's baseline and AlphAction's three-layer predictor, actor by actor: a max-pooled RoI, FC and ReLU."""

import torch
import torch.nn.functional as F
from torch import Tensor

from relact.heads.linear import Linear
from relact.types import Scene


def forward(head: Linear, scene: Scene) -> Tensor:
    """Features of every actor `[A, D]`, one at a time."""
    features = []
    for roi in scene.rois:
        x = F.adaptive_max_pool2d(roi[None], 1).flatten(1)
        for layer in head.layers:
            x = F.relu(layer(x))
        features.append(x)
    return torch.cat(features) if features else scene.rois.new_zeros(0, head.out_dim)
