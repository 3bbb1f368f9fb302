"""Bars in panels, by Pillow alone: gains of many heads over a baseline, family by family, run by run."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from relact.interop.files import atomic_path

INK, FAINT, LINE, STRIPE, PAPER = "#1c1e22", "#6e7278", "#dcdfe3", "#f5f6f8", "#ffffff"
ABOVE, BELOW = "#56b4e9", "#e69f00"
"""apart for the colour-blind (after Okabe and Ito)"""
NAMES, TOP, ROW, BAR, TITLE, TICKS, GAP = 150, 74, 14, 8, 24, 22, 18
COLUMNS = 3
_STEP = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A family: its name, and for each head the values of its runs, at least one."""

    name: str
    bars: Mapping[str, Sequence[float]]


def draw_bars(panels: Sequence[Panel], path: str | Path, *, title: str, note: str = "", width: int = 960) -> None:
    """Writes a PNG: a bar is the mean of a head's runs, a dot each of them. All panels have the same heads."""
    values = [value for panel in panels for runs in panel.bars.values() for value in runs]
    low, high = min(0.0, *values) - 0.02, max(0.1, *values) + 0.02
    heads, rows = len(panels[0].bars), -(-len(panels) // COLUMNS)
    tall = TITLE + ROW * heads + TICKS
    image = Image.new("RGB", (width * 2, (TOP + rows * tall) * 2), PAPER)
    pen = _Pen(ImageDraw.Draw(image))
    pen.text(20, 14, title, 20, INK)
    pen.text(20, 42, note, 13, FAINT)
    wide = (width - NAMES - 20) / COLUMNS
    for number, panel in enumerate(panels):
        left, top = NAMES + wide * (number % COLUMNS), TOP + tall * (number // COLUMNS)
        if number % COLUMNS == 0:
            _name_heads(pen, list(panel.bars), top + TITLE, width)
        _draw_panel(pen, panel, left, top, wide - GAP, low, high)
    with atomic_path(path) as temporary:
        image.reduce(2).save(temporary, format="PNG")


def _name_heads(pen: "_Pen", heads: Sequence[str], top: float, width: int) -> None:
    """At the left of a row of panels; every other head on a stripe, for the eye to follow to the last panel."""
    for number, head in enumerate(heads):
        y = top + ROW * number
        if number % 2 == 0:
            pen.box(14, y, width - 20, y + ROW - 1, STRIPE)
        pen.text(20, y - 1, head, 12, INK)


def _draw_panel(pen: "_Pen", panel: Panel, left: float, top: float, wide: float, low: float, high: float) -> None:
    def at(value: float) -> float:
        return left + (value - low) / (high - low) * wide

    bottom = top + TITLE + ROW * len(panel.bars)
    pen.text(at(0), top, panel.name, 14, INK)
    for tick in range(int(low / _STEP), int(high / _STEP) + 1):
        x = at(tick * _STEP)
        pen.line(x, top + TITLE - 2, x, bottom, FAINT if tick == 0 else LINE)
        pen.text(x, bottom + 1, f"{tick * _STEP:+.2f}" if tick else "0", 11, FAINT, anchor="ma")
    for number, runs in enumerate(panel.bars.values()):
        mean, middle = statistics.fmean(runs), top + TITLE + ROW * number + (ROW - 1) / 2
        start, end = sorted((at(0), at(mean)))
        pen.box(start, middle - BAR / 2, max(end, start + 1), middle + BAR / 2, ABOVE if mean > 0 else BELOW)
        for value in runs:
            pen.box(at(value) - 1, middle - 1.5, at(value) + 1, middle + 1.5, INK)


class _Pen:
    """Draws at twice the size, for smooth edges."""

    def __init__(self, pen: ImageDraw.ImageDraw) -> None:
        self._pen = pen

    def text(self, x: float, y: float, words: str, size: int, colour: str, anchor: str = "la") -> None:
        self._pen.text((2 * x, 2 * y), words, font=ImageFont.load_default(2 * size), fill=colour, anchor=anchor)

    def box(self, x1: float, y1: float, x2: float, y2: float, colour: str) -> None:
        self._pen.rectangle([2 * x1, 2 * y1, 2 * x2, 2 * y2], fill=colour)

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str) -> None:
        self._pen.line([2 * x1, 2 * y1, 2 * x2, 2 * y2], fill=colour, width=2)
