"""Scenes that are hard to track, and drawings of them: truth, detections, pictures (for benchmarks/tracking.py)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from relact.boxes import area, intersection

Array = npt.NDArray[np.float64]

WIDTH, HEIGHT = 640, 360
BASE_HZ = 10
SECONDS = 60
PEOPLE = 8
KINDS = ("corridor", "stage", "dance", "film")
COLOURS = np.asarray(
    [
        (150, 40, 40),
        (40, 60, 140),
        (40, 110, 60),
        (170, 150, 60),
        (70, 70, 75),
        (190, 190, 185),
        (110, 60, 120),
    ],
    np.float64,
)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Truth and detections of each frame at 10 Hz, and what is needed to draw a frame."""

    truth: list[tuple[Array, npt.NDArray[np.int64]]]
    found: list[tuple[Array, Array]]
    looks: npt.NDArray[np.int64]
    light: Array
    camera: npt.NDArray[np.int64]
    seed: int


def walk(kind: str, rng: np.random.Generator) -> tuple[Array, npt.NDArray[np.int64]]:
    """Feet (x, y) of each person at each frame `[F, P, 2]` in pixels, and the name of who walks there `[F, P]`."""
    frames, dt = SECONDS * BASE_HZ, 1 / BASE_HZ
    place = np.stack([rng.uniform(0, WIDTH, PEOPLE), rng.uniform(0.4, 1, PEOPLE) * HEIGHT], axis=1)
    velocity = np.zeros((PEOPLE, 2))
    goal, until = place.copy(), np.zeros(PEOPLE)
    speed = {"corridor": (35, 90), "stage": (15, 60), "dance": (40, 110), "film": (15, 60)}[kind]
    generation = np.zeros(PEOPLE, np.int64)
    path, names = [], []
    for frame in range(frames):
        new = (np.linalg.norm(goal - place, axis=1) < 15) | (frame * dt > until)
        if kind == "corridor":  # through the picture and out; a new person comes in
            gone = new & ((place[:, 0] < -60) | (place[:, 0] > WIDTH + 60))
            generation[gone] += 1
            side = np.where(place[:, 0] < WIDTH / 2, WIDTH + 90, -90)
            target = np.stack([side, rng.uniform(0.4, 1, PEOPLE) * HEIGHT], axis=1)
            until = np.where(new, frame * dt + 20, until)
        else:
            target = np.stack([rng.uniform(20, WIDTH - 20, PEOPLE), rng.uniform(0.4, 1, PEOPLE) * HEIGHT], axis=1)
            until = np.where(new, frame * dt + rng.uniform(1.5, 7 if kind != "dance" else 3, PEOPLE), until)
            still = rng.random(PEOPLE) < (0.35 if kind != "dance" else 0.05)
            target = np.where(still[:, None], place, target)
        goal = np.where(new[:, None], target, goal)
        way = goal - place
        pace = np.minimum(rng.uniform(*speed, PEOPLE), np.linalg.norm(way, axis=1) / 0.4)
        wanted = way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-6) * pace[:, None]
        velocity += (wanted - velocity) * min(1.0, dt / 0.35)
        place = place + velocity * dt
        path.append(place.copy())
        names.append(generation * PEOPLE + np.arange(PEOPLE) + 1)
    return np.stack(path), np.stack(names)


def wander(frames: int, shape: tuple[int, ...], spread: float, seconds: float, rng: np.random.Generator) -> Array:
    """Random values `[F, *shape]` of a spread that are forgotten after some seconds (Ornstein-Uhlenbeck)."""
    keep = np.exp(-1 / BASE_HZ / seconds)
    values = [rng.normal(0, spread, shape)]
    for _ in range(frames - 1):
        values.append(keep * values[-1] + np.sqrt(1 - keep**2) * rng.normal(0, spread, shape))
    return np.stack(values)


def person_boxes(feet: Array, stature: Array, posture: Array) -> Array:
    """Boxes by depth: the lower the feet, the nearer and larger. `posture [P, 2]`: logarithms of wider and taller."""
    depth = (0.12 + 0.33 * feet[:, 1] / HEIGHT) * HEIGHT * stature
    tall, wide = depth * np.exp(posture[:, 1]), 0.38 * depth * np.exp(posture[:, 0])
    x, y = feet[:, 0], feet[:, 1]
    return np.stack([x - wide / 2, y - tall, x + wide / 2, y], axis=1)


def hidden_share(boxes: Array, feet_y: Array) -> Array:
    """How much of each box the most covering nearer box covers."""
    nearer = feet_y[None] > feet_y[:, None]
    cover = intersection(boxes[:, None], boxes[None]) * nearer / np.maximum(area(boxes), 1)[:, None]
    return cover.max(axis=1)


