"""Label Studio's JSON export of `<VideoRectangle>` regions.

Boxes are per cent of the picture. Between two keyframes the box moves in a straight line; one that is switched off
(`enabled: false`) ends with its keyframe, and the last one holds to the end. Frames count from 1 at the rate that the
labelling interface assumed, so they are turned into seconds by it (framesCount / duration). What people do: choices and
texts written for the region (`perRegion`), else its labels.
"""

from pathlib import Path
from typing import Any

import numpy as np

from relact.errors import InputError
from relact.interop.annotations.opened import load_json
from relact.interop.annotations.tracks import (
    Annotations,
    Footage,
    Kind,
    NoteBook,
    Shapes,
    Track,
    at_path,
    checked_box,
    number,
)
from relact.interop.faults import Faults


def read(path: Path, fps: float | None, faults: Faults) -> Annotations:
    """All video regions of the export; `fps` is the interface's frame rate where the file does not tell it.

    Raises InputError, or adds to `faults`, naming the place in the JSON.
    """
    content = load_json(path)
    if not isinstance(content, list) or not all(isinstance(task, dict) for task in content):
        raise InputError(f"{path}: expected Label Studio's JSON export, a list of tasks (not JSON-MIN, not one task)")
    reader = _Reader(path, fps, faults)
    for k, task in enumerate(content):
        reader.task(task, f"[{k}]")
    return reader.done()


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


class _Reader:
    def __init__(self, path: Path, fps: float | None, faults: Faults) -> None:
        self._path, self._fps, self._faults = path, fps, faults
        self._book = NoteBook()
        self._footage: list[Footage] = []
        self._tracks: list[Track] = []
        self._labels: dict[str, None] = {}
        self._kinds: dict[str, Kind] = {}

    def task(self, task: dict[str, Any], place: str) -> None:
        """The first annotation that was not cancelled; others are of other people and say the same again."""
        annotations = task.get("annotations")
        if not isinstance(annotations, list):
            self._faults.add(f"{at_path(self._path, place)}: no list of annotations; expected the JSON export")
            return
        done = [(k, a) for k, a in enumerate(annotations) if isinstance(a, dict) and not a.get("was_cancelled")]
        self._faults.ignore("further annotations of a task", len(done) - 1)
        for k, annotation in done[:1]:
            results = annotation.get("result")
            self._results(task, results if isinstance(results, list) else [], f"{place}.annotations[{k}]")

    def _results(self, task: dict[str, Any], results: list[Any], place: str) -> None:
        regions = [(k, r) for k, r in enumerate(results) if isinstance(r, dict) and r.get("type") == "videorectangle"]
        beside: dict[str, list[tuple[str, str]]] = {}
        for result in results:
            if isinstance(result, dict) and result.get("type") != "videorectangle":
                self._beside(result, beside)
        video, name = len(self._footage), self._video_of(task, regions)
        self._footage.append(Footage(name=name, where=at_path(self._path, place), clock="seconds", per_cent=True))
        for k, region in regions:
            self._region(region, beside.get(str(region.get("id")), []), video, f"{place}.result[{k}]")

    def _video_of(self, task: dict[str, Any], regions: list[tuple[int, dict[str, Any]]]) -> str:
        """The value under the name that the regions are of (`to_name`), else the task's only text."""
        fields = _dict(task.get("data"))
        texts = {name: value for name, value in fields.items() if isinstance(value, str)}
        for _, region in regions:
            if str(region.get("to_name")) in texts:
                return texts[str(region["to_name"])].split("?")[0]
        return (texts.get("video") or next(iter(texts.values()), "")).split("?")[0]

    def _beside(self, result: dict[str, Any], beside: dict[str, list[tuple[str, str]]]) -> None:
        value = _dict(result.get("value"))
        name, kind = str(result.get("from_name", "")), str(result.get("type"))
        said = value.get("choices" if kind == "choices" else "text" if kind == "textarea" else "", [])
        words = [said] if isinstance(said, str) else said if isinstance(said, list) else []
        if kind not in ("choices", "textarea") or not result.get("id"):
            self._faults.ignore(f"results of type {kind}")
            return
        notes = beside.setdefault(str(result["id"]), [])
        if kind == "textarea":
            notes.append((name, ", ".join(map(str, words))))
            self._kinds[name] = "text"
            return
        for word in map(str, words):
            notes.append((word, "true"))
            self._kinds[word] = "checkbox"

    def _region(self, region: dict[str, Any], notes: list[tuple[str, str]], video: int, place: str) -> None:
        where, faults = at_path(self._path, place), self._faults
        value = _dict(region.get("value"))
        sequence = value.get("sequence")
        if not isinstance(sequence, list) or not sequence:
            faults.add(f"{where}.value.sequence: {str(sequence)[:60]}; expected a list of boxes with frame, x, y, …")
            return
        rate = self._rate(value, sequence, where)
        if rate is None:
            return
        labels = [str(label) for label in value.get("labels", [])] if isinstance(value.get("labels", []), list) else []
        self._labels |= dict.fromkeys(labels)
        faults.ignore("second labels of a region", len(labels[1:]))
        number_of_notes = self._book.add(notes)
        shapes = Shapes()
        for k, item in enumerate(sequence):
            self._shape(item, rate, number_of_notes, shapes, f"{where}.value.sequence[{k}]")
        who = str(region.get("id") or len(self._tracks))
        made = shapes.track(
            video=video, where=where, label=labels[0] if labels else "", who=who, faults=faults, moves=True,
            until=np.inf,
        )  # fmt: skip
        self._tracks += [made] if made is not None else []

    def _rate(self, value: dict[str, Any], sequence: list[Any], where: str) -> float | None:
        """Frames a second of the interface: given, or frames over duration, or frame over time of one of the boxes."""
        if self._fps is not None:
            return self._fps
        pairs = [(value.get("framesCount"), value.get("duration"))]
        pairs += [(item.get("frame"), item.get("time")) for item in sequence if isinstance(item, dict)]
        for frames, seconds in pairs:
            if isinstance(frames, int | float) and isinstance(seconds, int | float) and frames > 0 and seconds > 0:
                return frames / seconds
        self._faults.add(f"{where}: neither framesCount and duration nor times in it; give --fps (the interface's)")
        return None

    def _shape(self, item: Any, rate: float, notes: int, shapes: Shapes, where: str) -> None:
        if not isinstance(item, dict):
            self._faults.add(f"{where}: {str(item)[:60]}; expected frame, x, y, width, height, enabled")
            return
        names = ("frame", "x", "y", "width", "height")
        values = [number(item.get(name), name, where, self._faults) for name in names]
        if None in values:
            return
        frame, x, y, width, height = (value if value is not None else 0.0 for value in values)
        box = [x, y, x + width, y + height]
        if item.get("rotation"):
            self._faults.add(f"{where}: a box turned by {item['rotation']} degrees; expected upright boxes")
        elif frame < 1:
            self._faults.add(f"{where}: frame {frame:g}; expected a number from 1")
        elif checked_box(box, where, self._faults):
            second = (frame - 1) / rate
            shapes.add(second, box, notes, where)
            if item.get("enabled") is False:  # still there on its own frame
                shapes.add(float(np.nextafter(second + 0.5 / rate, np.inf)), box, notes, where, visible=False)

    def done(self) -> Annotations:
        """What was read."""
        return Annotations(
            footage=tuple(self._footage), tracks=tuple(self._tracks), notes=self._book.all, kinds=self._kinds,
            labels=tuple(self._labels), options={}, tracked=True, faults=self._faults,
        )  # fmt: skip
