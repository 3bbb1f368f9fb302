"""Scenes of three seconds: context of three sizes, second order, direction of time, support, posture, interference.

Every choice that decides a label is a coin of its own, drawn after the places, so that neither a place nor a look tells
anything; both alternatives are on the stage, so that neither does the scene as a whole. A scene has two keyframes, and
in between people turn, or do not.
"""

from collections.abc import Callable

import numpy as np

from relact.data.stage.body import Look, looks
from relact.data.stage.script import GAP, WIDTH, Beat, Event, Person, Skit, Thing

SECONDS = 3
TURN = 1.35
"""the moment between the two keyframes of a scene: who does something at both draws a coin for each"""
SPANS = ((0.0, TURN), (TURN, float(SECONDS)))
"""seconds about each of the two keyframes"""
HALF = 11.0
"""units from a standing person's middle to the farthest edge of the box"""
SIZES = {
    "tv": (36.0, 26.0), "window": (34.0, 32.0), "gramophone": (19.0, 24.0), "painting": (18.0, 23.0),
    "cat": (13.0, 10.0), "duck": (12.0, 10.0), "helm": (15.0, 22.0), "anchor": (13.0, 18.0), "ball": (10.0, 10.0),
    "chest": (18.0, 12.0), "stool": (11.0, 11.0),
}  # fmt: skip


def coin(random: np.random.Generator) -> bool:
    """Heads or tails."""
    return bool(random.random() < 0.5)


def still(x: float, seconds: float, *, facing: int, arms: str = "down", body: str = "stand", **more: object) -> Beat:
    """One posture at one place for a whole scene, on either side of the cuts too."""
    return Beat(start=-1.0, end=seconds + 1.0, x=(x, x), body=body, arms=arms, facing=facing, **more)  # type: ignore[arg-type]


def ways(random: np.random.Generator) -> tuple[int, int]:
    """Which way somebody faces at the two keyframes of a scene: a coin for each."""
    return (1 if coin(random) else -1), (1 if coin(random) else -1)


def turns(x: float, facings: tuple[int, int], **more: object) -> tuple[Beat, Beat]:
    """One place, and maybe another way to face from `TURN` on."""
    first, second = facings
    return (
        Beat(start=-1.0, end=TURN, x=(x, x), facing=first, **more),  # type: ignore[arg-type]
        Beat(start=TURN, end=SECONDS + 1.0, x=(x, x), facing=second, **more),  # type: ignore[arg-type]
    )


def one(
    look: Look, beats: tuple[Beat, ...], random: np.random.Generator, *, ground: float | None = None,
    height: float | None = None, lift: float = 0.0,
) -> Person:  # fmt: skip
    """A person with these beats; as tall, and standing where, as chance has it, unless told."""
    return Person(
        look=look, beats=beats, height=height or tall(random), ground=floor(random) if ground is None else ground,
        lift=lift, phase=float(random.uniform(0, 100)),
    )  # fmt: skip


def apart(random: np.random.Generator, number: int, low: float, high: float, least: float) -> list[float]:
    """So many places from left to right, `least` or more from one another."""
    free = np.sort(random.uniform(0, high - low - least * (number - 1), number))
    return [float(low + place + least * index) for index, place in enumerate(free)]


def thing(kind: str, x: float, ground: float, **more: object) -> Thing:
    """Of its usual size, where it stays."""
    return Thing(kind=kind, size=SIZES[kind], ground=ground, x=(x, x), **more)  # type: ignore[arg-type]


def tall(random: np.random.Generator) -> float:
    """A body's height."""
    return float(random.uniform(37, 45))


def floor(random: np.random.Generator) -> float:
    """Where feet are."""
    return float(random.uniform(82, 91))


ON_WALL = ("tv", "window", "painting")


def _line(random: np.random.Generator, kind: str) -> float:
    """The lower edge of a thing: on the wall or on the floor."""
    return float(random.uniform(46, 54) if kind in ON_WALL else random.uniform(80, 92))


