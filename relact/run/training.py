"""Train a recipe, test a run."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

import torch
from torch.utils.data import DataLoader

from relact.backbones.pretrained import load_published
from relact.data.collate import collate
from relact.data.dataset import ClipDataset
from relact.data.maps import MapStore
from relact.data.samples import Sample
from relact.errors import InputError
from relact.interop.files import atomic_path
from relact.labels import LabelMap
from relact.metrics.ava_report import AvaReport
from relact.model import ActionDetector
from relact.nn.memory import keep_freed_memory
from relact.nn.precision import default_device, resolve
from relact.recipe import Recipe, build_model, override, read, to_dict
from relact.run import banks
from relact.run.loading import loader, view_loaders
from relact.run.maps import maps_of
from relact.run.models import PRODUCER, load_model
from relact.train.checkpoint import (
    STATE,
    load_backbone,
    load_state,
    load_weights,
    save_model,
    save_state,
    seed_everything,
)
from relact.train.evaluate import METRICS, judge
from relact.train.loop import fit, train_step
from relact.train.memory import OfflineMemory, OnlineMemory
from relact.train.optim import for_batch, optimiser
from relact.types import Batch
from relact.weights import fetch

Say = Callable[[str], None]


def train(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    device: str | None = None,
    say: Say = print,
    quiet: bool = False,
) -> AvaReport:
    """Train, save after every epoch, and judge on the validation split. Returns the result on it; `quiet`: no bar."""
    where = _device(device)
    dtype = resolve(recipe.train.precision, where)
    labels = recipe.data.label_map()
    rates = for_batch(recipe.optim, recipe.train.batch_size)
    if recipe.memory.mode == "offline":
        _first_stage(recipe, out, resume=resume, device=device, say=say, quiet=quiet)
        resume = resume and (out / STATE).is_file()
    samples = recipe.data.samples("train")
    if not samples:
        raise InputError(f"{recipe.name}: no keyframes to train on in {recipe.data.root}")
    (out / METRICS).unlink(missing_ok=True)
    seed_everything(recipe.train.seed)
    model = build_model(recipe, labels).to(where)
    if recipe.train.init is not None:
        say(_initialise(model, recipe.train.init))
    if recipe.train.freeze_backbone:
        model.backbone.requires_grad_(False)
    elif dtype == torch.bfloat16:  # on a CPU three to four times faster; in fp32 it gains nothing
        model.backbone.to(memory_format=torch.channels_last_3d)
    maps = maps_of(recipe, model, samples, run=out, dtype=dtype)
    recall = banks.recall(recipe, model, samples, out, "train", dtype) if recipe.memory.mode == "offline" else None
    memory = banks.online(recipe, model, samples)
    batches = loader(recipe, samples, training=True, recall=recall, maps=maps)
    steps = optimiser(model, rates)
    first = _resume(out, model, steps, memory) if resume else 0
    say(f"{recipe.name}: {len(samples)} keyframes, {len(labels)} actions, {where}, {str(dtype).removeprefix('torch.')}")
    if first == 0:
        _rehearse(recipe, model, batches, samples, labels=labels, dtype=dtype, folder=out, recall=recall)

    def save(epochs: int) -> None:
        save_model(out, model, to_dict(recipe), labels)
        save_state(out, epoch=epochs, optimiser=steps, memory=memory)

    fit(
        model, batches, steps, config=recipe.train, optim=rates, loss=recipe.loss, dtype=dtype, folder=out,
        memory=memory, save=save, first_epoch=first, quiet=quiet,
    )  # fmt: skip
    report = _judge(recipe, model, "val", labels=labels, dtype=dtype, folder=out)
    if recipe.data.judges_training:
        say(
            "judged on the very clips that it was trained on: this shows that the chain learns, not that it generalises"
        )
    return report


def _first_stage(recipe: Recipe, out: Path, *, resume: bool, device: str | None, say: Say, quiet: bool) -> None:
    """The frozen network whose rows the bank holds, in `out/producer`: trained here, or a run that is there already."""
    folder = out / PRODUCER
    if recipe.memory.producer_run is not None:
        banks.take_producer(Path(recipe.memory.producer_run), folder)
        return
    first = banks.first_stage(recipe)
    if resume and banks.is_finished(folder, first):
        say(f"{folder}: is trained already")
        return
    say(f"stage 1 of 2: {first.name}, whose rows fill the bank")
    train(first, folder, resume=resume and (folder / STATE).is_file(), device=device, say=say, quiet=quiet)
    say("stage 2 of 2: with the bank")


def _initialise(model: ActionDetector, source: str) -> str:
    """The backbone's weights: from a run folder, a file or the catalogue. Returns what matched."""
    if Path(source).is_dir():
        load_backbone(Path(source), model.backbone)
        return f"backbone from {source}"
    file = Path(source)
    return str(load_published(model.backbone, file if file.is_file() else fetch(source)))


