"""Person boxes in the published pickles of MMAction2 and ACAR-Net, already read by the restricted
unpickler.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from relact.errors import InputError, at
from relact.interop.ava_csv import SLACK
from relact.interop.box_table import Bools, BoxTable, Floats, Ints, make_table
from relact.interop.faults import Faults


class _Entry(NamedTuple):
    video: str
    time_s: float
    boxes: Floats  # [N, 5], score last
    label: list[tuple[int, int]]  # (row, action id)
    key: str


def read(path: str | Path, content: object, units: str | None, faults: Faults) -> BoxTable:
    """A table from the pickle's content.

    Faults are entries of no known layout, boxes outside the picture and scores outside 0 to 1. Raises InputError for
    a content that is neither.
    """
    if isinstance(content, dict):
        entries = list(_proposals(path, content, faults))
    elif isinstance(content, (tuple, list)):
        entries = list(_acar(path, content, faults))
    else:
        raise InputError(f"{at(path)}: {_expected()}, got {type(content).__name__}")
    videos = list(dict.fromkeys(entry.video for entry in entries))
    code = {video: k for k, video in enumerate(videos)}
    rows = np.concatenate([np.zeros((0, 5)), *(entry.boxes for entry in entries)])
    length = np.asarray([len(entry.boxes) for entry in entries], np.int64)
    bad = _bad_rows(path, entries, rows, length, units, faults)
    number = np.repeat(np.arange(1, len(entries) + 1), length)
    video = np.asarray([code[entry.video] for entry in entries], np.int64)
    time = np.asarray([entry.time_s for entry in entries], np.float64)
    first = np.cumsum(length) - length
    pairs = [
        (start + row, action)
        for start, entry in zip(first.tolist(), entries, strict=True)
        for row, action in entry.label
    ]
    source = np.asarray([*range(len(rows)), *(row for row, _ in pairs)], np.int64)
    label = np.asarray([-1] * len(rows) + [action for _, action in pairs], np.int64)
    source, label = source[~bad[source]], label[~bad[source]]
    return make_table(
        path=path,
        clock="seconds",
        units="pixel" if units == "pixel" else "unit",
        videos=videos,
        video=np.repeat(video, length)[source],
        instant=np.repeat(time, length)[source],
        boxes=rows[source, :4],
        score=rows[source, 4],
        label=label,
        line=number[source],
        line_word="entry",
        empty_video=video[length == 0],
        empty_instant=time[length == 0],
        faults=faults,
    )


def _bad_rows(
    path: str | Path, entries: Sequence[_Entry], rows: Floats, length: Ints, units: str | None, faults: Faults
) -> Bools:
    """Rows of a box or score that cannot be, `[R]`."""
    boxes, score = rows[:, :4], rows[:, 4]
    problems = np.zeros((4, len(rows)), np.bool_)
    problems[0] = ~np.isfinite(boxes).all(axis=1)
    problems[1] = (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    problems[2] = ((boxes < -SLACK) | (boxes > 1 + SLACK)).any(axis=1) & (units != "pixel")
    problems[3] = ~((score >= 0) & (score <= 1 + 1e-6))

    def say(row: int) -> str:
        number = int(np.searchsorted(np.cumsum(length), row, side="right"))
        person = row - int(length[:number].sum()) + 1
        what = (
            "is not four finite numbers; expected x1, y1, x2, y2 and a score",
            "has x2 < x1 or y2 < y1; expected x1, y1, x2, y2 and a score",
            "lies outside the picture, which is 0 to 1. Pixel boxes? add --box-units pixel",
            f"has the score {score[row]:g}; expected x1, y1, x2, y2 and a score from 0 to 1",
        )[int(problems[:, row].argmax())]
        box = "(" + ", ".join(f"{value:g}" for value in boxes[row]) + ")"
        return f"{at(path)} entry {number + 1} ({entries[number].key!r}) row {person}: box {box} {what}"

    bad = np.asarray(problems.any(axis=0), np.bool_)
    faults.add_rows(bad, say)
    return bad


def _expected() -> str:
    return "expected proposals: a dict of 'video,0902' to an array [N, 5], or ACAR-Net's annotation"


def _proposals(path: str | Path, content: Mapping[Any, Any], faults: Faults) -> Iterator[_Entry]:
    for number, (key, value) in enumerate(content.items(), start=1):
        video, comma, time = str(key).rpartition(",")
        try:
            boxes = np.asarray(value)
        except ValueError:  # rows of several lengths
            boxes = np.asarray(None)
        if boxes.size == 0:
            boxes = np.zeros((0, 5))
        if not comma or boxes.ndim != 2 or boxes.shape[1] != 5 or boxes.dtype.kind not in "fiu":
            unscored = boxes.ndim == 2 and boxes.shape[1] == 4
            got = f"shape {list(boxes.shape)}" if boxes.dtype.kind in "fiu" else "no numbers"
            hint = "; the fifth column is the score" if unscored else ""
            faults.add(f"{at(path)} entry {number} ({key!r}): {_expected()}, got {got}{hint}")
        elif (seconds := _seconds(path, number, time, faults)) is not None:
            yield _Entry(video, seconds, boxes.astype(np.float64), [], str(key))


def _acar(path: str | Path, content: Sequence[Any], faults: Faults) -> Iterator[_Entry]:
    """`(entries, idx_to_class)`, or the entries alone; labels are indices into the classes, whose `id` is
    AVA's.
    """
    paired = len(content) == 2 and isinstance(content[0], list)
    entries = content[0] if paired else content
    classes: Any = content[1] if paired else None
    for number, entry in enumerate(entries, start=1):
        try:
            people = entry["labels"]
            boxes = np.asarray([person["bounding_box"] for person in people], np.float64).reshape(-1, 4)
            label = [(row, index) for row, person in enumerate(people) for index in person.get("label", ())]
            if any(index < 0 for _, index in label):
                raise ValueError("a label below 0; expected indices into the classes")
            ids = [(row, int(classes[index]["id"])) for row, index in label] if classes is not None else []
            video, time = str(entry["video"]), str(entry["time"])
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            faults.add(f"{at(path)} entry {number}: {_expected()} ({type(error).__name__}: {error})")
            continue
        scored = np.column_stack([boxes, np.ones(len(boxes))])
        if (seconds := _seconds(path, number, time, faults)) is not None:
            yield _Entry(video, seconds, scored, ids, f"{video},{time}")


def _seconds(path: str | Path, number: int, text: str, faults: Faults) -> float | None:
    try:
        return float(text)
    except ValueError:
        faults.add(f"{at(path)} entry {number}: time {text!r}; expected seconds")
        return None
