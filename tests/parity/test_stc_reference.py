"""STC as plain loops over clips, actors, heads and tokens, from Sec. 3 and 4.2 and the Transformer that it cites."""

import dataclasses

import pytest
import torch
from torch import Tensor

from relact.heads import stc
from relact.types import Scene
from tests.heads.scenes import built, scene_for

Named = dict[str, Tensor]


def linear(named: Named, name: str, x: Tensor) -> Tensor:
    """One token."""
    return named[f"{name}.weight"] @ x + named[f"{name}.bias"]


def layer_norm(named: Named, name: str, x: Tensor) -> Tensor:
    mean = x.sum() / len(x)
    variance = ((x - mean) ** 2).sum() / len(x)
    return (x - mean) / (variance + 1e-5).sqrt() * named[f"{name}.weight"] + named[f"{name}.bias"]


def attention(named: Named, block: str, x: Tensor, context: list[Tensor], heads: int) -> Tensor:
    """Softmax(Q K^T / sqrt(d_head)) V of one query, head after head."""
    width = len(x)
    q = linear(named, f"{block}.query", x)
    keys_values = [linear(named, f"{block}.key_value", token) for token in context]
    found = []
    for head in range(heads):
        part = slice(head * width // heads, (head + 1) * width // heads)
        scores = [(q[part] * kv[:width][part]).sum() / (width // heads) ** 0.5 for kv in keys_values]
        total = sum(torch.exp(score) for score in scores)
        found.append(sum(torch.exp(s) / total * kv[width:][part] for s, kv in zip(scores, keys_values, strict=True)))
    return linear(named, f"{block}.out", torch.cat(found))


def block_of(named: Named, block: str, x: Tensor, context: list[Tensor], heads: int) -> Tensor:
    """A multi-head attention and a feed forward layer [9], each LayerNorm(x + sublayer(x))."""
    x = layer_norm(named, f"{block}.norm1", x + attention(named, block, x, context, heads))
    inner = linear(named, f"{block}.expand", x).clamp(min=0)
    return layer_norm(named, f"{block}.norm2", x + linear(named, f"{block}.contract", inner))


def contexts(config: stc.Config, whole: Scene, clip: int) -> list[list[Tensor]]:
    """The tokens of each block: places of maps averaged over time; frames of the fast map averaged over space."""
    rows, columns = whole.valid[clip].tolist()
    places = [(i, j) for i in range(rows) for j in range(columns)]
    slow, fast = whole.maps["slow"][clip], whole.maps["fast"][clip]

    def over_time(pathway: Tensor, i: int, j: int) -> Tensor:
        return sum(pathway[:, t, i, j] for t in range(pathway.shape[1])) / pathway.shape[1]

    if config.context == "spatial":
        return [[torch.cat([over_time(slow, i, j), over_time(fast, i, j)]) for i, j in places]]
    frames = [sum(fast[:, t, i, j] for i, j in places) / len(places) for t in range(fast.shape[1])]
    return [[over_time(slow, i, j) for i, j in places], frames]


def reference(config: stc.Config, named: Named, whole: Scene) -> Tensor:
    features = []
    for actor, clip in enumerate(whole.actors.clip.tolist()):
        roi = whole.rois[actor]
        tokens = [roi[:, i, j] for i in range(7) for j in range(7)]
        if config.query == "pooled":
            tokens = [torch.stack(tokens).max(dim=0).values]
        if config.d_model is not None:
            tokens = [linear(named, "project_actor", token) for token in tokens]
        for index, context in enumerate(contexts(config, whole, clip)):
            if config.d_model is not None:
                context = [linear(named, f"project.{index}", token) for token in context]
            tokens = [block_of(named, f"blocks.{index}", token, context, config.heads) for token in tokens]
        features.append(linear(named, "fc", torch.stack(tokens).max(dim=0).values).clamp(min=0))
    return torch.stack(features)


@pytest.mark.parametrize("variant", stc.VARIANTS.values(), ids=stc.VARIANTS)
def test_values_and_gradients_are_those_of_the_paper(variant: stc.Config):
    narrow = None if variant.d_model is None else 8
    config = dataclasses.replace(variant, d_model=narrow, heads=2, ffn=6, hidden=5)
    head = built(config)
    whole = scene_for(head, (1, 2, 0))
    got = head(whole).features
    named = dict(head.named_parameters())
    want = reference(config, named, whole)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
    along = torch.randn_like(got)
    ours = torch.autograd.grad((got * along).sum(), list(named.values()))
    theirs = torch.autograd.grad((want * along).sum(), list(named.values()))
    for name, a, b in zip(named, ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, msg=name)
