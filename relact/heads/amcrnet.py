"""AMCRNet (Yu et al., IJCAI 2023): actors and multi-scale context in one self-attention, then actors over 15 seconds.

Idea: the map is pooled to grids of three sizes; their cells and the actors, each with its position, form one sequence
of a transformer encoder (BHOI). Its rows of actors meet those of the seconds around in a second encoder.
Departs from the paper as its released code does: pre-norm blocks with values and an MLP (Eq. 5 and 6 print neither),
missing seconds are left out. Departs from the released code: positions in evaluation come from one fixed canvas of
noise, padding is masked everywhere, rows are packed, the last block computes the actors' rows alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from relact.config import STRICT
from relact.head import HeadConfig, Interface, MemorySpec, RelationHead
from relact.nn.attention import attend, attention_weights
from relact.nn.posnet import Context, Fusion, LearnedPosition, PosNet, SinePosition
from relact.nn.roi import MMACTION2, RoIConfig, read_map
from relact.types import Actors, Relations, Scene

Position = Literal["posnet", "none", "learned", "sine"]
History = Literal["none", "hrfb", "hrafb"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Config(HeadConfig):
    """Defaults: the full model of Table 1. Its slim one: `depth=4, mlp_ratio=1, history_depth=2`."""

    dropout: float = 0.45
    width: int = Field(default=1024, ge=2, multiple_of=2)
    """channels of the fused map, of actors and tokens, C (Sec. 3.1)"""
    position: Position = "posnet"
    """PosNet (Eq. 2), nothing, a learned table that is stretched over the map, or 2-D sines (Table 2d)"""
    noise: Literal["resample", "fixed"] = "resample"
    """PosNet's input in training: drawn anew at every forward (released code), or the canvas of evaluation"""
    resample_in_test: bool = False
    """draw noise in evaluation too, as the released code does: scores then differ from run to run"""
    table: int = Field(default=16, ge=1)
    """cells per side of the learned table"""
    kernels: tuple[Annotated[int, Field(ge=1)], ...] = (3, 5, 7)
    """context: for each kernel k, a grid of round(h / k) x round(w / k) cells (Sec. 3.2, Table 2c)"""
    min_size: Literal[0, 1] = 0
    """least cells per side of such a grid: on maps smaller than k / 2 a kernel gives no context with 0"""
    grid: bool = False
    """the map's own cells are context too"""
    depth: int = Field(default=6, ge=1)
    """blocks of BHOI (Table 2b)"""
    history_depth: int = Field(default=3, ge=1)
    """blocks of each history encoder (from Table 1's parameters)"""
    mlp_ratio: int = Field(default=4, ge=1)
    heads: int = Field(default=8, ge=1)
    drop_path: float = Field(default=0.1, ge=0, lt=1)
    history: History = "hrfb"
    """what the bank keeps: nothing, BHOI's rows (HRFB), or these and the movement features (HR-AFB) (Sec. 3.3)"""
    movement: bool = False
    """store the movement features too, for another network's HR-AFB; with history="hrafb" they are stored anyway"""
    radius: int = Field(default=7, ge=0)
    """seconds on either side, W (Sec. 4.4)"""
    missing: Literal["skip", "zero"] = "skip"
    """a second without rows: left out (released code), or one zero vector, at its place in time (Sec. 3.3)"""
    weight: Literal["loss_ratio", "none"] = "loss_ratio"
    """in training, the bank's rows times min(a, 1 / a), a = their loss / `Amcrnet.current_loss` (released code)"""

    @property
    def roi(self) -> RoIConfig:
        return MMACTION2

    def without_memory(self) -> "Config":
        return replace(self, history="none", movement=self.history == "hrafb")

    def build(self, interface: Interface) -> "Amcrnet":
        if self.width % self.heads or (self.position == "sine" and self.width % 4):
            raise ValueError(
                f"width: amcrnet splits it over heads={self.heads}, and sine positions over 4; got {self.width}"
            )
        return Amcrnet(
            interface.channels, interface.frames, self.width,
            position=_position(self), kernels=self.kernels, min_size=self.min_size, grid=self.grid,
            depth=self.depth, history_depth=self.history_depth, mlp_ratio=self.mlp_ratio, heads=self.heads,
            drop_path=self.drop_path, history=self.history, radius=self.radius, missing=self.missing,
            weight=self.weight, movement=self.movement, roi=interface.roi,
        )  # fmt: skip


