"""A little trained model and a little video, made once for all end-to-end tests."""

from pathlib import Path

import pytest
import torch

from relact.data.toy import generate
from relact.labels import LabelMap
from relact.recipe import Recipe, build_model, override, to_dict
from relact.recipes import load
from relact.train.checkpoint import save_model


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    generate(folder, videos=2, people=2, seconds=3, seed=3)
    return folder


@pytest.fixture(scope="session")
def small(toy: Path) -> Recipe:
    settings = {"data.root": str(toy), "transform.short_side": "64", "train.epochs": "2", "train.batch_size": "3"}
    return override(load("debug"), settings)


@pytest.fixture(scope="session")
def weights(toy: Path, small: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with random weights: enough for everything but the numbers."""
    torch.manual_seed(0)
    labels = LabelMap.load(toy / "labels.csv")
    folder = tmp_path_factory.mktemp("run")
    save_model(folder, build_model(small, labels), to_dict(small), labels)
    return folder
