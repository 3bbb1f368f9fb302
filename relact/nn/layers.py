"""Small layers that several heads share."""

import torch
from torch import nn


def linear(in_dim: int, out_dim: int, std: float = 0.01) -> nn.Linear:
    """As LFB and AIA begin: weights drawn from N(0, std), no bias at first."""
    layer = nn.Linear(in_dim, out_dim)
    nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.bias)
    return layer


def table(*shape: int) -> nn.Parameter:
    """Learnable embeddings, started as ViT's."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(*shape), std=0.02))
