"""What is seen of a live source: the newest picture with who is in it, what they do, and how late all of it is."""

import io
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from relact.data.decode import Frame
from relact.data.sampling import Picture, Size
from relact.types import Detections
from relact.video.sources import People
from relact.viz.draw import Painter, sighting
from relact.viz.plates import Line

MAX_SHORT_SIDE, LEAST_LONG_SIDE = 720, 640
"""Pixels of what is shown. A smaller picture is enlarged before it is drawn on: on 240 lines no name is legible."""
HOLD_S = 1.5
"""People who were not seen for so long are not drawn any more."""
ACTIONS_S = 6.0
"""Nor are actions that were done so long ago."""
_RATE_S = 3.0
_QUALITY = 80
_REMEMBERED = 10_000
_VIEWER_S = 2.0
"""Nobody who looks waits longer for a picture; without anybody none is drawn."""
_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveState:
    """The figures under the picture; times in seconds."""

    shown_a_second: float
    picture_delay: float
    """from a frame's coming to its being drawn"""
    people_delay: float | None
    """age of the boxes"""
    actions_delay: float | None
    """from a keyframe's coming to its actions; a clip ends some time after its keyframe"""
    frames: int
    dropped: int
    """frames that nobody had the time to judge"""
    passed_over: int
    """keyframes that were not judged because they were old"""

    def text(self) -> str:
        """One line."""
        parts = [f"{self.shown_a_second:.1f} pictures/s", f"picture {self.picture_delay:.2f} s late"]
        if self.people_delay is not None:
            parts.append(f"boxes {self.people_delay:.2f} s")
        if self.actions_delay is not None:
            parts.append(f"actions {self.actions_delay:.2f} s")
        return f"{', '.join(parts)}; passed over: {self.dropped} of {self.frames} frames, {self.passed_over} keyframes"


