"""COCO's JSON with videos: `videos`, `images` with video_id and frame_index, `annotations` with bbox and track_id.

Also as CVAT and others write it without `videos`: the image's file name then tells video and frame. A box is left, top,
width, height in pixels. What people do: `attributes` (as CVAT's), `actions` (names or category ids), else the category.
"""

from pathlib import Path
from typing import Any

from relact.errors import InputError
from relact.interop.annotations.opened import load_json
from relact.interop.annotations.pictures import FrameRule, Pictures, video_and_number
from relact.interop.annotations.tracks import Annotations, Kind, at_path, number, whole
from relact.interop.faults import Faults

FRAME = ("frame_index", "frame_id", "frame")
WHO = ("track_id", "instance_id", "person_id")
_OF_TOOL = frozenset(["occluded", "track_id", "keyframe", "rotation", "outside", "iscrowd", "truncated"])

_Image = tuple[str, float]  # video, instant


def read(path: Path, rule: FrameRule, faults: Faults) -> Annotations:
    """All boxes. Raises InputError, or adds to `faults`, naming the place in the JSON."""
    content = load_json(path)
    lists = ("images", "annotations")
    if not isinstance(content, dict) or not all(isinstance(content.get(name), list) for name in lists):
        has = ", ".join(map(str, content))[:100] if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path}: expected COCO's object with lists images and annotations, got {has}")
    names = {
        entry.get("id"): str(entry.get("name") or entry.get("file_name") or entry.get("id"))
        for entry in _entries(path, content, "videos", faults)
    }
    categories = {
        entry.get("id"): str(entry.get("name", entry.get("id")))
        for entry in _entries(path, content, "categories", faults)
    }
    pictures = Pictures(rule.clock, faults)
    images: dict[Any, _Image] = {}
    for k, entry in enumerate(content["images"]):
        where = at_path(path, f"images[{k}]")
        image = _image(entry, names, rule, where, faults)
        if image is not None and pictures.picture(*image, _size(entry), where):
            images[entry.get("id")] = image
    kinds: dict[str, Kind] = {}
    for k, entry in enumerate(content["annotations"]):
        _annotation(entry, at_path(path, f"annotations[{k}]"), images, categories, pictures, kinds, faults)
    return pictures.annotations(kinds, tuple(categories.values()), {})


def _entries(path: Path, content: dict[str, Any], name: str, faults: Faults) -> list[dict[str, Any]]:
    found = content.get(name, [])
    if not isinstance(found, list):
        raise InputError(f"{at_path(path, name)}: expected a list, got {type(found).__name__}")
    for k, entry in enumerate(found):
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), int | str):
            faults.add(f"{at_path(path, f'{name}[{k}]')}: expected an object with an id, got {str(entry)[:60]}")
    return [entry for entry in found if isinstance(entry, dict) and isinstance(entry.get("id"), int | str)]


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    good = isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0
    return (width, height) if good else None  # type: ignore[return-value]


def _image(entry: Any, names: dict[Any, str], rule: FrameRule, where: str, faults: Faults) -> _Image | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), int | str):
        faults.add(f"{where}: expected an object with an id, got {str(entry)[:60]}")
        return None
    field = next((name for name in FRAME if name in entry), None)
    if "video_id" not in entry or field is None:
        told = video_and_number(str(entry.get("file_name", "")), "")
        if told is None:
            faults.add(f"{where}: expected video_id and {FRAME[0]}, or a file_name such as video/000012.jpg")
        return None if told is None else (told[0], rule.instant(told[1]))
    video = names.get(entry["video_id"]) if isinstance(entry["video_id"], int | str) else None
    if video is None:
        faults.add(f"{where}.video_id: {entry['video_id']!r} is not among the {len(names)} videos")
        return None
    frame = whole(entry[field], field, where, faults)
    return None if frame is None else (video, rule.instant(frame))


def _annotation(
    entry: Any,
    where: str,
    images: dict[Any, _Image],
    categories: dict[Any, str],
    pictures: Pictures,
    kinds: dict[str, Kind],
    faults: Faults,
) -> None:
    key = entry.get("image_id") if isinstance(entry, dict) else None
    if not isinstance(key, int | str) or key not in images:
        faults.add(f"{where}.image_id: {key!r} is not among the images")
        return
    category = entry.get("category_id")
    if not isinstance(category, int | str) or category not in categories:
        faults.add(f"{where}.category_id: {category!r} is not among the {len(categories)} categories")
        return
    bbox = entry.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4:
        faults.add(f"{where}.bbox: {str(bbox)[:60]}; expected [left, top, width, height]")
        return
    sides = [number(value, "bbox", where, faults) for value in bbox]
    if None in sides:
        return
    x, y, width, height = (side if side is not None else 0.0 for side in sides)
    attributes = entry.get("attributes") if isinstance(entry.get("attributes"), dict) else {}
    who = next((str(source[name]) for source in (entry, attributes) for name in WHO if _is_id(source.get(name))), None)
    notes = [(name, str(value).lower() if isinstance(value, bool) else str(value)) for name, value in attributes.items()
             if name not in _OF_TOOL]  # fmt: skip
    kinds |= {name: "number" for name, value in attributes.items() if _is_number(value)}
    for action in entry.get("actions", ()) if isinstance(entry.get("actions", ()), list) else ():
        known = categories.get(action, str(action)) if isinstance(action, int | str) else str(action)
        notes.append((known, "true"))
        kinds[known] = "checkbox"
    pictures.box(
        *images[key], [x, y, x + width, y + height], label=categories[category], who=who, notes=notes, where=where
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_id(value: object) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool) and value not in (-1, "")
