"""IGMN (Ni, Qin, Huang; ACM MM 2021): who is who, in a graph of people over time and inside each person's box.

Idea: the people of the minute around the clip are the nodes of a graph that links each person to itself one tick
earlier and later; layers pass on messages, thin it out, and so look ever farther (HGNN). Inside the box, two maps of
attention tell what matters from whose it is (DAM).
Departs from the paper where it contradicts itself (docs/papers/igmn.md): the pooled features are projected before they
are added to the memory's, the margin is 0.1, the losses have their minus sign. No released code is known.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from relact.config import STRICT
from relact.head import HeadConfig, Interface, MemorySpec, RelationHead
from relact.nn.dual_attention import Surroundings, around, inside, overlap, polar_angle
from relact.nn.graph import Convolution, Graph, Ordered, nothing, put, take
from relact.nn.roi import RoIConfig
from relact.types import Actors, Memory, Relations, Scene

Loss = Literal["sem", "idt", "prior_sem", "prior_idt"]
Temporal = Literal["ordered", "gcn", "none"]
MAPS: dict[str, tuple[str, ...]] = {
    "dual": ("sem", "idt"), "semantic": ("sem",), "identity": ("idt",), "none": ()
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Config(HeadConfig):
    """Defaults: IGMN with three layers (Table 1)."""

    dropout: float = 0.2
    layers: int = Field(default=3, ge=1)
    """of HGNN"""
    width: int = Field(default=1024, ge=1)
    """channels of nodes"""
    radius: int = Field(default=30, ge=1)
    """ticks of memory on either side, L"""
    max_per_tick: int = Field(default=5, ge=1)
    """people of a tick that the memory keeps, N_max"""
    max_gap: int = Field(default=1, ge=1)
    """ticks between two linked nodes of a person; 2 bridges one missed detection"""
    temporal: Temporal = "ordered"
    """along a person: the ordered aggregator, the mean of graph convolutions, or nothing"""
    downsample: bool = True
    """thin the graph between layers"""
    unreachable: Literal["drop", "keep"] = "drop"
    """when thinning: nodes from which no link leads to an actor of the clip"""
    frozen: bool = False
    """memory nodes are never updated"""
    tick_embedding: bool = False
    """learned, per tick, on keys and values of the memory (AIA)"""
    block_dropout: float = Field(default=0.2, ge=0, lt=1)
    """in the attention blocks of HGNN"""
    attention: Literal["dual", "semantic", "identity", "none"] = "dual"
    """inside the box; none = classify the graph's features alone ("Baseline+HGNN")"""
    memory_width: int = Field(default=512, ge=1)
    """channels of the graph's features inside the dual attention"""
    hidden: int = Field(default=512, ge=1)
    """channels between the two convolutions of an attention map"""
    pool: Literal["all", "rois"] = "all"
    """what the maps weigh: everything that they see, projected (Eq. 3), or the RoI features alone, not projected"""
    mean_angle: Literal["arithmetic", "circular"] = "arithmetic"
    """of interfering people (Eq. 1); arithmetic: 179 and -179 degrees give 0"""
    losses: tuple[Loss, ...] = ("sem", "idt", "prior_sem", "prior_idt")
    """auxiliary ones (Eq. 4, 5, 8, 6); those of a map that is absent do not exist"""
    aux_weight: float = Field(default=0.5, ge=0)
    """lambda of Eq. 10"""
    margin: float = Field(default=0.1, ge=0)
    """gamma of Eq. 8; the 1 of Sec. 4.1 could never be met"""
    out: int = Field(default=1024, ge=1)
    """channels before the classifier"""

    @property
    def roi(self) -> RoIConfig:
        return RoIConfig(expand=1.25, expand_train=1.5)

    def build(self, interface: Interface) -> "Igmn":
        spec = MemorySpec(
            radius=self.radius, dim=interface.width, include_current=False, max_per_tick=self.max_per_tick,
            identity=True, discount=True,
        )  # fmt: skip
        graph = GraphNetwork(
            interface.width, self.width, layers=self.layers, temporal=self.temporal, downsample=self.downsample,
            frozen=self.frozen, radius=self.radius, max_gap=self.max_gap, tick_embedding=self.tick_embedding,
            keep_unreachable=self.unreachable == "keep", dropout=self.block_dropout,
        )  # fmt: skip
        names = MAPS[self.attention]
        if not names:
            return Igmn(graph, None, interface.width, self.width, self.out, spec)
        kept = [k for k in range(interface.num_classes) if k not in interface.exclusive]
        attention = DualAttention(
            interface.width, self.width, self.memory_width, self.hidden, names=names, pool=self.pool,
            circular=self.mean_angle == "circular", classes=kept,
            classified=[name for name in names if name in self.losses and kept],
            priors=[name for name in names if f"prior_{name}" in self.losses], margin=self.margin,
            # the loss behind the classifier is a mean over actions, where Eq. 9 sums: so all of Eq. 10 is divided
            weight=self.aux_weight / interface.num_classes,
        )  # fmt: skip
        return Igmn(graph, attention, interface.width, self.width, self.out, spec)


