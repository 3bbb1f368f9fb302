"""The tracker, the linker and looks on little scenes whose right answer is plain."""

import numpy as np
import pytest

from relact.errors import InputError
from relact.interop.linking import LinkConfig, SparseLinker, link_keyframes
from relact.video.appearance import CutFinder, Telling, colour_features
from relact.video.tracker import Tracker

Boxes = np.ndarray

RED, BLUE, GREEN = (200, 30, 30), (30, 30, 200), (30, 160, 30)


def box(x: float, y: float = 100.0, width: float = 40.0, height: float = 100.0) -> list[float]:
    return [x, y, x + width, y + height]


def picture(people: list[tuple[list[float], tuple[int, int, int]]], wall: int = 110) -> np.ndarray:
    drawn = np.full((240, 640, 3), wall, np.uint8)
    for (x1, y1, x2, y2), colour in people:
        drawn[int(y1) : int(y2), max(int(x1), 0) : int(x2)] = colour
    return drawn


def ones(boxes: list[list[float]]) -> np.ndarray:
    return np.ones(len(boxes))


def run(frames: list[list[list[float]]], rate: float = 5.0) -> list[list[int]]:
    tracker = Tracker(rate)
    return [
        tracker.update(np.asarray(boxes).reshape(-1, 4), ones(boxes), k / rate).tolist()
        for k, boxes in enumerate(frames)
    ]


def test_two_who_stand_keep_their_ids_in_any_order() -> None:
    assert run([[box(100), box(300)], [box(301), box(101)], [box(100), box(302)]]) == [[1, 2], [2, 1], [1, 2]]


def test_two_who_cross_keep_their_ids() -> None:
    frames = [[box(100 + 12 * k), box(340 - 12 * k, 108)] for k in range(21)]
    assert run(frames) == [[1, 2]] * 21


def test_a_person_missed_for_a_second_comes_back() -> None:
    frames = [[box(100 + 6 * k)] for k in range(20)]
    frames[8:13] = [[]] * 5
    ids = run(frames)
    assert {i for row in ids for i in row} == {1}


def test_ids_are_never_used_twice() -> None:
    frames = [[box(100)], [], [], [], [], [], [], [], [], [], [], [], [], [box(100)]]
    assert run(frames, rate=2.0)[-1] == [2]  # 6.5 s without a picture: nothing says that it is the same


def test_every_box_gets_an_id_low_scores_too() -> None:
    boxes = np.asarray([box(100), box(200), box(300)])
    ids = Tracker().update(boxes, np.asarray([0.9, 0.01, 0.0]), 0.0)
    assert sorted(ids.tolist()) == [1, 2, 3]


def test_nobody_is_normal() -> None:
    tracker = Tracker()
    nobody = np.zeros((0, 4))
    for k in range(3):
        assert tracker.update(nobody, np.zeros(0), k / 5, picture([])).shape == (0,)
    assert tracker.update(np.asarray([box(10)]), np.ones(1), 1.0).tolist() == [1]


def test_time_must_grow() -> None:
    tracker = Tracker()
    tracker.update(np.zeros((0, 4)), np.zeros(0), 1.0)
    with pytest.raises(InputError, match="expected times that grow"):
        tracker.update(np.zeros((0, 4)), np.zeros(0), 1.0)
    with pytest.raises(InputError, match="rate_hz=0"):
        Tracker(0)


def test_arguments_are_not_written_to() -> None:
    boxes, scores = np.asarray([box(100), box(300)]), np.ones(2)
    before = boxes.copy()
    tracker = Tracker()
    for k in range(4):
        tracker.update(boxes, scores, k / 5, picture([(row, RED) for row in boxes.tolist()]))
    np.testing.assert_array_equal(boxes, before)


def shots(tracker: Tracker, first: int, people: list[tuple[float, tuple[int, int, int]]], wall: int) -> list[int]:
    """Ids at the end of eight pictures of people who stand at x."""
    rows = [(box(x), colour) for x, colour in people]
    for k in range(8):
        ids = tracker.update(
            np.asarray([row for row, _ in rows]), np.ones(len(rows)), (first + k) / 5, picture(rows, wall)
        )
    return ids.tolist()


def test_after_a_cut_looks_say_who_is_who() -> None:
    tracker = Tracker()
    assert shots(tracker, 0, [(100, RED), (400, BLUE)], wall=110) == [1, 2]
    assert shots(tracker, 8, [(120, BLUE), (380, RED)], wall=30) == [2, 1]
    assert shots(tracker, 16, [(100, GREEN)], wall=110) == [3]
    assert shots(tracker, 24, [(250, BLUE), (100, RED)], wall=30) == [2, 1]


