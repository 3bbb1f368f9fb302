import pytest
import torch

from relact import Actors, create_model
from relact.errors import InputError
from relact.model import ActionDetector


@pytest.fixture(scope="module")
def model() -> ActionDetector:
    torch.manual_seed(0)
    return create_model("linear", backbone="slowfast_debug", num_classes=60).double().eval()


def clip(height: int, width: int, seed: int, model: ActionDetector) -> torch.Tensor:
    frames = torch.randint(
        0, 256, (1, 3, model.clip.num_frames, height, width), generator=torch.Generator().manual_seed(seed)
    )
    return ((frames.double() / 255) - model.mean) / model.std


def test_logits_of_every_actor_of_a_batch(model: ActionDetector):
    frames = torch.zeros(2, 3, model.clip.num_frames, 64, 96, dtype=torch.float64)
    actors = Actors.of([torch.tensor([[0.0, 0, 30, 40], [10, 10, 90, 60]]), torch.zeros(0, 4)])
    output = model(frames, actors)
    assert output.logits.shape == (2, 60)
    assert output.relations.features.shape == (2, model.head.out_dim)
    torch.testing.assert_close(output.scores[:, :13].sum(dim=1), torch.ones(2, dtype=torch.float64))


def test_a_clips_output_does_not_depend_on_its_neighbours(model: ActionDetector):
    sizes = [(64, 80), (50, 99), (96, 64)]
    boxes = [torch.tensor([[0.0, 0.0, w, h], [w / 3, h / 4, w - 1.0, h - 2.0]]) for h, w in sizes]
    clips = [clip(h, w, seed, model) for seed, (h, w) in enumerate(sizes)]
    alone = [model(frames, Actors.of([box])).logits for frames, box in zip(clips, boxes, strict=True)]
    batch = torch.full((3, 3, model.clip.num_frames, 96, 99), 7.0, dtype=torch.float64)  # padding of anything at all
    for slot, frames in zip(batch, clips, strict=True):
        slot[..., : frames.shape[-2], : frames.shape[-1]] = frames[0]
    together = model(batch, Actors.of(boxes), valid=torch.tensor(sizes)).logits
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-12, atol=1e-12)


def test_bytes_are_normalised_and_floats_taken_as_they_are():
    model = create_model("linear", backbone="slowfast_debug", num_classes=3).eval()
    frames = torch.randint(0, 256, (1, 3, model.clip.num_frames, 64, 64), dtype=torch.uint8)
    actors = Actors.of([torch.tensor([[5.0, 5.0, 50.0, 50.0]])])
    normalised = (frames.float() / 255 - 0.45) / 0.225
    torch.testing.assert_close(model(frames, actors).logits, model(normalised, actors).logits)


def test_boxes_must_come_for_every_clip(model: ActionDetector):
    with pytest.raises(ValueError, match="2 clips but boxes for 1"):
        model(
            torch.zeros(2, 3, model.clip.num_frames, 64, 64, dtype=torch.float64),
            Actors.of([torch.zeros(0, 4)]),
        )


def test_known_numbers_of_classes_bring_their_names():
    assert create_model(backbone="slowonly_debug", num_classes=24).labels[0].name == "Basketball"
    assert create_model(backbone="slowonly_debug", num_classes=5).labels[4].name == "action 5"
    with pytest.raises(InputError, match="label map has 60"):
        create_model(backbone="slowonly_debug", num_classes=5, labels="ava60")
