"""Annotation that goes picture by picture: frames of videos, each with its boxes."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from relact.interop.annotations.tracks import (
    Annotations,
    Clock,
    Footage,
    Kind,
    NoteBook,
    Shapes,
    Track,
    checked_box,
)
from relact.interop.faults import Faults

_PLAIN = re.compile(r"^(|f|fr|frame|frames|im|img|image|picture|pic)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRule:
    """What the number of a picture means."""

    first: int = 0
    """the number of the video's first frame (ffmpeg writes pictures from 1)"""
    fps: float | None = None
    """pictures a second, where they were taken at another rate than the video's; None: each frame has its picture"""

    @property
    def clock(self) -> Clock:
        """What instants are."""
        return "frames" if self.fps is None else "seconds"

    def instant(self, number: int) -> float:
        """Frame from 0, or second, of a picture's number; negative before the video's first."""
        return float(number - self.first) if self.fps is None else (number - self.first) / self.fps


def video_and_number(name: str, fallback: str) -> tuple[str, int] | None:
    """The video and frame that a picture's name tells: `bus_00/000012.jpg`, `bus_00/frame_12.png`, `bus_00_000012.jpg`.

    `fallback` is the video where the name has the number only. None without a number or a video.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    found = re.search(r"\d+$", path.stem)
    if found is None:
        return None
    stem = path.stem[: found.start()].rstrip("_-. ")
    words = re.split(r"[_\-. ]", stem)
    if len(words) > 1 and _PLAIN.match(words[-1]):  # bus_00_frame_000012
        stem = stem[: len(stem) - len(words[-1])].rstrip("_-. ")
    video = (path.parent.name or fallback) if _PLAIN.match(stem) else stem
    return (video, int(found[0])) if video else None


class Pictures:
    """Gathers pictures and their boxes into footage and tracks that do not move between pictures."""

    def __init__(self, clock: Clock, faults: Faults) -> None:
        self._clock, self._faults = clock, faults
        self._book = NoteBook()
        self._videos: dict[str, int] = {}
        self._where: list[str] = []
        self._sizes: list[tuple[int, int] | None] = []
        self._listed: list[set[float]] = []
        self._shapes: dict[tuple[int, str, str | None], Shapes] = {}

    def picture(self, video: str, instant: float, size: tuple[int, int] | None, where: str) -> bool:
        """A picture that was annotated, boxes or not; a fault and False for one before the video's first frame."""
        if not instant >= 0:
            self._faults.add(f"{where}: a picture before the first frame of {video}; which number has the first?")
            return False
        if video not in self._videos:
            self._videos[video] = len(self._videos)
            self._where.append(where)
            self._sizes.append(size)
            self._listed.append(set())
        k = self._videos[video]
        if size != self._sizes[k]:
            self._faults.add(f"{where}: a picture of {_by(size)}; the others of {video} are {_by(self._sizes[k])}")
            return False
        self._listed[k].add(instant)
        return True

    def box(
        self,
        video: str,
        instant: float,
        box: Sequence[float],
        *,
        label: str,
        who: str | None,
        notes: Iterable[tuple[str, str]],
        where: str,
    ) -> None:
        """A box of a picture that `picture` has taken."""
        if checked_box(box, where, self._faults):
            shapes = self._shapes.setdefault((self._videos[video], label, who), Shapes())
            shapes.add(instant, box, self._book.add(notes), where)

    def annotations(
        self, kinds: dict[str, Kind], labels: tuple[str, ...], options: dict[str, tuple[str, ...]]
    ) -> Annotations:
        """All of it. Boxes of people without an id share one track."""
        tracks: list[Track] = []
        for (video, label, who), shapes in self._shapes.items():
            if who is not None:
                made = shapes.track(video=video, where=shapes.where[0], label=label, who=who, faults=self._faults)
                tracks += [made] if made is not None else []
                continue
            tracks.append(_of_nobody_known(video, label, shapes))
        footage = [
            Footage(name=name, where=self._where[k], clock=self._clock, size=self._sizes[k],
                    listed=np.array(sorted(self._listed[k])))
            for name, k in self._videos.items()
        ]  # fmt: skip
        return Annotations(
            footage=tuple(footage), tracks=tuple(tracks), notes=self._book.all, kinds=kinds, labels=labels,
            options=options, tracked=any(track.who is not None for track in tracks), faults=self._faults,
        )  # fmt: skip


def _of_nobody_known(video: int, label: str, shapes: Shapes) -> Track:
    instants = np.array(shapes.instants)
    order = np.argsort(instants, kind="stable")
    return Track(
        video=video,
        where=shapes.where[0],
        label=label,
        who=None,
        instants=instants[order],
        boxes=np.array(shapes.boxes)[order],
        visible=np.ones(len(order), np.bool_),
        notes=np.array(shapes.notes, np.int64)[order],
        moves=False,
        until=float(instants.max()),
    )


def _by(size: tuple[int, int] | None) -> str:
    return "unknown size" if size is None else f"{size[0]} x {size[1]} pixels"
