"""ACAR-Net as plain loops over clips, actors, places and pairs, from the paper's equations and the released layers."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

from relact.heads import acar
from relact.types import Scene
from tests.heads.scenes import INTERFACE, STRIDE, scene_for
from tests.heads.test_acar import SMALL


def attend(block: acar.HR2O, relations: list[Tensor], others: list[Tensor]) -> list[Tensor]:
    """Eq. 1, 2 and 5 for the actors of one clip, maps `[d, h, w]`: keys and values are of `others`."""
    conv_q, conv_k, conv_v = block.conv_q.weight, block.conv_k.weight, block.conv_v.weight
    padding = conv_q.shape[-1] // 2
    q = [F.conv2d(f[None], conv_q, padding=padding)[0] for f in relations]
    k = [F.conv2d(f[None], conv_k, padding=padding)[0] for f in others]
    v = [F.conv2d(f[None], conv_v, padding=padding)[0] for f in others]
    width, rows, columns = relations[0].shape
    result = []
    for i, relation in enumerate(relations):
        gathered = torch.zeros_like(relation)
        for y in range(rows):
            for x in range(columns):
                score = torch.stack([(q[i][:, y, x] * kj[:, y, x]).sum() / width**0.5 for kj in k])
                weight = torch.exp(score) / torch.exp(score).sum()
                cell = torch.stack([weight[j] * v[j][:, y, x] for j in range(len(others))]).sum(0)
                place = torch.zeros(rows, columns, dtype=cell.dtype)
                place[y, x] = 1
                gathered = gathered + cell[:, None, None] * place
        normed = F.group_norm(gathered[None], 1, block.norm.weight, block.norm.bias, 1e-5)
        update = F.conv2d(normed.relu(), block.conv.weight, padding=block.conv.weight.shape[-1] // 2)[0]
        result.append(relation + update)
    return result


def pool(relation: Tensor, how: str) -> Tensor:
    if how == "max3":
        return F.max_pool2d(relation[None], 3, 2, 1)[0]
    return F.max_pool2d(relation[None], 2, 2, ceil_mode=True)[0] if how == "max2" else relation


def tiled(context: Tensor, *vectors: Tensor) -> Tensor:
    """The context with vectors beside it at every place, as a batch of one."""
    return torch.cat([*(v[:, None, None].expand(-1, *context.shape[1:]) for v in vectors), context])[None]


def relate(block: acar.RelationNetwork, context: Tensor, vectors: list[Tensor], how: str) -> list[Tensor]:
    """Eq. 3 and 4: two convolutions on every triple, averaged over the second actor."""
    result = []
    for a in vectors:
        pairs = [
            F.conv2d(F.conv2d(tiled(context, a, b), block.conv1.weight).relu(), block.conv2.weight)[0] for b in vectors
        ]
        result.append(pool(torch.stack(pairs).sum(0) / len(pairs), how))
    return result


def as_map(vectors: list[Tensor]) -> list[Tensor]:
    return [vector[:, None, None] for vector in vectors]


def reference(head: acar.Acar, pooled: Tensor, boxes: Tensor, bank: list[Tensor]) -> list[Tensor]:
    """The actors of one clip, from its own map; `bank` are the archived maps of its window."""
    context = F.conv2d(pooled[None], head.conv_reduce.weight)[0]
    regions = [roi_align(context[None], [box[None]], 7, 1 / STRIDE, -1, True)[0] for box in boxes.to(context)]
    vectors = [region.amax(dim=(1, 2)) for region in regions]
    met = vectors
    if head.actor_first:
        for block in head.hr2o:
            met = [m[:, 0, 0] for m in attend(block, as_map(met), as_map(met))]
    relations = []
    for vector in met:
        both = tiled(context, vector)
        both = torch.cat([both[:, len(vector) :], both[:, : len(vector)]], dim=1)  # the context comes first
        relation = F.conv2d(F.conv2d(both, head.conv1.weight).relu(), head.conv2.weight).relu()[0]
        relations.append(pool(relation, head.downsample))
    resized = [F.interpolate(m[None], relations[0].shape[1:], mode="bilinear")[0] for m in bank]
    for block in head.hr2o:
        if isinstance(block, acar.RelationNetwork):
            extra = relate(block, context, vectors, head.downsample)
            relations = [relation + h for relation, h in zip(relations, extra, strict=True)]
        elif isinstance(block, acar.Average):
            mean = torch.stack(relations).sum(0) / len(relations)
            relations = [relation + mean for relation in relations]
        elif not head.actor_first:
            relations = attend(block, relations, resized or relations)
    return [
        torch.cat([F.linear(vector, head.fc1.weight).relu(), relation.mean(dim=(1, 2))])
        for vector, relation in zip(vectors, relations, strict=True)
    ]


def by_clip(head: acar.Acar, whole: Scene) -> Tensor:
    rows: list[Tensor] = []
    for clip, (height, width) in enumerate(whole.valid.tolist()):
        boxes = whole.actors.boxes[whole.actors.clip == clip]
        bank: list[Tensor] = []
        if whole.memory is not None:
            bank = [m.unflatten(0, (-1, *head.grid)) for m in whole.memory.features[clip][whole.memory.mask[clip]]]
        if len(boxes):
            rows += reference(head, whole.pooled[clip, :, :height, :width], boxes, bank)
    return torch.stack(rows)


@pytest.mark.parametrize("variant", acar.VARIANTS)
def test_values_and_gradients_are_those_of_the_equations(variant: str):
    config = acar.VARIANTS[variant]
    torch.manual_seed(2)
    head = dataclasses.replace(config, **SMALL, window=min(config.window, 1)).build(INTERFACE).double().eval()
    whole = scene_for(head, (2, 3, 2, 0))  # the third clip's bank is empty
    got, want = head(whole).features, by_clip(head, whole)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
    along = torch.randn_like(got)
    ours = torch.autograd.grad((got * along).sum(), list(head.parameters()))
    theirs = torch.autograd.grad((want * along).sum(), list(head.parameters()))
    for name, a, b in zip(dict(head.named_parameters()), ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, msg=name)
