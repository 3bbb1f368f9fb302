"""CVAT's XML 1.1: "for video" (tracks of boxes) and "for images" of frames whose names carry numbers; plain or zipped.

A track is a person. Frames count from 0 in the video itself, whatever the task's step. Between two shapes CVAT draws
the box in a straight line, an `outside` shape ends it until the next, and the last shape holds to the end of the task.
Attributes hold until they are written again.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeGuard

from relact.errors import InputError, at
from relact.interop.annotations.opened import stream_xml
from relact.interop.annotations.pictures import FrameRule, Pictures, video_and_number
from relact.interop.annotations.tracks import (
    Annotations,
    Footage,
    Kind,
    NoteBook,
    Shapes,
    Track,
    checked_box,
    number,
    whole,
)
from relact.interop.faults import Faults

OTHER_SHAPES = ("polygon", "polyline", "points", "mask", "cuboid", "ellipse", "skeleton", "tag")
_KINDS: dict[str, Kind] = {
    "checkbox": "checkbox", "select": "select", "radio": "select", "text": "text", "number": "number"
}  # fmt: skip


def read(path: Path, rule: FrameRule, faults: Faults) -> Annotations:
    """All box tracks and boxes of images of one export. Raises InputError, or adds to `faults`, naming the line."""
    reader = _Reader(str(path), rule, faults)
    stream_xml(path, reader)
    return reader.done()


@dataclass(slots=True, kw_only=True)
class _Task:
    """A task of the meta block; a project has several."""

    name: str = ""
    source: str = ""
    first: float = 0.0
    last: float | None = None
    width: float = 0.0
    height: float = 0.0
    line: int | None = None


@dataclass(slots=True, kw_only=True)
class _Open:
    """A track or an image whose end has not come yet."""

    attributes: dict[str, str]
    where: str
    shapes: Shapes = field(default_factory=Shapes)
    notes: dict[str, str] = field(default_factory=dict)
    """what was written, and holds until it is written again (a track), or at this box (an image)"""
    picture: tuple[str, float] | None = None
    """an image's video and instant; None: the image is a fault"""