VARIANTS = {
    "full": Config(),
    "slim": Config(depth=4, mlp_ratio=1, history_depth=2),
    "hrafb": Config(history="hrafb"),
    "slim_hrafb": Config(depth=4, mlp_ratio=1, history_depth=2, history="hrafb"),
    "zero_vectors": Config(missing="zero", weight="none"),
    "no_bank": Config(history="none"),
    "slim_no_bank": Config(depth=4, mlp_ratio=1, history="none"),
    "depth1": Config(depth=1, history="none"),
    "depth2": Config(depth=2, history="none"),
    "depth4": Config(depth=4, history="none"),
    "depth8": Config(depth=8, history="none"),
    "kernel3": Config(kernels=(3,), history="none"),
    "kernel5": Config(kernels=(5,), history="none"),
    "kernel7": Config(kernels=(7,), history="none"),
    "no_pooling": Config(kernels=(), grid=True, history="none"),
    "no_context": Config(kernels=(), history="none"),
    "no_position": Config(position="none", history="none"),
    "learned_position": Config(position="learned", history="none"),
    "sine_position": Config(position="sine", history="none"),
    "fixed_noise": Config(noise="fixed", history="none"),
}
"""Table 1's models, the two banks, the paper's zero vectors; Table 2a to 2d, which go without a bank"""

PUBLISHED = {
    "full": "30.23, 148 M (4x16: 29.17, 149 M)",
    "slim": "29.85, 73.2 M (4x16: 28.77, 73.4 M; R101 K700: 34.2, 101.7 M); SlowOnly 25.64",
    "hrafb": "SlowOnly 25.85",
    "no_bank": "SlowOnly 23.88",
    "depth1": "SlowOnly 21.13",
    "depth2": "SlowOnly 22.45",
    "depth4": "SlowOnly 22.92",
    "depth8": "SlowOnly 23.02",
    "kernel3": "SlowOnly 23.62",
    "kernel5": "SlowOnly 23.65",
    "kernel7": "SlowOnly 23.46",
    "no_pooling": "SlowOnly 23.16",
    "no_position": "SlowOnly 23.61",
    "learned_position": "SlowOnly 23.32",
    "sine_position": "SlowOnly 23.75",
}
"""frame-mAP on AVA v2.2, parameters with the backbone (81 classes); SlowFast R50 8x8, K400 (Table 1), and Table 2"""


def _position(config: Config) -> PosNet | LearnedPosition | SinePosition | None:
    if config.position == "posnet":
        return PosNet(config.width, resample=config.noise == "resample", resample_in_test=config.resample_in_test)
    if config.position == "learned":
        return LearnedPosition(config.width, config.table)
    return SinePosition(config.width) if config.position == "sine" else None


