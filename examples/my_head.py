"""A relation head of one's own, in one file: each person looks around the whole scene.

    python my_head.py train my_head.py --out runs/mine
    python my_head.py detect street.mp4 --weights runs/mine

Idea: a person's own box says what they are, and asks each place of the frame; what the places answer stands beside it.
docs/tutorials/new-head.md goes through it line by line.
"""

from dataclasses import replace
from pathlib import Path

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import nn

from relact import heads
from relact.cli import main
from relact.config import STRICT
from relact.head import HeadConfig, Interface, RelationHead
from relact.nn.attention import attend, attention_weights
from relact.nn.padding import mask
from relact.recipe import Recipe
from relact.recipes.debug import debug
from relact.types import Relations, Scene


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Config(HeadConfig):
    """What `--set head.width=256` can change."""

    width: int = Field(default=128, ge=1)
    """channels of a question and an answer"""
    heads: int = Field(default=4, ge=1)
    """of the attention; divide the width"""

    def build(self, interface: Interface) -> "LookAround":
        if self.width % self.heads:
            raise ValueError(f"heads: expected a divisor of the width {self.width}, got {self.heads}; change either")
        return LookAround(interface.width, self.width, self.heads)


VARIANTS = {"default": Config(), "wide": Config(width=512, heads=8)}
"""my_head:wide is the second"""
PUBLISHED: dict[str, str] = {}
"""what a paper claims of the variants"""


class LookAround(RelationHead):
    """Attention of each person to every place of their own clip. Letters: relact.types."""

    def __init__(self, in_dim: int, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.ask = nn.Linear(in_dim, width)
        self.answer = nn.Linear(in_dim, 2 * width)
        self.out = nn.Linear(width, width)
        self.out_dim = in_dim + width

    def forward(self, scene: Scene) -> Relations:
        own = scene.rois.amax(dim=(2, 3))  # [A, C], also for A = 0
        q, _ = scene.actors.pad(self.ask(own))  # [B, N, d]
        rows, columns = scene.pooled.shape[2:]
        k, v = self.answer(scene.pooled.flatten(2).transpose(1, 2)).chunk(2, dim=2)  # [B, h w, d] each
        real = mask(scene.valid, rows, columns).flatten(1).to(q.device)  # clips of a batch differ in size
        seen = scene.actors.unpad(attend(q, k, v, heads=self.num_heads, keys=real))  # [A, d]
        relations = Relations(features=torch.cat([own, self.out(seen).relu()], dim=1))
        if not self.explain:
            return relations
        weights = scene.actors.unpad(attention_weights(q, k, heads=self.num_heads, keys=real))  # [A, h w]
        return replace(relations, maps={"places": weights.unflatten(1, (rows, columns))})


def recipe() -> Recipe:
    """The small recipe of little plays, with this head."""
    return replace(debug(), name="my_head", head=Config())


heads.__path__.append(str(Path(__file__).parent))  # this folder holds heads too; the name of one is that of its file

if __name__ == "__main__":
    main()
