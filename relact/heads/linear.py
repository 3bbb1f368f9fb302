"""The baseline of every paper: max-pooled RoI features into a linear classifier (SlowFast, arXiv 1812.03982, Sec. 4.1).

Departs from nothing; the RoI options of the published code bases are `relact.nn.roi.RoIConfig`.
"""

from pydantic.dataclasses import dataclass

from relact.config import STRICT
from relact.head import HeadConfig, Interface, RelationHead
from relact.types import Relations, Scene


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Config(HeadConfig):
    """PySlowFast's recipe: dropout 0.5 before the classifier, a bias in it."""

    dropout: float = 0.5

    def build(self, interface: Interface) -> "Linear":
        return Linear(interface.width)


VARIANTS = {"slowfast": Config()}


class Linear(RelationHead):
    """No relations at all: each actor is judged by what its own box holds."""

    def __init__(self, in_dim: int) -> None:
        super().__init__()
        self.out_dim = in_dim

    def forward(self, scene: Scene) -> Relations:
        features = scene.rois.amax(dim=(2, 3))  # [A, C], also for A = 0
        return Relations(features=features, store=features)
