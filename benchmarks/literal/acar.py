"""The released ACAR-Net head, transcribed: a loop over clips, tiled concatenation, every pair of maps materialised."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

from relact.heads.acar import HR2O, Acar
from relact.types import Scene

READS_ROIS = False
"""boxes are read off the reduced map, as the released code does"""


def forward(head: Acar, scene: Scene) -> Tensor:
    """Features [A, D]; boxes are scaled to the map's cells, and each region's maximum is the actor."""
    context = head.conv_reduce(scene.pooled)
    rows = []
    for clip, (height, width) in enumerate(scene.valid.tolist()):
        boxes = scene.roi_boxes[scene.actors.clip == clip]
        if not len(boxes):
            continue
        cells = torch.tensor([width, height, width, height]) / scene.frame[clip].flip(0).repeat(2)
        own = context[clip : clip + 1, :, :height, :width]
        regions = roi_align(own, [boxes * cells.to(boxes)], 7, 1.0, -1, False)
        rows.append(_clip(head, own, F.max_pool2d(regions, 7)))
    return torch.cat(rows)


def _clip(head: Acar, context: Tensor, actors: Tensor) -> Tensor:
    count, (height, width) = len(actors), context.shape[2:]
    tiled = torch.cat([context.repeat(count, 1, 1, 1), actors.repeat(1, 1, height, width)], dim=1)
    relation = head.conv2(head.conv1(tiled).relu()).relu()
    if head.downsample == "max3":
        relation = F.max_pool2d(relation, 3, 2, 1)
    for block in head.hr2o:
        assert isinstance(block, HR2O)
        relation = _hr2o(block, relation)
    pooled = F.adaptive_avg_pool2d(relation, 1)[:, :, 0, 0]
    return torch.cat([head.fc1(actors[:, :, 0, 0]).relu(), pooled], dim=1)


def _hr2o(block: HR2O, relation: Tensor) -> Tensor:
    query = block.conv_q(relation)[:, None]
    key = block.conv_k(relation)[None]
    attention = (query * key).sum(2) / query.shape[2] ** 0.5
    attention = attention.softmax(dim=1)[:, :, None]
    gathered = (attention * block.conv_v(relation)[None]).sum(1)
    return relation + block.dropout(block.conv(block.norm(gathered).relu()))
