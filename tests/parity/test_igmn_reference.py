"""IGMN as loops over clips, nodes, people, cells and actions, in float64, from the paper's equations.

Only the fast head's parameters are used, by name; nothing of its code.
"""

import dataclasses
import itertools
import math

import pytest
import torch
from torch import Tensor

from relact.heads import igmn
from relact.types import Scene
from tests.heads.scenes import INTERFACE, built, scene_for
from tests.heads.test_igmn import SMALL

Node = tuple[int, int]  # (tick, id); elsewhere a node is its place in the list of them
Parameters = dict[str, Tensor]
Cells = list[list[bool]]
Looked = tuple[dict[str, dict[tuple[int, int], Tensor]], dict[str, Tensor], Cells, Cells]

OPTIONS = {
    "gap2": igmn.Config(max_gap=2),
    "keep": igmn.Config(unreachable="keep"),
    "keep_gap2_frozen": igmn.Config(unreachable="keep", max_gap=2, frozen=True, attention="none"),
    "gcn_frozen": igmn.Config(temporal="gcn", downsample=False, frozen=True, attention="none"),
    "thinned_without_aggregator": igmn.Config(temporal="none"),
    "ticks": igmn.Config(tick_embedding=True),
    "circular": igmn.Config(mean_angle="circular"),
    "rois": igmn.Config(pool="rois"),
    "margin": igmn.Config(margin=1.0, aux_weight=0.3),
}


def linear(p: Parameters, name: str, x: Tensor) -> Tensor:
    y = p[f"{name}.weight"] @ x
    return y + p[f"{name}.bias"] if f"{name}.bias" in p else y