def _device(name: str | None) -> torch.device:
    where = torch.device(name) if name else default_device()
    if where.type == "cpu":
        keep_freed_memory()
    return where


def _resume(out: Path, model: ActionDetector, steps: torch.optim.Optimizer, memory: OnlineMemory | None) -> int:
    if not (out / "state.pt").is_file():
        raise InputError(f"{out}: nothing to resume; there is no state.pt of an earlier run (leave out --resume)")
    load_weights(out, model)
    return load_state(out, steps, memory)


def _rehearse(
    recipe: Recipe,
    model: ActionDetector,
    batches: "DataLoader[Batch]",
    samples: Sequence[Sample],
    *,
    labels: LabelMap,
    dtype: torch.dtype,
    folder: Path,
    recall: OfflineMemory | None,
) -> None:
    """One batch end to end, evaluation and saving included, so that a mistake shows in a minute and not in a day."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert batches.batch_sampler is not None
    first = list(next(iter(batches.batch_sampler)))
    batch = collate([cast(ClipDataset, batches.dataset)[index] for index in first], recall)
    few = [samples[index] for index in first]
    model.train()
    throwaway = optimiser(model, recipe.optim)
    train_step(
        model,
        batch,
        throwaway,
        optim=recipe.optim,
        loss=recipe.loss,
        dtype=dtype,
        memory=banks.online(recipe, model, few),
    )
    save_model(folder / "rehearsal", model, to_dict(recipe), labels)
    recall = recall or banks.recall(recipe, model, few, folder / "rehearsal", "train", dtype)
    maps = cast(ClipDataset, batches.dataset).maps
    _judge_samples(recipe, model, few, recall, labels=labels, dtype=dtype, folder=folder / "rehearsal", maps=maps)
    shutil.rmtree(folder / "rehearsal")
    model.load_state_dict(before)
    seed_everything(recipe.train.seed)


def test(
    run: Path,
    *,
    settings: Mapping[str, str] | None = None,
    split: str = "val",
    device: str | None = None,
) -> AvaReport:
    """A trained model over a split of its data: writes `groundtruth.csv` and `predictions.csv`, and judges them."""
    if split not in ("train", "val"):
        raise InputError(f"split {split!r}: expected train or val")
    where = _device(device)
    recipe = override(read(Path(run) / "recipe.json"), settings or {})
    model = load_model(run, device=where)
    labels = recipe.data.label_map()
    if labels != model.labels:
        raise InputError(f"{run}: was trained on {len(model.labels)} actions, the data has {len(labels)} or other ones")
    chosen: Literal["train", "val"] = "train" if split == "train" else "val"
    dtype = resolve(recipe.train.precision, where)
    return _judge(recipe, model, chosen, labels=model.labels, dtype=dtype, folder=Path(run))


def _judge(
    recipe: Recipe,
    model: ActionDetector,
    split: Literal["train", "val"],
    *,
    labels: LabelMap,
    dtype: torch.dtype,
    folder: Path,
) -> AvaReport:
    """With memory in two passes, the first of which fills a bank."""
    samples = recipe.data.samples(split)
    recall = banks.recall(recipe, model, samples, folder, split, dtype)
    maps = maps_of(recipe, model, samples, run=folder, dtype=dtype)
    return _judge_samples(recipe, model, samples, recall, labels=labels, dtype=dtype, folder=folder, maps=maps)


def _judge_samples(
    recipe: Recipe,
    model: ActionDetector,
    samples: Sequence[Sample],
    recall: OfflineMemory | None,
    *,
    labels: LabelMap,
    dtype: torch.dtype,
    folder: Path,
    maps: MapStore | None = None,
) -> AvaReport:
    views = view_loaders(recipe, samples, recall=recall, maps=maps)
    report = judge(model, views, samples, labels=labels, protocol=recipe.data.protocol, dtype=dtype, folder=folder)
    with atomic_path(folder / METRICS) as temporary:
        temporary.write_text(report.to_json(), encoding="utf-8")
    return report
