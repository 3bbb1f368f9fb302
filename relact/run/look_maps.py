"""What each head leaves in `Relations.maps`, as parts of a picture: which place, person or second a weight is of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module
from torch.utils.hooks import RemovableHandle

from relact.errors import InputError
from relact.head import RelationHead
from relact.heads.acar import Acar
from relact.heads.amcrnet import Amcrnet
from relact.heads.igmn import Block, Igmn, Layer
from relact.heads.lfb import Lfb
from relact.heads.mrsn import Mrsn
from relact.heads.pairwise import Aia
from relact.heads.stc import Stc
from relact.nn.graph import Graph
from relact.types import Relations, Scene
from relact.viz.canvas import Picture
from relact.viz.heat import Extent, Floats
from relact.viz.relation_parts import Bar, Heat, Heats, Lane, Node, Section, Strip, Timeline

MOST_PAIRS, MOST_LANES = 6, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphLayer:
    """A layer of IGMN's graph as it ran: its nodes, and what the clip's people heard of each `[N, n]`."""

    graph: Graph
    heard: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A clip that a head has looked at, a batch of one, and who is who in it."""

    head: RelationHead
    scene: Scene
    relations: Relations
    row: int
    """the chosen person's, among the clip's"""
    people: tuple[int, ...]
    second: float
    every: float
    """seconds between ticks of the memory"""
    frames: Sequence[Picture]
    """of the clip"""
    frame_times: Floats
    portrait: Callable[[int, float], Picture | None]
    """of a person at a second"""
    graph: tuple[GraphLayer, ...] = ()

    @property
    def person(self) -> int:
        return self.people[self.row]

    def map(self, name: str) -> Floats:
        """One of the head's maps, as numbers."""
        return np.asarray(self.relations.maps[name].detach().double().cpu())

    def extent(self, x1: float, y1: float, x2: float, y2: float) -> Extent:
        """Cells of the backbone's map → [0, 1] of the frame."""
        height, width = self.scene.frame[0].tolist()
        stride = self.scene.stride
        return x1 * stride / width, y1 * stride / height, x2 * stride / width, y2 * stride / height

    def whole(self) -> Extent:
        """All real cells of the map: the last ones may reach beyond the frame."""
        rows, columns = self.scene.valid[0].tolist()
        return self.extent(0, 0, columns, rows)


def sections_of(seen: Seen) -> tuple[Section, ...]:
    """The parts of the picture. Raises InputError for a head that leaves nothing to draw."""
    known = next((read for kind, read in READERS if isinstance(seen.head, kind)), grids_of)
    sections = tuple(known(seen)) if seen.relations.maps else ()
    if not sections:
        raise InputError(
            f"the head {type(seen.head).__name__.lower()} leaves no weights over places, people or time to draw; "
            "expected one of acar, amcrnet, mrsn, stc, igmn, lfb, pairwise (aia), or a head whose Relations.maps has "
            "a grid [A, rows, columns] over the frame for each actor"
        )
    return sections


def grids_of(seen: Seen) -> list[Section]:
    """Of any other head: maps with a grid for each actor, which are taken to cover the whole frame."""
    count = len(seen.people)
    grids = {name: seen.map(name) for name, x in seen.relations.maps.items() if x.dim() == 3 and len(x) == count}
    heats = [Heat(title=name, values=x[seen.row], extent=seen.whole()) for name, x in grids.items()]
    return [Heats(title=f"Where person {seen.person} looks", note="", heats=tuple(heats))] if heats else []


def _acar(seen: Seen) -> list[Section]:
    """Att^{i,j} of the last layer: at every place, how much of what i receives comes from j (Fig. 6)."""
    assert isinstance(seen.head, Acar)
    weights = seen.map(f"relations_{len(seen.relations.maps) - 1}")[0][:, :, seen.row]  # [h, w, M + N]
    rows, columns, keys = weights.shape
    slots = keys - len(seen.people)
    own = weights[:, :, slots:]
    sections: list[Section] = []
    if seen.head.actor_first:
        sections.append(_people(seen, own.mean(axis=(0, 1))))
    elif own.any():
        step, edge = {"max3": (2, 0.5), "max2": (2, 1.0), "none": (1, 1.0)}[seen.head.downsample]
        extent = seen.extent(edge, edge, edge + step * columns, edge + step * rows)
        others = [k for k in np.argsort(-own.mean(axis=(0, 1))) if k != seen.row][:MOST_PAIRS]
        heats = tuple(
            Heat(
                title=f"what person {seen.people[k]} means to {seen.person}: {own[:, :, k].mean():.0%} on average",
                values=own[:, :, k], extent=extent, related=seen.people[k],
            )
            for k in others
        )  # fmt: skip
        note = (
            f"At each place, what person {seen.person} has to do with it takes in what all have to do with it, and the "
            f"shares add up to 100%. Light: there, most comes from the other person (white box). Person {seen.person} "
            f"keeps {own[:, :, seen.row].mean():.0%} on average."
        )
        note = note if heats else "Nobody else is in this keyframe, so there is no pair to draw."
        sections.append(Heats(title="Actor, context, actor: the relation map of each pair", note=note, heats=heats))
    if slots and weights[:, :, :slots].any():
        sections.append(_memory(seen, weights[:, :, :slots].mean(axis=(0, 1))))
    return sections


