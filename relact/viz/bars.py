"""Bars in groups, by Pillow alone: gains of several heads over a baseline, family by family."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from relact.interop.files import atomic_path

INK, FAINT, LINE, PAPER = "#1c1e22", "#6e7278", "#dcdfe3", "#ffffff"
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6bb1", "#5f6b73", "#b8a200", "#7f2704")
"""apart for the colour-blind (after Okabe and Ito)"""
LEFT, TOP, ROW, GAP, BAR = 150, 92, 11, 16, 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A family: its name, and a value for each head."""

    name: str
    bars: Mapping[str, float]


def draw_bars(groups: Sequence[Group], path: str | Path, *, title: str, width: int = 900) -> None:
    """Writes a PNG; all groups have the same heads, in the same order."""
    heads = list(groups[0].bars)
    legend = 22 * -(-len(heads) // 4)
    height = TOP + legend + sum(ROW * len(group.bars) + GAP for group in groups) + 40
    image = Image.new("RGB", (width * 2, height * 2), PAPER)
    pen = _Pen(ImageDraw.Draw(image))
    values = [value for group in groups for value in group.bars.values()]
    low, high = min(0.0, *values) - 0.02, max(0.1, *values) + 0.06

    def at(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (width - LEFT - 20)

    pen.text(20, 16, title, 20, INK)
    for number, head in enumerate(heads):
        x, y = 20 + (number % 4) * (width - 40) / 4, 52 + 22 * (number // 4)
        pen.box(x, y + 3, x + 11, y + 14, COLOURS[number % len(COLOURS)])
        pen.text(x + 17, y, head, 13, INK)
    top = TOP + legend
    step = 0.1
    for tick in range(int(low / step), int(high / step) + 1):
        x = at(tick * step)
        pen.line(x, top - 10, x, height - 32, INK if tick == 0 else LINE)
        pen.text(x - 12, height - 28, f"{tick * step:+.1f}", 12, FAINT)
    for group in groups:
        pen.text(20, top + ROW * len(heads) / 2 - 9, group.name, 14, INK)
        for number, (_head, value) in enumerate(group.bars.items()):
            y, ends = top + ROW * number, sorted((at(0), at(value)))
            pen.box(ends[0], y, max(ends[1], ends[0] + 1), y + BAR, COLOURS[number % len(COLOURS)])
        top += ROW * len(heads) + GAP
    with atomic_path(path) as temporary:
        image.reduce(2).save(temporary, format="PNG")


class _Pen:
    """Draws at twice the size, for smooth edges."""

    def __init__(self, pen: ImageDraw.ImageDraw) -> None:
        self._pen = pen

    def text(self, x: float, y: float, words: str, size: int, colour: str) -> None:
        self._pen.text((2 * x, 2 * y), words, font=ImageFont.load_default(2 * size), fill=colour)

    def box(self, x1: float, y1: float, x2: float, y2: float, colour: str) -> None:
        self._pen.rectangle([2 * x1, 2 * y1, 2 * x2, 2 * y2], fill=colour)

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str) -> None:
        self._pen.line([2 * x1, 2 * y1, 2 * x2, 2 * y2], fill=colour, width=2)
