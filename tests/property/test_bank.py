"""Windows of every bank against plain loops over all rows, and what must not change them."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relact.bank import BankWriter, FeatureBank, OnlineBank, Producer, RecentBank, Rows
from relact.head import MemorySpec
from relact.types import Keyframe, Memory

DIM = 3
PRODUCER = Producer(head="acar", recipe="a" * 64, weights="b" * 64)


@dataclass
class Person:
    feature: list[float]
    box: list[float]
    score: float
    track: int


World = dict[str, dict[int, list[Person]]]

# half precision holds these exactly, and ties of scores, boxes and ids are frequent
persons = st.builds(
    Person,
    feature=st.lists(st.integers(-8, 8).map(float), min_size=DIM, max_size=DIM),
    box=st.lists(st.sampled_from([-0.0, 0.0, 0.25, 0.5]), min_size=4, max_size=4),
    score=st.sampled_from([-0.0, 0.0, 0.5, 0.75, 1.0]),
    track=st.integers(-1, 3),
)
worlds = st.dictionaries(
    st.sampled_from(["a", "b", "c/d"]),
    st.dictionaries(st.integers(-6, 12), st.lists(persons, max_size=4), max_size=7),
    min_size=1,
)
specs = st.builds(
    MemorySpec,
    radius=st.integers(0, 8),
    dim=st.just(DIM),
    future=st.none() | st.integers(0, 5),
    include_current=st.booleans(),
    max_per_tick=st.sampled_from([None, 1, 1, 2]),
    identity=st.booleans(),
)
track_lists = st.lists(st.integers(-1, 3), max_size=3)


@st.composite
def questions(draw: st.DrawFn) -> tuple[World, list[Keyframe], list[np.ndarray], MemorySpec]:
    world = draw(worlds)
    keys = draw(st.lists(st.builds(Keyframe, st.sampled_from(sorted(world)), st.integers(-8, 14)), max_size=4))
    tracks = [np.array(draw(track_lists), np.int64) for _ in keys]
    return world, keys, tracks, draw(specs)


def rows_of(tick: int, people: list[Person], loss: float = 1.0) -> Rows:
    return Rows.of(
        tick,
        np.array([p.feature for p in people], np.float32).reshape(-1, DIM),
        boxes=np.array([p.box for p in people], np.float32).reshape(-1, 4),
        track=np.array([p.track for p in people], np.int64),
        score=np.array([p.score for p in people], np.float32),
        tag=loss,
    )


def write(folder: Path, world: World, crash_after: int | None = None) -> None:
    """All of it, or, where `crash_after` says so, that many ticks of each video and then nothing more."""
    writer = BankWriter(folder, producer=PRODUCER, dim=DIM)
    for video, ticks in world.items():
        if writer.done(video):
            continue
        rows = writer.video(video)
        behind = rows.last
        for tick in [t for t in sorted(ticks) if behind is None or t > behind][:crash_after]:
            rows.write(tick, rows_of(tick, ticks[tick], loss_of(tick)))
        if crash_after is None:
            writer.seal(rows)
        rows.close()
    if crash_after is None:
        writer.finish(list(world))


def loss_of(tick: int) -> float:
    return 1 + tick / 32


def bank_of(world: World) -> FeatureBank:
    folder = Path(tempfile.mkdtemp(dir=scratch))
    write(folder, world)
    return FeatureBank.open(folder)


scratch: Path


@pytest.fixture(autouse=True, scope="module")
def _scratch(tmp_path_factory: pytest.TempPathFactory):
    global scratch
    scratch = tmp_path_factory.mktemp("banks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)  # most of the time otherwise; no power fails here
        yield


def brute_force(world: World, key: Keyframe, tracks: np.ndarray, spec: MemorySpec) -> list[tuple]:
    """(feature, dt, track, tag) of every row that the clip must see, from the definition: every row is looked at."""
    future = spec.radius if spec.future is None else spec.future
    seen = []
    for tick in sorted(world[key.video]):
        dt = tick - key.tick
        if not -spec.radius <= dt <= future or (dt == 0 and not spec.include_current):
            continue
        people = sorted(
            world[key.video][tick], key=lambda p: (-(p.score + 0.0), *[c + 0.0 for c in p.box[::-1]], p.track)
        )
        if spec.max_per_tick is not None and len(people) > spec.max_per_tick:
            known = set(tracks[tracks >= 0].tolist())
            first = [p for p in people if spec.identity and p.track in known]
            chosen = [*first, *[p for p in people if all(p is not other for other in first)]][: spec.max_per_tick]
            people = [p for p in people if any(p is other for other in chosen)]
        seen += [(tuple(p.feature), dt, p.track, loss_of(tick)) for p in people]
    return seen


def told(memory: Memory, clip: int) -> list[tuple]:
    count = int(memory.mask[clip].sum())
    return [
        (tuple(f), d, t, g)
        for f, d, t, g in zip(
            memory.features[clip, :count].tolist(),
            memory.dt[clip, :count].tolist(),
            memory.track[clip, :count].tolist(),
            memory.tag[clip, :count].tolist(),
            strict=True,
        )
    ]


def distinct(world: World) -> World:
    """The same with features that tell who is who: rows alike in all but features come in the features' order."""
    number = 0
    out: World = {}
    for video, ticks in world.items():
        out[video] = {}
        for tick, people in ticks.items():
            alike: set[tuple] = set()
            out[video][tick] = []
            for person in people:
                number += 1
                name = (person.score + 0.0, *[c + 0.0 for c in person.box], person.track)
                if name not in alike:
                    out[video][tick].append(replace(person, feature=[float(number), *person.feature[1:]]))
                alike.add(name)
    return out


