"""MRSN as its paper writes it: a loop over clips, the context's tokens tiled for every actor, all projections computed.

No code was released. Keys and values of RSE are projected token by token, and X asks its one key for a score.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relact.heads.mrsn import CrossAttention, Encoder, FeedForward, LongConsensus, Mrse, Mrsn, Rse, places
from relact.types import Scene


def forward(head: Mrsn, scene: Scene) -> Tensor:
    """Features `[A, D]`."""
    tokens = head.embed_actor(scene.rois.flatten(1) if head.flat else scene.rois.flatten(2).amax(2))
    standing = places(scene, head.side)
    return torch.cat([
        _clip(head, scene, clip, tokens[scene.actors.clip == clip], standing[scene.actors.clip == clip])
        for clip, count in enumerate(scene.actors.counts) if count
    ])  # fmt: skip


def _clip(head: Mrsn, scene: Scene, clip: int, tokens: Tensor, standing: Tensor) -> Tensor:
    x = y = None
    if head.has_context:
        rows, columns = scene.valid[clip].tolist()
        pooled = F.adaptive_avg_pool2d(scene.pooled[clip : clip + 1, :, :rows, :columns], head.grid)
        patches = head.embed_patch(pooled).flatten(2).transpose(1, 2) + head.patch_places
        x = torch.cat([(tokens + head.actor_mark)[:, None], patches.repeat(len(tokens), 1, 1)], dim=1)
    if head.has_others:
        y = tokens + (head.patch_places if head.share_pos else head.actor_places)[standing]
    for mrse in head.mrse:
        assert isinstance(mrse, Mrse)
        x, y = _mrse(mrse, x, y)
    parts = [] if x is None else [x[:, 0], x[:, 1:].mean(1)]
    joined = torch.cat(parts if y is None else [*parts, y], dim=1)
    if head.long is not None and scene.memory is not None:
        joined = _long(head.long, joined, scene, clip)
    return head.mlp(joined).relu()


def _mrse(mrse: Mrse, x: Tensor | None, y: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    for block in mrse.acre:
        assert isinstance(block, Encoder)
        assert x is not None
        x = _encoder(block, x)
    for block in mrse.aare:
        assert isinstance(block, Encoder)
        assert y is not None
        y = _encoder(block, y[None])[0]
    for block in mrse.rse:
        assert isinstance(block, Rse)
        assert x is not None
        assert y is not None
        x, y = _rse(block, x, y)
    return x, y


def _encoder(block: Encoder, x: Tensor) -> Tensor:
    weights, biases = block.qkv.weight.chunk(3), block.qkv.bias.chunk(3)
    q, k, v = (F.linear(x, weight, bias) for weight, bias in zip(weights, biases, strict=True))
    x = x + block.norm(block.out(_attention(q, k, v, block.heads)))
    return _feed(block.ffn, x)


def _rse(block: Rse, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    keys = y[None].expand(len(x), -1, -1) if block.clip_keys else y[:, None]
    new_x = x + block.norm_x(_cross(block.attention_x, x, keys))
    new_y = y + block.norm_y(_cross(block.attention_y, y[:, None], x)[:, 0])
    return _feed(block.ffn_x, new_x), _feed(block.ffn_y, new_y)


def _long(long: LongConsensus, joined: Tensor, scene: Scene, clip: int) -> Tensor:
    assert scene.memory is not None
    here = scene.memory.mask[clip]
    if not here.any():
        return joined
    dt = scene.memory.dt[clip, here]
    bank = scene.memory.features[clip, here] + long.distances[dt + long.window if long.signed else dt.abs()]
    return joined + long.norm(_cross(long.attention, joined[None], bank[None])[0])


def _cross(attention: CrossAttention, x: Tensor, y: Tensor) -> Tensor:
    gathered = _attention(attention.query(x), attention.key(y), attention.value(y), attention.heads)
    return attention.out(gathered)


def _attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def _feed(ffn: FeedForward, x: Tensor) -> Tensor:
    layers: nn.Sequential = ffn.layers
    return x + ffn.norm(layers(x))
