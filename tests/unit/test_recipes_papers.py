"""The papers' tables as recipes: no row is missing, every recipe builds, every value says where it comes from."""

import dataclasses
import json
import re

import pytest
import torch
from typer.testing import CliRunner

from relact.cli import app
from relact.data.transforms import TransformConfig
from relact.labels import LabelMap
from relact.metrics.frames import label_map
from relact.model import ActionDetector
from relact.recipe import Recipe, build_model, from_dict, override, settings_of, to_dict
from relact.recipes import EXPERIMENTS, load
from relact.recipes.layers import STAND_IN, source_of
from relact.recipes.tables import ROWS
from relact.train.loop import TrainConfig
from relact.train.optim import OptimConfig, for_batch

# The figures of every table, in the order of print (papers' text; test-set figures of ensembles beside those of val).
PRINTED = {
    ("ACAR-Net", "Table 1a"): "26.10 26.71 26.79 27.83",
    ("ACAR-Net", "Table 1b"): "25.39 27.83 28.84",
    ("ACAR-Net", "Table 1c"): "26.97 27.18 27.83",
    ("ACAR-Net", "Table 1d"): "27.62 27.83",
    ("ACAR-Net", "Table 1e"): "27.63 27.83 27.25",
    ("ACAR-Net", "Table 1f"): "27.83 27.75 28.84",
    ("ACAR-Net", "Table 2"): "17.4 22.2 25.0 25.8 27.4 24.8 26.3 28.3 30.0",
    ("ACAR-Net", "Table 3"): "29.0 32.3 31.4 33.3",
    ("ACAR-Net", "Table 4"): "32.91 31.88 32.98 35.84 36.36 40.49",
    ("ACAR-Net", "Table 5"): "67.3 69.5 75.0 76.3 77.9 78.8 78.8 82.4 84.3",
    ("AMCRNet", "Table 1"): "24.8 27.5 29.8 28.84 28.0 29.2 28.77 29.17 29.85 30.23 29.8 32.26 33.3 33.6 34.2",
    ("AMCRNet", "Table 2a"): "20.6 21.9 22.77 23.46 23.88",
    ("AMCRNet", "Table 2b"): "21.13 22.45 22.92 23.16 23.02",
    ("AMCRNet", "Table 2c"): "23.16 23.62 23.65 23.46 23.88",
    ("AMCRNet", "Table 2d"): "23.61 23.32 23.75 23.88",
    ("AMCRNet", "Table 2e"): "24.21 24.72 25.64 25.85",
    ("AMCRNet", "Table 2f"): "25.62 25.64",
    ("AMCRNet", "Table 3"): "78.8 84.3 84.8 84.9",
    ("MRSN", "Table 1"): "17.4 24.8 26.3 25.8 26.8 28.3 27.2 28.4",
    ("MRSN", "Table 2"): "20.9 25.6 29.1 29.8 32.3 33.3 28.3 29.2 32.1 33.5",
    ("MRSN", "Table 3"): "69.5 75.0 75.5 76.3 78.7 78.8 80.3",
    ("MRSN", "Table 4"): "20.94 22.35 21.69 22.89 23.21 24.22",
    ("IGMN", "Table 1a"): "29.32 28.92 30.11 29.26 30.76 29.21",
    ("IGMN", "Table 1b"): "26.52 30.76 30.19",
    ("IGMN", "Table 1c"): "26.52 28.95 30.76",
    ("IGMN", "Table 1d"): "30.76 30.57 30.35 31.22",
    ("IGMN", "Table 1e"): "31.22 30.51 30.91 30.33",
    ("IGMN", "Table 1f"): "30.76 31.10 31.22 31.15",
    ("IGMN", "Table 2"): "22.2 24.2 25.8 27.2 28.0 28.3 28.9 30.2 29.3 29.8 32.2 31.2 33.0",
    ("STC", "Table 1"): "24.80 26.50 26.75 26.65 27.02",
    ("STC", "Table 2"): "24.80 25.00 25.80 25.80 25.90 26.71 27.02",
}


def test_no_row_of_the_papers_is_missing():
    listed: dict[tuple[str, str], list[str]] = {}
    for row in ROWS:
        listed.setdefault((row.paper, row.table), []).append(re.match(r"[\d.]+", row.figure)[0])  # type: ignore[index]
    assert {place: " ".join(figures) for place, figures in listed.items()} == PRINTED


def test_every_row_has_its_recipe_or_says_why_not():
    assert all((row.recipe in EXPERIMENTS) if row.recipe else row.note for row in ROWS)
    own = [row for row in ROWS if re.match(r"Ours|AMCRNet|MRSN|IGMN", row.row)]
    assert [row.row for row in own if row.recipe is None] == ["Ours++, ensemble"]
    assert len(own) > 20
    assert set(EXPERIMENTS) - {row.recipe for row in ROWS} == {"jhmdb_slowfast_r50"}