def _context(
    family: str, kinds: tuple[str, str], actions: tuple[str, str], arms: str
) -> Callable[[np.random.Generator], Skit]:
    """People in the middle turn to one of two things at the sides: the same body, another object."""

    def skit(random: np.random.Generator) -> Skit:
        widest = max(SIZES[kind][0] for kind in kinds)
        ends = widest / 2 + random.uniform(1, 6), WIDTH - widest / 2 - random.uniform(1, 6)
        low, high = ends[0] + widest / 2 + GAP + HALF, ends[1] - widest / 2 - GAP - HALF
        places = apart(random, int(random.integers(2, 4)), low, high, 16)
        at = (0, 1) if coin(random) else (1, 0)  # which thing stands on which side
        things = [
            thing(kinds[kind], end, _line(random, kinds[kind]), layer="wall" if kinds[kind] in ON_WALL else "floor",
                  facing=facing)
            for kind, end, facing in zip(at, ends, (1, -1), strict=True)
        ]  # fmt: skip
        people, events = [], []
        for index, (look, x) in enumerate(zip(looks(random, len(places)), places, strict=True)):
            facings = ways(random)
            people.append(one(look, turns(x, facings, arms=arms), random))
            events += [
                Event(action=actions[at[facing > 0]], person=index, start=start, end=end, things=(0, 1))
                for facing, (start, end) in zip(facings, SPANS, strict=True)
            ]
        return Skit(
            family=family, seconds=SECONDS, people=tuple(people), things=tuple(things), events=tuple(events),
            backdrop="room" if family != "small" else "park",
        )  # fmt: skip

    return skit


large = _context("large", ("tv", "window"), ("watch TV", "look out of a window"), "folded")
medium = _context("medium", ("gramophone", "painting"), ("listen to a gramophone", "look at a painting"), "chin")
small = _context("small", ("cat", "duck"), ("call a cat", "call a duck"), "low")


def second_order(random: np.random.Generator) -> Skit:
    """A passenger and a sailor in a boat with a helm at one end and an anchor at the other.

    The sailor turns to the helm, and the passenger rides; or to the anchor, and the passenger waits. What the passenger
    does is known by what the sailor does with a thing: a relation of a relation.
    """
    kinds = ("helm", "anchor") if coin(random) else ("anchor", "helm")
    ends = (random.uniform(9, 12), WIDTH - random.uniform(9, 12))
    low, high = ends[0] + 8 + GAP + HALF, ends[1] - 8 - GAP - HALF - 3
    sailor_left = coin(random)
    first, second = apart(random, 2, low, high, GAP + 2 * HALF + 5)
    passenger_x, sailor_x = (second, first) if sailor_left else (first, second)
    ground, (own, other) = float(random.uniform(82, 86)), looks(random, 2)
    facings, way = ways(random), 1 if coin(random) else -1
    people = (
        one(own, (still(passenger_x, SECONDS, facing=way, body="sit", arms="lap"),), random, ground=ground, lift=5.0),
        one(other, turns(sailor_x, facings, arms="forward"), random, ground=ground, lift=3.0),
    )
    hull = Thing(
        kind="boat", size=(WIDTH + 16.0, 17), ground=ground + 5, x=(WIDTH / 2, WIDTH / 2), layer="front",
        colour=str(random.choice(["#8d3b2f", "#2f5d8d", "#3f7d4e", "#8d6e2f"])),
    )  # fmt: skip
    events = []
    for facing, (start, end) in zip(facings, SPANS, strict=True):
        steers = kinds[facing > 0] == "helm"
        events += [
            Event(action="ride a boat" if steers else "wait at anchor", person=0, start=start, end=end, things=(0, 1),
                  people=(1,)),
            Event(action="drive a boat" if steers else "mind the anchor", person=1, start=start, end=end,
                  things=(0, 1)),
        ]  # fmt: skip
    things = [
        thing(kind, end, ground - 6, facing=facing) for kind, end, facing in zip(kinds, ends, (1, -1), strict=True)
    ]
    return Skit(
        family="second order", seconds=SECONDS, people=people, things=(*things, hull), events=tuple(events),
        backdrop="lake",
    )  # fmt: skip


def direction(random: np.random.Generator) -> Skit:
    """A ball rolls from one to the other, and back; where it is at a keyframe is the same in both directions."""
    xs = (float(random.uniform(14, 26)), float(WIDTH - random.uniform(14, 26)))
    ground = float(random.uniform(84, 91))
    people = [
        one(look, (still(x, SECONDS, facing=facing, arms="forward", body="crouch"),), random, ground=ground)
        for look, x, facing in zip(looks(random, 2), xs, (1, -1), strict=True)
    ]
    room = 17.0  # a crouching body reaches farther than a standing one
    path = (xs[0] + room + GAP + 5, xs[1] - room - GAP - 5)
    gives = 0 if coin(random) else 1
    there, back = (path, path[::-1]) if gives == 0 else (path[::-1], path)
    ball = Thing(
        kind="ball", size=SIZES["ball"], ground=ground, x=(*there, *back), span=(0.55, 1.45, 1.55, 2.45),
        colour=str(random.choice(["#e74c3c", "#f1c40f", "#8e44ad"])),
    )  # fmt: skip
    events = [
        Event(action="give" if index == giver else "receive", person=index, start=start, end=end, things=(0,))
        for giver, (start, end) in zip((gives, 1 - gives), SPANS, strict=True)
        for index in range(2)
    ]
    return Skit(
        family="direction", seconds=SECONDS, people=tuple(people), things=(ball,), events=tuple(events), backdrop="park"
    )


