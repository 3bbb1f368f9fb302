"""STC as its paper reads (no code was released): clip by clip, the context tiled over the actors of a clip.

Each actor is a sequence of queries with keys and values of its own, as a Transformer's multi-head attention takes them
when its batch is the actors; q, k, v are three projections, and the attention is written out.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from relact.heads.stc import CrossAttention, Stc
from relact.types import Scene


def forward(head: Stc, scene: Scene) -> Tensor:
    """Features of every actor `[A, D]`."""
    features = []
    for clip, (rows, columns) in enumerate(scene.valid.tolist()):
        rois = scene.rois[scene.actors.clip == clip]
        if len(rois) == 0:
            continue
        if head.pooled:
            rois = F.adaptive_max_pool2d(rois, 1)
        tokens = head.project_actor(rois.flatten(2).transpose(1, 2))
        maps = [scene.pooled[clip, : head.cell_dim, :rows, :columns].flatten(1)]
        if len(head.blocks) == 2:
            maps.append(scene.maps["fast"][clip, :, :, :rows, :columns].mean(dim=(2, 3)))
        for block, project, tokens_of in zip(head.blocks, head.project, maps, strict=True):
            tiled = tokens_of.t().expand(len(tokens), -1, -1).contiguous()
            tokens = attend(block, tokens, project(tiled))
        features.append(F.relu(head.fc(tokens.max(dim=1).values)))
    return torch.cat(features) if features else scene.rois.new_zeros(0, head.out_dim)


def attend(block: CrossAttention, tokens: Tensor, context: Tensor) -> Tensor:
    """Tokens `[N, Q, d]`, context `[N, M, c]`, scores `[N, heads, Q, M]`."""
    (weight_k, weight_v), (bias_k, bias_v) = block.key_value.weight.chunk(2), block.key_value.bias.chunk(2)
    q = split(block.query(tokens), block.heads)
    k = split(F.linear(context, weight_k, bias_k), block.heads)
    v = split(F.linear(context, weight_v, bias_v), block.heads)
    weights = (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).softmax(dim=3)
    gathered = block.out((weights @ v).transpose(1, 2).flatten(2))
    tokens = block.norm1(tokens + block.dropout(gathered))
    return block.norm2(tokens + block.dropout(block.contract(F.relu(block.expand(tokens)))))


def split(x: Tensor, heads: int) -> Tensor:
    """`[N, L, d]` → `[N, heads, L, d / heads]`."""
    return x.view(len(x), x.shape[1], heads, -1).transpose(1, 2)
