"""Opens checkpoint files of every kind that weights are published in, and runs nothing that they contain."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from relact.errors import InputError, at
from relact.interop.unpickle import restricted_load

if TYPE_CHECKING:
    from torch import Tensor

CONTAINERS = ("model_state", "state_dict", "model", "blobs")
"""Where PySlowFast and PyTorchVideo, MMAction2 and ACAR-Net, torchvision's scripts, and Caffe2 keep their tensors."""


def read_checkpoint(path: str | Path) -> dict[str, "Tensor | np.ndarray"]:
    """Name to tensor, out of a torch file, a safetensors file or a Caffe2 pickle; anything else in it is left out.

    InputError for a file that is missing, broken, without tensors, or that asks to run something.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{at(path)}: no such file; expected a checkpoint (.pyth, .pth, .pt, .pkl, .safetensors)")
    if path.suffix == ".safetensors":
        return dict(_read_safetensors(path))
    content = _read_torch(path) if _is_torch(path) else restricted_load(path)
    tensors = _tensors(content)
    if not tensors:
        raise InputError(f"{at(path)}: holds no tensors by name; expected a model checkpoint")
    return tensors


def _is_torch(path: Path) -> bool:
    """A zip archive, or torch's older format, which begins with a pickled magic number."""
    if zipfile.is_zipfile(path):
        return True
    with path.open("rb") as file:
        return b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." in file.read(32)


def _read_torch(path: Path) -> object:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = str(error).splitlines()[0]
        raise InputError(
            f"{at(path)}: asks for more than tensors, so it is not opened ({asked}); save its state dict alone, "
            "on a machine where you trust the file"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise InputError(f"{at(path)}: a broken or truncated torch file ({error}); fetch it again") from error


def _read_safetensors(path: Path) -> "dict[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"{at(path)}: a broken or truncated safetensors file ({error}); fetch it again") from error


def _tensors(content: object) -> "dict[str, Tensor | np.ndarray]":
    """The tensors of the innermost container; a flat file is its own."""
    if not isinstance(content, Mapping):
        return {}
    for name in CONTAINERS:
        if isinstance(content.get(name), Mapping):
            return _tensors(content[name])
    return {str(name): value for name, value in content.items() if _is_tensor(value)}


def _is_tensor(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fiu"
    import torch

    return isinstance(value, torch.Tensor)
