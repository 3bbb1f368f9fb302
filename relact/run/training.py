"""Train a recipe, test a run."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal, cast

import torch

from relact.backbones.pretrained import load_published
from relact.data.collate import ShapeBatches, Share
from relact.errors import InputError
from relact.labels import LabelMap
from relact.metrics.ava_report import AvaReport
from relact.model import ActionDetector
from relact.nn.memory import keep_freed_memory
from relact.nn.precision import resolve
from relact.recipe import Recipe, build_model, override, read, to_dict
from relact.run import banks
from relact.run.judging import judge_split
from relact.run.loading import loader
from relact.run.maps import maps_of
from relact.run.models import PRODUCER, load_model
from relact.run.rehearsal import rehearse
from relact.run.resuming import begin, digest
from relact.run.skipped import samples_of
from relact.train.checkpoint import (
    Progress,
    Running,
    load_backbone,
    load_weights,
    save_model,
    seed_everything,
)
from relact.train.distributed import is_first, meet, normalise_together, rank, size, told, wait
from relact.train.ema import WeightAverage
from relact.train.log import TrainLog
from relact.train.log import check as check_logs
from relact.train.loop import TrainConfig, fit
from relact.train.optim import for_batch, optimiser
from relact.train.recompute import recomputed
from relact.train.step import Objective, compiled, shared
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
    """Train, save after every epoch, and judge on the validation split. Returns the result on it; `quiet`: no bar.

    Under torchrun the processes divide each batch, and all return the result. With `resume` a run that was stopped at
    any moment goes on, and ends as if it had not been. Raises InputError for a recipe that cannot be trained here, and
    for a run of another recipe.
    """
    where = _device(device)
    if not is_first():
        say, quiet = _silent, True
    return _train(recipe, out, where, resume=resume, say=say, quiet=quiet)


def _train(recipe: Recipe, out: Path, where: torch.device, *, resume: bool, say: Say, quiet: bool) -> AvaReport:
    _check(recipe)
    dtype = resolve(recipe.train.precision, where)
    labels = recipe.data.label_map()
    if recipe.memory.mode == "offline":
        _first_stage(recipe, out, where, resume=resume, say=say, quiet=quiet)
    samples, _ = samples_of(recipe, "train", out, say=say)
    if not samples:
        raise InputError(f"{recipe.name}: no keyframes to train on in {recipe.data.root}")
    state = begin(recipe, samples, out, resume=resume, say=say)
    model = _model(recipe, labels, where, dtype, begun=state is not None, say=say)
    together = normalise_together(model, _normalised(recipe.train), where)
    rates = for_batch(recipe.optim, recipe.train.batch_size)
    running = Running(
        model=model, optimiser=optimiser(model, rates), progress=Progress(),
        memory=banks.online(recipe, model, samples),
        average=None if recipe.train.ema is None else WeightAverage(model, recipe.train.ema),
    )  # fmt: skip
    if state is not None:
        running.restore(out, state)
    maps = maps_of(recipe, model, samples, run=out, dtype=dtype)
    recall = banks.recall(recipe, model, samples, out, "train", dtype) if recipe.memory.mode == "offline" else None
    share = Share(rank=rank(), ranks=size(), accumulate=recipe.train.accumulate, fill=together)
    batches = loader(recipe, samples, training=True, recall=recall, maps=maps, share=share)
    trained = shared(Objective(compiled(model) if recipe.train.compile else model, loss=recipe.loss, dtype=dtype))
    say(_headline(recipe, len(samples), len(labels), where, dtype))
    plain, data = to_dict(recipe), digest(samples)

    def save() -> None:
        if is_first():
            running.save(out, recipe=plain, data=data)

    def end_epoch() -> None:
        save()
        if is_first():
            save_model(out, model, plain, labels, running.weights())

    with recomputed(model.backbone) if recipe.train.checkpoint_backbone else nullcontext():
        if state is None:
            rehearse(recipe, model, trained, batches, samples, dtype=dtype, run=out, recall=recall)
        elif is_first():  # a kill may have come between the state and the model
            save_model(out, model, plain, labels, running.weights())
        steps = cast(ShapeBatches, batches.batch_sampler).steps
        with _log(recipe.train, out, steps, running.progress.step, quiet=quiet) as lines:
            fit(trained, batches, running, config=recipe.train, optim=rates, log=lines, save=save, end_epoch=end_epoch)
    wait()
    load_weights(out, model)  # the average, or the first process' statistics of batch norms
    report = judge_split(recipe, model, "val", labels=labels, dtype=dtype, folder=out, say=say)
    if recipe.data.judges_training:
        say(
            "judged on the very clips that it was trained on: this shows that the chain learns, not that it generalises"
        )
    return report


def _device(name: str | None) -> torch.device:
    where = meet(name)
    if where.type == "cpu":
        keep_freed_memory()
    return where


def _silent(_: str) -> None:
    """What all but the first of several processes say."""


def _check(recipe: Recipe) -> None:
    check_logs(recipe.train.logs)
    parts = size() * recipe.train.accumulate
    if recipe.train.batch_size < parts:
        raise InputError(
            f"train.batch_size={recipe.train.batch_size}: expected a clip for each of {size()} process(es) x "
            f"train.accumulate={recipe.train.accumulate} parts, at least {parts}"
        )


def _first_stage(recipe: Recipe, out: Path, where: torch.device, *, resume: bool, say: Say, quiet: bool) -> None:
    """The frozen network whose rows the bank holds, in `out/producer`: trained here, or a run that is there already."""
    folder = out / PRODUCER
    if recipe.memory.producer_run is not None:
        if is_first():
            banks.take_producer(Path(recipe.memory.producer_run), folder)
        return wait()
    first = banks.first_stage(recipe)
    if told(lambda: resume and banks.is_finished(folder, first)):
        return say(f"{folder}: is trained already")
    say(f"stage 1 of 2: {first.name}, whose rows fill the bank")
    _train(first, folder, where, resume=resume, say=say, quiet=quiet)
    return say("stage 2 of 2: with the bank")


def _model(
    recipe: Recipe, labels: LabelMap, where: torch.device, dtype: torch.dtype, *, begun: bool, say: Say
) -> ActionDetector:
    """With random weights but for those that it starts from; one that has begun gets its own later."""
    seed_everything(recipe.train.seed)
    model = build_model(recipe, labels).to(where)
    if recipe.train.init is not None and not begun:
        say(_initialise(model, recipe.train.init))
    if recipe.train.freeze_backbone:
        model.backbone.requires_grad_(False)
    elif dtype == torch.bfloat16:  # on a CPU three to four times faster; in fp32 it gains nothing
        model.backbone.to(memory_format=torch.channels_last_3d)
    return model


def _initialise(model: ActionDetector, source: str) -> str:
    """The backbone's weights: from a run folder, a file or the catalogue. Returns what matched."""
    if Path(source).is_dir():
        load_backbone(Path(source), model.backbone)
        return f"backbone from {source}"
    file = Path(source)
    return str(load_published(model.backbone, file if file.is_file() else fetch(source)))