def _amcrnet(seen: Seen) -> list[Section]:
    """What the actor's row attended to in the last block: tokens of several sizes, and people (Fig. 5)."""
    assert isinstance(seen.head, Amcrnet)
    weights = seen.map("context")[0, seen.row]
    first, heats = len(seen.people), []
    context = seen.head.context
    valid = seen.scene.valid[0]
    sizes = [((valid.double() / k).round().long().clamp(min=context.min_size), k) for k in context.kernels]
    sizes += [(valid, 1)] if context.grid else []
    for size, kernel in sizes:
        rows, columns = size.tolist()
        values = weights[first : first + rows * columns].reshape(rows, columns)
        first += rows * columns
        if rows * columns:
            title = f"kernel {kernel}, {rows} x {columns} tokens: {values.sum():.0%} of the attention"
            heats.append(Heat(title=title, values=values, extent=seen.whole(), cells=True))
    note = f"The share of each token in what person {seen.person} attends to, in the last block, averaged over heads."
    places = Heats(title="Context in several sizes", note=note, heats=tuple(heats))
    return [*([places] if heats else []), _people(seen, weights[: len(seen.people)])]


def _mrsn(seen: Seen) -> list[Section]:
    """First layers: each actor over the patches of the frame, and over the other actors."""
    sections: list[Section] = []
    if "context" in seen.relations.maps:
        values = seen.map("context")[seen.row]
        side = len(values)
        heat = Heat(title=f"{side} x {side} patches", values=values, extent=seen.whole())
        note = (
            f"Actor and context (ACRE): how much person {seen.person} attends to each patch, in the first layer, "
            f"averaged over heads; {1 - values.sum():.0%} stay with the person."
        )
        sections.append(Heats(title=f"Where person {seen.person} looks", note=note, heats=(heat,)))
    if "actors" in seen.relations.maps:
        sections.append(_people(seen, seen.map("actors")[0, seen.row]))
    return sections


def _stc(seen: Seen) -> list[Section]:
    """Each cross attention, averaged over the actor's tokens."""
    values = seen.map("cells")[seen.row].mean(axis=0)
    rows, columns = values.shape
    heat = Heat(title=f"{rows} x {columns} places of the slow pathway", values=values, extent=seen.whole())
    note = f"The spatial block: how much person {seen.person} attends to each place, averaged over heads and tokens."
    sections: list[Section] = [Heats(title=f"Where person {seen.person} looks", note=note, heats=(heat,))]
    if "frames" in seen.relations.maps:
        weights = seen.map("frames")[seen.row].mean(axis=0)
        sections.append(_frames(seen, weights))
    return sections


def _frames(seen: Seen, weights: Floats) -> Strip:
    """A bar for each frame of the fast pathway."""
    chosen = np.linspace(0, len(seen.frames) - 1, len(weights)).round().astype(int).tolist()
    bars = tuple(
        Bar(name=f"{seen.frame_times[k] - seen.second:+.2f} s", weight=float(weight), picture=seen.frames[k])
        for k, weight in zip(chosen, weights, strict=True)
    )
    note = (
        f"The temporal block: how much person {seen.person} attends to each frame of the fast pathway; seconds from "
        f"the keyframe. Even attention would give each {1 / len(weights):.1%}."
    )
    return Strip(title=f"When person {seen.person} looks", note=note, bars=bars)


def _lfb(seen: Seen) -> list[Section]:
    """The last layer over the bank, or over the people of the clip (STO)."""
    weights = seen.map(f"bank_{len(seen.relations.maps) - 1}")[0, seen.row]
    return [_people(seen, weights) if seen.head.memory is None else _memory(seen, weights)]


