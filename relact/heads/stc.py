"""STC (Sarmiento Calderó, Varas, Bou-Balust; Apple): cross attention to the places of the scene, then to its frames.

Idea: each cell of an actor's RoI asks first the slow map averaged over time (where), then the fast map averaged over
space (when), so that time is not averaged away before actors meet it. Actors of a clip never meet each other.
Departs from nothing that the paper says. It gives no width, heads, norm or dropout: the blocks are those of the
Transformer that it cites. Only real cells of a padded map are attended to and averaged.
"""

from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from relact.config import STRICT
from relact.head import HeadConfig, Interface, RelationHead
from relact.nn.attention import attend, attention_weights
from relact.nn.padding import mask
from relact.types import Actors, Relations, Scene


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Config(HeadConfig):
    """Defaults: the best row of Table 1; where the paper is silent, the base Transformer and PySlowFast's dropout."""

    dropout: float = 0.5
    context: Literal["spatiotemporal", "spatial"] = "spatiotemporal"
    """slow cells, then fast frames (Sec. 3.2); or only the cells of both pathways, concatenated (Sec. 4.2)"""
    query: Literal["cells", "pooled"] = "cells"
    """an actor asks as every cell of its RoI ("Spatial" in Table 1), or as their maximum"""
    d_model: int | None = Field(default=512, ge=1)
    """channels of a token after a projection of each input; None = as wide as the actors, no projections"""
    heads: int = Field(default=8, ge=1)
    """of an attention; divide the width"""
    ffn: int = Field(default=2048, ge=1)
    """hidden channels of a block's feed forward layer"""
    block_dropout: float = Field(default=0.1, ge=0, lt=1)
    """after each attention and feed forward layer"""
    hidden: int | None = Field(default=None, ge=1)
    """channels between the two linear layers at the end; None = as a token"""

    def build(self, interface: Interface) -> "Stc":
        width = self.d_model or interface.width
        if width % self.heads:
            source = "d_model" if self.d_model else "the backbone's channels, as d_model is None"
            raise ValueError(f"heads: stc needs a divisor of {width} ({source}), got {self.heads}; change either")
        return Stc(
            interface.width, self._contexts(interface), width=width, project=self.d_model is not None,
            pooled=self.query == "pooled", heads=self.heads, ffn=self.ffn, dropout=self.block_dropout,
            hidden=self.hidden or width,
        )  # fmt: skip

    def _contexts(self, interface: Interface) -> tuple[int, ...]:
        """Channels of what each block attends to."""
        if self.context == "spatial":
            return (interface.width,)
        if not {"slow", "fast"} <= interface.channels.keys():
            raise ValueError(
                "context: 'spatiotemporal' attends to a slow and a fast pathway, this backbone gives "
                f"{', '.join(interface.channels)}; choose a SlowFast backbone, or set context='spatial'"
            )
        return interface.channels["slow"], interface.channels["fast"]


VARIANTS = {
    "spatiotemporal": Config(),
    "spatiotemporal_pooled": Config(query="pooled"),
    "spatial": Config(context="spatial"),
    "spatial_pooled": Config(context="spatial", query="pooled"),
    "unprojected": Config(d_model=None),
}
"""Table 1's four, and the literal reading of Sec. 3: keys and values straight from the maps, embeddings as wide as C"""
PUBLISHED = {"spatiotemporal": "27.02", "spatiotemporal_pooled": "26.65", "spatial": "26.75", "spatial_pooled": "26.50"}
"""frame-mAP on AVA v2.2 (Table 1; SlowFast R50 8x8, K400)"""


class Context(NamedTuple):
    """What a block attends to."""

    name: str
    tokens: Tensor
    """`[B, M, c]`"""
    real: Tensor | None
    """`[B, M]`; None = all"""
    grid: tuple[int, ...]
    """how the M tokens lie, for pictures"""


class Groups(NamedTuple):
    """Actors who ask together: those of a clip, or a part of them."""

    actors: Actors
    """`counts` by group"""
    clip: Tensor | None
    """of each group; None = every clip is one"""

    def of_clip(self, by_clip: Tensor) -> Tensor:
        """One row per clip → one per group."""
        return by_clip if self.clip is None else by_clip.index_select(0, self.clip)


