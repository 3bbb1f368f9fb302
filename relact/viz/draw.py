"""People, what they do and who they are, drawn into the pictures of a video."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from relact.labels import LabelMap
from relact.types import Detections
from relact.viz.layout import Layouter, Placement, Rects, leader
from relact.viz.palette import Colour, colour
from relact.viz.plates import Line, Plates

Picture = npt.NDArray[np.uint8]
"""`[H, W, 3]` RGB"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What is drawn at one time: a row per person."""

    time: float
    ids: tuple[int, ...]
    boxes: Rects
    """pixels of the upright frame, `[N, 4]`"""
    lines: tuple[tuple[Line, ...], ...]
    """the actions of each person, best first"""


def sighting(detections: Detections, names: Sequence[str], *, top: int = 3, threshold: float = 0.3) -> Sighting:
    """The `top` actions of each person that reach the threshold, under `names` (see `short_names`)."""
    size = np.array([detections.width, detections.height] * 2, np.float64)
    order = np.argsort(-detections.scores, axis=1, kind="stable")[:, :top]
    best = np.take_along_axis(detections.scores, order, axis=1)
    lines = tuple(
        tuple((names[k], score) for k, score in zip(columns, scores, strict=True) if score >= threshold)
        for columns, scores in zip(order.tolist(), best.tolist(), strict=True)
    )
    ids = tuple(detections.person.tolist())
    return Sighting(time=detections.time, ids=ids, boxes=detections.boxes.astype(np.float64) * size, lines=lines)


def short_names(labels: LabelMap) -> tuple[str, ...]:
    """Names for the screen: AVA's "(e.g., …)" is cut; its first example stays where names would be alike."""
    stems = [name.split("(")[0].strip() for name in labels.names]
    return tuple(
        name if "(e.g., " not in name else stem if stems.count(stem) == 1 else f"{stem} ({_first_example(name)})"
        for name, stem in zip(labels.names, stems, strict=True)
    )


def _first_example(name: str) -> str:
    return name.split("(e.g., ")[1].split(",")[0].rstrip(")")


def interpolate_tracks(sightings: Sequence[Sighting], time: float, *, max_gap: float, hold: float) -> Sighting:
    """Everyone at `time`, from sightings in order: boxes move in straight lines, texts are the nearest.

    A person seen before and after, at most `max_gap` seconds apart, is between the two; one seen on one side
    only stays in place for `hold` seconds.
    """
    earlier: dict[int, tuple[Sighting, int]] = {}
    later: dict[int, tuple[Sighting, int]] = {}
    for seen in sightings:
        for row, person in enumerate(seen.ids):
            if seen.time <= time:
                earlier[person] = (seen, row)
            else:
                later.setdefault(person, (seen, row))
    ids, boxes, lines = [], [], []
    for person in sorted(earlier.keys() | later.keys()):
        found = _between(earlier.get(person), later.get(person), time, max_gap, hold)
        if found is not None:
            ids.append(person)
            boxes.append(found[0])
            lines.append(found[1])
    return Sighting(time=time, ids=tuple(ids), boxes=np.array(boxes).reshape(-1, 4), lines=tuple(lines))


def _between(
    earlier: tuple[Sighting, int] | None,
    later: tuple[Sighting, int] | None,
    time: float,
    max_gap: float,
    hold: float,
) -> tuple[Rects, tuple[Line, ...]] | None:
    if earlier is not None and later is not None and later[0].time - earlier[0].time <= max_gap:
        part = (time - earlier[0].time) / (later[0].time - earlier[0].time)
        (seen, row), (after, row_after) = earlier, later
        box = seen.boxes[row] * (1 - part) + after.boxes[row_after] * part
        return box, (seen.lines[row] if part <= 0.5 else after.lines[row_after])
    near = [(abs(s.time - time), s.boxes[row], s.lines[row]) for s, row in filter(None, (earlier, later))]
    away, box, text = min(near, key=lambda candidate: candidate[0])
    return (box, text) if away <= hold else None


def annotate(
    frames: Iterable[tuple[Picture, float]],
    sightings: Iterable[Sighting],
    painter: "Painter",
    *,
    max_gap: float,
    hold: float,
) -> Iterator[tuple[Picture, float]]:
    """Each frame (RGB, seconds) with what is known at its time; both streams in order of time.

    Reads sightings up to `max_gap` seconds ahead of the frame and forgets those as far behind.
    """
    coming = iter(sightings)
    window: deque[Sighting] = deque()
    reach = max(max_gap, hold)
    for picture, time in frames:
        while not window or window[-1].time <= time + reach:
            following = next(coming, None)
            if following is None:
                break
            window.append(following)
        while window and window[0].time < time - reach:
            window.popleft()
        now = interpolate_tracks(window, time, max_gap=max_gap, hold=hold)
        yield painter.paint(picture, now.boxes, now.ids, now.lines), time