def _normalised(config: TrainConfig) -> list[str]:
    """The parts of a model whose batch norms use the statistics of the batch."""
    return ["head"] if config.freeze_bn or config.freeze_backbone else ["backbone", "head"]


def _headline(recipe: Recipe, keyframes: int, actions: int, where: torch.device, dtype: torch.dtype) -> str:
    line = f"{recipe.name}: {keyframes} keyframes, {actions} actions, {where}, {str(dtype).removeprefix('torch.')}"
    if size() == 1:
        return line
    line += f", {size()} processes"
    if where.type == "cpu" and not (recipe.train.freeze_bn or recipe.train.freeze_backbone):
        line += "; on a CPU the batch norms of each see its own clips only (train.freeze_bn=true: as one process)"
    return line


def _log(
    config: TrainConfig, out: Path, steps: int, done: int, *, quiet: bool
) -> AbstractContextManager[TrainLog | None]:
    """Of the first process."""
    if not is_first():
        return nullcontext()
    return TrainLog(out, epochs=config.epochs, steps=steps, done=done, kinds=config.logs, quiet=quiet)


def test(
    run: Path,
    *,
    settings: Mapping[str, str] | None = None,
    split: str = "val",
    device: str | None = None,
    say: Say = print,
) -> AvaReport:
    """A trained model over a split of its data: writes `groundtruth.csv` and `predictions.csv`, and judges them.

    `say` is told what `data.skip_bad` leaves out. Under torchrun the processes divide the split, and all return the
    result.
    """
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
    return judge_split(recipe, model, chosen, labels=model.labels, dtype=dtype, folder=Path(run), say=say)
