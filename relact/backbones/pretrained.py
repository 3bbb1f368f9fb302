"""Loads published weights into a backbone, or into a model around one, and says exactly what fitted."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from relact.backbones import layouts
from relact.backbones.base import Backbone, BackboneConfig
from relact.backbones.presets import PRESETS
from relact.errors import InputError, at
from relact.interop.checkpoints import read_checkpoint

Shape = tuple[int, ...]

LAYOUTS = tuple(layouts.RULES)
"""The names that `layout` may take."""

_COUNTER = "num_batches_tracked"
"""A buffer of batch norms that older files lack, and that nothing here reads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadReport:
    """What a file gave to a model; names are the model's own, but for `unexpected`."""

    path: Path
    layout: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    """parameters outside the backbone that the file does not have"""
    unexpected: tuple[str, ...]
    """tensors of the file's head that the model has no place for (our names)"""
    mismatched: tuple[tuple[str, Shape, Shape], ...]
    """name, the file's shape, the model's: of heads with other classes, not loaded"""

    def __str__(self) -> str:
        """The lines, joined."""
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """The report for a screen, one line a fact."""
        lines = [f"{self.path}: {len(self.matched)} tensors loaded (layout {self.layout})"]
        if self.missing:
            lines.append(f"left as they were, not in the file: {_some(self.missing)}")
        if self.mismatched:
            shapes = [f"{name} {list(theirs)} for {list(ours)}" for name, theirs, ours in self.mismatched]
            lines.append(f"left as they were, of another shape: {_some(shapes)}")
        if self.unexpected:
            lines.append(f"in the file, not used: {_some(self.unexpected)}")
        return lines


def convert(state: Mapping[str, Tensor | np.ndarray], layout: str | None = None) -> dict[str, Tensor]:
    """A checkpoint's tensors under our names; `layout` is one of LAYOUTS, None finds it out.

    Heads come as `head.…` (`head.proj` where a layout has a plain linear one). A name that the layout does not know
    is kept, so that loading can report it.
    """
    layout = layout or detect_layout(state)
    if layout not in layouts.RULES:
        raise InputError(f"layout: expected one of {', '.join(LAYOUTS)}, got {layout!r}")
    named = ((layouts.canonical(name, layout), name, value) for name, value in state.items())
    result = {ours: _tensor(value) for ours, _, value in named if ours is not None}
    if layout == "pyslowfast_caffe2":
        return {name: _with_trailing_ones(name, value) for name, value in result.items()}
    if layout == "mmaction2" and any("bbox_head.fc_cls" in name for name in state):
        # Row 0 of MMAction2's detection classifier is unused; without it rows are ids from 1, as everywhere else.
        return {name: value[1:] if name.startswith("head.proj.") else value for name, value in result.items()}
    return result


def convert_file(path: str | Path, layout: str | None = None) -> tuple[str, dict[str, Tensor]]:
    """A checkpoint file's layout and its tensors under our names."""
    state = read_checkpoint(path)
    try:
        layout = layout or detect_layout(state)
        return layout, convert(state, layout)
    except InputError as error:
        raise InputError(f"{at(path)}: {error}") from error


def detect_layout(state: Mapping[str, object]) -> str:
    """The layout of a checkpoint, by its names; InputError if no known layout has such names."""
    layout = layouts.detect(state)
    if layout is None:
        raise InputError(
            f"no known layout ({', '.join(LAYOUTS)}) has names such as {_some(list(state))}; "
            "expected a SlowOnly, SlowFast or torchvision video net"
        )
    return layout


