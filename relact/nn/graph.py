"""The graph of people over time: who is whose next, how far from now, and how it is thinned out (IGMN, Sec. 3.2).

The nodes of a clip are kept sorted by person and tick, so that a link is a neighbour: a node's next one is the row
below. Thinning keeps the order, so that this stays true. All of it is index arithmetic on the device, without loops
and without waiting for it: how many rows can remain follows from sizes that the host knows.

Letters: B clips, N actors of the fullest clip, M memory slots, n nodes, m rows, d channels.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from relact.types import Actors, Memory


def take(values: Shaped[Tensor, "B n ..."], rows: Int[Tensor, "B m"] | None) -> Shaped[Tensor, "B _m ..."]:
    """These rows of each clip; None = all of them."""
    if rows is None:
        return values
    chosen = values.flatten(0, 1).index_select(0, _flat(rows, values.shape[1]))
    return chosen.view(*rows.shape, *values.shape[2:])


def put(
    values: Shaped[Tensor, "B n ..."], rows: Int[Tensor, "B m"] | None, new: Shaped[Tensor, "B _m ..."]
) -> Shaped[Tensor, "B n ..."]:
    """A copy with `new` in these rows of each clip; None = in all of them."""
    if rows is None:
        return new
    flat = values.flatten(0, 1).index_copy(0, _flat(rows, values.shape[1]), new.flatten(0, 1))
    return flat.view(values.shape)


def _flat(rows: Int[Tensor, "B m"], length: int) -> Int[Tensor, " _R"]:
    first = torch.arange(len(rows), device=rows.device) * length
    return (rows + first[:, None]).flatten()


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The nodes of every clip, sorted by person and tick: the clip's own actors and the rows of its memory."""

    track: Int[Tensor, "B n"]
    """-1 where nobody knows who it is: such a node has no links"""
    tick: Int[Tensor, "B n"]
    """from the keyframe; 0 for the clip's own actors and for them alone"""
    real: Bool[Tensor, "B n"]
    chain: Int[Tensor, "B n"]
    """real nodes with the same number are linked, one to the next"""
    hop: Int[Tensor, "B n"]
    """links between this node and the clip's own actor of its chain; -1 where there is none"""
    actors: Int[Tensor, "B N"]
    """rows of the clip's own actors, in their order; also of those that only pad"""
    reach: int
    """no hop is larger"""

    @classmethod
    def of(
        cls, track: Int[Tensor, "B N"], present: Bool[Tensor, "B N"], memory: Memory, *, radius: int, max_gap: int
    ) -> tuple[Int[Tensor, "B n"], "Graph"]:
        """The order in which [actors, memory] become nodes, and their graph.

        A person's successive nodes are linked where at most `max_gap` ticks lie between them. Memory of the keyframe
        itself, or beyond `radius`, is no part of it.
        """
        count = track.shape[1]
        seen = memory.mask & (memory.dt != 0) & (memory.dt.abs() <= radius)
        real = torch.cat([present, seen], dim=1)
        who = torch.cat([track, memory.track], dim=1).masked_fill(~real, -1)
        tick = torch.cat([torch.zeros_like(track), memory.dt.masked_fill(~seen, 0)], dim=1)
        order = tick.argsort(dim=1, stable=True)
        order = order.gather(1, who.gather(1, order).argsort(dim=1, stable=True))
        who, tick, real = (x.gather(1, order) for x in (who, tick, real))
        gap = tick - tick.roll(1, dims=1)  # the first row wraps around to a tick that is no earlier: no link
        linked = (who == who.roll(1, dims=1)) & (who >= 0) & (gap > 0) & (gap <= max_gap)
        chain = (~linked).cumsum(dim=1) - 1
        hop = _hops(chain, order < count)
        actors = order.argsort(dim=1)[:, :count]
        return order, cls(track=who, tick=tick, real=real, chain=chain, hop=hop, actors=actors, reach=radius)

    @property
    def memory(self) -> Bool[Tensor, "B n"]:
        """Nodes that are rows of the memory."""
        return self.real & (self.tick != 0)

    @property
    def linked(self) -> Bool[Tensor, "B n"]:
        """To the row above: the same person's previous node."""
        same = (self.chain == self.chain.roll(1, dims=1)) & self.real & self.real.roll(1, dims=1)
        return torch.cat([torch.zeros_like(same[:, :1]), same[:, 1:]], dim=1)

    def same_tick(self, rows: Int[Tensor, "B m"] | None) -> Bool[Tensor, "B _m _m"]:
        """Which of these nodes each of them meets in its clip; None = of all."""
        tick, real = take(self.tick, rows), take(self.real, rows)
        return (tick[:, :, None] == tick[:, None]) & real[:, None]

    def same_person(self, rows: Int[Tensor, "B m"] | None) -> Bool[Tensor, "B _m n"]:
        """Which nodes are the same person as each of these, at any distance; each is at least itself."""
        place = torch.arange(self.track.shape[1], device=self.track.device).expand_as(self.track)
        who, itself = take(self.track, rows)[:, :, None], take(place, rows)[:, :, None] == place[:, None]
        return ((who == self.track[:, None]) & (who >= 0)) | itself

    def thinned(self, *, keep_unreachable: bool) -> tuple[Int[Tensor, "B m"], "Graph"]:
        """Every second node of a chain, counted from the clip's own actor: rows of this graph, and theirs.

        The nodes around a removed one become neighbours, and so linked. Chains without an actor of the clip are
        removed, or kept as they are.
        """
        keep = self.hop % 2 == 0  # -1 is odd
        count = self.actors.shape[1]
        # of k nodes on one side of an actor at most k / 2 stay, and there are at most `reach` of them
        most = min((keep.shape[1] - count) // 2, 2 * count * (self.reach // 2))
        if keep_unreachable:
            keep, most = keep | (self.real & (self.hop < 0)), keep.shape[1] - count
        rows = keep.int().argsort(dim=1, descending=True, stable=True)[:, : count + most]
        kept = keep.gather(1, rows)
        return rows, Graph(
            track=self.track.gather(1, rows).masked_fill(~kept, -1),
            tick=self.tick.gather(1, rows),
            real=self.real.gather(1, rows) & kept,
            chain=self.chain.gather(1, rows),
            hop=(self.hop.gather(1, rows) // 2).masked_fill(~kept, -1),
            actors=(keep.cumsum(dim=1) - 1).gather(1, self.actors),
            reach=self.reach // 2,
        )


def _hops(chain: Int[Tensor, "B n"], own: Bool[Tensor, "B n"]) -> Int[Tensor, "B n"]:
    """From each node to the only `own` one of its chain; a chain's nodes lie side by side."""
    place = torch.arange(chain.shape[1], device=chain.device).expand_as(chain)
    home = torch.full_like(chain, -1).scatter_reduce(1, chain, place.masked_fill(~own, -1), "amax")
    home = home.gather(1, chain)
    return (place - home).abs().masked_fill(home < 0, -1)


class Ordered(nn.Module):
    """What a person was one link before and will be one link after, each through a matrix of its own (Fig. 3b)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.earlier = nn.Linear(width, width)
        self.later = nn.Linear(width, width)

    def forward(
        self, nodes: Float[Tensor, "B n d"], graph: Graph, rows: Int[Tensor, "B m"] | None
    ) -> Float[Tensor, "B _m d"]:
        """The next state of `rows`; a side without a node adds nothing, not even its bias."""
        linked = graph.linked[:, :, None]
        before, after = take(nodes.roll(1, dims=1), rows), take(nodes.roll(-1, dims=1), rows)
        message = self.earlier(before) * take(linked, rows) + self.later(after) * take(linked.roll(-1, dims=1), rows)
        return take(nodes, rows) + message.relu()


class Convolution(nn.Module):
    """Kipf and Welling's, all nodes of a person joined: D^-1/2 (A + I) D^-1/2 is then their mean (Table 1c)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width, bias=False)

    def forward(
        self, nodes: Float[Tensor, "B n d"], graph: Graph, rows: Int[Tensor, "B m"] | None
    ) -> Float[Tensor, "B _m d"]:
        same = graph.same_person(rows).to(nodes.dtype)
        mean = (same / same.sum(dim=2, keepdim=True)) @ nodes
        return self.linear(mean).relu().to(nodes.dtype)


def nothing(features: Float[Tensor, "A C"], actors: Actors) -> Memory:
    """A memory without slots, for rows as wide as these features."""
    ids = actors.track.new_zeros(len(actors.counts), 0)
    empty = features.new_zeros(*ids.shape, features.shape[1])
    return Memory(features=empty, dt=ids, track=ids, tag=features.new_zeros(ids.shape), mask=ids.bool())
