"""The demo on what ships."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from relact.cli import app
from relact.errors import InputError
from relact.run import load_model
from relact.run.play import demo
from relact.weights import SHIPPED, shipped

SYSTEMS = {"stage_acar", "stage_amcrnet", "stage_igmn", "stage_linear", "stage_mrsn", "stage_stc"}


def quiet(_: str) -> None:
    pass


def test_one_model_of_each_system_ships_and_is_small():
    assert set(shipped()) >= SYSTEMS
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*")) < 10e6
    for name in SYSTEMS:
        assert (SHIPPED / name / "recipe.json").is_file()
        assert len(load_model(name).labels) == 38


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
