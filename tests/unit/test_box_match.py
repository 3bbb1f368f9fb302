"""Videos, instants and boxes of two sources paired, on cases small enough to pair by hand."""

import numpy as np
import pytest

from relact.errors import InputError
from relact.interop.box_match import match, same_instants, same_videos


def boxes(*lefts: float) -> np.ndarray:
    """10 x 10 at each x."""
    x = np.asarray(lefts, np.float64)
    return np.stack([x, 0 * x, x + 10, 0 * x + 10], axis=1)


@pytest.mark.parametrize(
    ("a", "b", "pairs"),
    [
        (("x", "y"), ("y", "z", "x"), {0: 2, 1: 0}),
        (("Class/v_1.avi", "v_2"), ("v_2.mp4", "v_1"), {0: 1, 1: 0}),
        (("a.mp4", "b/a.mp4"), ("b/a.mp4",), {1: 0}),  # the equal name goes first
        (("",), ("street",), {0: 0}),
        (("street",), ("",), {0: 0}),
        (("",), ("a", "b"), {}),
        (("one.two",), ("one.three",), {}),  # not suffixes of videos
        ((), ("a",), {}),
    ],
)
def test_videos_by_name(a: tuple[str, ...], b: tuple[str, ...], pairs: dict[int, int]) -> None:
    assert same_videos(a, b) == pairs


def test_a_name_that_may_be_two_videos_is_refused() -> None:
    for a, b in ((("x/1", "y/1"), ("1.mp4",)), (("1.mp4",), ("x/1", "y/1"))):
        with pytest.raises(InputError, match=r"which video is which\? .*'x/1'.* may all be '1'"):
            same_videos(a, b)


def test_instants_are_each_others_nearest() -> None:
    i, j = same_instants(np.asarray([1.0, 2.0, 3.0]), np.asarray([0.9, 1.2, 2.8, 3.1, 9.0]), 0.5)
    assert (i.tolist(), j.tolist()) == ([0, 2], [0, 3])  # 2.0 is near none that is not nearer to another
    i, j = same_instants(np.asarray([5.0]), np.asarray([4.4, 5.7]), 0.5)
    assert len(i) == len(j) == 0
    i, j = same_instants(np.asarray([1.0, 1.4]), np.asarray([1.1]), 0.5)
    assert (i.tolist(), j.tolist()) == ([0], [0])  # both are near it, one is nearer
    assert len(same_instants(np.zeros(0), np.asarray([1.0]), 0.5)[0]) == 0


def test_boxes_of_a_tick_are_paired_for_the_largest_sum() -> None:
    """0 overlaps 1 by 9/11 and -2 by 8/12; 3 overlaps 1 by 8/12 alone: the best single pair is not in the best sum."""
    same = np.zeros(2, np.int64)
    a, b = match(same, boxes(0, 3), same, boxes(1, -2), 0.5)
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == [(0, 1), (1, 0)]


def test_one_box_takes_one_box_of_its_own_tick() -> None:
    a, b = match(np.asarray([1, 2]), boxes(0, 0), np.asarray([2, 2, 3]), boxes(1, 0, 0), 0.5)
    assert (a.tolist(), b.tolist()) == ([1], [1])
    assert len(match(np.asarray([1]), boxes(0), np.asarray([1]), boxes(5), 0.5)[0]) == 0  # IoU 1/3


def test_pairs_equal_those_of_the_whole_assignment() -> None:
    from scipy.optimize import linear_sum_assignment

    from relact.boxes import pairwise_iou

    rng = np.random.default_rng(0)
    ticks = [rng.integers(0, 5, count) for count in (40, 50)]
    rows = [boxes(*rng.uniform(0, 40, len(tick))) for tick in ticks]
    found = set(zip(*(side.tolist() for side in match(ticks[0], rows[0], ticks[1], rows[1], 0.3)), strict=True))
    expected = set()
    for tick in range(5):
        a, b = (np.flatnonzero(t == tick) for t in ticks)
        gain = pairwise_iou(rows[0][a], rows[1][b])
        gain[gain < 0.3] = 0
        expected |= {
            (a[i], b[j]) for i, j in zip(*linear_sum_assignment(gain, maximize=True), strict=True) if gain[i, j]
        }
    assert found == expected
    assert len(found) > 20
