"""Little generated videos with exact labels: what the demo trains on and what the tests read.

A few people stand, walk, jump, crouch and wave in front of a painted wall. Labels come from the script that moves them,
never from the drawing. The same seed gives the same videos and labels.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from relact.data.encode import VideoWriter
from relact.interop.files import atomic_path
from relact.labels import LabelMap

WIDTH, HEIGHT, RATE = 480, 272, 25
STAND, WALK, JUMP, CROUCH, WAVE = 12, 14, 7, 3, 69
"""AVA's ids; one pose at a time, waving on top of standing or walking"""

_SMOOTH = 2  # drawn at twice the size and halved, for smooth edges
_SKIN = ("#8d5524", "#c68642", "#e0ac69", "#f1c27d", "#ffdbac")
_CLOTHES = ("#c0392b", "#2471a3", "#1e8449", "#b7950b", "#6c3483", "#a04000", "#117a65", "#34495e")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One actor of a play: looks, a lane, and what they do in each two-second act."""

    height: float
    lane: float
    """y of the feet"""
    start: float
    """x of the hips at second 0"""
    heading: int
    """+1 right, -1 left"""
    skin: str
    shirt: str
    trousers: str
    poses: tuple[int, ...]
    waves: tuple[bool, ...]


ACT_SECONDS = 2.0
CHANGE_SECONDS = 0.4
"""how long a body takes from one act to the next"""


def script(random: np.random.Generator, people: int, seconds: float) -> list[Person]:
    """Who is in the play and what they do."""
    acts = act_of(seconds) + 1
    places = (np.arange(people) + 0.5) / people * WIDTH
    shirts, cast = random.permutation(_CLOTHES), []
    for number in range(people):
        poses = tuple(int(pose) for pose in random.choice([STAND, WALK, JUMP, CROUCH], acts))
        waves = tuple(bool(random.random() < 0.5) and pose in (STAND, WALK) for pose in poses)
        cast.append(
            Person(
                height=float(random.uniform(0.50, 0.62) * HEIGHT),
                lane=float(HEIGHT * (0.84 + 0.12 * number / max(people - 1, 1))),
                start=float(places[number] + random.uniform(-15, 15)),
                heading=int(random.choice([-1, 1])),
                skin=str(random.choice(_SKIN)),
                shirt=str(shirts[number % len(shirts)]),
                trousers=str(random.choice(_CLOTHES)),
                poses=poses,
                waves=waves,
            )
        )
    return cast


def act_of(time: float) -> int:
    """Acts change half way between two seconds, so that every whole second is well inside one."""
    return int((time + 0.5) / ACT_SECONDS)


def actions(person: Person, time: float) -> list[int]:
    """Ids of what a person does at a moment."""
    act = act_of(time)
    return [person.poses[act]] + ([WAVE] if person.waves[act] else [])


def joints(person: Person, time: float) -> dict[str, tuple[float, float]]:
    """Where the body is, in pixels: head, neck, hips, elbows, hands, knees, feet."""
    act = act_of(time)
    now = _posture(person, act, time)
    done = (time + 0.5 - act * ACT_SECONDS) / CHANGE_SECONDS
    if act == 0 or done >= 1:
        return now
    before = _posture(person, act - 1, time)
    return {
        name: (b[0] * (1 - done) + now[name][0] * done, b[1] * (1 - done) + now[name][1] * done)
        for name, b in before.items()
    }


def _posture(person: Person, act: int, time: float) -> dict[str, tuple[float, float]]:
    h = person.height
    pose, phase = person.poses[act], 2 * np.pi * 1.4 * time
    x, swing = _hips_x(person, time), np.sin(phase) * 0.16 * h if pose == WALK else 0.04 * h
    lift = 0.20 * h * abs(np.sin(phase)) if pose == JUMP else 0.0
    leg = 0.26 * h if pose == CROUCH else 0.47 * h
    lean = 0.10 * h * person.heading if pose == CROUCH else 0.0
    feet_y, hips_y = person.lane - lift, person.lane - lift - leg
    neck = (x + lean, hips_y - 0.33 * h)
    bend = 0.14 * h * person.heading if pose == CROUCH else 0.02 * h * person.heading
    body = {
        "head": (neck[0] + lean * 0.3, neck[1] - 0.11 * h),
        "neck": neck,
        "hips": (x, hips_y),
        "left_knee": (x + swing * 0.6 + bend, (hips_y + feet_y) / 2),
        "right_knee": (x - swing * 0.6 + bend, (hips_y + feet_y) / 2),
        "left_foot": (x + swing, feet_y),
        "right_foot": (x - swing, feet_y),
    }
    for side, sign in (("left", -1), ("right", 1)):
        hand = (neck[0] + sign * 0.13 * h - sign * swing * 0.5, neck[1] + 0.34 * h)
        if person.waves[act] and side == "right":
            hand = (neck[0] + 0.20 * h + 0.10 * h * np.sin(2 * np.pi * 2.2 * time), neck[1] - 0.30 * h)
        elif pose == JUMP:
            hand = (neck[0] + sign * 0.26 * h, neck[1] + 0.08 * h)
        body[f"{side}_hand"] = hand
        body[f"{side}_elbow"] = ((neck[0] + hand[0]) / 2 + sign * 0.05 * h, (neck[1] + hand[1]) / 2 + 0.03 * h)
    return body


def _hips_x(person: Person, time: float) -> float:
    """Walking moves the hips; people turn round at the edges (a triangle wave)."""
    walked = sum(
        min(max(time + 0.5 - act * ACT_SECONDS, 0.0), ACT_SECONDS)
        for act, pose in enumerate(person.poses)
        if pose == WALK
    )
    margin, span = 0.08 * WIDTH, 0.84 * WIDTH
    position = (person.start - margin + person.heading * 38.0 * walked) % (2 * span)
    return float(margin + (position if position <= span else 2 * span - position))


def box(person: Person, time: float) -> tuple[float, float, float, float]:
    """The person's box, x1 y1 x2 y2 in [0, 1] of the frame."""
    points = np.array(list(joints(person, time).values()))
    pad, head = 0.05 * person.height, joints(person, time)["head"]
    low = np.minimum(points.min(axis=0) - pad, np.array(head) - 0.11 * person.height)
    high = points.max(axis=0) + pad
    x1, y1 = np.clip(low / (WIDTH, HEIGHT), 0, 1)
    x2, y2 = np.clip(high / (WIDTH, HEIGHT), 0, 1)
    return float(x1), float(y1), float(x2), float(y2)


