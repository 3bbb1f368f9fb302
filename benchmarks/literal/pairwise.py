"""ACRN with the actor tiled over the map, clip by clip (ACAR-Net's released code, MMAction2's); AIA as in AlphAction:

for every actor its own copy of people, things and memory, reduced, projected and attended to actor by actor.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from relact.head import RelationHead
from relact.heads.pairwise import Acrn, AcrnMmaction, Aia, Chain, Convolution, Interaction
from relact.types import Actors, Scene

Keys = dict[str, tuple[Tensor, Tensor | None]]


def forward(head: RelationHead, scene: Scene) -> Tensor:
    """Features [A, D]."""
    one = _clip(head)
    clips = [one(scene, clip) for clip, count in enumerate(scene.actors.counts) if count]
    return torch.cat(clips)


def _clip(head: RelationHead) -> Callable[[Scene, int], Tensor]:
    if isinstance(head, Acrn):
        return lambda scene, clip: _acrn(head, scene, clip)
    if isinstance(head, AcrnMmaction):
        return lambda scene, clip: _mmaction(head, scene, clip)
    assert isinstance(head, Aia)
    return lambda scene, clip: _aia(head, scene, clip)


def _own(scene: Scene, clip: int) -> Tensor:
    height, width = scene.valid[clip].tolist()
    return scene.pooled[clip : clip + 1, :, :height, :width]


def _acrn(head: Acrn, scene: Scene, clip: int) -> Tensor:
    context = head.conv_reduce(_own(scene, clip))
    height, width = context.shape[2:]
    boxes = scene.roi_boxes[scene.actors.clip == clip]
    cells = torch.tensor([width, height, width, height]) / scene.frame[clip].flip(0).repeat(2)
    people = F.max_pool2d(roi_align(context, [(boxes * cells.to(boxes)).to(context)], 7, 1.0, -1, False), 7)
    tiled = torch.cat([context.repeat(len(people), 1, 1, 1), people.repeat(1, 1, height, width)], dim=1)
    relation = head.conv2(head.conv1(tiled).relu()).relu()
    mean = F.adaptive_avg_pool2d(relation, 1)[:, :, 0, 0]
    return torch.cat([head.fc1(people[:, :, 0, 0]).relu(), mean], dim=1)


def _mmaction(head: AcrnMmaction, scene: Scene, clip: int) -> Tensor:
    context = _own(scene, clip)
    people = scene.rois[scene.actors.clip == clip].amax(dim=(2, 3), keepdim=True)
    tiled = torch.cat([people.repeat(1, 1, *context.shape[2:]), context.repeat(len(people), 1, 1, 1)], dim=1)
    relation = head.conv1.bn(head.conv1.conv(tiled)).relu()
    for block in head.convs:
        assert isinstance(block, Convolution)
        relation = block.bn(block.conv(relation)).relu()
    return F.adaptive_max_pool2d(relation, 1)[:, :, 0, 0]


def _aia(head: Aia, scene: Scene, clip: int) -> Tensor:
    people = scene.rois[scene.actors.clip == clip].amax(dim=(2, 3))
    query = head.dropout(head.reduce_query(people))
    keys = {letter: _keys(head, letter, people, scene, clip) for letter in head.reduce_keys}
    gathered = sum(_chain(chain, query, keys) for chain in head.chains if isinstance(chain, Chain))
    return head.fc2(head.fc1(people + gathered).relu()).relu()


def _keys(head: Aia, letter: str, people: Tensor, scene: Scene, clip: int) -> tuple[Tensor, Tensor | None]:
    """Rows [A, M, d], a copy for every actor, and of the memory each row's tick [M]."""
    reduce = head.reduce_keys[letter]
    if letter == "P":
        rows = _limited(head.dropout(reduce(people)), scene.actors, clip, head.max_people, head.mask_padding)
        return rows[None].repeat(len(people), 1, 1), None
    if letter == "M":
        rows, tick = _past(head, scene, clip)
        return head.dropout(reduce(rows[None].repeat(len(people), 1, 1))), tick
    if head.objects == "map":
        rows = _own(scene, clip)[0].flatten(1).T
    else:
        assert scene.objects is not None
        assert scene.object_rois is not None
        rows = scene.object_rois[scene.objects.clip == clip].amax(dim=(2, 3))
    rows = head.dropout(reduce(rows))
    if head.objects == "boxes":
        assert scene.objects is not None
        rows = _limited(rows, scene.objects, clip, head.max_objects, head.mask_padding)
    return rows[None].repeat(len(people), 1, 1), None


def _limited(rows: Tensor, found: Actors, clip: int, limit: int, mask_padding: bool) -> Tensor:
    best = found.scores[found.clip == clip].argsort(descending=True, stable=True)[:limit]
    rows = rows[best]
    empty = 0 if mask_padding else limit - len(rows)
    return torch.cat([rows, rows.new_zeros(empty, rows.shape[1])])


def _past(head: Aia, scene: Scene, clip: int) -> tuple[Tensor, Tensor]:
    memory = scene.memory
    assert memory is not None
    rows, ticks = [], []
    for dt in range(-head.radius, head.radius + 1):
        there = memory.features[clip][memory.mask[clip] & (memory.dt[clip] == dt)]
        empty = 0 if head.mask_padding else head.max_per_tick - len(there)
        rows.append(torch.cat([there, there.new_zeros(empty, there.shape[1])]))
        ticks += [dt + head.radius] * len(rows[-1])
    return torch.cat(rows), torch.tensor(ticks, device=memory.dt.device, dtype=torch.long)


def _chain(chain: Chain, x: Tensor, keys: Keys) -> Tensor:
    earlier: list[Tensor] = []
    for index, (letter, block) in enumerate(zip(chain.letters, chain.blocks, strict=True)):
        assert isinstance(block, Interaction)
        if len(chain.mix) and index >= 2:
            weights = chain.mix[index - 2].softmax(dim=0)
            x = sum(output * weight for output, weight in zip(earlier, weights, strict=True))
        x = _interact(block, x, *keys[letter])
        earlier.append(x)
    return x


def _interact(block: Interaction, x: Tensor, rows: Tensor, tick: Tensor | None) -> Tensor:
    q, k, v = block.query(x)[:, None], block.key(rows), block.value(rows)
    if isinstance(block.time_key, nn.Embedding) and isinstance(block.time_value, nn.Embedding):
        k, v = k + block.time_key(tick), v + block.time_value(tick)
    attention = (q @ k.transpose(1, 2) / q.shape[2] ** 0.5).softmax(dim=2)
    gathered = F.layer_norm((attention @ v)[:, 0], (q.shape[2],))
    return block.shortcut(x) + block.dropout(block.out(gathered.relu()))
