"""MRSN (Zheng et al., ICASSP 2023): relations to the context and to other actors, encoded apart, support each other.

Idea: ACRE relates each actor to the patches of the scene, AARE relates the actors of a clip to each other, RSE lets the
two relations attend to each other, RCM joins them, on request with what a bank remembers of 21 seconds.
Departs from the paper: Eq. 3 as printed reaches 9 of 64 places, its factor is the number of cells a side here; d = 512
as Sec. 3 says, not 1024 as Sec. 4.2 does, for only that comes near "half of ACAR"; RoI features are max-pooled.
"""

from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from relact.config import STRICT
from relact.head import HeadConfig, Interface, MemorySpec, RelationHead
from relact.nn.attention import attend, attention_weights
from relact.nn.layers import table
from relact.nn.pool import adaptive_average
from relact.nn.roi import ACAR, RoIConfig
from relact.types import Actors, Memory, Relations, Scene


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Config(HeadConfig):
    """Defaults: MRSN with the short-term consensus. Table 4 removes one encoder after the other."""

    width: int = Field(default=512, ge=1)
    """channels of a token, d (Sec. 3.1.1; Sec. 4.2 says 1024)"""
    ffn: int = Field(default=1024, ge=1)
    """hidden channels of a feed-forward layer"""
    heads: int = Field(default=8, ge=1)
    """of every attention (Sec. 4.2)"""
    acre: int = Field(default=1, ge=0)
    """layers of the actor-context encoder, M_ACRE (Eq. 2); 0 leaves it out"""
    aare: int = Field(default=1, ge=0)
    """layers of the actor-actor encoder, M_AARE (Eq. 4); 0 leaves it out"""
    rse: int = Field(default=1, ge=0)
    """layers of the support encoder, M_RSE (Eq. 5); 0 leaves it out"""
    stack: int = Field(default=1, ge=1)
    """how often ACRE, AARE and RSE follow each other (Sec. 3.1)"""
    rse_keys: Literal["own", "clip"] = "own"
    """what an actor's context tokens attend to in RSE: its own actor-actor relation, or that of everyone in the clip"""
    grid: int = Field(default=16, ge=1)
    """rows and columns that the map is pooled to, S"""
    patch: int = Field(default=2, ge=1)
    """rows and columns of a patch, p"""
    share_pos: bool = False
    """actors take their places from the table of the patches"""
    roi_pool: Literal["max", "flatten"] = "max"
    """RoI feature → actor token: its maximum as in ACAR-Net, or all of its cells, each with weights of its own"""
    consensus: Literal["short", "long"] = "short"
    """the clip's relations alone (Eq. 7), or with those of the bank (Eq. 8)"""
    window: int = Field(default=10, ge=0)
    """ticks of the bank on either side, ω"""
    distance: Literal["signed", "absolute"] = "signed"
    """whether the past and the future have distance embeddings of their own"""
    bank_width: int = Field(default=1024, ge=1)
    """inner channels of the attention over the bank (Sec. 4.2)"""
    hidden: int = Field(default=512, ge=1)
    """of the classifier's MLP, whose last layer stands outside"""

    @property
    def roi(self) -> RoIConfig:
        return ACAR

    def without_memory(self) -> "Config":
        return replace(self, consensus="short")

    def build(self, interface: Interface) -> "Mrsn":
        self._check()
        return Mrsn(
            interface.width, self.width, ffn=self.ffn, heads=self.heads, layers=(self.acre, self.aare, self.rse),
            stack=self.stack, clip_keys=self.rse_keys == "clip", grid=self.grid, patch=self.patch,
            share_pos=self.share_pos, roi_cells=interface.roi.size**2 if self.roi_pool == "flatten" else 1,
            window=self.window if self.consensus == "long" else None, signed=self.distance == "signed",
            bank_width=self.bank_width, hidden=self.hidden,
        )  # fmt: skip

    def _check(self) -> None:
        if not (self.acre or self.aare):
            raise ValueError("acre, aare: mrsn needs one of them, got 0 layers of both; for no relations use `linear`")
        for name, wanted in (("rse", self.rse), ("share_pos", self.share_pos)):
            if wanted and not (self.acre and self.aare):
                got, off = f"got acre={self.acre}, aare={self.aare}", type(wanted)(0)
                raise ValueError(f"{name}: goes between two encoders, {got}; add the missing one, or set {name}={off}")
        if self.grid % self.patch:
            raise ValueError(f"patch: must divide grid {self.grid}, got {self.patch}; choose one of its factors")
        for name, width in {"width": self.width, "bank_width": self.bank_width}.items():
            if width % self.heads and (name == "width" or self.consensus == "long"):
                raise ValueError(f"heads: must divide {name} {width}, got {self.heads}; choose one of its factors")


