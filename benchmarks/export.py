"""Seconds a clip of a detector in torch, from a .pt2 and in onnxruntime, taken in turns, and how far scores differ.

    python benchmarks/export.py [--backbone slowfast_r50_8x8] [--head linear] [--size 455x256] [--json FILE]

One thread each, random weights (they cost what trained ones cost), a made clip; the least of the turns is given, by the
clock and in processor time, which a busy machine does not stretch as much. "torch" is the model as
`relact detect --precision fp32` runs it: batch norms folded, channels last.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from relact import create_model
from relact.run.detection import prepare
from relact.run.export import export
from relact.run.export_files import open_file
from relact.run.export_trace import as_source, inputs_of


def seconds_of(run: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and of processor time."""
    clock, processor = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="slowfast_debug")
    parser.add_argument("--head", default="linear")
    parser.add_argument("--size", default="455x256")
    parser.add_argument("--people", type=int, default=5)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--formats", nargs="+", default=["onnx", "pt2"])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    width, height = (int(part) for part in given.size.split("x"))
    model = create_model(given.head, backbone=given.backbone).eval()
    inputs = inputs_of(model, (height, width))
    values = inputs.make(given.people, 20, torch.Generator().manual_seed(0))
    ready = prepare(model, "fp32")
    ways: dict[str, Callable[[], object]] = {"torch": lambda: as_source(ready, inputs, values)}
    differences, megabytes = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in given.formats:
            done = export(model, Path(folder) / f"model.{kind}", size=(width, height))
            run = open_file(done.path)
            ways[kind] = lambda run=run: run(values)
            differences[kind], megabytes[kind] = done.difference, done.path.stat().st_size / 1e6
        for run_once in ways.values():
            run_once()
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(given.turns):
            for name, run_once in ways.items():
                taken[name].append(seconds_of(run_once))
    result = {
        "backbone": given.backbone, "head": given.head, "size": given.size, "people": given.people,
        "clock_s": {name: min(clock for clock, _ in turns) for name, turns in taken.items()},
        "processor_s": {name: min(processor for _, processor in turns) for name, turns in taken.items()},
        "largest_difference": differences, "megabytes": megabytes, "torch_version": torch.__version__,
    }  # fmt: skip
    print(json.dumps(result, indent=2))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
