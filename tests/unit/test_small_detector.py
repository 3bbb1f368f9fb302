"""The small person detector: it learns, it is saved in halves, and foreign files are refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from relact.data.stage import StageConfig, generate
from relact.errors import InputError
from relact.run.detector import train_people
from relact.video.people import load_detector
from relact.video.small_detector import load_small_detector, save_small_detector, small_detector, train_detector

CPU = torch.device("cpu")


def test_it_is_small_and_saved_in_halves(tmp_path: Path):
    torch.manual_seed(0)
    model = small_detector().eval()
    assert sum(p.numel() for p in model.parameters()) < 450_000
    save_small_detector(model, tmp_path / "people.safetensors")
    assert (tmp_path / "people.safetensors").stat().st_size < 1e6
    again = load_small_detector(tmp_path / "people.safetensors")
    for before, after in zip(model.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-4)


def test_it_learns_to_find_a_dark_upright_bar():
    """Random bars on noise: after a few steps the best box lies on the bar."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)

    def picture() -> tuple[torch.Tensor, torch.Tensor]:
        x, y = random.integers(20, 160), random.integers(20, 70)
        image = torch.rand(3, 144, 200) * 0.2 + 0.7
        image[:, y : y + 60, x : x + 18] = 0.1
        return image, torch.tensor([[x, y, x + 18.0, y + 60.0]])

    def batches():
        while True:
            yield tuple(zip(*(picture() for _ in range(4)), strict=True))

    model = small_detector()
    losses = list(train_detector(model, batches(), steps=60))
    assert len(losses) == 60
    model.eval()
    image, truth = picture()
    with torch.no_grad():
        [found] = model([image])
    assert float((found["boxes"][0] - truth[0]).abs().max()) < 12
    assert float(found["scores"][0]) > 0.3


def test_pictures_without_people_are_learnt_from():
    model = small_detector()
    empty = ([torch.rand(3, 144, 200)] * 2, [torch.zeros(0, 4)] * 2)
    losses = list(train_detector(model, [empty] * 2, steps=2))
    assert np.isfinite(losses).all()


def test_a_file_of_something_else_is_refused(tmp_path: Path):
    (tmp_path / "x.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match="not weights of relact's small person detector"):
        load_detector(str(tmp_path / "x.safetensors"), CPU)
    with pytest.raises(InputError, match="no such file; `relact detector train` writes one"):
        load_detector(str(tmp_path / "y.safetensors"), CPU)


def test_it_trains_from_a_folder_and_detects(tmp_path: Path):
    generate(tmp_path / "set", StageConfig(videos=1, seconds=6, seed=1, validation=0, scale=1, rate=8))
    out = tmp_path / "people.safetensors"
    train_people(tmp_path / "set" / "videos", tmp_path / "set" / "people.csv", out, frames=8, steps=10, batch=4)
    [(boxes, scores)] = load_detector(str(out), CPU)([np.zeros((96, 288, 3), np.uint8)])
    assert boxes.shape == (len(scores), 4)
    with pytest.raises(InputError, match="no videos there"):
        train_people(tmp_path, tmp_path / "set" / "people.csv", out)
    with pytest.raises(InputError, match="fewer than a batch of 40"):
        train_people(tmp_path / "set" / "videos", tmp_path / "set" / "people.csv", out, frames=8, steps=10, batch=40)