def block(p: Parameters, name: str, x: Tensor, ys: list[Tensor], ticks: list[int] | None = None) -> Tensor:
    """SA(x, y): one query, a list of keys."""
    if not ys:
        return x
    width = len(x)
    query = linear(p, f"{name}.query", x)
    keys, values = [], []
    for place, y in enumerate(ys):
        both = linear(p, f"{name}.key_value", y)
        if ticks is not None:
            table = p[f"{name}.when.weight"]
            both = both + table[ticks[place] + len(table) // 2]
        keys.append(both[:width])
        values.append(both[width:])
    weights = [torch.exp((query * key).sum() / math.sqrt(width)) for key in keys]
    gathered = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
    mean = gathered.mean()
    normed = (gathered - mean) / torch.sqrt(((gathered - mean) ** 2).mean() + 1e-5)
    return x + linear(p, f"{name}.out", torch.relu(normed))


def links(nodes: list[Node], max_gap: int) -> tuple[dict[int, int], dict[int, int]]:
    """E_intra: of each node the next and the previous one of its person."""
    following: dict[int, int] = {}
    for person in {who for _, who in nodes if who >= 0}:
        mine = sorted((i for i, (_, who) in enumerate(nodes) if who == person), key=lambda i: nodes[i][0])
        for a, b in itertools.pairwise(mine):
            if nodes[b][0] - nodes[a][0] <= max_gap:
                following[a] = b
    return following, {b: a for a, b in following.items()}


def hops(alive: list[int], own: list[int], following: dict[int, int], previous: dict[int, int]) -> dict[int, int]:
    distance = dict.fromkeys(own, 0)
    for start in own:
        for step in (following, previous):
            at, count = start, 0
            while at in step:
                at, count = step[at], count + 1
                distance[at] = count
    return {node: distance[node] for node in alive if node in distance}


def thin(
    alive: list[int], own: list[int], following: dict[int, int], previous: dict[int, int], keep_unreachable: bool
) -> list[int]:
    """Graph down-sampling (Sec. 3.2.3); the links are changed in place."""
    distance = hops(alive, own, following, previous)
    kept = [v for v in alive if (v in distance and distance[v] % 2 == 0) or (keep_unreachable and v not in distance)]
    for v in set(alive) - set(kept):
        before, after = previous.pop(v, None), following.pop(v, None)
        if before is not None:
            del following[before]
        if after is not None:
            del previous[after]
        if before is not None and after is not None and v in distance:
            following[before], previous[after] = after, before
    return kept


def hgnn(
    p: Parameters, config: igmn.Config, own: list[Tensor], ids: list[int], memory: list[tuple[Node, Tensor]]
) -> list[Tensor]:
    """One clip: the mean over layers of its actors' states."""
    nodes: list[Node] = [(0, who) for who in ids] + [node for node, _ in memory]
    h = [linear(p, "graph.enter", f) for f in (*own, *(f for _, f in memory))]
    actors, alive = list(range(len(own))), list(range(len(nodes)))
    following, previous = links(nodes, config.max_gap)
    total = [torch.zeros_like(h[i]) for i in actors]
    for number in range(config.layers):
        if number and config.downsample:
            alive = thin(alive, actors, following, previous, config.unreachable == "keep")
        name = f"graph.layers.{number}"
        moving = actors if config.frozen else alive
        new = list(h)
        for v in moving:
            if config.temporal == "ordered":
                message = torch.zeros_like(h[v])
                if v in previous:
                    message = message + linear(p, f"{name}.temporal.earlier", h[previous[v]])
                if v in following:
                    message = message + linear(p, f"{name}.temporal.later", h[following[v]])
                new[v] = h[v] + torch.relu(message)
            elif config.temporal == "gcn":
                joined = [u for u in alive if u == v or (nodes[u][1] == nodes[v][1] >= 0)]
                degree = float(len(joined))  # of v and of all its neighbours: the person's nodes are all joined
                mixed = sum(h[u] / math.sqrt(degree) / math.sqrt(degree) for u in joined)
                new[v] = torch.relu(linear(p, f"{name}.temporal.linear", mixed))
        h, new = new, list(new)
        for v in moving:
            together = [h[u] for u in alive if nodes[u][0] == nodes[v][0]]
            new[v] = block(p, f"{name}.intra", h[v], together)
        h, new = new, list(new)
        remembered = [u for u in alive if u not in actors]
        ticks = [nodes[u][0] for u in remembered] if config.tick_embedding else None
        for v in actors:
            new[v] = block(p, f"{name}.inter", h[v], [h[u] for u in remembered], ticks)
        h = new
        total = [t + h[i] for t, i in zip(total, actors, strict=True)]
    return [t / config.layers for t in total]


def cell(box: list[float], row: int, column: int, size: int) -> tuple[float, float]:
    x1, y1, x2, y2 = box
    return x1 + (column + 0.5) * (x2 - x1) / size, y1 + (row + 0.5) * (y2 - y1) / size


def angle(box: list[float], x: float, y: float) -> float:
    """In (-pi, pi]; a thousandth of a pixel is rounding."""
    down, right = y - (box[1] + box[3]) / 2, x - (box[0] + box[2]) / 2
    return math.atan2(0.0 if abs(down) < 1e-3 else down, 0.0 if abs(right) < 1e-3 else right)


def covers(box: list[float], x: float, y: float) -> bool:
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def iou(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0.0) * max(height, 0.0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def geometry(boxes: list[list[float]], i: int, x: float, y: float, circular: bool) -> tuple[float, float]:
    """Eq. 1: the angle of the actor, and the mean one of those who cover the point."""
    seen = [angle(box, x, y) for j, box in enumerate(boxes) if j != i and covers(box, x, y)]
    if circular:
        mean = math.atan2(sum(map(math.sin, seen)), sum(map(math.cos, seen)))
    else:
        mean = sum(seen) / (len(seen) + 1e-6)
    return angle(boxes[i], x, y), mean


def dual_attention(
    p: Parameters, config: igmn.Config, whole: Scene, actor: int, clip_mates: list[int], state: Tensor
) -> Looked:
    """Eq. 2, 3, 7 of one actor: maps and pooled features by name; cells interfered with, with the ring and without."""
    size = whole.rois.shape[-1]
    names = {"dual": ["sem", "idt"], "semantic": ["sem"], "identity": ["idt"]}[config.attention]
    boxes = [whole.actors.boxes[j].double().tolist() for j in clip_mates]
    i, read = clip_mates.index(actor), whole.roi_boxes[actor].double().tolist()
    memory = linear(p, "attention.reduce", state)
    maps: dict[str, dict[tuple[int, int], Tensor]] = {name: {} for name in names}
    pooled = {name: torch.zeros(()) for name in names}
    ring, interfered = ([[False] * size for _ in range(size)] for _ in range(2))
    for row in range(size):
        for column in range(size):
            x, y = cell(read, row, column, size)
            own, mean = geometry(boxes, i, x, y, config.mean_angle == "circular")
            place = [(column + 0.5) / size, (row + 0.5) / size, own / math.pi, mean / math.pi]
            seen = torch.cat([whole.rois[actor, :, row, column], torch.tensor(place, dtype=torch.float64), memory])
            for number, name in enumerate(names):
                mine = slice(number * config.hidden, (number + 1) * config.hidden)
                hidden = p["attention.hidden.weight"][mine] @ seen + p["attention.hidden.bias"][mine]
                score = (p["attention.map.weight"][number, :, 0, 0] * torch.relu(hidden)).sum()
                maps[name][row, column] = torch.sigmoid(score + p["attention.map.bias"][number])
            for name in names:
                weight = maps[name][row, column]
                if name == "idt" and "sem" in names:
                    weight = weight * maps["sem"][row, column]
                what = seen if config.pool == "all" else seen[: whole.rois.shape[1]]
                pooled[name] = pooled[name] + what * weight / size**2
            interfered[row][column] = any(covers(b, x, y) for j, b in enumerate(boxes) if j != i)
            ring[row][column] = interfered[row][column] or not covers(boxes[i], x, y)
    return maps, pooled, ring, interfered


def entropy(logits: Tensor, truth: list[float], taken: list[float]) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for c, y in enumerate(truth):
        p = 1 / (1 + torch.exp(-logits[c]))
        total = total - (y * torch.log(p) + (1 - taken[c]) * torch.log(1 - p))
    return total


def losses_of(
    p: Parameters, config: igmn.Config, whole: Scene, actor: int, mates: list[int], looked: Looked
) -> dict[str, Tensor | None]:
    """Eq. 4 to 8 of one actor; None where it does not count."""
    assert whole.labels is not None
    maps, pooled, ring, interfered = looked
    kept = [k for k in range(INTERFACE.num_classes) if k not in INTERFACE.exclusive]
    truth = [float(whole.labels[actor, k]) for k in kept]
    boxes = {j: whole.actors.boxes[j].double().tolist() for j in mates}
    taken = [max(iou(boxes[actor], boxes[j]) * float(whole.labels[j, k]) for j in mates) for k in kept]
    result: dict[str, Tensor | None] = {}
    for name, of_positive in (("sem", taken), ("idt", truth)):
        if name in config.losses and name in maps:
            result[name] = entropy(linear(p, f"attention.classify.{name}", pooled[name]), truth, of_positive)
    size = len(ring)
    cells = [(r, c) for r in range(size) for c in range(size)]
    if "prior_idt" in config.losses and "idt" in maps:
        result["prior_idt"] = sum((maps["idt"][r, c] - 1) ** 2 * (not ring[r][c]) for r, c in cells) / size**2
    if "prior_sem" in config.losses and "sem" in maps:
        bracket = sum(maps["sem"][r, c] * (1 if ring[r][c] else -1) for r, c in cells) / size**2
        result["prior_sem"] = torch.relu(config.margin - bracket) if any(map(any, interfered)) else None
    return result


def reference(p: Parameters, config: igmn.Config, whole: Scene) -> tuple[Tensor, dict[str, Tensor]]:
    assert whole.memory is not None
    memory = whole.memory
    features: list[Tensor] = []
    found: dict[str, list[Tensor]] = {}
    for clip in range(len(whole.actors.counts)):
        mates = [a for a in range(len(whole.actors)) if int(whole.actors.clip[a]) == clip]
        own = [whole.rois[a].flatten(1).max(dim=1).values for a in mates]
        rows = [m for m in range(memory.mask.shape[1]) if memory.mask[clip, m]]
        past = [((int(memory.dt[clip, m]), int(memory.track[clip, m])), memory.features[clip, m]) for m in rows]
        states = hgnn(p, config, own, [int(whole.actors.track[a]) for a in mates], past)
        for actor, state in zip(mates, states, strict=True):
            fused = linear(p, "leave", state)
            if config.attention != "none":
                looked = dual_attention(p, config, whole, actor, mates, state)
                local = looked[1]["sem" if config.attention == "semantic" else "idt"]
                fused = fused + (local if config.pool == "rois" else linear(p, "attention.project", local))
                for name, loss in losses_of(p, config, whole, actor, mates, looked).items():
                    found.setdefault(name, []).extend([] if loss is None else [loss])
            features.append(torch.relu(linear(p, "fuse", fused)))
    weight = config.aux_weight / INTERFACE.num_classes
    return torch.stack(features), {k: weight * sum(v) / max(len(v), 1) for k, v in found.items()}


def made_up(head: igmn.Igmn) -> Scene:
    """But for clip 0, tracks have gaps and some people are unknown; boxes are read wider than they are."""
    whole = scene_for(head, (2, 3, 1, 0, 3))
    assert whole.memory is not None
    generator = torch.Generator().manual_seed(11)
    first = torch.arange(5)[:, None] == 0
    mask = whole.memory.mask & (first | (torch.rand(whole.memory.mask.shape, generator=generator) < 0.8))
    unknown = ~first & (torch.rand(mask.shape, generator=generator) < 0.1)
    track = whole.memory.track.masked_fill(unknown, -1)
    boxes = whole.actors.boxes
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) * 0.6
    ids = whole.actors.track.clone()
    ids[4] = -1
    return dataclasses.replace(
        whole,
        actors=dataclasses.replace(whole.actors, track=ids),
        roi_boxes=torch.cat([centre - half, centre + half], dim=1).clamp(min=0),
        memory=dataclasses.replace(whole.memory, mask=mask, track=track),
    )


@pytest.mark.parametrize("config", [*igmn.VARIANTS.values(), *OPTIONS.values()], ids=[*igmn.VARIANTS, *OPTIONS])
def test_values_and_gradients_are_those_of_the_equations(config: igmn.Config):
    config = dataclasses.replace(config, **SMALL)
    head = built(config)
    whole = made_up(head)
    ours = head(whole)
    parameters = dict(head.named_parameters())
    features, losses = reference(parameters, config, whole)
    torch.testing.assert_close(ours.features, features, rtol=1e-9, atol=1e-9)
    assert set(ours.aux) == set(losses)
    for name, loss in losses.items():
        torch.testing.assert_close(ours.aux[name], loss, rtol=1e-9, atol=1e-9, msg=name)
    along = torch.randn_like(features)
    mine = (ours.features * along).sum() + sum(3 * loss for loss in ours.aux.values())
    theirs = (features * along).sum() + sum(3 * loss for loss in losses.values())
    mine = torch.autograd.grad(mine, list(parameters.values()))
    theirs = torch.autograd.grad(theirs, list(parameters.values()))
    for name, a, b in zip(parameters, mine, theirs, strict=True):
        assert a.any(), name
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, msg=name)