def same(a: Memory, b: Memory) -> None:
    for name in ("features", "dt", "track", "tag", "mask"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name


@given(questions())
@settings(max_examples=300, deadline=None)
def test_a_window_is_what_a_look_at_all_rows_finds(question: tuple):
    world, keys, tracks, spec = question
    world = distinct(world)
    memory = bank_of(world).window(keys, spec, tracks=tracks)
    expected = [brute_force(world, key, t, spec) for key, t in zip(keys, tracks, strict=True)]
    assert [told(memory, clip) for clip in range(len(keys))] == expected
    assert memory.features.dtype == torch.float16
    assert memory.mask.shape == (len(keys), max((len(rows) for rows in expected), default=0))


@given(questions())
@settings(deadline=None)
def test_empty_slots_come_last_and_hold_nothing(question: tuple):
    world, keys, tracks, spec = question
    memory = bank_of(world).window(keys, spec, tracks=tracks)
    mask = memory.mask
    assert torch.equal(mask, torch.arange(mask.shape[1]) < mask.sum(dim=1, keepdim=True))
    assert not memory.features[~mask].any()
    assert not memory.dt[~mask].any()
    assert (memory.track[~mask] == -1).all()
    assert (memory.tag[~mask] == 1).all()


@given(questions(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_people_within_a_tick_never_matters(question: tuple, random):
    world, *_ = question
    shuffled = {v: {t: random.sample(people, len(people)) for t, people in ticks.items()} for v, ticks in world.items()}
    one, other = bank_of(world), bank_of(shuffled)
    files = sorted(path.name for path in one.folder.iterdir())
    assert len(files) == len(world) + 1
    for name in files:
        assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes()


@given(questions(), st.integers(0, 5), st.integers(0, 200))
@settings(deadline=None)
def test_a_window_after_a_crash_equals(question: tuple, ticks: int, torn: int):
    world, keys, tracks, spec = question
    folder = Path(tempfile.mkdtemp(dir=scratch))
    write(folder, world, crash_after=ticks)
    for name in ("part", "journal"):
        for path in folder.glob(f"*.{name}"):
            with path.open("r+b") as file:
                file.truncate(max(path.stat().st_size - torn, 0))
    write(folder, world)
    expected = bank_of(world)
    same(FeatureBank.open(folder).window(keys, spec, tracks=tracks), expected.window(keys, spec, tracks=tracks))
    for path in folder.iterdir():
        assert path.read_bytes() == (expected.folder / path.name).read_bytes()


@given(questions())
@settings(deadline=None)
def test_the_bank_of_a_stream_gives_the_same_windows(question: tuple):
    world, _, tracks, spec = question
    video = sorted(world)[0]
    here = tracks[0] if tracks else np.zeros(0, np.int64)
    future = spec.radius if spec.future is None else spec.future
    bank, recent = bank_of(world), RecentBank(spec)
    for tick in range(-8, 20):
        recent.write(tick, rows_of(tick, world[video].get(tick, []), loss_of(tick)))
        now = tick - future
        same(recent.window(now, here), bank.window([Keyframe(video, now)], spec, tracks=[here]))
        assert len(recent) <= spec.radius + future + 1


@given(questions(), st.sampled_from(["overwrite", "lower_loss"]), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_bank_of_a_training_gives_the_same_windows_once_all_is_written(question: tuple, update: str, random):
    world, keys, tracks, spec = question
    entries = [(Keyframe(video, tick), people) for video, ticks in world.items() for tick, people in ticks.items()]
    entries = random.sample(entries, len(entries))
    keys = [key for key in keys if world[key.video]]
    room = [len(people) + random.randrange(3) for _, people in entries]
    online = OnlineBank([key for key, _ in entries], room, dim=DIM, update=update)
    same(online.window(keys, spec), bank_of({video: {} for video in world}).window(keys, spec))
    for key, people in random.sample(entries, len(entries)):
        online.write(key, rows_of(key.tick, people), loss_of(key.tick))
    expected = bank_of(world).window(keys, spec, tracks=tracks[: len(keys)])
    same(online.window(keys, spec, tracks=tracks[: len(keys)]), expected)

    path = Path(tempfile.mkdtemp(dir=scratch)) / "bank.safetensors"
    online.save(path)
    again = OnlineBank([key for key, _ in entries], room, dim=DIM, update=update)
    again.load(path)
    same(again.window(keys, spec, tracks=tracks[: len(keys)]), expected)


def test_a_later_visit_overwrites_or_only_with_a_lower_loss():
    key, spec = Keyframe("a", 3), MemorySpec(radius=1, dim=DIM)
    first, second = ([Person([x] * DIM, [0.0, 0.0, 1.0, 1.0], 1.0, 7)] * n for x, n in ((1.0, 2), (2.0, 1)))
    for update, losses, kept in [
        ("overwrite", (0.5, 0.9), 2.0), ("lower_loss", (0.5, 0.9), 1.0), ("lower_loss", (0.5, 0.5), 1.0),
        ("lower_loss", (0.9, 0.5), 2.0),
    ]:  # fmt: skip
        bank = OnlineBank([key], [2], dim=DIM, update=update)
        for people, loss in zip((first, second), losses, strict=True):
            bank.write(key, rows_of(3, people), loss)
        memory = bank.window([key], spec)
        assert memory.features[0].tolist() == [[kept] * DIM] * (1 if kept == 2 else 2)
        assert memory.tag[0, 0] == pytest.approx(losses[0] if kept == 1 else losses[1])


def test_radius_0_without_the_current_tick_is_no_memory():
    people = {t: [Person([1.0] * DIM, [0.0, 0.0, 1.0, 1.0], 1.0, -1)] for t in range(3)}
    bank = bank_of({"a": people})
    keys = [Keyframe("a", 1), Keyframe("a", 2)]
    assert bank.window(keys, MemorySpec(radius=0, dim=DIM, include_current=False)).mask.shape == (2, 0)
    assert bank.window(keys, MemorySpec(radius=0, dim=DIM)).dt.tolist() == [[0], [0]]


def test_people_of_the_clip_come_before_higher_scores_where_the_head_wants_them():
    people = [Person([float(i)] * DIM, [0.0, 0.0, 1.0, 1.0], 1 - i / 8, track=i) for i in range(4)]
    world = {"a": {0: people, 1: people[:2]}, "b": {0: people[::-1]}}
    bank, keys = bank_of(world), [Keyframe("a", 0), Keyframe("b", 0)]
    for identity, expected in (True, [[0, 3, 0, 1], [1, 2]]), (False, [[0, 1, 0, 1], [0, 1]]):
        spec = MemorySpec(radius=1, dim=DIM, max_per_tick=2, identity=identity)
        memory = bank.window(keys, spec, tracks=[np.array([3, -1]), np.array([1, 2, 9])])
        assert [memory.track[clip][memory.mask[clip]].tolist() for clip in range(2)] == expected
        nobody = bank.window(keys, spec, tracks=[np.array([-1])] * 2)
        assert nobody.track[1][nobody.mask[1]].tolist() == [0, 1]