def load_published(model: nn.Module, path: str | Path, layout: str | None = None) -> LoadReport:
    """Loads a file into a Backbone, or into a model with a `backbone`, in place.

    Every tensor of the backbone must be in the file with its shape, and the file may have no further ones: otherwise
    InputError, which names the first few and the presets that the file fits, and the model is as it was. Tensors of
    heads are loaded where name and shape agree, and reported where not.
    """
    path = Path(path)
    layout, file = convert_file(path, layout)
    prefix = "" if isinstance(model, Backbone) else "backbone."
    file = {name if name.startswith("head.") else prefix + name: value for name, value in file.items()}
    ours = model.state_dict()
    _check_backbone(path, file, ours, prefix)
    if layout == "amcrnet":
        file = _without_background(file, ours)
    if "classifier.weight" in ours:  # an ActionDetector keeps a head's last layer there (ACAR-Net calls it fc2)
        file = {re.sub(r"^head\.(proj|fc2)\.", "classifier.", name): value for name, value in file.items()}
    fitting = {name: value for name, value in file.items() if name in ours and value.shape == ours[name].shape}
    model.load_state_dict(fitting, strict=False)
    return LoadReport(
        path=path,
        layout=layout,
        matched=tuple(fitting),
        missing=tuple(name for name in ours if name not in file and not name.endswith(_COUNTER)),
        unexpected=tuple(name for name in file if name not in ours and not name.endswith(_COUNTER)),
        mismatched=tuple(
            (name, tuple(file[name].shape), tuple(value.shape))
            for name, value in ours.items()
            if name in file and name not in fitting
        ),
    )


def _without_background(file: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A classifier whose row 0 (of no action, unused) is dropped for a model that lacks just this row."""
    classes = ours["classifier.weight"].shape[0] if "classifier.weight" in ours else None
    return {
        name: value[1:] if name.startswith("head.proj.") and len(value) - 1 == classes else value
        for name, value in file.items()
    }


def fitting_presets(state: Mapping[str, Tensor]) -> list[str]:
    """The presets whose backbone has just these names and shapes (our names; heads and counters are left out)."""
    shapes = _shapes(state)
    return [name for name, config in PRESETS.items() if _shapes(_on_meta(config)) == shapes]


def _on_meta(config: BackboneConfig) -> dict[str, Tensor]:
    with torch.device("meta"):
        return config.build().state_dict()


def _shapes(state: Mapping[str, Tensor]) -> dict[str, Shape]:
    return {
        name: tuple(value.shape)
        for name, value in state.items()
        if not name.startswith("head.") and not name.endswith(_COUNTER)
    }


def _check_backbone(path: Path, file: Mapping[str, Tensor], ours: Mapping[str, Tensor], prefix: str) -> None:
    """InputError unless the file's backbone is ours, tensor by tensor."""
    theirs = _shapes(file)
    wanted = {name: shape for name, shape in _shapes(ours).items() if name.startswith(prefix)}
    missing = [name for name in wanted if name not in theirs]
    further = [name for name in theirs if name not in wanted]
    differing = [
        f"{name} {list(theirs[name])} for {list(shape)}"
        for name, shape in wanted.items()
        if name in theirs and theirs[name] != shape
    ]
    if not (missing or further or differing):
        return
    counts = [
        f"{len(names)} {what} ({_some(names)})"
        for names, what in (
            (missing, "not in it"),
            (further, "that we do not have"),
            (differing, "of another shape"),
        )
        if names
    ]
    presets = fitting_presets({name.removeprefix(prefix): value for name, value in file.items()})
    fits = f"it fits: {', '.join(presets)}" if presets else "it fits none of the presets"
    raise InputError(f"{at(path)}: weights of another architecture: {'; '.join(counts)}; {fits}")


def _tensor(value: Tensor | np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value


def _with_trailing_ones(name: str, value: Tensor) -> Tensor:
    """Caffe2 drops trailing dimensions of 1 (or has too many): convolutions get five, linear weights two."""
    if not name.endswith(".weight") or value.ndim < 2:
        return value
    dimensions = 2 if name.startswith("head.proj") else 5
    return value.reshape(value.shape[:dimensions] + (1,) * (dimensions - value.ndim))


def _some(names: list[str] | tuple[str, ...]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
