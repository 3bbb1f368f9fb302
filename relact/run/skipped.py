"""The keyframes of a recipe's split, and what `data.skip_bad` left out of them: told, and kept in the run's folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from relact.data.samples import Sample
from relact.errors import InputError
from relact.interop.faults import Faults
from relact.interop.files import atomic_path
from relact.recipe import Recipe
from relact.train.distributed import is_first

SKIPPED = "skipped.json"
"""in the folder of a run or a bank: split → `count`, and the `first` few messages; not there where all was used"""
_SHOWN = 3


def samples_of(
    recipe: Recipe, split: Literal["train", "val"], folder: Path, *, say: Callable[[str], None]
) -> tuple[list[Sample], int]:
    """The samples, and how many faults were left out; of several processes the first tells and writes.

    Raises InputError as the data set does, and where nothing is left.
    """
    faults = Faults(skip=recipe.data.skip_bad)
    samples = recipe.data.samples(split, faults)
    told = f"{faults.count} fault(s), such as\n  " + "\n  ".join(faults.skipped[:_SHOWN])
    if faults.count and not samples:
        raise InputError(f"{recipe.name}: nothing is left of the {split} split of {recipe.data.root} without {told}")
    if is_first():
        if faults.count:
            say(f"warning: the {split} split is without {told}")
        _keep(folder / SKIPPED, split, faults)
    return samples, faults.count


def _keep(path: Path, split: str, faults: Faults) -> None:
    """Writes the split's faults instead of those that an earlier run left there."""
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        known = {}
    known.pop(split, None)
    if faults.count:
        known[split] = {"count": faults.count, "first": faults.skipped}
    if known:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        path.unlink(missing_ok=True)
