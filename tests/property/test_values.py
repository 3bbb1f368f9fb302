"""Round trips and invariances of the values that travel."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from relact import boxes as b
from relact import ragged
from relact.types import Actors, View

views = st.builds(
    View,
    width=st.integers(1, 2000), height=st.integers(1, 2000), clip_width=st.integers(1, 2000),
    clip_height=st.integers(1, 2000), left=st.integers(0, 500), top=st.integers(0, 500), flip=st.booleans(),
)  # fmt: skip
numbers = st.floats(-2, 2, width=32)
box_arrays = st.lists(st.tuples(numbers, numbers, numbers, numbers), max_size=5).map(
    lambda rows: np.array(rows, np.float64).reshape(-1, 4)
)
counts = st.lists(st.integers(0, 4), min_size=0, max_size=6)


@given(views, box_arrays)
def test_a_view_round_trips(view: View, boxes: np.ndarray):
    np.testing.assert_allclose(
        view.to_frame(view.to_clip(boxes)), boxes, atol=1e-9 * max(view.width, view.height, 1000)
    )


@given(views, box_arrays)
def test_a_view_treats_tensors_as_arrays_and_writes_to_neither(view: View, boxes: np.ndarray):
    before = boxes.copy()
    np.testing.assert_array_equal(view.to_clip(torch.from_numpy(boxes)).numpy(), view.to_clip(boxes))
    np.testing.assert_array_equal(boxes, before)


@given(box_arrays, box_arrays)
def test_iou_is_symmetric_and_between_0_and_1(a: np.ndarray, c: np.ndarray):
    iou = b.pairwise_iou(a, c)
    assert ((iou >= 0) & (iou <= 1 + 1e-12)).all()
    np.testing.assert_array_equal(iou, b.pairwise_iou(c, a).T)


@given(box_arrays)
def test_mirroring_twice_is_nothing(boxes: np.ndarray):
    np.testing.assert_allclose(b.flip(b.flip(boxes, 3.0), 3.0), boxes, atol=1e-12)


@given(counts, st.integers(1, 3))
def test_pad_then_unpad_is_the_identity(counts: list[int], width: int):
    actors = Actors.of([torch.zeros(n, 4) for n in counts])
    rows = torch.randn(sum(counts), width)
    padded, real = actors.pad(rows)
    assert torch.equal(actors.unpad(padded), rows)
    assert real.sum(dim=1).tolist() == counts
    assert torch.equal(padded[~real], torch.zeros(int((~real).sum()), width))


@given(counts)
def test_segments_equal_a_loop_over_clips(counts: list[int]):
    actors = Actors.of([torch.zeros(n, 4) for n in counts])
    rows = torch.randn(sum(counts), 2, dtype=torch.float64)
    parts = rows.split(counts) if counts else ()
    zero = torch.zeros(2, dtype=torch.float64)
    got = [f(rows, actors.clip, len(counts)) for f in (ragged.segment_sum, ragged.segment_mean, ragged.segment_max)]
    for clip, part in enumerate(parts):
        assert torch.allclose(got[0][clip], part.sum(0))
        assert torch.allclose(got[1][clip], part.mean(0) if len(part) else zero)
        assert torch.allclose(got[2][clip], part.amax(0) if len(part) else zero)
    softmax = ragged.segment_softmax(rows, actors.clip, len(counts))
    expected = [part.softmax(0) for part in parts]
    assert torch.allclose(softmax, torch.cat(expected) if expected else rows)
