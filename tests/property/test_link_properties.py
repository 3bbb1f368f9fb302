"""What must not change how ids are judged, whatever the boxes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from relact.metrics.identity import Tracks, link_scores
from relact.metrics.links import judge_links

gaps = st.none() | st.integers(1, 4)


def tracks_of(rng: np.random.Generator, rows: int) -> Tracks:
    """Boxes that lie upon each other; an id at most once a tick."""
    tick, ids = rng.integers(0, 6, rows), rng.integers(0, 5, rows)
    _, first = np.unique(np.stack([tick, ids]), axis=1, return_index=True)
    corner = rng.uniform(0, 30, (len(first), 2))
    boxes = np.concatenate([corner, corner + rng.uniform(15, 30, corner.shape)], axis=1)
    return Tracks(tick=tick[first], boxes=boxes, ids=ids[first])


def near(rng: np.random.Generator, truth: Tracks) -> Tracks:
    """Some of the boxes, moved a little, under ids that are partly others, and some boxes of nobody."""
    rows, false = np.flatnonzero(rng.random(len(truth.ids)) < 0.8), tracks_of(rng, 6)
    moved = Tracks(
        tick=np.concatenate([truth.tick[rows], false.tick]),
        boxes=np.concatenate([truth.boxes[rows] + rng.normal(0, 1, (len(rows), 4)), false.boxes]),
        ids=np.concatenate([truth.ids[rows], false.ids + 3]),
    )
    _, first = np.unique(np.stack([moved.tick, moved.ids]), axis=1, return_index=True)
    return Tracks(tick=moved.tick[first], boxes=moved.boxes[first], ids=moved.ids[first])


def reordered(tracks: Tracks, order: np.ndarray) -> Tracks:
    return Tracks(tick=tracks.tick[order], boxes=tracks.boxes[order], ids=tracks.ids[order])


seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(1, 25), gaps)
@settings(max_examples=80, deadline=None)
def test_neither_names_nor_order_matter(seed: int, rows: int, max_gap: int | None) -> None:
    rng = np.random.default_rng(seed)
    truth = tracks_of(rng, rows)
    found = near(rng, truth)
    names = rng.permutation(100)
    renamed = Tracks(tick=found.tick, boxes=found.boxes, ids=names[found.ids])
    expected = judge_links(truth, found, max_gap=max_gap)
    assert judge_links(truth, renamed, max_gap=max_gap) == expected
    a, b = rng.permutation(len(truth.ids)), rng.permutation(len(found.ids))
    assert judge_links(reordered(truth, a), reordered(found, b), max_gap=max_gap) == expected


@given(seeds, st.integers(1, 25), gaps)
@settings(max_examples=60, deadline=None)
def test_perfect_ids_are_perfect_and_a_box_that_is_not_there_costs(seed: int, rows: int, max_gap: int | None) -> None:
    rng = np.random.default_rng(seed)
    truth = tracks_of(rng, rows)
    perfect = judge_links(truth, truth, max_gap=max_gap)
    assert perfect.precision in (None, 1)
    assert perfect.recall in (None, 1)
    assert perfect.idf1 == 1
    assert perfect.switches == 0
    fewer = judge_links(truth, reordered(truth, np.arange(1, len(truth.ids))), max_gap=max_gap)
    assert fewer.precision in (None, 1)
    assert fewer.true == perfect.true
    assert fewer.found <= perfect.found


@given(seeds, st.integers(1, 25), gaps)
@settings(max_examples=60, deadline=None)
def test_on_the_same_boxes_it_is_link_scores(seed: int, rows: int, max_gap: int | None) -> None:
    rng = np.random.default_rng(seed)
    truth = tracks_of(rng, rows)
    ids = truth.ids.copy()
    for tick in range(6):  # people of a tick swap ids
        some = np.flatnonzero((truth.tick == tick) & (rng.random(len(ids)) < 0.5))
        ids[some] = rng.permutation(ids[some])
    counts = judge_links(truth, Tracks(tick=truth.tick, boxes=truth.boxes, ids=ids), max_gap=max_gap)
    scores = link_scores(truth.tick, truth.ids, ids, max_gap)
    assert (counts.predicted, counts.true) == (scores.predicted, scores.true)
    assert (counts.precision or 0) == scores.precision
    assert (counts.recall or 0) == scores.recall


@given(seeds, st.integers(1, 25), gaps)
@settings(max_examples=60, deadline=None)
def test_precision_and_recall_change_places_with_the_sides(seed: int, rows: int, max_gap: int | None) -> None:
    rng = np.random.default_rng(seed)
    truth = tracks_of(rng, rows)
    found = near(rng, truth)
    there, back = judge_links(truth, found, max_gap=max_gap), judge_links(found, truth, max_gap=max_gap)
    assert (there.precision, there.recall, there.idf1) == (back.recall, back.precision, back.idf1)