class Painter:
    """Draws picture after picture of one video; remembers plates and where they stood."""

    def __init__(self, *, font: str | None = None) -> None:
        """`font`: a TrueType file for names beyond ASCII; Pillow's own has ASCII only."""
        self._font = font
        self._layouter = Layouter()
        self._plates: dict[tuple[int, int], Plates] = {}

    def paint(self, picture: Picture, boxes_px: Rects, ids: Sequence[int], lines: Sequence[Sequence[Line]]) -> Picture:
        """A copy of the picture with boxes `[N, 4]`, ids and lines; nobody in it is fine."""
        assert len(boxes_px) == len(ids) == len(lines), (len(boxes_px), len(ids), len(lines))
        out = picture.copy()
        height, width = out.shape[:2]
        plates = self._plates.setdefault((width, height), Plates(width, height, self._font))
        boxes = np.asarray(boxes_px, np.float64).reshape(-1, 4).clip(0, [width, height, width, height])
        for box, person in zip(boxes.round().astype(int).tolist(), ids, strict=True):
            _frame(out, box, colour(person), plates.stroke)
        texts = [tuple(text) for text in lines]
        sizes = [plates.sizes(person, text) for person, text in zip(ids, texts, strict=True)]
        placements = self._layouter.place(ids, boxes, sizes, width, height)
        for placement, box, person, size in zip(placements, boxes, ids, sizes, strict=True):
            if placement is not None and placement.leader:
                _join(out, box, placement, size, colour(person), plates.stroke)
        for placement, person, text in zip(placements, ids, texts, strict=True):
            if placement is not None:
                plates.paste(out, placement.x, placement.y, person, text, placement.size)
        return out


def draw(picture: Picture, boxes_px: Rects, ids: Sequence[int], lines: Sequence[Sequence[Line]]) -> Picture:
    """One picture on its own, drawn; for a video keep a `Painter`."""
    return Painter().paint(picture, boxes_px, ids, lines)


def _frame(out: Picture, box: Sequence[int], tint: Colour, stroke: int) -> None:
    """A rectangle of `stroke` pixels inside the box, and a dark line around it that sets it off anything."""
    x1, y1, x2, y2 = box
    if x2 - x1 < 2 * stroke or y2 - y1 < 2 * stroke:
        out[y1:y2, x1:x2] = tint
        return
    for top, bottom, left, right in _sides(x1 - 1, y1 - 1, x2 + 1, y2 + 1, 1):
        out[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] >>= 1
    for top, bottom, left, right in _sides(x1, y1, x2, y2, stroke):
        out[top:bottom, left:right] = tint


def _sides(x1: int, y1: int, x2: int, y2: int, stroke: int) -> tuple[tuple[int, int, int, int], ...]:
    inner_top, inner_bottom = y1 + stroke, y2 - stroke
    return (
        (y1, inner_top, x1, x2),
        (inner_bottom, y2, x1, x2),
        (inner_top, inner_bottom, x1, x1 + stroke),
        (inner_top, inner_bottom, x2 - stroke, x2),
    )


def _join(
    out: Picture, box: Rects, placement: Placement, sizes: npt.NDArray[np.int64], tint: Colour, stroke: int
) -> None:
    """A line from the plate to a dot on the box."""
    corner = np.array([placement.x, placement.y], np.float64)
    rect = np.concatenate([corner, corner + sizes[placement.size]])
    joint, end = leader(box, rect)
    if (joint == end).all():  # the plate lies on the box
        return
    _line(out, joint, end, (0, 0, 0), stroke + 2)
    _line(out, joint, end, tint, stroke)
    x, y = joint.astype(int).tolist()
    height, width = out.shape[:2]
    out[max(y - stroke, 0) : min(y + stroke + 1, height), max(x - stroke, 0) : min(x + stroke + 1, width)] = tint


def _line(
    out: Picture, start: npt.NDArray[np.float64], end: npt.NDArray[np.float64], tint: Colour, thickness: int
) -> None:
    """A smooth line: along the longer axis, each pixel takes the share of it that the line covers."""
    steep = abs(end[1] - start[1]) > abs(end[0] - start[0])
    canvas = out.transpose(1, 0, 2) if steep else out  # a view: rows across, columns along
    (along, across), (along_end, across_end) = (p[::-1] if steep else p for p in (start, end))
    columns = np.arange(int(min(along, along_end)), int(max(along, along_end)) + 1)
    slope = (across_end - across) / (along_end - along or 1)
    centre = across + (columns - along) * slope
    rows = np.floor(centre).astype(int)[:, None] + np.arange(-thickness, thickness + 1)
    share = (thickness / 2 + 0.5 - abs(rows - centre[:, None])).clip(0, 1)
    inside = (rows >= 0) & (rows < canvas.shape[0]) & (columns < canvas.shape[1])[:, None]
    rows = rows.clip(0, canvas.shape[0] - 1)
    columns = columns.clip(0, canvas.shape[1] - 1)[:, None]
    share = (share * inside)[..., None]
    canvas[rows, columns] = canvas[rows, columns] * (1 - share) + np.array(tint) * share
