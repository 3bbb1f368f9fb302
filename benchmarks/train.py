"""Clips a second of a training step, where its time and memory go, and video files against extracted frames.

    python benchmarks/train.py [--backbone slowfast_r50_8x8] [--head acar] [--batch 8] [--short-side 256] [--people 5]
        [--device cpu] [--precision auto] [--checkpoint] [--compile] [--repeats 3] [--clips 8] [--json FILE]

A generated video of 1280 x 720 at 30 fps is decoded around random keyframes, as `relact train` does it: one thread, as
one worker of a loader has. A step is the engine's own, its phases timed one by one; the median of the repeats counts.
The share of the peak is the step's arithmetic (forward and backward, as PyTorch counts it) over what a large product
reaches in the same run. Peak memory is what the process (on a GPU: the allocator) holds at most during a step.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parent))

from decode import commit, generate
from heads import matmul_gflops

from relact import create_model
from relact.data.collate import collate
from relact.data.dataset import ClipDataset
from relact.data.decode import read_clip
from relact.data.extracted import read_frames
from relact.data.samples import Sample
from relact.data.sampling import window_times
from relact.data.transforms import TransformConfig
from relact.losses import LossConfig
from relact.nn.memory import keep_freed_memory
from relact.nn.precision import default_device, resolve
from relact.train.loop import freeze_statistics
from relact.train.optim import OptimConfig, optimiser
from relact.train.recompute import recomputed
from relact.train.step import Objective
from relact.types import Batch, Clip, Keyframe

RATE = 30
CLASSES = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="slowfast_r50_8x8")
    parser.add_argument("--head", default="acar")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--short-side", type=int, default=256)
    parser.add_argument("--people", type=int, default=5, help="of each clip")
    parser.add_argument("--device", default=str(default_device()))
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--checkpoint", action="store_true", help="recompute the backbone's blocks")
    parser.add_argument("--compile", action="store_true", help="the backbone through torch.compile")
    parser.add_argument("--repeats", type=int, default=3, help="steps that are timed, behind one that is not")
    parser.add_argument("--clips", type=int, default=8, help="clips that are decoded, each way")
    parser.add_argument("--seconds", type=int, default=20, help="length of the generated video")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = generate(Path(folder) / "generated.mp4", options.seconds)
        clips, loading = load(video, options)
        frames = against_frames(video, Path(folder), options)
    batch = collate([clips[number % len(clips)] for number in range(options.batch)])
    line = json.dumps(
        {
            "benchmark": "train", "date": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit(),
            "machine": platform.processor() or platform.machine(), "cores": os.cpu_count(),
            "threads": torch.get_num_threads(), "torch": torch.__version__,
            **{name: str(value) for name, value in vars(options).items() if name != "json"},
            "loading": loading, "video_or_frames": frames, "step": step(batch, options),
        }
    )  # fmt: skip
    print(line)
    if options.json:
        with options.json.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def samples(path: Path, options: argparse.Namespace) -> list[Sample]:
    random = np.random.default_rng(0)
    corners = random.uniform(0, 0.6, (options.clips, options.people, 2))
    boxes = np.concatenate([corners, corners + random.uniform(0.1, 0.4, corners.shape)], axis=2).astype(np.float32)
    labels = (random.random((options.clips, options.people, CLASSES)) < 0.05).astype(np.float32)
    times = random.uniform(1.5, options.seconds - 1.5, options.clips)
    return [
        Sample(
            key=Keyframe("generated", number), path=path, stamp=times[number], time=times[number], boxes=boxes[number],
            labels=labels[number], person=np.arange(options.people),
        )
        for number in range(options.clips)
    ]  # fmt: skip


def dataset(path: Path, options: argparse.Namespace) -> ClipDataset:
    """The recipes' own: a short side drawn from a range, a crop, mirrored, jittered boxes."""
    side = options.short_side
    transform = TransformConfig(
        short_side=side, train_short_side=(side, side * 5 // 4), crop=side, flip=0.5, box_jitter=0.075
    )
    window = window_of(options.backbone)
    return ClipDataset(
        samples(path, options), num_frames=window[0], frame_stride=window[1], rate=RATE, transform=transform, train=True
    )


def window_of(backbone: str) -> tuple[int, int]:
    from relact import backbones

    config = backbones.config(backbone)
    return config.num_frames, config.frame_stride


def load(video: Path, options: argparse.Namespace) -> tuple[list[Clip], dict[str, float]]:
    """Clips, and milliseconds of one: decoded and resized, the rest of its way, and put into a batch."""
    clips = dataset(video, options)
    decode = clips._decode
    spent = 0.0

    def timed(*args: object) -> torch.Tensor:
        nonlocal spent
        began = time.perf_counter()
        frames = decode(*args)  # type: ignore[arg-type]
        spent += time.perf_counter() - began
        return frames

    clips._decode = timed  # type: ignore[method-assign]
    _ = clips[0]  # the video's index is made once
    spent, began = 0.0, time.perf_counter()
    made = [clips[number] for number in range(options.clips)]
    all_of_it = time.perf_counter() - began
    began = time.perf_counter()
    collate(made)
    together = time.perf_counter() - began
    parts = {"decode_ms": spent, "transform_ms": all_of_it - spent, "collate_ms": together}
    return made, {name: round(1000 * seconds / options.clips, 1) for name, seconds in parts.items()}


def against_frames(video: Path, folder: Path, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Clips a second and MB on disk: the video, all its frames as JPEG, and these at the short side."""
    count, stride = window_of(options.backbone)
    windows = [window_times(sample.time or 0.0, count, stride, RATE) for sample in samples(video, options)]
    sizes = {"jpeg": None, f"jpeg_{options.short_side}": options.short_side}
    for name, side in sizes.items():
        extract(video, folder / name, side)
    side = options.short_side
    ways: dict[str, Callable[[], object]] = {
        "mp4": lambda: [read_clip(video, times=window, short_side=side) for window in windows]
    }
    for name in sizes:
        ways[name] = lambda name=name: [
            read_frames(folder / name, times=window, rate=RATE, short_side=side) for window in windows
        ]
    result = {}
    for name, way in ways.items():
        way()
        began = time.perf_counter()
        way()
        path = folder / name
        size = sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else video.stat().st_size
        speed = len(windows) / (time.perf_counter() - began)
        result[name] = {"clips_per_second": round(speed, 2), "megabytes": round(size / 1e6, 1)}
    return result


def extract(video: Path, folder: Path, short_side: int | None) -> None:
    folder.mkdir()
    with av.open(str(video)) as container:
        for number, frame in enumerate(container.decode(video=0), start=1):
            picture: Image.Image = frame.to_image()
            if short_side is not None:
                width = picture.width * short_side // picture.height
                picture = picture.resize((width, short_side), Image.Resampling.BILINEAR)
            picture.save(folder / f"img_{number:05}.jpg", quality=95)


def step(batch: Batch, options: argparse.Namespace) -> dict[str, object]:
    """Phases of a training step in milliseconds, clips a second, memory, and the share of the peak."""
    device = torch.device(options.device)
    dtype = resolve(options.precision, device)
    if device.type == "cpu":
        keep_freed_memory()
    torch.manual_seed(0)
    model = create_model(options.head, backbone=options.backbone, num_classes=CLASSES).to(device).train()
    freeze_statistics(model.backbone.modules())
    if dtype == torch.bfloat16:
        model.backbone.to(memory_format=torch.channels_last_3d)
    moved = batch.to(device)
    plain = Objective(model, loss=LossConfig(), dtype=dtype)
    with FlopCounterMode(display=False) as counter:
        plain(moved)[0].backward()  # type: ignore[no-untyped-call]
    work = float(counter.get_total_flops())
    called = model.with_backbone(torch.compile(model.backbone)) if options.compile else model  # type: ignore[arg-type]
    objective = Objective(called, loss=LossConfig(), dtype=dtype)
    steps = optimiser(model, OptimConfig())
    phases: dict[str, list[float]] = {"forward": [], "backward": [], "optimiser": []}
    with recomputed(model.backbone) if options.checkpoint else nullcontext():
        for repeat in range(options.repeats + 1):
            if repeat == 1:
                begin_peak(device)
            spent = one(objective, moved, steps, device)
            for name, seconds in zip(phases, spent, strict=True):
                phases[name] += [seconds] if repeat else []
    middle = {name: statistics.median(values) for name, values in phases.items()}
    seconds, limit = sum(middle.values()), matmul_gflops(device, dtype)
    return {
        "precision": str(dtype)[6:],
        "size": list(batch.frames.shape),
        **{f"{name}_ms": round(1000 * value, 1) for name, value in middle.items()},
        "clips_per_second": round(len(batch.keys) / seconds, 3),
        "peak_megabytes": round(peak(device)),
        "gflop": round(work / 1e9, 1),
        "gflop_per_second": round(work / 1e9 / seconds, 1),
        "matmul_gflop_per_second": round(limit, 1),
        "share_of_matmul": round(work / 1e9 / seconds / limit, 3),
    }


def one(
    objective: Objective, batch: Batch, steps: torch.optim.Optimizer, device: torch.device
) -> tuple[float, float, float]:
    """Seconds of the phases of a step."""
    steps.zero_grad(set_to_none=True)
    marks = [now(device)]
    loss, _, _ = objective(batch)
    marks.append(now(device))
    loss.backward()
    marks.append(now(device))
    steps.step()
    marks.append(now(device))
    return marks[1] - marks[0], marks[2] - marks[1], marks[3] - marks[2]


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def begin_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # the highest resident size begins anew


def peak(device: torch.device) -> float:
    """MB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3


if __name__ == "__main__":
    main()
