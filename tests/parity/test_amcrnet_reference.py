"""AMCRNet against plain loops over clips, actors, bins, heads and rows, written from the paper's equations.

Sec. 3.1 to 3.3 with Eq. 5 and 6 as corrected by the authors, and what the equations leave out (norms, residuals, MLPs,
the order of channels in the fusion) from the released code's description. Only names of parameters are shared.
"""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from relact.heads import amcrnet
from relact.types import Scene
from tests.heads.scenes import built, scene_for
from tests.heads.test_amcrnet import SMALL

Values = dict[str, Tensor]
CONFIGS = {name: dataclasses.replace(config, **SMALL) for name, config in amcrnet.VARIANTS.items()}


def bins_of_time(frames: list[Tensor]) -> list[Tensor]:
    """Two averages over time."""
    count = len(frames)
    first = frames[: math.ceil(count / 2)]
    second = frames[math.floor(count / 2) :]
    return [sum(first) / len(first), sum(second) / len(second)]


def normed(values: Values, name: str, x: Tensor) -> Tensor:
    """Batch norm in evaluation, `[C, h, w]`."""
    scale = values[f"{name}.weight"] / torch.sqrt(values[f"{name}.running_var"] + 1e-5)
    shift = values[f"{name}.bias"] - values[f"{name}.running_mean"] * scale
    return x * scale[:, None, None] + shift[:, None, None]


def fused_map(values: Values, slow: Tensor, fast: Tensor) -> Tensor:
    """Both maps of a clip → `[C, h, w]`: folded frame-major, two steps of time, merged channel-major."""
    steps = slow.shape[1]
    r = fast.shape[1] // steps
    both = []
    for t in range(steps):
        folded = [fast[:, t * r + j] for j in range(r)]
        both.append(torch.cat([slow[:, t], *folded]))
    weight = values["fusion.reduce.conv.weight"][:, :, 0]
    at = [F.conv2d(step[None], weight)[0] for step in bins_of_time(both)]
    at = [normed(values, "fusion.reduce.bn", step).relu() for step in at]
    channels = []
    for c in range(len(at[0])):
        channels += [at[0][c], at[1][c]]
    return torch.stack(channels)


def positions(values: Values, config: amcrnet.Config, noise: Tensor | None, height: int, width: int) -> Tensor:
    """Pos, Eq. 2 and its three rivals: `[C, h, w]`."""
    if config.position == "none":
        return torch.zeros(config.width, height, width, dtype=torch.float64)
    if config.position == "learned":
        table = values["position.table"][None]
        return F.interpolate(table, size=(height, width), mode="bilinear", align_corners=False)[0]
    if config.position == "sine":
        result = torch.zeros(config.width, height, width, dtype=torch.float64)
        quarter = config.width // 4
        for y in range(height):
            for x in range(width):
                for i in range(quarter):
                    rate = 10000 ** (i / quarter)
                    for half, place in ((0, y), (2 * quarter, x)):
                        result[half + 2 * i, y, x] = math.sin(place / rate)
                        result[half + 2 * i + 1, y, x] = math.cos(place / rate)
        return result
    assert noise is not None
    x = noise[0, :, :height, :width]
    for block in range(6):
        for conv, dilation in ((0, 1), (1, 2)):
            name = f"position.layers.{2 * block + conv}"
            x = F.conv2d(x[None], values[f"{name}.conv.weight"], padding=dilation, dilation=dilation)[0]
            x = normed(values, f"{name}.bn", x).relu()
    x = F.conv2d(x[None], values["position.layers.12.conv.weight"], padding=1)[0]
    return normed(values, "position.layers.12.bn", x).relu()


def sample(x: Tensor, row: float, column: float) -> Tensor:
    """Bilinear interpolation as RoIAlign does it: `[C]`."""
    height, width = x.shape[1:]
    if row < -1 or row > height or column < -1 or column > width:
        return torch.zeros_like(x[:, 0, 0])
    row, column = max(row, 0.0), max(column, 0.0)
    top, left = min(int(row), height - 1), min(int(column), width - 1)
    row, column = (row, column) if top < height - 1 else (float(top), column)
    column = column if left < width - 1 else float(left)
    below, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, along = row - top, column - left
    upper = x[:, top, left] * (1 - along) + x[:, top, right] * along
    lower = x[:, below, left] * (1 - along) + x[:, below, right] * along
    return upper * (1 - down) + lower * down


def read(x: Tensor, box: list[float], stride: int) -> Tensor:
    """AvgPooling(RoIAlign(x, box)), Eq. 3: 8 x 8 bins, aligned, as many samples a bin as it covers cells."""
    x1, y1, x2, y2 = (value / stride - 0.5 for value in box)
    rows, columns = math.ceil((y2 - y1) / 8), math.ceil((x2 - x1) / 8)
    total = []
    for i in range(8):
        for j in range(8):
            inside = []
            for a in range(rows):
                for b in range(columns):
                    row = y1 + (y2 - y1) / 8 * (i + (a + 0.5) / rows)
                    column = x1 + (x2 - x1) / 8 * (j + (b + 0.5) / columns)
                    inside.append(sample(x, row, column))
            total.append(sum(inside) / len(inside))
    return sum(total) / 64


