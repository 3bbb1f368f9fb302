import numpy as np
import pytest
import torch

from relact.types import Actors, View


def boxes(*rows: tuple[float, float, float, float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def test_a_view_scales_then_cuts_then_mirrors():
    view = View(width=400, height=200, clip_width=100, clip_height=100, left=50, top=20, flip=True)
    got = view.to_clip(np.array([[0.25, 0.25, 0.5, 0.75]]))  # 100 50 200 150 → 50 30 150 130 → mirrored in 100
    assert got.tolist() == [[-50, 30, 50, 130]]


def test_a_whole_view_goes_to_pixels_and_back():
    view = View.whole(320, 240)
    unit = boxes((0.5, 0.25, 1.0, 0.5))
    assert view.to_clip(unit).tolist() == [[160, 60, 320, 120]]
    assert torch.equal(view.to_frame(view.to_clip(unit)), unit)


def test_actors_are_one_flat_list_sorted_by_clip():
    actors = Actors.of([boxes((0, 0, 1, 1), (0, 0, 2, 2)), boxes(), boxes((0, 0, 3, 3))])
    assert actors.counts == (2, 0, 1)
    assert actors.clip.tolist() == [0, 0, 2]
    assert actors.rois().tolist() == [[0, 0, 0, 1, 1], [0, 0, 0, 2, 2], [2, 0, 0, 3, 3]]
    assert actors.track.tolist() == [-1, -1, -1]


def test_pad_puts_rows_in_their_clips_and_says_which_are_real():
    actors = Actors.of([boxes((0, 0, 1, 1), (0, 0, 2, 2)), boxes(), boxes((0, 0, 3, 3))])
    padded, real = actors.pad(torch.tensor([[1.0], [2.0], [3.0]]))
    assert padded[..., 0].tolist() == [[1, 2], [0, 0], [3, 0]]
    assert real.tolist() == [[True, True], [False, False], [True, False]]
    assert actors.unpad(padded).tolist() == [[1], [2], [3]]


@pytest.mark.parametrize("clips", [0, 1, 3])
def test_no_actors_anywhere_is_normal(clips: int):
    actors = Actors.of([boxes()] * clips)
    padded, real = actors.pad(torch.zeros(0, 5))
    assert padded.shape == (clips, 0, 5)
    assert real.shape == (clips, 0)
    assert actors.unpad(padded).shape == (0, 5)
    assert actors.rois().shape == (0, 5)


def test_pad_refuses_rows_of_other_actors():
    with pytest.raises(AssertionError, match="2 rows for 1 actors"):
        Actors.of([boxes((0, 0, 1, 1))]).pad(torch.zeros(2, 3))


def test_padding_carries_gradients():
    actors = Actors.of([boxes((0, 0, 1, 1)), boxes((0, 0, 1, 1), (0, 0, 1, 1))])
    rows = torch.ones(3, 2, requires_grad=True)
    padded, _ = actors.pad(rows)
    (padded * torch.arange(8.0).view(2, 2, 2)).sum().backward()
    assert rows.grad is not None
    assert rows.grad.tolist() == [[0, 1], [4, 5], [6, 7]]


def test_actors_fall_into_groups_of_whole_clips():
    actors = Actors.of([torch.rand(count, 4) for count in (3, 0, 2, 7, 1, 1)])
    groups = actors.groups(4)
    assert [actors.counts[clips] for clips in groups] == [(3, 0), (2,), (7,), (1, 1)]
    parts = [actors.of_clips(clips) for clips in groups]
    assert torch.equal(torch.cat([part.boxes for part in parts]), actors.boxes)
    assert parts[3].clip.tolist() == [0, 1]
    assert actors.groups(14) == [slice(0, 6)]
    assert Actors.of([]).groups(4) == [slice(0, 0)]
