"""What annotation tools hold, as one value: people's boxes through videos, and what was written beside each box.

Every reader of this package makes it (`Annotations`); `naming` turns what was written into actions, and
`relact.data.convert` samples it at the keyframes.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from relact.interop.faults import Faults

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Clock = Literal["frames", "seconds"]
Kind = Literal["checkbox", "select", "text", "number"]
"""How the tool asks: yes or no; one of several; words of one's own (several between commas); a number."""

Notes = tuple[tuple[str, str], ...]
"""What stands beside a box: (attribute, value) pairs; a checkbox's value is "true" or "false"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footage:
    """What the annotation says of one video."""

    name: str
    """as the tool has it: maybe with suffix and folder"""
    where: str
    clock: Clock
    size: tuple[int, int] | None = None
    """width and height of the pictures that the boxes were drawn in; None: the video's own"""
    per_cent: bool = False
    """boxes are per cent of the picture, not pixels"""
    span: tuple[float, float] | None = None
    """first and last instant that was annotated, people or not"""
    listed: Floats | None = None
    """instants that were annotated, where the tool works picture by picture"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One box through a video: S shapes in order of time, one a person and instant.

    Without `who` and without moving it may hold several people, whom only what is written beside them tells apart.
    `boxes [S, 4]` x1, y1, x2, y2 in pixels, or per cent. `notes [S]` index `Annotations.notes`.
    """

    video: int
    """index of `Annotations.footage`"""
    where: str
    """file and line (or path in the JSON)"""
    label: str
    who: str | None
    """the tool's name for the person, unique in the video; None: unknown"""
    instants: Floats
    """frames from 0, or seconds, as the footage's clock says; ascending: `[S]`"""
    boxes: Floats
    visible: Bools
    """False: gone from this instant until the next shape: `[S]`"""
    notes: Ints
    moves: bool
    """whether the tool draws the box between two shapes, in a straight line; else a shape is of its instant alone"""
    until: float
    """a box that moves stays where it was last until here, itself included"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """All that was read."""

    footage: tuple[Footage, ...]
    tracks: tuple[Track, ...]
    notes: tuple[Notes, ...]
    kinds: dict[str, Kind]
    """how each attribute asks"""
    labels: tuple[str, ...]
    """the tool's labels, in its order"""
    options: dict[str, tuple[str, ...]]
    """the values that an attribute offers, in the tool's order"""
    tracked: bool
    """whether the tool itself says who is who"""
    faults: Faults = field(default_factory=Faults)


class NoteBook:
    """Numbers what is written beside boxes: most boxes say the same as the one before."""

    def __init__(self) -> None:
        self._number: dict[Notes, int] = {}

    def add(self, notes: Iterable[tuple[str, str]]) -> int:
        """The number of these notes."""
        return self._number.setdefault(tuple(notes), len(self._number))

    @property
    def all(self) -> tuple[Notes, ...]:
        """By number."""
        return tuple(self._number)


@dataclass(slots=True, kw_only=True)
class Shapes:
    """The shapes of a track while they are read, in any order."""

    instants: list[float] = field(default_factory=list)
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    visible: list[bool] = field(default_factory=list)
    notes: list[int] = field(default_factory=list)
    where: list[str] = field(default_factory=list)

    def add(self, instant: float, box: Sequence[float], notes: int, where: str, *, visible: bool = True) -> None:
        """One more shape; its box has been through `checked_box`."""
        self.instants.append(instant)
        self.boxes.append((box[0], box[1], box[2], box[3]))
        self.visible.append(visible)
        self.notes.append(notes)
        self.where.append(where)

    def track(
        self,
        *,
        video: int,
        where: str,
        label: str,
        who: str | None,
        faults: Faults,
        moves: bool = False,
        until: float = -1.0,
    ) -> Track | None:
        """The track in order of time; None without shapes. Two shapes at one instant are a fault; the first stays."""
        if not self.instants:
            return None
        instants = np.array(self.instants)
        order = np.argsort(instants, kind="stable")
        again = np.concatenate([[False], np.diff(instants[order]) == 0])
        for k in order[again].tolist():
            faults.add(f"{self.where[k]}: a second box of the same person at {instants[k]:g}; expected one")
        order = order[~again]
        return Track(
            video=video, where=where, label=label, who=who, instants=instants[order],
            boxes=np.array(self.boxes)[order], visible=np.array(self.visible)[order],
            notes=np.array(self.notes, np.int64)[order], moves=moves, until=max(until, float(instants[order[-1]])),
        )  # fmt: skip


def checked_box(box: Sequence[float], where: str, faults: Faults) -> bool:
    """Whether x1, y1, x2, y2 are finite and in order; a fault if not."""
    if not all(np.isfinite(value) for value in box):
        faults.add(f"{where}: box {_text(box)} is not four finite numbers; expected pixels of the picture")
        return False
    if box[2] < box[0] or box[3] < box[1]:
        faults.add(f"{where}: box {_text(box)} has x2 < x1 or y2 < y1; expected left, top, right, bottom")
        return False
    return True


def number(value: object, name: str, where: str, faults: Faults) -> float | None:
    """A finite number from JSON or an attribute of XML; a fault and None if it is none."""
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        found = float(value)
    except ValueError:
        found = float("nan")
    if np.isfinite(found):
        return found
    came = "is missing" if value is None else f"is {str(value)[:60]!r}"
    faults.add(f"{where}: {name} {came}; expected a number")
    return None


def whole(value: object, name: str, where: str, faults: Faults) -> int | None:
    """A whole number from 0; a fault and None if it is none."""
    found = number(value, name, where, faults)
    if found is None or (found >= 0 and found == int(found)):
        return None if found is None else int(found)
    faults.add(f"{where}: {name} is {found:g}; expected a whole number, 0 or more")
    return None


def joined(parts: Sequence[Annotations]) -> Annotations:
    """The annotation of several files as one. People of a video that two files speak of are different people."""
    footage: list[Footage] = []
    tracks: list[Track] = []
    book = NoteBook()
    speak_of = Counter(name for part in parts for name in {footage.name for footage in part.footage})
    shared = {name for name, count in speak_of.items() if count > 1}
    for number_of_part, part in enumerate(parts):
        renumbered = np.array([book.add(notes) for notes in part.notes], np.int64)
        for track in part.tracks:
            who = track.who
            if who is not None and part.footage[track.video].name in shared:
                who = f"{number_of_part}/{who}"
            tracks.append(
                Track(
                    video=track.video + len(footage), where=track.where, label=track.label, who=who,
                    instants=track.instants, boxes=track.boxes, visible=track.visible,
                    notes=renumbered[track.notes], moves=track.moves, until=track.until,
                )
            )  # fmt: skip
        footage += part.footage
    kinds: dict[str, Kind] = {}
    options: dict[str, tuple[str, ...]] = {}
    for part in parts:
        kinds |= part.kinds
        for name, values in part.options.items():
            options[name] = tuple(dict.fromkeys([*options.get(name, ()), *values]))
    return Annotations(
        footage=tuple(footage),
        tracks=tuple(tracks),
        notes=book.all,
        kinds=kinds,
        labels=tuple(dict.fromkeys(itertools.chain.from_iterable(part.labels for part in parts))),
        options=options,
        tracked=all(part.tracked for part in parts),
        faults=parts[0].faults,
    )


def at_path(path: str | Path, place: str) -> str:
    """`file at annotations[3].bbox`: a place in a JSON file."""
    return f"{path} at {place}"


def _text(box: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in box) + ")"