def make_scene(kind: str, seed: int) -> Scene:
    rng = np.random.default_rng([seed, sum(map(ord, kind))])
    feet, names = walk(kind, rng)
    stature = rng.uniform(0.85, 1.15, PEOPLE)
    posture = wander(len(feet), (PEOPLE, 2), 1.0, 0.7, rng) * [0.22, 0.1]
    shake = wander(len(feet), (1, 2), 6.0, 0.5, rng)
    camera = np.zeros(len(feet), np.int64)
    other = rng.permutation(PEOPLE)
    if kind == "film":  # shots of 6 to 12 s; the second camera sees the room from the other side
        cuts = np.cumsum(rng.uniform(6, 12, 30) * BASE_HZ).astype(int)
        camera = np.searchsorted(cuts, np.arange(len(feet)), side="right") % 2
    truth, found = [], []
    for frame in range(len(feet)):
        spot = feet[frame].copy()
        if camera[frame]:
            spot = np.stack([WIDTH - spot[:, 0], 1.4 * HEIGHT - spot[:, 1]], axis=1)
        boxes = person_boxes(spot + shake[frame], stature, posture[frame])
        cut = boxes.clip(0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
        seen = area(cut) > 0.4 * area(boxes)
        if camera[frame]:
            seen &= other < PEOPLE - 3  # three people stand outside the second picture
        hidden = hidden_share(cut, spot[:, 1])[seen]
        true, ids = cut[seen], names[frame][seen]
        truth.append((true, ids))
        found.append(detections(true, hidden, rng))
    looks = rng.integers(0, len(COLOURS), (int(names.max()) + 1, 2))
    light = 1 + 0.12 * np.sin(np.arange(len(feet)) / 70 + seed) - 0.1 * camera
    return Scene(truth=truth, found=found, looks=looks, light=light, camera=camera, seed=seed)


def detections(true: Array, hidden: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """What a detector makes of the true boxes: `[N, 4]`, `[N]`; order is that of the scores."""
    miss = np.select([hidden > 0.75, hidden > 0.5], [0.9, 0.35], 0.08)
    kept = rng.random(len(true)) > miss
    size = np.tile(true[:, 2:] - true[:, :2], 2)
    jittered = true + rng.normal(0, 0.03, true.shape) * size
    score = rng.beta(12, 1.5, len(true)) - 0.35 * hidden
    false = rng.poisson(0.3)
    corner = rng.uniform(0, [WIDTH - 60, HEIGHT - 110], (false, 2))
    wrong = np.concatenate([corner, corner + rng.uniform([30, 60], [60, 110], (false, 2))], axis=1)
    boxes = np.concatenate([jittered[kept], wrong])
    scores = np.concatenate([score[kept], rng.uniform(0.3, 0.65, false)]).clip(0.05, 1)
    order = np.argsort(-scores)
    return boxes[order].clip(0, [WIDTH, HEIGHT, WIDTH, HEIGHT]), scores[order]


def draw(scene: Scene, frame: int) -> npt.NDArray[np.uint8]:
    """The frame as uint8 `[H, W, 3]`: a chequered room, people as shirt, trousers and head, light and noise."""
    rng = np.random.default_rng([scene.seed, frame])
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    room = 90 + 40 * ((rows // 45 + columns // 45) % 2) + 30 * scene.camera[frame]
    picture = np.repeat(room[:, :, None], 3, axis=2).astype(np.float64)
    boxes, ids = scene.truth[frame]
    for box, name in sorted(zip(boxes, ids, strict=True), key=lambda row: row[0][3]):
        x1, y1, x2, y2 = box.astype(int)
        neck, belt, inset = y1 + (y2 - y1) // 6, y1 + (y2 - y1) // 2, (x2 - x1) // 7
        shirt, trousers = COLOURS[scene.looks[name]]
        picture[y1:neck, x1 + 2 * inset : x2 - 2 * inset] = (190, 150, 120)
        picture[neck:belt, x1 + inset : x2 - inset] = shirt
        picture[belt:y2, x1 + inset : x2 - inset] = trousers
    shade = scene.light[frame] * (0.85 + 0.3 * columns / WIDTH)
    noise = rng.normal(0, 12, (HEIGHT, WIDTH, 1)) + rng.normal(0, 6, (HEIGHT // 8, WIDTH // 8, 3)).repeat(8, 0).repeat(
        8, 1
    )
    return (picture * shade[:, :, None] + noise).clip(0, 255).astype(np.uint8)