class Amcrnet(RelationHead):
    """Fusion, positions, context, BHOI, and one history encoder for each part of the bank's rows.

    `current_loss` is the loss of the step before, for `weight="loss_ratio"`: whoever trains fills it
    (`head.current_loss.fill_(loss)`); with 0, its first value, nothing is weighted.
    """

    reads_maps = True
    current_loss: Tensor

    def __init__(
        self,
        channels: Mapping[str, int],
        frames: Mapping[str, int],
        width: int,
        *,
        position: PosNet | LearnedPosition | SinePosition | None,
        kernels: tuple[int, ...],
        min_size: int,
        grid: bool,
        depth: int,
        history_depth: int,
        mlp_ratio: int,
        heads: int,
        drop_path: float,
        history: History,
        radius: int,
        missing: Literal["skip", "zero"],
        weight: Literal["loss_ratio", "none"],
        movement: bool,
        roi: RoIConfig,
    ) -> None:
        super().__init__()
        self.fusion = Fusion(channels, frames, width)
        self.position = position
        self.context = Context(kernels, min_size, grid)
        self.bhoi = Encoder(width, depth, heads, mlp_ratio, drop_path)
        parts = {"none": 0, "hrfb": 1, "hrafb": 2}[history]
        self.history = nn.ModuleList(Encoder(width, history_depth, heads, mlp_ratio, drop_path) for _ in range(parts))
        self.temporal_embed = nn.Parameter(torch.zeros(2 * radius + 1, width)) if parts else None
        self.register_buffer("current_loss", torch.zeros(()), persistent=False)
        self.radius = radius
        self.missing = missing
        self.weight = weight
        self.movement = movement or parts == 2
        self.roi = roi
        self.reads_rois = False
        self.out_dim = width * max(parts, 1)
        if parts:
            self.memory = MemorySpec(radius=radius, dim=width * parts, include_current=False)

    def forward(self, scene: Scene, *, noise: Tensor | None = None) -> Relations:
        """`noise` `[1, 1, h, w]` takes the place of PosNet's own, to compare with another implementation."""
        fused = self.fusion(scene.maps, scene.valid)
        located = self.locate(fused, scene, noise)
        tokens, real = self.context(located, scene.valid)  # Eq. 4
        packing = Packing.of(scene.actors, real)
        # RoIAlign is linear: an actor's feature and position are read off the sum of the two maps
        rows = packing.pack(self.read(located, scene), tokens)  # Eq. 3
        higher, attention = self.bhoi(rows, packing, explain=self.explain)  # Eq. 5
        current = [higher, self.read(fused, scene)] if self.movement else [higher]
        return Relations(
            features=self.recall(current[: len(self.history)], scene) if self.history else higher,
            store=torch.cat(current, dim=1).detach(),
            maps={} if attention is None else {"context": attention},
        )

    def locate(self, fused: Tensor, scene: Scene, noise: Tensor | None) -> Tensor:
        """The fused map plus the map of positions `[B, C, h, w]`."""
        size = (scene.valid, fused.shape[2], fused.shape[3])
        if isinstance(self.position, PosNet):
            return fused + self.position(*size, noise)  # Eq. 2
        if noise is not None:
            raise ValueError("noise: only position='posnet' takes it; leave it out, or build the head with PosNet")
        return fused if self.position is None else fused + self.position(*size)

    def read(self, x: Tensor, scene: Scene) -> Tensor:
        """Each actor's average over the bins of its box `[A, C]`."""
        return read_map(x, scene, self.roi).mean(dim=(2, 3))

    def recall(self, current: list[Tensor], scene: Scene) -> Tensor:
        """Each part of the actors' rows related to that part of the bank's, side by side `[A, C]` or `[A, 2 C]`."""
        assert self.temporal_embed is not None
        features, second, live = self.bank(scene, sum(part.shape[1] for part in current))
        features, moment = features.to(current[0].dtype), F.embedding(second, self.temporal_embed)
        packing = Packing.of(scene.actors, torch.ones(live.shape, dtype=torch.bool), keys=live)
        recalled = []
        for encoder, now, then in zip(self.history, current, features.chunk(len(current), dim=2), strict=True):
            rows = packing.pack(now + self.temporal_embed[self.radius], then + moment)
            recalled.append(encoder(rows, packing)[0])  # Eq. 6
        return torch.cat(recalled, dim=1)

    def bank(self, scene: Scene, dim: int) -> tuple[Tensor, Tensor, Tensor]:
        """The bank's rows `[B, M, E]`, weighted; their seconds as rows of the embedding; which are there `[B, M]`."""
        memory, num_clips, device = self.past(scene), len(scene.valid), scene.actors.boxes.device
        if memory is None:
            features = torch.zeros(num_clips, 0, dim, device=device)
            second, live = features.new_zeros(num_clips, 0, dtype=torch.long), features.new_zeros(num_clips, 0).bool()
        else:
            features, second, live = memory.features, memory.dt + self.radius, memory.mask
            if self.training and self.weight == "loss_ratio":
                features = features * _loss_ratio(memory.tag, self.current_loss)[:, :, None].to(features.dtype)
        if self.missing == "skip":
            return features, second, live
        others = torch.arange(2 * self.radius, device=device)
        others = others + (others >= self.radius)  # every second but the current one
        absent = ~((second[:, :, None] == others) & live[:, :, None]).any(dim=1)
        zeros = features.new_zeros(num_clips, len(others), dim)
        return (
            torch.cat([features, zeros], dim=1),
            torch.cat([second, others.expand(num_clips, -1)], dim=1),
            torch.cat([live, absent], dim=1),
        )


@plain_dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """Where the rows of a batch of sequences are, packed and padded."""

    actors: Actors
    length: int
    """L, of the padded sequences"""
    slots: Int[Tensor, " R"]
    """each packed row's place in the flattened padded batch"""
    clip: Int[Tensor, " R"]
    people: Int[Tensor, " A"]
    """which packed rows are actors"""
    keys: Bool[Tensor, "B L"] | None
    """which padded rows may be attended to; None for all"""

    @classmethod
    def of(cls, actors: Actors, others: Bool[Tensor, "B M"], *, keys: Bool[Tensor, "B M"] | None = None) -> "Packing":
        """`others` says on the host which rows exist behind the actors; `keys`, on the device, which of them count."""
        counts, device = torch.tensor(actors.counts), actors.boxes.device
        most = max(actors.counts, default=0)
        taken = torch.cat([torch.arange(most) < counts[:, None], others], dim=1)
        length = taken.shape[1]
        slots = taken.flatten().nonzero()[:, 0]
        people = (slots % max(length, 1) < most).nonzero()[:, 0]
        seen = None if taken.all() and keys is None else taken.to(device, non_blocking=True)
        if seen is not None and keys is not None:
            seen = torch.cat([seen[:, :most], keys], dim=1)
        clip = slots // max(length, 1)
        slots, clip, people = (index.to(device, non_blocking=True) for index in (slots, clip, people))
        return cls(actors=actors, length=length, slots=slots, clip=clip, people=people, keys=seen)

    def pack(self, people: Float[Tensor, "A C"], others: Float[Tensor, "B M C"]) -> Float[Tensor, "R C"]:
        """The actors' rows and those behind them, clip by clip."""
        padded = torch.cat([self.actors.pad(people)[0], others], dim=1).flatten(0, 1)
        return padded if len(padded) == len(self.slots) else padded.index_select(0, self.slots)

    def pad(self, rows: Float[Tensor, "R C"]) -> Float[Tensor, "B L C"]:
        """Packed rows as sequences, zero where there is no row."""
        size = len(self.actors.counts) * self.length
        if len(self.slots) != size:
            rows = rows.new_zeros(size, rows.shape[1]).index_copy(0, self.slots, rows)
        return rows.view(len(self.actors.counts), self.length, rows.shape[1])

    def unpad(self, padded: Float[Tensor, "B L C"]) -> Float[Tensor, "R C"]:
        """The inverse of `pad`."""
        rows = padded.flatten(0, 1)
        return rows if len(rows) == len(self.slots) else rows.index_select(0, self.slots)


