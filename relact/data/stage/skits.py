"""Scenes of three seconds: context of three sizes, second order, direction of time, support, posture, interference.

Every choice that decides a label is a coin of its own, drawn after the places, so that neither a place nor a look tells
anything; both alternatives are on the stage, so that neither does the scene as a whole.
"""

from collections.abc import Callable

import numpy as np

from relact.data.stage.body import looks
from relact.data.stage.script import GAP, WIDTH, Beat, Event, Person, Skit, Thing

SECONDS = 3
HALF = 11.0
"""units from a standing person's middle to the farthest edge of the box"""
SIZES = {
    "tv": (36.0, 26.0), "window": (34.0, 32.0), "gramophone": (19.0, 24.0), "painting": (18.0, 23.0),
    "cat": (13.0, 10.0), "duck": (12.0, 10.0), "helm": (15.0, 22.0), "ball": (10.0, 10.0), "chest": (18.0, 12.0),
    "stool": (11.0, 11.0),
}  # fmt: skip


def coin(random: np.random.Generator) -> bool:
    """Heads or tails."""
    return bool(random.random() < 0.5)


def still(x: float, seconds: float, *, facing: int, arms: str = "down", body: str = "stand", **more: object) -> Beat:
    """One posture at one place for a whole scene, on either side of the cuts too."""
    return Beat(start=-1.0, end=seconds + 1.0, x=(x, x), body=body, arms=arms, facing=facing, **more)  # type: ignore[arg-type]


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
        number = int(random.integers(1, 3))
        ends = widest / 2 + random.uniform(1, 8), WIDTH - widest / 2 - random.uniform(1, 8)
        low = ends[0] + widest / 2 + GAP + HALF
        high = ends[1] - widest / 2 - GAP - HALF
        places = np.sort(random.uniform(low, high, number))
        if number == 2 and places[1] - places[0] < 16:
            places = np.array([low + random.uniform(0, 6), high - random.uniform(0, 6)])
        left, right = (0, 1) if coin(random) else (1, 0)  # which thing stands on which side
        things = [
            thing(kinds[kind], end, _line(random, kinds[kind]), layer="wall" if kinds[kind] in ON_WALL else "floor",
                  facing=facing)
            for kind, end, facing in ((left, ends[0], 1), (right, ends[1], -1))
        ]  # fmt: skip
        people, events = [], []
        for index, look in enumerate(looks(random, number)):
            facing = 1 if coin(random) else -1
            side = 1 if facing > 0 else 0
            beat = still(float(places[index]), SECONDS, facing=facing, arms=arms)
            people.append(
                Person(
                    look=look, height=tall(random), ground=floor(random), beats=(beat,), phase=random.uniform(0, 100)
                )
            )
            seen = (left, right)[side]
            events.append(Event(action=actions[seen], person=index, start=0, end=SECONDS, things=(0, 1)))
        return Skit(
            family=family, seconds=SECONDS, people=tuple(people), things=tuple(things), events=tuple(events),
            backdrop="room" if family != "small" else "park",
        )  # fmt: skip

    return skit


large = _context("large", ("tv", "window"), ("watch TV", "look out of a window"), "folded")
medium = _context("medium", ("gramophone", "painting"), ("listen to a gramophone", "look at a painting"), "chin")
small = _context("small", ("cat", "duck"), ("call a cat", "call a duck"), "low")


def second_order(random: np.random.Generator) -> Skit:
    """Two people in a boat, the helm between them: who sits nearer steers. Either distance alone says little.

    The seats are drawn first, then by a coin whose side the helm is on: a seat tells nothing.
    """
    half = random.uniform(GAP + HALF + 10, 124)
    middle = WIDTH / 2 + random.uniform(-1, 1) * (WIDTH / 2 - 12 - half)
    drives = int(coin(random))
    helm = middle + (1 if drives == 1 else -1) * random.uniform(4, 8)
    ground = float(random.uniform(82, 87))
    people = []
    for look, x, facing in zip(looks(random, 2), (middle - half, middle + half), (1, -1), strict=True):
        beat = still(x, SECONDS, facing=facing, body="sit", arms="lap")
        people.append(
            Person(look=look, height=tall(random), ground=ground, beats=(beat,), phase=random.uniform(0, 100), lift=5.0)
        )
    hull = Thing(
        kind="boat", size=(2 * half + 60, 17), ground=ground + 4, x=(middle, middle), layer="front",
        colour=str(random.choice(["#8d3b2f", "#2f5d8d", "#3f7d4e", "#8d6e2f"])),
    )  # fmt: skip
    events = [
        Event(action="drive a boat" if index == drives else "ride a boat", person=index, start=0, end=SECONDS,
              things=(0,), people=(1 - index,))
        for index in range(2)
    ]  # fmt: skip
    return Skit(
        family="second order", seconds=SECONDS, people=tuple(people), things=(thing("helm", helm, ground - 8), hull),
        events=tuple(events), backdrop="lake",
    )  # fmt: skip


