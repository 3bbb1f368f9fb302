import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from relact import create_model
from relact.heads import acar
from tests.heads.scenes import INTERFACE, scene

SMALL: dict[str, object] = {"reduce": 6, "width": 8}


def attend(block: acar.HR2O, relations: list[Tensor]) -> list[Tensor]:
    """Eq. 1 and 2 for the actors of one clip, `[d, h, w]` each: loops over actors and places."""
    q, k, v = (
        [F.conv2d(f[None], conv.weight, padding=1)[0] for f in relations]
        for conv in (block.conv_q, block.conv_k, block.conv_v)
    )
    width, height_px, width_px = relations[0].shape
    result = []
    for i, relation in enumerate(relations):
        rows = []
        for y in range(height_px):
            cells = []
            for x in range(width_px):
                score = torch.stack([(q[i][:, y, x] * kj[:, y, x]).sum() / width**0.5 for kj in k])
                weight = torch.exp(score) / torch.exp(score).sum()
                cells.append(sum(weight[j] * v[j][:, y, x] for j in range(len(relations))))
            rows.append(torch.stack(cells, dim=1))
        gathered = torch.stack(rows, dim=1)
        normed = F.group_norm(gathered[None], 1, block.norm.weight, block.norm.bias, 1e-5)
        padding = block.conv.weight.shape[-1] // 2
        result.append(relation + F.conv2d(normed.relu(), block.conv.weight, padding=padding)[0])
    return result


def reference(head: acar.Acar, pooled: Tensor, rois: Tensor, valid: list[int]) -> list[Tensor]:
    """One clip, actor by actor, from the released code's description (A1)."""
    reduce = head.conv_reduce.weight
    context = F.conv2d(pooled[None, :, : valid[0], : valid[1]], reduce)[0]
    vectors = [F.conv2d(roi[None], reduce)[0].amax(dim=(1, 2)) for roi in rois]
    relations = []
    for vector in vectors:
        tiled = torch.cat([context, vector[:, None, None].expand(-1, *context.shape[1:])])
        relation = F.conv2d(F.conv2d(tiled[None], head.conv1.weight).relu(), head.conv2.weight).relu()
        if head.downsample == "max3":
            relation = F.max_pool2d(relation, 3, 2, 1)
        elif head.downsample == "max2":
            relation = F.max_pool2d(relation, 2, 2, ceil_mode=True)
        relations.append(relation[0])
    for block in head.hr2o:
        if isinstance(block, acar.HR2O):
            relations = attend(block, relations)
        else:
            mean = sum(relations) / len(relations)
            relations = [relation + mean for relation in relations]
    return [
        torch.cat([F.linear(vector, head.fc1.weight).relu(), relation.mean(dim=(1, 2))])
        for vector, relation in zip(vectors, relations, strict=True)
    ]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"depth": 1, "out_kernel": 1},
        {"depth": 3},
        {"operator": "average"},
        {"downsample": "max2"},
        {"downsample": "none"},
    ],
    ids=str,
)
def test_values_and_gradients_are_those_of_the_equations(change: dict[str, object]):
    head = acar.Config(**SMALL, **change).build(INTERFACE).double().eval()
    whole = scene((2, 3, 0, 1))
    got = head(whole).features
    expected: list[Tensor] = []
    for clip in range(4):
        rois = whole.rois[whole.actors.clip == clip]
        if len(rois):
            expected += reference(head, whole.pooled[clip], rois, whole.valid[clip].tolist())
    want = torch.stack(expected)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
    along = torch.randn_like(got)
    ours = torch.autograd.grad((got * along).sum(), list(head.parameters()))
    theirs = torch.autograd.grad((want * along).sum(), list(head.parameters()))
    for name, a, b in zip(dict(head.named_parameters()), ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize(
    ("settings", "backbone", "head", "total"),
    [
        ({}, "slowfast_r50_8x8_acar", 25_229_312, 58_873_800),
        ({"depth": 1, "out_kernel": 1}, "slowfast_r101_8x8_acar", 13_693_952, 75_597_992),
    ],
)
def test_parameters_of_the_released_models(settings: dict[str, int], backbone: str, head: int, total: int):
    with torch.device("meta"):
        model = create_model("acar", backbone=backbone, num_classes=60, settings=settings)
    count = sum(p.numel() for p in (*model.head.parameters(), *model.classifier.parameters()))
    assert count == head
    assert sum(p.numel() for p in model.parameters()) == total


def test_one_actor_attends_to_itself_alone():
    head = acar.Config(**SMALL).build(INTERFACE).double().eval()
    maps = head(scene((1,))).maps
    assert set(maps) == {"relations_0", "relations_1"}
    assert torch.equal(maps["relations_0"], torch.ones_like(maps["relations_0"]))


def test_a_map_that_is_too_small_is_said():
    head = acar.Config(**SMALL).build(INTERFACE).double().eval()
    tiny = scene((1,))
    tiny = dataclasses.replace(tiny, valid=torch.tensor([[2, 7]]))
    with pytest.raises(ValueError, match=r"at least 3 x 3 cells, got \[2, 7\]"):
        head(tiny)
