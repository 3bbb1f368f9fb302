"""`relact doctor`: what this machine has, and what relact will use."""

import os
import platform
import time
from typing import Any

import av
import torch
import torchvision

from relact import __version__
from relact.interop.fetch import weights_folder
from relact.nn.precision import cpu_has_bf16, default_device, resolve
from relact.video.people import preset


def doctor() -> dict[str, Any]:
    """Facts by name, in the order in which a person asks; the two rates are measured now, in about a second."""
    device = default_device()
    dtype = resolve("auto", device)
    rates = {kind: _matmul_rate(device, kind) for kind in (torch.float32, torch.bfloat16)}
    folder = weights_folder()
    return {
        "relact": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "av": av.__version__,
        "H.264 encoder": "ok" if "libx264" in av.codecs_available else "missing: no annotated.mp4",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {os.cpu_count()} cores",
        "bf16 instructions": "GPU" if device.type == "cuda" else ("yes" if cpu_has_bf16() else "no"),
        "matmul, fp32": f"{rates[torch.float32]:,.0f} GFLOP/s",
        "matmul, bf16": f"{rates[torch.bfloat16]:,.0f} GFLOP/s",
        "precision used": str(dtype).removeprefix("torch."),
        "person detector used": preset(device),
        "weights folder": str(folder),
        "weights there": len(list(folder.glob("*"))) if folder.is_dir() else 0,
    }


def _matmul_rate(device: torch.device, dtype: torch.dtype, size: int = 1024) -> float:
    """GFLOP/s of a square product, the best of several."""
    a = torch.randn(size, size, device=device).to(dtype)
    best = float("inf")
    for _ in range(6):
        start = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9
