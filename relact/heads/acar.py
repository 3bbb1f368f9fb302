"""ACAR-Net (Pan et al., CVPR 2021), arXiv 2006.07976: actor-context-actor relations.

Idea: each actor is first related to every place of the scene (first order), then, at each place, the actors' relations
are related to each other by attention (second order): two people are linked by what they share.
Departs from the paper as its released code does: features are reduced to 1024 channels, the first-order map is
max-pooled, the actor's own feature joins the classifier, "layer norm" is over channels and places.
Departs from the released code: padding is masked everywhere, and all clips of a batch are computed at once.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from relact.config import STRICT
from relact.head import HeadConfig, Interface, MemorySpec, RelationHead
from relact.nn.padding import mask
from relact.nn.pool import stretch
from relact.nn.roi import ACAR, RoIConfig, rois
from relact.types import Actors, Memory, Relations, Scene

Operator = Literal["nonlocal", "average", "relation"]
Downsample = Literal["max3", "max2", "none"]
Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Config(HeadConfig):
    """Defaults: the released R50 model. R101: `depth=1, out_kernel=1`."""

    classifier_bias: bool = False
    reduce: int = Field(default=1024, ge=1)
    """channels of the context and of the actors (released code)"""
    width: int = Field(default=512, ge=1)
    """channels of relations, d (Sec. 3.2)"""
    operator: Operator = "nonlocal"
    """how relations of a place meet: attention (Eq. 1, 2), their mean, or the relation network (Eq. 3, 4)"""
    depth: int = Field(default=2, ge=1)
    """stacked operators"""
    out_kernel: Literal[1, 3] = 3
    """of the convolution that ends an attention operator"""
    downsample: Downsample = "max3"
    """of the first-order map: 3x3 with stride 2 (released), 2x2, or not at all"""
    operator_dropout: float = Field(default=0.2, ge=0, lt=1)
    order: Literal["context_first", "actor_first"] = "context_first"
    """actor_first: the operator relates the actors' vectors, which then meet the context (Table 1)"""
    window: int = Field(default=0, ge=0)
    """seconds of the Actor-Context Feature Bank on either side (Sec. 3.3: 10); 0 = no bank"""
    grid: Size = (7, 14)
    """(rows, columns) of the maps in the bank; clips with maps of another size read them resized"""

    @property
    def roi(self) -> RoIConfig:
        return ACAR

    def build(self, interface: Interface) -> "Acar":
        if self.window and (self.operator != "nonlocal" or self.order != "context_first"):
            raise ValueError(
                f"window={self.window}: a bank is read by attention over maps; "
                "set operator='nonlocal' and order='context_first', or window=0"
            )
        return Acar(
            interface.width, self.reduce, self.width, operator=self.operator, depth=self.depth,
            out_kernel=self.out_kernel, downsample=self.downsample, dropout=self.operator_dropout,
            actor_first=self.order == "actor_first", window=self.window, grid=self.grid, roi=interface.roi,
        )  # fmt: skip


VARIANTS = {
    "r50": Config(),
    "r101": Config(depth=1, out_kernel=1),
    "bank": Config(window=10),
    "depth1": Config(depth=1),
    "depth3": Config(depth=3),
    "average": Config(operator="average", depth=1),
    "relation_network": Config(operator="relation", depth=1),
    "actor_first": Config(order="actor_first"),
    "max2": Config(downsample="max2"),
    "no_downsampling": Config(downsample="none"),
}
"""the released models, the bank (Sec. 3.3), and the rows of Table 1"""

PUBLISHED = {
    "r50": "27.83; released 58.87 M",
    "r101": "released 31.69 (R101, K700), 75.60 M",
    "bank": "28.84",
    "depth1": "27.63",
    "depth3": "27.25",
    "average": "26.97",
    "relation_network": "27.18",
    "actor_first": "27.62",
}
"""frame-mAP on AVA v2.2 (Table 1; SlowFast R50 8x8, K400), parameters with the backbone"""


