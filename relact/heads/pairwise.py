"""ACRN (Sun et al., ECCV 2018) and AIA (Tang et al., ECCV 2020): an actor related to places, people, things, memory.

arXiv 1807.10982 and 2004.07485.

Idea: ACRN relates an actor to every place of the scene by convolutions over [map, actor tiled]; AIA gathers by stacked
attention from people (P), from things that a detector found (O) and from the people of the past and future (M), and
adds what it gathered to the actor's own feature. These are what the five systems compare themselves with.
Departs from the papers: ACRN by default has the widths of ACAR-Net's first-order encoder, so that both stand on the
same baseline; `acrn_mmaction` is MMAction2's. Empty slots of people, things and memory are not attended to
(`mask_padding=False`: they are, as released). Where people or things are more than the limit, the best scored are
keys (released: random ones).
"""

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from relact.config import STRICT
from relact.head import HeadConfig, Interface, MemorySpec, RelationHead
from relact.nn.attention import counted_weights
from relact.nn.layers import linear
from relact.nn.padding import mask, masked, real_places
from relact.nn.pool import average
from relact.nn.roi import ACAR, MMACTION2, RoIConfig, read_map
from relact.types import Actors, Memory, Relations, Scene

Structure = Literal["serial", "dense_serial", "parallel"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Config(HeadConfig):
    """Defaults: ACRN at the scale of ACAR-Net. AIA: `method="aia", dropout=0.2, classifier_bias=True`."""

    classifier_bias: bool = False
    method: Literal["acrn", "acrn_mmaction", "aia"] = "acrn"
    reduce: int = Field(default=1024, ge=1)
    """channels of the map and of the actors (acrn), of queries, keys and values (aia)"""
    width: int = Field(default=512, ge=1)
    """acrn: channels of relations"""
    convolutions: int = Field(default=1, ge=1)
    """acrn_mmaction: 3x3 convolutions after the 1x1"""
    structure: Structure = "serial"
    """aia: one chain of blocks; the same, each block reading a mix of all before it; or a chain for each letter"""
    blocks: str = Field(default="POMPOM", pattern="^[POM]+$")
    """aia: what the blocks attend to, in order: people, objects, memory"""
    objects: Literal["boxes", "map"] = "boxes"
    """aia: what O attends to: the boxes of `Scene.objects`, or (ours, without a detector) the real cells of the map"""
    hidden: int = Field(default=1024, ge=1)
    """aia: width of the two fully connected layers at the end"""
    relation_dropout: float = Field(default=0.2, ge=0, lt=1)
    """aia: after the reductions, and at the end of a block"""
    radius: int = Field(default=30, ge=1)
    """aia: ticks of memory on either side"""
    max_people: int = Field(default=25, ge=1)
    max_objects: int = Field(default=5, ge=1)
    max_per_tick: int = Field(default=5, ge=1)
    """aia: keys of a clip, and of a tick of the memory"""
    mask_padding: bool = True
    """aia: False = empty slots up to these limits are keys like any other, as released"""

    @property
    def roi(self) -> RoIConfig:
        return {"acrn": ACAR, "acrn_mmaction": MMACTION2, "aia": RoIConfig(aligned=False)}[self.method]

    def build(self, interface: Interface) -> RelationHead:
        if self.method == "acrn":
            return Acrn(interface.width, self.reduce, self.width, roi=interface.roi)
        if self.method == "acrn_mmaction":
            return AcrnMmaction(interface.width, self.convolutions)
        return Aia(
            interface.width, self.reduce, self.hidden, structure=self.structure, blocks=self.blocks,
            objects=self.objects, radius=self.radius, dropout=self.relation_dropout, mask_padding=self.mask_padding,
            max_people=self.max_people, max_objects=self.max_objects, max_per_tick=self.max_per_tick,
        )  # fmt: skip


VARIANTS = {
    "acrn": Config(),
    "acrn_mmaction": Config(method="acrn_mmaction", dropout=0.5, classifier_bias=True),
    "aia_serial": Config(method="aia", dropout=0.2, classifier_bias=True),
    "aia_dense_serial": Config(method="aia", dropout=0.2, classifier_bias=True, structure="dense_serial"),
    "aia_parallel": Config(method="aia", dropout=0.2, classifier_bias=True, structure="parallel"),
    "aia_no_memory": Config(method="aia", dropout=0.2, classifier_bias=True, blocks="POPO"),
    "aia_no_objects": Config(method="aia", dropout=0.2, classifier_bias=True, blocks="PMPM"),
    "aia_map": Config(method="aia", dropout=0.2, classifier_bias=True, objects="map"),
    "aia_padded": Config(method="aia", dropout=0.2, classifier_bias=True, mask_padding=False),
}
"""ACRN at two scales; AIA's structures and parts (`aia_no_memory`: ACAR-Net's Table 1a), the map for things (ours), and
empty slots attended to (released)"""
PUBLISHED = {
    "acrn": "26.71; SlowOnly 21.9", "acrn_mmaction": "27.71 (MMAction2)", "aia_no_memory": "26.79",
    "aia_serial": "SlowOnly 22.77",
}  # fmt: skip
"""frame-mAP on AVA v2.2 with SlowFast R50 8x8, K400 (ACAR-Net's Table 1a) and SlowOnly (AMCRNet's Table 2a)"""


class Acrn(RelationHead):
    """Two convolutions over [map, actor tiled], averaged over the places; beside it the actor (ACAR-Net, Sec. 3.2)."""

    def __init__(self, in_dim: int, reduce: int, width: int, *, roi: RoIConfig) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(in_dim, reduce, 1, bias=False)
        self.conv1 = nn.Conv2d(2 * reduce, width, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, bias=False)
        self.fc1 = nn.Linear(reduce, width, bias=False)
        self.roi = roi
        self.reads_rois = False
        self.out_dim = 2 * width

    def forward(self, scene: Scene) -> Relations:
        if len(scene.valid) and int(scene.valid.min()) < 3:
            raise ValueError(
                f"pairwise: acrn needs maps of at least 3 x 3 cells, got {scene.valid.min(dim=0).values.tolist()}: "
                "give larger frames"
            )
        context = self.conv_reduce(scene.pooled)
        regions = read_map(context, scene, self.roi)
        people = regions.amax(dim=(2, 3))
        of_context, of_actor = self.conv1.weight.chunk(2, dim=1)
        relation = _tiled(context, people, of_context, of_actor, scene.actors).relu_()
        relation = F.conv2d(relation, self.conv2.weight).relu_()
        real = real_places(scene.valid - 2, relation, scene.actors.clip)
        mean = average(masked(relation, real), real)
        return Relations(features=torch.cat([self.fc1(people).relu(), mean], dim=1))


class AcrnMmaction(RelationHead):
    """MMAction2's: at the width of the backbone, with batch norm, the largest value of all places."""

    def __init__(self, dim: int, convolutions: int) -> None:
        super().__init__()
        self.conv1 = Convolution(2 * dim, dim, 1)
        self.convs = nn.ModuleList([Convolution(dim, dim, 3) for _ in range(convolutions)])
        self.out_dim = dim

    def forward(self, scene: Scene) -> Relations:
        people = scene.rois.amax(dim=(2, 3))
        of_actor, of_context = self.conv1.conv.weight.chunk(2, dim=1)  # the actor comes first
        relation = _tiled(scene.pooled, people, of_context, of_actor, scene.actors)
        real = real_places(scene.valid, relation, scene.actors.clip)
        relation = self.conv1.after(relation, real)
        for block in self.convs:
            relation = block(relation, real)
        return Relations(features=relation.amax(dim=(2, 3)))  # what is real is not below 0, what is not is 0


class Convolution(nn.Module):
    """Convolution, batch norm, ReLU; zero where not real, and the statistics of training leave that out."""

    def __init__(self, in_dim: int, out_dim: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_dim, out_dim, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_dim)

    def forward(self, x: Tensor, real: Tensor | None) -> Tensor:
        """X `[A, C, h, w]`, zero where not real `[A, 1, h, w]`."""
        return self.after(self.conv(x), real)

    def after(self, x: Tensor, real: Tensor | None) -> Tensor:
        """All that follows the convolution."""
        normed = self.bn(x) if real is None or not self.training or len(x) == 0 else self._train(x, real)
        return masked(normed.relu_(), real)

    def _train(self, x: Tensor, real: Tensor) -> Tensor:
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        count = real.sum(dtype=x.dtype)
        mean = masked(x, real).sum(dim=(0, 2, 3)) / count
        centred = x - mean[:, None, None]
        variance = masked(centred**2, real).sum(dim=(0, 2, 3)) / count
        unbiased = variance.detach() * count / (count - 1).clamp(min=1)
        for running, seen in ((self.bn.running_mean, mean.detach()), (self.bn.running_var, unbiased)):
            assert running is not None
            running.lerp_(seen.to(running.dtype), self.bn.momentum or 0.0)
        scale = self.bn.weight * (variance + self.bn.eps).rsqrt()
        return centred * scale[:, None, None] + self.bn.bias[:, None, None]


class Keys(NamedTuple):
    """What a block attends to, clip by clip."""

    rows: Tensor
    """`[B, M, d]`"""
    times: Tensor
    """`[B, M]`, how often each row counts: 0 where it is not real, n where it stands for n empty slots"""
    tick: Tensor | None = None
    """`[B, M]`, of the memory: its row of the temporal embeddings"""


class Aia(RelationHead):
    """Chains of interaction blocks; what they gather is added to the actor, then two fully connected layers."""

    def __init__(
        self,
        in_dim: int,
        width: int,
        hidden: int,
        *,
        structure: Structure,
        blocks: str,
        objects: Literal["boxes", "map"],
        radius: int,
        dropout: float,
        mask_padding: bool,
        max_people: int,
        max_objects: int,
        max_per_tick: int,
    ) -> None:
        super().__init__()
        letters = [letter for letter in "POM" if letter in blocks]
        chains = [letter * blocks.count(letter) for letter in letters] if structure == "parallel" else [blocks]
        self.reduce_query = linear(in_dim, width)
        self.reduce_keys = nn.ModuleDict({letter: linear(in_dim, width) for letter in letters})
        self.chains = nn.ModuleList(
            [Chain(c, width, in_dim, 2 * radius + 1, dropout, dense=structure == "dense_serial") for c in chains]
        )
        self.fc1 = nn.Linear(in_dim, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.objects = objects
        self.radius, self.max_per_tick = radius, max_per_tick
        self.max_people, self.max_objects = max_people, max_objects
        self.mask_padding = mask_padding
        self.out_dim = hidden
        if "M" in blocks:
            self.memory = MemorySpec(radius=radius, dim=in_dim, max_per_tick=max_per_tick, discount=True)

    def forward(self, scene: Scene) -> Relations:
        people = scene.rois.amax(dim=(2, 3))
        query = self.dropout(self.reduce_query(people))
        keys = {letter: self._keys(letter, people, scene) for letter in self.reduce_keys}
        maps: dict[str, Tensor] = {}
        gathered = torch.stack([chain(query, keys, scene.actors, maps) for chain in self.chains]).sum(0)
        features = self.fc2(self.fc1(people + gathered).relu()).relu()
        return Relations(features=features, store=None if self.memory is None else people.detach(), maps=maps)

    def _keys(self, letter: str, people: Tensor, scene: Scene) -> Keys:
        if letter == "M":
            return self._past(people, scene)
        if letter == "P":
            return self._boxes(letter, people, scene.actors, self.max_people)
        if self.objects == "map":
            cells = self._reduced(letter, scene.pooled.flatten(2).transpose(1, 2))
            real = mask(scene.valid, *scene.pooled.shape[2:]).flatten(1)
            return Keys(cells, real.to(cells, non_blocking=True))
        if scene.objects is None or scene.object_rois is None:
            nothing = Actors.of([people.new_zeros(0, 4)] * len(scene.valid))
            return self._boxes(letter, people[:0], nothing, self.max_objects)
        return self._boxes(letter, scene.object_rois.amax(dim=(2, 3)), scene.objects, self.max_objects)

    def _boxes(self, letter: str, features: Tensor, found: Actors, limit: int) -> Keys:
        """People or things, a row a box; no more than the limit, the best scored."""
        rows, real = _best(self._reduced(letter, features), found, limit)
        times = real.to(rows.dtype)
        if not self.mask_padding:  # zeros after the reduction: one row stands for all empty slots
            rows = torch.cat([rows, rows.new_zeros(len(rows), 1, rows.shape[2])], dim=1)
            times = torch.cat([times, limit - times.sum(dim=1, keepdim=True)], dim=1)
        return Keys(rows, times)

    def _past(self, people: Tensor, scene: Scene) -> Keys:
        memory: Memory | None = self.past(scene)
        if memory is None:
            features = people.new_zeros(len(scene.valid), 0, people.shape[1])
            times, tick = features[:, :, 0], scene.actors.clip.new_zeros(len(scene.valid), 0)
        else:
            features, times = memory.features, memory.mask.to(people.dtype)
            tick = (memory.dt + self.radius).masked_fill(~memory.mask, 0)
        if not self.mask_padding:  # zeros before the reduction: one row a tick stands for its empty slots
            ticks = torch.arange(2 * self.radius + 1, device=tick.device).expand(len(tick), -1)
            spare = self.max_per_tick - times.new_zeros(ticks.shape).scatter_add(1, tick, times)
            features = torch.cat([features, features.new_zeros(*ticks.shape, features.shape[2])], dim=1)
            tick, times = torch.cat([tick, ticks], dim=1), torch.cat([times, spare.clamp(min=0)], dim=1)
        return Keys(self._reduced("M", features), times, tick)

    def _reduced(self, letter: str, features: Tensor) -> Tensor:
        return self.dropout(self.reduce_keys[letter](features))


class Chain(nn.Module):
    """Blocks in a row, the last one back to the channels of the backbone; `dense` ones read a mix of all before."""

    def __init__(self, letters: str, width: int, out_dim: int, ticks: int, dropout: float, *, dense: bool) -> None:
        super().__init__()
        self.letters = letters
        widths = [width] * (len(letters) - 1) + [out_dim]
        self.blocks = nn.ModuleList(
            [Interaction(width, out, ticks if x == "M" else 0, dropout) for x, out in zip(letters, widths, strict=True)]
        )
        self.mix = nn.ParameterList([_latest(count, width) for count in range(2, len(letters))] if dense else [])

    def forward(self, x: Tensor, keys: dict[str, Keys], actors: Actors, maps: dict[str, Tensor]) -> Tensor:
        """Queries `[A, d]` → `[A, C]`; each block's attention `[B, N, M]` is left in `maps`."""
        earlier: list[Tensor] = []
        for index, (letter, block) in enumerate(zip(self.letters, self.blocks, strict=True)):
            if len(self.mix) and index >= 2:
                x = (torch.stack(earlier) * self.mix[index - 2].softmax(dim=0)[:, None]).sum(dim=0)
            x, maps[f"{letter}{index}"] = block(x, keys[letter], actors)
            earlier.append(x)
        return x


class Interaction(nn.Module):
    """One actor's attention over its keys; nothing is added where there are none (AIA, Sec. 3.2)."""

    def __init__(self, width: int, out_dim: int, ticks: int, dropout: float) -> None:
        super().__init__()
        self.query, self.key, self.value = (linear(width, width) for _ in range(3))
        self.out = linear(width, out_dim, std=0.0)
        self.shortcut = nn.Identity() if out_dim == width else linear(width, out_dim)
        self.time_key, self.time_value = ((_embedding(ticks, width) if ticks else None) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, keys: Keys, actors: Actors) -> tuple[Tensor, Tensor]:
        k, v = self.key(keys.rows), self.value(keys.rows)
        if self.time_key is not None and self.time_value is not None:
            k, v = k + self.time_key(keys.tick), v + self.time_value(keys.tick)
        some = (keys.times > 0).any(dim=1)
        attention = counted_weights(actors.pad(self.query(x))[0], k, keys.times) * some[:, None, None]
        gathered = actors.unpad(attention.to(v.dtype) @ v)
        update = self.dropout(self.out(F.layer_norm(gathered, gathered.shape[1:]).relu()))
        return self.shortcut(x) + update * some.index_select(0, actors.clip)[:, None], attention.detach()


def _tiled(context: Tensor, people: Tensor, of_context: Tensor, of_actor: Tensor, actors: Actors) -> Tensor:
    """A 1x1 convolution over [map, actor tiled]: of the map, once a clip, plus a product of the actor.

    Channels last, the layout that the convolution behind it is fastest in.
    """
    by_place = F.conv2d(context, of_context).permute(0, 2, 3, 1).index_select(0, actors.clip)
    return by_place.add_(F.linear(people, of_actor[:, :, 0, 0])[:, None, None]).permute(0, 3, 1, 2)


def _best(rows: Tensor, found: Actors, limit: int) -> tuple[Tensor, Tensor]:
    """Rows `[A, d]` → `[B, M, d]` and which are real, M at most the limit: the best scored, of equals the first."""
    padded, real = found.pad(rows)
    if padded.shape[1] <= limit:
        return padded, real
    scores = found.pad(found.scores)[0].masked_fill(~real, -torch.inf)
    chosen = scores.argsort(dim=1, descending=True, stable=True)[:, :limit]
    return padded.gather(1, chosen[:, :, None].expand(-1, -1, padded.shape[2])), real.gather(1, chosen)


def _embedding(ticks: int, width: int) -> nn.Embedding:
    table = nn.Embedding(ticks, width)
    nn.init.normal_(table.weight, std=0.01)
    return table


def _latest(count: int, width: int) -> nn.Parameter:
    """Logits of a mix of `count` outputs, channel by channel: at first nearly all of the latest."""
    logits = torch.full((count, width), -5 * math.log(10))
    logits[-1] = 0
    return nn.Parameter(logits)
