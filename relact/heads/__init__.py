"""The heads. This folder is the registry: a head's name is its file's name, its settings are that file's `Config`.

Each file also has `VARIANTS`: the settings that its paper gives a name or a row in a table; and `PUBLISHED`: what the
paper says of some of them.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType

from relact.errors import InputError
from relact.head import HeadConfig


def available() -> list[str]:
    """Names of all heads, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def config(name: str) -> type[HeadConfig]:
    """The `Config` class of a head. Raises InputError for an unknown name, with the nearest one."""
    found: type[HeadConfig] = _module(name).Config
    return found


def variants(name: str) -> Mapping[str, HeadConfig]:
    """The named settings of a head, the paper's own first."""
    found: Mapping[str, HeadConfig] = _module(name).VARIANTS
    return found


def published(name: str) -> Mapping[str, str]:
    """What papers claim of a head's variants: parameters, frame-mAP on AVA v2.2."""
    found: Mapping[str, str] = _module(name).PUBLISHED
    return found


def preset(name: str) -> HeadConfig:
    """`acar` → its default settings, `acar:r101` → those of that name. Raises InputError with the nearest name."""
    head, _, variant = name.partition(":")
    if not variant:
        return config(head)()
    known = variants(head)
    if variant not in known:
        raise InputError(f"no variant {variant!r} of {head}: there are {_listed(variant, list(known))}")
    return known[variant]


def name_of(head: HeadConfig) -> str:
    """The name under which a config's head is found: its file's."""
    return type(head).__module__.rpartition(".")[2]


def summary(name: str) -> str:
    """The first line of a head's file: what it is."""
    return (_module(name).__doc__ or "").partition("\n")[0]


def _module(name: str) -> ModuleType:
    if name not in available():
        raise InputError(f"no head named {name!r}: there are {_listed(name, available())}")
    return importlib.import_module(f"{__name__}.{name}")


def _listed(wanted: str, known: list[str]) -> str:
    near = difflib.get_close_matches(wanted, known, n=1)
    return ", ".join(known) + (f"; did you mean {near[0]!r}?" if near else "")
