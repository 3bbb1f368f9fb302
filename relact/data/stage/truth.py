"""What is true of a play, and what a person detector might have said of it: rows for the files."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from relact.data.stage.families import ACTIONS, HELD, KINDS, PRIMITIVES, SIDED
from relact.data.stage.play import CUT, Play, Scene
from relact.data.stage.script import HEIGHT, WIDTH, Beat, Box, Person, Thing

Row = list[object]
ACTION_ID = {name: number for number, name in enumerate(ACTIONS, start=1)}
PRIMITIVE_ID = {name: number for number, name in enumerate(PRIMITIVES, start=1)}
_BODY = {
    "stand": "stands", "walk": "walks", "run": "runs", "sit": "sits", "lie": "lies", "crouch": "crouches",
    "sit down": "sits down", "get up": "gets up", "fall": "falls", "lie down": "lies down",
}  # fmt: skip
_ARMS = {"forward": "arms forward", "up": "arms up", "flail": "arms up", "wave": "waves", "push": "pushes"}


def keyframes(play: Play) -> Iterator[tuple[int, Scene]]:
    """Seconds that are judged, with what is on; not those whose clip shows a cut."""
    cuts = {0, *play.cuts()}
    for second in range(play.seconds):
        if second not in cuts:
            yield second, play.scene(second)


def action_rows(play: Play) -> Iterator[Row]:
    """AVA's rows: video, second, box, action, person."""
    for second, scene in keyframes(play):
        time = second - scene.start
        for index, person in enumerate(scene.skit.people):
            box = scene.seen(person.box(time), time)
            for action in scene.skit.actions(index, time) if box else []:
                yield [play.name, f"{second:04d}", *_unit(box), ACTION_ID[action], scene.first_person + index]


def primitive_rows(play: Play) -> Iterator[Row]:
    """The same of people and things alike: what the warm-up learns."""
    for second, scene in keyframes(play):
        time, skit = second - scene.start, scene.skit
        known = [thing for thing in skit.things if thing.kind in KINDS]
        seen = [(person.box(time), _of_person(person, time)) for person in skit.people]
        seen += [(thing.box(time), _of_thing(thing, time)) for thing in known]
        for number, (box, names) in enumerate(seen):
            place = scene.seen(box, time)
            for name in names if place else []:
                yield [play.name, f"{second:04d}", *_unit(place), PRIMITIVE_ID[name], scene.first_person * 100 + number]


def _of_person(person: Person, time: float) -> list[str]:
    beat = person.beat(time)
    if beat is None:
        return []
    way = "right" if beat.facing > 0 else "left"
    names = ["is a person", _BODY[beat.body], f"faces {way}"]
    names += [_ARMS[beat.arms]] if beat.arms in _ARMS else []
    names += [f"has a {beat.holds}"] if beat.holds else []
    names += [f"has a {beat.holds} and faces {way}"] if beat.holds in HELD else []
    names += ["speaks"] if beat.speaks else []
    return names + _motion(beat.x[1] - beat.x[0])


def _of_thing(thing: Thing, time: float) -> list[str]:
    side = "left" if thing.place(time) < WIDTH / 2 else "right"
    sided = [f"is a {thing.kind} at the {side}"] if thing.kind in SIDED else []
    return [f"is a {thing.kind}", *sided, *_motion(thing.step(time))]


def _motion(step: float) -> list[str]:
    return [] if step == 0 else ["moves right" if step > 0 else "moves left"]


def people_rows(play: Play, rate: int = 5) -> Iterator[Row]:
    """Everybody's box and id, `rate` a second, also on cuts and of the unlabelled: for detectors and trackers."""
    for number in range(play.seconds * rate):
        second = number / rate
        scene = play.scene(second)
        time = second - scene.start
        for index, person in enumerate(scene.skit.people):
            box = scene.seen(person.box(time), time)
            if box is not None:
                yield [play.name, f"{second:.2f}", *_unit(box), scene.first_person + index]


def proposals(play: Play, seed: tuple[int, ...], rate: int = 5) -> Iterator[Row]:
    """Boxes as a detector gives them, `rate` a second: jittered, one in 25 missed, a false one now and then."""
    random = np.random.default_rng([*seed, 77])
    for number in range(play.seconds * rate):
        second = number / rate
        scene = play.scene(second)
        time = second - scene.start
        for person in scene.skit.people:
            box = scene.seen(person.box(time), time)
            if box is not None and random.random() >= 0.04:
                yield [play.name, f"{second:.2f}", *_unit(_jittered(box, random)), f"{random.uniform(0.75, 1):.3f}"]
        if random.random() < 0.08:
            x, y = random.uniform(0, WIDTH - 20), random.uniform(20, HEIGHT - 45)
            yield [play.name, f"{second:.2f}", *_unit((x, y, x + 14, y + 40)), f"{random.uniform(0.3, 0.7):.3f}"]


def _jittered(box: Box, random: np.random.Generator) -> Box:
    x1, y1, x2, y2 = box
    dx, dy = random.normal(0, 0.03, 4).reshape(2, 2) * [[x2 - x1], [y2 - y1]]
    return x1 + dx[0], y1 + dy[0], x2 + dx[1], y2 + dy[1]


def _unit(box: Any) -> list[str]:
    places = np.clip(np.array(box) / (WIDTH, HEIGHT, WIDTH, HEIGHT), 0, 1)
    return [f"{value:.4f}" for value in places]


def log(play: Play) -> Iterator[dict[str, object]]:
    """Every event of a play in seconds of its video, with what one must have seen to know it."""
    for scene in play.scenes:
        skit = scene.skit
        for event in skit.events:
            seen = event.seen or (event.start, event.end)
            yield {
                "video": play.name,
                "family": skit.family,
                "action": event.action,
                "person": scene.first_person + event.person,
                "start": round(scene.start + max(event.start, -CUT), 3),
                "end": round(scene.start + min(event.end, skit.seconds - CUT), 3),
                "seen": [
                    round(scene.start + max(seen[0], -CUT), 3),
                    round(scene.start + min(seen[1], skit.seconds), 3),
                ],
                "things": [skit.things[index].kind for index in event.things],
                "people": [scene.first_person + index for index in event.people],
            }
        for index, person in enumerate(skit.people):
            for beat in person.beats:
                yield _beat(play, scene, scene.first_person + index, beat)


def _beat(play: Play, scene: Scene, person: int, beat: Beat) -> dict[str, object]:
    start, end = max(beat.start, -CUT), min(beat.end, scene.skit.seconds - CUT)
    return {
        "video": play.name, "family": "posture of all", "action": beat.body, "person": person,
        "start": round(scene.start + start, 3), "end": round(scene.start + end, 3),
    }  # fmt: skip