VARIANTS = {
    "igmn": Config(),
    "hgnn1": Config(attention="none", layers=1),
    "hgnn2": Config(attention="none", layers=2),
    "hgnn3": Config(attention="none"),
    "hgnn_s1": Config(attention="none", layers=1, temporal="none", downsample=False),
    "hgnn_s2": Config(attention="none", layers=2, temporal="none", downsample=False),
    "hgnn_s3": Config(attention="none", temporal="none", downsample=False),
    "frozen": Config(attention="none", frozen=True),
    "gcn": Config(attention="none", temporal="gcn", downsample=False),
    "semantic": Config(attention="semantic"),
    "identity": Config(attention="identity"),
    "no_cls": Config(losses=("prior_sem", "prior_idt")),
    "no_prior": Config(losses=("sem", "idt")),
    "no_aux": Config(losses=()),
}
"""Table 1: the model, (a) layers with and without identities, (b) and (c) graphs, (d) attention, (e) losses; those of
(f) are settings of `RoIConfig`"""
PUBLISHED = {
    "igmn": "31.22 (R101 33.0)", "hgnn1": "29.32", "hgnn2": "30.11", "hgnn3": "30.76", "hgnn_s1": "28.92",
    "hgnn_s2": "29.26", "hgnn_s3": "29.21", "frozen": "30.19", "gcn": "28.95", "semantic": "30.57", "identity": "30.35",
    "no_cls": "30.51", "no_prior": "30.91", "no_aux": "30.33",
}  # fmt: skip
"""frame-mAP on AVA v2.2 (Tables 1 and 2; SlowFast R50 4x16, K700; baseline 26.52)"""


class Igmn(RelationHead):
    """The graph's features and, inside the box, the attention's: added, for the classifier (Sec. 3.4)."""

    def __init__(
        self,
        graph: "GraphNetwork",
        attention: "DualAttention | None",
        in_dim: int,
        width: int,
        out: int,
        memory: MemorySpec,
    ) -> None:
        super().__init__()
        self.graph = graph
        self.attention = attention
        self.leave = nn.Linear(width, in_dim)
        self.fuse = nn.Linear(in_dim, out)
        self.out_dim = out
        self.memory = memory

    def forward(self, scene: Scene) -> Relations:
        own = scene.rois.amax(dim=(2, 3))
        state = self.graph(own, scene.actors, self.past(scene))
        fused = self.leave(state)
        aux: dict[str, Tensor] = {}
        maps: dict[str, Tensor] = {}
        if self.attention is not None:
            local, maps, aux = self.attention(scene, state)
            fused = fused + local  # Eq. 9
        features = self.fuse(fused).relu()
        return Relations(features=features, store=own.detach(), aux=aux, maps={k: m.detach() for k, m in maps.items()})