class _Reader:
    def __init__(self, path: str, rule: FrameRule, faults: Faults) -> None:
        self._path, self._rule, self._faults = path, rule, faults
        self._book, self._pictures = NoteBook(), Pictures(rule.clock, faults)
        self._stack: list[str] = []
        self._tasks: dict[str, _Task] = {}
        self._task = _Task()
        self._labels: dict[str, None] = {}
        self._declared: dict[str, str] = {}
        self._kinds: dict[str, Kind] = {}
        self._options: dict[str, tuple[str, ...]] = {}
        self._open: _Open | None = None
        self._box: tuple[dict[str, str], str] | None = None
        self._attribute = ""
        self._tracks: list[tuple[str, Track]] = []  # with the task's id
        self._images = 0

    # --- events

    def start(self, name: str, attributes: dict[str, str], line: int) -> None:
        parent = self._stack[-1] if self._stack else ""
        if not self._stack and name != "annotations":
            raise InputError(f"{at(self._path, line)}: the root is <{name}>; expected <annotations> (CVAT's XML 1.1)")
        self._stack.append(name)
        if self._stack[1:2] == ["meta"]:
            if name in ("task", "job"):
                self._task = _Task(line=line)
                self._tasks[f"line {line}"] = self._task
            elif name == "attribute":
                self._declared = {}
        elif parent == "annotations" and name in ("track", "image"):
            self._open = _Open(attributes=attributes, where=at(self._path, line))
            if name == "image":
                self._start_image(self._open)
        elif parent in ("track", "image") and name == "box":
            self._box = (attributes, at(self._path, line))
        elif name == "attribute":
            self._attribute = attributes.get("name", "")
        elif parent in ("track", "image") and name in OTHER_SHAPES:
            self._faults.ignore(f"{name} shapes (only boxes are read)")

    def end(self, name: str, text: str, line: int) -> None:
        self._stack.pop()
        parent = self._stack[-1] if self._stack else ""
        if self._stack[1:2] == ["meta"]:
            self._meta(name, parent, text.strip(), line)
        elif self._open is None:
            return
        elif name == "attribute" and parent in ("box", "track"):
            self._open.notes[self._attribute] = text.strip()
        elif name == "box":
            self._end_box(self._open)
        elif name == "track":
            self._end_track(self._open)
            self._open = None
        elif name == "image":
            self._open = None

    # --- what the export says of itself

    def _meta(self, name: str, parent: str, text: str, line: int) -> None:
        where, of_task = at(self._path, line), parent in ("task", "job")
        if name == "source" and (of_task or parent == "meta"):
            self._task.source = text
        elif of_task and name == "name":
            self._task.name = text
        elif of_task and name == "id":
            self._tasks = {text if task is self._task else key: task for key, task in self._tasks.items()}
        elif of_task and name == "start_frame" and text:
            self._task.first = number(text, name, where, self._faults) or 0.0
        elif of_task and name == "stop_frame" and text:
            self._task.last = number(text, name, where, self._faults)
        elif parent == "original_size" and name in ("width", "height"):
            setattr(self._task, name, number(text, name, where, self._faults) or 0.0)
        elif parent == "label" and name == "name":
            self._labels[text] = None
        elif parent == "attribute":
            self._declared[name] = text
        elif name == "attribute" and self._declared.get("name"):
            attribute = self._declared["name"]
            if kind := _KINDS.get(self._declared.get("input_type", "")):
                self._kinds[attribute] = kind
            values = [value.strip() for value in self._declared.get("values", "").splitlines()]
            known = self._options.get(attribute, ())
            self._options[attribute] = tuple(dict.fromkeys([*known, *(value for value in values if value)]))

    # --- boxes

    def _end_box(self, track: _Open) -> None:
        assert self._box is not None
        (attributes, where), faults = self._box, self._faults
        box = [number(attributes.get(key), key, where, faults) for key in ("xtl", "ytl", "xbr", "ybr")]
        notes = sorted(track.notes.items())
        if self._stack[-1] == "image":
            track.notes = {}
            if track.picture is not None and _is_box(box, attributes, where, faults):
                label = attributes.get("label", "")
                self._pictures.box(*track.picture, box, label=label, who=None, notes=notes, where=where)
            return
        frame = whole(attributes.get("frame"), "frame", where, faults)
        if frame is not None and _is_box(box, attributes, where, faults) and checked_box(box, where, faults):
            visible = attributes.get("outside", "0") != "1"
            track.shapes.add(float(frame), box, self._book.add(notes), where, visible=visible)

    def _end_track(self, track: _Open) -> None:
        task = self._task_of(track)
        made = track.shapes.track(
            video=0, where=track.where, label=track.attributes.get("label", ""), who=str(len(self._tracks) + 1),
            faults=self._faults, moves=True, until=-1.0 if task.last is None else task.last,
        )  # fmt: skip
        if made is not None:
            self._tracks.append((track.attributes.get("task_id", ""), made))

    def _start_image(self, image: _Open) -> None:
        self._images += 1
        name, task = image.attributes.get("name", ""), self._task_of(image)
        told = video_and_number(name, task.source or task.name)
        if told is None:
            self._faults.add(
                f"{image.where}: image {name!r} tells no video and frame; expected a name like video/000012.png"
            )
            return
        sides = [number(image.attributes.get(key), key, image.where, self._faults) for key in ("width", "height")]
        size = (int(sides[0]), int(sides[1])) if sides[0] and sides[1] else None
        picture = told[0], self._rule.instant(told[1])
        if self._pictures.picture(*picture, size, image.where):
            image.picture = picture

    def _task_of(self, opened: _Open) -> _Task:
        return self._tasks.get(opened.attributes.get("task_id", ""), next(iter(self._tasks.values()), self._task))

    def done(self) -> Annotations:
        """What was read."""
        labels = tuple(self._labels)
        self._faults.ignore("files without a track or an image", int(not self._tracks and not self._images))
        if self._images:
            if self._tracks:
                self._faults.ignore("tracks beside images", len(self._tracks))
            return self._pictures.annotations(self._kinds, labels, self._options)
        index: dict[str, int] = {}
        footage: list[Footage] = []
        for key, task in (self._tasks or {"": self._task}).items():
            index[key] = len(footage)
            size = (int(task.width), int(task.height)) if task.width and task.height else None
            span = None if task.last is None else (task.first, task.last)
            name, where = task.source or task.name, at(self._path, task.line)
            footage.append(Footage(name=name, where=where, clock="frames", size=size, span=span))
        tracks = [replace(track, video=index.get(key, 0)) for key, track in self._tracks]
        return Annotations(
            footage=tuple(footage), tracks=tuple(tracks), notes=self._book.all, kinds=self._kinds, labels=labels,
            options=self._options, tracked=True, faults=self._faults,
        )  # fmt: skip


def _is_box(
    corners: list[float | None], attributes: dict[str, str], where: str, faults: Faults
) -> TypeGuard[list[float]]:
    """Whether all four are numbers and the box stands upright; `number` has told of those that are none."""
    turned = number(attributes.get("rotation") or "0", "rotation", where, faults)
    if turned:
        faults.add(f"{where}: a box turned by {turned:g} degrees; expected upright boxes")
    return None not in corners and turned == 0
