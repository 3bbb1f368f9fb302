"""What a report shows, as columns; everything in it may be of hostile origin."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from relact.labels import LabelMap

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """The video behind the boxes. `src` is its address from the page, None where there is none to be had."""

    src: str | None
    width: int
    height: int
    """pixels, upright"""
    duration: float
    """seconds that the results cover"""
    rate: float | None = None
    """frames a second"""
    start: float = 0.0
    """the first frame's time on the clock of a player, seconds"""
    drawn: bool = False
    """whether boxes are in the picture already"""
    embed: Path | None = None
    """the file to put into the page itself, instead of `src`"""
    note: str = ""
    """why there is no video, or not the one that was watched"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The people, R boxes sorted by person, then keyframe; and what they do, S rows sorted by box, best first."""

    ids: Ints
    """`[P]` of the people, ascending"""
    person: Ints
    """`[R]` index into `ids`"""
    keyframe: Ints
    """`[R]` index into the keyframes"""
    boxes: Floats
    """`[R, 4]` in [0, 1]"""
    box_scores: Floats
    box: Ints
    """`[S]` index into the boxes"""
    column: Ints
    """`[S]` of the label map"""
    scores: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What annotators saw, U boxes sorted by track, then keyframe; and what they saw them do, V rows sorted by box."""

    names: tuple[str, ...]
    """of the tracks"""
    track: Ints
    """`[U]` index into `names`"""
    keyframe: Ints
    boxes: Floats
    match: Ints
    """`[U]` the box of `Found` that is the same person, -1: nobody was found there"""
    box: Ints
    """`[V]` index into the boxes of truth"""
    column: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentColumns:
    """The segments, in the order of their table; Q rows. `person` indexes `Found.ids`; seconds."""

    person: Ints
    column: Ints
    start: Floats
    end: Floats
    mean: Floats
    peak: Floats
    count: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A picture of what a head related one person to."""

    time: float
    """of the keyframe, seconds"""
    person: int
    """one of `Found.ids`"""
    title: str
    picture: bytes
    """JPEG"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """All that one page shows."""

    title: str
    film: Film
    labels: LabelMap
    times: Floats
    """`[T]` of the keyframes, seconds, ascending"""
    every: float
    """seconds for which a keyframe stands"""
    found: Found
    segments: SegmentColumns
    truth: Truth | None = None
    pictures: dict[int, bytes] = field(default_factory=dict)
    """JPEG of a person, by id"""
    looks: tuple[Look, ...] = ()
    poster: bytes | None = None
    """JPEG of the video, for the index"""
    facts: tuple[tuple[str, str], ...] = ()
    """how the result was made: name and value"""
    warnings: tuple[str, ...] = ()
