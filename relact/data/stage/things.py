"""Drawing things: each kind once a scene, on a sheet that is pasted where the thing is."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from relact.data.stage.script import Thing

SMOOTH = 2
Point = tuple[float, float]
Pen = ImageDraw.ImageDraw
TURNS = 16
"""pictures of a ball that rolls"""


def paint_thing(picture: Image.Image, thing: Thing, time: float, offset: Point, scale: int) -> None:
    """Onto a picture with `scale` pixels a unit whose upper left corner is at `offset` units."""
    x1, y1, _, _ = thing.box(time)
    turn = round(thing.place(time) / (np.pi * thing.size[0]) * TURNS) % TURNS if thing.kind == "ball" else 0
    flicker = int(time * 6) % 4 if thing.kind in ("tv", "gramophone", "helm") else 0
    sheet = _sheet(thing.kind, thing.size, thing.facing, thing.colour, turn or flicker, scale)
    picture.paste(sheet, (round((x1 - offset[0]) * scale), round((y1 - offset[1]) * scale)), sheet)


@lru_cache(maxsize=512)
def _sheet(kind: str, size: Point, facing: int, colour: str, variant: int, scale: int) -> Image.Image:
    """A thing facing right, mirrored if it faces left."""
    width, height = (round(side * scale) * SMOOTH for side in size)
    sheet = Image.new("RGBA", (width, height), (30, 24, 22, 0))
    _DRAWN[kind](ImageDraw.Draw(sheet), float(width), float(height), colour, variant)
    small = sheet.reduce(SMOOTH)
    return small if facing > 0 else small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def draw_ball(pen: Pen, centre: Point, radius: float, colour: str, angle: float) -> None:
    """A beach ball: white wedges show how it turns."""
    x, y = centre
    box = [x - radius, y - radius, x + radius, y + radius]
    pen.ellipse(box, fill=colour, outline="#3b2a22", width=max(1, round(radius / 8)))
    for wedge in range(3):
        start = np.degrees(angle) + 120 * wedge
        pen.pieslice(box, start, start + 50, fill="#fdf6e3")


def draw_guitar(pen: Pen, body: Point, neck: Point, unit: float) -> None:
    """Its body at the strumming hand, its neck to the other one."""
    x, y = body
    dx, dy = neck[0] - x, neck[1] - y
    pen.line([x, y, x + 1.25 * dx, y + 1.25 * dy], fill="#4a2c17", width=max(1, round(0.05 * unit)))
    for along, radius in ((-0.10, 0.125), (0.28, 0.095)):
        cx, cy, r = x + along * dx, y + along * dy, radius * unit
        pen.ellipse(
            [cx - r, cy - r, cx + r, cy + r], fill="#d68a32", outline="#5e3413", width=max(1, round(0.015 * unit))
        )
    pen.ellipse([x - 0.04 * unit, y - 0.04 * unit, x + 0.04 * unit, y + 0.04 * unit], fill="#3a1f0d")


def draw_book(pen: Pen, centre: Point, unit: float) -> None:
    """Open, seen from the side."""
    x, y = centre
    w, h = 0.13 * unit, 0.10 * unit
    pen.polygon([(x - w, y - h), (x, y - 0.6 * h), (x, y + h), (x - w, y + 0.6 * h)], fill="#fbfbf5", outline="#1f3a93")
    pen.polygon([(x + w, y - h), (x, y - 0.6 * h), (x, y + h), (x + w, y + 0.6 * h)], fill="#eef1f5", outline="#1f3a93")


def _tv(pen: Pen, w: float, h: float, colour: str, variant: int) -> None:
    pen.rectangle([0, 0, w - 1, h * 0.86], fill="#17181c")
    glow = ("#5dade2", "#76d7c4", "#85c1e9", "#48c9b0")[variant]
    pen.rectangle([w * 0.05, h * 0.06, w * 0.95, h * 0.80], fill=glow)
    pen.rectangle([w * 0.05, h * 0.52, w * 0.95, h * 0.80], fill="#2e86c1")
    pen.ellipse([w * (0.2 + 0.12 * variant), h * 0.2, w * (0.36 + 0.12 * variant), h * 0.52], fill="#f7dc6f")
    pen.rectangle([w * 0.42, h * 0.86, w * 0.58, h - 1], fill="#17181c")


def _window(pen: Pen, w: float, h: float, colour: str, variant: int) -> None:
    pen.rectangle([0, 0, w - 1, h - 1], fill="#f4efe6", outline="#7a5c3e", width=max(2, round(w / 24)))
    for left in (0.09, 0.54):
        for top in (0.08, 0.54):
            pen.rectangle(
                [w * left, h * top, w * (left + 0.37), h * (top + 0.38)], fill="#cfe8f3" if top < 0.5 else "#a9c98f"
            )


def _gramophone(pen: Pen, w: float, h: float, colour: str, variant: int) -> None:
    pen.rectangle([w * 0.12, h * 0.66, w * 0.88, h - 1], fill="#6e3b1e", outline="#3c1f0e", width=2)
    pen.line([w * 0.5, h * 0.66, w * 0.38, h * 0.45], fill="#b7950b", width=max(2, round(w * 0.07)))
    swell = 0.02 * variant
    pen.polygon(
        [(w * 0.34, h * 0.5), (w * (0.95 + swell / 2), h * (0.02)), (w * 0.98, h * (0.52 + swell))],
        fill="#d4ac0d",
        outline="#7d6608",
    )
    pen.ellipse([w * 0.80, h * 0.03, w * 0.99, h * 0.54], fill="#9a7d0a")


def _painting(pen: Pen, w: float, h: float, colour: str, variant: int) -> None:
    pen.rectangle([0, 0, w - 1, h - 1], fill="#a8741a")
    pen.rectangle([w * 0.13, h * 0.1, w * 0.87, h * 0.9], fill="#f5e6c8")
    pen.polygon([(w * 0.13, h * 0.9), (w * 0.45, h * 0.35), (w * 0.87, h * 0.9)], fill="#7b241c")
    pen.ellipse([w * 0.55, h * 0.16, w * 0.8, h * 0.36], fill="#cb4335")


def _cat(pen: Pen, w: float, h: float, colour: str, variant: int) -> None:
    fur = "#34302d"
    pen.line([w * 0.10, h * 0.75, w * 0.05, h * 0.2], fill=fur, width=max(2, round(w * 0.09)))
    pen.ellipse([w * 0.08, h * 0.42, w * 0.78, h * 0.90], fill=fur)
    pen.ellipse([w * 0.58, h * 0.12, w * 0.98, h * 0.62], fill=fur)
    pen.polygon([(w * 0.62, h * 0.25), (w * 0.66, 0), (w * 0.76, h * 0.18)], fill=fur)
    pen.polygon([(w * 0.82, h * 0.18), (w * 0.92, 0), (w * 0.95, h * 0.25)], fill=fur)
    for leg in (0.18, 0.34, 0.56, 0.70):
        pen.rectangle([w * leg, h * 0.8, w * (leg + 0.07), h - 1], fill=fur)
    pen.ellipse([w * 0.80, h * 0.28, w * 0.87, h * 0.40], fill="#f4d03f")


def _duck(pen: Pen, w: float, h: float, colour: str, variant: int) -> None:
    pen.ellipse([w * 0.03, h * 0.42, w * 0.74, h * 0.94], fill="#f7dc3a")
    pen.ellipse([w * 0.50, h * 0.05, w * 0.86, h * 0.55], fill="#f7dc3a")
    pen.polygon([(w * 0.82, h * 0.22), (w, h * 0.34), (w * 0.82, h * 0.42)], fill="#e67e22")
    pen.ellipse([w * 0.66, h * 0.17, w * 0.74, h * 0.28], fill="#1b1512")
    pen.polygon([(w * 0.15, h * 0.5), (w * 0.55, h * 0.55), (w * 0.3, h * 0.8)], fill="#d4b106")


def _helm(pen: Pen, w: float, h: float, colour: str, variant: int) -> None:
    r, x, y = w * 0.42, w / 2, w * 0.5
    pen.rectangle([x - w * 0.07, y, x + w * 0.07, h - 1], fill="#5d4037")
    for spoke in range(4):
        angle = np.pi / 4 * spoke + 0.06 * variant
        dx, dy = 1.12 * r * np.cos(angle), 1.12 * r * np.sin(angle)
        pen.line([x - dx, y - dy, x + dx, y + dy], fill="#8d5a2b", width=max(2, round(w * 0.07)))
    pen.ellipse([x - r, y - r, x + r, y + r], outline="#6b3e1a", width=max(3, round(w * 0.1)))
    pen.ellipse([x - w * 0.1, y - w * 0.1, x + w * 0.1, y + w * 0.1], fill="#d4ac0d")


def _anchor(pen: Pen, w: float, h: float, colour: str, variant: int) -> None:
    iron, line = "#3b4652", max(2, round(w * 0.13))
    pen.line([w * 0.5, h * 0.2, w * 0.5, h * 0.92], fill=iron, width=line)
    pen.line([w * 0.24, h * 0.34, w * 0.76, h * 0.34], fill=iron, width=line)
    pen.ellipse([w * 0.36, 0, w * 0.64, h * 0.2], outline=iron, width=max(2, round(w * 0.09)))
    pen.arc([w * 0.08, h * 0.36, w * 0.92, h * 0.98], 10, 170, fill=iron, width=line)
    for x, way in ((0.12, -1), (0.88, 1)):
        pen.polygon([(w * (x - 0.12), h * 0.7), (w * (x + 0.12), h * 0.7), (w * (x + 0.02 * way), h * 0.5)], fill=iron)


def _boat(pen: Pen, w: float, h: float, colour: str, variant: int) -> None:
    bow = h * 1.0
    pen.polygon([(0, 0), (w - 1, 0), (w - bow, h - 1), (bow, h - 1)], fill=colour)
    pen.rectangle([0, 0, w - 1, h * 0.16], fill="#f5efe0")
    pen.line([bow * 0.5, h * 0.55, w - bow * 0.5, h * 0.55], fill="#00000040", width=max(1, round(h * 0.05)))


def _ball(pen: Pen, w: float, h: float, colour: str, variant: int) -> None:
    draw_ball(pen, (w / 2, h / 2), w * 0.48, colour, 2 * np.pi * variant / TURNS)


def _chest(pen: Pen, w: float, h: float, colour: str, variant: int) -> None:
    pen.rectangle([0, h * 0.3, w - 1, h - 1], fill="#7b4a22", outline="#3e2410", width=2)
    pen.pieslice([0, 0, w - 1, h * 0.8], 180, 360, fill="#93592b", outline="#3e2410")
    pen.rectangle([w * 0.44, h * 0.34, w * 0.56, h * 0.58], fill="#f1c40f")


def _stool(pen: Pen, w: float, h: float, colour: str, variant: int) -> None:
    pen.rectangle([0, 0, w - 1, h * 0.2], fill="#a0724a")
    for leg in (0.08, 0.8):
        pen.rectangle([w * leg, h * 0.2, w * (leg + 0.12), h - 1], fill="#6f4e31")


_DRAWN: dict[str, Callable[[Pen, float, float, str, int], None]] = {
    "tv": _tv, "window": _window, "gramophone": _gramophone, "painting": _painting, "cat": _cat, "duck": _duck,
    "helm": _helm, "anchor": _anchor, "boat": _boat, "ball": _ball, "chest": _chest, "stool": _stool,
}  # fmt: skip