def context(x: Tensor, config: amcrnet.Config) -> list[Tensor]:
    """CM, Eq. 4, of the features or of the positions: every scale's cells row by row."""
    height, width = x.shape[1:]
    tokens = []
    for kernel in config.kernels:
        tall, wide = round(height / kernel), round(width / kernel)
        for i in range(tall):
            for j in range(wide):
                rows = slice(math.floor(i * height / tall), math.ceil((i + 1) * height / tall))
                columns = slice(math.floor(j * width / wide), math.ceil((j + 1) * width / wide))
                tokens.append(x[:, rows, columns].mean(dim=(1, 2)))
    if config.grid:
        tokens += [x[:, i, j] for i in range(height) for j in range(width)]
    return tokens


def norm(values: Values, name: str, x: Tensor) -> Tensor:
    centred = x - x.mean()
    return centred / torch.sqrt((centred**2).mean() + 1e-5) * values[f"{name}.weight"] + values[f"{name}.bias"]


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def block(values: Values, name: str, rows: list[Tensor], heads: int) -> list[Tensor]:
    """Eq. 5 (and 6) for every row i of one sequence, inside of a pre-norm block."""
    width = len(rows[0])
    qkv = torch.stack([values[f"{name}.qkv.weight"] @ norm(values, f"{name}.attn_norm", row) for row in rows])
    d = width // heads
    result = []
    for i, row in enumerate(rows):
        parts = []
        for head in range(heads):
            of_q, of_k, of_v = (slice(p * width + head * d, p * width + (head + 1) * d) for p in range(3))
            weights = torch.exp(qkv[:, of_k] @ qkv[i, of_q] / math.sqrt(d))
            parts.append((weights / weights.sum()) @ qkv[:, of_v])
        row = row + values[f"{name}.proj.weight"] @ torch.cat(parts) + values[f"{name}.proj.bias"]
        hidden = values[f"{name}.fc1.weight"] @ norm(values, f"{name}.mlp_norm", row) + values[f"{name}.fc1.bias"]
        result.append(row + values[f"{name}.fc2.weight"] @ gelu(hidden) + values[f"{name}.fc2.bias"])
    return result


def stack(values: Values, name: str, depth: int, rows: list[Tensor], heads: int) -> list[Tensor]:
    for k in range(depth if rows else 0):
        rows = block(values, f"{name}.blocks.{k}", rows, heads)
    return rows


def past(config: amcrnet.Config, whole: Scene, clip: int, width: int) -> list[tuple[int, Tensor]]:
    """(second, features) of the bank, seconds ascending, F in Eq. 6; with the paper's zero vectors where asked."""
    memory, found = whole.memory, []
    assert memory is not None
    for second in range(-config.radius, config.radius + 1):
        here = [s for s in range(memory.mask.shape[1]) if memory.mask[clip, s] and memory.dt[clip, s] == second]
        found += [(second, memory.features[clip, s]) for s in here]
        if config.missing == "zero" and second != 0 and not here:
            found.append((second, torch.zeros(width, dtype=torch.float64)))
    return found


def reference(
    values: Values, config: amcrnet.Config, whole: Scene, clip: int, noise: Tensor | None
) -> tuple[list[Tensor], list[Tensor]]:
    """Features and stored rows of one clip's actors."""
    height, width = whole.valid[clip].tolist()
    slow, fast = (whole.maps[name][clip, :, :, :height, :width] for name in ("slow", "fast"))
    x = fused_map(values, slow, fast)
    pos = positions(values, config, noise, height, width)
    boxes = whole.roi_boxes[whole.actors.clip == clip].double().tolist()
    movement = [read(x, box, whole.stride) for box in boxes]
    actors = [a + read(pos, box, whole.stride) for a, box in zip(movement, boxes, strict=True)]
    around = [c + p for c, p in zip(context(x, config), context(pos, config), strict=True)]
    higher = stack(values, "bhoi", config.depth, actors + around, config.heads)[: len(boxes)]
    if config.history == "none":
        return higher, higher
    parts = [higher] if config.history == "hrfb" else [higher, movement]
    e, results = values["temporal_embed"], []
    for p, part in enumerate(parts):
        rows = [row + e[config.radius] for row in part]
        for second, features in past(config, whole, clip, config.width * len(parts)):
            rows.append(features[p * config.width : (p + 1) * config.width] + e[second + config.radius])
        out = stack(values, f"history.{p}", config.history_depth, rows, config.heads)
        results.append(out[: len(part)])
    features = [torch.cat(rows) for rows in zip(*results, strict=True)]
    return features, [torch.cat(rows) for rows in zip(*parts, strict=True)]


@pytest.mark.parametrize("name", CONFIGS)
def test_values_and_gradients_are_those_of_the_equations(name: str):
    config = CONFIGS[name]
    head = built(config)
    whole = scene_for(head, (2, 1, 0, 1))
    values = {**dict(head.named_parameters()), **dict(head.named_buffers())}
    noise = values.get("position.noise")
    features: list[Tensor] = []
    stored: list[Tensor] = []
    for clip in range(4):
        of_clip = reference(values, config, whole, clip, noise)
        features += of_clip[0]
        stored += of_clip[1]
    got, want = head(whole), torch.stack(features)
    assert got.store is not None
    torch.testing.assert_close(got.features, want, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(got.store, torch.stack(stored).detach(), rtol=1e-9, atol=1e-9)
    along = torch.randn_like(want)
    ours = torch.autograd.grad((got.features * along).sum(), list(head.parameters()))
    theirs = torch.autograd.grad((want * along).sum(), list(head.parameters()))
    for key, a, b in zip(dict(head.named_parameters()), ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, msg=key)
