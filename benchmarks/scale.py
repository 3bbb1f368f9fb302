"""Clips a second of training with one process and with several, as torchrun starts them.

    python benchmarks/scale.py [--processes 1 2] [--backbone slowfast_debug] [--head linear] [--batch 8]
        [--side 128] [--people 5] [--device cpu] [--steps 10] [--json FILE]

The batch is the whole one, which the processes divide; clips are random pictures, so that only the steps and what the
processes tell each other are timed. On a CPU each process gets its share of the processors.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from decode import commit

from relact import Actors, create_model
from relact.data.collate import Share
from relact.losses import LossConfig
from relact.nn.precision import default_device, resolve
from relact.train.distributed import is_first, meet, rank, size, wait
from relact.train.loop import freeze_statistics
from relact.train.optim import OptimConfig, optimiser
from relact.train.step import Objective, shared, train_step
from relact.types import Batch, Keyframe

CLASSES = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--backbone", default="slowfast_debug")
    parser.add_argument("--head", default="linear")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=128, help="pixels of the square clips")
    parser.add_argument("--people", type=int, default=5, help="of each clip")
    parser.add_argument("--device", default=default_device().type)
    parser.add_argument("--steps", type=int, default=10, help="that are timed, behind two that are not")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        return inside(options)
    speeds = {count: launched(count) for count in options.processes}
    first = speeds[options.processes[0]] / options.processes[0]
    line = json.dumps(
        {
            "benchmark": "scale", "date": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit(),
            "machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "torch": torch.__version__,
            **{name: str(value) for name, value in vars(options).items() if name not in ("json", "inside")},
            "clips_per_second": {str(count): round(speed, 2) for count, speed in speeds.items()},
            "efficiency": {str(count): round(speed / count / first, 2) for count, speed in speeds.items()},
        }
    )  # fmt: skip
    print(line)
    if options.json:
        with options.json.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    return None


def launched(count: int) -> float:
    """Clips a second with so many processes."""
    threads = max(1, (os.cpu_count() or 1) // count)
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    done = subprocess.run(
        [*words, *sys.argv, "--inside"],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr)
    return float(done.stdout.split()[-1])


def inside(options: argparse.Namespace) -> None:
    """One of the processes: its share of every batch."""
    where = meet(options.device)
    dtype = resolve("auto", where)
    torch.manual_seed(0)
    model = create_model(options.head, backbone=options.backbone, num_classes=CLASSES).to(where).train()
    freeze_statistics(model.backbone.modules())
    if dtype == torch.bfloat16:
        model.backbone.to(memory_format=torch.channels_last_3d)
    trained = shared(Objective(model, loss=LossConfig(), dtype=dtype))
    steps = optimiser(model, OptimConfig(lr=1e-6))
    [mine] = Share(rank=rank(), ranks=size()).of(range(options.batch))
    batch = random_clips(len(mine), model.clip.num_frames, options) if mine else None
    for step in range(-2, options.steps):
        if step == 0:
            wait()
            began = time.perf_counter()
        train_step(trained, [batch], steps)
    wait()
    if is_first():
        print(options.batch * options.steps / (time.perf_counter() - began))


def random_clips(count: int, frames: int, options: argparse.Namespace) -> Batch:
    side = options.side
    corners = [torch.rand(options.people, 2) * side / 2 for _ in range(count)]
    actors = Actors.of([torch.cat([corner, corner + side / 3], dim=1) for corner in corners])
    return Batch(
        keys=tuple(Keyframe("random", number) for number in range(count)),
        frames=torch.randint(0, 256, (count, 3, frames, side, side), dtype=torch.uint8),
        valid=torch.tensor([[side, side]] * count),
        actors=actors,
        labels=(torch.rand(len(actors), CLASSES) < 0.05).float(),
    )


if __name__ == "__main__":
    main()
