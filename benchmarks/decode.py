"""Frames a second of decoding alone, of decoding and resizing, and milliseconds of a random clip.

    python benchmarks/decode.py [VIDEO] [--seconds 20] [--rounds 3] [--threads 0] [--json FILE]

Without a video, one of 1280 x 720 at 30 fps is generated: a moving texture with noise, H.264 as `VideoWriter`
writes it. The kinds take turns and each keeps its best round. One JSON line on the screen, appended to FILE.
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np

from relact.data.decode import FrameStream, index_by_decoding, index_by_packets, read_clip, video_index
from relact.data.encode import VideoWriter
from relact.data.sampling import window_times
from relact.data.windows import WindowSpec, WindowStream

SHORT_SIDE = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", nargs="?", type=Path)
    parser.add_argument("--seconds", type=int, default=20, help="length of the generated video")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0: as FFmpeg likes")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = args.video or generate(Path(folder) / "generated.mp4", args.seconds)
        line = json.dumps(measure(video, args.threads, args.rounds))
    print(line)
    if args.json:
        with args.json.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def generate(path: Path, seconds: int, width: int = 1280, height: int = 720) -> Path:
    """A texture that drifts, with fresh noise on it, so that there is something to decode."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (height // 16, width // 8, 3), dtype=np.uint8)
    texture = coarse.repeat(16, 0).repeat(16, 1)
    noise = random.integers(0, 24, (8, height, width, 3), dtype=np.uint8)
    with VideoWriter(path, width, height, 30) as writer:
        for number in range(30 * seconds):
            left = 3 * number % width
            picture = texture[:, left : left + width] // 2 + noise[number % 8]
            writer.write(picture, number / 30)
    return path


def measure(video: Path, threads: int, rounds: int) -> dict[str, object]:
    """All figures of a video."""
    with FrameStream(video, threads=threads) as stream:
        info, frames = stream.info, sum(1 for _ in stream)
    kinds: dict[str, Callable[[], object]] = {
        "decode": lambda: decode(video, threads),
        "decode_resize_every_frame": lambda: resize_all(video, threads),
        "decode_resize_windows_32x2": lambda: resize_windows(video, threads, None),
        "decode_resize_windows_32x2_and_5hz_full": lambda: resize_windows(video, threads, 0.2),
    }
    seconds = fastest(kinds, rounds)
    times = np.random.default_rng(0).uniform(0, video_index(video).times[-1], 8)
    single: dict[str, Callable[[], object]] = {
        "index_by_packets": lambda: index_by_packets(video),
        "index_by_decoding": lambda: index_by_decoding(video),
        "random_clip_32x2": lambda: [
            read_clip(video, times=window_times(centre, 32, 2), short_side=SHORT_SIDE) for centre in times
        ],
    }
    one_thread = fastest(single, rounds)
    one_thread["random_clip_32x2"] /= len(times)
    return {
        "benchmark": "decode",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads,
        "versions": {"av": av.__version__, "python": platform.python_version(), "numpy": np.__version__},
        "video": {"codec": info.codec, "size": info.size, "frames": frames},
        "resized_to": info.resized(SHORT_SIDE),
        "frames_per_second": {kind: round(frames / taken, 1) for kind, taken in seconds.items()},
        "one_thread_ms": {kind: round(1000 * taken, 1) for kind, taken in one_thread.items()},
    }


def fastest(kinds: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each call in its best round."""
    best = dict.fromkeys(kinds, float("inf"))
    for _ in range(rounds):
        for kind, call in kinds.items():
            start = time.perf_counter()
            call()
            best[kind] = min(best[kind], time.perf_counter() - start)
    return best


def decode(video: Path, threads: int) -> None:
    with FrameStream(video, threads=threads) as stream:
        for _ in stream:
            pass


def resize_all(video: Path, threads: int) -> None:
    with FrameStream(video, threads=threads) as stream:
        size = stream.info.resized(SHORT_SIDE)
        for frame in stream:
            frame.rgb(size)


def resize_windows(video: Path, threads: int, sample_every: float | None) -> None:
    with FrameStream(video, threads=threads) as stream:
        size = stream.info.resized(SHORT_SIDE)
        for _ in WindowStream(stream, WindowSpec(), size=size, sample_every=sample_every):
            pass


def commit() -> str | None:
    """The checkout's commit, if this is one."""
    asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


if __name__ == "__main__":
    main()
