"""The text plates beside people: measured, rendered once, and blended into pictures."""

import unicodedata
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from relact.errors import InputError
from relact.viz.palette import colour, ink

Line = tuple[str, float]
"""an action's name and score"""

_BACK = (14, 16, 20, 190)  # dark glass
_BAR = 0.38  # how much of the person's colour the bar behind a line of text has
_REMEMBERED = 512


class Plates:
    """Plates for pictures of one size: a chip with the person's id, and lines with a bar for the score."""

    def __init__(self, width: int, height: int, font: str | None = None) -> None:
        short = min(width, height)
        self.stroke = max(2, round(short / 270))
        self._size = max(10, round(6 + short / 55))
        self._font = _font(font, self._size)
        self._plain = font is None
        self._pad = max(2, round(self._size * 0.3))
        self._line = round(self._size * 1.3)
        self._widest = round(0.36 * width)
        self._sizes: dict[tuple[int, tuple[Line, ...]], npt.NDArray[np.int64]] = {}
        self._pictures: dict[tuple[int, tuple[Line, ...]], tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]] = {}

    def sizes(self, person: int, lines: tuple[Line, ...]) -> npt.NDArray[np.int64]:
        """(width, height) of the plate with all lines, one less, …, the id alone: `[lines + 1, 2]`."""
        key = (person, lines)
        if key not in self._sizes:
            _forget(self._sizes)
            counts = range(len(lines), -1, -1)
            self._sizes[key] = np.array([self._measure(person, lines[:count]) for count in counts])
        return self._sizes[key]

    def paste(
        self, out: npt.NDArray[np.uint8], x: int, y: int, person: int, lines: tuple[Line, ...], size: int
    ) -> None:
        """Blend the plate of the given size (an index into `sizes`) into `out` at its upper left corner."""
        key = (person, lines[: len(lines) - size])
        if key not in self._pictures:
            _forget(self._pictures)
            self._pictures[key] = self._render(*key)
        tint, keep = self._pictures[key]
        region = out[y : y + tint.shape[0], x : x + tint.shape[1]]
        region[:] = (region * keep + tint) >> 8

    def _measure(self, person: int, lines: Sequence[Line]) -> tuple[int, int]:
        width, height = self._chip(person), self._line * max(len(lines), 1) + 2 * (self._pad // 2)
        if lines:
            texts = [self._text(line) for line in lines]
            width += 3 * self._pad + max(round(self._font.getlength(f"{name}  {score}")) for name, score in texts)
        return width, height

    def _chip(self, person: int) -> int:
        return round(self._font.getlength(str(person))) + 2 * self._pad

    def _text(self, line: Line) -> tuple[str, str]:
        """The name, cut to what a plate may take, and the score as .71."""
        name, score = line
        if self._plain:
            name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode() or "?"
        whole = name
        while self._font.getlength(name) > self._widest and len(name) > 4:
            whole = whole[:-1]
            name = whole.rstrip(" (,") + "…"
        return name, f"{score:.2f}".removeprefix("0")

    def _render(self, person: int, lines: tuple[Line, ...]) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
        """(colour times opacity, 256 - opacity) of each pixel."""
        width, height = self._measure(person, lines)
        plate = Image.new("RGBA", (width, height), _BACK)
        pen = ImageDraw.Draw(plate)
        tint, chip, top = colour(person), self._chip(person), self._pad // 2
        pen.rectangle((0, 0, chip - 1, height - 1), fill=(*tint, 255))
        pen.text((chip / 2, height / 2), str(person), fill=ink(tint), font=self._font, anchor="mm")
        for row, line in enumerate(lines):
            name, score = self._text(line)
            y = top + row * self._line
            end = chip + 1 + (width - chip - 2) * min(max(line[1], 0.0), 1.0)
            shade = tuple(round(c * _BAR + b * (1 - _BAR)) for c, b in zip(tint, _BACK[:3], strict=True))
            pen.rectangle((chip + 1, y + 1, end, y + self._line - 2), fill=(*shade, 225))
            middle = y + self._line / 2
            pen.text((chip + self._pad, middle), name, fill="white", font=self._font, anchor="lm")
            pen.text((width - self._pad, middle), score, fill="white", font=self._font, anchor="rm")
        pixels = np.asarray(plate).astype(np.uint16)
        return pixels[..., :3] * pixels[..., 3:], 256 - pixels[..., 3:]


def _font(path: str | None, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if path is None:
        return ImageFont.load_default(size=size)
    try:
        return ImageFont.truetype(Path(path), size)
    except OSError as error:
        raise InputError(f"{path}: expected a TrueType or OpenType font: {error}") from error


def _forget(cache: MutableMapping[tuple[int, tuple[Line, ...]], Any]) -> None:
    if len(cache) >= _REMEMBERED:
        cache.clear()
