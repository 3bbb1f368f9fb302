"""AVA evaluation at the size of the validation set: 64 videos, 860,000 prediction rows, in a fresh process.

    python benchmarks/evaluate_ava.py [--rows 860000] [--shuffled] [--cli]

Seconds are wall time from the process's start to its end (interpreter, imports, reading, judging); the peak
is its resident memory. The files are made up: about 2.5 people a keyframe with two or three actions each, and
predictions scattered about them, 30 % of them of a right action. Prints one JSON line.
"""

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from relact.interop.ava_csv import format_ava_rows, write_ava_csv
from relact.labels import LabelMap

VIDEOS = [f"video_{k:06d}" for k in range(64)]  # as long as AVA's own names, about
SECONDS = np.arange(902, 1799)
PERSONS_A_KEYFRAME = 2.5
ACTIONS_A_PERSON = 2.5


def make_files(folder: Path, num_rows: int, shuffled: bool) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    ids = np.array(LabelMap.load("ava60").ids)
    persons = rng.poisson(PERSONS_A_KEYFRAME, len(VIDEOS) * len(SECONDS))
    keyframe = np.repeat(np.arange(len(persons)), persons)
    corner = rng.random((len(keyframe), 2)) * 0.5
    boxes = np.concatenate([corner, corner + 0.15 + rng.random((len(keyframe), 2)) * 0.35], axis=1)

    truth = np.repeat(np.arange(len(keyframe)), 1 + rng.poisson(ACTIONS_A_PERSON - 1, len(keyframe)))
    actions = ids[(rng.beta(0.6, 3, len(truth)) * len(ids)).astype(int)]
    truth, actions = np.unique(np.stack([truth, actions]), axis=1)
    groundtruth = folder / "groundtruth.csv"
    write(groundtruth, keyframe[truth], boxes[truth], actions, truth, 0)

    about = np.sort(rng.integers(0, len(truth), num_rows))
    right = rng.random(num_rows) < 0.3
    found = np.where(right, actions[about], rng.choice(ids, num_rows))
    near = (boxes[truth[about]] + rng.normal(0, 0.02, (num_rows, 4))).clip(0, 1)
    order = rng.permutation(num_rows) if shuffled else np.arange(num_rows)
    predictions = folder / "predictions.csv"
    scores = (rng.random(num_rows) + right) / 2
    write(predictions, keyframe[truth[about]][order], near[order], found[order], scores[order], 6)
    return predictions, groundtruth


def write(path, keyframe, boxes, actions, last, decimals):
    videos = [VIDEOS[k] for k in keyframe // len(SECONDS)]
    seconds = SECONDS[keyframe % len(SECONDS)]
    rows = format_ava_rows(
        videos=videos, seconds=seconds, boxes=boxes, actions=actions, scores=last, score_decimals=decimals
    )
    write_ava_csv(path, rows)


def command(predictions: Path, groundtruth: Path, cli: bool) -> list[str]:
    if cli:
        files = ["--predictions", str(predictions), "--groundtruth", str(groundtruth)]
        return [sys.executable, "-m", "relact", "evaluate", "ava", *files]
    call = f"print(evaluate({str(predictions)!r}, {str(groundtruth)!r}).mAP)"
    return [sys.executable, "-c", f"from relact.metrics.ava import evaluate; {call}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=860_000)
    parser.add_argument("--shuffled", action="store_true", help="prediction rows in no order")
    parser.add_argument("--cli", action="store_true", help="through the command line")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        predictions, groundtruth = make_files(Path(folder), options.rows, options.shuffled)
        size = predictions.stat().st_size
        seconds = []
        for _ in range(options.repeat):
            start = time.perf_counter()
            done = subprocess.run(
                command(predictions, groundtruth, options.cli), check=True, capture_output=True, text=True
            )
            seconds.append(round(time.perf_counter() - start, 3))
        truth_rows = groundtruth.read_bytes().count(b"\n")
    print(done.stdout.strip(), file=sys.stderr)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    record = {
        "benchmark": "evaluate_ava",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "prediction_rows": options.rows,
        "prediction_mb": round(size / 1e6, 1),
        "groundtruth_rows": truth_rows,
        "shuffled": options.shuffled,
        "command_line": options.cli,
        "seconds": seconds,
        "peak_mb": round(peak),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
