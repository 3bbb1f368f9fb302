"""Where the time of `relact detect` goes: decode, decode + resize, the whole, and the backbone beside a matmul.

    python benchmarks/detect.py [VIDEO] [--seconds 20] [--detector] [--json FILE]

Without VIDEO it makes one: 1280 x 720, 25 fps, H.264, a few people whose boxes are in a file. The model is
slowfast_r50_8x8 with the linear head for AVA's 60 actions and random weights: they do not change the time.
`--detector` also runs the person detector of this machine's preset at 5 Hz, with random weights; as those find nobody,
two fixed boxes stand for its answer.
"""

import argparse
import json
import platform
import tempfile
import time
from datetime import UTC, datetime
from itertools import islice
from math import ceil
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from relact import create_model
from relact.data.decode import FrameStream
from relact.data.encode import VideoWriter
from relact.data.stage.play import frames, write_play
from relact.data.stage.truth import people_rows
from relact.interop.box_files import read_boxes
from relact.nn.memory import keep_freed_memory
from relact.nn.precision import autocast, default_device, resolve
from relact.run.detection import prepare
from relact.video.people import PUBLISHED, TorchvisionDetector, preset
from relact.video.pipeline import DetectConfig, Progress, detect_video
from relact.video.sources import DetectedPeople, FiledPeople

SHORT_SIDE = 256
RATE = 25


def make_video(folder: Path, seconds: float) -> tuple[Path, Path]:
    """A play of Stage, enlarged to 1280 x 720, and the boxes of its people every fifth of a second."""
    play, video, boxes = write_play("play", (1,), ceil(seconds) + 2), folder / "play.mp4", folder / "boxes.csv"
    with VideoWriter(video, 1280, 720, RATE) as writer:
        for second, picture in islice(frames(play, RATE, 2), int(seconds * RATE)):
            writer.write(np.asarray(Image.fromarray(picture).resize((1280, 720))), second)
    lines = [",".join(map(str, row[1:])) for row in people_rows(play) if float(str(row[1])) < seconds]
    boxes.write_text("\n".join(["time_s,x1,y1,x2,y2,person_id", *lines]) + "\n")
    return video, boxes


def decode_rates(video: Path) -> dict[str, float]:
    """Frames a second of decoding alone, and with every frame converted and resized."""
    rates = {}
    for name, resize in (("decode", False), ("decode + resize", True)):
        start, count = time.perf_counter(), 0
        with FrameStream(video) as stream:
            size = stream.info.resized(SHORT_SIDE)
            for frame in stream:
                count += 1
                if resize:
                    frame.rgb(size)
        rates[name] = count / (time.perf_counter() - start)
    return rates


def backbone_rate(device: torch.device, dtype: torch.dtype, width: int, repeats: int) -> dict[str, float]:
    """GFLOP/s of the backbone as detect runs it, on one clip, beside a large matmul of the same precision."""
    model = create_model("linear", backbone="slowfast_r50_8x8", num_classes=60).to(device).eval()
    clip = torch.randn(1, 3, model.clip.num_frames, SHORT_SIDE, width, device=device)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.backbone(clip)
    flop = counter.get_total_flops()
    ready = prepare(model, "bf16" if dtype == torch.bfloat16 else "fp32").backbone
    a = torch.randn(4096, 4096, device=device).to(dtype)

    def once(work: "object") -> float:
        start = time.perf_counter()
        work()  # type: ignore[operator]
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    with torch.inference_mode(), autocast(device, dtype):
        pairs = [(once(lambda: ready(clip)), once(lambda: a @ a)) for _ in range(repeats + 1)][1:]
    convolutions, product = (np.array(column) for column in zip(*pairs, strict=True))
    return {
        "clip_gflop": flop / 1e9,
        "backbone_gflops": flop / convolutions.min() / 1e9,
        "matmul_gflops": 2 * 4096**3 / product.min() / 1e9,
        "share_of_matmul": flop / convolutions.min() / (2 * 4096**3 / product.min()),
        "backbone_s_a_clip": convolutions.min(),
    }


def whole(video: Path, boxes: Path | None, device: torch.device) -> dict[str, object]:
    """Detect from end to end, nothing drawn: frames a second and the share of each stage."""
    model = prepare(create_model("linear", backbone="slowfast_r50_8x8", num_classes=60).to(device).eval(), "auto")
    progress, config = Progress(), DetectConfig()
    with FrameStream(video) as stream:
        info = stream.info
    if boxes is not None:
        table = read_boxes(boxes).for_video(str(video), info.width, info.height)
        people = FiledPeople(table, table.instants, width=info.width, height=info.height, threshold=0.5)
    else:
        untrained = PUBLISHED[preset(device)].build(weights=None, weights_backbone=None, box_score_thresh=0.05)
        detector = TorchvisionDetector(untrained, device)
        size = [info.width, info.height] * 2
        boxes_px = np.array([[0.1, 0.1, 0.3, 0.9], [0.5, 0.2, 0.7, 0.95]]) * size
        found = [(boxes_px, np.ones(2))]
        people = DetectedPeople(lambda pictures: [detector(pictures), found][1], hz=5.0, every=1.0, threshold=0.5)
    start = time.perf_counter()
    found = sum(
        len(d.boxes)
        for d in detect_video(video, name="v", model=model, people=people, config=config, progress=progress)
    )
    seconds = time.perf_counter() - start
    return {
        "frames_per_s": progress.frames / seconds,
        "seconds_per_video_second": seconds / progress.covered,
        "boxes": found,
        "share": {stage: spent / seconds for stage, spent in progress.seconds.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", nargs="?", type=Path)
    parser.add_argument("--boxes", type=Path)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--detector", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device = default_device()
    if device.type == "cpu":
        keep_freed_memory()  # as detect does
    dtype = resolve("auto", device)
    with tempfile.TemporaryDirectory() as folder:
        video, boxes = (options.video, options.boxes) if options.video else make_video(Path(folder), options.seconds)
        with FrameStream(video) as stream:
            width = stream.info.resized(SHORT_SIDE)[0]
        result = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": torch.cuda.get_device_name()
            if device.type == "cuda"
            else platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "precision": str(dtype).removeprefix("torch."),
            "frames_per_s": decode_rates(video),
            "detect, boxes from a file": whole(video, boxes, device) if boxes else None,
            "detect, with the detector": whole(video, None, device) if options.detector else None,
            "backbone": backbone_rate(device, dtype, width, options.repeats),
        }
    print(json.dumps(result, indent=2, default=float))
    if options.json:
        options.json.write_text(json.dumps(result, default=float) + "\n")


if __name__ == "__main__":
    main()
