"""The contract of a head: `Scene` in, `Relations` out. One file a head under `relact/heads/`, found by its name."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import field

from pydantic.dataclasses import dataclass
from torch import nn

from relact.config import STRICT
from relact.nn.roi import RoIConfig
from relact.types import Memory, Relations, Scene


@plain_dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What a head stands between: the backbone's maps before it, the actions behind it."""

    channels: Mapping[str, int]
    """of each pathway, slow before fast"""
    frames: Mapping[str, int]
    """of each pathway's map"""
    num_classes: int
    exclusive: tuple[int, ...] = ()
    """columns of the actions that exclude each other (AVA's poses)"""
    roi: RoIConfig = field(default_factory=RoIConfig)
    """how boxes are read off the maps, for heads that read maps of their own"""

    @property
    def width(self) -> int:
        """Channels of `Scene.pooled`: all pathways side by side."""
        return sum(self.channels.values())


@plain_dataclass(frozen=True, slots=True, kw_only=True)
class MemorySpec:
    """The past (and future) that a head wants: `radius` ticks on either side, at most `max_per_tick` rows each."""

    radius: int
    dim: int
    """E, channels of a row; for rows that are maps, channels x rows x columns"""
    future: int | None = None
    """ticks ahead, where they are not `radius` (LFB: 30 back, 29 ahead)"""
    include_current: bool = True
    max_per_tick: int | None = None
    grid: tuple[int, int] | None = None
    """(rows, columns) where a row is a map, channels first (ACAR-Net): a mirrored clip wants it mirrored"""
    identity: bool = False
    """of a tick's people, those of the clip come before the others (IGMN)"""
    discount: bool = False
    """in online training rows are multiplied by min(a, 1 / a), a = their loss over today's (AIA, IGMN)"""


class RelationHead(nn.Module, ABC):
    """Relates the actors of each clip to whatever the method relates them to.

    Must (tests/heads/test_contract.py): take clips without actors, never mix clips, be equivariant to the order of
    actors, never read padding or masked memory, leave its input unchanged.
    """

    out_dim: int
    """D, channels of `Relations.features`"""
    memory: MemorySpec | None = None
    """what the feature bank must provide; None for a head that looks at one clip"""
    reads_rois: bool = True
    """False for a head that reads boxes off a map of its own: `Scene.rois` then has no channels"""
    reads_maps: bool = False
    """True for a head that reads `Scene.maps`: whoever keeps scenes for later must keep these too"""
    mask_padding: bool = True
    """False: backbone and RoIAlign take the padding of a batch for picture, as released codes do"""
    store_grid: tuple[int, int] | None = None
    """(rows, columns) where the rows that it stores are maps"""
    archive: bool = False
    """also fill `Relations.store`, where that costs something: whoever fills a bank sets it"""
    explain: bool = False
    """also fill `Relations.maps`, where that costs something"""

    @abstractmethod
    def forward(self, scene: Scene) -> Relations:
        """Features for the classifier, one row per actor."""

    def past(self, scene: Scene) -> Memory | None:
        """The scene's memory, None where it has no slots. Raises ValueError for rows of another width."""
        memory = scene.memory
        if self.memory is None or memory is None or memory.mask.shape[1] == 0:
            return None
        if memory.features.shape[2] != self.memory.dim:
            raise ValueError(
                f"memory: {type(self).__name__} reads rows of {self.memory.dim} channels, got "
                f"{memory.features.shape[2]}; build the bank with this head and these settings"
            )
        return memory


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HeadConfig(ABC):
    """What every head's `Config` has: how the classifier behind it is built, and how boxes are read before it."""

    dropout: float = 0.0
    """before the classifier"""
    classifier_bias: bool = True

    @property
    def roi(self) -> RoIConfig:
        """How this system reads boxes off the maps, unless a recipe says otherwise."""
        return RoIConfig()

    def without_memory(self) -> "HeadConfig | None":
        """The head whose rows fill this one's bank when it is trained first and frozen (offline).

        None where the bank holds pooled RoI features, which the `linear` baseline stores.
        """
        return None

    @abstractmethod
    def build(self, interface: Interface) -> RelationHead:
        """The head between this backbone and these actions. Raises ValueError where it cannot stand there."""
