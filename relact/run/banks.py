"""Feature banks of data sets: made by a trained network, read by heads with memory."""

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from relact import heads
from relact.bank import BankWriter, FeatureBank, Producer
from relact.bank.feature_bank import MANIFEST, Manifest
from relact.bank.video_file import VideoWriter
from relact.data.maps import MapStore
from relact.data.samples import Sample
from relact.errors import InputError
from relact.head import MemorySpec
from relact.heads import linear
from relact.interop.files import atomic_path, sha256_of
from relact.model import ActionDetector
from relact.nn.precision import autocast, default_device, resolve
from relact.recipe import Recipe, key_of, override, read, to_dict
from relact.run.loading import in_order
from relact.run.maps import maps_of
from relact.run.models import PRODUCER, load_model
from relact.run.skipped import samples_of
from relact.train.checkpoint import LABELS, RECIPE, WEIGHTS
from relact.train.distributed import is_first, mine, told, wait
from relact.train.evaluate import METRICS
from relact.train.memory import MemoryConfig, OfflineMemory, OnlineMemory, moment, rows_of
from relact.types import Batch


def build(
    run: str | Path,
    out: str | Path,
    *,
    split: str = "train",
    settings: Mapping[str, str] | None = None,
    device: str | None = None,
    say: Callable[[str], None] = print,
) -> FeatureBank:
    """`relact bank build`: what the network of a run folder stores of every person of a split.

    `say` is told what `data.skip_bad` leaves out. Raises InputError for another split than train and val, and where
    `out` holds a bank of another network.
    """
    if split not in ("train", "val"):
        raise InputError(f"split {split!r}: expected train or val")
    run = Path(run)
    recipe = override(read(run / RECIPE), settings or {})
    model = load_model(run, device=device or default_device())
    samples, _ = samples_of(recipe, "train" if split == "train" else "val", Path(out), say=say)
    return build_bank(
        model, samples, Path(out), recipe=recipe, producer=producer_of(run, samples),
        dtype=resolve(recipe.train.precision, model.mean.device), run=run,
    )  # fmt: skip


def recall(
    recipe: Recipe,
    model: ActionDetector,
    samples: Sequence[Sample],
    run: Path,
    split: str,
    dtype: torch.dtype,
) -> OfflineMemory | None:
    """What these samples read in a test, or in training with a frozen network: the bank `run/bank/split`.

    It is built where it is not there, or was made by other weights than those of the run. None for a recipe without
    memory. The rows are those of `run/producer`, or, for banks that were filled while training, of `run` itself.
    """
    if recipe.memory.mode == "none":
        return None
    spec = _spec(recipe, model)
    folder, source = run / "bank" / split, run / PRODUCER if recipe.memory.mode == "offline" else run
    wait()  # for the first to have written the source
    producer = producer_of(source, samples)
    if is_first() and _is_stale(folder, producer):
        shutil.rmtree(folder)
    if not told(lambda: _is_finished(folder)):
        writer = model if source == run else load_model(source, device=model.mean.device)
        build_bank(writer, samples, folder, recipe=recipe, producer=producer, dtype=dtype, run=run)
    return OfflineMemory(open_bank(folder, spec, producer, samples, recipe.name), spec, recipe.memory.every)


def online(recipe: Recipe, model: ActionDetector, samples: Sequence[Sample]) -> OnlineMemory | None:
    """The bank that training fills, None for recipes without one."""
    if recipe.memory.mode != "online":
        return None
    _spec(recipe, model)
    model.head.archive = True
    return OnlineMemory(samples, model.head, recipe.memory)


def first_stage(recipe: Recipe) -> Recipe:
    """The recipe of the frozen network: the same, but for its head, which has no memory."""
    head = recipe.head.without_memory() or linear.Config(dropout=recipe.head.dropout)
    if recipe.memory.producer != "auto":
        head = heads.preset(recipe.memory.producer)
    return replace(
        recipe, name=f"{recipe.name}_producer", head=head, roi=recipe.roi or recipe.head.roi,
        memory=MemoryConfig(every=recipe.memory.every),
    )  # fmt: skip


def is_finished(run: Path, recipe: Recipe) -> bool:
    """Whether a run folder holds this recipe, trained and judged."""
    if not (run / METRICS).is_file():
        return False
    return to_dict(read(run / RECIPE)) == to_dict(recipe)


def take_producer(run: Path, folder: Path) -> None:
    """Copies what makes a model, so that the run that reads its rows can be carried elsewhere whole."""
    for name in (WEIGHTS, LABELS, RECIPE):
        if not (run / name).is_file():
            raise InputError(f"memory.producer_run={run}: no {name} there; expected a run folder of `relact train`")
        with atomic_path(folder / name) as temporary:
            shutil.copyfile(run / name, temporary)


def _spec(recipe: Recipe, model: ActionDetector) -> MemorySpec:
    if model.head.memory is None:
        raise InputError(
            f"memory.mode={recipe.memory.mode}: the head {heads.name_of(recipe.head)} with these settings has no "
            "memory; choose a variant that has (relact heads), or memory.mode=none"
        )
    return model.head.memory


