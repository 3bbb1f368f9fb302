"""Reads foreign pickles (proposal boxes, Caffe2 weights) without running anything that they contain."""

import pickle
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from relact.errors import InputError, at

_BUILTINS = (dict, list, tuple, set, frozenset, bytes, bytearray, str, int, float, complex, bool)


class _Refused(pickle.UnpicklingError):
    """The pickle names something outside the list below."""


# The three rebuilders below are objects without attributes, not functions: a pickle may also *set* attributes on
# what it has been given by name, and a function's defaults would keep what one file wrote for the next.


class _Latin1Bytes:
    """Protocol 2 writes Python 3's bytes as `_codecs.encode(text, "latin1")`; other codecs stay out."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str = "latin1") -> bytes:
        if encoding != "latin1":
            raise _Refused(f"_codecs.encode with {encoding!r}")
        return text.encode("latin1")


class _DefaultDict:
    """A `defaultdict` comes back as one, but only with a plain container or number as its factory."""

    __slots__ = ()

    def __call__(self, factory: Callable[[], object] | None = None, *items: Any) -> dict[object, object]:
        if factory is not None and factory not in _BUILTINS:
            raise _Refused(f"collections.defaultdict of {factory!r}")
        return defaultdict(factory, *items)


class _FromBuffer:
    """Protocol 5 writes a contiguous array as its bytes."""

    __slots__ = ()

    def __call__(self, buffer: bytes, dtype: Any, shape: tuple[int, ...], order: Any, *_: Any) -> Any:
        return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)


def _allowed() -> dict[tuple[str, str], object]:
    names: dict[tuple[str, str], object] = {}
    for module in ("builtins", "__builtin__"):
        names |= {(module, kind.__name__): kind for kind in _BUILTINS}
    names["__builtin__", "unicode"] = str
    names["__builtin__", "long"] = int
    names["collections", "OrderedDict"] = OrderedDict
    names["collections", "defaultdict"] = _DefaultDict()
    names["_codecs", "encode"] = _Latin1Bytes()
    names["numpy", "ndarray"] = np.ndarray
    names["numpy", "dtype"] = np.dtype
    # Where numpy keeps its own rebuilders moved in 2.0; what they are called did not.
    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray", "_reconstruct"] = np.empty(0).__reduce__()[0]
        names[f"{core}.multiarray", "scalar"] = np.float64(0).__reduce__()[0]
        names[f"{core}.numeric", "_frombuffer"] = _FromBuffer()
    return names


_ALLOWED = _allowed()
_BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    MemoryError,
)


class _Restricted(pickle.Unpickler):
    """Finds numpy arrays and plain containers; any other name ends the reading before something is called."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _Refused(f"{module}.{name}") from None


def restricted_load(path: str | Path) -> object:
    """The content of a pickle of numpy arrays and plain containers, Python 2's (latin1) included.

    Raises InputError for anything else that the file names (nothing of it is run), for a broken file and for a
    missing one.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _Restricted(file, encoding="latin1").load()
    except OSError as error:
        raise InputError(f"{at(path)}: cannot be read ({error.strerror or error})") from error
    except _Refused as error:
        raise InputError(
            f"{at(path)}: expected a pickle of numpy arrays and plain containers (a published proposal or "
            f"weight file), got one that asks for {error}; nothing of it was run"
        ) from error
    except _BROKEN as error:
        raise InputError(
            f"{at(path)}: not a pickle, or a broken one ({error or type(error).__name__}); fetch it again"
        ) from error
