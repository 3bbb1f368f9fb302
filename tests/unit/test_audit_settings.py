"""Settings that choose a class, whatever their order; and what is said of a recipe whose name or data is not there."""

import itertools
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from relact.cli.app import app
from relact.data.ava import AvaData
from relact.data.jhmdb import JHMDBData
from relact.errors import InputError
from relact.heads import acar, linear
from relact.recipe import override
from relact.recipes import available, load

CHOSEN = {"data.root": "x", "data.source": "custom", "data.cap": "3"}


@pytest.mark.parametrize("order", itertools.permutations(CHOSEN))
@pytest.mark.parametrize("name", ["debug", "ucf24_slowfast_r50"])
def test_a_data_set_is_chosen_before_its_settings(name: str, order: tuple[str, ...]):
    data = override(load(name), {path: CHOSEN[path] for path in order}).data
    assert data == AvaData(root="x", source="custom", cap=3)


def test_the_settings_of_another_data_set_go_and_those_of_the_same_stay():
    assert override(load("debug"), {"data.source": "jhmdb"}).data == JHMDBData()
    assert override(load("jhmdb_slowfast_r50"), {"data.source": "jhmdb"}) == load("jhmdb_slowfast_r50")


@pytest.mark.parametrize("by", ["head", "head.name"])
def test_a_head_is_chosen_before_its_settings(by: str):
    recipe = override(load("debug"), {"head.reduce": "64", "roi.size": "5", by: "acar"})
    assert recipe.head == acar.Config(reduce=64)
    assert recipe.roi is not None
    assert asdict(recipe.roi) == {**asdict(acar.Config().roi), "size": 5}  # of the new head, not of the old one
    kept = override(load("debug"), {"head.dropout": "0.25", "head.name": "linear"})
    assert kept.head == linear.Config(dropout=0.25)


@pytest.mark.parametrize("by", ["backbone", "backbone.family"])
def test_a_backbone_is_chosen_before_its_settings(by: str):
    value = {"backbone": "slowonly_r50_4x16", "backbone.family": "slowonly"}[by]
    other = override(load("debug"), {"backbone.width": "32", by: value}).backbone
    assert other == override(override(load("debug"), {by: value}), {"backbone.width": "32"}).backbone
    assert type(other) is not type(load("debug").backbone)


@pytest.mark.parametrize("name", ["own", "own_small", "debug", "debug_acfb", "stage_acar"])
def test_labels_of_one_s_own_that_are_not_there_are_listed(name: str, tmp_path: Path):
    data = override(load(name), {"data.root": json.dumps(str(tmp_path / "none"))}).data
    assert isinstance(data, AvaData)
    for ask in (data.label_map, lambda: data.samples("train")):
        with pytest.raises(InputError) as caught:
            ask()
        told = str(caught.value)
        wanted = (data.train, data.labels, data.videos)
        assert all(f"{tmp_path / 'none' / file}: " in told for file in wanted), told
        for remedy in ("relact data convert", "relact data stage", "--set data.root="):
            assert remedy in told.splitlines()[0]


def test_what_is_there_is_not_asked_for(tmp_path: Path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "train.csv").write_text("")
    data = AvaData(root=str(tmp_path), train="train.csv", val="val.csv", labels="ava60")
    assert len(data.label_map()) == 60
    assert data.samples("train") == []
    with pytest.raises(InputError, match=r"1 of 2 .*\n  .*val\.csv: "):
        data.samples("val")


def test_an_unknown_recipe_is_told_with_the_nearest_and_where_all_are_listed():
    with pytest.raises(InputError) as caught:
        load("acar_r5")
    told = str(caught.value)
    assert told.startswith("no recipe named 'acar_r5'; did you mean 'acar_r50'?")
    assert "relact recipes" in told
    assert sum(name in told for name in available()) <= 2


def test_recipes_as_json_with_and_without_list():
    runner = CliRunner()
    short, long = runner.invoke(app, ["recipes", "--json"]), runner.invoke(app, ["recipes", "list", "--json"])
    assert short.exit_code == long.exit_code == 0
    assert json.loads(short.stdout) == json.loads(long.stdout)
    assert isinstance(runner.invoke(app, ["recipes", "--json", "show", "debug"]).exception, InputError)
