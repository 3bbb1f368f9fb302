"""MRSN once more, from the paper's equations: plain loops over clips, actors, layers, heads and tokens."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from relact.heads import mrsn
from relact.types import Scene
from tests.heads.scenes import built, scene_for
from tests.heads.test_mrsn import SMALL

Parameters = dict[str, Tensor]
Vectors = list[Tensor]


def linear(p: Parameters, name: str, x: Tensor) -> Tensor:
    return p[f"{name}.weight"] @ x + p[f"{name}.bias"]


def norm(p: Parameters, name: str, x: Tensor) -> Tensor:
    centred = x - x.mean()
    return centred / torch.sqrt((centred**2).mean() + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]


def ffn(p: Parameters, name: str, x: Tensor) -> Tensor:
    """LN(FFN(x)) + x, with the exact GELU."""
    hidden = linear(p, f"{name}.layers.0", x)
    gelu = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    return norm(p, f"{name}.norm", linear(p, f"{name}.layers.2", gelu)) + x


def attention(query: Tensor, keys: Vectors, values: Vectors, heads: int) -> Tensor:
    """Eq. 6 for one query, before W^O."""
    size = len(query) // heads
    gathered = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        score = [torch.exp((query[part] * key[part]).sum() / math.sqrt(size)) for key in keys]
        gathered.append(sum(s * v[part] for s, v in zip(score, values, strict=True)) / sum(score))
    return torch.cat(gathered)


def msa(p: Parameters, name: str, x: Vectors, heads: int) -> Vectors:
    q, k, v = zip(*(linear(p, f"{name}.qkv", row).chunk(3) for row in x), strict=True)
    return [linear(p, f"{name}.out", attention(query, list(k), list(v), heads)) for query in q]


def mca(p: Parameters, name: str, x: Vectors, y: Vectors, heads: int) -> Vectors:
    keys, values = [linear(p, f"{name}.key", row) for row in y], [linear(p, f"{name}.value", row) for row in y]
    return [linear(p, f"{name}.out", attention(linear(p, f"{name}.query", row), keys, values, heads)) for row in x]


def encoder(p: Parameters, name: str, x: Vectors, heads: int) -> Vectors:
    """Eq. 2 and 4."""
    middle = [norm(p, f"{name}.norm", new) + old for new, old in zip(msa(p, name, x, heads), x, strict=True)]
    return [ffn(p, f"{name}.ffn", row) for row in middle]


def rse(p: Parameters, name: str, xs: list[Vectors], ys: Vectors, config: mrsn.Config) -> tuple[list[Vectors], Vectors]:
    """Eq. 5, for every actor of a clip."""
    new_xs, new_ys = [], []
    for x, y in zip(xs, ys, strict=True):
        keys = ys if config.rse_keys == "clip" else [y]
        to_x = mca(p, f"{name}.attention_x", x, keys, config.heads)
        to_y = mca(p, f"{name}.attention_y", [y], x, config.heads)[0]
        middle = [norm(p, f"{name}.norm_x", new) + old for new, old in zip(to_x, x, strict=True)]
        new_xs.append([ffn(p, f"{name}.ffn_x", row) for row in middle])
        new_ys.append(ffn(p, f"{name}.ffn_y", norm(p, f"{name}.norm_y", to_y) + y))
    return new_xs, new_ys


def patches(p: Parameters, pooled: Tensor, config: mrsn.Config) -> Vectors:
    """One clip's map `[C, h, w]`, cut to what is real → its tokens without positions (Sec. 3.1.1)."""
    height, width = pooled.shape[1:]
    size, patch = config.grid, config.patch
    grid = [
        [
            pooled[
                :,
                math.floor(r * height / size) : math.ceil((r + 1) * height / size),
                math.floor(c * width / size) : math.ceil((c + 1) * width / size),
            ].mean(dim=(1, 2))
            for c in range(size)
        ]
        for r in range(size)
    ]
    weight, tokens = p["embed_patch.weight"], []
    for row in range(0, size, patch):
        for column in range(0, size, patch):
            token = p["embed_patch.bias"]
            for i in range(patch):
                for j in range(patch):
                    token = token + weight[:, :, i, j] @ grid[row + i][column + j]
            tokens.append(token)
    return tokens


