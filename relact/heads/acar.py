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
from relact.head import HeadConfig, Interface, RelationHead
from relact.nn.padding import mask
from relact.nn.roi import ACAR, RoIConfig
from relact.types import Actors, Relations, Scene


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Config(HeadConfig):
    """Defaults: the released R50 model. R101: `depth=1, out_kernel=1`."""

    classifier_bias: bool = False
    reduce: int = Field(default=1024, ge=1)
    """channels of the context and of the actors (released code)"""
    width: int = Field(default=512, ge=1)
    """channels of relations, d (Sec. 3.2)"""
    operator: Literal["nonlocal", "average"] = "nonlocal"
    """how relations of a place meet: attention (Eq. 1), or their mean (Table 1's baseline operator)"""
    depth: int = Field(default=2, ge=1)
    """stacked operators"""
    out_kernel: Literal[1, 3] = 3
    """of the convolution that ends an operator"""
    downsample: Literal["max3", "max2", "none"] = "max3"
    """of the first-order map: 3x3 with stride 2 (released), 2x2, or not at all"""
    operator_dropout: float = Field(default=0.2, ge=0, lt=1)

    @property
    def roi(self) -> RoIConfig:
        return ACAR

    def build(self, interface: Interface) -> "Acar":
        return Acar(
            interface.width, self.reduce, self.width, operator=self.operator, depth=self.depth,
            out_kernel=self.out_kernel, downsample=self.downsample, dropout=self.operator_dropout,
        )  # fmt: skip


VARIANTS = {
    "r50": Config(),
    "r101": Config(depth=1, out_kernel=1),
    "depth1": Config(depth=1),
    "depth3": Config(depth=3),
    "average": Config(operator="average"),
    "max2": Config(downsample="max2"),
    "no_downsampling": Config(downsample="none"),
}
"""the released models, and Table 1's"""


class Acar(RelationHead):
    """First-order encoder, HR2O, and the two features that go to the classifier."""

    def __init__(
        self,
        in_dim: int,
        reduce: int,
        width: int,
        *,
        operator: Literal["nonlocal", "average"],
        depth: int,
        out_kernel: int,
        downsample: Literal["max3", "max2", "none"],
        dropout: float,
    ) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(in_dim, reduce, 1, bias=False)
        self.conv1 = nn.Conv2d(2 * reduce, width, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, bias=False)
        blocks = [HR2O(width, out_kernel, dropout) if operator == "nonlocal" else Average() for _ in range(depth)]
        self.hr2o = nn.ModuleList(blocks)
        self.fc1 = nn.Linear(reduce, width, bias=False)
        self.downsample = downsample
        self.out_dim = 2 * width

    def forward(self, scene: Scene) -> Relations:
        context = self.conv_reduce(scene.pooled)
        # a 1x1 convolution and RoIAlign commute: the actors need no RoIAlign of their own on the reduced map
        actors = self.conv_reduce(scene.rois).amax(dim=(2, 3))
        relation, real = self.first_order(context, actors, scene)
        attention: list[Tensor] = []
        for block in self.hr2o:
            relation, weights = block(relation, real, scene.actors)
            attention += [] if weights is None else [weights]
        pooled = (relation * real).sum(dim=(2, 3)) / real.sum(dim=(2, 3))
        features = torch.cat([self.fc1(actors).relu(), pooled], dim=1)
        return Relations(features=features, maps={f"relations_{k}": w for k, w in enumerate(attention)})

    def first_order(self, context: Tensor, actors: Tensor, scene: Scene) -> tuple[Tensor, Tensor]:
        """Relations of every actor with every place `[A, d, h', w']`, and which places are real `[A, 1, h', w']`.

        conv1 over [context, actor tiled] is a convolution of the context, once a clip, plus a product of the actor.
        """
        of_context, of_actor = self.conv1.weight.chunk(2, dim=1)
        shared = F.conv2d(context, of_context).index_select(0, scene.actors.clip)
        relation = (shared + F.linear(actors, of_actor[:, :, 0, 0])[:, :, None, None]).relu()
        height, width = relation.shape[2:]
        if int(scene.valid.min()) < 3:
            raise ValueError(f"acar needs maps of at least 3 x 3 cells, got {scene.valid.min(dim=0).values.tolist()}")
        relation = F.conv2d(relation, self.conv2.weight).relu()
        rows, places = scene.valid - 2, (height - 2, width - 2)
        relation = relation * _real(rows, places, scene.actors)
        if self.downsample == "max3":
            relation, rows = F.max_pool2d(relation, 3, 2, 1), (rows + 1) // 2
        elif self.downsample == "max2":
            relation, rows = F.max_pool2d(relation, 2, 2, ceil_mode=True), (rows + 1) // 2
        return relation, _real(rows, (relation.shape[2], relation.shape[3]), scene.actors).to(relation.dtype)