def _aia(seen: Seen) -> list[Section]:
    """The last block of each kind: people, objects, memory."""
    last = {name[0]: name for name in sorted(seen.relations.maps, key=lambda name: int(name[1:]))}
    sections: list[Section] = []
    for letter, name in last.items():
        weights = seen.map(name)[0, seen.row]
        if letter == "M":
            sections.append(_memory(seen, weights))
        elif letter == "P" and isinstance(seen.head, Aia):
            scores = seen.scene.actors.scores
            best = scores.argsort(descending=True, stable=True)[: seen.head.max_people].tolist()
            of = best if len(best) < len(seen.people) else list(range(len(seen.people)))
            sections.append(_people(seen, weights[: len(of)], of))
        elif getattr(seen.head, "objects", "") == "map":
            values = weights.reshape(tuple(seen.scene.valid[0].tolist()))
            heat = Heat(title="places of the map, in place of objects", values=values, extent=seen.whole())
            sections.append(Heats(title=f"Where person {seen.person} looks", note="", heats=(heat,)))
    return sections


def _igmn(seen: Seen) -> list[Section]:
    """The two maps inside the box (Fig. 5), and the graph over time, a part for each layer."""
    names = {"sem": "semantic: what matters", "idt": "identity: their own part"}
    box = seen.scene.roi_boxes[seen.row].double().cpu().numpy()
    height, width = seen.scene.frame[0].tolist()
    x1, y1, x2, y2 = (box / [width, height, width, height]).tolist()
    values = {names[name]: seen.map(name)[seen.row] for name in names if name in seen.relations.maps}
    if len(values) == 2:
        values["both: what is classified"] = np.prod(list(values.values()), axis=0)
    heats = tuple(
        Heat(title=title, values=grid, extent=(x1, y1, x2, y2), window=(max(x1, 0), max(y1, 0), min(x2, 1), min(y2, 1)))
        for title, grid in values.items()
    )
    note = "How much each cell of the box counts, which is grown to take in what is near; each map on its own."
    sections: list[Section] = (
        [Heats(title="Inside the box", note=note, heats=heats, unit="of a cell's full weight")] if heats else []
    )
    numbered = enumerate(seen.graph, start=1)  # a short memory has nothing left for the last layers
    return sections + [_graph(seen, x, number) for number, x in numbered if number == 1 or x.heard[seen.row].any()]


def _graph(seen: Seen, layer: GraphLayer, number: int) -> Timeline:
    """One layer: nodes of everyone, a line along each person, and what the chosen one hears of whom."""
    graph = layer.graph
    real, linked = graph.real[0].tolist(), graph.linked[0].tolist()
    track, tick = graph.track[0].tolist(), graph.tick[0].tolist()
    heard = np.asarray(layer.heard[seen.row].double().cpu())
    lanes = _lanes(seen, [t for t, here in zip(track, real, strict=True) if here], heard[real])
    place = {person: k for k, person in enumerate(lanes)}
    shown = [k for k in range(len(real)) if real[k] and track[k] in place]
    home = int(graph.actors[0, seen.row])
    order = {k: n for n, k in enumerate(shown)}
    nodes = tuple(
        Node(
            lane=place[track[k]], second=seen.second + tick[k] * seen.every,
            weight=None if k == home else float(heard[k]),
        )
        for k in shown
    )  # fmt: skip
    note = (
        f"A dot is a person at a second; dots of one person that are joined pass on what they know in order. Red: what "
        f"person {seen.person} hears of each second, in layer {number}; the larger, the more. "
        + ("Each layer keeps every second dot of a line, so it looks twice as far." if number > 1 else "")
    )
    return Timeline(
        title=f"The graph over time, layer {number}", note=note + _left_out(len(set(track) - {-1}), len(lanes)),
        lanes=_drawn(seen, lanes, [(n.lane, n.second, n.weight or 0) for n in nodes]), nodes=nodes, now=seen.second,
        links=tuple((order[k - 1], order[k]) for k in shown if linked[k] and k - 1 in order), home=order[home],
    )  # fmt: skip


def _memory(seen: Seen, weights: Floats) -> Timeline:
    """Weights over the rows of the bank; those behind them stand for empty slots."""
    memory = seen.scene.memory
    count = 0 if memory is None else memory.mask.shape[1]
    tracks: list[int] = []
    seconds: list[float] = []
    rows: list[int] = []
    if memory is not None:
        rows = memory.mask[0].nonzero()[:, 0].tolist()
        tracks = memory.track[0][rows].tolist()
        seconds = [seen.second + dt * seen.every for dt in memory.dt[0][rows].tolist()]
    known, spare = weights[rows], float(weights[count:].sum())
    lanes = _lanes(seen, tracks, known)
    place = {person: k for k, person in enumerate(lanes)}
    nodes = tuple(
        Node(lane=place[track], second=second, weight=float(weight))
        for track, second, weight in zip(tracks, seconds, known, strict=True)
        if track in place
    )
    note = f"A dot is a row of the bank, a person at a second; the larger, the more person {seen.person} takes of it."
    note += f" Empty places of the bank get {spare:.0%}." if spare > 0.005 else ""
    note = note + _left_out(len(set(tracks)), len(lanes)) if nodes else "The bank is empty: nobody is near in time."
    return Timeline(
        title=f"What person {seen.person} remembers", note=note, nodes=nodes, now=seen.second,
        lanes=_drawn(seen, lanes, [(n.lane, n.second, n.weight or 0) for n in nodes]),
    )  # fmt: skip


