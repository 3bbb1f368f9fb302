"""LFB's operator as released (MMAction2's FBO): a loop over clips, the bank repeated for every actor, q, k, v apart."""

import torch
from torch import Tensor

from relact.heads.lfb import Lfb, NonLocal
from relact.types import Scene


def forward(head: Lfb, scene: Scene) -> Tensor:
    """Features [A, D]."""
    people = scene.rois.amax(dim=(2, 3))
    rows = []
    for clip in range(len(scene.valid)):
        own = people[scene.actors.clip == clip]
        if len(own):
            rows.append(_clip(head, own, _bank(head, own, scene, clip)))
    return torch.cat(rows)


def _bank(head: Lfb, own: Tensor, scene: Scene, clip: int) -> Tensor:
    if head.memory is None:
        return own
    assert scene.memory is not None
    stored = scene.memory.features[clip][scene.memory.mask[clip]]
    empty = stored.new_zeros(max(head.slots - len(stored), 0), stored.shape[1])
    return torch.cat([stored, empty])


def _clip(head: Lfb, own: Tensor, bank: Tensor) -> Tensor:
    query = head.dropout(head.reduce_query(own))
    repeated = bank[None].repeat(len(own), 1, 1)
    keys = head.dropout(head.reduce_bank(repeated))
    for layer in head.layers:
        assert isinstance(layer, NonLocal)
        query = _layer(layer, query, keys)
    return torch.cat([own, query], dim=1)


def _layer(layer: NonLocal, query: Tensor, keys: Tensor) -> Tensor:
    q, k, v = layer.theta(query)[:, None], layer.phi(keys), layer.g(keys)
    attention = (q @ k.transpose(1, 2) / q.shape[2] ** 0.5).softmax(dim=2)
    gathered = (attention @ v)[:, 0]
    return query + layer.dropout(layer.out(layer.norm(gathered).relu()))
