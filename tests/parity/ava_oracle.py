"""The official AVA evaluator's rules as plain loops: slow, and easy to hold against the text of its code."""

import csv
import heapq
from collections import defaultdict
from pathlib import Path

Box = tuple[float, float, float, float]
Row = tuple[float, int, float, float, float, float]  # score, action, y1, x1, y2, x2: the order decides on the heap


def read(path: Path, listed: set[int], capacity: int) -> tuple[dict[str, list[Row]], set[str]]:
    """Rows of each keyframe by falling last column, at most `capacity` (0: all), and all keyframes named."""
    entries: dict[str, list[Row]] = defaultdict(list)
    keys = set()
    for fields in csv.reader(path.read_text().splitlines()):
        key = f"{fields[0]},{float(fields[1]):.6f}"
        keys.add(key)
        if len(fields) == 2 or int(fields[6]) not in listed:
            continue
        x1, y1, x2, y2 = map(float, fields[2:6])
        row = (float(fields[7]) if len(fields) == 8 else 1.0, int(fields[6]), y1, x1, y2, x2)
        heap = entries[key]
        if capacity < 1 or len(heap) < capacity:
            heapq.heappush(heap, row)
        elif row[0] > heap[0][0]:
            heapq.heapreplace(heap, row)
    return {key: sorted(rows, key=lambda row: -row[0]) for key, rows in entries.items()}, keys


def overlap(a: Row, b: Row) -> float:
    height = max(0.0, min(a[4], b[4]) - max(a[2], b[2]))
    width = max(0.0, min(a[5], b[5]) - max(a[3], b[3]))
    common = height * width
    return common / ((a[4] - a[2]) * (a[5] - a[3]) + (b[4] - b[2]) * (b[5] - b[3]) - common)


def match(detections: list[Row], truths: list[Row]) -> list[tuple[float, bool]]:
    """Score and verdict of one keyframe's detections of one class, those of an empty box left out."""
    taken = set()
    verdicts = []
    real = [row for row in detections if row[2] < row[4] and row[3] < row[5] and row[0] > -10]
    for row in sorted(real, key=lambda row: -row[0]):
        overlaps = [overlap(row, truth) for truth in truths]
        best = overlaps.index(max(overlaps)) if overlaps else -1
        right = best >= 0 and overlaps[best] >= 0.5 and best not in taken
        if right:
            taken.add(best)
        verdicts.append((row[0], right))
    return verdicts


def average_precision(verdicts: list[tuple[float, bool]], num_truths: int) -> float:
    precision, recall, right = [0.0], [0.0], 0
    for rank, (_, verdict) in enumerate(sorted(verdicts, key=lambda pair: -pair[0]), start=1):
        right += verdict
        precision.append(right / rank)
        recall.append(right / num_truths)
    precision.append(0.0)
    recall.append(1.0)
    for k in range(len(precision) - 2, -1, -1):
        precision[k] = max(precision[k], precision[k + 1])
    return sum((recall[k] - recall[k - 1]) * precision[k] for k in range(1, len(recall)))


def evaluate(
    predictions: Path, groundtruth: Path, listed: set[int], excluded: set[str], capacity: int
) -> dict[int, float | None]:
    """AP by action id, None without ground truth; `excluded` holds keys as `video,902.000000`."""
    truths, known = read(groundtruth, listed, 0)
    detections, _ = read(predictions, listed, capacity)
    results: dict[int, float | None] = {}
    for action in sorted(listed):
        verdicts, total = [], 0
        for key in known - excluded:
            real = [row for row in truths.get(key, []) if row[1] == action]
            total += len(real)
            verdicts += match([row for row in detections.get(key, []) if row[1] == action], real)
        results[action] = average_precision(verdicts, total) if total else None
    return results