class HR2O(nn.Module):
    """High-order relation reasoning: attention among the actors of a clip, at each place on its own (Sec. 3.2)."""

    def __init__(self, width: int, out_kernel: int, dropout: float) -> None:
        super().__init__()
        self.conv_q = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.conv_k = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.conv_v = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(1, width)
        self.conv = nn.Conv2d(width, width, out_kernel, padding=out_kernel // 2, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, relation: Tensor, real: Tensor, actors: Actors) -> tuple[Tensor, Tensor]:
        """Relation `[A, d, h, w]`, zero where not real → the same, and the attention `[B, h, w, N, N]`."""
        weight = torch.cat([self.conv_q.weight, self.conv_k.weight, self.conv_v.weight])
        q, k, v = (self._by_place(x, actors) for x in F.conv2d(relation, weight, padding=1).chunk(3, dim=1))
        present = actors.pad(torch.ones_like(actors.scores))[1][:, None, None, None]  # [B, 1, 1, 1, N]
        score = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        attention = score.masked_fill(~present, torch.finfo(score.dtype).min).softmax(dim=-1)  # Eq. 1
        gathered = actors.unpad((attention @ v).permute(0, 3, 4, 1, 2))  # [A, d, h, w]
        update = self.conv(_norm(gathered, real, self.norm).relu() * real)
        return relation + self.dropout(update) * real, attention.detach()  # Eq. 2

    @staticmethod
    def _by_place(x: Tensor, actors: Actors) -> Tensor:
        """`[A, d, h, w]` → `[B, h, w, N, d]`."""
        return actors.pad(x)[0].permute(0, 3, 4, 1, 2)


class Average(nn.Module):
    """The operator that ablations compare with: every actor receives the mean of all (Table 1)."""

    def forward(self, relation: Tensor, real: Tensor, actors: Actors) -> tuple[Tensor, None]:
        padded, present = actors.pad(relation)
        count = present.sum(dim=1).clamp(min=1).to(relation.dtype)
        mean = padded.sum(dim=1) / count[:, None, None, None]
        return relation + mean.index_select(0, actors.clip) * real, None


def _norm(x: Tensor, real: Tensor, norm: nn.GroupNorm) -> Tensor:
    """GroupNorm with one group whose statistics leave out what is not real."""
    count = real.sum(dim=(1, 2, 3), keepdim=True) * x.shape[1]
    mean = (x * real).sum(dim=(1, 2, 3), keepdim=True) / count
    variance = ((x - mean) ** 2 * real).sum(dim=(1, 2, 3), keepdim=True) / count
    return (x - mean) * (variance + norm.eps).rsqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]


def _real(rows: Tensor, size: tuple[int, int], actors: Actors) -> Tensor:
    """Which places are real, per actor: `[A, 1, h, w]` from (rows, columns) per clip."""
    by_clip = mask(rows, *size)[:, :, 0].to(actors.boxes.device, non_blocking=True)
    return by_clip.index_select(0, actors.clip)
