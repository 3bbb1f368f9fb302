"""Training as a user runs it: it learns, it can be resumed, its run folder is enough to go on with."""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from relact.errors import InputError
from relact.recipe import Recipe, from_dict, override, to_dict
from relact.recipes import available, load
from relact.run import load_model, train
from relact.run import test as judge
from relact.train.log import TrainLog


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
    assert len(losses) == 2 * 2  # epochs, batches of 2 keyframes from 4


def test_testing_again_gives_the_same_result(straight: Path):
    before = json.loads((straight / "metrics.json").read_text())
    assert judge(straight).mAP == pytest.approx(before["mAP"])
    assert len(load_model(straight).labels) == 38


def test_a_stopped_run_goes_on_exactly(straight: Path, small: Recipe, tmp_path: Path):
    """One epoch, a stop, and the second: the weights of two epochs in one go."""
    stopped = tmp_path / "stopped"
    stop_at(2, small, stopped)
    train(small, stopped, resume=True, say=quiet)
    resumed, whole = load_model(stopped).state_dict(), load_model(straight).state_dict()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


class Stop(Exception):
    pass


def stop_at(step: int, recipe: Recipe, folder: Path) -> None:
    """What a run leaves that is broken off when it tells of this step, from 0."""
    told = TrainLog.step

    def tell(self: TrainLog, **values: float) -> None:
        if values["step"] == step:
            raise Stop
        told(self, **values)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainLog, "step", tell)
        with pytest.raises(Stop):
            train(recipe, folder, say=quiet)


