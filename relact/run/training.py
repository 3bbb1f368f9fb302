"""Train a recipe, test a run."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

import torch
from torch.utils.data import DataLoader

from relact.backbones.pretrained import load_published
from relact.data.collate import ShapeBatches, collate
from relact.data.dataset import ClipDataset
from relact.data.samples import Sample
from relact.errors import InputError
from relact.interop.files import atomic_path
from relact.labels import LabelMap
from relact.metrics.ava_report import AvaReport
from relact.model import ActionDetector
from relact.nn.memory import keep_freed_memory
from relact.nn.precision import default_device, resolve
from relact.recipe import Recipe, build_model, override, read, to_dict
from relact.run.models import load_model
from relact.train.checkpoint import load_state, load_weights, save_model, save_state, seed_everything
from relact.train.evaluate import judge
from relact.train.loop import fit, train_step
from relact.train.optim import optimiser
from relact.types import Batch, Clip
from relact.weights import fetch

Say = Callable[[str], None]


def train(recipe: Recipe, out: Path, *, resume: bool = False, device: str | None = None, say: Say = print) -> AvaReport:
    """Train, save after every epoch, and judge on the validation split. Returns the result on it."""
    where = _device(device)
    dtype = resolve(recipe.train.precision, where)
    labels = recipe.data.label_map()
    samples = recipe.data.samples("train")
    if not samples:
        raise InputError(f"{recipe.name}: no keyframes to train on in {recipe.data.root}")
    seed_everything(recipe.train.seed)
    model = build_model(recipe, labels).to(where)
    if recipe.train.init is not None:
        file = Path(recipe.train.init)
        say(str(load_published(model.backbone, file if file.is_file() else fetch(recipe.train.init))))
    batches = loader(recipe, samples, training=True)
    steps = optimiser(model, recipe.optim)
    first = _resume(out, model, steps) if resume else 0
    say(f"{recipe.name}: {len(samples)} keyframes, {len(labels)} actions, {where}, {str(dtype).removeprefix('torch.')}")
    if first == 0:
        _rehearse(recipe, model, batches, samples, labels=labels, dtype=dtype, folder=out)

    def save(epochs: int) -> None:
        save_model(out, model, to_dict(recipe), labels)
        save_state(out, epoch=epochs, optimiser=steps)

    fit(
        model, batches, steps, config=recipe.train, optim=recipe.optim, loss=recipe.loss, dtype=dtype, folder=out,
        save=save, first_epoch=first,
    )  # fmt: skip
    report = _judge(recipe, model, recipe.data.samples("val"), labels=labels, dtype=dtype, folder=out)
    if recipe.data.judges_training:
        say(
            "judged on the very clips that it was trained on: this shows that the chain learns, not that it generalises"
        )
    return report


def _device(name: str | None) -> torch.device:
    where = torch.device(name) if name else default_device()
    if where.type == "cpu":
        keep_freed_memory()
    return where


def _resume(out: Path, model: ActionDetector, steps: torch.optim.Optimizer) -> int:
    if not (out / "state.pt").is_file():
        raise InputError(f"{out}: nothing to resume; there is no state.pt of an earlier run (leave out --resume)")
    load_weights(out, model)
    return load_state(out, steps)


def _rehearse(
    recipe: Recipe,
    model: ActionDetector,
    batches: "DataLoader[Batch]",
    samples: Sequence[Sample],
    *,
    labels: LabelMap,
    dtype: torch.dtype,
    folder: Path,
) -> None:
    """One batch end to end, evaluation and saving included, so that a mistake shows in a minute and not in a day."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert batches.batch_sampler is not None
    first = list(next(iter(batches.batch_sampler)))
    batch = collate([cast(ClipDataset, batches.dataset)[index] for index in first])
    model.train()
    throwaway = optimiser(model, recipe.optim)
    train_step(
        model,
        batch.to(next(model.parameters()).device),
        throwaway,
        optim=recipe.optim,
        loss=recipe.loss,
        dtype=dtype,
    )
    _judge(
        recipe,
        model,
        [samples[index] for index in first],
        labels=labels,
        dtype=dtype,
        folder=folder / "rehearsal",
    )
    save_model(folder / "rehearsal", model, to_dict(recipe), labels)
    for file in sorted((folder / "rehearsal").iterdir()):
        file.unlink()
    (folder / "rehearsal").rmdir()
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
    return _judge(recipe, model, recipe.data.samples(chosen), labels=model.labels, dtype=dtype, folder=Path(run))


def _judge(
    recipe: Recipe,
    model: ActionDetector,
    samples: Sequence[Sample],
    *,
    labels: LabelMap,
    dtype: torch.dtype,
    folder: Path,
) -> AvaReport:
    batches = loader(recipe, samples, training=False)
    report = judge(model, batches, samples, labels=labels, cap=recipe.data.cap, dtype=dtype, folder=folder)
    with atomic_path(folder / "metrics.json") as temporary:
        temporary.write_text(report.to_json(), encoding="utf-8")
    return report


def loader(recipe: Recipe, samples: Sequence[Sample], *, training: bool) -> "DataLoader[Batch]":
    """Batches of clips of like shape; order and augmentation depend on the seed and the epoch alone."""
    dataset = ClipDataset(
        samples,
        num_frames=recipe.backbone.num_frames,
        frame_stride=recipe.backbone.frame_stride,
        rate=recipe.data.rate,
        transform=recipe.transform,
        train=training,
        seed=recipe.train.seed,
    )
    batches = ShapeBatches(dataset.aspects(), recipe.train.batch_size, shuffle=training, seed=recipe.train.seed)
    loader: DataLoader[Clip] = DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=recipe.train.workers,
        pin_memory=torch.cuda.is_available(),
    )
    return cast("DataLoader[Batch]", loader)  # what comes out is what collate makes of clips
