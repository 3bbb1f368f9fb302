"""Feature banks of AVA's size: writing, opening, reading windows, and what loader workers lose by it.

    python benchmarks/bank.py [--kinds vectors maps] [--rows N] [--folder TMP] [--repeats N] [--videos FOLDER]

A bank has as many people a second as AVA's training set (400,000 in 299 videos of 900 s). Vectors are 2304 channels
(1.8 GB for all), maps 512 x 7 x 14 (40 GB for all: by default 20,000 rows, or what a quarter of the free disk holds;
`--rows` may take four fifths of it).
Files are in the page cache when they are read, unless they do not fit there. "plain" is numpy without any bank:
`tofile` and fsync of the same bytes, one file a video, and slices of a memory map copied to a new array of the same
shape with zeros behind them, without a search, a mask or ticks. Runs of both are interleaved, on the same keyframes,
each first in every other turn. Loaders: 2 workers, batches of 16 clips; the data set decodes nothing, an item is an
array of zeros of a real clip's size, so that the loss by memory is the most that it can be; with `--videos` an item is
decoded from one of these files, 32 frames at a short side of 256. Scratch files are removed at the end.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from relact.bank import BankWriter, FeatureBank, Producer, Rows
from relact.data.decode import read_clip
from relact.data.places import VIDEO_SUFFIXES
from relact.data.sampling import window_times
from relact.head import MemorySpec
from relact.nn.memory import keep_freed_memory
from relact.types import Keyframe

ACTORS, VIDEOS, SECONDS, FIRST = 400_000, 299, 900, 902
PER_SECOND = ACTORS / VIDEOS / SECONDS
CLIPS, RADIUS = 16, 10
KINDS: dict[str, tuple[int, tuple[int, int] | None]] = {"vectors": (2304, None), "maps": (512 * 7 * 14, (7, 14))}
PRODUCER = Producer(head="benchmark", recipe="0" * 64, weights="0" * 64)
FRAMES = (3, 32, 256, 454)


def people(rows: int) -> list[np.ndarray]:
    """How many are in each second of each video; as many videos as these rows fill."""
    random = np.random.default_rng(0)
    videos = max(1, min(VIDEOS, round(rows / SECONDS / PER_SECOND)))
    which = np.sort(random.integers(videos * SECONDS, size=rows))
    return list(np.bincount(which, minlength=videos * SECONDS).reshape(videos, SECONDS))


def pool_of(dim: int) -> np.ndarray:
    """Rows to write, over and over: 64 MB, and no less than a second can need."""
    rows = max(2**25 // dim, 64)
    return np.random.default_rng(1).integers(0, 2**14, (rows, dim), np.int16).view(np.float16)


def cut(pool: np.ndarray, number: int, count: int) -> np.ndarray:
    begin = number * 7 % (len(pool) - count)
    return pool[begin : begin + count]


def write(folder: Path, dim: int, grid: tuple[int, int] | None, counts: list[np.ndarray]) -> float:
    """Seconds to fill a bank, `Rows.of` included."""
    pool, boxes = pool_of(dim), np.random.default_rng(2).random((64, 4), np.float32)
    began = time.perf_counter()
    writer = BankWriter(folder, producer=PRODUCER, dim=dim, grid=grid)
    names = [f"video{code:03d}" for code in range(len(counts))]
    for name, of_video in zip(names, counts, strict=True):
        rows = writer.video(name)
        for second, count in enumerate(of_video.tolist()):
            rows.write(FIRST + second, Rows.of(FIRST + second, cut(pool, second, count), boxes=boxes[:count]))
        writer.seal(rows)
    writer.finish(names)
    return time.perf_counter() - began


def write_plain(folder: Path, dim: int, counts: list[np.ndarray]) -> float:
    """Seconds to write the same features with `tofile`, and to fsync each file."""
    pool = pool_of(dim)
    folder.mkdir()
    began = time.perf_counter()
    for code, of_video in enumerate(counts):
        with (folder / f"{code}").open("wb", buffering=0) as file:
            for second, count in enumerate(of_video.tolist()):
                cut(pool, second, count).tofile(file)
            os.fsync(file.fileno())
    return time.perf_counter() - began


def keyframes(order: str, videos: int, repeats: int) -> list[list[Keyframe]]:
    """Batches, at random as in training or one second after the other as in tests."""
    random = np.random.default_rng(3)
    if order == "random":
        which = random.integers(0, videos * SECONDS, (repeats, CLIPS))
    else:
        which = np.arange(repeats * CLIPS).reshape(repeats, CLIPS) % (videos * SECONDS)
    return [[Keyframe(f"video{i // SECONDS:03d}", FIRST + i % SECONDS) for i in batch] for batch in which.tolist()]


class Plain:
    """The limit: where rows lie is known, and they are copied to an array of the same shape, zeros behind them."""

    def __init__(self, bank: FeatureBank, counts: list[np.ndarray], dim: int) -> None:
        self._features = {video: bank.rows(video).features for video in bank.videos}
        self._ends = [np.concatenate([[0], np.cumsum(of_video)]).tolist() for of_video in counts]
        self._dim = dim

    def places(self, keys: Sequence[Keyframe]) -> list[tuple[str, int, int]]:
        found = []
        for key in keys:
            ends, second = self._ends[int(key.video[5:])], key.tick - FIRST
            found.append((key.video, ends[max(second - RADIUS, 0)], ends[min(second + RADIUS + 1, SECONDS)]))
        return found

    def read(self, places: list[tuple[str, int, int]]) -> np.ndarray:
        out = np.empty((len(places), max(end - begin for _, begin, end in places), self._dim), np.float16)
        for clip, (video, begin, end) in enumerate(places):
            out[clip, : end - begin] = self._features[video][begin:end]
            out[clip, end - begin :] = 0
        return out


def timed(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def windows(
    bank: FeatureBank, plain: Plain, spec: MemorySpec, batches: list[list[Keyframe]]
) -> tuple[list[float], list[float]]:
    """Seconds of each window and of each plain read of the same rows."""
    ours, theirs = [], []
    for turn, keys in enumerate(batches):
        places = plain.places(keys)
        runs = [
            (ours, lambda keys=keys: bank.window(keys, spec)), (theirs, lambda places=places: plain.read(places))
        ]  # fmt: skip
        for times, run in runs if turn % 2 else runs[::-1]:
            times.append(timed(run))
    return ours[10:], theirs[10:]


def check(bank: FeatureBank, plain: Plain, spec: MemorySpec, keys: list[Keyframe]) -> None:
    """Both read the same."""
    memory = bank.window(keys, spec)
    expected = torch.from_numpy(plain.read(plain.places(keys)))
    assert torch.equal(memory.features[memory.mask], expected[memory.mask])
    assert int(memory.mask.sum()) == sum(end - begin for _, begin, end in plain.places(keys))


class Clips(Dataset[tuple[Keyframe, Tensor]]):
    """Decoded from files in turn, or blank ones that nothing was decoded for."""

    def __init__(self, keys: list[Keyframe], files: list[Path]) -> None:
        self._keys = keys
        self._files = files

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, item: int) -> tuple[Keyframe, Tensor]:
        key = self._keys[item]
        if not self._files:
            return key, torch.zeros(FRAMES, dtype=torch.uint8)
        file = self._files[item % len(self._files)]
        frames = read_clip(file, times=window_times(1.0 + item % 3, FRAMES[1], 2, 30.0), short_side=FRAMES[2])
        clip = torch.zeros(FRAMES, dtype=torch.uint8)  # one shape for all, as a batch has
        width = min(frames.shape[3], FRAMES[3])
        clip[..., :width] = frames[:, :, : FRAMES[2], :width]
        return key, clip


def together(clips: list[tuple[Keyframe, Tensor]]) -> tuple[list[Keyframe], Tensor]:
    return [key for key, _ in clips], torch.stack([frames for _, frames in clips])


def clips_a_second(bank: FeatureBank | None, spec: MemorySpec, keys: list[Keyframe], files: list[Path]) -> float:
    """Of a loader; from its second batch on. Who takes the batches reads their memory, as training does."""
    loader = DataLoader(Clips(keys, files), batch_size=CLIPS, num_workers=2, collate_fn=together)
    batches = iter(loader)
    next(batches)
    began, count = time.perf_counter(), 0
    for batch, _ in batches:
        if bank is not None:
            bank.window(batch, spec)
        count += len(batch)
    return count / (time.perf_counter() - began)


def status(field: str) -> float:
    """MB, of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1e3
    raise LookupError(field)


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def measure(kind: str, folder: Path, options: argparse.Namespace) -> None:
    dim, grid = KINDS[kind]
    free = shutil.disk_usage(folder).free
    wanted = options.rows or (ACTORS if kind == "vectors" else 20_000)
    most = free * 8 // 10 if options.rows else free // 4
    rows = min(wanted, most // (dim * 2))
    counts, size = people(rows), rows * dim * 2 / 1e6
    scaled = f" (of AVA's {ACTORS:,})" if rows < ACTORS else ""
    print(f"\n{kind}: {rows:,} rows{scaled} of {dim} channels in {len(counts)} videos, {size:,.0f} MB; "
          f"{free / 1e9:.0f} GB of disk are free\n")  # fmt: skip
    row("measure", "ours", "plain numpy", "ratio")
    row(*["---"] * 4)
    plain_s = write_plain(folder / "plain", dim, counts)
    shutil.rmtree(folder / "plain")
    ours_s = write(folder / "bank", dim, grid, counts)
    row("write, rows/s", f"{rows / ours_s:,.0f}", f"{rows / plain_s:,.0f}", f"{ours_s / plain_s:.2f}")
    row("write, MB/s", f"{size / ours_s:,.0f}", f"{size / plain_s:,.0f}", f"{ours_s / plain_s:.2f}")

    spec, before = MemorySpec(radius=RADIUS, dim=dim, grid=grid), status("RssAnon")
    began = time.perf_counter()
    bank = FeatureBank.open(folder / "bank", spec=spec, verify=False)
    row("open, headers and indices checked, ms", f"{(time.perf_counter() - began) * 1e3:.0f}", "", "")
    row("resident after open, MB (RssAnon: without file-mapped pages)", f"{status('RssAnon') - before:.0f}", "", "")
    verified = timed(lambda: FeatureBank.open(folder / "bank", spec=spec))
    row("open, every byte checked, s", f"{verified:.2f}", "", "")

    plain = Plain(bank, counts, dim)
    check(bank, plain, spec, keyframes("random", len(counts), 1)[0])
    for order in ("random", "sequential"):
        times = windows(bank, plain, spec, keyframes(order, len(counts), options.repeats + 10))
        for name, of in (("median", 50), ("99th percentile", 99)):
            ours, theirs = (float(np.percentile(values, of)) * 1e3 for values in times)
            row(f"window of {CLIPS} clips x {2 * RADIUS + 1} s, {order}, {name}, ms",
                f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.2f}")  # fmt: skip

    keys = [key for batch in keyframes("random", len(counts), options.batches) for key in batch]
    real = sorted(path for path in options.videos.iterdir() if path.suffix in VIDEO_SUFFIXES) if options.videos else []
    for what, files in {"blank": [], "real": real}.items() if real else {"blank": []}.items():
        speeds = [
            (clips_a_second(bank, spec, keys, files), clips_a_second(None, spec, keys, files))
            for _ in range(options.rounds)
        ]
        with_it, without = (statistics.median(values) for values in zip(*speeds, strict=True))
        row(f"loader, {what} clips/s with memory (plain: without)", f"{with_it:.1f}", f"{without:.1f}",
            f"{without / with_it:.2f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--rows", type=int, help="of each bank; left out: 400,000 vectors and 20,000 maps")
    parser.add_argument("--folder", type=Path, help="where a temporary folder is made; left out: the system's")
    parser.add_argument("--videos", type=Path, help="a folder of real videos, for loaders that decode")
    parser.add_argument("--repeats", type=int, default=200, help="windows of each order")
    parser.add_argument("--batches", type=int, default=12, help="of a loader, each of 16 clips")
    parser.add_argument("--rounds", type=int, default=3, help="of loaders")
    options = parser.parse_args()
    keep_freed_memory()  # as training does
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"torch {torch.__version__}, numpy {np.__version__}, {os.cpu_count()} cores, load {load}")
    for kind in options.kinds:
        with tempfile.TemporaryDirectory(dir=options.folder, prefix="bank") as folder:
            measure(kind, Path(folder), options)


if __name__ == "__main__":
    main()