def test_rows_of_kinetics_700_whose_weights_stand_in_all_say_so_in_the_same_words():
    """SlowFast R50 4x16 and MMAction2's R101: all of IGMN's ablations and R50 rows, AIA's R50, AMCRNet's R101."""
    said = [row for row in ROWS if STAND_IN in row.note]
    assert all(row.note.endswith(f"pre-trained on {STAND_IN}") for row in said)
    assert {row.recipe for row in said} == {
        name for name in EXPERIMENTS if name.startswith("igmn_") and name != "igmn_r101"
    } | {"aia_r50", "aia_r50_ava21", "amcrnet_slim_r101"}  # fmt: skip
    assert {(row.paper, row.table) for row in said if row.recipe == "aia_r50"} == {
        ("AMCRNet", "Table 1"), ("MRSN", "Table 2"), ("IGMN", "Table 2")
    }  # fmt: skip
    for row in said:  # none of them starts from Kinetics-700
        assert row.recipe is not None
        assert "_k400_" in str(load(row.recipe).train.init)
    own = [row for row in ROWS if (row.recipe or "").startswith("aia_")]
    assert len(own) == 8
    assert all("non-local blocks" in row.note for row in own)


def _defaults(recipe: Recipe) -> Recipe:
    """What nobody set: the same data set, backbone and head as they come."""
    return Recipe(
        name=recipe.name, data=type(recipe.data)(), backbone=recipe.backbone, head=type(recipe.head)(),
        transform=TransformConfig(), optim=OptimConfig(), train=TrainConfig(),
    )  # fmt: skip


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_recipe_goes_to_json_and_back_and_tells_where_its_values_come_from(name: str):
    recipe, sources = load(name), EXPERIMENTS[name].sources()
    assert from_dict(json.loads(json.dumps(to_dict(recipe)))) == recipe
    standard = settings_of(_defaults(recipe))
    unsaid = [
        path
        for path, value in settings_of(recipe).items()
        if path != "name" and value != standard.get(path) and source_of(path, sources) is None
    ]
    assert unsaid == []
    assert {"backbone", "head", "train.init", "optim.lr", "optim.lr_batch", "data.source"} <= sources.keys() | (
        {"data.source"} if "data" in sources else set()
    )


def _networks() -> dict[str, list[str]]:
    """Names of recipes, one for each network: many differ in their data alone."""
    found: dict[str, list[str]] = {}
    for name in EXPERIMENTS:
        recipe = load(name)
        found.setdefault(repr((recipe.backbone, recipe.head, recipe.roi, _labels(recipe))), []).append(name)
    return found


def _labels(recipe: Recipe) -> LabelMap:
    if recipe.data.source == "jhmdb":
        return label_map("jhmdb")
    return LabelMap.load(getattr(recipe.data, "labels", "ucf24"))


@pytest.mark.parametrize("name", [names[0] for names in _networks().values()])
def test_every_network_builds(name: str):
    recipe = load(name)
    with torch.device("meta"):
        model = build_model(recipe, _labels(recipe))
    assert isinstance(model, ActionDetector)
    assert recipe.memory.mode == "none" or model.head.memory is not None
    offline = recipe.memory.mode == "offline"
    assert not offline or recipe.memory.producer != "auto" or recipe.head.without_memory() is not None


def test_later_layers_win_and_groups_end_what_was_set_inside_them():
    assert load("acar_r101_acfb").train.epochs == 5
    assert load("acar_r101_acfb").optim.milestones == (4.6, 4.8)
    assert load("igmn_expand150").roi == dataclasses.replace(load("igmn_r50").roi, expand=1.5)  # type: ignore[type-var]
    assert load("igmn_r50").roi is not None
    assert load("igmn_r50").roi.expand == 1.25  # type: ignore[union-attr]  # the layer itself is not written into
    assert "head.window" not in EXPERIMENTS["ava_kinetics_acar_r101"].sources()
    assert load("ava_kinetics_acar_r101").head == load("acar_r101_acfb").head.without_memory()


def test_the_rate_follows_the_batch():
    recipe = override(load("acar_r50"), {"train.batch_size": "8"})
    assert for_batch(recipe.optim, recipe.train.batch_size).lr == pytest.approx(0.016)
    assert for_batch(dataclasses.replace(recipe.optim, lr_batch=None), 8).lr == 0.064


def test_the_command_lists_rows_and_shows_sources():
    whole = CliRunner().invoke(app, ["recipes"])
    assert whole.exit_code == 0
    assert "HR2O + ACFB" in whole.output
    assert "stage_acar" in whole.output
    shown = json.loads(CliRunner().invoke(app, ["recipes", "show", "acar_r50_acfb", "--json"]).output)
    told = {entry["setting"]: entry for entry in shown["settings"]}
    assert told["head.window"]["value"] == 10
    assert told["optim.lr"]["source"].startswith("Sec. 4.1")
    assert told["data.root"]["source"] == "default"
    assert [row["figure"] for row in shown["published"]] == ["28.84"] * 3
