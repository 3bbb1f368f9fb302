"""Person boxes in JSON: a plain schema of our own, or COCO's.

    [{"video": "a.mp4", "time_s": 1.0, "box": [x1, y1, x2, y2], "score": 0.9, "person_id": 3}, …]
    [{"time_s": 1.0, "boxes": [[x1, y1, x2, y2], …], "scores": […], "person_ids": […]}, …]
    {"units": "pixel", "boxes": [ … as above … ]}
    {"images": [{"id", "video_id" or "file_name", "frame" or "frame_id", "width", "height"}],
     "annotations": [{"image_id", "bbox": [x, y, width, height], "score", "track_id", "category_id"}], "videos": …}

`video`, `score`, `person_id` may be absent; `frame` (from 0) may stand for `time_s`, throughout one file.
`units` is "unit" (0 to 1) or "pixel", in the file or by argument. COCO boxes are pixels of the image's width
and height.
"""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np

from relact.errors import InputError, at
from relact.interop.box_table import BoxTable, make_table
from relact.interop.faults import Faults

_Row = tuple[int, str, float, list[float], float, int]  # entry, video, instant, box, score, person


def read(path: str | Path, text: str, units: str | None, faults: Faults) -> BoxTable:
    """A table from the text of a JSON file; broken entries are `faults`. Raises InputError naming the line of broken
    JSON.
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{at(path, error.lineno)}: broken JSON ({error.msg}); expected person boxes") from error
    if isinstance(content, dict) and "annotations" in content and "images" in content:
        return _coco(path, content, faults)
    entries = content.get("boxes") if isinstance(content, dict) else content
    if not isinstance(entries, list):
        raise InputError(
            f"{at(path)}: expected a list of {{time_s or frame, box or boxes}}, or COCO's images and annotations"
        )
    stated = units or (content.get("units") if isinstance(content, dict) else None) or _stated(entries) or "unit"
    if stated not in ("unit", "pixel"):
        raise InputError(f"{at(path)}: units {stated!r}; expected 'unit' or 'pixel'")
    clock: Literal["seconds", "frames"] = "frames" if _uses(entries, "frame") else "seconds"
    rows: list[_Row] = []
    empty: list[tuple[str, float]] = []
    for number, entry in enumerate(entries, start=1):
        try:
            found = _rows_of(path, number, entry, clock)
        except InputError as error:
            faults.add(str(error))
            continue
        rows += found
        if not found:
            empty.append((str(entry.get("video", "")), _instant(path, number, entry, clock)))
    return _table(path, rows, empty, clock, "pixel" if stated == "pixel" else "unit", faults)


def _stated(entries: list[Any]) -> str | None:
    return next((entry["units"] for entry in entries if isinstance(entry, dict) and "units" in entry), None)


def _uses(entries: list[Any], field: str) -> bool:
    return bool(entries) and isinstance(entries[0], dict) and "time_s" not in entries[0] and field in entries[0]


def _instant(path: str | Path, number: int, entry: Any, clock: str) -> float:
    field = "frame" if clock == "frames" else "time_s"
    if (
        not isinstance(entry, dict)
        or isinstance(entry.get(field), bool)
        or not isinstance(entry.get(field), (int, float))
    ):
        raise InputError(f"{at(path)} entry {number}: no number {field!r}; expected one in every entry")
    return float(entry[field])


def _rows_of(path: str | Path, number: int, entry: Any, clock: str) -> list[_Row]:
    instant = _instant(path, number, entry, clock)
    single = "box" in entry
    try:
        boxes = [entry["box"]] if single else entry["boxes"]
        count = len(boxes)
        scores = [entry.get("score", 1.0)] if single else entry.get("scores", [1.0] * count)
        people = [entry.get("person_id", -1)] if single else entry.get("person_ids", [-1] * count)
        return [
            (
                number,
                str(entry.get("video", "")),
                instant,
                [float(value) for value in box],
                float(score),
                int(person),
            )
            for box, score, person in zip(boxes, scores, people, strict=True)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{at(path)} entry {number}: {type(error).__name__}: {error}; expected box [x1, y1, x2, y2], or boxes with "
            "as many scores and person_ids"
        ) from error


def _table(
    path: str | Path,
    rows: list[_Row],
    empty: list[tuple[str, float]],
    clock: Literal["seconds", "frames"],
    units: Literal["unit", "pixel"],
    faults: Faults,
    labels: list[int] | None = None,
) -> BoxTable:
    for row in rows:
        if len(row[3]) != 4:
            faults.add(f"{at(path)} entry {row[0]}: a box of {len(row[3])} numbers; expected x1, y1, x2, y2")
    rows = [row for row in rows if len(row[3]) == 4]  # COCO's have four
    videos = list(dict.fromkeys([row[1] for row in rows] + [video for video, _ in empty]))
    code = {video: k for k, video in enumerate(videos)}
    return make_table(
        path=path,
        clock=clock,
        units=units,
        videos=videos,
        video=np.asarray([code[row[1]] for row in rows], np.int64),
        instant=np.asarray([row[2] for row in rows], np.float64),
        boxes=np.asarray([row[3] for row in rows], np.float64).reshape(-1, 4),
        score=np.asarray([row[4] for row in rows], np.float64),
        person_id=np.asarray([row[5] for row in rows], np.float64),
        label=labels,
        line=np.asarray([row[0] for row in rows], np.int64),
        line_word="entry",
        empty_video=[code[video] for video, _ in empty],
        empty_instant=[instant for _, instant in empty],
        faults=faults,
    )


def _coco(path: str | Path, content: dict[str, Any], faults: Faults) -> BoxTable:
    """Boxes become fractions of their own image at once: images of one file may differ in size. A broken image raises
    InputError in any case: its boxes would be of none.
    """
    try:
        names = {video["id"]: str(video.get("name", video["id"])) for video in content.get("videos", ())}
        images = {image["id"]: _coco_image(image, names) for image in content["images"]}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{at(path)}: broken COCO images ({type(error).__name__}: {error})") from error
    rows: list[_Row] = []
    labels: list[int] = []
    seen: set[Any] = set()
    for number, annotation in enumerate(content["annotations"], start=1):
        try:
            video, frame, width, height = images[annotation["image_id"]]
            seen.add(annotation["image_id"])
            x, y, w, h = (float(value) for value in annotation["bbox"])
            score = float(annotation.get("score", 1.0))
            person = int(annotation.get("track_id", annotation.get("person_id", -1)))
            label = int(annotation.get("action_id", -1))
        except (KeyError, TypeError, ValueError) as error:
            faults.add(
                f"{at(path)} entry {number}: {type(error).__name__}: {error}; expected image_id of an image with "
                "frame, width and height, and bbox [x, y, width, height]"
            )
            continue
        labels.append(label)
        box = [x / width, y / height, (x + w) / width, (y + h) / height]
        rows.append((number, video, frame, box, score, person))
    empty = [(video, frame) for key, (video, frame, _, _) in images.items() if key not in seen]
    return _table(path, rows, empty, "frames", "unit", faults, labels)


def _coco_image(image: dict[str, Any], names: dict[Any, str]) -> tuple[str, float, float, float]:
    key = image.get("video_id")
    frame = image["frame"] if "frame" in image else image["frame_id"]
    video = "" if key is None else names.get(key, str(key))
    return video, float(frame), float(image["width"]), float(image["height"])
