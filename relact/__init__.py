"""relact: relational action detection. Who does what, with what and with whom, second by second, in any video."""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from relact.backbones.pretrained import load_published
    from relact.errors import InputError
    from relact.labels import LabelMap
    from relact.model import ActionDetector
    from relact.recipe import Recipe
    from relact.run import create_model, detect, evaluate, load_model
    from relact.types import Actors, Batch, Clip, Detections, Keyframe, Memory, Relations, Scene, View

_HOMES = {
    "InputError": "errors",
    "LabelMap": "labels",
    "Actors": "types", "Batch": "types", "Clip": "types", "Detections": "types", "Keyframe": "types",
    "Memory": "types", "Relations": "types", "Scene": "types", "View": "types",
    "ActionDetector": "model",
    "Recipe": "recipe",
    "create_model": "run", "load_model": "run", "detect": "run", "evaluate": "run",
    "load_published": "backbones.pretrained",
}  # fmt: skip

__all__ = [
    "ActionDetector",
    "Actors",
    "Batch",
    "Clip",
    "Detections",
    "InputError",
    "Keyframe",
    "LabelMap",
    "Memory",
    "Recipe",
    "Relations",
    "Scene",
    "View",
    "create_model",
    "detect",
    "evaluate",
    "load_model",
    "load_published",
]


def __getattr__(name: str) -> object:
    """Imports a public name's home when it is first used: `import relact` alone must not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'relact' has no attribute {name!r}")
    return getattr(importlib.import_module(f"relact.{_HOMES[name]}"), name)
