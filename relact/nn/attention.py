"""Attention over padded rows: scaled dot products from torch, and what the heads share around them.

Letters: B sequences, L queries, M keys, d channels.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

SCORES_TO_KEEP = 2**25
"""of one attention in training on a processor; more are computed again in the backward pass, piece by piece"""


def attend(
    q: Float[Tensor, "B L d"],
    k: Float[Tensor, "B M d"],
    v: Float[Tensor, "B M _e"],
    *,
    heads: int = 1,
    keys: Bool[Tensor, "B M"] | None = None,
) -> Float[Tensor, "B L _e"]:
    """softmax(q k^T / sqrt(d / heads)) v over the real `keys`; zero for a sequence that has none."""
    if k.shape[1] == 0:
        return v.new_zeros(*q.shape[:2], v.shape[2])
    q, k, v = _split(q, heads), _split(k, heads), _split(v, heads)
    product = _plain if _is_slow_fused(q, k) else F.scaled_dot_product_attention
    if keys is None:
        return product(q, k, v).transpose(1, 2).flatten(2)
    some = keys.any(dim=1, keepdim=True)
    # a row without any key would be 0 / 0: it attends to its padding, and is zeroed after
    gathered = product(q, k, v, attn_mask=(keys | ~some)[:, None, None])
    return gathered.transpose(1, 2).flatten(2) * some[:, :, None]


def attention_weights(
    q: Float[Tensor, "B L d"],
    k: Float[Tensor, "B M d"],
    *,
    heads: int = 1,
    keys: Bool[Tensor, "B M"] | None = None,
) -> Float[Tensor, "B L M"]:
    """The weights that `attend` uses, averaged over heads, without gradients: for pictures."""
    q, k = _split(q.detach(), heads), _split(k.detach(), heads)
    score = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if keys is not None:
        score = score.masked_fill(~keys[:, None, None], torch.finfo(score.dtype).min)
    weights = score.softmax(dim=-1).mean(dim=1)
    return weights if keys is None else weights * keys[:, None]


def counted_weights(
    q: Float[Tensor, "B L d"], k: Float[Tensor, "B M d"], times: Float[Tensor, "B M"]
) -> Float[Tensor, "B L M"]:
    """softmax(q k^T / sqrt(d)), each key counted as often as `times` says: 0 = not there, n = as n equal keys."""
    score = q @ k.transpose(1, 2) / q.shape[2] ** 0.5 + times.clamp(min=1).log()[:, None]
    return score.masked_fill(times[:, None] == 0, torch.finfo(score.dtype).min).softmax(dim=2)


def _is_slow_fused(q: Float[Tensor, "B heads L d"], k: Float[Tensor, "B heads M d"]) -> bool:
    """The fused backward pass takes two to five times as long as products and a softmax, in bf16 on a processor."""
    trains = torch.is_grad_enabled() and q.device.type == "cpu" and q.dtype == torch.bfloat16
    return trains and q[..., 0].numel() * k.shape[2] <= SCORES_TO_KEEP


def _plain(
    q: Float[Tensor, "B heads L d"],
    k: Float[Tensor, "B heads M d"],
    v: Float[Tensor, "B heads M e"],
    attn_mask: Bool[Tensor, "_B one one M"] | None = None,
) -> Float[Tensor, "B heads L e"]:
    """What `F.scaled_dot_product_attention` computes, score by score."""
    score = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if attn_mask is not None:
        score = score.masked_fill(~attn_mask, torch.finfo(score.dtype).min)
    return score.softmax(dim=-1) @ v


def _split(x: Float[Tensor, "B L d"], heads: int) -> Float[Tensor, "B heads L _d"]:
    return x.view(*x.shape[:2], heads, x.shape[2] // heads).transpose(1, 2)
