"""Heads against literal transcriptions of what others run: time, memory, arithmetic, in one process, side by side.

    python benchmarks/heads.py [HEAD …] [--forward] [--keep-freed] [--device cuda] [--compile]

Clips have maps of 16 x 29 cells (256 x 454 pixels) from a SlowFast of full width; boxes are read off the maps inside
the timed part. "literal" is `benchmarks/literal/<head>.py`: the released structure, or without released code the
paper's, with a loop over clips, and with the same parameters; both must give the same features. Ratios are literal /
ours of medians of interleaved runs, with the C library's allocator as it comes; --keep-freed gives both what relact's
programs ask of it. Peak memory is what a run adds to a process of its own (on a GPU: to the allocator).
"""

import argparse
import ctypes
import importlib
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parent))

from relact import heads
from relact.head import HeadConfig, Interface, MemorySpec, RelationHead
from relact.nn.memory import keep_freed_memory
from relact.nn.roi import rois
from relact.types import Actors, Memory, Scene

CHANNELS, FRAMES = {"slow": 2048, "fast": 256}, {"slow": 8, "fast": 32}
CASES = {"1": (1,) * 4, "5": (5,) * 4, "10": (10,) * 4, "25": (25,) * 4, "1 2 7 40": (1, 2, 7, 40)}
STRIDE, ROWS, COLUMNS = 16, 16, 29
FRAME = (256, 454)


def make_scene(counts: tuple[int, ...], memory: MemorySpec | None, device: torch.device) -> Scene:
    """Random maps, people, and three people a second in the memory."""
    generator = torch.Generator().manual_seed(0)
    num_clips = len(counts)
    maps = {
        name: torch.rand(num_clips, channels, FRAMES[name], ROWS, COLUMNS, generator=generator)
        for name, channels in CHANNELS.items()
    }
    size = torch.tensor([FRAME[1], FRAME[0]] * 2)
    boxes = []
    for count in counts:
        corner, extent = (
            torch.rand(count, 2, generator=generator) * 0.6,
            torch.rand(count, 2, generator=generator) * 0.3,
        )
        boxes.append(torch.cat([corner, corner + extent + 0.1], dim=1) * size)
    actors = Actors.of(boxes, track=[torch.arange(count) for count in counts]).to(device)
    objects = Actors.of([b[:5] for b in boxes]).to(device)
    pooled = torch.cat([pathway.mean(2) for pathway in maps.values()], dim=1).to(device)
    return Scene(
        maps={name: pathway.to(device) for name, pathway in maps.items()},
        pooled=pooled,
        valid=torch.tensor([[ROWS, COLUMNS]] * num_clips),
        actors=actors,
        rois=pooled.new_zeros(len(actors), 0, 7, 7),
        roi_boxes=actors.boxes,
        frame=torch.tensor([FRAME] * num_clips),
        stride=STRIDE,
        memory=None if memory is None else make_memory(memory, num_clips, device),
        objects=objects,
        object_rois=torch.rand(len(objects), sum(CHANNELS.values()), 7, 7, generator=generator).to(device),
    )


def make_memory(spec: MemorySpec, num_clips: int, device: torch.device) -> Memory:
    future = spec.radius if spec.future is None else spec.future
    ticks = [tick for tick in range(-spec.radius, future + 1) if tick or spec.include_current]
    dt = torch.tensor(ticks, device=device).repeat_interleave(3).expand(num_clips, -1)
    return Memory(
        features=torch.rand(*dt.shape, spec.dim, device=device),
        dt=dt,
        track=torch.arange(dt.shape[1], device=device).expand(num_clips, -1) % 3,
        tag=torch.ones(dt.shape, device=device),
        mask=torch.ones(dt.shape, dtype=torch.bool, device=device),
    )


def build(config: HeadConfig) -> RelationHead:
    return config.build(
        Interface(channels=CHANNELS, frames=FRAMES, num_classes=60, exclusive=tuple(range(13)), roi=config.roi)
    ).eval()


def read(scene: Scene, config: HeadConfig) -> Scene:
    """The scene with its RoI features, as the detector reads them."""
    regions = rois(
        scene.pooled, scene.actors, frame=scene.frame, valid=scene.valid, stride=STRIDE, config=config.roi,
        boxes=scene.roi_boxes,
    )  # fmt: skip
    return replace(scene, rois=regions)


def ours(head: RelationHead, config: HeadConfig, scene: Scene) -> Tensor:
    return head(read(scene, config) if head.reads_rois else scene).features


def literal(module: object, head: RelationHead, config: HeadConfig, scene: Scene) -> Tensor:
    seen = read(scene, config) if getattr(module, "READS_ROIS", True) else scene
    return module.forward(head, seen)  # type: ignore[attr-defined]


def half(run: Callable[[], Tensor], device: torch.device) -> Tensor:
    with torch.autocast(device.type, dtype=torch.bfloat16):
        return run()


