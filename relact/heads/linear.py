"""The baseline of every paper: max-pooled RoI features into a linear classifier (SlowFast, arXiv 1812.03982, Sec. 4.1).

Idea: no relations at all; what the others add is measured against this. AlphAction (AIA's code, and IGMN's baseline)
puts two fully connected layers before the classifier: `hidden=(1024, 1024), dropout=0.2`.
Departs from nothing; the RoI options of the published code bases are `relact.nn.roi.RoIConfig`.
"""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import nn

from relact.config import STRICT
from relact.head import HeadConfig, Interface, RelationHead
from relact.types import Relations, Scene


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Config(HeadConfig):
    """PySlowFast's recipe: dropout 0.5 before the classifier, a bias in it."""

    dropout: float = 0.5
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """widths of the fully connected layers before the classifier, each followed by a ReLU"""

    def build(self, interface: Interface) -> "Linear":
        return Linear(interface.width, self.hidden)


VARIANTS = {
    "slowfast": Config(),
    "alphaction": Config(hidden=(1024, 1024), dropout=0.2),
}
"""SlowFast's own, and the predictor of AlphAction: IGMN's baseline"""
PUBLISHED = {"slowfast": "24.80 (PySlowFast), 25.39 (ACAR-Net)", "alphaction": "26.52 (4x16, K700)"}
"""frame-mAP on AVA v2.2 with SlowFast R50 as others quote it (STC, ACAR-Net, IGMN)"""


class Linear(RelationHead):
    """Each actor is judged by what its own box holds; that, pooled, is also what others put in their banks."""

    def __init__(self, in_dim: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        widths = (in_dim, *hidden)
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in zip(widths[:-1], hidden, strict=True)])
        self.out_dim = widths[-1]

    def forward(self, scene: Scene) -> Relations:
        pooled = features = scene.rois.amax(dim=(2, 3))  # [A, C], also for A = 0
        for layer in self.layers:
            features = layer(features).relu()
        return Relations(features=features, store=pooled.detach())
