"""What a play is made of: people with their beats, things, events; a skit is a scene that stages one family.

Lengths are in units of the stage: it is 288 wide and 96 high, which is also the size at which the shipped recipes look
at it. The drawn video is larger (`write.StageConfig.scale`).
"""

from bisect import bisect
from dataclasses import dataclass
from typing import Literal

import numpy as np

from relact.data.stage.body import TRUNK, Look, Points, joints

WIDTH, HEIGHT = 288, 96
GAP = 62.0
"""units between a box and the evidence: more than the recipes' backbone can see from a box (57, tests/stage)"""
BLEND = 0.3
"""seconds from one beat's posture to the next one's"""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What a person does from one moment to another; `x` moves evenly."""

    start: float
    end: float
    x: tuple[float, float]
    body: str = "stand"
    arms: str = "down"
    facing: int = 1
    holds: str | None = None
    speaks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An actor of a skit."""

    look: Look
    height: float
    ground: float
    """y of the feet"""
    beats: tuple[Beat, ...]
    phase: float
    """of what swings, in radians: a coin of its own, or it would tell the time"""
    lift: float = 0.0
    """how far the ground under the feet is above `ground` (a seat in a boat)"""

    def beat(self, time: float) -> Beat | None:
        """What is going on; None when off the stage."""
        for beat in self.beats:
            if beat.start <= time < beat.end:
                return beat
        return None

    def points(self, time: float) -> Points | None:
        """Joints `[11, 2]` in units; None when off the stage."""
        now = self.beat(time)
        if now is None:
            return None
        points = self._of(now, time)
        over = (time - now.start) / BLEND
        before = self.beat(now.start - 1e-6) if over < 1 else None
        if before is None or now.body in ("fall",):
            return points
        return (1 - over) * self._of(before, time) + over * points

    def _of(self, beat: Beat, time: float) -> Points:
        done = float(np.clip((time - beat.start) / (beat.end - beat.start), 0, 1))
        x = beat.x[0] + (beat.x[1] - beat.x[0]) * (time - beat.start) / (beat.end - beat.start)
        phase = self.phase + 5.5 * time
        own = joints(beat.body, beat.arms, done=done, phase=phase, facing=beat.facing)
        return own * self.height + (x, self.ground - self.lift)

    def box(self, time: float) -> Box | None:
        """Around head, trunk and legs, in units, cut to the stage; None when off it."""
        points = self.points(time)
        if points is None:
            return None
        pad, head = 0.05 * self.height, 0.095 * self.height
        trunk = points[TRUNK]
        low = np.minimum(trunk.min(axis=0) - pad, points[0] - head)
        high = np.maximum(trunk.max(axis=0) + pad, points[0] + head)
        x1, y1 = np.clip(low, 0, (WIDTH, HEIGHT))
        x2, y2 = np.clip(high, 0, (WIDTH, HEIGHT))
        return (float(x1), float(y1), float(x2), float(y2)) if x2 - x1 > 2 and y2 - y1 > 4 else None


Layer = Literal["wall", "floor", "front"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """An object; its middle and lower edge are at `x`, `ground`; it may move."""

    kind: str
    size: tuple[float, float]
    ground: float
    x: tuple[float, ...]
    span: tuple[float, ...] = (0.0, 1.0)
    """seconds at which it is at these places, moving evenly in between"""
    layer: Layer = "floor"
    facing: int = 1
    colour: str = "#c0392b"

    def place(self, time: float) -> float:
        """Where its middle is."""
        return float(np.interp(time, self.span, self.x))

    def step(self, time: float) -> float:
        """Units from the place before to the next one; 0 where it rests."""
        after = bisect(self.span, time)
        return self.x[after] - self.x[after - 1] if 0 < after < len(self.span) else 0.0

    def box(self, time: float) -> Box:
        """In units."""
        x, (width, height) = self.place(time), self.size
        return x - width / 2, self.ground - height, x + width / 2, self.ground


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Somebody does something from one moment to another, and what one must have seen to know it."""

    action: str
    person: int
    start: float
    end: float
    things: tuple[int, ...] = ()
    """evidence: things of the skit"""
    people: tuple[int, ...] = ()
    """evidence: other people of the skit"""
    seen: tuple[float, float] | None = None
    """seconds in which the evidence shows, where that is not while the action lasts"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skit:
    """A scene between two cuts that stages one family."""

    family: str
    seconds: int
    people: tuple[Person, ...]
    things: tuple[Thing, ...] = ()
    events: tuple[Event, ...] = ()
    backdrop: str = "room"

    def actions(self, person: int, time: float) -> list[str]:
        """What a person does at a moment: the posture, and the events."""
        beat = self.people[person].beat(time)
        if beat is None:
            return []
        events = [e.action for e in self.events if e.person == person and e.start <= time <= e.end]
        return events if beat.body == "lie" else [beat.body, *events]  # who lies is known by how they came to