def wall(random: np.random.Generator) -> Image.Image:
    """A background: wall and floor with a little texture, a window, a picture, a plant."""
    size = (WIDTH * _SMOOTH, HEIGHT * _SMOOTH)
    shade = np.linspace(0, 1, size[1])[:, None, None]
    top, bottom = random.integers(140, 215, 3), random.integers(110, 190, 3)
    picture = (top * (1 - shade) + bottom * shade) * np.ones((1, size[0], 1))
    floor = int(size[1] * 0.72)
    boards = np.array([(150, 111, 72), (122, 98, 80), (134, 134, 138), (164, 138, 104)])
    picture[floor:] = boards[random.integers(len(boards))] * np.linspace(0.8, 1.05, size[1] - floor)[:, None, None]
    picture += random.normal(0, 5, (size[1], size[0], 1))
    image = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    x = int(random.integers(40, size[0] - 260))
    pen.rectangle([x, 50, x + 200, 210], fill="#d6ecf5", outline="#6b4f3a", width=10)
    pen.line([x + 100, 50, x + 100, 210], fill="#6b4f3a", width=6)
    x = int(random.integers(40, size[0] - 120))
    pen.polygon([(x, floor - 10), (x + 50, floor - 10), (x + 42, floor + 50), (x + 8, floor + 50)], fill="#9c5b34")
    for leaf in range(-3, 4):
        pen.line([x + 25, floor - 10, x + 25 + leaf * 22, floor - 110 + abs(leaf) * 14], fill="#2e7d46", width=9)
    return image


