"""IGMN as its paper describes it, step by step: no code was released.

Clip by clip: nodes and links in Python lists, the memory as the 2L x N_max x C matrix of Sec. 3.2.2 for the attention
within ticks, separate projections, removed nodes really removed; actor by actor, the dual attention on the
concatenation of Eq. 2, one map after the other.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from relact.heads.igmn import Block, DualAttention, GraphNetwork, Igmn, Layer
from relact.nn.graph import Convolution, Ordered
from relact.types import Scene

Node = tuple[int, int]


def forward(head: Igmn, scene: Scene) -> Tensor:
    """Features `[A, D]`, for all named settings."""
    rois = list(scene.rois.split(list(scene.actors.counts)))
    boxes = list(scene.actors.boxes.split(list(scene.actors.counts)))
    read = list(scene.roi_boxes.split(list(scene.actors.counts)))
    ids = list(scene.actors.track.split(list(scene.actors.counts)))
    result = []
    for clip, roi in enumerate(rois):
        if not len(roi):
            continue
        pooled = F.adaptive_max_pool2d(roi, 1)[:, :, 0, 0]
        nodes, past = [(0, who) for who in ids[clip].tolist()], pooled[:0]
        if scene.memory is not None:
            real = scene.memory.mask[clip]
            past = scene.memory.features[clip][real]
            nodes += list(
                zip(scene.memory.dt[clip][real].tolist(), scene.memory.track[clip][real].tolist(), strict=True)
            )
        state = hierarchy(head.graph, nodes, len(roi), torch.cat([pooled, past]))
        fused = head.leave(state)
        if head.attention is not None:
            fused = fused + dual(head.attention, roi, boxes[clip], read[clip], state)
        result.append(head.fuse(fused).relu())
    return torch.cat(result) if result else scene.rois.new_zeros(0, head.out_dim)


def hierarchy(graph: GraphNetwork, nodes: list[Node], count: int, features: Tensor) -> Tensor:
    h = graph.enter(features)
    following = successors(nodes, graph.max_gap)
    states = []
    for number, layer in enumerate(graph.layers):
        if number and graph.downsample:
            kept, following = downsampled(len(nodes), count, following)
            nodes, h = [nodes[v] for v in kept], h[torch.tensor(kept, device=h.device)]
        h = message_passing(layer, nodes, count, following, h)
        states.append(h[:count])
    return torch.stack(states).mean(0)


def successors(nodes: list[Node], max_gap: int) -> dict[int, int]:
    order = sorted(range(len(nodes)), key=lambda v: (nodes[v][1], nodes[v][0]))
    pairs = itertools.pairwise(order)
    return {
        a: b
        for a, b in pairs
        if nodes[a][1] == nodes[b][1] >= 0 and 0 < nodes[b][0] - nodes[a][0] <= max_gap
    }  # fmt: skip


def downsampled(total: int, count: int, following: dict[int, int]) -> tuple[list[int], dict[int, int]]:
    previous = {b: a for a, b in following.items()}
    distance = dict.fromkeys(range(count), 0)
    for start in range(count):
        for step in (following, previous):
            at = start
            while at in step:
                distance[step[at]] = distance[at] + 1
                at = step[at]
    kept = [v for v in range(total) if distance.get(v, 1) % 2 == 0]
    place = {v: i for i, v in enumerate(kept)}
    links = {place[a]: place[following[b]] for a, b in following.items() if a in place and following.get(b) in place}
    return kept, links


def message_passing(layer: Layer, nodes: list[Node], count: int, following: dict[int, int], h: Tensor) -> Tensor:
    new = h
    if isinstance(layer.temporal, Ordered):
        new = h + ordered(layer.temporal, following, h)
    elif layer.temporal is not None:
        new = convolution(layer.temporal, nodes, h)
    h = torch.cat([new[:count], h[count:]]) if layer.frozen else new
    actors = attention(layer.intra, h[None, :count], h[None, :count], None)[0]
    memory = h[count:]
    if not len(memory):
        return actors
    if not layer.frozen:
        memory = within_ticks(layer, nodes, count, memory)
    return torch.cat([attention(layer.inter, actors[None], memory[None], None)[0], memory])


def within_ticks(layer: Layer, nodes: list[Node], count: int, memory: Tensor) -> Tensor:
    ticks = sorted({tick for tick, _ in nodes[count:]})
    slots: dict[int, int] = {}
    row, column = [], []
    for tick, _ in nodes[count:]:
        row.append(ticks.index(tick))
        column.append(slots.get(tick, 0))
        slots[tick] = column[-1] + 1
    places = torch.tensor(row, device=memory.device), torch.tensor(column, device=memory.device)
    matrix = memory.new_zeros(len(ticks), max(slots.values()), memory.shape[1])
    matrix[places] = memory
    mask = torch.zeros(matrix.shape[:2], dtype=torch.bool, device=memory.device)
    mask[places] = True
    return attention(layer.intra, matrix, matrix, mask[:, None])[places]


def ordered(aggregator: Ordered, following: dict[int, int], h: Tensor) -> Tensor:
    if not following:
        return torch.zeros_like(h)
    first, second = (torch.tensor(list(v), device=h.device) for v in (following.keys(), following.values()))
    earlier, later = torch.zeros_like(h), torch.zeros_like(h)
    earlier[second] = aggregator.earlier(h[first]).to(h.dtype)
    later[first] = aggregator.later(h[second]).to(h.dtype)
    return (earlier + later).relu()


def convolution(layer: Convolution, nodes: list[Node], h: Tensor) -> Tensor:
    who = torch.tensor([person for _, person in nodes], device=h.device)
    joined = (who[:, None] == who) & (who >= 0) | torch.eye(len(who), dtype=torch.bool, device=h.device)
    degree = joined.sum(1).to(h.dtype).rsqrt()
    return layer.linear(degree[:, None] * joined * degree @ h).relu()


def attention(block: Block, x: Tensor, y: Tensor, mask: Tensor | None) -> Tensor:
    width = x.shape[-1]
    key_weight, value_weight = block.key_value.weight.split(width)
    key_bias, value_bias = block.key_value.bias.split(width)
    query, key, value = block.query(x), F.linear(y, key_weight, key_bias), F.linear(y, value_weight, value_bias)
    score = query @ key.transpose(1, 2) / math.sqrt(width)
    if mask is not None:
        score = score.masked_fill(~mask, float("-inf"))
    return x + block.dropout(block.out(F.layer_norm(score.softmax(dim=2) @ value, (width,)).relu()))


def dual(module: DualAttention, rois: Tensor, boxes: Tensor, read: Tensor, state: Tensor) -> Tensor:
    size, width = rois.shape[-1], module.hidden.out_features // len(module.names)
    memory = module.reduce(state)
    result = []
    for i in range(len(rois)):
        place = embedding(boxes, read[i], i, size).to(rois.dtype)
        tiled = memory[i][:, None, None].expand(-1, size, size)
        seen = torch.cat([rois[i], place, tiled])[None]
        maps = []
        for k in range(len(module.names)):
            mine = slice(k * width, (k + 1) * width)
            hidden = F.conv2d(seen, module.hidden.weight[mine, :, None, None], module.hidden.bias[mine]).relu()
            maps.append(F.conv2d(hidden, module.map.weight[k : k + 1], module.map.bias[k : k + 1]).sigmoid())
        weight = maps[0] if len(maps) == 1 else maps[0] * maps[1]
        result.append((seen * weight).mean(dim=(2, 3)))
    return module.project(torch.cat(result))


def embedding(boxes: Tensor, read: Tensor, i: int, size: int) -> Tensor:
    step = (torch.arange(size, dtype=boxes.dtype, device=boxes.device) + 0.5) / size
    y, x = torch.meshgrid(
        read[1] + step * (read[3] - read[1]), read[0] + step * (read[2] - read[0]), indexing="ij"
    )  # fmt: skip
    total, number = torch.zeros_like(x), torch.zeros_like(x)
    for j, box in enumerate(boxes):
        down, right = y - (box[1] + box[3]) / 2, x - (box[0] + box[2]) / 2
        down, right = (offset.masked_fill(offset.abs() < 1e-3, 0.0) for offset in (down, right))
        angle = torch.atan2(down, right)
        if j == i:
            own = angle
            continue
        covered = ((x >= box[0]) & (x <= box[2]) & (y >= box[1]) & (y <= box[3])).to(x.dtype)
        total, number = total + covered * angle, number + covered
    rows, columns = torch.meshgrid(step, step, indexing="ij")
    return torch.stack([columns, rows, own / math.pi, total / (number + 1e-6) / math.pi])
