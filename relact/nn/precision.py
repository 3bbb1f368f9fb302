"""Which number format the convolutions run in: probed from the machine, not assumed."""

import functools
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal

import torch

from relact.errors import InputError

Precision = Literal["auto", "fp32", "bf16"]

_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # the last one as 64-bit Arm spells it


@functools.cache
def cpu_has_bf16() -> bool:
    """Whether this processor has bf16 dot-product instructions; without them bf16 is emulated and slower than fp32."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return False
    for line in cpuinfo.read_text().splitlines():
        if line.startswith(("flags", "Features")):
            return bool(_BF16_FLAGS & set(line.partition(":")[2].split()))
    return False


def resolve(precision: str, device: torch.device) -> torch.dtype:
    """`auto` → bf16 where the device computes in it, else fp32; `fp32` and `bf16` as asked."""
    if precision not in ("auto", "fp32", "bf16"):
        raise InputError(f"precision {precision!r}: expected auto, fp32 or bf16")
    if precision == "auto":
        fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else cpu_has_bf16()
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Convolutions and products in `dtype`, everything delicate in fp32; the weights stay fp32."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def exactly(device: torch.device) -> AbstractContextManager[object]:
    """No autocast here; on the meta device, where shapes are counted, there is none to switch off."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def default_device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
