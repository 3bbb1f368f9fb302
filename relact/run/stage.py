"""`relact bench stage`: every head on Stage, several seeds, one table (docs/stage.md)."""

import dataclasses
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from safetensors.torch import load_file

from relact.data.folder import MANIFEST
from relact.data.stage.families import ACTIONS, FAMILIES
from relact.errors import InputError
from relact.interop.files import atomic_path, sha256_of
from relact.labels import LabelMap
from relact.metrics.pairs import pair_accuracy
from relact.nn.precision import resolve
from relact.recipe import Recipe, build_model, read, to_dict
from relact.run.banks import first_stage, is_finished
from relact.run.maps import maps_of
from relact.run.models import load_model
from relact.run.training import train
from relact.train.checkpoint import RECIPE, STATE, WEIGHTS
from relact.train.evaluate import METRICS

RESULT = "stage.json"
"""in the folder of a run: what this page's table is made of"""
PREFIX = "stage_"
Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What to compare, on what, and where the runs go."""

    data: Path
    out: Path
    heads: Sequence[str]
    load: Callable[[str], Recipe]
    """recipes by name (`relact.recipes.load`)"""
    seeds: int = 3
    jobs: int = 1
    """runs at the same time, each on its share of the processors"""
    epochs: int | None = None

    @property
    def warmup(self) -> Path:
        """The run folder of the backbone that all share."""
        return self.out / "warmup"

    def recipe(self, head: str, seed: int) -> Recipe:
        """A head's recipe on this data, with this bench's backbone and maps.

        What would fill its bank is not trained twice where it is one of this bench's heads.
        """
        recipe = self._own(head, seed)
        if recipe.memory.mode == "offline" and (writer := self._writer(recipe, seed)) is not None:
            return replace(recipe, memory=replace(recipe.memory, producer_run=str(self.folder(writer, seed))))
        return recipe

    def folder(self, head: str, seed: int) -> Path:
        """Where a run lies."""
        return self.out / head / f"seed{seed}"

    def _own(self, head: str, seed: int) -> Recipe:
        recipe = self._here(self.load(PREFIX + head))
        settings = replace(
            recipe.train, seed=seed, init=str(self.warmup), maps=str(self.out / "maps"),
            epochs=self.epochs or recipe.train.epochs,
        )  # fmt: skip
        return replace(recipe, train=settings)

    def _writer(self, recipe: Recipe, seed: int) -> str | None:
        """The head among this bench's that is the very network that would fill the bank."""
        wanted = _network(first_stage(recipe))
        return next((head for head in self.heads if _network(self._own(head, seed)) == wanted), None)

    def first(self) -> Recipe:
        """The warm-up on this data."""
        return self._here(self.load(PREFIX + "warmup"))

    def _here(self, recipe: Recipe) -> Recipe:
        return replace(recipe, data=replace(recipe.data, root=str(self.data)))


def run_bench(bench: Bench, say: Say = print) -> list[dict[str, Any]]:
    """Trains what is not trained yet, judges it by family, and returns one result a run.

    Raises InputError for data that is not a whole Stage set, and for heads without a recipe.
    """
    _check(bench)
    if not is_finished(bench.warmup, bench.first()):
        say("the backbone that all share")
        train(bench.first(), bench.warmup, resume=_has_begun(bench.warmup, bench.first()), say=say)
    todo = [(head, seed) for seed in range(bench.seeds) for head in bench.heads if not _is_done(bench, head, seed)]
    say(f"{bench.seeds * len(bench.heads) - len(todo)} runs are there, {len(todo)} to go")
    if todo:
        say("maps of the frozen backbone")
        _fill_maps(bench)
    # who reads another run's rows comes after it
    reads = {run: bench.recipe(*run).memory.producer_run is not None for run in todo}
    failed = [error for late in (False, True) for error in _train(bench, [r for r in todo if reads[r] == late], say)]
    if failed:
        raise InputError(f"{len(failed)} of {len(todo)} runs failed:\n  " + "\n  ".join(failed))
    return [
        json.loads((bench.folder(head, seed) / RESULT).read_text())
        for head in bench.heads
        for seed in range(bench.seeds)
    ]


def _network(recipe: Recipe) -> dict[str, Any]:
    """What a recipe trains, whatever it is called, with what its head takes by itself written out."""
    return to_dict(replace(recipe, name="", roi=recipe.roi or recipe.head.roi))


def _check(bench: Bench) -> None:
    if not (bench.data / MANIFEST).is_file():
        raise InputError(f"{bench.data}: not a whole Stage set (no {MANIFEST}); make one: relact data stage --out DIR")
    for head in bench.heads:
        bench.recipe(head, 0)  # an unknown one is named, with the nearest


