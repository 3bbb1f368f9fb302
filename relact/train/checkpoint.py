"""A trained model on disk: `model.safetensors` + `recipe.json` + `labels.csv`, and the state to go on from."""

import csv
import json
import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from relact.errors import InputError
from relact.interop.files import atomic_path
from relact.labels import LabelMap
from relact.train.ema import WeightAverage
from relact.train.memory import OnlineMemory

WEIGHTS, RECIPE, LABELS, STATE = "model.safetensors", "recipe.json", "labels.csv", "state.pt"
SHARED = "backbone.safetensors"
"""beside the folders of runs on one frozen backbone, whose own files then leave it out"""
BANKS = "bank.*.safetensors"
"""rows of an online memory; the number is that of the steps done"""
FORMAT = 2
"""of the saved state"""
_BROKEN = RuntimeError, UnpicklingError, EOFError, LookupError, ValueError, TypeError, AttributeError, OSError
"""what torch raises for a file that is none of its own, or half of one"""
_NO_STATE = "not the state of a run: it is cut off, damaged or another file; remove it to begin anew"


def save_model(
    folder: Path,
    model: nn.Module,
    recipe: dict[str, Any],
    labels: LabelMap,
    weights: dict[str, torch.Tensor] | None = None,
) -> None:
    """All that is needed to use the model elsewhere, with its own weights or these."""
    with atomic_path(folder / RECIPE) as temporary:
        temporary.write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")
    with atomic_path(folder / LABELS) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["id", "name", "group", "evaluated"])
        rows.writerows([label.id, label.name, label.group, int(label.evaluated)] for label in labels)
    tensors = {name: value.detach().contiguous().cpu() for name, value in (weights or model.state_dict()).items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})  # one note: the order of several is random


def load_weights(folder: Path, model: nn.Module) -> None:
    """Weights of a run into its model; InputError where they do not fit it."""
    _fit(folder / WEIGHTS, model, _weights(folder))


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    path, shared = folder / WEIGHTS, folder.parent / SHARED
    try:
        weights = load_file(path)
        if shared.is_file() and not any(name.startswith("backbone.") for name in weights):
            weights |= load_file(shared)
        return weights
    except FileNotFoundError:
        raise InputError(f"{path}: no weights there; a run folder holds {WEIGHTS}, {RECIPE} and {LABELS}") from None
    except SafetensorError as error:
        raise InputError(f"{path}: not a whole file of weights ({error})") from None


def _fit(file: Path, module: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).strip().splitlines()]
        first = " ".join(lines[1:3] or lines)
        raise InputError(f"{file}: these weights do not fit the model of {RECIPE}: {first}") from None


def load_backbone(folder: Path, backbone: nn.Module) -> None:
    """The backbone's part of a run's weights; InputError where it does not fit."""
    prefix = "backbone."
    part = {name.removeprefix(prefix): v for name, v in _weights(folder).items() if name.startswith(prefix)}
    _fit(folder / WEIGHTS, backbone, part)


@dataclass(slots=True)
class Progress:
    """How far a run is."""

    step: int = 0
    """steps done, over all epochs"""
    loss: float = 0.0
    """sum over the steps of the epoch that has begun"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Everything that a step changes, and the saved state holds. Randomness is not in it: it depends on the step."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    progress: Progress
    memory: OnlineMemory | None = None
    average: WeightAverage | None = None

    def save(self, folder: Path, *, recipe: dict[str, Any], data: str) -> None:
        """Whole or not at all: a run that is killed has the last state or this one.

        A bank is large and lies in a file of its own, which the state names. `recipe` and `data` say what it is of.
        """
        bank = None
        if self.memory is not None:
            bank = f"bank.{self.progress.step}.safetensors"
            self.memory.bank.save(folder / bank)
        state = {
            "format": FORMAT,
            "recipe": json.dumps(recipe),
            "data": data,
            "step": self.progress.step,
            "loss": self.progress.loss,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": None if self.average is None else self.average.weights,
            "bank": bank,
            "last_loss": 0.0 if self.memory is None else self.memory.last_loss,
        }
        with atomic_path(folder / STATE) as temporary, temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        for old in folder.glob(BANKS):
            if old.name != bank:
                old.unlink()

    def restore(self, folder: Path, state: dict[str, Any]) -> None:
        """The inverse of `save`."""
        _fit(folder / STATE, self.model, state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.progress.step, self.progress.loss = state["step"], state["loss"]
        if self.average is not None:
            self.average.load(state["average"])
        if self.memory is not None:
            self.memory.bank.load(folder / state["bank"])
            self.memory.last_loss = state["last_loss"]

    def weights(self) -> dict[str, torch.Tensor]:
        """What is judged and used: the model's, or their average."""
        return {**self.model.state_dict(), **({} if self.average is None else self.average.weights)}


def read_state(folder: Path) -> dict[str, Any] | None:
    """What `Running.save` wrote; None where nothing has been saved. Raises InputError for a file of another kind."""
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except PermissionError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except _BROKEN as error:  # torch's own words advise to load it without safety
        raise InputError(f"{path}: {_NO_STATE}") from error
    if not isinstance(state, dict):
        raise InputError(f"{path}: {_NO_STATE}")
    if state.get("format") != FORMAT:
        raise InputError(f"{path}: the state of another version of relact; go on with that, or leave out --resume")
    state["recipe"] = json.loads(state["recipe"])
    return state


def forget(folder: Path) -> None:
    """Removes what an earlier run would be resumed from, and its logs; first of all the state, which decides."""
    for pattern in (STATE, BANKS, "log.*"):
        for path in folder.glob(pattern):
            path.unlink()
    shutil.rmtree(folder / "tensorboard", ignore_errors=True)


def tidy(folder: Path) -> None:
    """Removes what a killed run left half written."""
    for pattern in (".*.part*", ".tmp??????"):  # the second: what safetensors writes before it renames
        for path in folder.glob(pattern):
            path.unlink()


def seed_step(seed: int, step: int, rank: int) -> None:
    """What is drawn in a step (dropout) depends on these alone, so that it can be repeated whenever a run goes on."""
    torch.manual_seed(int(np.random.SeedSequence([seed % 2**32, step, rank]).generate_state(1, np.uint64)[0]))


def seed_everything(seed: int) -> None:
    """Every source of randomness that training draws from."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries that we call may draw from it
