"""LFB (Wu et al., CVPR 2019), arXiv 1812.05038: people related to the long-term feature bank of their video; and STO.

Idea: non-local layers gather for each actor from the people of a minute around its clip, whose pooled features an
earlier pass has stored; what they gather stands beside the actor's own feature. STO ("short-term operator") is the
same operator whose bank is the clip's own actors.
Departs from the released code: empty slots of the bank are not attended to (`mask_padding=False`: they are), and an
actor whose bank is empty keeps its query as it is.
"""

from typing import Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from relact.config import STRICT
from relact.head import HeadConfig, Interface, MemorySpec, RelationHead
from relact.nn.attention import counted_weights
from relact.nn.layers import linear
from relact.nn.roi import RoIConfig
from relact.types import Actors, Memory, Relations, Scene


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Config(HeadConfig):
    """Defaults: LFB-NL with two layers over a minute. STO: `bank="current"`."""

    dropout: float = 0.3
    bank: Literal["memory", "current"] = "memory"
    """what is gathered from: stored people of the video, or the clip's own actors with their gradients (STO)"""
    layers: int = Field(default=2, ge=1)
    width: int = Field(default=512, ge=1)
    """channels of the non-local layers"""
    layer_dropout: float = Field(default=0.2, ge=0, lt=1)
    """after the reductions, and at the end of a layer"""
    affine: bool = False
    """layer norm with a scale and a shift of its own (MMAction2)"""
    zero_init: bool = True
    """layers begin as the identity: their last product is 0"""
    radius: int = Field(default=30, ge=0)
    """ticks of memory before the clip"""
    future: int = Field(default=29, ge=0)
    """ticks of memory after it"""
    max_per_tick: int = Field(default=5, ge=1)
    mask_padding: bool = True
    """False = empty slots of the memory are keys like any other, as released"""

    @property
    def roi(self) -> RoIConfig:
        return RoIConfig(aligned=False)

    def build(self, interface: Interface) -> "Lfb":
        if self.bank == "current" and not self.mask_padding:
            raise ValueError("mask_padding=False: bank='current' has no empty slots; leave mask_padding True")
        spec = MemorySpec(radius=self.radius, future=self.future, dim=interface.width, max_per_tick=self.max_per_tick)
        slots = (self.radius + 1 + self.future) * self.max_per_tick
        return Lfb(
            interface.width, self.width, self.layers, dropout=self.layer_dropout, affine=self.affine,
            zero_init=self.zero_init, memory=spec if self.bank == "memory" else None,
            slots=0 if self.mask_padding else slots,
        )  # fmt: skip


VARIANTS = {
    "lfb": Config(),
    "lfb3": Config(layers=3),
    "sto": Config(bank="current"),
    "mmaction": Config(affine=True),
    "padded": Config(mask_padding=False),
}
"""LFB-NL with two and three layers; without memory; MMAction2's; and with empty slots attended to (released)"""
PUBLISHED = {"lfb": "27.75 (ACAR-Net's); SlowOnly 24.21 (AMCRNet's)", "sto": "26.10"}
"""frame-mAP on AVA v2.2 as ACAR-Net (SlowFast R50 8x8, K400) and AMCRNet (a bank of LFB's) quote it"""


class Lfb(RelationHead):
    """Non-local layers between the clip's actors and a bank; without `memory`, the bank is the actors themselves."""

    def __init__(
        self,
        in_dim: int,
        width: int,
        layers: int,
        *,
        dropout: float,
        affine: bool,
        zero_init: bool,
        memory: MemorySpec | None,
        slots: int,
    ) -> None:
        """`slots`: how many rows of the memory are attended to, the empty ones as zeros; 0 = only those that are."""
        super().__init__()
        self.reduce_query = linear(in_dim, width)
        self.reduce_bank = linear(in_dim, width)
        self.layers = nn.ModuleList([NonLocal(width, dropout, affine, zero_init) for _ in range(layers)])
        self.dropout = nn.Dropout(dropout)
        self.memory = memory
        self.slots = slots
        self.out_dim = in_dim + width

    def forward(self, scene: Scene) -> Relations:
        people = scene.rois.amax(dim=(2, 3))
        query = self.dropout(self.reduce_query(people))
        bank, times = self._bank(people, scene)
        maps: dict[str, Tensor] = {}
        for number, layer in enumerate(self.layers):
            query, maps[f"bank_{number}"] = layer(query, bank, times, scene.actors)
        features = torch.cat([people, query], dim=1)
        return Relations(features=features, store=None if self.memory is None else people.detach(), maps=maps)

    def _bank(self, people: Tensor, scene: Scene) -> tuple[Tensor, Tensor]:
        """Rows `[B, M, d]`, and how often each counts `[B, M]`: 0 where empty, n where one stands for n empty slots."""
        if self.memory is None:
            rows, real = scene.actors.pad(self._reduced(people))
            return rows, real.to(people.dtype)
        past: Memory | None = self.past(scene)
        rows = people.new_zeros(len(scene.valid), 0, people.shape[1]) if past is None else past.features
        times = rows[:, :, 0] if past is None else past.mask.to(rows.dtype)
        if self.slots:
            empty = (self.slots - times.sum(dim=1, keepdim=True)).clamp(min=0)
            rows = torch.cat([rows, rows.new_zeros(len(rows), 1, rows.shape[2])], dim=1)
            times = torch.cat([times, empty], dim=1)
        return self._reduced(rows), times

    def _reduced(self, rows: Tensor) -> Tensor:
        return self.dropout(self.reduce_bank(rows))


class NonLocal(nn.Module):
    """One layer of the operator: attention, layer norm, ReLU, product, residual (Sec. 3.3)."""

    def __init__(self, width: int, dropout: float, affine: bool, zero_init: bool) -> None:
        super().__init__()
        self.theta, self.phi, self.g = (linear(width, width) for _ in range(3))
        self.norm = nn.LayerNorm(width, elementwise_affine=affine)
        self.out = linear(width, width, std=0.0 if zero_init else 0.01)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, bank: Tensor, times: Tensor, actors: Actors) -> tuple[Tensor, Tensor]:
        """Actors `[A, d]` → the same, and the attention `[B, N, M]`; unchanged where the bank is empty."""
        some = (times > 0).any(dim=1)
        attention = counted_weights(actors.pad(self.theta(x))[0], self.phi(bank), times) * some[:, None, None]
        value = self.g(bank)
        gathered = actors.unpad(attention.to(value.dtype) @ value)
        update = self.dropout(self.out(self.norm(gathered).relu()))
        return x + update * some.index_select(0, actors.clip)[:, None], attention.detach()
