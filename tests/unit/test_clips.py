"""From samples to batches: transforms, collation, batches of like shape, people of a keyframe."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F
from torchvision import tv_tensors

from relact.data.collate import ShapeBatches, collate
from relact.data.samples import people_of_keyframe
from relact.data.transforms import Draw, TransformConfig, apply, draw, inside
from relact.types import Clip, Keyframe, View


def clip(name: str, height: int, width: int, people: int) -> Clip:
    return Clip(
        key=Keyframe(name, 1),
        frames=torch.full((3, 2, height, width), 9, dtype=torch.uint8),
        view=View.whole(width, height),
        boxes=torch.full((people, 4), 1.0),
        labels=torch.ones(people, 5),
        scores=torch.ones(people),
        track=torch.arange(people),
    )


def test_clips_are_padded_to_the_largest_and_people_stay_with_their_clip():
    batch = collate([clip("a", 4, 6, 2), clip("b", 5, 3, 0), clip("c", 2, 2, 1)])
    assert batch.frames.shape == (3, 3, 2, 5, 6)
    assert batch.valid.tolist() == [[4, 6], [5, 3], [2, 2]]
    assert batch.actors.counts == (2, 0, 1)
    assert batch.labels.shape == (3, 5)
    for slot, (height, width) in zip(batch.frames, batch.valid.tolist(), strict=True):
        assert (slot[:, :, :height, :width] == 9).all()
        assert int(slot.count_nonzero()) == 3 * 2 * height * width


def test_testing_is_not_random():
    assert draw(TransformConfig(short_side=64, crop=32, flip=1.0), None) == Draw(short_side=64)


def test_a_crop_and_a_flip_carry_boxes_along():
    frames = torch.arange(4 * 8, dtype=torch.uint8).view(1, 1, 4, 8).expand(3, 1, 4, 8)
    got, view = apply(frames, Draw(short_side=4, left=0.5, top=1.0, flip=True), crop=4)
    assert torch.equal(got[0, 0], frames[0, 0, :, 2:6].flip(-1))
    boxes = view.to_clip(torch.tensor([[0.25, 0.0, 0.5, 1.0]]))  # columns 2 to 4 of 8: 0 to 2 of the crop, mirrored
    assert boxes.tolist() == [[2, 0, 4, 4]]
    assert got[0, 0, 0, 3] == frames[0, 0, 0, 2]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("crop", [None, 20, 64])
def test_pixels_and_boxes_are_those_of_torchvision_to_the_last_bit(crop: int | None, flip: bool):
    random = np.random.default_rng(7)
    frames = torch.from_numpy(random.integers(0, 256, (3, 4, 32, 44), dtype=np.uint8))
    boxes = torch.from_numpy(random.random((9, 2, 2), np.float32)).sort(dim=1).values.reshape(9, 4)
    got, view = apply(frames, Draw(short_side=32, left=0.3, top=0.8, flip=flip), crop)
    pixels = boxes * torch.tensor([44, 32, 44, 32])
    window = view.top, view.left, view.clip_height, view.clip_width
    carried = [
        tv_tensors.Video(frames.transpose(0, 1)),
        tv_tensors.BoundingBoxes(pixels, format="XYXY", canvas_size=(32, 44), clamping_mode=None),
    ]
    carried = [F.crop(part, *window) for part in carried]
    if flip:
        carried = [F.horizontal_flip(part) for part in carried]
    assert torch.equal(got.transpose(0, 1), carried[0])
    assert torch.equal(view.to_clip(boxes), carried[1])
    torch.testing.assert_close(view.to_frame(carried[1].as_subclass(torch.Tensor)), boxes)


def test_who_is_cropped_away_is_left_out():
    view = View(width=8, height=4, clip_width=4, clip_height=4, left=4)
    boxes = view.to_clip(torch.tensor([[0.0, 0, 0.5, 1], [0.0, 0, 0.8, 1], [0.9, 0, 1, 1]]))
    assert inside(boxes, view).tolist() == [False, True, False]


def test_every_clip_comes_once_an_epoch_with_its_like():
    aspects = [1.0, 1.8] * 20
    batches = ShapeBatches(aspects, 4, shuffle=True, seed=3)
    epoch = list(batches)
    assert sorted(index for batch in epoch for index in batch) == list(range(40))
    assert len(epoch) == len(batches) == 10
    assert sum(len({aspects[index] for index in batch}) > 1 for batch in epoch) <= 1
    assert list(batches) == epoch
    batches.epoch = 1
    assert list(batches) != epoch


@pytest.mark.parametrize("count", [0, 1, 5])
def test_batches_of_few_clips(count: int):
    got = list(ShapeBatches([1.0] * count, 4, shuffle=False))
    assert [index for batch in got for index in batch] == list(range(count))


def test_rows_of_one_person_become_one_row():
    boxes = np.array([[0.1, 0, 0.2, 1], [0.3, 0, 0.4, 1], [0.1, 0, 0.2, 1], [0.1, 0, 0.2, 1]])
    got, labels, person = people_of_keyframe(boxes, np.array([0, 2, 1, -1]), np.array([7, 8, 7, 9]), 3)
    np.testing.assert_allclose(got[:, 0], [0.1, 0.3, 0.1])
    assert labels.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert person.tolist() == [7, 8, 9]