def direction(random: np.random.Generator) -> Skit:
    """A ball rolls from one to the other; where it is, and when, is the same in both directions."""
    xs = (float(random.uniform(14, 26)), float(WIDTH - random.uniform(14, 26)))
    ground = float(random.uniform(84, 91))
    people = [
        Person(look=look, height=tall(random), ground=ground, phase=random.uniform(0, 100),
               beats=(still(x, SECONDS, facing=facing, arms="forward", body="crouch"),))
        for look, x, facing in zip(looks(random, 2), xs, (1, -1), strict=True)
    ]  # fmt: skip
    room = 17.0  # a crouching body reaches farther than a standing one
    path = (xs[0] + room + GAP + 5, xs[1] - room - GAP - 5)
    gives = 0 if coin(random) else 1
    ball = Thing(
        kind="ball", size=SIZES["ball"], ground=ground, x=path if gives == 0 else path[::-1],
        span=(-0.1, SECONDS - 0.1), colour=str(random.choice(["#e74c3c", "#f1c40f", "#8e44ad"])),
        facing=1 if gives == 0 else -1,
    )  # fmt: skip
    events = [
        Event(action="give" if index == gives else "receive", person=index, start=0, end=SECONDS, things=(0,))
        for index in range(2)
    ]
    return Skit(
        family="direction", seconds=SECONDS, people=tuple(people), things=(ball,), events=tuple(events), backdrop="park"
    )


def support(random: np.random.Generator) -> Skit:
    """A speaker turns to one of two neighbours: to the one who plays the guitar, or to the one who reads."""
    ends = (float(random.uniform(13, 22)), float(WIDTH - random.uniform(13, 22)))
    number = int(random.integers(1, 3))
    low, high = ends[0] + 15 + GAP + HALF, ends[1] - 15 - GAP - HALF
    places = np.sort(random.uniform(low, high, number))
    if number == 2 and places[1] - places[0] < 16:
        places = np.array([low + random.uniform(0, 6), high - random.uniform(0, 6)])
    guitar = 0 if coin(random) else 1
    cast, people, events = looks(random, number + 2), [], []
    for side, x in enumerate(ends):
        plays = side == guitar
        beat = still(x, SECONDS, facing=1 if side == 0 else -1, arms="guitar" if plays else "book",
                     holds="guitar" if plays else "book")  # fmt: skip
        people.append(
            Person(
                look=cast[side], height=tall(random), ground=floor(random), beats=(beat,), phase=random.uniform(0, 100)
            )
        )
        action = "play the guitar" if plays else "read a book"
        events.append(Event(action=action, person=side, start=0, end=SECONDS))
    heard = set()
    for index, x in enumerate(places, start=2):
        side = int(coin(random))
        heard.add(side)
        beat = still(float(x), SECONDS, facing=1 if side == 1 else -1, arms="forward", speaks=True)
        people.append(
            Person(
                look=cast[index], height=tall(random), ground=floor(random), beats=(beat,), phase=random.uniform(0, 100)
            )
        )
        action = "sing to" if side == guitar else "talk to"
        events.append(Event(action=action, person=index, start=0, end=SECONDS, people=(0, 1)))
    speakers = tuple(range(2, 2 + number))
    events += [Event(action="listen to", person=side, start=0, end=SECONDS, people=speakers) for side in sorted(heard)]
    return Skit(
        family="support", seconds=SECONDS, people=tuple(people), events=tuple(events),
        backdrop=str(random.choice(["room", "stage"])),
    )  # fmt: skip


def posture(random: np.random.Generator) -> Skit:
    """Slowly down onto a stool, or up from it: every picture is the same in both, the order is not."""
    number = int(random.integers(2, 4))
    places = (np.arange(number) + 0.5) / number * WIDTH + random.uniform(-14, 14, number)
    people, things = [], []
    for look, x in zip(looks(random, number), places, strict=True):
        facing, down, ground = (1 if coin(random) else -1), coin(random), floor(random)
        beat = Beat(start=-0.1, end=SECONDS + 0.1, x=(float(x), float(x)), body="sit down" if down else "get up",
                    facing=facing)  # fmt: skip
        people.append(
            Person(look=look, height=tall(random), ground=ground, beats=(beat,), phase=random.uniform(0, 100))
        )
        things.append(thing("stool", float(x) - 1.5 * facing, ground - 0.5))
    return Skit(family="posture", seconds=SECONDS, people=tuple(people), things=tuple(things), backdrop="room")


def interference(random: np.random.Generator) -> Skit:
    """Two people close together, one arm between them: whose?"""
    middle = WIDTH / 2 + random.uniform(-70, 70)
    apart, ground = random.uniform(13, 17), float(random.uniform(88, 93))
    height, pushes = float(random.uniform(58, 66)), int(coin(random))
    people = []
    for index, (look, facing) in enumerate(zip(looks(random, 2), (1, -1), strict=True)):
        x = float(middle - facing * apart / 2)
        beat = still(x, SECONDS, facing=facing, arms="push" if index == pushes else "shut")
        people.append(
            Person(look=look, height=height, ground=ground + 0.5 * index, beats=(beat,), phase=random.uniform(0, 100))
        )
    events = [
        Event(
            action="push" if index == pushes else "be pushed", person=index, start=0, end=SECONDS, people=(1 - index,)
        )
        for index in range(2)
    ]
    return Skit(
        family="interference", seconds=SECONDS, people=tuple(people), events=tuple(events),
        backdrop=str(random.choice(["room", "park"])),
    )  # fmt: skip
