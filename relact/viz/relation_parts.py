"""What a picture of relations is made of: weights over places, people, time. Plain values, without any drawing."""

from dataclasses import dataclass

from relact.viz.canvas import Picture
from relact.viz.heat import WHOLE, Extent, Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """Weights `[rows, columns]` over a frame or a part of it."""

    title: str
    values: Floats
    extent: Extent
    """where the grid lies in the frame"""
    window: Extent = WHOLE
    """what of the frame is shown"""
    related: int | None = None
    """the person whose weights these are, if not the chosen one's"""
    cells: bool = False
    """every cell in one colour, with its weight: for grids that are coarse on purpose"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heats:
    """Frames on one scale of colours."""

    title: str
    note: str
    heats: tuple[Heat, ...]
    unit: str = "of the attention, lightest where it is most"
    """what is written behind the scale"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A weight, of what, and a picture of it where there is one."""

    name: str
    weight: float
    picture: Picture | None = None
    chosen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """Weights side by side: over people, or over the frames of a clip."""

    title: str
    note: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A person of a timeline."""

    name: str
    picture: Picture | None = None
    chosen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A person at a second. `weight` None: nothing is weighed there (the chosen one now); not `kept`: left out."""

    lane: int
    second: float
    weight: float | None
    kept: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """People over time, and how much of each moment is heard; `links` join nodes by their numbers."""

    title: str
    note: str
    lanes: tuple[Lane, ...]
    nodes: tuple[Node, ...]
    now: float
    links: tuple[tuple[int, int], ...] = ()
    home: int | None = None
    """the node that hears the others: an edge goes to it from each of them that has weight"""


Section = Heats | Strip | Timeline
