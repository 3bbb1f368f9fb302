"""A little trained model and a little video, made once for all end-to-end tests."""

from pathlib import Path

import pytest
import torch

from relact.labels import LabelMap
from relact.recipe import Recipe, build_model, override, to_dict
from relact.recipes import load
from relact.train.checkpoint import save_model
from tests.make_stage import make_stage


@pytest.fixture(scope="session")
def play(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of three seconds with two people each, 1 and 2."""
    return make_stage(tmp_path_factory.mktemp("play"), videos=2)


@pytest.fixture(scope="session")
def small(play: Path) -> Recipe:
    settings = {"data.root": str(play), "transform.short_side": "48", "train.epochs": "2", "train.batch_size": "2"}
    return override(load("debug"), settings)


@pytest.fixture(scope="session")
def weights(play: Path, small: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with random weights: enough for everything but the numbers."""
    torch.manual_seed(0)
    labels = LabelMap.load(play / "labels.csv")
    folder = tmp_path_factory.mktemp("run")
    save_model(folder, build_model(small, labels), to_dict(small), labels)
    return folder