class Stc(RelationHead):
    """One cross attention block a context, a maximum over an actor's tokens, the first of the two linear layers."""

    def __init__(
        self,
        in_dim: int,
        contexts: tuple[int, ...],
        *,
        width: int,
        project: bool,
        pooled: bool,
        heads: int,
        ffn: int,
        dropout: float,
        hidden: int,
    ) -> None:
        super().__init__()
        self.pooled = pooled
        self.cell_dim = contexts[0]
        self.reads_maps = len(contexts) == 2  # the second is the fast pathway's frames
        self.project_actor = nn.Linear(in_dim, width) if project else nn.Identity()
        self.project = nn.ModuleList([nn.Linear(c, width) if project else nn.Identity() for c in contexts])
        inputs = [width if project else c for c in contexts]
        self.blocks = nn.ModuleList([CrossAttention(width, c, heads, ffn, dropout) for c in inputs])
        self.fc = nn.Linear(width, hidden)
        self.out_dim = hidden

    def forward(self, scene: Scene) -> Relations:
        rois = scene.rois.amax(dim=(2, 3), keepdim=True) if self.pooled else scene.rois
        tokens = self.project_actor(rois.flatten(2).transpose(1, 2))  # [A, Q, d]
        maps: dict[str, Tensor] = {}
        groups = _groups(scene.actors)
        for block, project, context in zip(self.blocks, self.project, self._contexts(scene), strict=True):
            known = project(context.tokens)
            tokens, weights = block(tokens, known, groups, context.real, explain=self.explain)
            if weights is not None:
                maps[context.name] = weights.view(*weights.shape[:2], *context.grid)
        return Relations(features=self.fc(tokens.amax(dim=1)).relu(), maps=maps)

    def _contexts(self, scene: Scene) -> list[Context]:
        """One for each block."""
        # slow channels come first in the pooled map, and are all of it for the spatial context
        cells = scene.pooled[:, : self.cell_dim]
        rows, columns = cells.shape[2:]
        real = _real_cells(scene)
        contexts = [Context("cells", cells.flatten(2).transpose(1, 2), real, (rows, columns))]
        if len(self.blocks) == 2:
            fast = scene.maps["fast"]
            contexts.append(Context("frames", _over_space(fast, real), None, (fast.shape[2],)))
        return contexts


class CrossAttention(nn.Module):
    """Multi-head attention of actors' tokens to the tokens of their clip, then a feed forward layer; post-norm."""

    def __init__(self, width: int, context: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(context, 2 * width)
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, ffn)
        self.contract = nn.Linear(ffn, width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, tokens: Tensor, context: Tensor, groups: Groups, real: Tensor | None, *, explain: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Tokens `[A, Q, d]` and context `[B, M, c]` → tokens `[A, Q, d]`; to `explain`, also attention `[A, Q, M]`.

        All actors of a clip ask the same keys: they are one long sequence of queries, and keys are made once a clip.
        """
        q = groups.actors.pad(self.query(tokens))[0]  # [G, N, Q, d]
        k, v = groups.of_clip(self.key_value(context)).chunk(2, dim=2)
        keys = None if real is None else groups.of_clip(real)
        gathered = attend(q.flatten(1, 2), k, v, heads=self.heads, keys=keys)
        gathered = groups.actors.unpad(gathered.view(q.shape))
        tokens = self.norm1(tokens + self.dropout(self.out(gathered)))
        tokens = self.norm2(tokens + self.dropout(self.contract(self.expand(tokens).relu())))
        if not explain:
            return tokens, None
        seen = attention_weights(q.flatten(1, 2), k, heads=self.heads, keys=keys)
        return tokens, groups.actors.unpad(seen.view(*q.shape[:3], k.shape[1]))


def _real_cells(scene: Scene) -> Tensor | None:
    """Which cells of the maps are real, `[B, h w]`; None where all are (on the host: nothing waits)."""
    height, width = scene.pooled.shape[2:]
    real = mask(scene.valid, height, width).flatten(1)
    return None if bool(real.all()) else real.to(scene.pooled.device, non_blocking=True)


def _over_space(pathway: Tensor, real: Tensor | None) -> Tensor:
    """The mean over the real cells of every frame, `[B, T, C]`."""
    if real is None:
        return pathway.mean(dim=(3, 4)).transpose(1, 2)
    clips, channels, frames = pathway.shape[:3]
    # a product, as zeroing the padding would copy the whole map
    total = pathway.flatten(3).flatten(1, 2) @ real.to(pathway.dtype)[:, :, None]
    return (total.view(clips, channels, frames) / real.sum(dim=1)[:, None, None]).transpose(1, 2)


def _groups(actors: Actors) -> Groups:
    """Crowded clips are cut, so that one crowd does not pad every clip to its size: at most about twice the actors."""
    counts = actors.counts
    size = -(-len(actors) // max(1, len(counts)))
    if max(counts, default=0) <= size:
        return Groups(actors, None)
    parts = [(clip, min(size, n - first)) for clip, n in enumerate(counts) for first in range(0, n, size)]
    clips, sizes = zip(*parts, strict=True)
    return Groups(replace(actors, counts=sizes), torch.tensor(clips).to(actors.clip.device, non_blocking=True))
