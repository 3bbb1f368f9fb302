"""Every metric at full size: seconds and peak memory, each in a fresh process.

    python benchmarks/metrics.py [--annotation ucf24/annotations/pyannot.pkl] [--rows 860000] [--only video]

AVA: 64 validation videos, `--rows` predictions, made up as in `evaluate_ava.py`. UCF101-24: the truth of split 1 where
`--annotation` (with testlist01.txt beside it) is given, else 910 made-up videos of like size; detections are made up:
each labelled box is found in 85 % of the frames, moved by a slowly changing error, 80 % of the tubes with the right
action; about two false boxes a frame. "24 actions a box" is what a model's predictions.csv has: each box, and a fifth
of the false ones, with a score for each action. Seconds are wall time from the process's start to its end; CPU
seconds hold on a busy machine too. Prints a table, and a JSON line of it all.
"""

import argparse
import datetime
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from evaluate_ava import make_files

from relact.interop.ava_csv import format_ava_rows, write_ava_csv
from relact.interop.ucf24 import read_annotation
from relact.labels import LabelMap

VIDEOS, FRAMES = 910, 180
MEASURE = """
import json, resource, sys
from pathlib import Path
{code}
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([figure, used.ru_maxrss / 1024, used.ru_utime + used.ru_stime]))
"""


class Truth:
    """Columns of the labelled boxes: video, frame from 0, box in pixels, action id, number of the tube."""

    def __init__(self, annotation: Path | None) -> None:
        if annotation is None:
            self._make_up()
            return
        tubes = read_annotation(annotation)
        listed = (annotation.parent / "testlist01.txt").read_text().split()
        chosen = {name: k for k, name in enumerate(name.removesuffix(".avi") for name in listed)}
        code = np.array([chosen.get(name, -1) for name in tubes.videos])
        kept = code[tubes.video] >= 0
        self.names = list(chosen)
        self.frames = np.zeros(len(self.names), np.int64)
        self.frames[code[code >= 0]] = tubes.num_frames[code >= 0]
        self.video, self.frame = code[tubes.video[kept]], tubes.frame[kept]
        self.boxes, self.label = tubes.boxes[kept], tubes.label[kept]
        self.tube = self.video * 100 + tubes.tube[kept]

    def _make_up(self) -> None:
        rng = np.random.default_rng(1)
        self.names = [f"v_{k:04d}" for k in range(VIDEOS)]
        self.frames = np.full(VIDEOS, FRAMES)
        tubes = np.repeat(np.arange(VIDEOS), rng.integers(1, 3, VIDEOS))
        length = rng.integers(60, FRAMES, len(tubes))
        begin = (rng.random(len(tubes)) * (FRAMES - length)).astype(np.int64)
        self.tube = np.repeat(np.arange(len(tubes)), length)
        self.video = tubes[self.tube]
        self.frame = begin[self.tube] + np.arange(len(self.tube)) - (np.cumsum(length) - length)[self.tube]
        corner = rng.uniform(0, 150, (len(tubes), 2))
        box = np.column_stack([corner, corner + rng.uniform(40, 90, (len(tubes), 2))])
        self.boxes = np.round(box[self.tube] + rng.uniform(-0.1, 0.1, (len(tubes), 1))[self.tube] * self.frame[:, None])
        self.label = rng.integers(1, 25, VIDEOS)[self.video]

    def write(self, path: Path) -> None:
        ids = LabelMap.load("ucf24").ids
        columns = [
            np.array(self.names)[self.video],
            self.frame,
            *self.boxes.T,
            np.array(ids)[self.label - 1],
            self.tube,
        ]
        write_csv(path, "video,frame,x1,y1,x2,y2,action_id,person", columns)


def write_csv(path: Path, header: str, columns: list[np.ndarray]) -> None:
    with path.open("w") as file:
        file.write(header + "\n")
        file.writelines(",".join(map(str, row)) + "\n" for row in zip(*(c.tolist() for c in columns), strict=True))


def found_boxes(truth: Truth) -> tuple[np.ndarray, ...]:
    """Video, frame, box, action, score and track of the made-up detections."""
    rng = np.random.default_rng(2)
    tubes, of = np.unique(truth.tube, return_inverse=True)
    phase = rng.uniform(0, 6.28, (len(tubes), 4))
    sway = 5 * np.sin(truth.frame[:, None] / 15 + phase[of]) + rng.normal(0, 1, (len(of), 4))
    label = np.where(rng.random(len(tubes)) < 0.8, 0, rng.integers(1, 24, len(tubes)))[of]
    action = (truth.label - 1 + label) % 24 + 1
    score = (0.4 + 0.5 * rng.random(len(tubes))[of] + rng.normal(0, 0.05, len(of))).clip(0.01, 0.99)
    kept = rng.random(len(of)) < 0.85
    video = np.repeat(np.arange(len(truth.names)), truth.frames)
    frame = np.concatenate([np.arange(n) for n in truth.frames])
    false = np.repeat(np.arange(len(video)), rng.poisson(2, len(video)))
    corner = rng.uniform(0, 200, (len(false), 2))
    return (
        np.concatenate([truth.video[kept], video[false]]),
        np.concatenate([truth.frame[kept], frame[false]]),
        np.concatenate([(truth.boxes + sway)[kept], np.column_stack([corner, corner + 60])]).round(2),
        np.concatenate([action[kept], rng.integers(1, 25, len(false))]),
        np.concatenate([score[kept], rng.random(len(false)) * 0.5]).round(5),
        np.concatenate([of[kept], len(tubes) + np.arange(len(false))]),
    )