class GraphNetwork(nn.Module):
    """HGNN: layers of message passing on a graph that gets thinner from one to the next (Sec. 3.2)."""

    def __init__(
        self,
        in_dim: int,
        width: int,
        *,
        layers: int,
        temporal: Temporal,
        downsample: bool,
        frozen: bool,
        radius: int,
        max_gap: int,
        keep_unreachable: bool,
        tick_embedding: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        ticks = 2 * radius + 1 if tick_embedding else 0
        self.enter = nn.Linear(in_dim, width)
        self.layers = nn.ModuleList(Layer(width, temporal, dropout, frozen, ticks) for _ in range(layers))
        self.needs_identities = temporal != "none" or downsample
        self.downsample = downsample
        self.keep_unreachable = keep_unreachable
        self.radius = radius
        self.max_gap = max_gap

    def forward(self, own: Tensor, actors: Actors, memory: Memory | None) -> Tensor:
        """Pooled features `[A, C]` → the actors' states, averaged over layers `[A, d]`."""
        if memory is None:
            memory = nothing(own, actors)
        elif self.needs_identities:
            _check_identities(actors, memory)
        people, present = actors.pad(self.enter(own))
        past = self.enter(memory.features.to(own.dtype))
        order, graph = Graph.of(
            actors.pad(actors.track)[0], present, memory, radius=self.radius, max_gap=self.max_gap
        )  # fmt: skip
        nodes = take(torch.cat([people, past], dim=1), order).to(own.dtype)
        states = torch.zeros_like(people, dtype=own.dtype)
        for number, layer in enumerate(self.layers):
            if number and self.downsample:
                rows, graph = graph.thinned(keep_unreachable=self.keep_unreachable)
                nodes = take(nodes, rows)
            nodes = layer(nodes, graph)
            states = states + take(nodes, graph.actors)
        return actors.unpad(states) / len(self.layers)


class Layer(nn.Module):
    """Messages along each person, among the people of a tick, and from the whole memory to the clip's own actors."""

    def __init__(self, width: int, temporal: Temporal, dropout: float, frozen: bool, ticks: int) -> None:
        super().__init__()
        self.frozen = frozen
        self.temporal: Ordered | Convolution | None = None
        if temporal != "none":
            self.temporal = Ordered(width) if temporal == "ordered" else Convolution(width)
        self.intra = Block(width, dropout)
        self.inter = Block(width, dropout, ticks)

    def forward(self, nodes: Tensor, graph: Graph) -> Tensor:
        """Nodes `[B, n, d]` → the same, one after the other; each step reads what the one before it has left."""
        moving = graph.actors if self.frozen else None
        if self.temporal is not None:
            nodes = put(nodes, moving, self.temporal(nodes, graph, moving))
        people = take(nodes, moving)
        nodes = put(nodes, moving, self.intra(people, people, graph.same_tick(moving)))
        actors = take(nodes, graph.actors)
        sees = graph.memory[:, None].expand(-1, actors.shape[1], -1)
        return put(nodes, graph.actors, self.inter(actors, nodes, sees, graph.tick))


class Block(nn.Module):
    """SA(x, y) = x + W_o relu(norm(attention of x to y)): one head, norm without parameters, W_o zero at first."""

    def __init__(self, width: int, dropout: float, ticks: int = 0) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.when = nn.Embedding(ticks, 2 * width) if ticks else None
        for parameter in (*self.out.parameters(), *(self.when.parameters() if self.when else ())):
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, y: Tensor, sees: Tensor, tick: Tensor | None = None) -> Tensor:
        """X `[B, L, d]`, y `[B, M, d]`, which y each x sees `[B, L, M]`; an x that sees none is left as it is."""
        key_value = self.key_value(y)
        if self.when is not None and tick is not None:
            key_value = key_value + self.when(tick + self.when.num_embeddings // 2)
        query = self.query(x)[:, None]
        key, value = key_value.to(query.dtype)[:, None].chunk(2, dim=-1)
        some = sees.any(dim=2, keepdim=True)
        gathered = F.scaled_dot_product_attention(query, key, value, attn_mask=(sees | ~some)[:, None])[:, 0]
        update = self.out(F.layer_norm(gathered, gathered.shape[-1:]).relu())
        return x + self.dropout(update) * some


class DualAttention(nn.Module):
    """DAM: which cells of a box matter (sem), and which are the person's own (idt); Sec. 3.3."""

    classes: Tensor

    def __init__(
        self,
        in_dim: int,
        width: int,
        memory_width: int,
        hidden: int,
        *,
        names: tuple[str, ...],
        pool: Literal["all", "rois"],
        circular: bool,
        classes: list[int],
        classified: list[str],
        priors: list[str],
        margin: float,
        weight: float,
    ) -> None:
        super().__init__()
        seen = in_dim + 4 + memory_width
        pooled = seen if pool == "all" else in_dim
        self.widths = [in_dim, 4, memory_width]
        self.names, self.circular, self.priors, self.margin, self.weight = names, circular, priors, margin, weight
        self.rois_only = pool == "rois"
        self.reduce = nn.Linear(width, memory_width)
        self.hidden = nn.Linear(seen, len(names) * hidden)  # one for each map, side by side
        self.map = nn.Conv2d(len(names) * hidden, len(names), 1, groups=len(names))
        self.project = nn.Linear(pooled, in_dim, bias=False) if pool == "all" else nn.Identity()
        self.classify = nn.ModuleDict({name: nn.Linear(pooled, len(classes)) for name in classified})
        self.register_buffer("classes", torch.tensor(classes, dtype=torch.long), persistent=False)

    def forward(self, scene: Scene, state: Tensor) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """What the person's cells add to the graph's features `[A, C]`, the maps `[A, S, S]`, and the losses."""
        near = Surroundings.of(scene, state.dtype)
        sources = [scene.rois, geometry(near, circular=self.circular), self.reduce(state)[:, :, None, None]]
        maps = self.maps(sources).to(state.dtype)
        pooled = self.pooled(sources, torch.cat([maps[:, :1], maps[:, :1] * maps[:, 1:]], dim=1))
        losses = {} if scene.labels is None else self.losses(maps, pooled, near, scene.labels, scene.actors)
        return self.project(pooled[:, -1]), dict(zip(self.names, maps.unbind(1), strict=True)), losses

    def maps(self, sources: list[Tensor]) -> Tensor:
        """`[A, maps, S, S]`: a 1x1 convolution over the concatenated sources is the sum of one over each."""
        weights = torch.split(self.hidden.weight[:, :, None, None], self.widths, dim=1)
        parts = [F.conv2d(source, weight) for source, weight in zip(sources, weights, strict=True)]
        hidden = parts[0] + parts[1] + (parts[2] + self.hidden.bias[:, None, None])
        return self.map(hidden.relu()).sigmoid()  # Eq. 2

    def pooled(self, sources: list[Tensor], maps: Tensor) -> Tensor:
        """What each map weighs, averaged over cells `[A, maps, D]`; the graph's features are the same in all."""
        cells = maps.flatten(2)
        by_cell = [cells @ source.flatten(2).transpose(1, 2) for source in sources[: 1 if self.rois_only else 2]]
        tiled = [] if self.rois_only else [cells.sum(dim=2, keepdim=True) * sources[2].flatten(2).transpose(1, 2)]
        return torch.cat([*by_cell, *tiled], dim=2) / cells.shape[2]  # Eq. 3

    def losses(
        self, maps: Tensor, pooled: Tensor, near: Surroundings, labels: Tensor, actors: Actors
    ) -> dict[str, Tensor]:
        """The auxiliary losses by name, already weighted."""
        result: dict[str, Tensor] = {}
        truth = labels.to(maps.dtype).index_select(1, self.classes)
        for name, classify in self.classify.items():
            taken = relaxed(truth, near, actors) if name == "sem" else truth
            logits = classify(pooled[:, self.names.index(name)]).to(maps.dtype)
            result[name] = _mean(cross_entropy(logits, truth, taken))
        interfered = near.covered.any(dim=1)  # Eq. 7
        blocked = interfered | ~inside(near.points, near.boxes)
        if "idt" in self.priors:
            result["prior_idt"] = _mean(identity_prior(maps[:, -1], blocked))
        if "sem" in self.priors:
            result["prior_sem"] = _mean(semantic_prior(maps[:, 0], blocked, self.margin), interfered.any(2).any(1))
        return {name: loss * self.weight for name, loss in result.items()}  # Eq. 10


def geometry(near: Surroundings, *, circular: bool) -> Tensor:
    """Where each cell is `[A, 4, S, S]`: column, row, its angle from the actor and, on average, from those on it."""
    count, size = near.points.shape[:2]
    middle = (torch.arange(size, dtype=near.points.dtype, device=near.points.device) + 0.5) / size
    own = polar_angle(near.points, near.boxes)
    angle = polar_angle(near.points[:, None], near.around)
    cover = near.covered.to(angle.dtype)
    if circular:
        interfering = torch.atan2((cover * angle.sin()).sum(dim=1), (cover * angle.cos()).sum(dim=1))
    else:
        interfering = (cover * angle).sum(dim=1) / (cover.sum(dim=1) + 1e-6)  # Eq. 1
    column, row = middle.expand(count, size, size), middle[:, None].expand(count, size, size)
    return torch.stack([column, row, own / torch.pi, interfering / torch.pi], dim=1)


def relaxed(truth: Tensor, near: Surroundings, actors: Actors) -> Tensor:
    """E `[A, K]`: how far an action may be seen in a box, because it or one that overlaps it does that."""
    common = overlap(near.boxes[:, None], near.around)
    of_others = common[:, :, None] * around(truth, actors)
    return torch.cat([truth[:, None], of_others], dim=1).amax(dim=1)  # Eq. 4


def cross_entropy(logits: Tensor, truth: Tensor, taken: Tensor) -> Tensor:
    """Summed over actions `[A]`; a negative counts as far as it is not `taken`: all of it where that is the truth."""
    return -(truth * F.logsigmoid(logits) + (1 - taken) * F.logsigmoid(-logits)).sum(dim=1)  # Eq. 5, and 4


def identity_prior(attention: Tensor, blocked: Tensor) -> Tensor:
    """`[A]`: cells where nobody interferes belong to the actor."""
    return ((attention - 1) ** 2 * ~blocked).mean(dim=(1, 2))  # Eq. 6


def semantic_prior(attention: Tensor, blocked: Tensor, margin: float) -> Tensor:
    """`[A]`: cells where somebody interferes should matter more than the others, by the margin."""
    sign = blocked.to(attention.dtype) * 2 - 1
    return (margin - (sign * attention).mean(dim=(1, 2))).clamp(min=0)  # Eq. 8


def _mean(loss: Tensor, counted: Tensor | None = None) -> Tensor:
    """Over actors, or over those that count; 0 where there are none."""
    if counted is None:
        return loss.sum() / max(len(loss), 1)
    return (loss * counted).sum() / counted.sum().clamp(min=1)


def _check_identities(actors: Actors, memory: Memory) -> None:
    """On a GPU the one place that waits for it; tensors without values (counting) have no ids to look at."""
    if len(actors) and not actors.track.is_meta and bool(memory.mask.any() & (actors.track < 0).all()):
        raise ValueError(
            "actors.track: igmn follows people through its memory, but every actor's track is -1 (unknown); give "
            "Actors.of(..., track=...) the ids of a tracker or box file, or take temporal='none', downsample=False"
        )