def _lanes(seen: Seen, tracks: list[int], weights: Floats) -> list[int]:
    """The chosen person, and of the others those with most weight; -1 are all whom nobody knows."""
    total: dict[int, float] = {seen.person: np.inf} if seen.person in tracks or not tracks else {}
    for track, weight in zip(tracks, weights.tolist(), strict=True):
        total[track] = total.get(track, 0.0) + weight
    return sorted(total, key=lambda person: -total[person])[:MOST_LANES]


def _drawn(seen: Seen, lanes: list[int], seen_at: list[tuple[int, float, float]]) -> tuple[Lane, ...]:
    """A portrait of each person from the second that weighs most."""
    best: dict[int, tuple[float, float]] = {}
    for lane, second, weight in seen_at:
        best[lane] = max(best.get(lane, (-1.0, 0.0)), (weight, second))
    return tuple(
        Lane(
            name=f"person {person}" if person >= 0 else "unknown",
            picture=seen.portrait(person, best[k][1]) if k in best else None,
            chosen=person == seen.person,
        )
        for k, person in enumerate(lanes)
    )


def _left_out(people: int, lanes: int) -> str:
    return f" {people - lanes} more people have less weight and are not drawn." if people > lanes else ""


def _people(seen: Seen, weights: Floats, of: list[int] | None = None) -> Strip:
    """Weights over the people of the keyframe, the chosen one first; `of`: their rows in the clip."""
    rows = list(range(len(seen.people))) if of is None else of
    order = sorted(range(len(rows)), key=lambda k: (rows[k] != seen.row, -weights[k]))
    bars = tuple(
        Bar(
            name=f"person {seen.people[rows[k]]}", weight=float(weights[k]), chosen=rows[k] == seen.row,
            picture=seen.portrait(seen.people[rows[k]], seen.second),
        )
        for k in order
    )  # fmt: skip
    note = f"How much person {seen.person} attends to each person of the keyframe, themselves included."
    return Strip(title=f"Whom person {seen.person} attends to", note=note, bars=bars)


READERS: tuple[tuple[type[RelationHead], Callable[[Seen], list[Section]]], ...] = (
    (Acar, _acar), (Amcrnet, _amcrnet), (Mrsn, _mrsn), (Stc, _stc), (Lfb, _lfb), (Aia, _aia), (Igmn, _igmn),
)  # fmt: skip


def listen(head: RelationHead, heard: list[GraphLayer]) -> list[RemovableHandle]:
    """Has IGMN's graph note what it does, layer by layer; nothing of other heads. Remove the handles afterwards."""
    if not isinstance(head, Igmn):
        return []
    handles = []
    for layer in head.graph.layers:
        assert isinstance(layer, Layer)
        graphs: list[Graph] = []

        def before(_: Module, inputs: tuple[Tensor, Graph], graphs: list[Graph] = graphs) -> None:
            graphs[:] = [inputs[1]]

        def inter(block: Module, inputs: tuple[Tensor, ...], graphs: list[Graph] = graphs) -> None:
            assert isinstance(block, Block)
            heard.append(GraphLayer(graph=graphs[0], heard=_attention(block, *inputs)[0]))

        handles += [layer.register_forward_pre_hook(before), layer.inter.register_forward_pre_hook(inter)]
    return handles


def _attention(block: Block, x: Tensor, y: Tensor, sees: Tensor, tick: Tensor | None = None) -> Tensor:
    """The weights of one of IGMN's blocks `[B, L, M]`; 0 where nothing is seen."""
    key_value = block.key_value(y)
    if block.when is not None and tick is not None:
        key_value = key_value + block.when(tick + block.when.num_embeddings // 2)
    key = key_value.chunk(2, dim=-1)[0]
    score = block.query(x) @ key.transpose(1, 2) / key.shape[-1] ** 0.5
    return score.masked_fill(~sees, torch.finfo(score.dtype).min).softmax(dim=2) * sees
