"""A short video, and a model to show it with."""

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed: pip install '.[serve]'")

from tests.make_stage import make_stage

FINDER = """\
import time
import numpy as np
def find(pictures):
    return [(np.array([[20., 30, 60, 80]], np.float32), np.array([.9], np.float32)) for _ in pictures]
def slow(pictures):
    time.sleep(0.8)
    return find(pictures)
"""


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_stage(tmp_path_factory.mktemp("served"), rate=25) / "videos" / "stage_3_0000.mp4"


@pytest.fixture(scope="session")
def weights(video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a small model with random weights, and a detector beside it."""
    import torch

    from relact.labels import LabelMap
    from relact.recipe import build_model, override, to_dict
    from relact.recipes import load
    from relact.train.checkpoint import save_model

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("live")
    recipe = override(load("debug"), {"data.root": str(video.parent.parent), "transform.short_side": "48"})
    labels = LabelMap.load(video.parent.parent / "labels.csv")
    save_model(folder, build_model(recipe, labels), to_dict(recipe), labels)
    (folder / "mine.py").write_text(FINDER)
    return folder