class Acar(RelationHead):
    """First-order encoder, HR2O, and the two features that go to the classifier."""

    def __init__(
        self,
        in_dim: int,
        reduce: int,
        width: int,
        *,
        operator: Operator,
        depth: int,
        out_kernel: int,
        downsample: Downsample,
        dropout: float,
        actor_first: bool,
        window: int,
        grid: Size,
        roi: RoIConfig,
    ) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(in_dim, reduce, 1, bias=False)
        self.conv1 = nn.Conv2d(2 * reduce, width, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, bias=False)
        blocks: list[nn.Module] = []
        for _ in range(depth):
            if operator == "average":
                blocks.append(Average())
            elif operator == "relation":
                blocks.append(RelationNetwork(reduce, width, downsample))
            elif actor_first:
                blocks.append(HR2O(reduce, 1, 1, dropout))
            else:
                blocks.append(HR2O(width, 3, out_kernel, dropout))
        self.hr2o = nn.ModuleList(blocks)
        self.fc1 = nn.Linear(reduce, width, bias=False)
        self.downsample = downsample
        self.actor_first = actor_first
        self.grid = grid
        self.roi = roi
        self.reads_rois = False
        self.out_dim = 2 * width
        if window:
            self.memory = MemorySpec(radius=window, dim=width * grid[0] * grid[1], grid=grid)

    def forward(self, scene: Scene) -> Relations:
        if len(scene.valid) and int(scene.valid.min()) < 3:
            raise ValueError(f"acar needs maps of at least 3 x 3 cells, got {scene.valid.min(dim=0).values.tolist()}")
        context = self.conv_reduce(scene.pooled)
        regions = rois(
            context, scene.actors, frame=scene.frame, valid=scene.valid, stride=scene.stride, config=self.roi,
            boxes=scene.roi_boxes,
        )  # fmt: skip
        actors = regions.amax(dim=(2, 3))
        attention: list[Tensor] = []
        vectors = self._among(actors, scene.actors, attention) if self.actor_first else actors
        relation, rows = self.first_order(context, vectors, scene)
        real = _real(rows, (relation.shape[2], relation.shape[3]), scene.actors)
        store = None if self.training else self._stored(relation, rows, scene.actors)
        bank = self._bank(scene, rows, (relation.shape[2], relation.shape[3]))
        for block in self.hr2o:
            if isinstance(block, RelationNetwork):
                relation = relation + block(context, actors, scene, real)
            elif isinstance(block, Average):
                relation = relation + block(relation, scene.actors)
            elif not self.actor_first:
                relation, weights = block(relation, real, scene.actors, bank)
                attention.append(weights)
        features = torch.cat([self.fc1(actors).relu(), _mean(relation, real)], dim=1)
        maps = {f"relations_{k}": weights for k, weights in enumerate(attention)}
        return Relations(features=features, store=store, maps=maps)

    def first_order(self, context: Tensor, vectors: Tensor, scene: Scene) -> tuple[Tensor, Tensor]:
        """Relations of every actor with every place `[A, d, h', w']`, zero where padded, and real sizes `[B, 2]`.

        conv1 over [context, actor tiled] is a convolution of the context, once a clip, plus a product of the actor.
        """
        of_context, of_actor = self.conv1.weight.chunk(2, dim=1)
        shared = _to_actors(F.conv2d(context, of_context), scene.actors)
        relation = shared.add_(F.linear(vectors, of_actor[:, :, 0, 0])[:, :, None, None]).relu_()
        return _downsample(F.conv2d(relation, self.conv2.weight).relu_(), scene, self.downsample)

    def _among(self, vectors: Tensor, actors: Actors, attention: list[Tensor]) -> Tensor:
        """Actor-first order: the operator on the actors' vectors, each a map of one place."""
        for block in self.hr2o:
            places, weights = block(vectors[:, :, None, None], None, actors, None)
            vectors = places[:, :, 0, 0]
            attention.append(weights)
        return vectors

    def _stored(self, relation: Tensor, rows: Tensor, actors: Actors) -> Tensor:
        """The first-order maps on the bank's grid, a row an actor (Sec. 3.3)."""
        padded = actors.pad(relation.detach())[0]
        grid = torch.tensor([self.grid] * len(rows)).reshape(-1, 2)
        return actors.unpad(stretch(padded, rows, grid, self.grid)).flatten(1)

    def _bank(self, scene: Scene, rows: Tensor, size: Size) -> tuple[Tensor, Tensor] | None:
        """The bank's maps `[B, M, d, h', w']`, resized to each clip's, and which are there `[B, M]`."""
        memory: Memory | None = self.past(scene)
        if memory is None:
            return None
        maps = memory.features.view(*memory.mask.shape, -1, *self.grid)
        there = torch.where(memory.mask[:, :, None, None, None], maps, 0)
        return stretch(there, torch.tensor([self.grid] * len(rows)), rows, size), memory.mask


