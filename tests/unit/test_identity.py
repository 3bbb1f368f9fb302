"""IDF1, switches and links on tracks small enough to count by hand."""

import numpy as np
import pytest

from relact.metrics.identity import Tracks, identity_scores, link_scores


def tracks(rows: list[tuple[int, int, float]]) -> Tracks:
    """Rows (tick, id, x): boxes of 10 x 10 at x."""
    table = np.asarray(rows, np.float64).reshape(-1, 3)
    x = table[:, 2]
    boxes = np.stack([x, np.zeros(len(x)), x + 10, np.full(len(x), 10.0)], axis=1)
    return Tracks(tick=table[:, 0].astype(np.int64), boxes=boxes, ids=table[:, 1].astype(np.int64))


TRUTH = tracks([(t, i, 100.0 * i) for t in range(4) for i in (1, 2)])


def test_perfect_ids_whatever_their_names() -> None:
    named = tracks([(t, 70 - i, 100.0 * i) for t in range(4) for i in (1, 2)])
    scores = identity_scores(TRUTH, named)
    assert (scores.idf1, scores.id_precision, scores.id_recall, scores.switches) == (1, 1, 1, 0)


def test_a_person_cut_in_two_keeps_the_longer_part() -> None:
    cut = tracks([(t, 1, 100.0) for t in range(4)] + [(0, 2, 200.0)] + [(t, 3, 200.0) for t in (1, 2, 3)])
    scores = identity_scores(TRUTH, cut)
    assert scores.idf1 == pytest.approx(2 * 7 / 16)  # 4 of person 1, 3 of person 2
    assert scores.switches == 1


def test_swapped_ids_halfway() -> None:
    swapped = tracks([(t, i if t < 2 else 3 - i, 100.0 * i) for t in range(4) for i in (1, 2)])
    scores = identity_scores(TRUTH, swapped)
    assert scores.idf1 == pytest.approx(2 * 4 / 16)
    assert scores.switches == 2


def test_misses_and_false_boxes_lower_recall_and_precision() -> None:
    some = tracks([(t, 1, 100.0) for t in range(3)] + [(0, 9, 500.0)])
    scores = identity_scores(TRUTH, some)
    assert scores.id_recall == pytest.approx(3 / 8)
    assert scores.id_precision == pytest.approx(3 / 4)
    assert scores.idf1 == pytest.approx(2 * 3 / 12)


def test_a_box_counts_from_an_overlap_of_half() -> None:
    person = tracks([(0, 1, 0.0)])
    assert identity_scores(person, tracks([(0, 5, 3.3)])).idf1 == 1  # IoU 6.7 / 13.3 = 0.504
    assert identity_scores(person, tracks([(0, 5, 3.4)])).idf1 == 0  # 6.6 / 13.4 = 0.493


def test_boxes_of_other_ticks_never_match() -> None:
    assert identity_scores(tracks([(0, 1, 0.0)]), tracks([(1, 1, 0.0)])).idf1 == 0


def test_a_switch_is_not_counted_where_the_old_partner_still_covers() -> None:
    truth = tracks([(0, 1, 0.0), (1, 1, 0.0)])
    both = tracks([(0, 5, 1.0), (1, 5, 2.0), (1, 6, 0.0)])  # 6 fits better, 5 was the partner
    assert identity_scores(truth, both).switches == 0


def test_nothing_at_all_scores_nothing() -> None:
    nothing = tracks([])
    for truth, predicted in ((nothing, nothing), (TRUTH, nothing), (nothing, TRUTH)):
        scores = identity_scores(truth, predicted)
        assert (scores.idf1, scores.switches) == (0, 0)


def test_rows_may_come_in_any_order() -> None:
    mixed = np.random.default_rng(0).permutation(8)
    shuffled = Tracks(tick=TRUTH.tick[mixed], boxes=TRUTH.boxes[mixed], ids=TRUTH.ids[mixed])
    assert identity_scores(TRUTH, shuffled).idf1 == 1


def test_links_counted_by_hand() -> None:
    tick = np.asarray([0, 0, 1, 1, 2, 2])
    true = np.asarray([1, 2, 1, 2, 1, 2])  # links 0-2, 2-4, 1-3, 3-5
    predicted = np.asarray([1, 2, 1, 3, 3, 1])  # links 0-2 (right), 2-5, 3-4
    scores = link_scores(tick, true, predicted)
    assert (scores.true, scores.predicted) == (4, 3)
    assert scores.precision == pytest.approx(1 / 3)
    assert scores.recall == pytest.approx(1 / 4)


def test_links_longer_than_the_gap_do_not_count() -> None:
    tick, ids = np.asarray([0, 1, 5]), np.asarray([1, 1, 1])
    assert link_scores(tick, ids, ids).true == 2
    assert link_scores(tick, ids, ids, max_gap=3).true == 1
    assert link_scores(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)).precision == 0
