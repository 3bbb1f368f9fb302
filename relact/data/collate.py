"""Clips → batch, and which clips share one: those of like shape, so that little is padded."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from relact.data.maps import stack
from relact.types import Actors, Batch, Clip, Memory


def collate(clips: Sequence[Clip], recall: Callable[[Sequence[Clip]], Memory] | None = None) -> Batch:
    """Frames padded right and below to the largest clip; people in one flat list; `recall` gives their memory."""
    height = max(clip.frames.shape[2] for clip in clips)
    width = max(clip.frames.shape[3] for clip in clips)
    frames = torch.zeros(len(clips), *clips[0].frames.shape[:2], height, width, dtype=torch.uint8)
    for slot, clip in zip(frames, clips, strict=True):
        slot[:, :, : clip.frames.shape[2], : clip.frames.shape[3]] = clip.frames
    return Batch(
        keys=tuple(clip.key for clip in clips),
        frames=frames,
        valid=torch.tensor([clip.frames.shape[2:] for clip in clips]),
        actors=Actors.of(
            [clip.boxes for clip in clips],
            scores=[clip.scores for clip in clips],
            track=[clip.track for clip in clips],
        ),
        labels=torch.cat([clip.labels for clip in clips]),
        views=tuple(clip.view for clip in clips),
        memory=None if recall is None else recall(clips),
        maps=stack([clip.maps for clip in clips if clip.maps is not None]) if clips[0].maps is not None else None,
    )


class ShapeBatches:
    """Batches of clips of like aspect ratio, reshuffled every epoch, the same for the same seed and epoch.

    Clips are shuffled, sorted by aspect within pools of many batches, cut into batches, and the batches shuffled: every
    clip appears once an epoch, and neighbours in a batch differ little in shape.
    """

    def __init__(
        self, aspects: Sequence[float], batch_size: int, *, shuffle: bool, seed: int = 0, pool: int = 32
    ) -> None:
        self._aspects = np.asarray(aspects)
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._seed = seed
        self._pool = pool * batch_size
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self._aspects) // self._batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng([self._seed, self.epoch])
        order = random.permutation(len(self._aspects)) if self._shuffle else np.arange(len(self._aspects))
        pools = [order[i : i + self._pool] for i in range(0, len(order), self._pool)]
        ordered = np.concatenate([pool[np.argsort(self._aspects[pool], kind="stable")] for pool in pools] or [order])
        batches = [ordered[i : i + self._batch_size].tolist() for i in range(0, len(ordered), self._batch_size)]
        if self._shuffle:
            random.shuffle(batches)
        yield from batches
