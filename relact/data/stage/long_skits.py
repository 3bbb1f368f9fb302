"""Scenes of twelve seconds whose last (or first) seconds look alike, whatever was (or will be): labels need memory.

The clip of a labelled keyframe never reaches into the seconds in which the evidence shows.
"""

import numpy as np

from relact.data.stage.body import looks
from relact.data.stage.script import WIDTH, Beat, Event, Person, Skit
from relact.data.stage.skits import coin, floor, tall, thing

SECONDS = 12
END = SECONDS + 1.0


def _walker(
    times: tuple[float, ...], xs: tuple[float, ...], arms: tuple[str, ...],
    bodies: tuple[str, ...], facings: tuple[int, ...], holds: tuple[str | None, ...],
) -> tuple[Beat, ...]:  # fmt: skip
    """Beats between consecutive times; each beat goes from its x to the next one's."""
    return tuple(
        Beat(start=a, end=b, x=(x, y), arms=arm, body=body, facing=facing, holds=held)
        for a, b, x, y, arm, body, facing, held in zip(
            times[:-1], times[1:], xs[:-1], xs[1:], arms, bodies, facings, holds, strict=True
        )
    )


def owner(random: np.random.Generator) -> Skit:
    """One holds a ball up, puts it away; they walk, maybe past each other; one hands it to the other: whose was it?

    Evidence: who held it in the first three seconds.
    """
    places = np.array([random.uniform(60, 110), random.uniform(178, 228)])
    had, hands, swap = int(coin(random)), int(coin(random)), coin(random)
    last = places[::-1] if swap else places + random.uniform(-10, 10, 2)
    people = []
    for index, look in enumerate(looks(random, 2)):
        x, goal = float(places[index]), float(last[index])
        way = 1 if goal > x else -1
        toward = 1 if goal < last[1 - index] else -1
        beats = _walker(
            (-1.0, 3.0, 4.0, 7.2, END), (x, x, x, goal, goal),
            ("up" if index == had else "down", "down", "swing", "forward"), ("stand", "stand", "walk", "stand"),
            (1 if coin(random) else -1, way, way, toward),
            ("ball" if index == had else None, None, None, "ball" if index == hands else None),
        )  # fmt: skip
        people.append(
            Person(look=look, height=tall(random), ground=floor(random), beats=beats, phase=random.uniform(0, 100))
        )
    action = "return to its owner" if had != hands else "give away"
    events = (
        Event(action="hold a ball", person=had, start=-1, end=3),
        Event(action=action, person=hands, start=7.8, end=END, people=(had,), seen=(0, 3)),
    )
    chest = thing("chest", WIDTH / 2 + random.uniform(-12, 12), 80)
    return Skit(family="owner", seconds=SECONDS, people=tuple(people), things=(chest,), events=events, backdrop="room")


def waiting(random: np.random.Generator) -> Skit:
    """Two stand about; later somebody comes in, and the one who was waiting waves. Evidence: the last seconds."""
    places = np.sort(random.uniform(50, WIDTH - 50, 2))
    if places[1] - places[0] < 40:
        places = np.array([random.uniform(50, 90), random.uniform(198, 238)])
    waits, comes_left = int(coin(random)), coin(random)
    cast, people = looks(random, 3), []
    for index in range(2):
        x, facing = float(places[index]), 1 if coin(random) else -1
        beats = _walker(
            (-1.0, 7.5, END), (x, x, x), ("folded", "wave" if index == waits else "folded"), ("stand", "stand"),
            (facing, (-1 if comes_left else 1) if index == waits else facing), (None, None),
        )  # fmt: skip
        people.append(
            Person(
                look=cast[index], height=tall(random), ground=floor(random), beats=beats, phase=random.uniform(0, 100)
            )
        )
    enters, goal = (-14.0, 24.0) if comes_left else (WIDTH + 14.0, WIDTH - 24.0)
    beats = _walker(
        (6.5, 9.0, END), (enters, goal, goal), ("swing", "wave"), ("walk", "stand"),
        (1 if comes_left else -1,) * 2, (None, None),
    )  # fmt: skip
    people.append(
        Person(look=cast[2], height=tall(random), ground=floor(random), beats=beats, phase=random.uniform(0, 100))
    )
    events = [
        Event(action="wait for someone" if index == waits else "linger", person=index, start=0, end=5.6,
              people=(waits, 2), seen=(7.5, SECONDS))
        for index in range(2)
    ]  # fmt: skip
    events += [Event(action="wave to", person=index, start=start, end=END) for index, start in ((waits, 7.5), (2, 9.0))]
    return Skit(
        family="waiting", seconds=SECONDS, people=tuple(people), events=tuple(events),
        backdrop=str(random.choice(["room", "park"])),
    )  # fmt: skip


