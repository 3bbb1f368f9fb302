"""A model over a split of its data: predicted by all processes, judged by the first, told to all."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from relact.data.maps import MapStore
from relact.data.samples import Sample
from relact.interop.files import atomic_path
from relact.labels import LabelMap
from relact.metrics.ava_report import AvaReport
from relact.model import ActionDetector
from relact.recipe import Recipe
from relact.run import banks
from relact.run.loading import view_loaders
from relact.run.maps import maps_of
from relact.run.skipped import samples_of
from relact.train.distributed import is_first
from relact.train.evaluate import METRICS, judge
from relact.train.memory import OfflineMemory


def judge_split(
    recipe: Recipe,
    model: ActionDetector,
    split: Literal["train", "val"],
    *,
    labels: LabelMap,
    dtype: torch.dtype,
    folder: Path,
    say: Callable[[str], None],
) -> AvaReport:
    """With memory in two passes, the first of which fills a bank."""
    samples, left_out = samples_of(recipe, split, folder, say=say)
    recall = banks.recall(recipe, model, samples, folder, split, dtype)
    maps = maps_of(recipe, model, samples, run=folder, dtype=dtype)
    return judge_samples(
        recipe, model, samples, recall, labels=labels, dtype=dtype, folder=folder, maps=maps, left_out=left_out
    )


def judge_samples(
    recipe: Recipe,
    model: ActionDetector,
    samples: Sequence[Sample],
    recall: OfflineMemory | None,
    *,
    labels: LabelMap,
    dtype: torch.dtype,
    folder: Path,
    maps: MapStore | None = None,
    left_out: int = 0,
) -> AvaReport:
    """Writes `groundtruth.csv`, `predictions.csv` and `metrics.json` into `folder`."""
    views = view_loaders(recipe, samples, recall=recall, maps=maps)
    protocol = replace(recipe.data.protocol, left_out=left_out)
    report = judge(model, views, samples, labels=labels, protocol=protocol, dtype=dtype, folder=folder)
    if is_first():
        with atomic_path(folder / METRICS) as temporary:
            temporary.write_text(report.to_json(), encoding="utf-8")
    return report