def paint(image: Image.Image, person: Person, time: float) -> None:
    """Draws one person onto a picture of twice the video's size."""
    at = {name: (x * _SMOOTH, y * _SMOOTH) for name, (x, y) in joints(person, time).items()}
    pen, unit = ImageDraw.Draw(image), person.height * _SMOOTH
    for side, tint in (("left", 0.8), ("right", 1.0)):
        _limb(
            pen,
            [at["hips"], at[f"{side}_knee"], at[f"{side}_foot"]],
            _shade(person.trousers, tint),
            0.085 * unit,
        )
    _limb(pen, [at["neck"], at["hips"]], person.shirt, 0.17 * unit)
    for side, tint in (("left", 0.8), ("right", 1.0)):
        _limb(
            pen,
            [at["neck"], at[f"{side}_elbow"], at[f"{side}_hand"]],
            _shade(person.shirt, tint),
            0.06 * unit,
        )
        _dot(pen, at[f"{side}_hand"], person.skin, 0.038 * unit)
    _dot(pen, at["head"], person.skin, 0.085 * unit)
    x, y = at["head"]
    r = 0.085 * unit
    pen.pieslice([x - r, y - r, x + r, y + r], 180, 360, fill="#2b1b12")


def _limb(pen: ImageDraw.ImageDraw, points: list[tuple[float, float]], colour: str, width: float) -> None:
    pen.line(points, fill=colour, width=round(width), joint="curve")
    for point in points:
        _dot(pen, point, colour, width / 2)


def _dot(pen: ImageDraw.ImageDraw, centre: tuple[float, float], colour: str, radius: float) -> None:
    x, y = centre
    pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)


def _shade(colour: str, factor: float) -> str:
    return "#" + "".join(f"{int(int(colour[i : i + 2], 16) * factor):02x}" for i in (1, 3, 5))


def frames(cast: list[Person], background: Image.Image, seconds: float) -> Iterator[tuple[float, np.ndarray]]:
    """(time, RGB picture) of every frame; nearer people are drawn over farther ones."""
    for number in range(round(seconds * RATE)):
        image = background.copy()
        for person in sorted(cast, key=lambda p: p.lane):
            paint(image, person, number / RATE)
        yield number / RATE, np.asarray(image.reduce(_SMOOTH))


def generate(folder: Path, *, videos: int = 2, people: int = 3, seconds: float = 8.0, seed: int = 0) -> None:
    """Writes `videos/*.mp4`, `groundtruth.csv` (AVA's format, 1 Hz), `boxes.csv` (5 Hz, no ids) and `labels.csv`."""
    truth: list[list[object]] = []
    boxes: list[list[object]] = [["video", "time_s", "x1", "y1", "x2", "y2", "score"]]
    for number in range(videos):
        random = np.random.default_rng([seed, number])
        name, cast = f"toy_{number:02d}", script(random, people, seconds)
        with VideoWriter(folder / "videos" / f"{name}.mp4", WIDTH, HEIGHT, RATE, exact=True) as writer:
            for time, picture in frames(cast, wall(random), seconds):
                writer.write(picture, time)
        for second in range(int(np.ceil(seconds))):
            for identity, person in enumerate(cast, start=1):
                place = [f"{value:.4f}" for value in box(person, second)]
                truth += [[name, f"{second:04d}", *place, action, identity] for action in actions(person, second)]
        for tick in range(int(seconds * 5)):
            boxes += [[name, f"{tick / 5:.2f}", *(f"{v:.4f}" for v in box(p, tick / 5)), "0.99"] for p in cast]
    _write(folder / "groundtruth.csv", truth)
    _write(folder / "boxes.csv", boxes)
    known = LabelMap.load("ava")
    used = [label for label in known if label.id in (STAND, WALK, JUMP, CROUCH, WAVE)]
    _write(folder / "labels.csv", [["id", "name", "group"], *([v.id, v.name, v.group] for v in used)])


def _write(path: Path, rows: list[list[object]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
