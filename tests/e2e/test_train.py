"""Training as a user runs it: it learns, it can be resumed, its run folder is enough to go on with."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from relact.errors import InputError
from relact.recipe import Recipe, from_dict, override, to_dict
from relact.recipes import available, load
from relact.run import load_model, train
from relact.run import test as judge


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def straight(small: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight")
    train(small, folder, say=quiet)
    return folder


def test_a_run_folder_holds_all_that_is_needed(straight: Path, small: Recipe):
    names = {path.name for path in straight.iterdir()}
    assert names == {
        "model.safetensors", "recipe.json", "labels.csv", "log.jsonl", "state.pt", "groundtruth.csv",
        "predictions.csv", "metrics.json",
    }  # fmt: skip
    assert from_dict(json.loads((straight / "recipe.json").read_text())) == small
    losses = [
        entry["loss"] for entry in map(json.loads, (straight / "log.jsonl").read_text().splitlines()) if "loss" in entry
    ]
    assert len(losses) == 2 * 2  # epochs, batches of 3 keyframes from 6


def test_testing_again_gives_the_same_result(straight: Path):
    before = json.loads((straight / "metrics.json").read_text())
    assert judge(straight).mAP == pytest.approx(before["mAP"])
    assert len(load_model(straight).labels) == 5


def test_a_stopped_run_goes_on_exactly(straight: Path, small: Recipe, tmp_path: Path):
    """One epoch, a stop, and the second: the weights of two epochs in one go."""
    from relact.run import training
    from relact.train import loop

    stopped = tmp_path / "stopped"

    class Stop(Exception):
        pass

    original = loop.train_epoch

    def one_epoch(*args: object, epoch: int, **named: object) -> float:
        if epoch == 1:
            raise Stop
        return original(*args, epoch=epoch, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train_epoch", one_epoch)
        with pytest.raises(Stop):
            training.train(small, stopped, say=quiet)
    train(small, stopped, resume=True, say=quiet)
    resumed, whole = load_model(stopped).state_dict(), load_model(straight).state_dict()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_nothing_to_resume_is_said(small: Recipe, tmp_path: Path):
    with pytest.raises(InputError, match="nothing to resume"):
        train(small, tmp_path, resume=True, say=quiet)


def test_weights_of_another_architecture_are_refused(straight: Path, tmp_path: Path):
    shutil.copytree(straight, tmp_path / "run")
    recipe = json.loads((straight / "recipe.json").read_text())
    recipe["backbone"]["width"] = 16
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(recipe))
    with pytest.raises(InputError, match=r"do not fit the model of recipe\.json: size mismatch for backbone\.slow"):
        load_model(tmp_path / "run")


def test_a_truncated_weights_file_is_refused(straight: Path, tmp_path: Path):
    shutil.copytree(straight, tmp_path / "run")
    whole = (straight / "model.safetensors").read_bytes()
    (tmp_path / "run" / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"model\.safetensors: not a whole file of weights"):
        load_model(tmp_path / "run")


def test_missing_videos_are_counted_and_named(small: Recipe, toy: Path, tmp_path: Path):
    truth = (toy / "groundtruth.csv").read_text() + "gone,0001,0.1,0.1,0.5,0.5,12,1\n"
    (tmp_path / "truth.csv").write_text(truth)
    with pytest.raises(InputError, match=r"1 of 3 videos are missing, such as gone"):
        train(override(small, {"data.train": str(tmp_path / "truth.csv")}), tmp_path / "run", say=quiet)


@pytest.mark.parametrize("name", available())
def test_every_recipe_goes_to_json_and_back(name: str):
    recipe = load(name)
    assert from_dict(json.loads(json.dumps(to_dict(recipe)))) == recipe
    assert override(recipe, {"optim.lr": "0.5"}) == dataclasses.replace(
        recipe, optim=dataclasses.replace(recipe.optim, lr=0.5)
    )


@pytest.mark.slow
def test_the_chain_learns_real_clips(shared_data: Path, tmp_path: Path):
    """UCF101-24 clips, judged on what they were trained on: not generalisation, but every link of the chain."""
    recipe = override(load("ucf24_small"), {"data.root": str(shared_data / "ucf24"), "train.workers": "0"})
    assert train(recipe, tmp_path, say=quiet).mAP >= 0.90
