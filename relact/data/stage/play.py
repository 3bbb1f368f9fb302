"""A video: skits between cuts, a camera that drifts, and what is true of every second."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from relact.data.stage import long_skits, skits
from relact.data.stage.backdrop import MARGIN, Backdrop, paint_backdrop
from relact.data.stage.body import looks
from relact.data.stage.paint import paint_person
from relact.data.stage.script import HEIGHT, WIDTH, Beat, Box, Person, Skit, Thing
from relact.data.stage.things import paint_thing

SHORT: dict[str, Callable[[np.random.Generator], Skit]] = {
    "large": skits.large, "medium": skits.medium, "small": skits.small, "second order": skits.second_order,
    "direction": skits.direction, "support": skits.support, "posture": skits.posture,
    "interference": skits.interference,
}  # fmt: skip
LONG: dict[str, Callable[[np.random.Generator], Skit]] = {
    "owner": long_skits.owner, "waiting": long_skits.waiting, "fall": long_skits.fall, "chase": long_skits.chase,
}  # fmt: skip
HARDEST = "second order"
"""what a play that has every short skit goes on with: heads need several times as many scenes of it (docs/stage.md)"""
CUT = 0.1
"""seconds by which a cut comes before its second: the second itself is excluded, its clip shows both sides"""
DRIFT = 3.0
"""units that the camera drifts to either side"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A skit at its place in a video."""

    skit: Skit
    start: int
    """second of the cut before it"""
    first_person: int
    """id of its first person"""
    seed: tuple[int, ...]
    drift: tuple[float, float]
    """phase and seconds a turn"""

    def camera(self, time: float) -> tuple[float, float]:
        """Where the picture's corner is, in units; `time` from the scene's start."""
        phase, period = self.drift
        angle = 2 * np.pi * (time / period + phase)
        return DRIFT * float(np.sin(angle)), 0.4 * DRIFT * float(np.sin(0.7 * angle))

    def seen(self, box: Box | None, time: float) -> Box | None:
        """A box of the stage in the camera's picture, cut to it; None where less than two units a side are left."""
        if box is None:
            return None
        (dx, dy), (x1, y1, x2, y2) = self.camera(time), box
        a, b = max(0.0, x1 - dx), max(0.0, y1 - dy)
        c, d = min(float(WIDTH), x2 - dx), min(float(HEIGHT), y2 - dy)
        return (a, b, c, d) if c - a > 2 and d - b > 2 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """A whole video's script."""

    name: str
    seconds: int
    scenes: tuple[Scene, ...]

    def scene(self, time: float) -> Scene:
        """What is on at a moment."""
        return next(scene for scene in reversed(self.scenes) if time >= scene.start - CUT or scene.start == 0)

    def cuts(self) -> list[int]:
        """Seconds whose clip shows two scenes."""
        return [scene.start for scene in self.scenes if scene.start > 0]


def write_play(name: str, seed: tuple[int, ...], seconds: int, families: Sequence[str] = ()) -> Play:
    """A play of about this length, from its seed: long skits for half of it, short ones for the rest, in any order.

    Of these families alone, where any are given; then of one kind of skit all the time, if there is no other.
    """
    random = np.random.default_rng(seed)
    known_long, known_short = ([name for name in deck if not families or name in families] for deck in (LONG, SHORT))
    share = 2 if known_short else 1
    long = _deck(random, known_long, seconds // (share * long_skits.SECONDS))
    short = _deck(random, known_short, (seconds - long_skits.SECONDS * len(long)) // skits.SECONDS)
    order = [*(LONG[family] for family in long), *(SHORT[family] for family in short)]
    scenes, start, first = [], 0, 1
    for number, place in enumerate(random.permutation(len(order)).tolist()):
        own = np.random.default_rng([*seed, number])
        skit = _with_extras(order[place](own), own)
        drift = float(own.random()), float(own.uniform(6, 14))
        scenes.append(Scene(skit=skit, start=start, first_person=first, seed=(*seed, number), drift=drift))
        start, first = start + skit.seconds, first + len(skit.people)
    return Play(name=name, seconds=start, scenes=tuple(scenes))


def _deck(random: np.random.Generator, names: list[str], number: int) -> list[str]:
    """So many names: all of them as often as they fit, then the hardest; some at random where not all fit once."""
    if not names:
        return []
    whole = [*names] * (number // len(names))
    rest = number - len(whole)
    return [*whole, *([HARDEST] * rest if whole and HARDEST in names else random.permutation(names)[:rest].tolist())]


def _with_extras(skit: Skit, random: np.random.Generator) -> Skit:
    """In half of the scenes somebody stands or walks in the background, smaller, behind everyone."""
    if random.random() < 0.5 or skit.family in ("second order", "interference"):
        return skit
    people = list(skit.people)
    for look in looks(random, int(random.integers(1, 3))):
        x, walks, way = float(random.uniform(20, WIDTH - 20)), random.random() < 0.5, 1 if random.random() < 0.5 else -1
        to = x + way * 12 * skit.seconds if walks else x
        beat = Beat(start=-1.0, end=skit.seconds + 1.0, x=(x, to), body="walk" if walks else "stand",
                    arms="swing" if walks else "hips", facing=way)  # fmt: skip
        people.append(
            Person(look=look, height=float(random.uniform(26, 31)), ground=float(random.uniform(68, 73)), beats=(beat,),
                   phase=random.uniform(0, 100))
        )  # fmt: skip
    return replace(skit, people=tuple(people))


def frames(play: Play, rate: int, scale: int) -> Iterator[tuple[float, npt.NDArray[np.uint8]]]:
    """(seconds, RGB picture) of every frame."""
    backdrops: dict[int, Backdrop] = {}
    for number in range(play.seconds * rate):
        time = number / rate
        scene = play.scene(time)
        if scene.start not in backdrops:
            random = np.random.default_rng([*scene.seed, 1])
            backdrops = {scene.start: paint_backdrop(scene.skit.backdrop, random, scale)}
        yield time, draw(scene, backdrops[scene.start], time - scene.start, scale)


def draw(scene: Scene, backdrop: Backdrop, time: float, scale: int) -> npt.NDArray[np.uint8]:
    """One frame, `[96 scale, 288 scale, 3]`: walls, then whoever is nearer over whoever is farther."""
    dx, dy = scene.camera(time)
    corner = round((MARGIN + dx) * scale), round((MARGIN + dy) * scale)
    image = Image.fromarray(backdrop.at(time, *corner, WIDTH * scale, HEIGHT * scale))
    offset = corner[0] / scale - MARGIN, corner[1] / scale - MARGIN
    things, people = scene.skit.things, scene.skit.people
    for thing in (thing for thing in things if thing.layer == "wall"):
        paint_thing(image, thing, time, offset, scale)
    floor: list[Thing | Person] = [*(thing for thing in things if thing.layer == "floor"), *people]
    for one in sorted(floor, key=lambda one: one.ground):
        if isinstance(one, Person):
            paint_person(image, one, time, offset, scale)
        else:
            paint_thing(image, one, time, offset, scale)
    for thing in (thing for thing in things if thing.layer == "front"):
        paint_thing(image, thing, time, offset, scale)
    return np.asarray(image)