VARIANTS = {
    "mrsn_s": Config(),
    "mrsn_l": Config(consensus="long"),
    "no_rse": Config(rse=0),
    "acre": Config(aare=0, rse=0),
    "aare": Config(acre=0, rse=0),
    "mrsn_l_absolute": Config(consensus="long", distance="absolute"),
    "clip_keys": Config(rse_keys="clip"),
    "share_pos": Config(share_pos=True),
    "stacked": Config(stack=2),
    "deep": Config(acre=2, aare=2, rse=2),
    "ffn2048": Config(ffn=2048),
    "wide": Config(width=1024),
    "roi_flat": Config(roi_pool="flatten"),
}
"""the paper's (Tables 1 to 4), then its other readings"""
PUBLISHED = {
    "mrsn_s": '28.3 (SlowOnly 23.21); "half of ACAR" in parameters and work', "mrsn_l": "29.2 (SlowOnly 24.22)",
    "no_rse": "SlowOnly 22.89", "acre": "SlowOnly 22.35", "aare": "SlowOnly 21.69",
}  # fmt: skip
"""frame-mAP on AVA v2.2 with SlowFast R50, K400 (Table 2) and SlowOnly R50 (Table 4); parameters (Sec. 4.3)"""


class Shared(NamedTuple):
    """ACRE's sequences before the first layer, where actors of a clip differ in one token only: [A, d], [B, L, d]."""

    actor: Tensor
    context: Tensor

    def sequences(self, actors: Actors) -> Tensor:
        """Each actor's own sequence, itself first: `[A, 1 + L, d]`."""
        return torch.cat([self.actor[:, None], self.context.index_select(0, actors.clip)], dim=1)


Sequences = Tensor | Shared | None
"""X, `[A, 1 + L, d]` after the first layer; None where ACRE is left out"""


