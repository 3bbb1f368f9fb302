"""Annotations of any tool → people at keyframe seconds, on the video's own clock.

A box that moves is taken where the tool draws it on the frame nearest to the second. A box that was drawn in single
pictures is taken from the picture nearest to the second, if that is near enough.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from relact.config import STRICT
from relact.data.decode import VideoIndex, video_index
from relact.data.places import VIDEO_SUFFIXES
from relact.data.sampling import keyframe_times, nearest
from relact.errors import InputError
from relact.interop.annotations.naming import Naming, Reading, matched
from relact.interop.annotations.tracks import Annotations, Bools, Floats, Footage, Ints, Track
from relact.interop.box_table import bare_name
from relact.interop.faults import Faults
from relact.labels import LabelMap

_FAR = 0.5
"""A box that reaches so far out of the picture is of another picture, not of a person at its edge."""
_UPLOAD = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the name of an uploaded file."""


@checked(frozen=True, kw_only=True, config=STRICT)
class Keyframing:
    """Which seconds become keyframes."""

    every: float = Field(default=1.0, gt=0)
    """seconds between keyframes"""
    tolerance: float = Field(default=0.25, ge=0)
    """seconds from a keyframe to the picture that stands for it, where the tool goes picture by picture"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """People at keyframes: R rows, each person of each keyframe once, by video, second and person."""

    files: dict[str, Path]
    """name of a video → its file"""
    video: tuple[str, ...]
    second: Floats
    boxes: Floats
    """[0, 1] of the upright frame: `[R, 4]`"""
    person: Ints
    """-1: nobody knows"""
    actions: tuple[tuple[str, ...], ...]
    """the names of what each one does; never empty"""
    empty: tuple[tuple[str, float], ...]
    """keyframes that were annotated and show nobody who does any of the actions"""
    labels: LabelMap
    ids: dict[str, int]
    """name of an action → its id in `labels`"""


@dataclass(frozen=True, slots=True)
class _Seen:
    """The people of one track at the keyframes where they are."""

    tick: Ints
    """index of the keyframe's second"""
    boxes: Floats
    notes: Ints
    shape: Ints
    """index of the shape that says who it is"""
    track: Track


@dataclass(frozen=True, slots=True)
class _Row:
    video: str
    second: float
    person: int
    box: tuple[float, ...]
    actions: tuple[str, ...]
    where: str


def sample(
    found: Annotations,
    videos: Path,
    *,
    naming: Naming | None = None,
    keyframing: Keyframing | None = None,
    labels: LabelMap | None = None,
) -> Rows:
    """The people at the keyframes of all annotated videos; `labels` fixes the ids of the actions.

    Raises InputError, or adds to the faults of `found`, for a video that is missing, broken or of another size, and
    for boxes past its end or outside of its picture.
    """
    naming, keyframing = naming or Naming(), keyframing or Keyframing()
    reading, faults = Reading(found, naming), found.faults
    known = _videos_below(videos)
    files: dict[str, Path] = {}
    rows: list[_Row] = []
    covered: set[tuple[str, float]] = set()
    numbers: dict[str, dict[str, int]] = {}
    tracks_of: dict[int, list[Track]] = {}
    for track in found.tracks:
        if reading.is_person(track):
            tracks_of.setdefault(track.video, []).append(track)
        else:
            faults.ignore(f"boxes labelled {track.label!r}", len(track.instants))
    for k, footage in enumerate(found.footage):
        path = _file_of(footage, known, videos, len(found.footage), faults)
        index = _index(path, footage, faults) if path is not None else None
        if path is None or index is None:
            continue
        files[path.stem] = path
        seconds = keyframe_times(float(index.times[-1]), keyframing.every)
        clock = _Clock(footage, index, seconds, keyframing.tolerance, faults)
        seen, ticks = clock.look(tracks_of.get(k, []))
        covered |= {(path.stem, second) for second in seconds[ticks].tolist()}
        known_people = numbers.setdefault(path.stem, {})
        rows += _people(seen, reading, path.stem, seconds, footage, index, known_people, faults)
    rows = _once(rows, faults)
    used = {action for row in rows for action in row.actions}
    label_map = labels or reading.label_map(used)
    here = {(row.video, row.second) for row in rows}
    return Rows(
        files=files,
        video=tuple(row.video for row in rows),
        second=np.array([row.second for row in rows]),
        boxes=np.array([row.box for row in rows]).reshape(-1, 4),
        person=np.array([row.person for row in rows], np.int64),
        actions=tuple(row.actions for row in rows),
        empty=tuple(sorted(covered - here)),
        labels=label_map,
        ids=matched(sorted(used), label_map, "--labels"),
    )