class HR2O(nn.Module):
    """High-order relation reasoning: attention among the actors of a clip, at each place on its own (Sec. 3.2)."""

    def __init__(self, width: int, kernel: int, out_kernel: int, dropout: float) -> None:
        super().__init__()
        self.conv_q = nn.Conv2d(width, width, kernel, padding=kernel // 2, bias=False)
        self.conv_k = nn.Conv2d(width, width, kernel, padding=kernel // 2, bias=False)
        self.conv_v = nn.Conv2d(width, width, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.GroupNorm(1, width)
        self.conv = nn.Conv2d(width, width, out_kernel, padding=out_kernel // 2, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, relation: Tensor, real: Tensor | None, actors: Actors, bank: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Relation `[A, d, h, w]`, zero where not real → the same, and the attention `[B, h, w, N, N]`.

        With a bank of maps `[B, M, d, h, w]` the keys are its rows, and the attention is `[B, h, w, N, M + N]`: a clip
        whose bank is empty falls back on its own actors.
        """
        q, k, v = (_by_place(actors.pad(conv(relation))[0]) for conv in (self.conv_q, self.conv_k, self.conv_v))
        keys = actors.pad(torch.ones_like(actors.scores))[1]
        if bank is not None:
            maps, there = bank
            past = maps.flatten(0, 1)
            k_past, v_past = (  # Eq. 5
                _by_place(conv(past).view(maps.shape)) for conv in (self.conv_k, self.conv_v)
            )
            k, v = torch.cat([k_past, k], dim=3), torch.cat([v_past, v], dim=3)
            keys = torch.cat([there, keys & ~there.any(dim=1, keepdim=True)], dim=1)
        score = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        score = score.masked_fill(~keys[:, None, None, None], torch.finfo(score.dtype).min)
        attention = score.softmax(dim=-1).to(v.dtype)  # Eq. 1
        gathered = actors.unpad((attention @ v).permute(0, 3, 4, 1, 2))  # [A, d, h, w]
        update = self.dropout(self.conv(_masked(_norm(gathered, real, self.norm).relu(), real)))
        return relation + _masked(update, real), attention.detach()  # Eq. 2


class Average(nn.Module):
    """The operator that ablations compare with: every actor receives the mean of all (Table 1)."""

    def forward(self, relation: Tensor, actors: Actors) -> Tensor:
        padded, present = actors.pad(relation)
        count = present.sum(dim=1).clamp(min=1).to(relation.dtype)
        return (padded.sum(dim=1) / count[:, None, None, None]).index_select(0, actors.clip)


class RelationNetwork(nn.Module):
    """Two convolutions over every (actor, actor, place), averaged over the second actor (Sec. 3.2)."""

    def __init__(self, reduce: int, width: int, downsample: Downsample) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3 * reduce, width, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, bias=False)
        self.downsample = downsample

    def forward(self, context: Tensor, vectors: Tensor, scene: Scene, real: Tensor | None) -> Tensor:
        """What every actor receives, `[A, d, h', w']`: the second convolution is linear, so the mean goes before it."""
        of_i, of_j, of_context = self.conv1.weight.chunk(3, dim=1)
        shared = F.conv2d(context, of_context).index_select(0, scene.actors.clip)
        place = shared + F.linear(vectors, of_i[:, :, 0, 0])[:, :, None, None]
        other = F.linear(vectors, of_j[:, :, 0, 0])
        mean = mean_relu(place.flatten(2), other, scene.actors).view(place.shape)  # Eq. 4
        return _masked(_downsample(F.conv2d(mean, self.conv2.weight), scene, self.downsample)[0], real)  # Eq. 3


def mean_relu(place: Tensor, other: Tensor, actors: Actors) -> Tensor:
    """The mean over the actors j of the same clip of relu(place_i + other_j): `[A, d, P]` from `[A, d, P]`, `[A, d]`.

    As a function of `place` it is piecewise linear with a knot at each -other_j: behind the sorted knots and their
    sums, a place needs to find its segment only, and no pair of actors is ever formed.
    """
    padded, present = actors.pad(other)
    knots, order = torch.where(present[:, :, None], -padded, torch.inf).sort(dim=1)
    behind = F.pad(padded.gather(1, order).cumsum(dim=1), (0, 0, 1, 0))  # sum of `other` behind the first k knots
    of_actor = [x.transpose(1, 2).contiguous().index_select(0, actors.clip) for x in (knots, behind)]
    passed = torch.searchsorted(of_actor[0].detach(), place.detach())
    total = passed * place + of_actor[1].gather(2, passed)
    return total / present.sum(dim=1).index_select(0, actors.clip)[:, None, None]


def _downsample(relation: Tensor, scene: Scene, how: Downsample) -> tuple[Tensor, Tensor]:
    """Max-pooled maps of conv2 (two cells smaller than the clip's), zero where padded, and their real sizes."""
    rows = scene.valid - 2
    real = _real(rows, (relation.shape[2], relation.shape[3]), scene.actors)
    if real is not None:
        relation = relation.masked_fill(~real, torch.finfo(relation.dtype).min)
    if how == "max3":
        relation, rows = F.max_pool2d(relation, 3, 2, 1), (rows + 1) // 2
    elif how == "max2":
        relation, rows = F.max_pool2d(relation, 2, 2, ceil_mode=True), (rows + 1) // 2
    return _masked(relation, _real(rows, (relation.shape[2], relation.shape[3]), scene.actors)), rows


def _to_actors(maps: Tensor, actors: Actors) -> Tensor:
    """Each actor's own copy of its clip's map, channels last: the layout that convolutions are fastest in."""
    return maps.permute(0, 2, 3, 1).index_select(0, actors.clip).permute(0, 3, 1, 2)


def _by_place(x: Tensor) -> Tensor:
    """`[B, N, d, h, w]` → `[B, h, w, N, d]`."""
    return x.permute(0, 3, 4, 1, 2)


def _norm(x: Tensor, real: Tensor | None, norm: nn.GroupNorm) -> Tensor:
    """GroupNorm with one group whose statistics leave out what is not real."""
    if real is None:
        return norm(x)
    count = real.sum(dim=(1, 2, 3), keepdim=True) * x.shape[1]
    mean = (x * real).sum(dim=(1, 2, 3), keepdim=True) / count
    variance = ((x - mean) ** 2 * real).sum(dim=(1, 2, 3), keepdim=True) / count
    return (x - mean) * (variance + norm.eps).rsqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]


def _mean(relation: Tensor, real: Tensor | None) -> Tensor:
    """The mean over real places of maps that are zero elsewhere."""
    total = relation.sum(dim=(2, 3))
    return total / (relation.shape[2] * relation.shape[3] if real is None else real.sum(dim=(2, 3)))


def _masked(x: Tensor, real: Tensor | None) -> Tensor:
    return x if real is None else x.masked_fill(~real, 0)


def _real(rows: Tensor, size: Size, actors: Actors) -> Tensor | None:
    """Which places are real, per actor: `[A, 1, h, w]` from (rows, columns) per clip; None where all are."""
    if bool((rows == torch.tensor(size)).all()):
        return None
    by_clip = mask(rows, *size)[:, :, 0].to(actors.boxes.device, non_blocking=True)
    return by_clip.index_select(0, actors.clip)
