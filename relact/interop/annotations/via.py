"""VIA (VGG Image Annotator): version 3's projects of videos, version 2's projects of frames.

Version 3: a region is a box at a second of a video; its attributes are what is written beside it. A temporal segment
speaks of the person that its attributes name, for all boxes of that person in its time; one that names nobody is
ignored. Version 2: pictures whose names carry video and frame.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relact.errors import InputError
from relact.interop.annotations.naming import PERSON
from relact.interop.annotations.opened import load_json
from relact.interop.annotations.pictures import FrameRule, Pictures, video_and_number
from relact.interop.annotations.tracks import Annotations, Kind, at_path, number
from relact.interop.faults import Faults

_RECTANGLE, _VIDEO = 2, 4
_KINDS: dict[int, Kind] = {1: "text", 2: "checkbox", 3: "select", 4: "select"}
_LONGEST = 24 * 3600.0


def read(path: Path, rule: FrameRule, faults: Faults, person: str | None = None) -> Annotations:
    """A project or its metadata. `person` is the attribute that says who, for temporal segments.

    Raises InputError, or adds to `faults`, naming the place in the JSON.
    """
    content = load_json(path)
    if isinstance(content, dict) and "metadata" in content and "file" in content:
        return _Version3(path, content, faults, person).annotations()
    if isinstance(content, dict) and "_via_img_metadata" in content:
        attributes = _dict(_dict(content.get("_via_attributes", {})).get("region", {}))
        return _version2(path, content["_via_img_metadata"], "_via_img_metadata", attributes, rule, faults)
    if isinstance(content, dict) and any(isinstance(v, dict) and "regions" in v for v in content.values()):
        return _version2(path, content, "", {}, rule, faults)
    raise InputError(
        f"{path}: expected a VIA 3 project (metadata, file, attribute) or a VIA 2 project (_via_img_metadata)"
    )


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attribute:
    name: str
    kind: int
    options: Mapping[str, str]

    def notes(self, said: Any) -> list[tuple[str, str]]:
        """Option numbers → values. Several of a checkbox become notes of their own: each option is an action."""
        if self.kind == 1:
            return [(self.name, str(said))]
        values = [self.options.get(part.strip(), part.strip()) for part in str(said).split(",")]
        if self.kind == 2:
            return [(value, "true") for value in values if value]
        return [(self.name, value) for value in values[:1]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Region:
    second: float
    box: list[float]
    notes: list[tuple[str, str]]
    where: str


class _Version3:
    def __init__(self, path: Path, content: dict[str, Any], faults: Faults, person: str | None) -> None:
        self._path, self._faults, self._person = path, faults, person
        self._attributes = {
            str(key): _Attribute(
                name=str(_dict(value).get("aname", key)),
                kind=int(_dict(value).get("type", 1)) if str(_dict(value).get("type", 1)).isdigit() else 1,
                options={str(k): str(v) for k, v in _dict(_dict(value).get("options", {})).items()},
            )
            for key, value in _dict(content.get("attribute", {})).items()
        }
        self._metadata = _dict(content["metadata"])
        self._videos: dict[str, str] = {}
        for key, view in _dict(content.get("view", {})).items():
            files = _dict(view).get("fid_list")
            file = _dict(_dict(content["file"]).get(str(files[0]) if isinstance(files, list) and files else ""))
            if file.get("fname"):
                self._videos[str(key)] = str(file["fname"])
        self._regions: dict[str, list[_Region]] = {}
        self._segments: list[tuple[str, str, float, float, list[tuple[str, str]]]] = []

    def annotations(self) -> Annotations:
        """All regions, with what segments say of their people."""
        for key, entry in self._metadata.items():
            self._entry(str(key), _dict(entry))
        self._spread()
        pictures = Pictures("seconds", self._faults)
        for video, regions in self._regions.items():
            for region in regions:
                if pictures.picture(video, region.second, None, region.where):
                    pictures.box(
                        video, region.second, region.box, label="", who=None, notes=region.notes, where=region.where
                    )
        kinds: dict[str, Kind] = {}
        options: dict[str, tuple[str, ...]] = {}
        for attribute in self._attributes.values():
            if attribute.kind == 2:
                kinds |= {value: "checkbox" for value in attribute.options.values() if value}
            else:
                kinds[attribute.name] = _KINDS.get(attribute.kind, "text")
                options[attribute.name] = tuple(value for value in attribute.options.values() if value)
        return pictures.annotations(kinds, (), options)

    def _entry(self, key: str, entry: dict[str, Any]) -> None:
        where = at_path(self._path, f"metadata.{key}")
        video = self._videos.get(str(entry.get("vid")))
        if video is None:
            known = ", ".join(list(self._videos)[:5])
            self._faults.add(f"{where}.vid: {entry.get('vid')!r} is no view with a file; expected one of {known}")
            return
        times, shape = entry.get("z"), entry.get("xy")
        if not isinstance(times, list) or not isinstance(shape, list) or not times:
            self._faults.add(f"{where}: expected z (seconds) and xy (a shape), got z={times!r} xy={shape!r}"[:300])
            return
        seconds = [number(time, "z", where, self._faults) for time in times]
        notes = [
            note
            for name, said in _dict(entry.get("av", {})).items()
            for note in (self._attributes[name].notes(said) if name in self._attributes else [])
        ]
        if None in seconds:
            return
        start = seconds[0] or 0.0
        if not shape:
            self._segment(video, start, seconds[-1] or 0.0, notes)
        elif shape[0] != _RECTANGLE or len(shape) != 5:
            self._faults.ignore("shapes that are no rectangles")
        else:
            sides = [number(value, "xy", where, self._faults) for value in shape[1:]]
            x, y, width, height = (side if side is not None else 0.0 for side in sides)
            if None not in sides:
                region = _Region(second=start, box=[x, y, x + width, y + height], notes=notes, where=where)
                self._regions.setdefault(video, []).append(region)

    def _segment(self, video: str, start: float, end: float, notes: list[tuple[str, str]]) -> None:
        who = _who(notes, self._person)
        if who is None:
            self._faults.ignore("temporal segments that name no person")
        else:
            self._segments.append((video, who, start, end, notes))

    def _spread(self) -> None:
        """Adds each segment's notes to the boxes of its person in its time."""
        of_person: dict[tuple[str, str], list[_Region]] = {}
        for video, regions in self._regions.items():
            regions.sort(key=lambda region: region.second)
            for region in regions:
                who = _who(region.notes, self._person)
                if who is not None:
                    of_person.setdefault((video, who), []).append(region)
        seconds = {key: [region.second for region in regions] for key, regions in of_person.items()}
        for video, who, start, end, notes in self._segments:
            times = seconds.get((video, who), [])
            found = slice(bisect_left(times, start), bisect_right(times, min(end, start + _LONGEST)))
            for region in of_person.get((video, who), [])[found]:
                region.notes.extend(note for note in notes if note not in region.notes)