def place(box: list[float], frame: list[int], side: int) -> int:
    """Eq. 3 with the number of cells a side for its factor, from 0."""
    (x1, y1, x2, y2), (height, width) = box, frame
    i = min(max(math.floor((x1 + x2) / width / 2 * side), 0), side - 1)
    j = min(max(math.floor((y1 + y2) / height / 2 * side), 0), side - 1)
    return j * side + i


def long(p: Parameters, joined: Vectors, whole: Scene, clip: int, config: mrsn.Config) -> Vectors:
    """Eq. 8 without the MLP; without memory, what came in."""
    assert whole.memory is not None
    bank = []
    for row, dt, real in zip(
        whole.memory.features[clip], whole.memory.dt[clip].tolist(), whole.memory.mask[clip].tolist(), strict=True
    ):
        if real:
            index = dt + config.window if config.distance == "signed" else abs(dt)
            bank.append(row + p["long.distances"][index])
    if not bank:
        return joined
    updates = mca(p, "long.attention", joined, bank, config.heads)
    return [norm(p, "long.norm", new) + old for new, old in zip(updates, joined, strict=True)]


def reference(p: Parameters, whole: Scene, clip: int, config: mrsn.Config) -> Vectors:
    """The features of one clip's actors."""
    here = (whole.actors.clip == clip).nonzero().flatten().tolist()
    side = config.grid // config.patch
    xs, ys = [], []
    for actor in here:
        roi = whole.rois[actor]
        seen = roi.flatten() if config.roi_pool == "flatten" else roi.flatten(1).max(dim=1).values
        token = linear(p, "embed_actor", seen)
        if config.acre:  # Eq. 1
            rows, columns = whole.valid[clip].tolist()
            context = patches(p, whole.pooled[clip, :, :rows, :columns], config)
            marked = [row + place for row, place in zip(context, p["patch_places"], strict=True)]
            xs.append([token + p["actor_mark"], *marked])
        if config.aare:
            table = p["patch_places"] if config.share_pos else p["actor_places"]
            ys.append(token + table[place(whole.actors.boxes[actor].tolist(), whole.frame[clip].tolist(), side)])
    for k in range(config.stack):
        for layer in range(config.acre):
            xs = [encoder(p, f"mrse.{k}.acre.{layer}", x, config.heads) for x in xs]
        for layer in range(config.aare):
            ys = encoder(p, f"mrse.{k}.aare.{layer}", ys, config.heads)
        for layer in range(config.rse):
            xs, ys = rse(p, f"mrse.{k}.rse.{layer}", xs, ys, config)
    joined = []
    for n in range(len(here)):  # Eq. 7
        of_context = [xs[n][0], sum(xs[n][1:]) / len(xs[n][1:])] if config.acre else []
        joined.append(torch.cat([*of_context, *([ys[n]] if config.aare else [])]))
    if config.consensus == "long":
        joined = long(p, joined, whole, clip, config)
    return [linear(p, "mlp", row).clamp(min=0) for row in joined]


@pytest.mark.parametrize("variant", mrsn.VARIANTS)
def test_values_and_gradients_are_those_of_the_equations(variant: str):
    config = dataclasses.replace(mrsn.VARIANTS[variant], **SMALL)
    head = built(config)
    counts = (2, 3, 0, 1)
    whole = scene_for(head, counts)
    got = head(whole).features
    parameters = dict(head.named_parameters())
    want = torch.stack(
        [row for clip, n in enumerate(counts) if n for row in reference(parameters, whole, clip, config)]
    )
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
    along = torch.randn_like(got)
    ours = torch.autograd.grad((got * along).sum(), list(parameters.values()), allow_unused=True)
    theirs = torch.autograd.grad((want * along).sum(), list(parameters.values()))
    for name, a, b in zip(parameters, ours, theirs, strict=True):
        torch.testing.assert_close(torch.zeros_like(b) if a is None else a, b, rtol=1e-9, atol=1e-9, msg=name)
