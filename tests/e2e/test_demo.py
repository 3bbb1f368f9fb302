"""The demo on what ships, and the diagnosis that Stage is for: a relation head learns what `linear` cannot."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from relact import recipes
from relact.cli import app
from relact.data.stage import StageConfig, generate
from relact.errors import InputError
from relact.run import load_model, train
from relact.run.play import demo
from relact.run.stage import judge_families
from relact.weights import SHIPPED, shipped

SYSTEMS = {"stage_acar", "stage_amcrnet", "stage_igmn", "stage_linear", "stage_mrsn", "stage_stc"}


def quiet(_: str) -> None:
    pass


def test_one_model_of_each_system_ships_and_is_small():
    assert set(shipped()) >= SYSTEMS
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*")) < 10e6
    for name in SYSTEMS:
        assert (SHIPPED / name / "recipe.json").is_file()
        assert len(load_model(name).labels) == 36


def test_the_demo_finds_and_judges_an_unseen_play(tmp_path: Path):
    done = CliRunner().invoke(
        app, ["demo", "--out", str(tmp_path), "--model", "stage_linear", "--seconds", "6", "--seed", "9"]
    )
    assert done.exit_code == 0, done.output
    assert "frame-mAP@0.5 0." in done.output
    [found] = (tmp_path / "found").iterdir()
    names = {path.name for path in found.iterdir()}
    assert {"actions.csv", "actions.json", "annotated.mp4", "report.html", "run.json", "segments.csv"} <= names
    keyframes = json.loads((found / "actions.json").read_text())["keyframes"]
    assert len(keyframes) == 6
    assert any(keyframe["people"] for keyframe in keyframes)


def test_a_model_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="--model none: expected a run folder, or one of stage_acar"):
        demo(tmp_path, model="none", say=quiet)


@pytest.mark.slow
def test_a_relation_head_learns_what_linear_cannot(tmp_path: Path):
    """A ball rolls to one or from one, out of sight of the box: STC tells, the baseline guesses."""
    config = StageConfig(videos=100, seconds=24, seed=5, validation=0.15, scale=1, families=("direction",))
    generate(tmp_path / "stage", config, workers=2)
    accuracy = {}
    for head in ("linear", "stc"):
        recipe = recipes.load(f"stage_{head}")
        data = replace(recipe.data, root=str(tmp_path / "stage"))
        settings = replace(recipe.train, epochs=8, init=str(SHIPPED / "stage_linear"), maps=str(tmp_path / "maps"))
        train(replace(recipe, data=data, train=settings), tmp_path / head, say=quiet, quiet=True)
        accuracy[head] = judge_families(tmp_path / head)["families"]["direction"]["accuracy"]
    assert accuracy["stc"] > accuracy["linear"] + 0.25, accuracy
