"""One drawing, two files: lines, boxes, words and pictures go to a PNG (Pillow) or to an SVG, from the same calls."""

import base64
import functools
import io
import unicodedata
from abc import ABC, abstractmethod
from html import escape

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Picture = npt.NDArray[np.uint8]
"""`[H, W, 3]` RGB"""

SCALE = 2
"""pixels of a PNG for each unit of a drawing, and of the pictures in both files"""


class Canvas(ABC):
    """What is drawn on, `width` x `height` units, y downwards; colours are #rrggbb."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height

    @abstractmethod
    def box(self, x: float, y: float, w: float, h: float, *, fill: str = "", edge: str = "", pen: float = 1) -> None:
        """A rectangle; the `pen` of its `edge` lies inside."""

    @abstractmethod
    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str, pen: float = 1) -> None:
        """A straight line."""

    @abstractmethod
    def dot(self, x: float, y: float, radius: float, *, fill: str, edge: str = "", pen: float = 1) -> None:
        """A circle around (x, y)."""

    @abstractmethod
    def text(self, x: float, y: float, words: str, size: int, colour: str, *, anchor: str = "l") -> None:
        """Words whose middle line is at y; x is their left (l), middle (m) or right (r) end."""

    @abstractmethod
    def picture(self, x: float, y: float, picture: Picture) -> None:
        """A picture of `SCALE` pixels a unit, its upper left corner at (x, y)."""

    @abstractmethod
    def finish(self) -> bytes:
        """The file."""


class PngCanvas(Canvas):
    """Drawn at once, at `SCALE` pixels a unit."""

    def __init__(self, width: int, height: int, paper: str) -> None:
        super().__init__(width, height)
        self._image = Image.new("RGB", (width * SCALE, height * SCALE), paper)
        self._pen = ImageDraw.Draw(self._image)

    def box(self, x: float, y: float, w: float, h: float, *, fill: str = "", edge: str = "", pen: float = 1) -> None:
        corners = [round(x * SCALE), round(y * SCALE), round((x + w) * SCALE) - 1, round((y + h) * SCALE) - 1]
        if corners[2] >= corners[0] and corners[3] >= corners[1]:
            self._pen.rectangle(corners, fill=fill or None, outline=edge or None, width=round(pen * SCALE))

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str, pen: float = 1) -> None:
        ends = [x1 * SCALE, y1 * SCALE, x2 * SCALE, y2 * SCALE]
        self._pen.line(ends, fill=colour, width=max(1, round(pen * SCALE)))

    def dot(self, x: float, y: float, radius: float, *, fill: str, edge: str = "", pen: float = 1) -> None:
        corners = [(x - radius) * SCALE, (y - radius) * SCALE, (x + radius) * SCALE, (y + radius) * SCALE]
        self._pen.ellipse(corners, fill=fill, outline=edge or None, width=round(pen * SCALE))

    def text(self, x: float, y: float, words: str, size: int, colour: str, *, anchor: str = "l") -> None:
        place = (x * SCALE, y * SCALE)
        self._pen.text(place, plain(words), font=_font(size * SCALE), fill=colour, anchor=anchor + "m")

    def picture(self, x: float, y: float, picture: Picture) -> None:
        self._image.paste(Image.fromarray(picture), (round(x * SCALE), round(y * SCALE)))

    def finish(self) -> bytes:
        file = io.BytesIO()
        self._image.save(file, "PNG")
        return file.getvalue()


class SvgCanvas(Canvas):
    """Boxes, lines and words as vectors, pictures inside the file: nothing is fetched."""

    def __init__(self, width: int, height: int, paper: str) -> None:
        super().__init__(width, height)
        self._parts = [f'<rect width="{width}" height="{height}" fill="{paper}"/>']

    def box(self, x: float, y: float, w: float, h: float, *, fill: str = "", edge: str = "", pen: float = 1) -> None:
        half = pen / 2 if edge else 0
        if w <= 2 * half or h <= 2 * half:
            return
        place = f'x="{x + half:.2f}" y="{y + half:.2f}" width="{w - 2 * half:.2f}" height="{h - 2 * half:.2f}"'
        self._parts.append(f"<rect {place}{_ink(fill, edge, pen)}/>")

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str, pen: float = 1) -> None:
        ends = f'x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}"'
        self._parts.append(f'<line {ends} stroke="{colour}" stroke-width="{pen:.2f}"/>')

    def dot(self, x: float, y: float, radius: float, *, fill: str, edge: str = "", pen: float = 1) -> None:
        self._parts.append(f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{radius:.2f}"{_ink(fill, edge, pen)}/>')

    def text(self, x: float, y: float, words: str, size: int, colour: str, *, anchor: str = "l") -> None:
        at = {"l": "start", "m": "middle", "r": "end"}[anchor]
        place = f'x="{x:.2f}" y="{y + 0.35 * size:.2f}" font-size="{size}" text-anchor="{at}" fill="{colour}"'
        self._parts.append(f"<text {place}>{escape(_printable(words))}</text>")

    def picture(self, x: float, y: float, picture: Picture) -> None:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        data = base64.b64encode(file.getvalue()).decode("ascii")
        size = f'width="{picture.shape[1] / SCALE:g}" height="{picture.shape[0] / SCALE:g}"'
        self._parts.append(f'<image x="{x:.2f}" y="{y:.2f}" {size} href="data:image/png;base64,{data}"/>')

    def finish(self) -> bytes:
        size = f'width="{self.width}" height="{self.height}" viewBox="0 0 {self.width} {self.height}"'
        font = 'font-family="Aileron, Inter, Helvetica, Arial, sans-serif"'
        body = "\n".join(self._parts)
        return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>\n{body}\n</svg>\n'.encode()


def plain(words: str) -> str:
    """What Pillow's own font can show: it has ASCII only."""
    return unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode() or "?"


def width_of(words: str, size: int) -> float:
    """Units that words take; of an SVG's font nearly."""
    return float(_font(size * SCALE).getlength(plain(words)) / SCALE)


def fitted(words: str, size: int, room: float) -> str:
    """The words, cut to the room with three dots where they are longer."""
    if width_of(words, size) <= room:
        return words
    kept = next((k for k in range(len(words) - 1, 0, -1) if width_of(words[:k].rstrip() + "...", size) <= room), 0)
    return words[:kept].rstrip() + "..."


def wrapped(words: str, size: int, room: float) -> list[str]:
    """Lines that are no wider than the room, broken at spaces; a longer word is cut."""
    lines: list[str] = []
    for word in words.split():
        if lines and width_of(f"{lines[-1]} {word}", size) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(fitted(word, size, room))
    return lines


def _ink(fill: str, edge: str, pen: float) -> str:
    outline = f' stroke="{edge}" stroke-width="{pen:.2f}"' if edge else ""
    return f' fill="{fill or "none"}"{outline}'


def _printable(words: str) -> str:
    """Without the control characters that XML forbids."""
    return "".join(c for c in words if unicodedata.category(c) not in ("Cc", "Cs") and c not in "\ufffe\uffff")


@functools.lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)
