"""How close a backbone comes to the machine: seconds and GFLOP/s of a clip beside a large matmul of the same precision.

    python benchmarks/backbone.py [--backbone NAME] [--threads 2] [--rounds 5] [--return-memory] [--json FILE]

Variants and matmuls take turns, and each keeps its best round, so that a busy neighbour hurts all alike.
"""

import argparse
import copy
import json
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from relact import backbones
from relact.backbones import Backbone
from relact.backbones.prepared import Precision, prepare_for_inference
from relact.nn.fold import fold_batch_norms
from relact.nn.memory import keep_freed_memory

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
CHANNELS_LAST = torch.channels_last_3d


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    kept = not args.return_memory and keep_freed_memory()
    config = backbones.config(args.backbone)
    shape = (1, 3, config.num_frames, args.height, args.width)
    flop = count_flop(args.backbone, shape)
    with torch.inference_mode():
        calls = variants(config.build().eval(), torch.randn(shape))
        exact = calls["fp32"][1]()
        seconds, peaks = measure(calls, args.rounds)
        rows = [row(name, *calls[name], seconds[name], peaks, flop, exact) for name in calls]
    report(rows, peaks, flop, kept, args.json)


def count_flop(name: str, shape: tuple[int, ...]) -> int:
    """Multiplications and additions of a forward pass, counted without running it."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        backbones.config(name).build().eval()(torch.empty(shape))
    return counter.get_total_flops()


def variants(net: Backbone, frames: Tensor) -> dict[str, tuple[torch.dtype, Callable[[], dict[str, Tensor]]]]:
    """Name to the precision of the arithmetic and the call."""
    last = frames.to(memory_format=CHANNELS_LAST)
    net_last = copy.deepcopy(net).to(memory_format=CHANNELS_LAST)
    folded = fold_batch_norms(net_last)
    prepared = {precision: prepare_for_inference(net, precision) for precision in PRECISIONS}

    def autocast(module: torch.nn.Module) -> dict[str, Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            return module(last)

    return {
        "fp32": (torch.float32, lambda: net(frames)),
        "fp32 channels-last": (torch.float32, lambda: net_last(last)),
        "fp32 channels-last folded": (torch.float32, lambda: folded(last)),
        "fp32 prepared (folded, fused)": (torch.float32, lambda: prepared["fp32"](frames)),
        "bf16 autocast channels-last": (torch.bfloat16, lambda: autocast(net_last)),
        "bf16 autocast channels-last folded": (torch.bfloat16, lambda: autocast(folded)),
        "bf16 prepared (folded, fused, bf16 weights)": (torch.bfloat16, lambda: prepared["bf16"](frames)),
    }


def measure(
    calls: dict[str, tuple[torch.dtype, Callable[[], dict[str, Tensor]]]], rounds: int, size: int = 4096
) -> tuple[dict[str, float], dict[torch.dtype, float]]:
    """The best seconds per variant, and the best FLOP/s of a matmul per precision, taken in turns."""
    factors = {dtype: torch.randn(size, size).to(dtype) for dtype in (torch.float32, torch.bfloat16)}
    seconds = {name: float("inf") for name in calls}
    products = {dtype: float("inf") for dtype in factors}
    for _ in range(rounds + 1):  # the first round warms up
        for name, (_, call) in calls.items():
            seconds[name] = min(seconds[name], _clock(call))
        for dtype, factor in factors.items():
            products[dtype] = min(products[dtype], _clock(partial(torch.matmul, factor, factor)))
    return seconds, {dtype: 2 * size**3 / best for dtype, best in products.items()}


def row(
    name: str,
    dtype: torch.dtype,
    call: Callable[[], dict[str, Tensor]],
    seconds: float,
    peaks: dict[torch.dtype, float],
    flop: int,
    exact: dict[str, Tensor],
) -> dict[str, str | float]:
    """One line of the table; the error is the worst map's, relative to its norm."""
    maps = call()
    error = max(float((maps[key].float() - x).norm() / x.norm()) for key, x in exact.items())
    rate = flop / seconds
    return {
        "variant": name,
        "seconds": round(seconds, 3),
        "gflops": round(rate / 1e9, 1),
        "share": round(rate / peaks[dtype], 3),
        "error": error,
    }


def report(
    rows: list[dict[str, str | float]], peaks: dict[torch.dtype, float], flop: int, kept: bool, path: Path | None
) -> None:
    print(f"{flop / 1e9:.1f} GFLOP a clip, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"freed memory is {'kept' if kept else 'returned to the system'}")
    for dtype, peak in peaks.items():
        print(f"matmul {dtype}: {peak / 1e9:.0f} GFLOP/s")
    for line in rows:
        print(
            f"{line['variant']:<44} {line['seconds']:.3f} s {line['gflops']:>6.0f} GFLOP/s "
            f"{line['share']:>6.1%} of matmul, off by {line['error']:.2%} of the norm"
        )
    if path is not None:
        record = {
            "machine": platform.processor() or platform.machine(),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "freed_memory_kept": kept,
            "gflop": flop / 1e9,
            "matmul_gflops": {str(dtype): peak / 1e9 for dtype, peak in peaks.items()},
            "rows": rows,
        }
        path.write_text(json.dumps(record, indent=1) + "\n")


def _clock(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="slowfast_r50_8x8")
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=464)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--return-memory", action="store_true", help="let glibc unmap freed maps, as it does by itself")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