class LiveView:
    """Takes frames, people and actions from the threads that find them; draws the newest whenever somebody looks."""

    def __init__(self, names: tuple[str, ...], counts: Callable[[], tuple[int, int, int]]) -> None:
        """`names`: of the actions, for the screen. `counts`: frames that came, frames and keyframes passed over."""
        self._names, self._counts = names, counts
        self._painter = Painter()
        self._change = threading.Condition()
        self._newest: tuple[Picture, float, float] | None = None
        self._people: tuple[float, People] | None = None
        self._lines: dict[int, tuple[Line, ...]] = {}
        self._judged = -ACTIONS_S
        self._shown: deque[float] = deque(maxlen=400)
        self._looked = -_VIEWER_S
        self._drawn: tuple[int, Picture] | None = None
        self._jpeg: tuple[int, bytes] | None = None
        self._actions_delay: float | None = None
        self._came: deque[tuple[float, float]] = deque(maxlen=400)
        self.drawn = 0
        """pictures so far"""
        self.delays: deque[float] = deque(maxlen=_REMEMBERED)
        """of the last of them"""
        self.over = False

    def frame(self, frame: Frame, size: Size) -> None:
        """A frame that is due."""
        picture = frame.rgb(size)
        with self._change:
            self._newest = picture, frame.time_s, time.perf_counter()
            self._came.append((frame.time_s, self._newest[2]))
            self._change.notify_all()

    def people(self, time_s: float, people: People) -> None:
        """Who was seen in the frame at a time."""
        with self._change:
            self._people = time_s, people

    def actions(self, detections: Detections, delay: float) -> None:
        """What was done at a keyframe, known `delay` seconds after it came."""
        sight = sighting(detections, self._names)
        with self._change:
            if len(sight.ids):
                self._lines = dict(zip(sight.ids, sight.lines, strict=True))
                self._judged, self._actions_delay = detections.time, delay

    def end(self) -> None:
        """Nothing more comes."""
        with self._change:
            self.over = True
            self._change.notify_all()

    def picture(self, after: int) -> tuple[int, Picture] | None:
        """The newest picture, drawn, and its number, if that is not `after`."""
        self._looked = time.perf_counter()
        drawn = self._drawn
        return drawn if drawn is not None and drawn[0] != after else None

    def jpeg(self, after: int) -> tuple[int, bytes] | None:
        """The same as a JPEG."""
        drawn = self.picture(after)
        if drawn is None:
            return None
        known = self._jpeg
        if known is None or known[0] != drawn[0]:
            file = io.BytesIO()
            Image.fromarray(drawn[1]).save(file, "JPEG", quality=_QUALITY)
            known = self._jpeg = drawn[0], file.getvalue()
        return known

    def state(self) -> LiveState:
        """The figures now."""
        now = time.perf_counter()
        shown = [at for at in self._shown if at > now - _RATE_S]
        span = now - shown[0] if len(shown) > 1 else _RATE_S
        frames, dropped, passed_over = self._counts()
        people = self._people
        return LiveState(
            shown_a_second=len(shown) / max(span, 0.5),
            picture_delay=self.delays[-1] if self.delays else 0.0,
            people_delay=None if people is None else self._age(people[0], now),
            actions_delay=self._actions_delay,
            frames=frames,
            dropped=dropped,
            passed_over=passed_over,
        )

    def draw_for_ever(self) -> None:
        """Draws the newest frame, each once, while somebody looks; until the end. For a thread of its own."""
        last = 0.0
        while not self.over:
            with self._change:
                self._change.wait_for(lambda: self.over or self._due(last), _POLL_S)  # noqa: B023 - called at once
                if self.over or not self._due(last):
                    continue
                assert self._newest is not None
                picture, time_s, came = self._newest
                last = came
            out = self._paint(picture, time_s)
            now = time.perf_counter()
            self.delays.append(now - came)
            self._shown.append(now)
            self.drawn += 1
            self._drawn = self.drawn, out

    def _due(self, last: float) -> bool:
        looked = time.perf_counter() - self._looked < _VIEWER_S
        return looked and self._newest is not None and self._newest[2] != last

    def _paint(self, picture: Picture, time_s: float) -> Picture:
        with self._change:
            seen, lines, judged = self._people, self._lines, self._judged
        people = People.nobody() if seen is None or time_s - seen[0] > HOLD_S else seen[1]
        ids = people.ids.tolist()
        fresh = time_s - judged <= ACTIONS_S
        height, width = picture.shape[:2]
        boxes = people.boxes.astype(np.float64) * [width, height, width, height]
        texts = [lines.get(person, ()) if fresh else () for person in ids]
        return stamp(self._painter.paint(picture, boxes, ids, texts), self.state().text())

    def _age(self, time_s: float, now: float) -> float:
        return now - next((came for at, came in list(self._came) if at >= time_s - 1e-6), now)


def shown_size(size: Size) -> Size:
    """Width and height of the pictures that are shown of a source of some size."""
    scale = min(MAX_SHORT_SIDE / min(size), max(1.0, LEAST_LONG_SIDE / max(size)))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def stamp(picture: Picture, text: str) -> Picture:
    """The picture with a text on a dark strip along its foot: two lines where one would not fit, then smaller."""
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image, "RGBA")
    room, size = image.width - 12, max(11.0, image.height / 34)
    font = ImageFont.load_default(size)
    lines = [text] if pen.textlength(text, font) <= room else text.split("; ")
    wide = max(pen.textlength(line, font) for line in lines)
    if wide > room:
        size = max(7.0, size * room / wide)
        font = ImageFont.load_default(size)
    top = image.height - round((0.4 + 1.3 * len(lines)) * size)
    pen.rectangle((0, top, image.width, image.height), fill=(0, 0, 0, 170))
    for row, line in enumerate(lines):
        pen.text((6, top + (0.3 + 1.3 * row) * size), line, fill=(255, 255, 255, 255), font=font)
    return np.asarray(image)
