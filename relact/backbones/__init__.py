"""Backbones by name: presets of every published net that relact knows, and configurations to and from JSON."""

from collections.abc import Mapping
from dataclasses import asdict
from difflib import get_close_matches
from typing import Any

from relact.backbones.base import Backbone, BackboneConfig
from relact.backbones.presets import PRESETS
from relact.backbones.slowfast import SlowFastConfig
from relact.backbones.slowonly import SlowOnlyConfig
from relact.backbones.torchvision_nets import TorchvisionConfig
from relact.errors import InputError

__all__ = [
    "FAMILIES",
    "PRESETS",
    "Backbone",
    "BackboneConfig",
    "available",
    "config",
    "family",
    "from_dict",
    "to_dict",
]

FAMILIES: dict[str, type[BackboneConfig]] = {
    "slowfast": SlowFastConfig,
    "slowonly": SlowOnlyConfig,
    "torchvision": TorchvisionConfig,
}
"""Configuration classes by the name that a recipe.json gives them."""


def available() -> list[str]:
    """The names of all presets."""
    return list(PRESETS)


def config(name: str) -> BackboneConfig:
    """The preset of a name; InputError with the nearest name for an unknown one."""
    if name in PRESETS:
        return PRESETS[name]
    raise InputError(f"no backbone is called {name!r}{_nearest(name, PRESETS)}; `relact backbones` lists them")


def family(config: BackboneConfig) -> str:
    """The family that a configuration belongs to."""
    return next(name for name, kind in FAMILIES.items() if type(config) is kind)


def to_dict(config: BackboneConfig) -> dict[str, Any]:
    """A configuration as plain values, with its family."""
    return {"family": family(config), **asdict(config)}


def from_dict(values: Mapping[str, Any]) -> BackboneConfig:
    """The configuration that `to_dict` wrote; InputError for an unknown family, pydantic's for a wrong field."""
    fields = dict(values)
    name = fields.pop("family", None)
    if name not in FAMILIES:
        raise InputError(f"backbone family: expected one of {', '.join(FAMILIES)}, got {name!r}")
    return FAMILIES[name](**fields)


def _nearest(name: str, names: Mapping[str, object]) -> str:
    nearest = get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