def test_a_cut_that_is_told_of_ends_motion_without_pictures() -> None:
    tracker = Tracker()
    one = np.asarray([box(100)])
    assert tracker.update(one, np.ones(1), 0.0).tolist() == [1]
    assert tracker.update(one, np.ones(1), 0.2, cut=True).tolist() == [2]


def test_at_one_hertz_looks_follow_who_jumps() -> None:
    """Two people swap places within a second: motion would link the wrong ones."""
    tracker = Tracker(1.0)
    for k in range(12):
        at = (100.0, 160.0) if k % 2 == 0 else (160.0, 100.0)
        rows = [(box(at[0]), RED), (box(at[1]), BLUE)]
        ids = tracker.update(np.asarray([row for row, _ in rows]), np.ones(2), float(k), picture(rows))
        assert ids.tolist() == [1, 2]


def test_colour_features_are_unit_vectors_that_ignore_light() -> None:
    rows = [(box(100), RED), (box(300), BLUE)]
    bright, dark = picture(rows), (picture(rows) * 0.7).astype(np.uint8)
    boxes = np.asarray([row for row, _ in rows])
    a, b = colour_features(bright, boxes), colour_features(dark, boxes)
    np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1)
    assert (a * b).sum(axis=1).min() > (a[0] * a[1]).sum() + 0.2
    assert colour_features(bright, np.asarray([[-500.0, -500, -400, -400]])).shape == (1, a.shape[1])


def test_likeness_says_little_where_all_look_alike() -> None:
    telling = Telling()
    before = telling.log_odds(np.asarray([0.97])) - telling.log_odds(np.asarray([0.6]))
    alike = np.tile(np.asarray([[1.0, 0.0]]), (6, 1))
    for _ in range(30):
        telling.learn(np.full(6, 0.99), alike)
    after = telling.log_odds(np.asarray([0.999])) - telling.log_odds(np.asarray([0.98]))
    assert before > 5
    assert abs(after) < 1.5


def test_a_cut_is_a_great_change_and_motion_is_not() -> None:
    finder = CutFinder()
    assert [finder.is_cut(picture([(box(100 + 10 * k), RED)])) for k in range(6)] == [False] * 6
    assert finder.is_cut(picture([], wall=20))
    assert not finder.is_cut(picture([], wall=20))
    assert finder.is_cut(np.zeros((64, 64, 3), np.uint8))  # another size
    assert not finder.is_cut(np.zeros((64, 64, 3), np.uint8))


def test_sparse_linker_by_overlap() -> None:
    linker = SparseLinker(1.0)
    assert linker.update(np.asarray([box(0), box(200)]), 0.0).tolist() == [1, 2]
    assert linker.update(np.asarray([box(205), box(500), box(8)]), 1.0).tolist() == [2, 3, 1]
    assert linker.update(np.zeros((0, 4)), 2.0).tolist() == []
    assert linker.update(np.asarray([box(0)]), 3.0).tolist() == [4]  # two periods later


def test_sparse_linker_mixes_overlap_and_features() -> None:
    """s = 0.5 IoU + 0.5 cosine, accepted from 0.4 on."""
    linker = SparseLinker(1.0)
    one, other = [[1.0, 0.0]], [[0.0, 2.0]]
    assert linker.update(np.asarray([box(0)]), 0.0, np.asarray(one)).tolist() == [1]
    near = linker.update(np.asarray([box(400), box(0)]), 1.0, np.asarray([*one, [0.6, 0.8]]))
    assert near.tolist() == [2, 1]  # 0 + 0.5 against 0.5 + 0.3
    linker = SparseLinker(1.0)
    linker.update(np.asarray([box(0)]), 0.0, np.asarray([[3.0, 0.0]]))
    assert linker.update(np.asarray([box(400)]), 1.0, np.asarray(one)).tolist() == [1]  # 0 + 0.5
    assert linker.update(np.asarray([box(410)]), 2.0, np.asarray(other)).tolist() == [2]  # IoU 0.6: 0.3 + 0


def test_sparse_linker_survives_keyframes_without_people_between_features() -> None:
    linker = SparseLinker(1.0, LinkConfig(max_gap=3))
    linker.update(np.zeros((0, 4)), 0.0, np.zeros((0, 0)))
    assert linker.update(np.asarray([box(0)]), 1.0, np.asarray([[1.0, 0.0]])).tolist() == [1]
    linker.update(np.zeros((0, 4)), 2.0, np.zeros((0, 0)))
    assert linker.update(np.asarray([box(0)]), 3.0, np.asarray([[1.0, 0.0]])).tolist() == [1]


def test_link_keyframes_takes_rows_in_any_order() -> None:
    boxes = np.asarray([box(8), box(200), box(0), box(205)])
    assert link_keyframes(boxes, np.asarray([903.0, 902.0, 902.0, 903.0])).tolist() == [2, 1, 2, 1]
    assert link_keyframes(np.zeros((0, 4)), np.zeros(0)).shape == (0,)