class Mrsn(RelationHead):
    """Tokens, stacked MRSEs, and the consensus that goes to the classifier."""

    def __init__(
        self,
        in_dim: int,
        width: int,
        *,
        ffn: int,
        heads: int,
        layers: tuple[int, int, int],
        stack: int,
        clip_keys: bool,
        grid: int,
        patch: int,
        share_pos: bool,
        roi_cells: int,
        window: int | None,
        signed: bool,
        bank_width: int,
        hidden: int,
    ) -> None:
        super().__init__()
        acre, aare, _ = layers
        self.grid, self.side, self.flat, self.share_pos = grid, grid // patch, roi_cells > 1, share_pos
        self.embed_actor = nn.Linear(in_dim * roi_cells, width)
        if acre:
            self.embed_patch = nn.Conv2d(in_dim, width, patch, stride=patch)
            self.actor_mark, self.patch_places = table(width), table(self.side**2, width)
        if aare and not share_pos:
            self.actor_places = table(self.side**2, width)
        self.has_context, self.has_others = acre > 0, aare > 0
        self.mrse = nn.ModuleList(Mrse(width, ffn, heads, layers, clip_keys) for _ in range(stack))
        joined = width * (2 * (acre > 0) + (aare > 0))
        self.long = None
        if window is not None:
            self.long = LongConsensus(joined, bank_width, heads, window, signed)
            self.memory = MemorySpec(radius=window, dim=joined)
        self.mlp, self.out_dim = nn.Linear(joined, hidden), hidden

    def forward(self, scene: Scene) -> Relations:
        token = self.token(scene)
        x: Sequences = self.context(token, scene) if self.has_context else None
        y = self.others(token, scene) if self.has_others else None
        maps = self.pictures(x, y, scene.actors) if self.explain else {}
        for mrse in self.mrse:
            x, y = mrse(x, y, scene.actors)
        joined = agreed = self.joined(x, y)
        if self.long is not None and (memory := self.past(scene)) is not None:
            agreed = self.long(joined, memory, scene.actors)
        return Relations(features=self.mlp(agreed).relu(), store=joined.detach(), maps=maps)  # Eq. 7

    def token(self, scene: Scene) -> Tensor:
        """R_A of every actor, `[A, d]`."""
        return self.embed_actor(scene.rois.flatten(1) if self.flat else scene.rois.amax(dim=(2, 3)))  # Eq. 1

    def others(self, token: Tensor, scene: Scene) -> Tensor:
        """Tokens of the actors, each with the place where it stands."""
        table = self.patch_places if self.share_pos else self.actor_places
        return token + table.index_select(0, places(scene, self.side))  # Eq. 4

    def context(self, token: Tensor, scene: Scene) -> Shared:
        """Tokens of the actors and of each clip's patches, row by row."""
        pooled = adaptive_average(scene.pooled, scene.valid, (self.grid, self.grid))
        patches = self.embed_patch(pooled).flatten(2).transpose(1, 2)
        return Shared(token + self.actor_mark, patches + self.patch_places)  # Eq. 1

    @staticmethod
    def joined(x: Sequences, y: Tensor | None) -> Tensor:
        """The short-term consensus before its MLP, G: `[A, 3d]`; less where an encoder is left out."""
        assert not isinstance(x, Shared), "no layer of ACRE made sequences of it"
        parts = [] if x is None else [x[:, 0], x[:, 1:].mean(dim=1)]
        return torch.cat(parts if y is None else [*parts, y], dim=1)  # Eq. 7

    def pictures(self, x: Sequences, y: Tensor | None, actors: Actors) -> dict[str, Tensor]:
        """First layers' attention: of each actor on the patches `[A, g, g]`, and on the others `[B, N, N]`."""
        first, maps = self.mrse[0], {}
        assert isinstance(first, Mrse)
        if isinstance(x, Shared):
            weights = _weights(first.acre[0], x.sequences(actors))
            maps["context"] = weights[:, 0, 1:].view(-1, self.side, self.side)
        if y is not None:
            maps["actors"] = _weights(first.aare[0], *actors.pad(y))
        return maps


class Mrse(nn.Module):
    """Multi-relation support encoder: both relations on their own, then their supports (Sec. 3.1)."""

    def __init__(self, width: int, ffn: int, heads: int, layers: tuple[int, int, int], clip_keys: bool) -> None:
        super().__init__()
        acre, aare, rse = layers
        self.acre = nn.ModuleList(Acre(width, ffn, heads) for _ in range(acre))
        self.aare = nn.ModuleList(Aare(width, ffn, heads) for _ in range(aare))
        self.rse = nn.ModuleList(Rse(width, ffn, heads, clip_keys) for _ in range(rse))

    def forward(self, x: Sequences, y: Tensor | None, actors: Actors) -> tuple[Sequences, Tensor | None]:
        for block in self.acre:
            x = block(x, actors)
        for block in self.aare:
            y = block(y, actors)
        for block in self.rse:
            x, y = block(x, y, actors)
        return x, y