def _is_done(bench: Bench, head: str, seed: int) -> bool:
    """A result of this very recipe, data and backbone."""
    folder = bench.folder(head, seed)
    if not (folder / RESULT).is_file() or not is_finished(folder, bench.recipe(head, seed)):
        return False
    return bool(json.loads((folder / RESULT).read_text())["backbone"] == sha256_of(bench.warmup / WEIGHTS))


def _fill_maps(bench: Bench) -> None:
    """Before the runs begin, so that no two compute the same."""
    recipe = bench.recipe(bench.heads[0], 0)
    model = load_model(bench.warmup)
    samples = [*recipe.data.samples("train"), *recipe.data.samples("val")]
    workers = replace(recipe, train=replace(recipe.train, workers=1))
    maps_of(workers, model, samples, run=bench.out, dtype=resolve(recipe.train.precision, torch.device("cpu")))


def _train(bench: Bench, todo: Sequence[tuple[str, int]], say: Say) -> list[str]:
    """One run after another, or each in a process of its own; those that failed, with the reason."""
    if bench.jobs == 1:
        for head, seed in todo:
            say(f"{head}, seed {seed}: {_one(bench, head, seed):.0f} s")
        return []
    context = multiprocessing.get_context("spawn")
    failed: list[str] = []
    with ProcessPoolExecutor(bench.jobs, mp_context=context, initializer=_share, initargs=(bench.jobs,)) as pool:
        runs = {pool.submit(_one, bench, head, seed): f"{head}, seed {seed}" for head, seed in todo}
        for run in as_completed(runs):
            error = run.exception()
            say(f"{runs[run]}: " + (f"{run.result():.0f} s" if error is None else f"failed: {error}"))
            failed += [] if error is None else [f"{runs[run]}: {error}"]
    return failed


def _share(jobs: int) -> None:
    """What a process begins with: its part of the processors, and an end with the bench, also where that is killed."""
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // jobs))
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _one(bench: Bench, head: str, seed: int) -> float:
    """Trains and judges one run; returns its seconds, which the result has only of a run in one piece."""
    recipe, folder, start = bench.recipe(head, seed), bench.folder(head, seed), time.monotonic()
    begun = _has_begun(folder, recipe) and _has_this_backbone(bench, folder)
    if not (begun and is_finished(folder, recipe)):
        train(recipe, folder, resume=begun, quiet=True, say=lambda text: None)
    seconds = time.monotonic() - start
    result = {
        "head": head, "seed": seed, "seconds": None if begun else round(seconds, 1), "parameters": _parameters(recipe),
        "backbone": sha256_of(bench.warmup / WEIGHTS), "torch": torch.__version__, **judge_families(folder),
    }  # fmt: skip
    with atomic_path(folder / RESULT) as temporary:
        temporary.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return seconds


def _has_begun(folder: Path, recipe: Recipe) -> bool:
    """Whether what lies here is of this very recipe: anything else begins anew."""
    begun = all((folder / name).is_file() for name in (STATE, RECIPE, WEIGHTS))
    return begun and to_dict(read(folder / RECIPE)) == to_dict(recipe)


def _has_this_backbone(bench: Bench, folder: Path) -> bool:
    """Whether a run stands on the warm-up as it is now, and not on an earlier one."""
    own, shared = load_file(folder / WEIGHTS), load_file(bench.warmup / WEIGHTS)
    return all(torch.equal(own[name], value) for name, value in shared.items() if name.startswith("backbone."))


def _parameters(recipe: Recipe) -> int:
    """Of the head and the classifier."""
    with torch.device("meta"):
        model = build_model(recipe, recipe.data.label_map())
    return sum(p.numel() for part in (model.head, model.classifier) for p in part.parameters())


def judge_families(folder: Path) -> dict[str, Any]:
    """`{"mAP": …, "families": {name: {"AP": …, "accuracy": …, "people": …}}}` of a run that has been judged."""
    report = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    ids = {name: number for number, name in enumerate(ACTIONS, start=1)}
    names = {label.id: label.name for label in LabelMap.load(folder / "labels.csv")}
    assert names == {number: name for name, number in ids.items()}, f"{folder}: not labels of Stage"
    pairs = [(ids[family.actions[0]], ids[family.actions[1]]) for family in FAMILIES]
    accuracies = pair_accuracy(folder / "groundtruth.csv", folder / "predictions.csv", pairs)
    ap = report["ap_by_class"]
    families = {
        family.name: {
            "AP": _mean([ap[str(ids[action])] for action in family.actions]),
            "accuracy": found.accuracy,
            "people": found.people,
        }
        for family, found in zip(FAMILIES, accuracies, strict=True)
    }
    return {"mAP": report["mAP"], "families": families}


def _mean(values: list[float | None]) -> float | None:
    """None where an action never happens (a set of a few videos)."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