@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_a_run_that_saves_within_epochs_goes_on_exactly(step: int, small: Recipe, tmp_path: Path):
    """Dropout, mirrored and recoloured clips, averaged weights; weights and log as of a run in one go."""
    changed = {"head.dropout": "0.5", "transform.flip": "0.5", "transform.brightness": "0.3", "train.ema": "0.9",
               "train.save_every_steps": "1", "train.logs": '["csv"]'}  # fmt: skip
    recipe = override(small, changed)
    train(recipe, tmp_path / "whole", say=quiet)
    stop_at(step, recipe, tmp_path / "stopped")
    train(recipe, tmp_path / "stopped", resume=True, say=quiet)
    for name in ("model.safetensors", "log.jsonl", "log.csv", "predictions.csv"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_where_nothing_was_saved_a_run_begins_at_the_beginning_and_says_so(
    straight: Path, small: Recipe, tmp_path: Path
):
    said: list[str] = []
    train(small, tmp_path / "new", resume=True, say=said.append)
    assert any("nothing has been saved there: training begins at the beginning" in line for line in said)
    assert (tmp_path / "new" / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()


def test_a_run_of_other_settings_or_data_is_not_gone_on_with(straight: Path, small: Recipe, play: Path, tmp_path: Path):
    shutil.copytree(straight, tmp_path / "run")
    other = override(small, {"optim.lr": "0.5", "head.dropout": "0.25", "train.workers": "1"})
    with pytest.raises(InputError, match=r"head\.dropout: was 0\.0, now 0\.25\n  optim\.lr: was 0\.002, now 0\.5$"):
        train(other, tmp_path / "run", resume=True, say=quiet)
    rows = (play / "groundtruth.csv").read_text().splitlines()
    (tmp_path / "fewer.csv").write_text("\n".join(rows[:-1]) + "\n")
    recipe = override(small, {"data.train": str(tmp_path / "fewer.csv")})
    with pytest.raises(InputError, match=r"data\.train: was"):
        train(recipe, tmp_path / "run", resume=True, say=quiet)
    shutil.copytree(play, tmp_path / "play")
    moved = override(small, {"data.root": str(tmp_path / "play")})
    assert train(moved, tmp_path / "run", resume=True, say=quiet).mAP == judge(straight).mAP
    (tmp_path / "play" / "groundtruth.csv").write_text("\n".join(rows[:-1]) + "\n")
    with pytest.raises(InputError, match=r"a run on other keyframes, boxes or labels"):
        train(moved, tmp_path / "run", resume=True, say=quiet)
    assert (tmp_path / "run" / "metrics.json").is_file(), "what is refused is left as it was"


def test_a_new_run_forgets_the_old_one(straight: Path, small: Recipe, tmp_path: Path):
    shutil.copytree(straight, tmp_path / "run")
    for half in (".model.1234abcd.part.safetensors", ".tmpGHAK1v"):  # the second is safetensors' own
        (tmp_path / "run" / half).write_bytes(b"half")
    stop_at(0, override(small, {"optim.lr": "0.001"}), tmp_path / "run")
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert "state.pt" not in left
    assert "metrics.json" not in left
    assert not any(".part" in name or name.startswith(".tmp") for name in left)


def test_the_state_of_another_version_is_refused(straight: Path, small: Recipe, tmp_path: Path):
    shutil.copytree(straight, tmp_path / "run")
    torch.save({"epoch": 1}, tmp_path / "run" / "state.pt")
    with pytest.raises(InputError, match="the state of another version of relact"):
        train(small, tmp_path / "run", resume=True, say=quiet)
    (tmp_path / "run" / "state.pt").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="not the state of a run"):
        train(small, tmp_path / "run", resume=True, say=quiet)


def test_averaged_weights_are_saved_and_judged(straight: Path, small: Recipe, tmp_path: Path):
    train(override(small, {"train.ema": "0.9"}), tmp_path, say=quiet)
    averaged, last = load_model(tmp_path).state_dict(), load_model(straight).state_dict()
    raw = torch.load(tmp_path / "state.pt", weights_only=True)["model"]
    assert all(torch.equal(raw[name], last[name]) for name in last), "the average must not change the training"
    assert not torch.equal(averaged["classifier.weight"], last["classifier.weight"])
    assert judge(tmp_path).mAP == json.loads((tmp_path / "metrics.json").read_text())["mAP"]


def test_a_loss_that_is_not_finite_stops_and_names_its_keyframes(small: Recipe, tmp_path: Path):
    recipe = override(small, {"optim.lr": "1e30", "optim.kind": "sgd", "optim.warmup_start": "1e-32"})
    with pytest.raises(
        FloatingPointError, match=r"the loss is (nan|inf) \(parts \{\}\) on \[Keyframe\(video='stage_3_000"
    ):
        train(recipe, tmp_path, say=quiet)


def test_too_few_clips_for_the_parts_are_refused(small: Recipe, tmp_path: Path):
    with pytest.raises(InputError, match=r"train\.batch_size=2: .* train\.accumulate=4 parts, at least 4"):
        train(override(small, {"train.accumulate": "4"}), tmp_path, say=quiet)


def test_a_log_that_cannot_be_written_is_refused_at_once(
    small: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r'TensorBoard is not here: pip install "relact\[tensorboard\]"'):
        train(override(small, {"train.logs": '["tensorboard"]'}), tmp_path / "run", say=quiet)
    assert not (tmp_path / "run").exists()


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


def test_missing_videos_are_counted_and_named(small: Recipe, play: Path, tmp_path: Path):
    truth = (play / "groundtruth.csv").read_text() + "gone,0001,0.1,0.1,0.5,0.5,12,1\n"
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


@pytest.mark.slow
def test_workers_change_nothing(small: Recipe, tmp_path: Path):
    changed = {"transform.flip": "0.5", "transform.brightness": "0.3", "head.dropout": "0.5"}
    for workers in ("0", "1", "3"):
        train(override(small, {**changed, "train.workers": workers}), tmp_path / workers, say=quiet)
    whole = (tmp_path / "0" / "model.safetensors").read_bytes()
    assert all((tmp_path / workers / "model.safetensors").read_bytes() == whole for workers in ("1", "3"))