def _is_finished(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() and Manifest.read(folder).sealed


def _is_stale(folder: Path, producer: Producer) -> bool:
    """Whether the run's own bank was made by earlier weights, or of other boxes."""
    if not (folder / MANIFEST).is_file():
        return folder.is_dir()
    return Manifest.read(folder).producer != producer


def producer_of(run: Path, samples: Sequence[Sample]) -> Producer:
    """Who the network of a run folder is and what it looks at, for the bank that it fills."""
    recipe = read(run / RECIPE)
    text = json.dumps(key_of(recipe), sort_keys=True)
    data = hashlib.sha256()
    for sample in sorted(samples, key=lambda sample: sample.key):
        data.update(repr(tuple(sample.key)).encode())
        data.update(sample.boxes.tobytes() + sample.person.tobytes())
    return Producer(
        head=heads.name_of(recipe.head),
        recipe=hashlib.sha256(text.encode()).hexdigest(),
        weights=sha256_of(run / WEIGHTS),
        data=data.hexdigest(),
    )


def build_bank(
    model: ActionDetector,
    samples: Sequence[Sample],
    folder: Path,
    *,
    recipe: Recipe,
    producer: Producer,
    dtype: torch.dtype,
    run: Path,
) -> FeatureBank:
    """One row for every person of every keyframe, video by video; goes on where an earlier run has stopped.

    The model sees its clips alone: what it stores never depends on a memory. Of several processes each takes whole
    videos. Raises InputError where the folder holds a bank of another producer.
    """
    model.eval()
    maps = maps_of(recipe, model, samples, run=run, dtype=dtype)
    by_video = _by_video(samples, recipe.memory.every)
    some = next(iter(by_video.values()), None)
    dim = model.head.out_dim if some is None else _dim(model, recipe, some, dtype, maps)
    opened = partial(BankWriter, folder, producer=producer, dim=dim, grid=model.head.store_grid)
    writer = opened() if is_first() else None
    wait()  # the first has made the folder, which the others find
    writer = writer or opened()
    for video in mine(list(by_video)):
        if not writer.done(video):
            rows = writer.video(video)
            try:
                _fill(rows, model, by_video[video], recipe, dtype, maps)
                writer.seal(rows)
            finally:
                rows.close()
    wait()
    if is_first():
        writer.finish(list(by_video))
    wait()
    return FeatureBank.open(folder, producer=producer, verify=False)


def open_bank(folder: Path, spec: MemorySpec, producer: Producer, samples: Sequence[Sample], what: str) -> FeatureBank:
    """A bank that these samples can be read with. Raises InputError for any other, and says why."""
    bank = FeatureBank.open(folder, producer=producer, spec=spec)
    bank.require([sample.key.video for sample in samples], what)
    return bank


def _by_video(samples: Sequence[Sample], every: int) -> dict[str, list[Sample]]:
    """The samples of each video in order of time, one for each tick of the bank."""
    found: dict[str, dict[int, Sample]] = defaultdict(dict)
    for sample in sorted(samples, key=lambda sample: sample.key):
        found[sample.key.video].setdefault(moment(sample.key, every).tick, sample)
    return {video: list(ticks.values()) for video, ticks in found.items()}


def _fill(
    rows: VideoWriter,
    model: ActionDetector,
    samples: list[Sample],
    recipe: Recipe,
    dtype: torch.dtype,
    maps: MapStore | None,
) -> None:
    """What is missing of one video. Batches are counted from its start, so a resumed run makes the same ones."""
    for batch, store in _stores(model, samples, recipe, dtype, behind=rows.last, maps=maps):
        for key, part in rows_of(batch.keys, batch.actors, store, every=recipe.memory.every):
            if rows.last is None or key.tick > rows.last:
                rows.write(key.tick, part)


@torch.inference_mode()
def _stores(
    model: ActionDetector,
    samples: list[Sample],
    recipe: Recipe,
    dtype: torch.dtype,
    *,
    behind: int | None,
    maps: MapStore | None,
) -> Iterator[tuple[Batch, torch.Tensor]]:
    """What the head stores of each batch, from the one on that holds the first keyframe behind a tick."""
    device = next(model.parameters()).device
    before, model.head.archive = model.head.archive, True
    try:
        for batch in _loader(samples, recipe, behind, maps):
            moved = batch.to(device)
            with autocast(device, dtype):
                relations = model(moved.frames, moved.actors, valid=moved.valid, maps=moved.maps).relations
            yield batch, relations.features if relations.store is None else relations.store
    finally:
        model.head.archive = before  # a bank that is filled in training goes on after a test


def _dim(
    model: ActionDetector, recipe: Recipe, samples: list[Sample], dtype: torch.dtype, maps: MapStore | None
) -> int:
    """Channels of a row: seen on the first clip."""
    _, store = next(_stores(model, samples[:1], recipe, dtype, behind=None, maps=maps))
    return int(store.shape[1])


def _loader(samples: list[Sample], recipe: Recipe, behind: int | None, maps: MapStore | None) -> "DataLoader[Batch]":
    """Clips of one video as they are in tests, in order."""
    size, every = recipe.train.batch_size, recipe.memory.every
    batches = [list(range(i, min(i + size, len(samples)))) for i in range(0, len(samples), size)]
    if behind is not None:
        batches = [batch for batch in batches if moment(samples[batch[-1]].key, every).tick > behind]
    return in_order(recipe, samples, batches, maps=maps)
