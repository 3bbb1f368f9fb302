"""Columns in the fewest bytes that a page can read at once: little-endian numbers in base64."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from relact.viz.draw import short_names
from relact.viz.palette import colour
from relact.viz.report.data import Floats, Found, Ints, ReportData, SegmentColumns, Truth

SCORE_UNIT = 10_000
BOX_UNIT = 65_535
TIME_UNIT = 1_000
"""a score, a box's edge and a second are integers of so many parts: the tables' own digits, and half a pixel of 32k"""

TOP_ACTIONS = 4

Json = dict[str, Any]


def column(values: npt.NDArray[np.integer]) -> Json:
    """Integers from 0 (`t` tells their width in bits), or from -1 (`t` negative)."""
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    assert low >= -1, f"expected numbers from -1, got {low}"
    kind, name = next(
        (np.dtype(f"<{'i' if low < 0 else 'u'}{size}"), -8 * size if low < 0 else 8 * size)
        for size in (1, 2, 4)
        if high < 256**size // (2 if low < 0 else 1)
    )
    return {"t": name, "d": base64.b64encode(values.astype(kind).tobytes()).decode()}


def page_data(data: ReportData) -> Json:
    """What the page's script reads."""
    film, found = data.film, data.found
    short = short_names(data.labels)
    people = [
        {"id": person, "colour": "#{:02x}{:02x}{:02x}".format(*colour(person)), "picture": _picture(data, person)}
        for person in found.ids.tolist()
    ]
    return {
        "title": data.title,
        "film": {
            "src": film.src, "width": film.width, "height": film.height, "duration": film.duration, "rate": film.rate,
            "start": film.start, "drawn": film.drawn, "embedded": film.embed and _kind(film.embed), "note": film.note,
        },
        "units": {"score": SCORE_UNIT, "box": BOX_UNIT, "time": TIME_UNIT},
        "labels": [
            {"id": label.id, "name": label.name, "short": name, "group": label.group}
            for label, name in zip(data.labels, short, strict=True)
        ],
        "people": people,
        "every": data.every,
        "times": column(_whole(data.times, TIME_UNIT)),
        "found": _found(found),
        "truth": None if data.truth is None else _truth(data.truth, found),
        "segments": _segments(data.segments),
        "looks": [
            {"time": look.time, "person": look.person, "title": look.title, "picture": data_uri(look.picture)}
            for look in data.looks
        ],
        "facts": data.facts,
        "warnings": data.warnings,
    }  # fmt: skip


def summary(data: ReportData) -> Json:
    """What the index of a folder says of this video."""
    length = data.segments.end - data.segments.start
    seconds = np.bincount(data.segments.column, weights=length, minlength=len(data.labels))
    best = [k for k in np.argsort(-seconds, kind="stable")[:TOP_ACTIONS].tolist() if seconds[k] > 0]
    short = short_names(data.labels)
    return {
        "title": data.title,
        "duration": data.film.duration,
        "people": len(data.found.ids),
        "segments": len(length),
        "actions": [{"name": short[k], "group": data.labels[k].group, "seconds": round(seconds[k], 1)} for k in best],
        "poster": data_uri(data.poster),
        "warnings": data.warnings,
    }


def data_uri(jpeg: bytes | None) -> str | None:
    """A picture as an address of itself."""
    return None if jpeg is None else "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def _kind(film: Path) -> str:
    return "video/webm" if film.suffix.lower() == ".webm" else "video/mp4"


def _picture(data: ReportData, person: int) -> str | None:
    return data_uri(data.pictures.get(person))


def _found(found: Found) -> Json:
    return {
        "first": column(_first(found.person, len(found.ids))),
        "keyframe": column(found.keyframe),
        "box": column(_whole(found.boxes.clip(0, 1), BOX_UNIT).reshape(-1)),
        "boxScore": column(_whole(found.box_scores.clip(0, 1), SCORE_UNIT)),
        "firstAction": column(_first(found.box, len(found.person))),
        "label": column(found.column),
        "score": column(_whole(found.scores.clip(0, 1), SCORE_UNIT)),
    }


def _truth(truth: Truth, found: Found) -> Json:
    """Each action of truth comes with the score that the matched person was given for it, 0 without one."""
    match = truth.match[truth.box]
    num_labels = int(max(truth.column.max(initial=0), found.column.max(initial=0))) + 1
    known, wanted = found.box * num_labels + found.column, match * num_labels + truth.column
    order = np.argsort(known)
    place = np.searchsorted(known[order], wanted).clip(max=max(len(known) - 1, 0))
    given = np.append(found.scores[order], 0.0)[place]
    same = (match >= 0) & (np.append(known[order], -1)[place] == wanted)
    return {
        "names": truth.names,
        "first": column(_first(truth.track, len(truth.names))),
        "keyframe": column(truth.keyframe),
        "box": column(_whole(truth.boxes.clip(0, 1), BOX_UNIT).reshape(-1)),
        "match": column(truth.match),
        "firstAction": column(_first(truth.box, len(truth.track))),
        "label": column(truth.column),
        "score": column(_whole(np.where(same, given, 0.0).clip(0, 1), SCORE_UNIT)),
    }


def _segments(segments: SegmentColumns) -> Json:
    return {
        "person": column(segments.person),
        "label": column(segments.column),
        "start": column(_whole(segments.start, TIME_UNIT)),
        "end": column(_whole(segments.end, TIME_UNIT)),
        "mean": column(_whole(segments.mean.clip(0, 1), SCORE_UNIT)),
        "peak": column(_whole(segments.peak.clip(0, 1), SCORE_UNIT)),
        "count": column(segments.count),
    }


def _first(group: Ints, count: int) -> Ints:
    """Where the rows of each group begin, and the end: `[count + 1]`; `group` ascends."""
    return np.searchsorted(group, np.arange(count + 1)).astype(np.int64)


def _whole(values: Floats, unit: int) -> Ints:
    return np.rint(values * unit).astype(np.int64)
