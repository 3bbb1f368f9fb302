"""Frames a second of the drawn layer alone: `python benchmarks/draw.py [--frames 300] [--json FILE]`.

People walk and texts change each second (30 frames); each frame is interpolated, laid out and drawn by one
thread. Decoding and encoding are not in it.
"""

import argparse
import json
import time
from collections.abc import Iterator

import numpy as np

from relact.viz.draw import Painter, Picture, Sighting, annotate

RATE = 30
NAMES = (
    "stand",
    "walk",
    "talk to",
    "watch (a person)",
    "carry/hold (an object)",
    "sit",
    "listen to (a person)",
)


def sightings(people: int, width: int, height: int, seconds: int) -> Iterator[Sighting]:
    random = np.random.default_rng(0)
    centre = (np.arange(people) + 0.5) / people * width
    for second in range(seconds + 1):
        centre = (centre + random.normal(0, 0.03 * width, people)).clip(0, width)
        half, top = 0.12 * height, 0.25 * height
        boxes = np.stack([centre - half, np.full(people, top), centre + half, np.full(people, 0.95 * height)], axis=1)
        lines = tuple(
            tuple(
                (NAMES[k], float(s))
                for k, s in zip(random.permutation(7)[:3], -np.sort(-random.random(3)), strict=True)
            )
            for _ in range(people)
        )
        yield Sighting(time=float(second), ids=tuple(range(1, people + 1)), boxes=boxes, lines=lines)


def frames(width: int, height: int, count: int) -> Iterator[tuple[Picture, float]]:
    picture = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    for index in range(count):
        yield picture, index / RATE


def measure(people: int, width: int, height: int, count: int) -> dict[str, float]:
    shown = sightings(people, width, height, count // RATE + 1)
    times, start = [], time.perf_counter()
    for _ in annotate(frames(width, height, count), shown, Painter(), max_gap=1.5, hold=0.5):
        now = time.perf_counter()
        times.append(now - start)
        start = now
    return {
        "fps": round(count / sum(times), 1),
        "median_ms": round(1e3 * float(np.median(times)), 3),
        "worst_ms": round(1e3 * max(times), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--json")
    options = parser.parse_args()
    results = []
    for width, height in ((640, 360), (1280, 720)):
        for people in (1, 5, 10):
            row = {
                "width": width,
                "height": height,
                "people": people,
                **measure(people, width, height, options.frames),
            }
            results.append(row)
            print(row)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"date": time.strftime("%Y-%m-%d"), "results": results}, file, indent=1)


if __name__ == "__main__":
    main()
