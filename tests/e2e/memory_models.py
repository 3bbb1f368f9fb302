"""Little models with memory, whose answers hang on it: random weights, none of them zero."""

import dataclasses
from pathlib import Path

import torch
from torch import nn

from relact.head import HeadConfig
from relact.heads import acar, amcrnet, igmn, lfb, linear, mrsn
from relact.labels import LabelMap
from relact.recipe import Recipe, build_model, to_dict
from relact.train.checkpoint import save_model
from relact.train.memory import MemoryConfig

HEADS: dict[str, HeadConfig] = {
    "lfb": lfb.Config(radius=3, future=2, max_per_tick=2, width=16),
    "acar": acar.Config(window=2, width=16),
    "mrsn": mrsn.Config(consensus="long", window=2, width=16, heads=2),
    "amcrnet": amcrnet.Config(radius=2, width=16, depth=1, history_depth=1),
    "igmn": igmn.Config(radius=3, max_per_tick=2, width=16),
}


def stir(model: nn.Module, seed: int) -> None:
    """Parameters that begin at zero would hide what the memory adds."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=random)


def run_folder(folder: Path, recipe: Recipe, head: HeadConfig, labels: LabelMap, seed: int = 0) -> Path:
    """A run folder as `relact train` leaves it."""
    torch.manual_seed(seed)
    remembers = not isinstance(head, linear.Config)
    recipe = dataclasses.replace(recipe, head=head, memory=MemoryConfig(mode="online" if remembers else "none"))
    model = build_model(recipe, labels)
    stir(model.head, seed)
    save_model(folder, model, to_dict(recipe), labels)
    return folder
