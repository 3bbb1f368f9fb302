"""Makes `relact/shipped` out of the runs of `relact bench stage`: heads in half precision, their backbone once.

python benchmarks/ship_stage.py runs/stage people.safetensors acar amcrnet igmn linear mrsn stc
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from relact.train.checkpoint import LABELS, RECIPE, SHARED, WEIGHTS
from relact.weights import DETECTOR, SHIPPED


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("runs", type=Path)
    arguments.add_argument("detector", type=Path)
    arguments.add_argument("heads", nargs="+")
    given = arguments.parse_args()
    shutil.rmtree(SHIPPED, ignore_errors=True)
    SHIPPED.mkdir()
    for head in given.heads:
        run, folder = given.runs / head / "seed0", SHIPPED / f"stage_{head}"
        folder.mkdir()
        weights = {name: half(value) for name, value in load_file(run / WEIGHTS).items()}
        own = {name: value for name, value in weights.items() if not name.startswith("backbone.")}
        shared = {name: value for name, value in weights.items() if name not in own}
        save_file(own, folder / WEIGHTS, {"format": "pt"})
        save_file(shared, SHIPPED / SHARED, {"format": "pt"})  # the same for all: it was frozen
        recipe = json.loads((run / RECIPE).read_text())
        recipe["data"]["root"] = "stage"
        recipe["train"] |= {"init": "runs/stage/warmup", "maps": "runs/stage/maps"}
        (folder / RECIPE).write_text(json.dumps(recipe, indent=1) + "\n")
        shutil.copy(run / LABELS, folder / LABELS)
    shutil.copy(given.detector, DETECTOR)
    total = sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file())
    print(f"{SHIPPED}: {len(given.heads)} models and a detector, {total / 1e6:.2f} MB")


def half(value: torch.Tensor) -> torch.Tensor:
    return value.half() if value.is_floating_point() else value


if __name__ == "__main__":
    main()
