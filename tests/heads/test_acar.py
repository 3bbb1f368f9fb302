import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import roi_align

from relact import create_model
from relact.heads import acar
from relact.nn.pairs import mean_relu
from relact.nn.roi import average_time
from relact.types import Actors, Memory
from tests.heads.scenes import INTERFACE, built, scene, scene_for

SMALL: dict[str, object] = {"reduce": 6, "width": 8, "grid": (2, 3)}


@pytest.mark.parametrize(
    ("variant", "backbone", "head", "total"),
    [
        ("r50", "slowfast_r50_8x8_acar", 25_229_312, 58_873_800),
        ("r101", "slowfast_r101_8x8_acar", 13_693_952, 75_597_992),
        ("bank", "slowfast_r50_8x8_acar", 25_229_312, 58_873_800),
    ],
)
def test_parameters_of_the_released_models(variant: str, backbone: str, head: int, total: int):
    with torch.device("meta"):
        model = create_model(f"acar:{variant}", backbone=backbone, num_classes=60)
    count = sum(p.numel() for p in (*model.head.parameters(), *model.classifier.parameters()))
    assert count == head
    assert sum(p.numel() for p in model.parameters()) == total


def test_one_actor_attends_to_itself_alone():
    head = acar.Config(**SMALL).build(INTERFACE).double().eval()
    head.explain = True
    maps = head(scene((1,))).maps
    assert set(maps) == {"relations_0", "relations_1"}
    assert torch.equal(maps["relations_0"], torch.ones_like(maps["relations_0"]))


def test_a_map_that_is_too_small_is_said():
    head = acar.Config(**SMALL).build(INTERFACE).double().eval()
    tiny = dataclasses.replace(scene((1,)), valid=torch.tensor([[2, 7]]))
    with pytest.raises(ValueError, match=r"at least 3 x 3 cells, got \[2, 7\]"):
        head(tiny)


@pytest.mark.parametrize("change", [{"operator": "average"}, {"operator": "relation"}, {"order": "actor_first"}])
def test_a_bank_without_attention_over_maps_is_refused(change: dict[str, object]):
    with pytest.raises(ValueError, match="window=10: a bank is read by attention over maps"):
        acar.Config(**SMALL, window=10, **change).build(INTERFACE)


def test_a_bank_of_the_current_actors_is_no_bank():
    """Sec. 3.3: the operator is the same, only keys and values come from the bank (of first-order maps: depth 1)."""
    plain, banked = built(acar.Config(**SMALL, depth=1)), built(acar.Config(**SMALL, depth=1, window=1))
    whole = scene_for(banked, (2,))
    plain.archive = True
    stored = plain(whole).store
    assert stored is not None
    ids = torch.zeros(1, 2, dtype=torch.long)
    memory = Memory(features=stored[None], dt=ids, track=ids, tag=torch.ones(1, 2), mask=ids == 0)
    got = banked(dataclasses.replace(whole, memory=memory)).features
    torch.testing.assert_close(got, plain(whole).features, rtol=1e-9, atol=1e-9)


def test_the_mean_of_relus_is_found_without_forming_pairs():
    whole = scene((3, 0, 1, 4))
    place = torch.randn(8, 5, 6, dtype=torch.float64, requires_grad=True)
    other = torch.randn(8, 5, dtype=torch.float64, requires_grad=True)
    got = mean_relu(place, other, whole.actors)
    want = torch.stack(
        [(place[i] + other[whole.actors.clip == whole.actors.clip[i]][:, :, None]).relu().mean(0) for i in range(8)]
    )
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    along = torch.randn_like(got)
    for a, b in zip(
        torch.autograd.grad((got * along).sum(), [place, other]),
        torch.autograd.grad((want * along).sum(), [place, other]),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("variant", acar.VARIANTS)
def test_in_inference_groups_of_clips_change_nothing(variant: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(acar, "ACTORS_AT_A_TIME", 3)
    monkeypatch.setattr(acar, "MAPS_AT_A_TIME", 2)
    head = built(dataclasses.replace(acar.VARIANTS[variant], **SMALL, window=min(acar.VARIANTS[variant].window, 1)))
    head.archive = True
    whole = scene_for(head, (2, 3, 0, 4, 1))
    together = head(whole)
    with torch.no_grad():
        apart = head(whole)
    torch.testing.assert_close(apart.features, together.features, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(apart.store, together.store, rtol=1e-9, atol=1e-9)


def test_as_released_padding_reaches_the_actors_and_the_context_is_cut_by_its_arithmetic():
    """A padded batch, clip by clip: the padded map is read, its context cropped to ceil(map / ratio) (spec A2, A10)."""
    torch.manual_seed(0)
    settings = {**SMALL, "mask_padding": False}
    model = create_model("acar", backbone="slowfast_debug", num_classes=60, settings=settings).eval()
    frames = torch.randint(0, 256, (2, 3, model.clip.num_frames, 96, 416), dtype=torch.uint8)
    frames[1, ..., 368:] = 0
    boxes = [torch.tensor([[10.0, 10, 90, 90]]), torch.tensor([[20.0, 0, 120, 96], [200, 8, 367, 80]])]
    valid = torch.tensor([[96, 416], [96, 368]])
    with torch.no_grad():
        got = model(frames, Actors.of(boxes), valid=valid).relations.features
        normal = model.normalise(frames, valid)
        normal[1, ..., 368:] = 0  # padded after normalisation
        pooled = average_time(model.backbone(normal))
        context = model.head.conv_reduce(pooled)
        expected = []
        for clip, columns in enumerate((26, 24)):  # 23 would be right: 368 / 16
            cells = boxes[clip] * torch.tensor([26 / 416, 6 / 96, 26 / 416, 6 / 96])
            vectors = roi_align(context[clip : clip + 1], [cells], 7, 1.0, -1, False).amax(dim=(2, 3))
            own = context[clip : clip + 1, :, :, :columns]
            tiled = torch.cat(
                [own.expand(len(cells), -1, -1, -1), vectors[:, :, None, None].expand(-1, -1, 6, columns)], 1
            )
            relation = model.head.conv2(model.head.conv1(tiled).relu()).relu()
            relation = F.max_pool2d(relation, 3, 2, 1)
            for block in model.head.hr2o:
                heard, _ = block(relation, None, Actors.of([boxes[clip]]), None)
                relation = relation + block.update(heard, None)
            expected.append(torch.cat([model.head.fc1(vectors).relu(), relation.mean(dim=(2, 3))], dim=1))
    torch.testing.assert_close(got, torch.cat(expected), rtol=1e-4, atol=1e-5)