def write_dense(path: Path, truth: Truth, found: tuple[np.ndarray, ...]) -> int:
    """Every box with a score of every action, in AVA's columns, as `relact test` writes them."""
    rng = np.random.default_rng(3)
    fewer = (np.bincount(found[5])[found[5]] > 1) | (rng.random(len(found[0])) < 0.2)
    video, frame, boxes, action, score, _ = (column[fewer] for column in found)
    scores = rng.random((len(video), 24)) ** 6 * 0.5
    scores[np.arange(len(video)), action - 1] = score
    names = np.array(truth.names)[video]
    unit = np.sort((boxes / [320, 240, 320, 240]).clip(0, 1).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    rows = format_ava_rows(
        videos=np.repeat(names, 24).tolist(), seconds=np.repeat(frame + 1, 24), boxes=np.repeat(unit, 24, axis=0),
        actions=np.tile(np.arange(1, 25), len(video)), scores=scores.reshape(-1),
    )  # fmt: skip
    write_ava_csv(path, rows)
    return scores.size


def measures(folder: Path, options: argparse.Namespace) -> dict[str, tuple[str, int]]:
    """Name → (code that sets `figure`, rows of predictions)."""
    predictions, groundtruth = make_files(folder, options.rows, shuffled=False)
    truth = Truth(options.annotation)
    truth.write(folder / "ucf_truth.csv")
    found = found_boxes(truth)
    columns = [np.array(truth.names)[found[0]], found[1], *found[2].T, found[3], found[4], found[5]]
    write_csv(folder / "ucf.csv", "video,frame,x1,y1,x2,y2,action_id,score,person", columns)
    dense_rows = write_dense(folder / "ucf_dense.csv", truth, found)
    annotation = folder / "ucf_truth.csv" if options.annotation is None else options.annotation.absolute()
    ava = f"from relact.metrics.ava import evaluate\nfigure = evaluate({str(predictions)!r}, {str(groundtruth)!r}"

    def ucf(kind: str, name: str, extra: str, result: str) -> str:
        call = f"evaluate_{kind}({str(folder / name)!r}, {str(annotation)!r}{extra})"
        return f"from relact.metrics.{kind} import evaluate_{kind}\nfigure = {call}.{result}"

    video = 'maps["0.5"]'
    rows, number = options.rows, len(found[0])
    return {
        "AVA frame-mAP": (f"{ava}).mAP", rows),
        "AVA frame-mAP, explained": (f"{ava}, explain=True).mAP", rows),
        "AVA frame-mAP, errors": (f"{ava}, errors=True).mAP", rows),
        "UCF101-24 frame-mAP": (ucf("frames", "ucf.csv", "", "mAP"), number),
        "UCF101-24 frame-mAP, explained": (ucf("frames", "ucf.csv", ", explain=True", "mAP"), number),
        "UCF101-24 frame-mAP, errors": (ucf("frames", "ucf.csv", ", errors=True", "mAP"), number),
        "UCF101-24 frame-mAP, 24 actions a box": (ucf("frames", "ucf_dense.csv", "", "mAP"), dense_rows),
        "UCF101-24 video-mAP, linked (act)": (ucf("videos", "ucf.csv", "", video), number),
        "UCF101-24 video-mAP, linked and trimmed (road)": (
            ucf("videos", "ucf.csv", ', rules="road", linking="road", trim=3.0', video), number,
        ),
        "UCF101-24 video-mAP, ids": (ucf("videos", "ucf.csv", ', linking="ids"', video), number),
        "UCF101-24 video-mAP, linked (act), 24 actions a box": (ucf("videos", "ucf_dense.csv", "", video), dense_rows),
        "links of AVA (ids of the truth judged by itself)": (
            "from relact.metrics.links import evaluate_links\n"
            f"figure = evaluate_links({str(groundtruth)!r}, {str(groundtruth)!r}).total.idf1",
            groundtruth.read_bytes().count(b"\n"),
        ),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=860_000)
    parser.add_argument("--annotation", type=Path, help="pyannot.pkl of UCF101-24, with testlist01.txt beside it")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--only", default="", help="measures whose name has this in it")
    options = parser.parse_args()
    records = []
    with tempfile.TemporaryDirectory() as name:
        # In a process of its own: a child's peak begins at its parent's.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            chosen = pool.submit(measures, Path(name), options).result()
        for measure, (code, rows) in chosen.items():
            if options.only not in measure:
                continue
            seconds = []
            for _ in range(options.repeat):
                start = time.perf_counter()
                done = subprocess.run(
                    [sys.executable, "-c", MEASURE.format(code=code)], check=True, capture_output=True, text=True
                )
                seconds.append(round(time.perf_counter() - start, 2))
            figure, peak, cpu = json.loads(done.stdout)
            record = {"measure": measure, "rows": rows, "figure": figure, "seconds": seconds}
            records.append(record | {"cpu_seconds": round(cpu, 2), "peak_mb": round(peak)})
            print(f"{measure}: {min(seconds)} s", file=sys.stderr)
    print("| measure | rows of predictions | figure | seconds | CPU seconds | peak MB |\n|---|---|---|---|---|---|")
    for record in records:
        shown = [f"{record['rows']:,}", f"{record['figure']:.6f}", min(record["seconds"]), record["cpu_seconds"]]
        print(f"| {record['measure']} | {' | '.join(map(str, shown))} | {record['peak_mb']} |")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    truth = "split 1" if options.annotation else "made up"
    stamp = {"benchmark": "metrics", "date": date, "machine": machine, "numpy": np.__version__, "ucf24_truth": truth}
    print(json.dumps(stamp | {"measures": records}))


if __name__ == "__main__":
    main()
