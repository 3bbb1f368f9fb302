"""Every head inside a whole model, on padded frames, with memory and things."""

import importlib

import pytest
import torch

from relact import create_model, heads
from relact.model import ActionDetector
from relact.run import head_table
from relact.types import Actors, Memory
from tests.heads.scenes import past


def small_model(name: str) -> ActionDetector:
    torch.manual_seed(0)
    settings = importlib.import_module(f"tests.heads.test_{name}").SMALL
    return create_model(name, backbone="slowfast_debug", num_classes=60, settings=settings).eval()


def of_clip(memory: Memory | None, clip: slice) -> Memory | None:
    if memory is None:
        return None
    return Memory(
        features=memory.features[clip],
        dt=memory.dt[clip],
        track=memory.track[clip],
        tag=memory.tag[clip],
        mask=memory.mask[clip],
    )


@pytest.mark.parametrize("name", heads.available())
def test_a_padded_batch_says_what_its_clips_say_alone(name: str):
    model = small_model(name)
    sizes = torch.tensor([[96, 128], [80, 100], [96, 128]])
    frames = torch.randint(0, 256, (3, 3, model.clip.num_frames, 96, 128), dtype=torch.uint8)
    corners = [torch.rand(count, 2) * 40 for count in (2, 3, 0)]
    people = Actors.of([torch.cat([c, c + 40], dim=1) for c in corners], track=[torch.arange(len(c)) for c in corners])
    memory = None if model.head.memory is None else past(model.head.memory, 3, dtype=torch.float32)
    with torch.no_grad():
        whole = model(frames, people, valid=sizes, memory=memory, objects=people).scores
        alone = []
        for clip, (height, width) in enumerate(sizes.tolist()):
            own = people.of_clips(slice(clip, clip + 1))
            part = frames[clip : clip + 1, :, :, :height, :width]
            alone.append(model(part, own, memory=of_clip(memory, slice(clip, clip + 1)), objects=own).scores)
    assert whole.shape == (5, 60)
    torch.testing.assert_close(whole, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_the_table_of_heads_has_every_variant_and_its_figures():
    rows = {(row["head"], row["variant"]): row for row in head_table(num_classes=60)}
    assert set(rows) == {(name, variant) for name in heads.available() for variant in heads.variants(name)}
    assert rows["acar", "r50"]["parameters"] == 25_229_312
    per_actor = 9 * 512 * 512 * (14 * 20 + 7 * 7 * 10) + 4 * 5 * 512 * 7 * 10 + 1024 * 512 * 2
    per_actor += 9 * 512 * (7 * 10 + 512)  # the eighth convolution is only averaged
    per_clip = 16 * 22 * 1024 * (2304 + 512)
    assert rows["acar", "r50"]["gmac"] == pytest.approx((5 * per_actor + per_clip) / 1e9, abs=0.01)
    assert rows["mrsn", "mrsn_s"]["parameters"] == 15_194_172
    assert rows["mrsn", "mrsn_s"]["gmac"] < rows["acar", "r50"]["gmac"] / 2  # "half of ACAR"
    assert all(row["gmac"] >= 0 for row in rows.values())


def test_a_backbone_that_a_head_cannot_stand_on_is_said_in_its_row():
    rows = {(row["head"], row["variant"]): row for row in head_table(backbone="slowonly_r50_4x16", num_classes=60)}
    assert "context" in rows["stc", "spatiotemporal"]["error"]
    assert rows["stc", "spatial"]["parameters"] > 0


def test_what_is_published_is_said_of_variants_that_are_there():
    for name in heads.available():
        assert set(heads.published(name)) <= set(heads.variants(name)), name