class Encoder(nn.Module):
    """A transformer layer whose norms stand on the branches: x + LN(MSA(x)), then x + LN(FFN(x))."""

    def __init__(self, width: int, ffn: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.ffn = FeedForward(width, ffn)

    def finish(self, x: Tensor, gathered: Tensor) -> Tensor:
        return self.ffn(x + self.norm(self.out(gathered)))  # Eq. 2, Eq. 4


class Acre(Encoder):
    """Self-attention within each actor's own sequence: itself, then the patches."""

    def forward(self, x: Tensor | Shared, actors: Actors) -> Tensor:
        if isinstance(x, Shared):
            return self.finish(x.sequences(actors), self.first(x, actors))
        return self.finish(x, attend(*self.qkv(x).chunk(3, dim=-1), heads=self.heads))

    def first(self, tokens: Shared, actors: Actors) -> Tensor:
        """Weighted sums of values `[A, 1 + L, d]` while the sequences of a clip differ in one token only.

        A softmax over the patches and one actor is that over the patches, C with the sum of exponentials Z, moved
        towards the actor's value: C + w (v - C), w = sigmoid(score - log Z). C and Z are shared by all actors.
        """
        padded, _ = actors.pad(tokens.actor)
        most = padded.shape[1]  # rows of q, k, v: the clip's actors, then its patches
        qkv = self.qkv(torch.cat([padded, tokens.context], dim=1)).unflatten(2, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [B, heads, N + L, e]
        q = q / q.shape[-1] ** 0.5
        score = q @ k[:, :, most:].transpose(-1, -2)
        of_patches = (score.softmax(dim=-1) @ v[:, :, most:]).transpose(1, 2)  # C, [B, N + L, heads, e]
        log_sum = score.logsumexp(dim=-1)  # log Z, [B, heads, N + L]
        own = (q[:, :, :most] * k[:, :, :most]).sum(dim=-1) - log_sum[:, :, :most]
        patches = q[:, :, most:] @ k[:, :, :most].transpose(-1, -2) - log_sum[:, :, most:, None]
        weight = torch.cat([own[:, :, None], patches], dim=2).sigmoid()  # of the actor, [B, heads, 1 + L, N]
        weight = actors.unpad(weight.permute(0, 3, 2, 1))[..., None]
        shared = Shared(actors.unpad(of_patches[:, :most]), of_patches[:, most:]).sequences(actors)
        value = actors.unpad(v[:, :, :most].transpose(1, 2))[:, None]
        return (shared + weight * (value - shared)).flatten(2)  # Eq. 2


class Aare(Encoder):
    """Self-attention among the actors of a clip."""

    def forward(self, y: Tensor, actors: Actors) -> Tensor:
        padded, present = actors.pad(self.qkv(y))
        gathered = attend(*padded.chunk(3, dim=-1), heads=self.heads, keys=present)
        return self.finish(y, actors.unpad(gathered))  # Eq. 4


class Rse(nn.Module):
    """Relation support encoder: X attends to Y and Y to X, both as they were before the layer."""

    def __init__(self, width: int, ffn: int, heads: int, clip_keys: bool) -> None:
        super().__init__()
        self.clip_keys = clip_keys
        self.attention_x = CrossAttention(width, width, heads)
        self.attention_y = CrossAttention(width, width, heads)
        self.norm_x, self.norm_y = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ffn_x, self.ffn_y = FeedForward(width, ffn), FeedForward(width, ffn)

    def forward(self, x: Tensor, y: Tensor, actors: Actors) -> tuple[Tensor, Tensor]:
        """X `[A, 1 + L, d]`, Y `[A, d]` → the same."""
        of_x, of_y = self.attention_x, self.attention_y
        support_x = of_x.of_clip(x, y, actors) if self.clip_keys else of_x.of_one(y)[:, None]
        support_y = of_y.collect(attend(of_y.ask(y), x, x))
        x = self.ffn_x(x + self.norm_x(support_x))  # Eq. 5
        return x, self.ffn_y(y + self.norm_y(support_y))  # Eq. 5


class CrossAttention(nn.Module):
    """Multi-head attention of some rows to others (Eq. 6), in the order that costs least."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, inner) for _ in range(3))
        self.out = nn.Linear(inner, width)

    def ask(self, rows: Tensor) -> Tensor:
        """Queries in the space of the rows that they are put to, one a head: `[..., d]` → `[..., heads, d]`.

        <W_Q x, W_K y> = <W_K^T W_Q x, y>: for a few queries and many rows this saves projecting the rows. The key's
        bias adds the same to each score of a query, so it drops out. Scaled for an attention over d channels.
        """
        to_key = self._by_head(self.key.weight)
        q = self.query(rows).unflatten(-1, (self.heads, -1))
        return torch.einsum("...he,hed->...hd", q, to_key) * (to_key.shape[2] / to_key.shape[1]) ** 0.5

    def collect(self, gathered: Tensor) -> Tensor:
        """Rows averaged by the weights of each head `[..., heads, d]` → their values, through the output layer."""
        value = torch.einsum("...hd,hed->...he", gathered, self._by_head(self.value.weight))
        return self.out(value.flatten(-2) + self.value.bias)  # Eq. 6

    def of_one(self, rows: Tensor) -> Tensor:
        """The attention of any query to one row alone: the softmax over one key is 1."""
        return self.out(self.value(rows))

    def of_clip(self, x: Tensor, y: Tensor, actors: Actors) -> Tensor:
        """X `[A, L, d]` attends to the rows of Y `[A, d]` that share its clip."""
        padded, present = actors.pad(torch.cat([self.key(y), self.value(y)], dim=1))
        rows, real = padded.index_select(0, actors.clip), present.index_select(0, actors.clip)
        return self.out(attend(self.query(x), *rows.chunk(2, dim=-1), heads=self.heads, keys=real))  # Eq. 6

    def _by_head(self, weight: Tensor) -> Tensor:
        return weight.view(self.heads, -1, weight.shape[1])


class FeedForward(nn.Module):
    """X + LN(FFN(x))."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.layers(x))


class LongConsensus(nn.Module):
    """RCM_L: the clip's relations attend to the bank's, which know how far away they are."""

    def __init__(self, width: int, inner: int, heads: int, window: int, signed: bool) -> None:
        super().__init__()
        self.window, self.signed = window, signed
        self.distances = table(2 * window + 1 if signed else window + 1, width)
        self.attention = CrossAttention(width, inner, heads)
        self.norm = nn.LayerNorm(width)

    def forward(self, joined: Tensor, memory: Memory, actors: Actors) -> Tensor:
        """G `[A, 3d]` → G + what the bank adds; G itself where a clip has no memory."""
        dt = memory.dt.clamp(-self.window, self.window)  # empty slots hold anything
        rows = dt + self.window if self.signed else dt.abs()
        bank = memory.features.to(joined.dtype) + self.distances[rows]
        asked, _ = actors.pad(self.attention.ask(joined))  # [B, N, heads, 3d]
        gathered = attend(asked.flatten(1, 2), bank, bank, keys=memory.mask).view_as(asked)
        update = self.norm(self.attention.collect(actors.unpad(gathered)))
        some = memory.mask.any(dim=1).index_select(0, actors.clip)
        return joined + update * some[:, None]  # Eq. 8


def _weights(encoder: nn.Module, x: Tensor, real: Tensor | None = None) -> Tensor:
    assert isinstance(encoder, Encoder)
    q, k, _ = encoder.qkv(x).chunk(3, dim=-1)
    return attention_weights(q, k, heads=encoder.heads, keys=real)


def places(scene: Scene, side: int) -> Tensor:
    """The cell of a grid of `side` x `side` that holds each box's centre, row by row: `[A]`."""
    boxes = scene.actors.boxes
    size = scene.frame.flip(1).to(boxes, non_blocking=True).index_select(0, scene.actors.clip)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 / size
    i, j = (centre * side).floor().long().clamp(0, side - 1).unbind(dim=1)  # Eq. 3
    return j * side + i