def _who(notes: list[tuple[str, str]], person: str | None) -> str | None:
    return next(
        (value for name, value in notes if (name == person if person else name.casefold() in PERSON) and value), None
    )


def _version2(
    path: Path, entries: Any, root: str, attributes: dict[str, Any], rule: FrameRule, faults: Faults
) -> Annotations:
    kinds: dict[str, Kind] = {}
    options: dict[str, tuple[str, ...]] = {}
    for name, value in attributes.items():
        asked, offered = _dict(value).get("type"), _dict(_dict(value).get("options", {}))
        if asked == "checkbox":
            kinds |= {option: "checkbox" for option in offered}
        else:
            kinds[name] = "select" if asked in ("dropdown", "radio") else "text"
            options[name] = tuple(offered)
    pictures = Pictures(rule.clock, faults)
    for key, value in _dict(entries).items():
        where = at_path(path, f"{root}[{str(key)[:60]!r}]")
        entry = _dict(value)
        told = video_and_number(str(entry.get("filename", "")), "")
        if told is None:
            faults.add(
                f"{where}.filename: {entry.get('filename')!r} tells no video and frame; expected video_000012.jpg"
            )
            continue
        video, instant = told[0], rule.instant(told[1])
        if not pictures.picture(video, instant, None, where):
            continue
        regions = entry.get("regions", [])
        if not isinstance(regions, list | dict):
            faults.add(f"{where}.regions: {str(regions)[:60]}; expected a list")
            continue
        for k, region in enumerate(regions.values() if isinstance(regions, dict) else regions):
            _region2(_dict(region), pictures, video, instant, kinds, f"{where}.regions[{k}]", faults)
    return pictures.annotations(kinds, (), options)


def _region2(
    region: dict[str, Any],
    pictures: Pictures,
    video: str,
    instant: float,
    kinds: dict[str, Kind],
    where: str,
    faults: Faults,
) -> None:
    shape = _dict(region.get("shape_attributes", {}))
    if shape.get("name") != "rect":
        faults.ignore("shapes that are no rectangles")
        return
    sides = [number(shape.get(name), name, where, faults) for name in ("x", "y", "width", "height")]
    x, y, width, height = (side if side is not None else 0.0 for side in sides)
    if None in sides:
        return
    notes: list[tuple[str, str]] = []
    for name, said in _dict(region.get("region_attributes", {})).items():
        if isinstance(said, dict):
            notes += [(option, "true") for option, chosen in said.items() if chosen]
            kinds |= {option: "checkbox" for option in said}
        else:
            notes.append((name, str(said)))
            kinds.setdefault(name, "text")
    pictures.box(video, instant, [x, y, x + width, y + height], label="", who=None, notes=notes, where=where)
