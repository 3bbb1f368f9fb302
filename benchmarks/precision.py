"""What bf16 does to scores: the same videos detected in fp32 and in bf16.

    python benchmarks/precision.py VIDEO... --weights RUN --boxes FILE [--json FILE]

Prints, over all people, actions and keyframes: the mean and the largest difference of scores, how often the best
action of a person changes, and the seconds that the model took in either precision, taken in turns.
"""

import argparse
import json
import platform
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from relact import load_model
from relact.data.decode import probe, video_index
from relact.interop.box_files import read_boxes
from relact.nn.precision import cpu_has_bf16
from relact.run.detection import prepare
from relact.video.pipeline import DetectConfig, Progress, detect_video
from relact.video.sources import FiledPeople


def people_of(video: Path, boxes: Path) -> FiledPeople:
    info = probe(video)
    table = read_boxes(boxes).for_video(str(video), info.width, info.height)
    times = video_index(video).times
    seconds = times[table.instants.astype(np.int64)] if table.clock == "frames" else table.instants.astype(np.float64)
    return FiledPeople(table, seconds, width=info.width, height=info.height, threshold=0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--boxes", type=Path, required=True)
    parser.add_argument("--every", type=float, default=0.2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    models = {precision: prepare(load_model(options.weights), precision) for precision in ("fp32", "bf16")}
    scores: dict[str, list[np.ndarray]] = {name: [] for name in models}
    progress = {name: Progress() for name in models}
    for video in options.videos:
        for name, model in models.items():
            config = DetectConfig(every=options.every, precision=name)
            people = people_of(video, options.boxes)
            found = detect_video(
                video, name=video.stem, model=model, people=people, config=config, progress=progress[name]
            )
            scores[name] += [detections.scores for detections in found]
    single, half = (np.concatenate(scores[name]) for name in ("fp32", "bf16"))
    difference = np.abs(single - half)
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "bf16 instructions": cpu_has_bf16(),
        "torch": torch.__version__,
        "people x keyframes": len(single),
        "mean difference": float(difference.mean()),
        "largest difference": float(difference.max(initial=0)),
        "best action changes": float((single.argmax(1) != half.argmax(1)).mean()),
        "model seconds": {name: round(progress[name].seconds["model"], 3) for name in models},
    }
    print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
