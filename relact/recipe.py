"""The Recipe: everything that decides a run, to and from JSON, with all mistakes reported at once."""

import copy
import dataclasses
import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, InstanceOf, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from relact import backbones, heads
from relact.backbones.base import BackboneConfig
from relact.config import STRICT
from relact.data.ava import AvaData
from relact.data.ava_kinetics import AvaKineticsData
from relact.data.ava_official import AvaOfficialData
from relact.data.jhmdb import JHMDBData
from relact.data.proposals import BoxesConfig
from relact.data.transforms import TransformConfig
from relact.data.ucf24 import UCF24Data
from relact.errors import InputError
from relact.head import HeadConfig
from relact.heads import linear
from relact.labels import LabelMap
from relact.losses import LossConfig
from relact.model import ActionDetector
from relact.nn.roi import RoIConfig
from relact.train.loop import TrainConfig
from relact.train.memory import MemoryConfig
from relact.train.optim import OptimConfig

T = TypeVar("T")

_PICKS = "data.source", "head", "head.name", "backbone", "backbone.family"
"""settings that choose a class: `override` applies them first, whatever their order"""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Recipe:
    """One experiment. A recipe is a Python function that returns one; a variant is `dataclasses.replace(base(), …)`."""

    name: str
    data: Annotated[UCF24Data | AvaData | AvaOfficialData | AvaKineticsData | JHMDBData, Field(discriminator="source")]
    backbone: InstanceOf[BackboneConfig] = Field(default_factory=lambda: backbones.config("slowfast_r50_8x8"))
    head: InstanceOf[HeadConfig] = Field(default_factory=linear.Config)
    roi: RoIConfig | None = None
    """how boxes are read off the maps; None = as the head's paper does"""
    loss: LossConfig = Field(default_factory=LossConfig)
    transform: TransformConfig = Field(default_factory=TransformConfig)
    optim: OptimConfig = Field(default_factory=OptimConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    memory: MemoryConfig = Field(default_factory=MemoryConfig)


def build_model(recipe: Recipe, labels: LabelMap) -> ActionDetector:
    """The recipe's model with random weights, one output per label."""
    return ActionDetector.of(
        recipe.backbone,
        recipe.head,
        roi=recipe.roi,
        labels=labels,
        exclusive=recipe.loss.exclusive(labels),
        short_side=recipe.transform.short_side,
        rate=recipe.data.rate,
    )


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """Plain values for JSON; the backbone and the head carry their names."""
    plain = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)}
    result = {key: _plain(value) for key, value in plain.items()}
    result["backbone"] = backbones.to_dict(recipe.backbone)
    result["head"] = {"name": heads.name_of(recipe.head), **result["head"]}
    return json.loads(json.dumps(result, default=str))


def key_of(recipe: Recipe) -> dict[str, Any]:
    """`to_dict` without what says nothing of a network or of what it looks at: for the names of what is kept."""
    values: dict[str, Any] = _without_skip_bad(to_dict(recipe))
    return values


def _without_skip_bad(value: Any) -> Any:
    """What is left out is seen from the data. A data set may hold another (AVA-Kinetics)."""
    if not isinstance(value, dict):
        return value
    return {name: _without_skip_bad(part) for name, part in value.items() if name != "skip_bad"}


def _plain(value: object) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


