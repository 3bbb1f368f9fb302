"""A trained model on disk: `model.safetensors` + `recipe.json` + `labels.csv`, and the state to go on from."""

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from relact.errors import InputError
from relact.interop.files import atomic_path
from relact.labels import LabelMap
from relact.train.memory import OnlineMemory

WEIGHTS, RECIPE, LABELS, STATE = "model.safetensors", "recipe.json", "labels.csv", "state.pt"
SHARED = "backbone.safetensors"
"""beside the folders of runs on one frozen backbone, whose own files then leave it out"""
BANK = "bank.safetensors"
"""rows of an online memory"""


def save_model(folder: Path, model: nn.Module, recipe: dict[str, Any], labels: LabelMap) -> None:
    """All that is needed to use the model elsewhere."""
    with atomic_path(folder / RECIPE) as temporary:
        temporary.write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")
    with atomic_path(folder / LABELS) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["id", "name", "group", "evaluated"])
        rows.writerows([label.id, label.name, label.group, int(label.evaluated)] for label in labels)
    tensors = {name: value.detach().contiguous().cpu() for name, value in model.state_dict().items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})  # one note: the order of several is random


def load_weights(folder: Path, model: nn.Module) -> None:
    """Weights of a run into its model; InputError where they do not fit it."""
    _fit(folder, model, _weights(folder))


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


def _fit(folder: Path, module: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).strip().splitlines()]
        first = " ".join(lines[1:3] or lines)
        raise InputError(f"{folder / WEIGHTS}: these weights do not fit the model of {RECIPE}: {first}") from None


def load_backbone(folder: Path, backbone: nn.Module) -> None:
    """The backbone's part of a run's weights; InputError where it does not fit."""
    prefix = "backbone."
    part = {name.removeprefix(prefix): v for name, v in _weights(folder).items() if name.startswith(prefix)}
    _fit(folder, backbone, part)


def save_state(
    folder: Path, *, epoch: int, optimiser: torch.optim.Optimizer, memory: OnlineMemory | None = None
) -> None:
    """What a stopped run needs besides the weights to go on exactly: step counters, random states, an online bank."""
    if memory is not None:
        memory.bank.save(folder / BANK)
    state = {
        "epoch": epoch,
        "last_loss": 0.0 if memory is None else memory.last_loss,
        "optimiser": optimiser.state_dict(),
        "torch_random": torch.get_rng_state(),
        "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    with atomic_path(folder / STATE) as temporary:
        torch.save(state, temporary)


def load_state(folder: Path, optimiser: torch.optim.Optimizer, memory: OnlineMemory | None = None) -> int:
    """Restores the optimiser, the random states and the online bank; returns the number of epochs done."""
    state = torch.load(folder / STATE, weights_only=True, map_location="cpu")
    if memory is not None:
        memory.bank.load(folder / BANK)
        memory.last_loss = float(state["last_loss"])
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["torch_random"])
    if torch.cuda.is_available() and state["cuda_random"]:
        torch.cuda.set_rng_state_all(state["cuda_random"])
    return int(state["epoch"])


def seed_everything(seed: int) -> None:
    """Every source of randomness that training draws from."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries that we call may draw from it
