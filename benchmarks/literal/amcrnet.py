"""AMCRNet as its released code runs it: folded maps in full, both maps read and pooled apart, every row in every block.

Positions are repeated for every clip, sequences are padded with their last row to the longest one and held apart by an
additive mask, the history runs clip by clip. For clips that fill the map and hold somebody, in evaluation.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

from relact.heads.amcrnet import Amcrnet, Block, Encoder
from relact.nn.posnet import ConvNorm
from relact.types import Scene


def forward(head: Amcrnet, scene: Scene) -> Tensor:
    """Features `[A, D]`."""
    x = fuse(head, scene)
    pos = positions(head, x).repeat(len(x), 1, 1, 1)
    actors, places = read(x, scene), read(pos, scene)
    context, context_places = pool(head, x), pool(head, pos)
    rows = []
    for clip in range(len(x)):
        mine = scene.actors.clip == clip
        of_actors, of_context = actors[mine] + places[mine], context[clip] + context_places[clip]
        rows.append(torch.cat([of_actors, of_context]))
    encoded = encode_padded(head.bhoi, rows)
    higher = [encoded[clip][:count] for clip, count in enumerate(scene.actors.counts)]
    if not len(head.history):
        return torch.cat(higher)
    parts = [higher] if len(head.history) == 1 else [higher, list(actors.split(list(scene.actors.counts)))]
    return torch.cat([recall(head, scene, part, p) for p, part in enumerate(parts)], dim=1)


def fuse(head: Amcrnet, scene: Scene) -> Tensor:
    """Fold, concatenate, pool over time, reduce, merge."""
    maps = list(scene.maps.values())
    if len(maps) == 2:
        slow, fast = maps
        folded = [fast[:, :, j :: fast.shape[2] // slow.shape[2]] for j in range(fast.shape[2] // slow.shape[2])]
        maps = [torch.cat([slow, *folded], dim=1)]
    pooled = F.adaptive_avg_pool3d(maps[0], (2, *maps[0].shape[3:]))
    reduced = conv_norm(head.fusion.reduce, pooled)
    return reduced.reshape(len(reduced), -1, *reduced.shape[3:])


def conv_norm(layer: ConvNorm, x: Tensor) -> Tensor:
    return F.relu(layer.bn(layer.conv(x)))


def positions(head: Amcrnet, x: Tensor) -> Tensor:
    height, width = x.shape[2:]
    if head.position is None:
        return torch.zeros_like(x[:1])
    if not hasattr(head.position, "noise"):
        return head.position(torch.tensor([[height, width]]), height, width)
    pos = head.position.noise[:, :, :height, :width]
    for layer in head.position.layers:
        pos = conv_norm(layer, pos)
    return pos


def read(x: Tensor, scene: Scene) -> Tensor:
    rois = torch.cat([scene.actors.clip[:, None].to(x.dtype), scene.roi_boxes.to(x.dtype)], dim=1)
    return roi_align(x, rois, 8, 1 / scene.stride, -1, aligned=True).mean(dim=(2, 3))


def pool(head: Amcrnet, x: Tensor) -> Tensor:
    """`[B, M, C]`."""
    height, width = x.shape[2:]
    sizes = [(round(height / k), round(width / k)) for k in head.context.kernels]
    grids = [F.adaptive_avg_pool2d(x, size) for size in sizes if min(size)]
    grids += [x] if head.context.grid else []
    tokens = [grid.flatten(2) for grid in grids] or [x.new_zeros(*x.shape[:2], 0)]
    return torch.cat(tokens, dim=2).permute(0, 2, 1)


def encode_padded(encoder: Encoder, rows: list[Tensor]) -> Tensor:
    """All sequences at once: real rows do not see padded ones, nor these the real ones."""
    longest = max(len(r) for r in rows)
    padded, masks = [], []
    for r in rows:
        padded.append(torch.cat([r, r[-1:].expand(longest - len(r), -1)]))
        real = torch.arange(longest, device=r.device) < len(r)
        masks.append(torch.zeros(longest, longest, device=r.device).masked_fill(real[:, None] != real, float("-inf")))
    x, mask = torch.stack(padded), torch.stack(masks)[:, None]
    for block in encoder.blocks:
        x = apply(block, x, mask.to(x.dtype))
    return x


def apply(block: Block, x: Tensor, mask: Tensor | None) -> Tensor:
    num, length, width = x.shape
    normed = block.attn_norm(x)
    q, k, v = (
        F.linear(normed, w).view(num, length, block.heads, width // block.heads).transpose(1, 2)
        for w in block.qkv.weight.chunk(3)
    )
    attention = q @ k.transpose(-1, -2) * (width // block.heads) ** -0.5
    if mask is not None:
        attention = attention + mask
    gathered = (attention.softmax(dim=-1) @ v).transpose(1, 2).reshape(num, length, width)
    x = x + block.proj(gathered)
    return x + block.fc2(F.gelu(block.fc1(block.mlp_norm(x))))


def recall(head: Amcrnet, scene: Scene, part: list[Tensor], p: int) -> Tensor:
    """One sequence a clip: its actors, then every stored second's in ascending order."""
    result = []
    for clip, current in enumerate(part):
        rows = [current + head.temporal_embed[head.radius]]
        if scene.memory is not None:
            width = current.shape[1]
            for second in range(-head.radius, head.radius + 1):
                here = scene.memory.mask[clip] & (scene.memory.dt[clip] == second)
                stored = scene.memory.features[clip][here][:, p * width : (p + 1) * width]
                rows.append(stored + head.temporal_embed[second + head.radius])
        x = torch.cat(rows)[None]
        for block in head.history[p].blocks:
            x = apply(block, x, None)
        result.append(x[0, : len(current)])
    return torch.cat(result)
