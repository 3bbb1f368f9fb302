"""One batch end to end before a training, evaluation and saving included: a mistake shows in a minute, not in a day."""

import shutil
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import cast

import torch
from torch.utils.data import DataLoader

from relact.data.collate import ShapeBatches, collate_part
from relact.data.dataset import ClipDataset
from relact.data.samples import Sample
from relact.model import ActionDetector
from relact.recipe import Recipe, to_dict
from relact.run import banks
from relact.run.judging import judge_samples
from relact.train.checkpoint import save_model
from relact.train.distributed import is_first, wait
from relact.train.loop import set_modes
from relact.train.memory import OfflineMemory
from relact.train.optim import for_batch, optimiser, rate
from relact.train.step import Trained, train_step
from relact.types import Batch


def rehearse(
    recipe: Recipe,
    model: ActionDetector,
    trained: Trained,
    batches: "DataLoader[Batch]",
    samples: Sequence[Sample],
    *,
    dtype: torch.dtype,
    run: Path,
    recall: OfflineMemory | None,
) -> None:
    """In `run/rehearsal`, which is removed again; the model is left as it was. All processes take part."""
    folder = run / "rehearsal"
    if is_first():
        shutil.rmtree(folder, ignore_errors=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    sampler, clips = cast(ShapeBatches, batches.batch_sampler), cast(ClipDataset, batches.dataset)
    parts = [collate_part([clips[index] for index in part]) for part in islice(sampler, recipe.train.accumulate)]
    if recall is not None:
        parts = [None if part is None else recall.read(part) for part in parts]
    few = [samples[index] for index in sampler.batches()[0]]
    set_modes(trained, model, recipe.train)
    memory = banks.online(recipe, model, few)
    rates = for_batch(recipe.optim, recipe.train.batch_size)
    throwaway = optimiser(model, rates)
    for group in throwaway.param_groups:
        group["lr"] = rate(rates, 0.0, recipe.train.epochs)
    train_step(trained, parts, throwaway, clip_norm=rates.clip_norm, memory=memory)
    trained.zero_grad(set_to_none=True)
    if is_first():
        save_model(folder, model, to_dict(recipe), model.labels)
    wait()
    recall = recall or banks.recall(recipe, model, few, folder, "train", dtype)
    judge_samples(recipe, model, few, recall, labels=model.labels, dtype=dtype, folder=folder, maps=clips.maps)
    wait()
    if is_first():
        shutil.rmtree(folder)
    model.load_state_dict(before)
