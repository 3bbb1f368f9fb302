"""Going on with a run that was stopped: only with the same recipe on the same data."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from relact.data.samples import Sample
from relact.errors import InputError
from relact.recipe import Recipe, from_dict, settings_of
from relact.train.checkpoint import STATE, forget, read_state, tidy
from relact.train.distributed import is_first, told, wait
from relact.train.evaluate import METRICS
from relact.train.loop import IMMATERIAL

FREE = {"name", "data.root", "data.skip_bad", "data.ava.skip_bad", *(f"train.{field}" for field in IMMATERIAL)}
"""what may be another when a run goes on; that the data is the same is seen from the data"""
SHOWN = 12
_CLASSES = "head.name", "backbone.family", "data.source", "optim.kind", "loss.kind"
"""settings that others hang on: shown first where they differ"""


def begin(
    recipe: Recipe, samples: Sequence[Sample], out: Path, *, resume: bool, say: Callable[[str], None]
) -> dict[str, Any] | None:
    """The state to go on from; None for a run from the beginning, which removes what an earlier one has left.

    Raises InputError for a state of another recipe, with the fields that differ, and of other data.
    """
    state = read_state(out) if resume and told((out / STATE).is_file) else None
    if state is not None:
        _require_same(out, state, recipe, samples)
    elif resume:
        say(f"{out}: nothing has been saved there: training begins at the beginning")
    wait()  # until all have read it
    if is_first():
        if state is None:
            forget(out)
        tidy(out)
        (out / METRICS).unlink(missing_ok=True)
    wait()
    return state


def _require_same(out: Path, state: dict[str, Any], recipe: Recipe, samples: Sequence[Sample]) -> None:
    before, now = settings_of(from_dict(state["recipe"], str(out / STATE))), settings_of(recipe)
    other = [name for name in {*before, *now} - FREE if before.get(name) != now.get(name)]
    other.sort(key=lambda name: (_CLASSES.index(name) if name in _CLASSES else len(_CLASSES), name))
    if other:
        shown = [f"{name}: was {before.get(name)!r}, now {now.get(name)!r}" for name in other[:SHOWN]]
        more = [f"and {len(other) - SHOWN} more"] if len(other) > SHOWN else []
        raise InputError(
            f"{out}: a run with other settings; give these as they were, or leave out --resume to begin anew\n  "
            + "\n  ".join([*shown, *more])
        )
    if state["data"] != digest(samples):
        raise InputError(
            f"{out}: a run on other keyframes, boxes or labels than those of {recipe.data.root} now; put these back, "
            "or leave out --resume to begin anew"
        )


def digest(samples: Sequence[Sample]) -> str:
    """Of everything that is learnt from, but the pictures."""
    whole = hashlib.sha256()
    for sample in samples:
        whole.update(repr((*sample.key, sample.time, sample.frame)).encode())
        for values in (sample.boxes, sample.labels, sample.person):
            whole.update(values.tobytes())
    return whole.hexdigest()
