"""ACAR-Net (Pan et al., CVPR 2021), arXiv 2006.07976: actor-context-actor relations.

Idea: each actor is first related to every place of the scene (first order), then, at each place, the actors' relations
are related to each other by attention (second order): two people are linked by what they share.
Departs from the paper as its released code does: features are reduced to 1024 channels, the first-order map is
max-pooled, the actor's own feature joins the classifier, "layer norm" is over channels and places.
Departs from the released code: padding is masked everywhere, and all clips of a batch are computed at once.
"""

from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from relact.config import STRICT
from relact.head import HeadConfig, Interface, MemorySpec, RelationHead
from relact.nn.memory import keep_convolutions
from relact.nn.padding import masked, real_group_norm, real_places
from relact.nn.pairs import mean_relu
from relact.nn.pool import average, average_convolved, stretch
from relact.nn.roi import ACAR, RoIConfig, read_map
from relact.ragged import segment_mean
from relact.types import Actors, Relations, Scene

Operator = Literal["nonlocal", "average", "relation"]
Downsample = Literal["max3", "max2", "none"]
Size = tuple[int, int]

ACTORS_AT_A_TIME = 20
"""who are related together in fp32 where nothing is kept for gradients: more take more memory, and hardly less time"""
MAPS_AT_A_TIME = 5
"""the same for first-order maps before they are pooled, which are four times as large"""


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
    mask_padding: bool = True
    """False = as released: in batches of clips of unequal size the padding reaches the backbone and the actors"""

    @property
    def roi(self) -> RoIConfig:
        return ACAR

    def without_memory(self) -> "Config":
        return replace(self, window=0)

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
            mask_padding=self.mask_padding,
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
    "released_padding": Config(mask_padding=False),
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
        mask_padding: bool,
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
        self.pairs = operator == "relation"
        self.store_grid = self.grid = grid
        self.roi = roi
        self.reads_rois = False
        self.mask_padding = mask_padding
        self.out_dim = 2 * width
        if window:
            self.memory = MemorySpec(radius=window, dim=width * grid[0] * grid[1], grid=grid)

    def forward(self, scene: Scene) -> Relations:
        valid = _context_cells(scene)
        if len(valid) and int(valid.min()) < 3:
            raise ValueError(
                f"acar needs maps of at least 3 x 3 cells, got {valid.min(dim=0).values.tolist()}: "
                f"give frames of at least {3 * scene.stride} pixels a side"
            )
        context = self.conv_reduce(scene.pooled)
        actors = read_map(context, scene, self.roi).amax(dim=(2, 3))
        of_context, of_actor = self.conv1.weight.chunk(2, dim=1)
        shared = _last(F.conv2d(context, of_context)).contiguous()
        context = context if self.pairs else context.new_zeros(0)  # its memory is of use for what follows
        maps: dict[str, Tensor] = {}
        vectors = self._among(actors, scene.actors, maps) if self.actor_first else actors
        own = F.linear(vectors, of_actor[:, :, 0, 0])
        stores: list[Tensor] = []
        pooled = [own[:0]]
        # training needs every map again, so all at once; otherwise as many as the processor's cache has room for
        together = len(actors) if torch.is_grad_enabled() or self.explain else _room(ACTORS_AT_A_TIME, shared)
        for clips in scene.actors.groups(together):
            rows = scene.actors.rows_of(clips)
            part = Part(
                context=context[clips], shared=shared[clips], own=own[rows], vectors=actors[rows],
                actors=scene.actors.of_clips(clips), valid=valid[clips], memory=self._memory(scene, clips),
            )  # fmt: skip
            mean, store = self.relate(part, maps)
            pooled.append(mean)
            stores += [] if store is None else [store]
        features = torch.cat([self.fc1(actors).relu(), torch.cat(pooled)], dim=1)
        return Relations(features=features, store=torch.cat(stores) if stores else None, maps=maps)

    def relate(self, part: "Part", maps: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """The mean over places of the relations after the operators `[A, d]`, and rows for a bank if wanted."""
        relation = self.first_order(part)
        rows, size = _downsampled(part.valid - 2, self.downsample), (relation.shape[2], relation.shape[3])
        real = real_places(rows, relation, part.actors.clip)
        store = self._stored(relation, rows, part.actors) if self.archive else None
        bank = self._bank(part.memory, rows, size)
        for number, block in enumerate(self.hr2o):
            if isinstance(block, RelationNetwork):
                relation = relation + block(part, real)
            elif isinstance(block, Average):
                relation = relation + block(relation, part.actors)
            elif isinstance(block, HR2O) and not self.actor_first:
                heard, weights = block(relation, real, part.actors, bank)
                if self.explain:
                    maps[f"relations_{number}"] = weights
                if block is self.hr2o[-1] and not (self.training and block.dropout.p):  # it precedes the mean
                    return average(relation, real) + block.mean_update(heard, real), store  # Eq. 2, averaged
                relation = relation + block.update(heard, real)  # Eq. 2
                del heard
        return average(relation, real), store

    def first_order(self, part: "Part") -> Tensor:
        """Relations of every actor with every place `[A, d, h', w']`, zero where padded.

        conv1 over [context, actor tiled] is a convolution of the context, once a clip, plus a product of the actor.
        """
        size = max(1, len(part.actors)) if torch.is_grad_enabled() else _room(MAPS_AT_A_TIME, part.shared)
        maps = []
        for own, clip in zip(torch.split(part.own, size), torch.split(part.actors.clip, size), strict=True):
            relation = keep_convolutions(self._meet, part.shared, own, clip)
            # the ReLU of conv2 after the pooling: the same, on a quarter of the places
            maps.append(_downsample(relation, clip, part.valid - 2, self.downsample).relu())
        return torch.cat(maps) if len(maps) > 1 else maps[0]

    def _meet(self, shared: Tensor, own: Tensor, clip: Tensor) -> Tensor:
        """The same before conv2's activation, `[A, d, h - 2, w - 2]`, padding included."""
        relation = shared.index_select(0, clip).add_(own[:, None, None]).relu_().permute(0, 3, 1, 2)
        return F.conv2d(relation, self.conv2.weight)

    def _among(self, vectors: Tensor, actors: Actors, maps: dict[str, Tensor]) -> Tensor:
        """Actor-first order: the operator on the actors' vectors, each a map of one place."""
        for number, block in enumerate(self.hr2o):
            assert isinstance(block, HR2O)
            heard, weights = block(vectors[:, :, None, None], None, actors, None)
            vectors = vectors + block.update(heard, None)[:, :, 0, 0]  # Eq. 2
            if self.explain:
                maps[f"relations_{number}"] = weights
        return vectors

    def _stored(self, relation: Tensor, rows: Tensor, actors: Actors) -> Tensor:
        """The first-order maps on the bank's grid, a row an actor (Sec. 3.3)."""
        padded = actors.pad(relation.detach())[0]
        grid = torch.tensor([self.grid] * len(rows)).reshape(-1, 2)
        return actors.unpad(stretch(padded, rows, grid, self.grid)).flatten(1)

    def _memory(self, scene: Scene, clips: slice) -> tuple[Tensor, Tensor] | None:
        """These clips' rows of the memory, and which are there."""
        memory = self.past(scene)
        return None if memory is None else (memory.features[clips], memory.mask[clips])

    def _bank(self, memory: tuple[Tensor, Tensor] | None, rows: Tensor, size: Size) -> tuple[Tensor, Tensor] | None:
        """The bank's maps `[B, M, d, h', w']`, resized to each clip's, and which are there `[B, M]`."""
        if memory is None:
            return None
        features, there = memory
        maps = features.view(*there.shape, -1, *self.grid)
        maps = torch.where(there[:, :, None, None, None], maps, 0)
        return stretch(maps, torch.tensor([self.grid] * len(rows)), rows, size), there


@plain_dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some clips of a batch, and what is known of them before actors meet places."""

    context: Tensor
    """`[B, C, h, w]`, for the relation network alone"""
    shared: Tensor
    """conv1 of the context, `[B, h, w, d]`"""
    own: Tensor
    """conv1 of the actors, `[A, d]`"""
    vectors: Tensor
    """`[A, C]`"""
    actors: Actors
    valid: Tensor
    memory: tuple[Tensor, Tensor] | None


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
        """Relation `[A, d, h, w]`, zero where not real → what each hears of others, and attention `[B, h, w, N, N]`.

        With a bank of maps `[B, M, d, h, w]` the keys are its rows, and the attention is `[B, h, w, N, M + N]`: a clip
        whose bank is empty falls back on its own actors.
        """
        rows, columns = relation.shape[2:]
        q, k, v = (_by_place(actors.pad(_last(conv(relation)))[0]) for conv in (self.conv_q, self.conv_k, self.conv_v))
        keys = actors.pad(torch.ones_like(actors.scores))[1]
        if bank is not None:
            maps, there = bank
            past = [_last(conv(maps.flatten(0, 1))) for conv in (self.conv_k, self.conv_v)]
            k_past, v_past = (_by_place(x.view(*maps.shape[:2], *x.shape[1:])) for x in past)  # Eq. 5
            k, v = torch.cat([k_past, k], dim=1), torch.cat([v_past, v], dim=1)
            keys = torch.cat([there, keys & ~there.any(dim=1, keepdim=True)], dim=1)
        score = (q @ k.transpose(1, 2)).view(len(keys), rows * columns, q.shape[1], k.shape[1]) / q.shape[2] ** 0.5
        if bank is not None or len(actors) < keys.numel():
            score = score.masked_fill(~keys[:, None, None], torch.finfo(score.dtype).min)
        attention = score.softmax(dim=-1).to(v.dtype)  # Eq. 1
        gathered = (attention.flatten(0, 1) @ v).view(len(keys), rows, columns, *q.shape[1:])
        del q, k, v
        normed = real_group_norm(actors.unpad(gathered.permute(0, 3, 1, 2, 4)), real, self.norm).relu_()
        weights = attention.detach().view(len(keys), rows, columns, *attention.shape[2:])
        return masked(normed.permute(0, 3, 1, 2), real), weights

    def update(self, heard: Tensor, real: Tensor | None) -> Tensor:
        """What a relation gains by what was heard, `[A, d, h, w]`."""
        return masked(self.dropout(self.conv(heard)), real)

    def mean_update(self, heard: Tensor, real: Tensor | None) -> Tensor:
        """The mean of `update` over real places `[A, d]` without dropout, which takes no convolution."""
        return average_convolved(heard, self.conv, real)


class Average(nn.Module):
    """The operator that ablations compare with: every actor receives the mean of all (Table 1)."""

    def forward(self, relation: Tensor, actors: Actors) -> Tensor:
        return segment_mean(relation, actors.clip, len(actors.counts)).index_select(0, actors.clip)


class RelationNetwork(nn.Module):
    """Two convolutions over every (actor, actor, place), averaged over the second actor (Sec. 3.2)."""

    def __init__(self, reduce: int, width: int, downsample: Downsample) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3 * reduce, width, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, bias=False)
        self.downsample = downsample

    def forward(self, part: Part, real: Tensor | None) -> Tensor:
        """What every actor receives, `[A, d, h', w']`: the second convolution is linear, so the mean goes before it."""
        of_i, of_j, of_context = self.conv1.weight.chunk(3, dim=1)
        clip = part.actors.clip
        shared = F.conv2d(part.context, of_context).index_select(0, clip)
        place = shared + F.linear(part.vectors, of_i[:, :, 0, 0])[:, :, None, None]
        other = F.linear(part.vectors, of_j[:, :, 0, 0])
        mean = mean_relu(place.flatten(2), other, part.actors).view(place.shape)  # Eq. 4
        relation = F.conv2d(mean, self.conv2.weight)  # Eq. 3
        return masked(_downsample(relation, clip, part.valid - 2, self.downsample), real)


def _context_cells(scene: Scene) -> Tensor:
    """(rows, columns) of each clip's context; where padding was taken for picture, in the released code's arithmetic.

    There 1 / (416 / 368) * 26 is a little over 23, and so 24 columns: its own expression gives its own result.
    """
    if scene.padded is None:
        return scene.valid
    ratio = torch.tensor(scene.padded, dtype=torch.float64) / scene.frame
    return (torch.tensor(scene.pooled.shape[-2:]) * (1 / ratio)).ceil().long()


def _room(actors: int, like: Tensor) -> int:
    """As many in the space of these in fp32."""
    return max(1, actors * 4 // like.element_size())


def _downsample(relation: Tensor, clip: Tensor, rows: Tensor, how: Downsample) -> Tensor:
    """Max-pooled maps of the actors of these clips, zero where padded; `rows` are the real sizes, by clip."""
    real = real_places(rows, relation, clip)
    if real is not None:
        relation = relation.masked_fill(~real, torch.finfo(relation.dtype).min)
    if how == "max3":
        relation = F.max_pool2d(relation, 3, 2, 1)
    elif how == "max2":
        relation = F.max_pool2d(relation, 2, 2, ceil_mode=True)
    return masked(relation, real_places(_downsampled(rows, how), relation, clip))


def _downsampled(rows: Tensor, how: Downsample) -> Tensor:
    """Real sizes after `_downsample`."""
    return rows if how == "none" else (rows + 1) // 2


def _last(x: Tensor) -> Tensor:
    """`[A, d, h, w]` → `[A, h, w, d]`."""
    return x.permute(0, 2, 3, 1)


def _by_place(x: Tensor) -> Tensor:
    """`[B, N, h, w, d]` → `[B h w, N, d]`: the actors of a clip at each place, for a product a place."""
    return x.permute(0, 2, 3, 1, 4).flatten(0, 2)