def _videos_below(folder: Path) -> dict[str, list[Path]]:
    """Stem → files."""
    if folder.is_file():
        return {folder.stem: [folder]}
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected the annotated videos in it")
    known: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
            known.setdefault(path.stem, []).append(path)
    if not known:
        raise InputError(f"{folder}: no video in it or below it; expected {', '.join(VIDEO_SUFFIXES)}")
    return known


def _file_of(footage: Footage, known: dict[str, list[Path]], folder: Path, count: int, faults: Faults) -> Path | None:
    name = bare_name(footage.name.replace("\\", "/"))
    paths = known.get(name) or known.get(_UPLOAD.sub("", name)) or []
    if not paths and count == 1 and len(known) == 1 and not name:
        paths = next(iter(known.values()))
    if len(paths) == 1:
        return paths[0]
    if paths:
        faults.add(f"{footage.where}: video {footage.name!r} may be any of {', '.join(map(str, paths[:3]))}")
        return None
    if not name:
        faults.add(f"{footage.where}: names no video, and {folder} has {len(known)}; give its video: --videos FILE")
        return None
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; nearest name: {near[0]!r}" if near else f"; it has {', '.join(list(known)[:5])}"
    faults.add(f"{footage.where}: video {footage.name!r} is not in {folder}{hint}")
    return None


def _index(path: Path, footage: Footage, faults: Faults) -> VideoIndex | None:
    try:
        index = video_index(path)
    except InputError as error:
        faults.add(str(error))
        return None
    if footage.size is not None:
        (width, height), shown = footage.size, index.info.size
        if abs(width / height - shown[0] / shown[1]) > 0.02 * shown[0] / shown[1]:
            turned = " (is it turned? the tool must see it upright)" if (height, width) == shown else ""
            faults.add(
                f"{footage.where}: boxes are in pictures of {width} x {height} pixels; {path} has "
                f"{shown[0]} x {shown[1]}{turned}"
            )
            return None
    return index


class _Clock:
    """One video's keyframe seconds, and where tracks are then."""

    def __init__(self, footage: Footage, index: VideoIndex, seconds: Floats, tolerance: float, faults: Faults) -> None:
        self._footage, self._times, self._seconds = footage, index.times, seconds
        self._tolerance, self._faults = tolerance, faults
        self._frames = footage.clock == "frames"
        self._positions = nearest(index.times, seconds).astype(np.float64) if self._frames else seconds
        self._last = len(index.times) - 1 if self._frames else float(index.times[-1]) + 1.0

    def look(self, tracks: list[Track]) -> tuple[list[_Seen], Bools]:
        """The people of each track, and which of the seconds were annotated."""
        annotated = np.zeros(len(self._seconds), np.bool_)
        if self._footage.span is not None:
            first, last = self._footage.span
            annotated |= (self._positions >= first) & (self._positions <= last)
        moving = [self._moving(track) for track in tracks if track.moves]
        single = [track for track in tracks if not track.moves]
        pictures, ticks = self._pictures(single)
        annotated[ticks] = True
        return moving + [self._taken(track, pictures, ticks) for track in single], annotated

    def _late(self, instants: Floats, where: str) -> Bools:
        late: Bools = instants > self._last
        if late.any():
            what = f"frame {instants[late][0]:g}" if self._frames else f"second {instants[late][0]:g}"
            has = f"{len(self._times)} frames, from 0" if self._frames else f"{self._times[-1]:.1f} s"
            self._faults.add(f"{where}: {what}; the video has {has}. Is this annotation of another video?")
        return late

    def _moving(self, track: Track) -> _Seen:
        self._late(track.instants, track.where)
        at = self._positions
        shape = np.searchsorted(track.instants, at, side="right") - 1
        there = (shape >= 0) & (at <= track.until) & track.visible[shape.clip(0)]
        tick, shape = np.flatnonzero(there), shape[there]
        after = (shape + 1).clip(max=len(track.instants) - 1)
        gap = track.instants[after] - track.instants[shape]
        part = np.where(gap > 0, (at[tick] - track.instants[shape]) / np.where(gap > 0, gap, 1), 0)[:, None]
        boxes = track.boxes[shape] * (1 - part) + track.boxes[after] * part
        return _Seen(tick, boxes, track.notes[shape], shape, track)

    def _pictures(self, tracks: list[Track]) -> tuple[Floats, Ints]:
        """The instants of the pictures that stand for keyframes, and the keyframes."""
        listed = [] if self._footage.listed is None else [self._footage.listed]
        instants = np.unique(np.concatenate([np.zeros(0), *listed, *(track.instants for track in tracks)]))
        instants = instants[~self._late(instants, self._footage.where)]
        if not len(instants):
            return instants, np.zeros(0, np.int64)
        seconds = self._times[instants.astype(np.int64)] if self._frames else instants
        chosen = nearest(seconds, self._seconds)
        near = np.flatnonzero(np.abs(seconds[chosen] - self._seconds) <= self._tolerance + 1e-9)
        return instants[chosen[near]], near

    def _taken(self, track: Track, pictures: Floats, ticks: Ints) -> _Seen:
        """Two keyframes may share a picture where they are closer than pictures."""
        first = np.searchsorted(track.instants, pictures, side="left")
        count = np.searchsorted(track.instants, pictures, side="right") - first
        shape = np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())
        self._faults.ignore(
            f"boxes of pictures that are not the nearest to a keyframe, within {self._tolerance:g} s",
            len(track.instants) - len(np.unique(shape)),
        )
        return _Seen(np.repeat(ticks, count), track.boxes[shape], track.notes[shape], shape, track)


