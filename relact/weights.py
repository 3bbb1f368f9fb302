"""What `relact weights` does: list, fetch and convert published weights; where those are that ship."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from relact import backbones
from relact.backbones.pretrained import LoadReport, convert_file, fitting_presets, load_published
from relact.errors import InputError, at
from relact.interop.catalog import Published, published
from relact.interop.fetch import Progress, weights_folder, weights_path
from relact.interop.files import atomic_path, sha256_of

SHIPPED = Path(__file__).parent / "shipped"
"""run folders that come with the package, and the person detector of their world (docs/stage.md)"""
DETECTOR = SHIPPED / "people.safetensors"


def shipped() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/model.safetensors"))


def run_folder(weights: str | Path) -> Path | None:
    """The run folder that is meant: a path, or a shipped model by name; None for anything else."""
    if Path(weights).is_dir():
        return Path(weights)
    return SHIPPED / str(weights) if str(weights) in shipped() else None


def list_weights() -> list[dict[str, Any]]:
    """All public weights that relact can read, one row each, as plain values."""
    return [_row(entry) for entry in published()]


def fetch(name: str, progress: Progress | None = None) -> Path:
    """The file of a catalogue entry, fetched if need be and checked; InputError with the nearest name."""
    return weights_path(find(name), progress)


def find(name: str) -> Published:
    """The catalogue entry of a name; InputError with the nearest one."""
    entries = {entry.name: entry for entry in published()}
    if name not in entries:
        nearest = get_close_matches(name, entries, n=1, cutoff=0.4)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise InputError(f"no published weights are called {name!r}{hint}; `relact weights list` names them")
    return entries[name]


def convert(path: str | Path, layout: str | None = None, *, out: str | Path, preset: str | None = None) -> LoadReport:
    """Writes a published checkpoint under our names as a safetensors file, after checking it against a preset.

    `layout` and `preset` are found out where not given. The file's notes say layout, source, its sha256, and the
    presets that it fits.
    """
    path, out = Path(path), Path(out)
    if out.suffix != ".safetensors":
        raise InputError(f"{out}: expected a name that ends with .safetensors")
    layout, state = convert_file(path, layout)
    fits = [preset] if preset is not None else fitting_presets(state)
    if not fits:
        raise InputError(
            f"{at(path)}: fits none of the backbones that relact knows (layout {layout}); "
            "give --preset to see what is missing"
        )
    report = load_published(backbones.config(fits[0]).build(), path, layout)
    notes = {
        "layout": layout,
        "source": path.name,
        "source_sha256": sha256_of(path),
        "presets": ", ".join(fits),
    }
    with atomic_path(out) as temporary:
        # Clones, since safetensors refuses tensors that share memory, as slices of one do.
        whole = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
        save_file(whole, temporary, notes)
    return report


def _row(entry: Published) -> dict[str, Any]:
    return {
        "name": entry.name,
        "kind": entry.kind,
        "architecture": entry.preset or entry.file.partition("-")[0],
        "good_for": entry.good_for,
        "trained_on": entry.trained_on,
        "figure": entry.figure,
        "layout": entry.layout,
        "size": f"about {entry.about_bytes / 1e6:.0f} MB",
        "licence": entry.licence,
        "url": entry.url,
        "file": entry.file,
        "by_hand": entry.by_hand,
        "cached": (weights_folder() / entry.file).is_file(),
    }
