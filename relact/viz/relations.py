"""Where a head looked, in one picture: the keyframe, what is said of a person, and weights over places, people, time.

The parts are plain values: whoever has them can draw them (`relact.run.look` makes them of a model).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from PIL import Image

from relact.errors import InputError
from relact.interop.files import atomic_path
from relact.viz.canvas import SCALE, Canvas, Picture, PngCanvas, SvgCanvas, fitted, width_of, wrapped
from relact.viz.heat import WHOLE, Extent, Floats, over_grey, overlay, part_of, shares_of
from relact.viz.relation_parts import Heat, Heats, Section, Strip, Timeline

INK, FAINT, RULE, PAPER, BAR = "#1c1e22", "#5d6168", "#dcdfe3", "#ffffff", "#bc3754"
CHOSEN, RELATED, OTHER, DARK = "#56b4e9", "#ffffff", "#b4b8bf", "#101114"
"""of boxes; none of them is a colour of heat"""
WIDTH, MARGIN, GAP = 1120, 28, 16
ROOM = WIDTH - 2 * MARGIN
TAG = 16
"""height of an id"""
LEGEND = 310
"""width of a note with a scale below it"""
SUFFIXES = (".png", ".svg")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationPicture:
    """What a head made of one person in one keyframe."""

    title: str
    note: str
    keyframe: Picture
    people: tuple[int, ...]
    boxes: Floats
    """`[N, 4]` in [0, 1] of the frame"""
    person: int
    actions: tuple[tuple[str, float], ...]
    """the best, and their scores"""
    sections: tuple[Section, ...]
    remarks: tuple[str, ...] = field(default=())
    """at the foot"""

    def png(self) -> bytes:
        """The file, at two pixels a unit."""
        return self._drawn(PngCanvas(WIDTH, self._height(), PAPER))

    def svg(self) -> bytes:
        """The file: pictures inside it, boxes and words as vectors."""
        return self._drawn(SvgCanvas(WIDTH, self._height(), PAPER))

    def write(self, path: str) -> None:
        """A PNG or SVG, by the suffix. Raises InputError for another one."""
        check_suffix(path)
        data = self.svg() if path.lower().endswith(".svg") else self.png()
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)

    def _height(self) -> int:
        return math.ceil(_Sheet(_Measure(WIDTH, 0), self).draw())

    def _drawn(self, canvas: Canvas) -> bytes:
        _Sheet(canvas, self).draw()
        return canvas.finish()


def check_suffix(path: str) -> None:
    """Raises InputError for a name that is neither a PNG's nor an SVG's."""
    if not path.lower().endswith(SUFFIXES):
        raise InputError(f"{path}: cannot draw this kind of file; expected a name ending in .png or .svg")


class _Measure(Canvas):
    """Draws nothing: how high a sheet is shows when it has been laid out."""

    def box(self, x: float, y: float, w: float, h: float, *, fill: str = "", edge: str = "", pen: float = 1) -> None:
        pass

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str, pen: float = 1) -> None:
        pass

    def dot(self, x: float, y: float, radius: float, *, fill: str, edge: str = "", pen: float = 1) -> None:
        pass

    def text(self, x: float, y: float, words: str, size: int, colour: str, *, anchor: str = "l") -> None:
        pass

    def picture(self, x: float, y: float, picture: Picture) -> None:
        pass

    def finish(self) -> bytes:
        return b""


class _Sheet:
    """Lays a picture out, from top to bottom."""

    def __init__(self, canvas: Canvas, shown: RelationPicture) -> None:
        self.on, self.shown = canvas, shown
        self.measuring = isinstance(canvas, _Measure)

    def draw(self) -> float:
        """Everything; its height."""
        y = self._lines(self.shown.title, 22, INK, MARGIN)
        y = self._lines(self.shown.note, 14, FAINT, y + 2) + 12
        y = self._head(y)
        for section in self.shown.sections:
            self.on.line(MARGIN, y + 14, WIDTH - MARGIN, y + 14, RULE)
            y = self._lines(section.title, 17, INK, y + 28) + 2
            if isinstance(section, Heats):
                y = self._heats(section, y)
                continue
            y = self._lines(section.note, 13, FAINT, y) + 10
            y = self._strip(section, y) if isinstance(section, Strip) else self._timeline(section, y)
        if self.shown.remarks:
            self.on.line(MARGIN, y + 14, WIDTH - MARGIN, y + 14, RULE)
            y = self._lines("  ".join(self.shown.remarks), 12, FAINT, y + 26)
        return y + MARGIN

    def _lines(
        self, words: str, size: int, colour: str, y: float, *, left: float = MARGIN, room: float = ROOM
    ) -> float:
        """Wrapped words from y on; where they end."""
        for line in wrapped(words, size, room):
            self.on.text(left, y + 0.65 * size, line, size, colour)
            y += 1.35 * size
        return y

    def _head(self, y: float) -> float:
        """The keyframe with everyone in it, and the chosen one's actions beside it."""
        high, wide = self.shown.keyframe.shape[:2]
        scale = min(760 / wide, 430 / high)
        width, height = round(wide * scale), round(high * scale)
        if not self.measuring:
            self.on.picture(MARGIN, y, part_of(self.shown.keyframe, WHOLE, width * SCALE, height * SCALE))
        self._boxes(MARGIN, y, width, height, WHOLE, None)
        self._key(MARGIN, y + height + 15)
        left, room = MARGIN + width + 28, ROOM - width - 28
        self.on.text(left, y + 8, f"What person {self.shown.person} is said to do", 15, INK)
        row = y + 34
        for name, score in self.shown.actions:
            self.on.text(left, row, fitted(name, 13, room - 50), 13, INK)
            self.on.text(left + room, row, f"{score:.2f}", 13, INK, anchor="r")
            self.on.box(left, row + 11, room, 5, fill=RULE)
            self.on.box(left, row + 11, room * min(max(score, 0), 1), 5, fill=INK)
            row += 36
        return max(y + height + 26, row - 8)

    def _key(self, x: float, y: float) -> None:
        """What the colours of boxes mean."""
        used = any(heat.related is not None for part in self._all_heats() for heat in part.heats)
        people = [(CHOSEN, f"person {self.shown.person}, who is asked about")]
        people += [(RELATED, "whom a map below relates to them")] if used else []
        people += [(OTHER, "others")] if len(self.shown.people) > 1 else []
        for colour, words in people:
            self.on.box(x, y - 6, 12, 12, fill=colour, edge=DARK)
            self.on.text(x + 18, y, words, 12, FAINT)
            x += 18 + width_of(words, 12) + 22

    def _all_heats(self) -> list[Heats]:
        return [section for section in self.shown.sections if isinstance(section, Heats)]

    def _boxes(self, x: float, y: float, width: float, height: float, window: Extent, related: int | None) -> None:
        """Everyone whose box the window shows, the chosen one last, so on top."""
        size = np.array([window[2] - window[0], window[3] - window[1]] * 2)
        units = (self.shown.boxes - np.array([*window[:2], *window[:2]])) / size
        units = units.clip(0, 1) * np.array([width, height, width, height]) + np.array([x, y, x, y])
        rank = {related: 1, self.shown.person: 2}
        order = sorted(range(len(units)), key=lambda row: rank.get(self.shown.people[row], 0))
        order = [row for row in order if (units[row, 2:] - units[row, :2]).min() >= 1]
        styles = [((OTHER, 1.0), (RELATED, 2.0), (CHOSEN, 2.5))[rank.get(self.shown.people[row], 0)] for row in order]
        for row, (colour, pen) in zip(order, styles, strict=True):
            x1, y1, x2, y2 = units[row].tolist()
            self.on.box(x1 - 1, y1 - 1, x2 - x1 + 2, y2 - y1 + 2, edge=DARK)
            self.on.box(x1, y1, x2 - x1, y2 - y1, edge=colour, pen=pen)
        taken: list[tuple[float, float, float]] = []
        for row, (colour, _) in reversed(list(zip(order, styles, strict=True))):
            words = str(self.shown.people[row])
            left, top, wide = _tag(units[row], width_of(words, 12) + 8, (x, y, x + width, y + height), taken)
            taken.append((left, top, wide))
            self.on.box(left, top, wide, TAG, fill=colour, edge=DARK)
            self.on.text(left + wide / 2, top + TAG / 2, words, 12, DARK, anchor="m")

    def _heats(self, section: Heats, y: float) -> float:
        """The maps with their note and scale above them, or beside them where a row of narrow ones leaves room."""
        if not section.heats:
            return self._lines(section.note, 13, FAINT, y) + 10
        low, high = scale_of([heat.values for heat in section.heats])
        columns, width = self._columns(section)
        used = min(len(section.heats), columns) * (width + GAP)
        beside = ROOM - used - GAP
        if beside >= LEGEND and len(section.heats) <= columns:
            left = MARGIN + used + GAP
            words = self._lines(section.note, 13, FAINT, y + 30, left=left, room=beside)
            self._legend(left, words + 12, low, high, "")
            self._lines(section.unit, 12, INK, words + 32, left=left, room=beside)
            y += 8
        else:
            y = self._lines(section.note, 13, FAINT, y) + 10
            self._legend(MARGIN, y, low, high, section.unit)
            y += 34
        for first in range(0, len(section.heats), columns):
            bottom = y
            for number, heat in enumerate(section.heats[first : first + columns]):
                x = MARGIN + number * (width + GAP)
                self.on.text(x, y + 8, fitted(heat.title, 13, width), 13, INK)
                bottom = max(bottom, self._heat(heat, x, y + 22, width, low, high))
            y = bottom + 16
        return y - 16

    def _columns(self, section: Heats) -> tuple[int, float]:
        """How many maps stand in a row, and how wide each is."""
        shape = max(self._aspect(heat.window) for heat in section.heats)
        columns = 2 if shape >= 2.2 and len(section.heats) != 3 else 3 if shape >= 1.1 else 4 if shape >= 0.7 else 5
        width = (ROOM - GAP * (columns - 1)) / columns
        if len(section.heats) == 1:
            return 1, min(1.5 * width, 700, 430 * shape)
        beside = (ROOM - LEGEND - GAP) / len(section.heats) - GAP  # a short row grows till its words just fit
        return columns, max(width, min(beside, 480 * shape)) if len(section.heats) < columns else width

    def _aspect(self, window: Extent) -> float:
        high, wide = self.shown.keyframe.shape[:2]
        return (window[2] - window[0]) * wide / max((window[3] - window[1]) * high, 1e-6)

    def _heat(self, heat: Heat, x: float, y: float, width: float, low: float, high: float) -> float:
        """One frame; its lower edge."""
        height = round(width / self._aspect(heat.window))
        if not self.measuring:
            part = part_of(self.shown.keyframe, heat.window, round(width * SCALE), height * SCALE)
            shares = shares_of(heat.values, low, high)
            self.on.picture(x, y, overlay(part, shares, heat.extent, heat.window, cells=heat.cells))
        self._boxes(x, y, width, height, heat.window, heat.related)
        if heat.cells:
            self._numbers(heat, x, y, width, height)
        return y + height

    def _numbers(self, heat: Heat, x: float, y: float, width: float, height: float) -> None:
        """The weight in each cell, and lines between them."""
        rows, columns = heat.values.shape
        x1, y1, x2, y2 = heat.extent
        across = [x + min(max(x1 + (x2 - x1) * k / columns, 0), 1) * width for k in range(columns + 1)]
        down = [y + min(max(y1 + (y2 - y1) * k / rows, 0), 1) * height for k in range(rows + 1)]
        for place in across[1:-1]:
            self.on.line(place, y, place, y + height, DARK, 0.5)
        for place in down[1:-1]:
            self.on.line(x, place, x + width, place, DARK, 0.5)
        for row, (top, bottom) in enumerate(pairwise(down)):
            for column, (left, right) in enumerate(pairwise(across)):
                words = percent(float(heat.values[row, column]))
                wide = width_of(words, 10) + 6
                if right - left > wide and bottom - top > 16:
                    self.on.box(left + 2, top + 2, wide, 14, fill=DARK)
                    self.on.text(left + 2 + wide / 2, top + 9, words, 10, PAPER, anchor="m")

    def _legend(self, x: float, y: float, low: float, high: float, unit: str) -> None:
        """The scale: colours as they look over grey, and the weights at its ends."""
        left, wide = x + width_of(percent(low), 12) + 8, 220
        self.on.text(left - 8, y + 8, percent(low), 12, INK, anchor="r")
        if not self.measuring:
            bar = over_grey(np.linspace(0, 1, wide * SCALE))
            self.on.picture(left, y + 2, np.repeat(bar[None], 12 * SCALE, axis=0))
        self.on.box(left, y + 2, wide, 12, edge=FAINT, pen=0.5)
        self.on.text(left + wide + 8, y + 8, f"{percent(high)}   {unit}", 12, INK)

    def _strip(self, section: Strip, y: float) -> float:
        if not section.bars:
            return y
        cell = min(120.0, ROOM / len(section.bars))
        bottom = self._pictures(section, y, cell) + 64
        most = max(max(bar.weight for bar in section.bars), 1e-9)
        for number, bar in enumerate(section.bars):
            x = MARGIN + (number + 0.5) * cell
            height = 40 * bar.weight / most
            self.on.box(x - 0.32 * cell, bottom - height, 0.64 * cell, max(height, 0.5), fill=BAR)
            self.on.text(x, bottom - height - 9, percent(bar.weight), 11 if cell > 40 else 9, INK, anchor="m")
            self.on.text(x, bottom + 11, fitted(bar.name, 11, cell - 4), 11, INK if bar.chosen else FAINT, anchor="m")
        self.on.line(MARGIN, bottom, MARGIN + cell * len(section.bars), bottom, FAINT)
        return bottom + 22

    def _pictures(self, section: Strip, y: float, cell: float) -> float:
        """Pictures above the bars, every so many where they are wider than a bar; their lower edge."""
        shapes = [bar.picture.shape for bar in section.bars if bar.picture is not None]
        if not shapes:
            return y
        aspect = max(shape[1] / shape[0] for shape in shapes)
        step = max(1, math.ceil(min(56 * aspect, 132) / cell))
        high = min(88.0, (step * cell - 6) / aspect)
        for first in range(0, len(section.bars) - step + 1, step):
            bar = section.bars[first + step // 2]
            if bar.picture is not None:
                x = MARGIN + (first + step / 2) * cell
                self._portrait(bar.picture, x, y + high / 2, step * cell - 6, high, chosen=bar.chosen)
        return y + high

    def _portrait(self, picture: Picture, x: float, y: float, width: float, height: float, *, chosen: bool) -> None:
        """A picture around (x, y), as large as the room allows."""
        scale = min(width / picture.shape[1], height / picture.shape[0])
        wide, high = (max(1, round(side * scale * SCALE)) for side in picture.shape[1::-1])
        left, top = x - wide / SCALE / 2, y - high / SCALE / 2
        if not self.measuring:
            self.on.picture(left, top, np.asarray(Image.fromarray(picture).resize((wide, high))))
        if chosen:
            self.on.box(left - 2, top - 2, wide / SCALE + 4, high / SCALE + 4, edge=CHOSEN, pen=2.5)

    def _timeline(self, section: Timeline, y: float) -> float:
        seconds = [node.second for node in section.nodes] + [section.now]
        first, last = min(seconds), max(seconds)
        left, right, row = MARGIN + 150, WIDTH - MARGIN - 24, 52

        def at(second: float) -> float:
            return left + (second - first) / (last - first) * (right - left) if last > first else (left + right) / 2

        bottom = y + 8 + row * len(section.lanes)
        for number, lane in enumerate(section.lanes):
            middle = y + 8 + (number + 0.5) * row
            self.on.line(left - 10, middle, right + 10, middle, RULE)
            self.on.text(MARGIN, middle, fitted(lane.name, 13, 90), 13, INK if lane.chosen else FAINT)
            if lane.picture is not None:
                self._portrait(lane.picture, MARGIN + 112, middle, 40, row - 8, chosen=lane.chosen)
        self.on.line(at(section.now), y, at(section.now), bottom, CHOSEN, 1.5)
        for second in ticks(first, last):
            self.on.line(at(second), bottom, at(second), bottom + 4, FAINT)
            self.on.text(at(second), bottom + 13, f"{second:g} s", 11, FAINT, anchor="m")
        places = [(at(node.second), y + 8 + (node.lane + 0.5) * row) for node in section.nodes]
        most = max([node.weight or 0 for node in section.nodes] + [1e-9])
        for a, b in section.links:
            self.on.line(*places[a], *places[b], INK, 1.5)
        if section.home is not None:
            for node, place in zip(section.nodes, places, strict=True):
                if node.weight:
                    self.on.line(*place, *places[section.home], BAR, 0.3 + 3.2 * node.weight / most)
        self._nodes(section, places, most)
        return bottom + 24

    def _nodes(self, section: Timeline, places: Sequence[tuple[float, float]], most: float) -> None:
        """Dots as large as their weight, and in numbers the five heaviest."""
        for node, place in zip(section.nodes, places, strict=True):
            if node.weight is None:
                self.on.dot(*place, 5, fill=CHOSEN, edge=DARK)
            elif not node.kept:
                self.on.dot(*place, 2.5, fill=PAPER, edge=FAINT)
            else:
                self.on.dot(*place, 2 + 9 * math.sqrt(node.weight / most), fill=BAR, edge=PAPER, pen=0.5)
        heard = [k for k, node in enumerate(section.nodes) if node.weight]
        for k in sorted(heard, key=lambda k: section.nodes[k].weight or 0, reverse=True)[:5]:
            x, y = places[k]
            self.on.text(x, y - 18, percent(section.nodes[k].weight or 0), 11, INK, anchor="m")


def _tag(
    box: Floats, wide: float, frame: Extent, taken: Sequence[tuple[float, float, float]]
) -> tuple[float, float, float]:
    """Where an id stands (left, top, width): at a corner of its box, inside the frame, on no other if that can be."""
    x1, y1, x2, y2 = box.tolist()
    places = [
        (x1, y1 - TAG),
        (x2 - wide, y1 - TAG),
        (x1 - wide, y1),
        (x2, y1),
        (x1, y2),
        (x1 - wide, y2 - TAG),
        (x2, y2),
    ]
    inside = [
        (min(max(left, frame[0]), frame[2] - wide), min(max(top, frame[1]), frame[3] - TAG)) for left, top in places
    ]

    def free(place: tuple[float, float]) -> bool:
        left, top = place
        return all(abs(top - t) >= TAG or left >= a + w or a >= left + wide for a, t, w in taken)

    left, top = next(filter(free, inside), inside[0])
    return left, top, wide


def scale_of(grids: Sequence[Floats]) -> tuple[float, float]:
    """The least and the largest weight; from 0 where these differ by less than a fiftieth: noise is no picture."""
    low, high = min(float(grid.min()) for grid in grids), max(float(grid.max()) for grid in grids)
    return (0.0, high) if high - low < 0.02 * abs(high) else (low, high)


def percent(weight: float) -> str:
    """Two digits that count: 23%, 4.1%, 0.037%."""
    part = 100 * weight
    if part < 0.001:
        return "0%" if part == 0 else "<0.001%"
    return f"{part:.{max(0, 1 - math.floor(math.log10(part)))}f}%"


def ticks(first: float, last: float) -> list[float]:
    """At most a dozen round seconds."""
    rough = max(last - first, 1e-6) / 11
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * k for k in (1, 2, 5, 10) if power * k >= rough)
    return [round(k * step, 6) for k in range(math.ceil(first / step - 1e-9), math.floor(last / step + 1e-9) + 1)]