def support(random: np.random.Generator) -> Skit:
    """Speakers turn to one of two neighbours: to the one who plays the guitar, or to the one who reads."""
    ends = (float(random.uniform(13, 20)), float(WIDTH - random.uniform(13, 20)))
    low, high = ends[0] + 15 + GAP + HALF, ends[1] - 15 - GAP - HALF
    places = apart(random, int(random.integers(2, 4)), low, high, 16)
    guitar = 0 if coin(random) else 1
    cast, people, events = looks(random, len(places) + 2), [], []
    for side, x in enumerate(ends):
        held = "guitar" if side == guitar else "book"
        people.append(one(cast[side], (still(x, SECONDS, facing=1 - 2 * side, arms=held, holds=held),), random))
        action = "play the guitar" if side == guitar else "read a book"
        events.append(Event(action=action, person=side, start=0, end=SECONDS))
    heard: tuple[set[int], set[int]] = (set(), set())
    for index, x in enumerate(places, start=2):
        facings = ways(random)
        people.append(one(cast[index], turns(x, facings, arms="forward", speaks=True), random))
        for facing, (start, end), hears in zip(facings, SPANS, heard, strict=True):
            side = int(facing > 0)
            hears.add(side)
            action = "sing to" if side == guitar else "talk to"
            events.append(Event(action=action, person=index, start=start, end=end, people=(0, 1)))
    speakers = tuple(range(2, len(people)))
    events += [
        Event(action="listen to", person=side, start=start, end=end, people=speakers)
        for hears, (start, end) in zip(heard, SPANS, strict=True)
        for side in sorted(hears)
    ]
    return Skit(
        family="support", seconds=SECONDS, people=tuple(people), events=tuple(events),
        backdrop=str(random.choice(["room", "stage"])),
    )  # fmt: skip


def posture(random: np.random.Generator) -> Skit:
    """Down onto a stool and up again, or up from it and down: every picture is the same in both, the order is not."""
    number = int(random.integers(2, 4))
    places = (np.arange(number) + 0.5) / number * WIDTH + random.uniform(-14, 14, number)
    people, things = [], []
    for look, x in zip(looks(random, number), places.tolist(), strict=True):
        facing, down, ground = (1 if coin(random) else -1), coin(random), floor(random)
        bodies = ("stand", "sit down", "get up", "stand") if down else ("sit", "get up", "sit down", "sit")
        beats = tuple(
            Beat(start=start, end=end, x=(x, x), body=body, facing=facing)
            for body, start, end in zip(bodies, (-1.0, 0.5, 1.5, 2.5), (0.5, 1.5, 2.5, SECONDS + 1.0), strict=True)
        )
        people.append(one(look, beats, random, ground=ground))
        things.append(thing("stool", x - 1.5 * facing, ground - 0.5))
    return Skit(family="posture", seconds=SECONDS, people=tuple(people), things=tuple(things), backdrop="room")


def interference(random: np.random.Generator) -> Skit:
    """Two people close together, one arm between them: whose?"""
    middle = WIDTH / 2 + random.uniform(-70, 70)
    between, ground = random.uniform(13, 17), float(random.uniform(88, 93))
    height, pushers = float(random.uniform(58, 66)), (int(coin(random)), int(coin(random)))
    people, events = [], []
    for index, (look, facing) in enumerate(zip(looks(random, 2), (1, -1), strict=True)):
        x = float(middle - facing * between / 2)
        arms = ["push" if index == pusher else "shut" for pusher in pushers]
        beats = tuple(
            Beat(start=start, end=end, x=(x, x), facing=facing, arms=held)
            for held, start, end in zip(arms, (-1.0, TURN), (TURN, SECONDS + 1.0), strict=True)
        )
        people.append(one(look, beats, random, height=height, ground=ground + 0.5 * index))
        events += [
            Event(action="push" if index == pusher else "be pushed", person=index, start=start, end=end,
                  people=(1 - index,))
            for pusher, (start, end) in zip(pushers, SPANS, strict=True)
        ]  # fmt: skip
    return Skit(
        family="interference", seconds=SECONDS, people=tuple(people), events=tuple(events),
        backdrop=str(random.choice(["room", "park"])),
    )  # fmt: skip
