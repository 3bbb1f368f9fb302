"""The head of the tutorial is one that the library would take, and its file trains by itself."""

import dataclasses
import inspect
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import relact
from relact import heads
from relact.losses import action_loss
from relact.recipe import build_model, override, to_dict
from relact.recipes import load
from relact.run.look import open_looker
from relact.run.training import loader
from relact.train.checkpoint import save_model
from relact.train.optim import optimiser
from relact.train.step import Objective, train_step
from tests.heads import test_contract as contract
from tests.make_stage import make_stage

ROOT = Path(__file__).resolve().parent.parent.parent
FILE = ROOT / "examples" / "my_head.py"
PAGE = ROOT / "docs" / "tutorials" / "new-head.md"
RULES = {name: rule for name, rule in vars(contract).items() if name.startswith("test_")}


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The file was run, so the library knows its folder; afterwards it knows its own heads alone."""
    before = list(heads.__path__)
    monkeypatch.setitem(sys.modules, "tests.heads.test_my_head", ModuleType("its_test"))  # a head's own; none is dead
    runpy.run_path(str(FILE))
    yield
    heads.__path__[:] = before
    sys.modules.pop("relact.heads.my_head", None)


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_stage(tmp_path_factory.mktemp("play"))


def test_the_page_shows_the_file_as_it_is():
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert blocks[0] == FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize("rule", RULES)
def test_it_keeps_the_contract_of_heads(rule: str):
    test, config = RULES[rule], dataclasses.replace(heads.preset("my_head"), width=16, heads=2)
    if "counts" in inspect.signature(test).parameters:
        test("my_head:default", config, (0,))
        test("my_head:default", config, (0, 0, 0))
    else:
        test("my_head:default", config)


def test_the_width_must_be_shared_among_the_heads():
    with pytest.raises(ValueError, match="divisor of the width 10, got 4"):
        contract.built(dataclasses.replace(heads.preset("my_head"), width=10))


def test_its_recipe_learns_and_what_was_learnt_is_found_again(play: Path, tmp_path: Path):
    settings = {"data.root": str(play), "transform.short_side": "48", "head.width": "32"}
    recipe = override(load(str(FILE)), settings)
    model = build_model(recipe, recipe.data.label_map())
    batch = next(iter(loader(recipe, recipe.data.samples("train"), training=True)))
    steps = optimiser(model, recipe.optim)

    def loss() -> float:
        with torch.no_grad():
            logits = model(batch.frames, batch.actors, valid=batch.valid).logits
        return float(action_loss(logits, batch.labels, exclusive=model.exclusive, config=recipe.loss))

    objective = Objective(model, loss=recipe.loss, dtype=torch.float32)
    before = loss()
    for _ in range(5):
        train_step(objective, [batch], steps, clip_norm=recipe.optim.clip_norm)
    assert loss() < before

    save_model(tmp_path / "run", model, to_dict(recipe), model.labels)
    again = relact.load_model(tmp_path / "run")
    assert type(again.head).__name__ == "LookAround"
    model.eval()
    with torch.no_grad():
        expected, got = (m(batch.frames, batch.actors, valid=batch.valid).logits for m in (model, again))
    assert torch.equal(got, expected)


def test_where_it_looks_is_drawn(play: Path, tmp_path: Path):
    recipe = override(load(str(FILE)), {"data.root": str(play), "transform.short_side": "48"})
    model = build_model(recipe, recipe.data.label_map())
    save_model(tmp_path / "run", model, to_dict(recipe), model.labels)
    video = play / "videos" / "stage_3_0000.mp4"
    looker = open_looker(video, weights=tmp_path / "run", boxes=play / "people.csv")
    picture = looker.picture(2.0, person=1)
    (heats,) = picture.sections
    (heat,) = heats.heats
    assert heat.title == "places"
    assert heat.values.shape == (3, 9)
    np.testing.assert_allclose(heat.values.sum(), 1, atol=1e-5)
    assert picture.png().startswith(b"\x89PNG")


@pytest.mark.slow
def test_every_command_of_the_page_runs_as_it_stands(tmp_path: Path):
    shutil.copy(FILE, tmp_path)
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = [line.split("#")[0].split() for block in blocks for line in block.splitlines()]
    assert len(lines) >= 9
    for program, *words in lines:
        call = [sys.executable, *(["-m", "relact"] if program == "relact" else []), *words]
        done = subprocess.run(call, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, f"{words}: {done.stderr}"
    assert (tmp_path / "looked.png").stat().st_size > 10_000
