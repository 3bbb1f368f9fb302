"""Recipes: functions that return a `Recipe`. Found by name, or in a file of one's own."""

import importlib.util
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from relact.errors import InputError
from relact.recipe import Recipe, read
from relact.recipes.ava import ACAR, MRSN
from relact.recipes.ava_kinetics import AVA_KINETICS
from relact.recipes.ava_more import AIA, AMCRNET, IGMN, SLOWFAST, STC
from relact.recipes.debug import debug
from relact.recipes.jhmdb import JHMDB
from relact.recipes.layers import Experiment
from relact.recipes.memory import debug_acfb, debug_aia, debug_hrafb, debug_hrfb, debug_igmn, debug_lfb, debug_lrb
from relact.recipes.own import own, own_small
from relact.recipes.stage import STAGE
from relact.recipes.ucf24 import UCF24, ucf24_small

_DEBUG = (debug, debug_acfb, debug_aia, debug_hrafb, debug_hrfb, debug_igmn, debug_lfb, debug_lrb)
_SHIPPED = (*_DEBUG, ucf24_small, own, own_small, *STAGE)
_PUBLISHED = (*ACAR, *AMCRNET, *MRSN, *IGMN, *STC, *SLOWFAST, *AIA, *AVA_KINETICS, *UCF24, *JHMDB)
EXPERIMENTS: dict[str, Experiment] = {experiment.name: experiment for experiment in _PUBLISHED}
"""The recipes of the papers' tables (`relact.recipes.tables`)."""
RECIPES: dict[str, Callable[[], Recipe]] = {**{recipe.__name__: recipe for recipe in _SHIPPED}, **EXPERIMENTS}


def available() -> list[str]:
    """Names of the recipes that ship."""
    return sorted(RECIPES)


def describe(name: str) -> str:
    """What a shipped recipe is, in a line."""
    if name in EXPERIMENTS:
        return EXPERIMENTS[name].summary
    return (RECIPES[name].__doc__ or "").strip().splitlines()[0]


def load(source: str) -> Recipe:
    """By name, from a `recipe.json` (or a run folder), or from `my_experiment.py:recipe`."""
    file, _, function = source.partition(":")
    if file.endswith(".py"):
        return _from_python(Path(file), function or "recipe")
    if source in RECIPES:
        return RECIPES[source]()
    path = Path(source)
    if path.is_dir() or path.suffix == ".json":
        return read(path / "recipe.json" if path.is_dir() else path)
    near = get_close_matches(source, RECIPES, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    raise InputError(
        f"no recipe named {source!r}{hint} `relact recipes` lists all; or give a recipe.json or file.py:name"
    )


def _from_python(path: Path, function: str) -> Recipe:
    """The user's own file is run: it is their code, on their machine, by their word."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError(f"{path}: no such file; expected my_experiment.py:function")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = vars(module).get(function)
    recipe = made() if callable(made) else made
    if not isinstance(recipe, Recipe):
        raise InputError(f"{path}: expected a function {function}() that returns a Recipe, got {type(recipe).__name__}")
    return recipe
