"""Training heads on the maps of a frozen backbone: computed once, shared, and the same as computed anew."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from relact import heads
from relact.data.maps import MapStore, stack
from relact.errors import InputError
from relact.recipe import Recipe, override
from relact.run import load_model, train
from relact.run import test as judge
from relact.run.loading import loader
from relact.run.maps import maps_of
from relact.train.checkpoint import load_backbone
from relact.train.memory import MemoryConfig
from relact.types import Keyframe


def quiet(_: str) -> None:
    pass


@pytest.fixture
def frozen(small: Recipe, weights: Path, tmp_path: Path) -> Recipe:
    settings = {"train.freeze_backbone": "true", "train.init": str(weights), "train.maps": str(tmp_path / "maps")}
    return override(small, settings)


def scores(folder: Path) -> list[float]:
    return [float(line.split(",")[7]) for line in (folder / "predictions.csv").read_text().splitlines()]


def test_only_the_head_learns_and_a_test_reads_the_same_maps(frozen: Recipe, weights: Path, tmp_path: Path):
    train(frozen, tmp_path / "run", say=quiet)
    before, after = (load_file(folder / "model.safetensors") for folder in (weights, tmp_path / "run"))
    for name, value in after.items():
        if name.startswith("backbone."):
            assert torch.equal(value, before[name]), name
    assert not torch.equal(after["classifier.weight"], before["classifier.weight"])
    shards = sorted((tmp_path / "maps").rglob("*.bin"))
    told = scores(tmp_path / "run")
    judge(tmp_path / "run")
    assert scores(tmp_path / "run") == told
    assert sorted((tmp_path / "maps").rglob("*.bin")) == shards, "nothing is computed twice"


def test_maps_give_what_the_frames_give(frozen: Recipe, tmp_path: Path):
    """To half precision: scores of a run that decodes and of one that reads maps."""
    train(frozen, tmp_path / "run", say=quiet)
    with_maps = scores(tmp_path / "run")
    judge(tmp_path / "run", settings={"train.freeze_backbone": "false"})
    np.testing.assert_allclose(scores(tmp_path / "run"), with_maps, atol=5e-3)


def test_a_second_head_reads_the_maps_of_the_first(frozen: Recipe, tmp_path: Path):
    train(frozen, tmp_path / "linear", say=quiet)
    shards = sorted((tmp_path / "maps").rglob("*.bin"))
    settings = {"reduce": 6, "width": 8, "depth": 1}
    other = replace(frozen, head=type(heads.preset("acar"))(**settings))
    train(other, tmp_path / "acar", say=quiet)
    # whether faults of the data stop a run says nothing of its maps
    train(override(frozen, {"data.skip_bad": "true"}), tmp_path / "forgiving", say=quiet)
    assert sorted((tmp_path / "maps").rglob("*.bin")) == shards


def test_offline_memory_is_filled_from_maps(frozen: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    head = type(heads.preset("lfb"))(width=8, radius=2, future=2)
    recipe = replace(frozen, head=head, memory=MemoryConfig(mode="offline"))
    train(recipe, tmp_path / "run", say=quiet)
    monkeypatch.setattr("relact.data.dataset.read_clip", None)  # whoever decodes now fails
    judge(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["mAP"] is not None


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"transform.flip": "0.5"}, "set transform.flip=0"),
        ({"transform.frame_jitter": "2"}, "set transform.frame_jitter=0"),
        ({"transform.test_flip": "true"}, "set transform.test_flip=false"),
        ({"transform.crop": "48"}, "set transform.crop=null"),
        ({"transform.train_short_side": "[48, 64]"}, "set transform.train_short_side=null"),
    ],
)
def test_clips_that_change_are_refused(frozen: Recipe, tmp_path: Path, setting: dict[str, str], said: str):
    with pytest.raises(InputError, match=said):
        train(override(frozen, setting), tmp_path / "run", say=quiet)


def test_a_backbone_of_another_shape_is_refused(frozen: Recipe, tmp_path: Path):
    with pytest.raises(InputError, match=r"model.safetensors: these weights do not fit"):
        train(override(frozen, {"backbone.width": "16"}), tmp_path / "run", say=quiet)


def test_other_weights_have_other_maps(frozen: Recipe, tmp_path: Path):
    samples = frozen.data.samples("train")
    model = load_model(frozen.train.init or "")
    first = maps_of(frozen, model, samples, run=tmp_path, dtype=torch.float32)
    with torch.no_grad():
        next(model.backbone.parameters()).mul_(2)
    second = maps_of(frozen, model, samples, run=tmp_path, dtype=torch.float32)
    assert first is not None
    assert second is not None
    assert first.folder != second.folder
    load_backbone(Path(frozen.train.init or ""), model.backbone)
    batch = next(iter(loader(frozen, samples, training=False, maps=first)))
    assert batch.frames.shape[2] == 0
    assert batch.maps is not None
    assert batch.maps["slow"].dtype == torch.float16


def test_a_store_gives_back_what_was_put_in(tmp_path: Path):
    store = MapStore(tmp_path)
    first = {"slow": torch.rand(2, 1, 3, 4), "fast": torch.rand(1, 4, 3, 4)}
    second = {"slow": torch.rand(2, 1, 2, 5), "fast": torch.rand(1, 4, 2, 5)}
    store.add([(Keyframe("a", 1), first)])
    store.add([(Keyframe("a", 2), second)])
    again = MapStore(tmp_path)
    assert Keyframe("b", 1) not in again
    for name in first:
        assert torch.equal(again[Keyframe("a", 1)][name], first[name].half())
    together = stack([again[Keyframe("a", 1)], again[Keyframe("a", 2)]])
    assert together["slow"].shape == (2, 2, 1, 3, 5)
    assert torch.equal(together["slow"][1, ..., :2, :5], second["slow"].half())
    assert not together["slow"][1, :, :, 2:].any()


def test_an_interrupted_shard_does_not_count(tmp_path: Path):
    def broken():
        yield Keyframe("a", 1), {"slow": torch.rand(1, 1, 2, 2)}
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        MapStore(tmp_path).add(broken())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "x.json").write_text("[[1]]")
    with pytest.raises(InputError, match="not an index of maps"):
        MapStore(tmp_path)