def fall(random: np.random.Generator) -> Skit:
    """One falls, one lies down; a third walks by; then both lie alike. Evidence: the first three and a half seconds.

    Both lie still from the same second on, and do something in each second before: who is linked from second to second
    is not lost.
    """
    places = np.array([random.uniform(40, 100), random.uniform(188, 248)])
    falls, people = int(coin(random)), []
    cast = looks(random, 3)
    for index in range(2):
        x, facing = float(places[index]), 1 if coin(random) else -1
        fell = index == falls
        done = float(random.uniform(3.02, 3.14))
        start = done - (0.75 if fell else 2.0)
        lying: tuple[Beat, ...] = (
            Beat(start=-1.0, end=start, x=(x, x), facing=facing),
            Beat(start=start, end=done, x=(x, x), body="fall" if fell else "lie down", facing=facing,
                 arms="flail" if fell else "down"),
            Beat(start=done, end=END, x=(x, x), body="lie", facing=facing, arms="rest"),
        )  # fmt: skip
        people.append(
            Person(
                look=cast[index], height=tall(random), ground=floor(random), beats=lying, phase=random.uniform(0, 100)
            )
        )
    way = 1 if coin(random) else -1
    xs = (-14.0, WIDTH + 14.0) if way > 0 else (WIDTH + 14.0, -14.0)
    beats = _walker((3.0, 10.0), xs, ("swing",), ("walk",), (way,), (None,))
    people.append(
        Person(
            look=cast[2],
            height=tall(random),
            ground=float(random.uniform(76, 80)),
            beats=beats,
            phase=random.uniform(0, 100),
        )
    )
    events = [
        Event(action="lie after a fall" if index == falls else "lie at rest", person=index,
              start=3.6, end=END, people=(index,), seen=(0, 3.45))
        for index in range(2)
    ]  # fmt: skip
    return Skit(
        family="fall", seconds=SECONDS, people=tuple(people), events=tuple(events),
        backdrop=str(random.choice(["room", "park"])),
    )  # fmt: skip


def chase(random: np.random.Generator) -> Skit:
    """One comes with arms stretched out after one who flails; they cross, turn, and run alike. Evidence: before."""
    way = 1 if coin(random) else -1
    start = random.uniform(60, 80)
    ahead, behind = start + random.uniform(44, 56), start
    hunts = int(coin(random))  # which of the two, by number, is the chaser
    people = []
    turn = (float(random.uniform(225, 250)), float(random.uniform(225, 250)))
    for index, look in enumerate(looks(random, 2)):
        x = float(behind if index == hunts else ahead)
        far = turn[index]
        back = float(random.uniform(40, 120))
        xs = (x - 10, x + 62, far, back, far - random.uniform(0, 40))
        if way < 0:
            xs = (WIDTH - xs[0], WIDTH - xs[1], WIDTH - xs[2], WIDTH - xs[3], WIDTH - xs[4])
        beats = _walker(
            (-1.0, 3.4, 5.8, 9.2, END), tuple(map(float, xs)),
            ("forward" if index == hunts else "flail", "swing", "swing", "swing"), ("run",) * 4,
            (way, way, -way, way), (None,) * 4,
        )  # fmt: skip
        people.append(
            Person(look=look, height=tall(random), ground=floor(random), beats=beats, phase=random.uniform(0, 100))
        )
    events = tuple(
        Event(action="chase" if index == hunts else "be chased", person=index, start=6.4, end=END, people=(0, 1),
              seen=(0, 5.8))
        for index in range(2)
    )  # fmt: skip
    return Skit(family="chase", seconds=SECONDS, people=tuple(people), events=events, backdrop="park")
