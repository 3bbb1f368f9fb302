"""The heads. This folder is the registry: a head's name is its file's name, its settings are that file's `Config`."""

import difflib
import importlib
import pkgutil

from relact.errors import InputError
from relact.head import HeadConfig


def available() -> list[str]:
    """Names of all heads, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def config(name: str) -> type[HeadConfig]:
    """The `Config` class of a head. Raises InputError for an unknown name, with the nearest one."""
    if name not in available():
        near = difflib.get_close_matches(name, available(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"no head named {name!r}: there are {', '.join(available())}{hint}")
    found: type[HeadConfig] = importlib.import_module(f"{__name__}.{name}").Config
    return found


def name_of(head: HeadConfig) -> str:
    """The name under which a config's head is found: its file's."""
    return type(head).__module__.rpartition(".")[2]
