"""Drawing people: each on a sheet of its own, larger than needed, then shrunk onto the picture."""

import numpy as np
from PIL import Image, ImageDraw

from relact.data.stage.body import AT, Points
from relact.data.stage.script import Beat, Person
from relact.data.stage.things import draw_ball, draw_book, draw_guitar

SMOOTH = 2
"""drawn at so many times the video's size, for smooth edges"""
_EDGE = 30, 24, 22, 0
"""what is transparent: dark, so that edges shrink to a thin outline"""

Point = tuple[float, float]
Pen = ImageDraw.ImageDraw


def paint_person(picture: Image.Image, person: Person, time: float, offset: Point, scale: int) -> None:
    """Onto a picture with `scale` pixels a unit whose upper left corner is at `offset` units."""
    points, beat = person.points(time), person.beat(time)
    if points is None or beat is None:
        return
    margin = 0.42 * person.height
    left, top = np.floor((points.min(axis=0) - margin - offset) * scale)
    right, bottom = np.ceil((points.max(axis=0) + margin - offset) * scale)
    sheet = Image.new("RGBA", (int(right - left) * SMOOTH, int(bottom - top) * SMOOTH), _EDGE)
    on_sheet = ((points - offset) * scale - (left, top)) * SMOOTH
    _Figure(ImageDraw.Draw(sheet), person, beat, on_sheet, person.height * scale * SMOOTH, time).draw()
    small = sheet.reduce(SMOOTH)
    picture.paste(small, (int(left), int(top)), small)


class _Figure:
    """One body on its sheet, from the far arm to the near one."""

    def __init__(self, pen: Pen, person: Person, beat: Beat, points: Points, unit: float, time: float) -> None:
        self.pen, self.look, self.beat, self.unit, self.time = pen, person.look, beat, unit, time
        self.at = {name: (float(points[row, 0]), float(points[row, 1])) for name, row in AT.items()}
        self.side = beat.facing

    def draw(self) -> None:
        """All of it."""
        self._arm("left", 0.82)
        self._leg("left", 0.8)
        self._leg("right", 1.0)
        self._trunk()
        self._head()
        self._holding()
        self._arm("right", 1.08)

    def _leg(self, side: str, tint: float) -> None:
        width = 0.082 * self.unit * self.look.build
        x, y = self.at[f"{side}_foot"]
        self._limb(
            [self.at["hips"], self.at[f"{side}_knee"], (x, y - 0.02 * self.unit)],
            shade(self.look.trousers, tint),
            width,
        )
        toe = 0.075 * self.unit * self.side
        self._limb([(x, y - 0.02 * self.unit), (x + toe, y - 0.012 * self.unit)], "#2a211c", 0.045 * self.unit)

    def _arm(self, side: str, tint: float) -> None:
        neck, hips = np.array(self.at["neck"]), np.array(self.at["hips"])
        shoulder = tuple(neck + 0.08 * (hips - neck))
        width = 0.056 * self.unit * self.look.build
        elbow, hand = self.at[f"{side}_elbow"], self.at[f"{side}_hand"]
        self._limb([shoulder, elbow, hand], shade(self.look.shirt, tint), width)
        self._dot(hand, self.look.skin, 0.034 * self.unit)

    def _trunk(self) -> None:
        neck, hips = self.at["neck"], self.at["hips"]
        width = 0.17 * self.unit * self.look.build
        self._limb([neck, hips], self.look.shirt, width)
        if self.look.stripes:
            for part in (0.25, 0.5, 0.75):
                x, y = neck[0] + part * (hips[0] - neck[0]), neck[1] + part * (hips[1] - neck[1])
                across = np.array([neck[1] - hips[1], hips[0] - neck[0]])
                dx, dy = across / max(float(np.linalg.norm(across)), 1.0) * width * 0.45
                self.pen.line(
                    [x - dx, y - dy, x + dx, y + dy],
                    fill=shade(self.look.shirt, 0.62),
                    width=max(1, round(0.03 * self.unit)),
                )

    def _head(self) -> None:
        (x, y), r, side = self.at["head"], 0.085 * self.unit, self.side
        self._limb([self.at["neck"], (x, y)], self.look.skin, 0.06 * self.unit)
        hair = self.look.hair
        if self.look.haircut == "long":
            self._dot((x - side * 0.35 * r, y + 0.5 * r), hair, r)
        if self.look.haircut == "bun":
            self._dot((x - side * 0.9 * r, y - 0.6 * r), hair, 0.45 * r)
        self._dot((x - side * 0.12 * r, y - 0.1 * r), hair, 1.06 * r)
        self._dot((x + side * 0.18 * r, y + 0.12 * r), self.look.skin, 0.9 * r)
        self._dot((x + side * 1.0 * r, y + 0.12 * r), self.look.skin, 0.22 * r)  # nose
        self._dot((x + side * 0.55 * r, y - 0.08 * r), "#1b1512", 0.14 * r)
        if self.look.haircut == "cap":
            self.pen.pieslice([x - r, y - 1.1 * r, x + r, y + 0.7 * r], 180, 360, fill=shade(self.look.trousers, 1.3))
            self._limb(
                [(x + side * 0.4 * r, y - 0.25 * r), (x + side * 1.5 * r, y - 0.2 * r)],
                shade(self.look.trousers, 1.1),
                0.24 * r,
            )
        if self.beat.speaks:
            opened = (0.12 + 0.2 * abs(np.sin(9.0 * self.time))) * r
            mx, my = x + side * 0.62 * r, y + 0.5 * r
            self.pen.ellipse([mx - 0.26 * r, my - opened, mx + 0.26 * r, my + opened], fill="#6b1a1a")

    def _holding(self) -> None:
        if self.beat.holds is None:
            return
        left, right = self.at["left_hand"], self.at["right_hand"]
        middle = ((left[0] + right[0]) / 2, (left[1] + right[1]) / 2)
        if self.beat.holds == "guitar":
            draw_guitar(self.pen, left, right, self.unit)
        elif self.beat.holds == "book":
            draw_book(self.pen, middle, self.unit)
        else:
            place = (middle[0] + 0.03 * self.side * self.unit, middle[1] - 0.04 * self.unit)
            draw_ball(self.pen, place, 0.11 * self.unit, "#e74c3c", 0.0)

    def _limb(self, points: list[Point], colour: str, width: float) -> None:
        self.pen.line(points, fill=colour, width=max(1, round(width)), joint="curve")
        for point in points:
            self._dot(point, colour, width / 2)

    def _dot(self, centre: Point, colour: str, radius: float) -> None:
        x, y = centre
        self.pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)


def shade(colour: str, factor: float) -> str:
    """A darker or lighter one."""
    return "#" + "".join(f"{min(255, int(int(colour[i : i + 2], 16) * factor)):02x}" for i in (1, 3, 5))