def from_dict(values: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """The inverse of `to_dict`. Raises InputError with every mistake, its path, and the nearest known name."""
    values = dict(values)
    problems: list[str] = []
    values["backbone"] = _part("backbone", values.get("backbone", "slowfast_r50_8x8"), _backbone, problems)
    values["head"] = _part("head", values.get("head", "linear"), _head, problems)
    whole = {key: value for key, value in values.items() if value is not None or key not in ("backbone", "head")}
    recipe = _part("", whole, TypeAdapter(Recipe).validate_python, problems)
    if recipe is None or problems:
        raise InputError(f"{source}: {len(problems)} mistake(s)\n  " + "\n  ".join(problems))
    return recipe


def _backbone(values: object) -> BackboneConfig:
    if isinstance(values, BackboneConfig):
        return values
    if isinstance(values, str):
        return backbones.config(values)
    if not isinstance(values, Mapping):
        raise InputError(f"expected a backbone's name or its settings, got {values!r}")
    return backbones.from_dict(values)


def _head(values: object) -> HeadConfig:
    if isinstance(values, HeadConfig):
        return values
    if isinstance(values, str):
        return heads.preset(values)
    if not isinstance(values, Mapping):
        raise InputError(f"expected a head's name or its settings, got {values!r}")
    settings = dict(values)
    found = heads.config(settings.pop("name", "linear"))
    return TypeAdapter(found).validate_python(settings)


def _part(where: str, values: Any, make: "Any", problems: list[str]) -> Any:
    """What `make` makes of the values, or None and the problems noted."""
    try:
        return make(values)
    except ValidationError as error:
        problems += [_problem(where, dict(details)) for details in error.errors()]
    except InputError as error:
        problems.append(f"{where}: {error}")
    return None


def _problem(where: str, details: dict[str, Any]) -> str:
    inner = [str(step) for step in details["loc"]]
    path = ".".join([where, *inner] if where else inner)
    if details["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        near = difflib.get_close_matches(path, list(_known_paths()), n=1, cutoff=0.5)
        return f"{path}: no such setting" + (f"; did you mean {near[0]}?" if near else "")
    return f"{path}: {details['msg']}, got {details['input']!r}"


def _known_paths() -> Iterator[str]:
    """Every `a.b` that some recipe may set."""
    parts: list[tuple[str, Any]] = [
        ("", Recipe), ("data.", UCF24Data), ("data.", AvaData), ("data.", AvaOfficialData), ("data.", AvaKineticsData),
        ("data.", JHMDBData), ("data.train_boxes.", BoxesConfig), ("data.val_boxes.", BoxesConfig),
        ("data.ava.", AvaOfficialData), ("data.ava.train_boxes.", BoxesConfig), ("data.ava.val_boxes.", BoxesConfig),
        ("roi.", RoIConfig), ("loss.", LossConfig),
        ("transform.", TransformConfig), ("optim.", OptimConfig), ("train.", TrainConfig), ("memory.", MemoryConfig),
        *(("head.", heads.config(name)) for name in heads.available()),
        *(("backbone.", family) for family in backbones.FAMILIES.values()),
    ]  # fmt: skip
    for prefix, part in parts:
        yield from (f"{prefix}{field.name}" for field in dataclasses.fields(part))


def compose(name: str, settings: Mapping[str, Any]) -> Recipe:
    """A recipe of `a.b` → value, the later of two settings of one thing wins; heads and backbones also by name.

    Raises InputError as `from_dict`.
    """
    values: dict[str, Any] = {"name": name}
    for path, value in settings.items():
        *parents, last = path.split(".")
        place = values
        for step in parents:
            place = place.setdefault(step, {})
        place[last] = _named(path, copy.deepcopy(value))  # a later setting may go inside it
    return from_dict(values, name)


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Every setting of a recipe, `a.b` → plain value."""
    return dict(_flat("", to_dict(recipe)))


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def override(recipe: Recipe, settings: Mapping[str, str]) -> Recipe:
    """`{"optim.lr": "0.02", "head": "mrsn"}` as the command line gives them; values are JSON where they parse.

    What chooses a class comes first, whatever the order: `{"data.root": "x", "data.source": "custom"}` keeps the root.
    Raises InputError as `from_dict`.
    """
    values = to_dict(recipe)
    for path in [path for path in _PICKS if path in settings]:
        _pick(values, path, _value(settings[path]))
    if values["roi"] is None and any(path.startswith("roi.") for path in settings):
        values["roi"] = dataclasses.asdict(_head(values["head"]).roi)
    rest = [path for path in settings if path not in _PICKS]
    for path in sorted(rest, key=lambda path: path.count(".")):  # a group that is given whole, then what is in it
        text = settings[path]
        *parents, last = path.split(".")
        place = values
        for step in parents:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise InputError(f"--set {path}: {step} is one value, not a group of settings")
        place[last] = _value(text)
    return from_dict(values, "--set")


def _pick(values: dict[str, Any], path: str, value: Any) -> None:
    """A setting that says of which class a part is: the settings of another class go, as they mean nothing to it."""
    part, _, field = path.partition(".")
    before = values[part]
    if not field or not isinstance(before, dict):
        values[part] = _named(part, value)
    elif before.get(field) == value or {before.get(field), str(value)} == {"ava", "custom"}:  # one class
        values[part] = {**before, field: value}
    else:
        values[part] = _named(part, value) if part == "head" else {field: value}


def _named(path: str, value: Any) -> Any:
    """All settings of a head or a backbone that is given by name, so that later ones can change them."""
    if not isinstance(value, str) or path not in ("head", "backbone"):
        return value
    if path == "backbone":
        return backbones.to_dict(_backbone(value))
    head = _head(value)
    return {"name": heads.name_of(head), **dataclasses.asdict(head)}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def read(path: Path) -> Recipe:
    """A `recipe.json`."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; a run folder holds a recipe.json") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected an object of settings, got {type(values).__name__}")
    return from_dict(values, str(path))
