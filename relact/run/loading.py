"""Loaders of a recipe's clips."""

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch.utils.data import DataLoader

from relact.data.collate import ShapeBatches, Share, collate_part
from relact.data.dataset import ClipDataset
from relact.data.maps import MapStore
from relact.data.samples import Sample
from relact.data.transforms import Draw
from relact.recipe import Recipe
from relact.train import distributed
from relact.train.memory import OfflineMemory
from relact.types import Batch, Clip


def loader(
    recipe: Recipe,
    samples: Sequence[Sample],
    *,
    training: bool,
    recall: OfflineMemory | None = None,
    maps: MapStore | None = None,
    share: Share | None = None,
) -> "DataLoader[Batch]":
    """Batches of clips of like shape; order and augmentation depend on the seed and the epoch alone.

    With a `share` they are this process' parts of the batches, and None for a part that is empty.
    """
    clips = _clips(recipe, samples, training=training, maps=maps)
    batches = ShapeBatches(
        clips.aspects(), recipe.train.batch_size, shuffle=training, seed=recipe.train.seed, share=share
    )
    return _loader(recipe, clips, batches, recall)


def view_loaders(
    recipe: Recipe,
    samples: Sequence[Sample],
    *,
    recall: OfflineMemory | None = None,
    maps: MapStore | None = None,
) -> "list[DataLoader[Batch]]":
    """A loader for each view of `transform.test_short_sides` x `test_flip`; one where these ask for none.

    With several processes each takes whole batches in turn: what is in a batch does not depend on how many they are.
    """
    loaders = []
    for view in recipe.transform.views():
        clips = _clips(recipe, samples, training=False, maps=maps, view=view)
        batches = ShapeBatches(clips.aspects(), recipe.train.batch_size, shuffle=False)
        loaders.append(_loader(recipe, clips, distributed.mine(batches.batches()), recall))
    return loaders


def in_order(
    recipe: Recipe, samples: Sequence[Sample], batches: Sequence[list[int]], *, maps: MapStore | None = None
) -> "DataLoader[Batch]":
    """These batches of clips as they are in tests."""
    return _loader(recipe, _clips(recipe, samples, training=False, maps=maps), batches, None)


def _clips(
    recipe: Recipe, samples: Sequence[Sample], *, training: bool, maps: MapStore | None, view: Draw | None = None
) -> ClipDataset:
    return ClipDataset(
        samples,
        num_frames=recipe.backbone.num_frames,
        frame_stride=recipe.backbone.frame_stride,
        rate=recipe.data.rate,
        transform=recipe.transform,
        train=training,
        seed=recipe.train.seed,
        maps=maps,
        view=view,
    )


class _Loader(DataLoader[Clip]):
    """A loader whose batches get their memory when they are taken."""

    recall: OfflineMemory | None = None

    def __iter__(self) -> Iterator[Batch | None]:  # type: ignore[override]  # the base names a private class
        batches = cast("Iterator[Batch | None]", super().__iter__())  # what comes out is what collate makes of clips
        for batch in batches:
            yield batch if batch is None or self.recall is None else self.recall.read(batch)


def _loader(
    recipe: Recipe, clips: ClipDataset, batches: ShapeBatches | Sequence[list[int]], recall: OfflineMemory | None
) -> "DataLoader[Batch]":
    loader = _Loader(
        clips,
        batch_sampler=batches,
        collate_fn=collate_part,
        num_workers=recipe.train.workers,
        generator=torch.Generator(),  # of its own: what a model draws must not hang on how often a loader began
        pin_memory=torch.cuda.is_available(),
    )
    loader.recall = recall
    return cast("DataLoader[Batch]", loader)
