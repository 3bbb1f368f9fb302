"""Rows that are maps follow the clip: mirrored and cut like it. Expected values by hand."""

import numpy as np
import pytest
import torch

from relact.bank import OnlineBank, Rows
from relact.bank.window import to_view
from relact.head import MemorySpec
from relact.types import Keyframe, Memory, View

SPEC = MemorySpec(radius=0, dim=2 * 2 * 4, grid=(2, 4))
VECTORS = MemorySpec(radius=0, dim=2 * 2 * 4)
WHOLE, MIRRORED = View.whole(40, 20), View(width=40, height=20, clip_width=40, clip_height=20, flip=True)


def ramp(slots: int = 1) -> torch.Tensor:
    """Channel 0 counts columns, channel 1 counts rows: `[slots, 2, 2, 4]`."""
    columns, rows = torch.arange(4.0).expand(2, 4), torch.arange(2.0)[:, None].expand(2, 4)
    return torch.stack([columns, rows]).expand(slots, 2, 2, 4)


def memory(clips: int = 1, slots: int = 1) -> Memory:
    return Memory(
        features=ramp(clips * slots).reshape(clips, slots, SPEC.dim).half(),
        dt=torch.zeros(clips, slots, dtype=torch.long),
        track=torch.zeros(clips, slots, dtype=torch.long),
        tag=torch.ones(clips, slots),
        mask=torch.ones(clips, slots, dtype=torch.bool),
    )


def seen(view: View) -> torch.Tensor:
    """Of one map under this view: `[2, 2, 4]`."""
    return to_view(memory(), SPEC, [view]).features.reshape(2, 2, 4)


def test_a_mirrored_clip_sees_columns_from_right_to_left():
    columns, rows = seen(MIRRORED)
    assert columns.tolist() == [[3, 2, 1, 0]] * 2
    assert rows.tolist() == [[0] * 4, [1] * 4]


def test_mirrored_twice_is_nothing():
    once = to_view(memory(2, 3), SPEC, [MIRRORED, WHOLE])
    assert torch.equal(to_view(once, SPEC, [MIRRORED, WHOLE]).features, memory(2, 3).features)


def test_the_right_half_is_the_right_half_of_the_ramp():
    """Cell centres of the frame lie at columns 0 … 3; of its right half at 1.75 … 2.75, and 3.25, over the edge."""
    view = View(width=40, height=20, clip_width=20, clip_height=20, left=20)
    columns, rows = seen(view)
    assert columns.tolist() == [[1.75, 2.25, 2.75, 3]] * 2
    assert rows.tolist() == [[0] * 4, [1] * 4]


def test_the_upper_half_mirrored_is_both():
    view = View(width=40, height=20, clip_width=20, clip_height=10, left=20, top=10, flip=True)
    columns, rows = seen(view)
    assert columns.tolist() == [[3, 2.75, 2.25, 1.75]] * 2
    assert rows.tolist() == [[0.75] * 4, [1] * 4]  # 0.75, and 1.25, over the edge


def test_one_cell_cut_out_is_that_cell():
    """A window of one cell around the centre of column 1 in row 0: its four columns lie around it."""
    view = View(width=40, height=20, clip_width=10, clip_height=10, left=10)
    columns, rows = seen(view)
    assert columns.tolist() == [[0.625, 0.875, 1.125, 1.375]] * 2
    assert rows.tolist() == [[0] * 4, [0.25] * 4]


def test_a_crop_of_a_resized_frame_is_the_same_part_of_the_map():
    small = View(width=40, height=20, clip_width=20, clip_height=10, left=10, top=5)
    large = View(width=120, height=60, clip_width=60, clip_height=30, left=30, top=15)
    assert torch.equal(seen(small), seen(large))


@pytest.mark.parametrize("size", [(40, 20), (454, 256), (31, 77)])
def test_whole_views_leave_the_memory_untouched(size: tuple[int, int]):
    given = memory(2, 3)
    assert to_view(given, SPEC, [View.whole(*size)] * 2) is given


def test_vectors_are_not_maps():
    given = memory()
    assert to_view(given, VECTORS, [MIRRORED]) is given


def test_without_slots_there_is_nothing_to_turn():
    given = memory(2, 0)
    assert to_view(given, SPEC, [MIRRORED, MIRRORED]) is given


def test_each_clip_has_its_own_view_and_the_given_memory_stays():
    given = memory(4, 2)
    shifted = View(width=40, height=20, clip_width=40, clip_height=20, left=20)
    views = [WHOLE, MIRRORED, View(width=40, height=20, clip_width=20, clip_height=20, left=20), shifted]
    out = to_view(given, SPEC, views)
    assert torch.equal(given.features, memory(4, 2).features)
    for clip, view in enumerate(views):
        for slot in range(2):
            assert torch.equal(out.features[clip, slot].view(2, 2, 4), seen(view)), (clip, slot)
    assert out.features[3, 0].view(2, 2, 4)[0].tolist() == [[2, 3, 3, 3]] * 2
    for name in ("dt", "track", "tag", "mask"):
        assert torch.equal(getattr(out, name), getattr(given, name))


@pytest.mark.parametrize(
    "view", [MIRRORED, View(width=40, height=20, clip_width=20, clip_height=10, left=5, top=3, flip=True)]
)
def test_empty_slots_stay_empty(view: View):
    keys = [Keyframe("a", 0), Keyframe("a", 1)]
    bank = OnlineBank(keys, [2, 1], dim=SPEC.dim)
    for key, count in zip(keys, (2, 1), strict=True):
        features = ramp(count).reshape(count, -1).numpy() + 1
        bank.write(key, Rows.of(key.tick, features, boxes=np.zeros((count, 4))), 1.0)
    out = bank.window(keys, SPEC, views=[view, view])
    assert out.mask.tolist() == [[True, True], [True, False]]
    assert not out.features[1, 1].any()
    assert torch.equal(out.features[1, 0], out.features[0, 0])
    assert out.features[1, 0].all()