def _people(
    seen: list[_Seen],
    reading: Reading,
    video: str,
    seconds: Floats,
    footage: Footage,
    index: VideoIndex,
    numbers: dict[str, int],
    faults: Faults,
) -> Iterator[_Row]:
    """The rows of one footage: boxes in [0, 1], people numbered, those who do nothing left out."""
    width, height = footage.size or index.info.size
    whole_picture = np.array([100.0] * 4 if footage.per_cent else [width, height, width, height])
    _number((name for part in seen for name in reading.people(part.track) if name is not None), numbers)
    for part in seen:
        unit = part.boxes / whole_picture
        cut = unit.clip(0, 1)
        far = np.any((unit < -_FAR) | (unit > 1 + _FAR), axis=1)
        gone = np.any((cut[:, 2:] - cut[:, :2]) * np.array([width, height]) < 0.5, axis=1)
        names, label = reading.people(part.track), reading.of_label(part.track)
        for k in range(len(part.tick)):
            where = f"{part.track.where}, second {seconds[part.tick[k]]:g}"
            name = names[part.shape[k]]
            actions = tuple(dict.fromkeys([*label, *reading.actions_of_notes[part.notes[k]]]))
            if far[k]:
                faults.add(f"{where}: a box far outside of the picture of {width} x {height} pixels")
            elif gone[k]:
                faults.ignore("boxes outside of the picture, or thinner than half a pixel")
            elif not actions:
                faults.ignore("boxes of people without an action")
            else:
                person = -1 if name is None else numbers[name]
                yield _Row(video, float(seconds[part.tick[k]]), person, tuple(cut[k].round(6).tolist()), actions, where)


def _number(names: Iterable[str], numbers: dict[str, int]) -> None:
    """Adds ids of a video's people: the tool's own numbers where they are free, so that people can be found again."""
    taken, others = set(numbers.values()), []
    for name in dict.fromkeys(names):
        own = int(name) if name.isascii() and name.isdigit() and len(name) < 16 else None
        if name not in numbers and (own is None or own in taken):
            others.append(name)
        elif name not in numbers and own is not None:
            numbers[name] = own
            taken.add(own)
    free = max(taken, default=0)
    numbers |= {name: free + k for k, name in enumerate(others, start=1)}


def _once(rows: list[_Row], faults: Faults) -> list[_Row]:
    """By video, second and person; a second box of a person at one keyframe is a fault."""
    seen: dict[tuple[str, float, int], _Row] = {}
    kept = []
    for row in rows:
        key = (row.video, row.second, row.person)
        if row.person >= 0 and key in seen:
            faults.add(
                f"{row.where}: person {row.person} of {row.video} has another box then ({seen[key].where}); "
                "expected one"
            )
            continue
        seen[key] = row
        kept.append(row)
    return sorted(kept, key=lambda row: (row.video, row.second, row.person))
