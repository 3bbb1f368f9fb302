"""What holds for any boxes: every one has an id, ids are distinct in a picture and never come back from the dead."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from relact.interop.linking import SparseLinker
from relact.metrics.identity import Tracks, identity_scores, link_scores
from relact.video.tracker import Tracker

scenes = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(0, 7), st.booleans())


def frames_of(seed: int, count: int, most: int) -> list[np.ndarray]:
    """Boxes of each frame: people who jump, vanish and lie upon each other."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(count):
        corner = rng.uniform(-20, 100, (rng.integers(0, most + 1), 2))
        frames.append(np.concatenate([corner, corner + rng.uniform(0, 60, corner.shape)], axis=1))
    return frames


@given(scenes)
@settings(max_examples=40, deadline=None)
def test_every_box_has_an_id_of_its_own(scene: tuple[int, int, int, bool]) -> None:
    seed, count, most, with_pictures = scene
    rng = np.random.default_rng(seed)
    tracker, highest = Tracker(5.0), 0
    for k, boxes in enumerate(frames_of(seed, count, most)):
        picture = rng.integers(0, 255, (80, 120, 3), dtype=np.uint8) if with_pictures else None
        ids = tracker.update(boxes, rng.random(len(boxes)), k / 5, picture)
        assert ids.shape == (len(boxes),)
        assert ids.dtype == np.int64
        assert len(set(ids.tolist())) == len(ids)
        assert (ids >= 1).all()
        fresh = sorted(ids[ids > highest].tolist())
        assert fresh == list(range(highest + 1, highest + 1 + len(fresh)))  # new ids count on without gaps
        highest += len(fresh)


@given(scenes)
@settings(max_examples=30, deadline=None)
def test_the_order_of_boxes_only_permutes_ids_of_known_people(scene: tuple[int, int, int, bool]) -> None:
    seed, count, most, _ = scene
    rng = np.random.default_rng(seed)
    straight, mixed, same = Tracker(5.0), Tracker(5.0), {}
    for k, boxes in enumerate(frames_of(seed, count, most)):
        order = rng.permutation(len(boxes))
        a = straight.update(boxes, np.ones(len(boxes)), k / 5)
        b = mixed.update(boxes[order], np.ones(len(boxes)), k / 5)
        for first, second in zip(a[order].tolist(), b.tolist(), strict=True):
            assert same.setdefault(first, second) == second


@given(scenes, st.booleans())
@settings(max_examples=30, deadline=None)
def test_linked_boxes_have_ids_of_their_own(scene: tuple[int, int, int, bool], with_features: bool) -> None:
    seed, count, most, _ = scene
    rng = np.random.default_rng(seed)
    linker = SparseLinker(1.0)
    for k, boxes in enumerate(frames_of(seed, count, most)):
        features = rng.normal(size=(len(boxes), 5)) if with_features else None
        ids = linker.update(boxes, float(k), features)
        assert len(set(ids.tolist())) == len(boxes)
        assert (ids >= 1).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_scores_do_not_hang_on_names_or_order(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    tick, ids = rng.integers(0, 6, rows), rng.integers(0, 4, rows)
    _, first = np.unique(np.stack([tick, ids]), axis=1, return_index=True)  # an id once a tick
    tick, ids = tick[first], ids[first]
    boxes = np.stack([ids * 50.0, tick * 0.0, ids * 50.0 + 20, tick * 0.0 + 20], axis=1)
    names, order = rng.permutation(100)[ids], rng.permutation(len(ids))
    truth = Tracks(tick=tick, boxes=boxes, ids=ids)
    named = Tracks(tick=tick[order], boxes=boxes[order], ids=names[order])
    scores = identity_scores(truth, named)
    assert scores.idf1 == 1
    assert scores.switches == 0
    links = link_scores(tick, ids, names)
    assert links.predicted == links.true
    assert links.true == 0 or links.precision == links.recall == 1
