"""What is behind the people: painted once a scene, with something in it that moves."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from relact.data.stage.script import HEIGHT, WIDTH

Picture = npt.NDArray[np.uint8]
MARGIN = 6
"""units beyond every edge, for the camera to drift into"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backdrop:
    """`picture` covers the stage and its margin; `texture`, as wide, drifts sideways over rows from `top` on."""

    picture: Picture
    texture: npt.NDArray[np.int16]
    top: int
    speed: float
    """pixels a second"""

    def at(self, time: float, left: int, top: int, width: int, height: int) -> Picture:
        """The window of a drifting camera, in pixels."""
        whole = self.picture.copy()
        rows = slice(self.top, self.top + len(self.texture))
        moved = np.roll(self.texture, round(self.speed * time), axis=1)
        whole[rows] = np.clip(whole[rows] + moved, 0, 255)
        return whole[top : top + height, left : left + width]


def paint_backdrop(kind: str, random: np.random.Generator, scale: int) -> Backdrop:
    """room, park, lake or stage, each in colours and furniture of its own."""
    width, height = (WIDTH + 2 * MARGIN) * scale, (HEIGHT + 2 * MARGIN) * scale
    horizon = (MARGIN + int(random.integers(56, 64))) * scale
    above, below = {"room": (_WALLS, _FLOORS), "park": (_SKIES, _GRASS), "lake": (_SKIES, _WATER),
                    "stage": (_CURTAINS, _FLOORS)}[kind]  # fmt: skip
    picture = np.empty((height, width, 3))
    picture[:horizon] = _gradient(_pick(random, above), horizon, 1.06, 0.94)
    picture[horizon:] = _gradient(_pick(random, below), height - horizon, 0.88, 1.06)
    picture += _grain(random, height, width, 5)
    image = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
    _furnish(kind, ImageDraw.Draw(image), random, width, horizon, scale)
    rows = {"room": (horizon, height), "park": (0, horizon), "lake": (horizon, height), "stage": (0, horizon)}[kind]
    strength = {"room": 3, "park": 10, "lake": 14, "stage": 8}[kind]
    texture = _clouds(random, rows[1] - rows[0], width, scale, flat=kind == "lake") * strength
    return Backdrop(
        picture=np.asarray(image.filter(ImageFilter.GaussianBlur(0.5))), texture=texture.astype(np.int16)[..., None],
        top=rows[0], speed=float(random.choice([-1, 1]) * random.uniform(6, 18)),
    )  # fmt: skip


_WALLS = ((205, 192, 170), (176, 196, 205), (196, 205, 176), (214, 188, 186), (188, 184, 204))
_FLOORS = ((150, 116, 80), (128, 104, 88), (140, 138, 140), (166, 140, 106))
_SKIES = ((168, 206, 232), (196, 214, 226), (226, 206, 190), (178, 196, 214))
_GRASS = ((124, 158, 92), (140, 160, 98), (106, 144, 96), (158, 160, 104))
_WATER = ((92, 138, 168), (84, 128, 140), (104, 148, 178))
_CURTAINS = ((122, 44, 52), (70, 62, 108), (44, 92, 88))


def _pick(random: np.random.Generator, colours: tuple[tuple[int, int, int], ...]) -> npt.NDArray[np.float64]:
    return np.array(colours[int(random.integers(len(colours)))]) + random.uniform(-10, 10, 3)


def _gradient(colour: npt.NDArray[np.float64], rows: int, first: float, last: float) -> npt.NDArray[np.float64]:
    return colour * np.linspace(first, last, rows)[:, None, None]


def _grain(random: np.random.Generator, height: int, width: int, strength: float) -> npt.NDArray[np.float64]:
    return random.normal(0, strength, (height, width, 1))


def _clouds(random: np.random.Generator, rows: int, width: int, scale: int, *, flat: bool) -> npt.NDArray[np.float64]:
    """Smooth noise in -1..1 that closes on itself sideways."""
    cells = max(3, rows // (3 * scale if flat else 10 * scale)), max(6, width // (14 * scale))
    coarse = random.uniform(-1, 1, cells)
    coarse[:, -1] = coarse[:, 0]
    picture = Image.fromarray(coarse.astype(np.float32)).resize((width, rows), Image.Resampling.BICUBIC)
    return np.asarray(picture, np.float64)


def _furnish(
    kind: str, pen: ImageDraw.ImageDraw, random: np.random.Generator, width: int, horizon: int, s: int
) -> None:
    """Things that mean nothing: skirting, trees, hills, folds."""
    if kind == "room":
        pen.rectangle([0, horizon - 2 * s, width, horizon], fill="#6d5a48")
        for x in random.uniform(0, width, 2):
            pen.rectangle([x, horizon - 12 * s, x + 9 * s, horizon - 2 * s], fill="#8a6f55", outline="#5c4937", width=s)
        for board in (np.arange(0, width, 22 * s) + random.uniform(0, 20 * s)).tolist():
            pen.line([board, horizon, board + (board - width / 2) * 0.6, horizon + 60 * s], fill="#00000030", width=1)
    elif kind in ("park", "lake"):
        x = -20.0 * s
        while x < width:
            wide, high = random.uniform(30, 80) * s, random.uniform(5, 16) * s
            pen.ellipse([x, horizon - high, x + wide, horizon + high], fill=_tint((112, 142, 120), random))
            x += wide * 0.6
        pen.rectangle([0, horizon, width, horizon + s], fill="#5f7f56")
        for x in random.uniform(0, width, 4):
            high = random.uniform(16, 28) * s
            pen.rectangle([x - s, horizon - high * 0.4, x + s, horizon], fill="#5b4332")
            pen.ellipse(
                [x - high / 3, horizon - high, x + high / 3, horizon - high * 0.3], fill=_tint((74, 112, 70), random)
            )
        if kind == "lake":
            pen.rectangle([0, horizon, width, horizon + s], fill="#7fa6bb")
    else:
        for x in range(0, width, 9 * s):
            pen.line([x, 0, x + random.uniform(-2, 2) * s, horizon], fill="#00000055", width=s)
        pen.rectangle([0, horizon - s, width, horizon], fill="#3b2a22")


def _tint(colour: tuple[int, int, int], random: np.random.Generator) -> tuple[int, int, int]:
    shade = random.uniform(0.85, 1.15)
    return tuple(int(min(255, part * shade)) for part in colour)  # type: ignore[return-value]
