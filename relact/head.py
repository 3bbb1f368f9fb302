"""The contract of a head: `Scene` in, `Relations` out. One file a head under `relact/heads/`, found by its name."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass

from pydantic.dataclasses import dataclass
from torch import nn

from relact.config import STRICT
from relact.types import Relations, Scene


@plain_dataclass(frozen=True, slots=True, kw_only=True)
class MemorySpec:
    """The past (and future) that a head wants: `radius` ticks on either side, at most `max_per_tick` rows each."""

    radius: int
    dim: int
    include_current: bool = True
    max_per_tick: int | None = None


class RelationHead(nn.Module, ABC):
    """Relates the actors of each clip to whatever the method relates them to.

    Must (tests/heads/test_contract.py): take clips without actors, never mix clips, be equivariant to the order of
    actors, never read padding or masked memory, leave its input unchanged.
    """

    out_dim: int
    """D, channels of `Relations.features`"""

    @abstractmethod
    def forward(self, scene: Scene) -> Relations:
        """Features for the classifier, one row per actor."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HeadConfig(ABC):
    """What every head's `Config` has: how the classifier behind it is built, and the memory that it wants."""

    dropout: float = 0.0
    """before the classifier"""
    classifier_bias: bool = True

    @property
    def memory(self) -> MemorySpec | None:
        """What the feature bank must provide; None for a head that looks at one clip."""
        return None

    @abstractmethod
    def build(self, channels: Mapping[str, int]) -> RelationHead:
        """The head for a backbone with these pathways (name → channels)."""
