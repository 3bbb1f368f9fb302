"""What recipes of published experiments are made of: settings, each with the place that it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from relact.recipe import Recipe, compose

STAND_IN = "Kinetics-700, whose weights are not public: those of Kinetics-400 stand in"
"""Ends the source of such a backbone; every row of a table whose recipe has one gets it as its note."""


@dataclass(frozen=True)
class Layer:
    """Settings by their paths, and where all of them come from: a section of a paper, released code, or our choice."""

    source: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Experiment:
    """A recipe made of layers, of which the later win."""

    name: str
    summary: str
    layers: tuple[Layer, ...]

    def __call__(self) -> Recipe:
        return compose(self.name, {path: value for path, (value, _) in self._settings().items()})

    def sources(self) -> dict[str, str]:
        """Path → where its value comes from."""
        return {path: source for path, (_, source) in self._settings().items()}

    def _settings(self) -> dict[str, tuple[Any, str]]:
        """Path → value and source, in order; what sets a group as a whole ends all that was set inside it."""
        found: dict[str, tuple[Any, str]] = {}
        for layer in self.layers:
            for path, value in layer.values.items():
                for old in [known for known in found if known == path or known.startswith(f"{path}.")]:
                    del found[old]
                found[path] = value, layer.source
        return found

    def varied(self, name: str, summary: str, *layers: Layer) -> "Experiment":
        """The same with more on top."""
        return Experiment(name, summary, (*self.layers, *layers))


class Row(NamedTuple):
    """A row of a published table."""

    paper: str
    table: str
    row: str
    figure: str
    """as printed: frame-mAP"""
    recipe: str | None
    """None: nothing here can run it, and `note` says why"""
    note: str = ""


def source_of(path: str, sources: Mapping[str, str]) -> str | None:
    """Where a setting comes from: itself or the nearest group that was set as a whole; None = a default."""
    while path:
        if path in sources:
            return sources[path]
        path = path.rpartition(".")[0]
    return None