class Encoder(nn.Module):
    """Blocks without a norm behind the last, of which only the actors' rows are computed."""

    def __init__(self, width: int, depth: int, heads: int, mlp_ratio: int, drop_path: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio, drop_path) for _ in range(depth))

    def forward(
        self, rows: Float[Tensor, "R C"], packing: Packing, *, explain: bool = False
    ) -> tuple[Float[Tensor, "A C"], Float[Tensor, "B N L"] | None]:
        """The actors' rows, and with `explain` what they attended to in the last block."""
        weights = None
        for k, block in enumerate(self.blocks, start=1):
            last = k == len(self.blocks)
            rows, weights = block(rows, packing, last=last, explain=explain and last)
        return rows, weights


class Block(nn.Module):
    """Multi-head self-attention and an MLP, each on normed rows and added to them.

    In the `last` block the others' rows are but keys and values: nothing else of theirs is read any more.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: int, drop_path: float) -> None:
        super().__init__()
        self.attn_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, mlp_ratio * width)
        self.fc2 = nn.Linear(mlp_ratio * width, width)
        self.heads = heads
        self.drop_path = drop_path
        for linear in (self.qkv, self.proj, self.fc1, self.fc2):
            nn.init.trunc_normal_(linear.weight, std=0.02)
        for linear in (self.proj, self.fc1, self.fc2):
            nn.init.zeros_(linear.bias)

    def forward(
        self, rows: Float[Tensor, "R C"], packing: Packing, *, last: bool, explain: bool
    ) -> tuple[Float[Tensor, "_ C"], Float[Tensor, "B N L"] | None]:
        actors, clip, normed = packing.actors, packing.clip, self.attn_norm(rows)
        if last:
            of_query, of_others = self.qkv.weight.tensor_split([rows.shape[1]])
            q = actors.pad(F.linear(normed.index_select(0, packing.people), of_query))[0]
            k, v = packing.pad(F.linear(normed, of_others)).chunk(2, dim=2)  # Eq. 5
            rows, clip = rows.index_select(0, packing.people), actors.clip
        else:
            q, k, v = packing.pad(self.qkv(normed)).chunk(3, dim=2)  # Eq. 5
        gathered = attend(q, k, v, heads=self.heads, keys=packing.keys)  # Eq. 5
        gathered = actors.unpad(gathered) if last else packing.unpad(gathered)
        weights = attention_weights(q, k, heads=self.heads, keys=packing.keys) if explain else None
        rows = rows + self._drop(self.proj(gathered), clip, len(actors.counts))
        update = self.fc2(F.gelu(self.fc1(self.mlp_norm(rows))))
        return rows + self._drop(update, clip, len(actors.counts)), weights

    def _drop(self, update: Tensor, clip: Int[Tensor, " R"], num_clips: int) -> Tensor:
        """Stochastic depth: in training a sequence goes without this update with probability `drop_path`."""
        if not self.training or self.drop_path == 0:
            return update
        kept = torch.rand(num_clips, device=update.device) >= self.drop_path
        return update * (kept / (1 - self.drop_path)).index_select(0, clip)[:, None].to(update.dtype)


def _loss_ratio(written: Tensor, now: Tensor) -> Tensor:
    """min(written / now, now / written), and 1 where `now` is not known yet (0)."""
    least, most = torch.minimum(written, now), torch.maximum(written, now)
    return torch.where(now > 0, least / most.clamp(min=torch.finfo(most.dtype).tiny), 1.0)
