"""Clips → batch, and which clips share one: those of like shape, so that little is padded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from relact.data.maps import stack
from relact.types import Actors, Batch, Clip


def collate_part(clips: Sequence[Clip]) -> Batch | None:
    """As `collate`; None for no clips, a part of a batch that had too few."""
    return collate(clips) if clips else None


def collate(clips: Sequence[Clip]) -> Batch:
    """Frames padded right and below to the largest clip; people in one flat list."""
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
        maps=stack([clip.maps for clip in clips if clip.maps is not None]) if clips[0].maps is not None else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Which parts of every batch are taken here, where processes divide it, or memory allows only a part at a time."""

    rank: int = 0
    ranks: int = 1
    accumulate: int = 1
    """parts that each process takes, one after the other"""
    fill: bool = False
    """repeat clips of a batch that has fewer than parts, so that none is empty"""

    def of(self, batch: Sequence[int]) -> list[list[int]]:
        """The parts of a batch that are this process' own: neighbours, of sizes that differ by one at most."""
        parts = self.ranks * self.accumulate
        if self.fill and len(batch) < parts:
            batch = np.resize(np.asarray(batch), parts).tolist()
        ends = np.cumsum([len(batch) // parts + (part < len(batch) % parts) for part in range(parts)]).tolist()
        begins = [0, *ends]
        first = self.rank * self.accumulate
        return [list(batch[begins[part] : ends[part]]) for part in range(first, first + self.accumulate)]


class ShapeBatches:
    """Batches of clips of like aspect ratio, reshuffled every epoch, the same for the same seed and epoch.

    Clips are shuffled, sorted by aspect within pools of many batches, cut into batches, and the batches shuffled: every
    clip appears once an epoch, and neighbours in a batch differ little in shape. Iterating gives the parts that are
    this process' share of each batch, from step `first` on; the batches themselves are the same in all processes.
    """

    def __init__(
        self,
        aspects: Sequence[float],
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        pool: int = 32,
        share: Share | None = None,
    ) -> None:
        self._aspects = np.asarray(aspects)
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._seed = seed
        self._pool = pool * batch_size
        self.share = share or Share()
        self.epoch = 0
        self.first = 0

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._aspects) // self._batch_size)

    def __len__(self) -> int:
        return (self.steps - self.first) * self.share.accumulate

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches()[self.first :]:
            yield from self.share.of(batch)

    def batches(self) -> list[list[int]]:
        """Those of this epoch, whole."""
        random = np.random.default_rng([self._seed, self.epoch])
        order = random.permutation(len(self._aspects)) if self._shuffle else np.arange(len(self._aspects))
        pools = [order[i : i + self._pool] for i in range(0, len(order), self._pool)]
        ordered = np.concatenate([pool[np.argsort(self._aspects[pool], kind="stable")] for pool in pools] or [order])
        batches = [ordered[i : i + self._batch_size].tolist() for i in range(0, len(ordered), self._batch_size)]
        if self._shuffle:
            random.shuffle(batches)
        return batches