def once(run: Callable[[], Tensor], head: RelationHead, backward: bool, device: torch.device) -> float:
    """Seconds of one run; gradients are added to those that are there."""
    _wait(device)
    began = time.perf_counter()
    if backward:
        total = run().sum()
        if total.requires_grad:  # not where a head has nothing to learn
            total.backward()
    else:
        with torch.inference_mode():
            run()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def peak(run: Callable[[], Tensor], head: RelationHead, backward: bool, device: torch.device) -> float:
    """MB that one run adds to the weights, their gradients and the scene."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        once(run, head, backward, device)
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the highest resident size begins anew
    before = _status("VmRSS")
    once(run, head, backward, device)
    return (_status("VmHWM") - before) / 1e3


def return_at_once() -> None:
    """Every tensor is mapped on its own and unmapped when freed, so that the resident size is what tensors take."""
    m_mmap_threshold = -3  # malloc.h of glibc
    ctypes.CDLL(None).mallopt(m_mmap_threshold, 128 * 1024)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    raise LookupError(field)


def macs(config: HeadConfig, counts: tuple[int, ...]) -> float:
    """Billions of multiplications and additions of a forward pass, the reading of boxes left out."""
    head = build(config)
    scene = read(make_scene(counts, head.memory, torch.device("cpu")), config)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        head(scene)
    return float(counter.get_total_flops()) / 2e9


def matmul_gflops(device: torch.device, dtype: torch.dtype) -> float:
    """The limit: a large product in the same run."""
    a, b = (torch.rand(2048, 2048, device=device).to(dtype) for _ in range(2))
    times = []
    for _ in range(8):
        _wait(device)
        began = time.perf_counter()
        a @ b
        _wait(device)
        times.append(time.perf_counter() - began)
    return 2 * 2048**3 / min(times) / 1e9


def prepare(
    name: str, case: str, device: torch.device
) -> tuple[RelationHead, Callable[[], Tensor], Callable[[], Tensor]]:
    """The head, a run of ours, and a run of the literal one, on the same scene."""
    config = heads.preset(name)
    torch.manual_seed(0)
    head = build(config).to(device)
    with torch.no_grad():
        for parameter in head.parameters():  # what begins at zero would hide a difference behind it
            if not parameter.any():
                parameter.normal_(std=0.02)
    scene = make_scene(CASES[case], head.memory, device)
    module = importlib.import_module(f"literal.{heads.name_of(config)}")
    return head, partial(ours, head, config, scene), partial(literal, module, head, config, scene)


def memory_of(name: str, case: str, backward: bool, device: torch.device) -> tuple[float, float]:
    """MB that a run of the literal head and one of ours add."""
    head, fast, slow = prepare(name, case, device)
    once(fast, head, backward, device)
    return tuple(min(peak(run, head, backward, device) for _ in range(3)) for run in (slow, fast))  # type: ignore[return-value]


def measure(
    name: str, case: str, backward: bool, memory: tuple[float, float], options: argparse.Namespace
) -> list[str]:
    """One row of the table: medians of interleaved runs."""
    device = torch.device(options.device)
    head, fast, slow = prepare(name, case, device)
    difference = float((fast() - slow()).abs().max().detach())
    runs = {"literal": slow, "ours": fast, "bf16": partial(half, fast, device)}
    if options.compile:
        runs["compiled"] = partial(half, torch.compile(fast), device)
    times: dict[str, list[float]] = {key: [] for key in runs}
    for _ in range(options.repeats):
        for key, run in runs.items():
            times[key].append(once(run, head, backward, device))
    middle = {key: statistics.median(values) for key, values in times.items()}
    work = macs(heads.preset(name), CASES[case])
    speed = 2 * work * (3 if backward else 1) / middle["ours"]
    return [
        name, case, "both" if backward else "forward",
        *(f"{middle[key] * 1e3:.0f}" for key in runs),
        f"{middle['literal'] / middle['ours']:.2f}", f"{middle['literal'] / middle['bf16']:.2f}",
        *(f"{mb:.0f}" for mb in memory), f"{work:.2f}", f"{speed:.0f}", f"{difference:.0e}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heads", nargs="*", default=heads.available(), help="acar, acar:r101, …")
    parser.add_argument("--forward", action="store_true", help="no backward passes")
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--keep-freed", action="store_true", help="memory stays in the process, as in `relact detect`")
    parser.add_argument("--compile", action="store_true", help="also bf16 through torch.compile")
    options = parser.parse_args()
    device = torch.device(options.device)
    limits = {str(dtype)[6:]: matmul_gflops(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads; matmul GFLOP/s: {limits}")
    columns = ["head", "actors a clip", "pass", "literal ms", "ours ms", "bf16 ms"]
    columns += ["compiled ms"] if options.compile else []
    columns += ["literal/ours", "literal/bf16", "literal MB", "ours MB", "GMAC", "GFLOP/s", "max diff"]
    print(" | ".join(columns), "---|" * len(columns), sep="\n", flush=True)
    passes = (False,) if options.forward else (False, True)
    points = [(name, case, backward) for name in options.heads for case in options.cases for backward in passes]
    with multiprocessing.get_context("spawn").Pool(1, return_at_once) as apart:
        memory = {point: apart.apply(memory_of, (*point, device)) for point in points}
    if options.keep_freed:
        keep_freed_memory()
    for point in points:
        print(" | ".join(measure(*point, memory[point], options)), flush=True)


if __name__ == "__main__":
    main()
