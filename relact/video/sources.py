"""Where the people of a keyframe come from: a detector with a tracker behind it, or a box file."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from relact.boxes import scale
from relact.data.sampling import Picture
from relact.data.windows import KeyframeWindow, SampledFrame
from relact.errors import InputError
from relact.interop.box_table import VideoBoxes
from relact.video.people import Detector
from relact.video.tracker import Tracker

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

DENSE_HZ = 4.0
"""A box file with this many instants a second is tracked from box to box; a sparser one is linked by appearance."""
TRACK_HZ = 10.0
"""How many pictures a second help to tell the people of a box file apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Who is in a keyframe: N people."""

    boxes: Floats
    """[N, 4] in [0, 1] of the frame"""
    scores: Floats
    ids: Ids
    """-1 where nobody has followed them"""

    @classmethod
    def nobody(cls) -> "People":
        return cls(boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32), ids=np.zeros(0, np.int64))


class PeopleSource(Protocol):
    """Where the boxes come from. `sample_every` asks for a picture every so many seconds; None = none needed."""

    sample_every: float | None

    def see(self, sample: SampledFrame) -> None:
        """A picture at the sampled rate."""

    def at(self, window: KeyframeWindow) -> People:
        """The people of a keyframe whose pictures have all been seen."""

    @property
    def seen(self) -> Iterable[tuple[float, People]]:
        """(second, people) of every instant that is known, also between keyframes: boxes for drawing."""

    def warning(self, covered: float, boxes: int) -> str | None:
        """After the last keyframe: what a person should know, given the seconds covered and the boxes used."""


class DetectedPeople:
    """A person detector and a tracker behind it. `remember`: keep all instants, for `seen`; streams may have no end."""

    def __init__(self, detector: Detector, *, hz: float, every: float, threshold: float, remember: bool = True) -> None:
        self.sample_every: float | None = 1 / hz
        self._highest = 0.0  # best box score, kept or not
        self._detector = detector
        self._tracker = Tracker(rate_hz=hz)
        self._threshold = threshold
        self._recent: deque[tuple[float, People]] = deque()
        self._horizon = every + 30.0  # seconds; a window reaches no further
        self._remember = remember
        self.seen: list[tuple[float, People]] = []

    def see(self, sample: SampledFrame) -> None:
        if self._recent and sample.frame_s <= self._recent[-1][0]:
            return  # one frame is the nearest to several samples: a gap, or fewer frames than samples
        height, width = sample.picture.shape[:2]
        [(boxes, scores)] = self._detector([sample.picture])
        self._highest = max(self._highest, float(scores.max(initial=0)))
        keep = scores >= self._threshold
        boxes, scores = boxes[keep], scores[keep]
        ids = self._tracker.update(boxes, scores, sample.frame_s, sample.picture)
        unit = scale(boxes.astype(np.float32), 1 / width, 1 / height).clip(0, 1)
        people = People(boxes=unit, scores=scores.astype(np.float32), ids=ids)
        self._recent.append((sample.frame_s, people))
        if self._remember:
            self.seen.append((sample.frame_s, people))
        while self._recent[0][0] < sample.frame_s - self._horizon:
            self._recent.popleft()

    def warning(self, covered: float, boxes: int) -> str | None:
        if boxes:
            return None
        return f"nobody was found; the best box scored {self._highest:.2f} (--box-threshold {self._threshold:g})"

    def at(self, window: KeyframeWindow) -> People:
        if not self._recent:
            return People.nobody()
        return min(self._recent, key=lambda seen: abs(seen[0] - window.frame_s))[1]


class FiledPeople:
    """The boxes of a file. Ids are the file's; without any, dense files are tracked and sparse ones linked later.

    `seconds [I]` is when each instant of the file is, on the video's own clock.
    """

    def __init__(
        self, boxes: VideoBoxes, seconds: npt.NDArray[np.float64], *, width: int, height: int, threshold: float
    ) -> None:
        self._boxes = boxes
        self._seconds = seconds
        self._size = (width, height)
        self._kept = boxes.score >= threshold
        self._ids = boxes.person_id.copy()
        self._check_ids()
        self.sample_every: float | None = None
        step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else np.inf
        self._tracker: Tracker | None = None
        if len(boxes) and (self._ids < 0).all() and step <= 1 / DENSE_HZ:
            self.sample_every = max(step, 1 / TRACK_HZ)
            self._tracker = Tracker(rate_hz=1 / step)
        self._followed = 0

    def see(self, sample: SampledFrame) -> None:
        self._follow(sample.time_s, sample.picture)

    def at(self, window: KeyframeWindow) -> People:
        self._follow(window.time_s + 0.5 / DENSE_HZ)
        return self._people(self._boxes.nearest(window.time_s if self._boxes.clock == "seconds" else window.index))

    @property
    def seen(self) -> Iterator[tuple[float, People]]:
        self._follow(np.inf)
        return ((second, self._people(self._boxes.rows(i))) for i, second in enumerate(self._seconds.tolist()))

    def warning(self, covered: float, boxes: int) -> str | None:
        late = self._seconds > covered + 0.5
        if late.any():
            return (
                f"{self._boxes.path}: {int(late.sum())} of {len(late)} instants with boxes lie past the end "
                f"of the video ({self._seconds[0]:g} to {self._seconds[-1]:g} s of {covered:.1f} s); another clock?"
            )
        return None if boxes else "nobody was found: no keyframe has a box in the file that reaches --box-threshold"

    def _follow(self, until: float, picture: Picture | None = None) -> None:
        """Tracks the instants up to a second; `picture`, if any, is what the last of them shows."""
        while self._tracker and self._followed < len(self._seconds) and self._seconds[self._followed] <= until + 1e-6:
            rows, second = self._boxes.rows(self._followed), float(self._seconds[self._followed])
            self._followed += 1
            last = self._followed == len(self._seconds) or self._seconds[self._followed] > until + 1e-6
            pixels, scores = scale(self._boxes.boxes[rows], *self._size), self._boxes.score[rows]
            self._ids[rows] = self._tracker.update(pixels, scores, second, picture if last else None)

    def _people(self, rows: slice) -> People:
        keep = self._kept[rows]
        return People(
            boxes=self._boxes.boxes[rows][keep].astype(np.float32),
            scores=self._boxes.score[rows][keep].astype(np.float32),
            ids=self._ids[rows][keep],
        )

    def _check_ids(self) -> None:
        known = self._ids >= 0
        if known.any() and not known.all():
            row = int(known.argmin())
            raise InputError(f"{self._boxes.where(row)}: no person id, but other boxes have one; give all or none")
