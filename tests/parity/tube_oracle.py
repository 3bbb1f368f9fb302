"""ACT's evaluation (ACT.py, ACT_utils.py) and ROAD's linking as loops: slow, and easy to hold against their code."""

import itertools

import numpy as np


def area(b):
    return (b[2] - b[0] + 1) * (b[3] - b[1] + 1)


def iou(a, b):
    width = max(0, min(a[2], b[2]) + 1 - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) + 1 - max(a[1], b[1]))
    return width * height / (area(a) + area(b) - width * height)


def plain_iou(a, b):
    width, height = max(0, min(a[2], b[2]) - max(a[0], b[0])), max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union > 0 else 0.0


def by_score(scores):
    return np.argsort(-np.asarray(scores), kind="stable")


def pr_to_ap(pr):
    pr = np.array(pr)
    return float(((pr[1:, 1] - pr[:-1, 1]) * (pr[1:, 0] + pr[:-1, 0]) * 0.5).sum())


def walk(detections, truths, overlap, threshold):
    """Area under precision over recall. `detections`: (key, score, thing); `truths`: key → things."""
    truths = {key: list(things) for key, things in truths.items()}
    missing, right, wrong = sum(map(len, truths.values())), 0, 0
    pr = [(1.0, 0.0)]
    for j in by_score([score for _, score, _ in detections]):
        key, _, thing = detections[j]
        overlaps = [overlap(truth, thing) for truth in truths.get(key, [])]
        if overlaps and max(overlaps) >= threshold:
            del truths[key][int(np.argmax(overlaps))]
            right, missing = right + 1, missing - 1
        else:
            wrong += 1
        pr.append((right / (right + wrong), right / (right + missing)))
    return pr_to_ap(pr)


def iou3dt(a, b):
    """Tubes as [K, 5]: frame, box; consecutive frames."""
    low, high = max(a[0][0], b[0][0]), min(a[-1][0], b[-1][0])
    if high <= low:
        return 0.0
    union = max(a[-1][0], b[-1][0]) - min(a[0][0], b[0][0]) + 1
    boxes = [
        [row[1:] for row in tube if low <= row[0] <= high]
        for tube in (a, b)
    ]  # fmt: skip
    return float(np.mean([iou(p, q) for p, q in zip(*boxes, strict=True)])) * (high - low + 1) / union


def nms(things, scores, overlap, threshold):
    left, kept = list(by_score(scores)), []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if overlap(things[i], things[best]) <= threshold]
    return kept


def linear(tube):
    """Rows (frame, box, score) with those of the frames between two of them, halfway where halfway in time."""
    rows = []
    for here, following in itertools.pairwise(tube):
        step = following[0] - here[0]
        rows += [
            (here[0] + k, *(np.array(here[1:]) + (np.array(following[1:]) - np.array(here[1:])) * k / step))
            for k in range(step)
        ]
    return [*rows, tube[-1]]


def nearest_later(tube):
    rows = []
    for here, following in itertools.pairwise(tube):
        rows += [here, *[(frame, *following[1:]) for frame in range(here[0] + 1, following[0])]]
    return [*rows, tube[-1]]


def act_tubes(frames, *, nms_threshold=0.3, top=10, min_iou=0.2, gap=5):
    """BuildTubes for one class and tubelets of one frame: `frames`: boxes (x1, y1, x2, y2, score) of each."""
    current, finished = [], []
    for frame, boxes in enumerate(frames):
        kept = nms([b[:4] for b in boxes], [b[4] for b in boxes], iou, nms_threshold)[:top]
        boxes = [boxes[k] for k in kept]
        order = by_score([np.mean([row[5] for row in tube]) for tube in current])
        current = [current[k] for k in order]
        done = []
        for number, tube in enumerate(current):
            valid = [k for k, b in enumerate(boxes) if iou(tube[-1][1:5], b[:4]) >= min_iou]
            if valid:
                best = max(valid, key=lambda k: boxes[k][4])
                tube.append((frame, *boxes.pop(best)))
            elif frame - tube[-1][0] >= gap:
                done.append(number)
        for number in done[::-1]:
            finished.append(current.pop(number))
        current += [[(frame, *b)] for b in boxes]
    tubes = [(np.mean([row[5] for row in tube]), linear(tube)) for tube in [*finished, *current]]
    return [(score, tube) for score, tube in tubes if score >= 0.005 and len(tube) >= 15]


def road_tubes(frames, *, nms_threshold=0.45, top=10, min_iou=0.1, gap=3, longer_than=8, best=40):
    """incremental_linking with cost type "score", fill_gaps with the later box, convert2eval's score."""
    live, dead = [], []
    for frame, boxes in enumerate(frames):
        kept = nms([b[:4] for b in boxes], [b[4] for b in boxes], iou, nms_threshold)[:top]
        boxes = [boxes[k] for k in kept]
        free, order, going = [True] * len(boxes), [], []
        for path in live:
            if path["lost"] >= gap:
                dead.append(path)
                continue
            edge = [
                b[4] if free[k] and iou(path["rows"][-1][1:5], b[:4]) >= min_iou else 0.0 for k, b in enumerate(boxes)
            ]
            if sum(edge) > 0:
                chosen = int(np.argmax(edge))
                path["rows"].append((frame, *boxes[chosen]))
                path["lost"], free[chosen] = 0, False
            else:
                path["lost"] += 1
            scores = sorted(row[5] for row in path["rows"])
            order.append(np.mean(scores[max(0, len(scores) - 1 - gap) :]))
            going.append(path)
        live = [going[k] for k in by_score(order)]
        live += [{"rows": [(frame, *b)], "lost": 0} for b, left in zip(boxes, free, strict=True) if left]
    tubes = [nearest_later(path["rows"]) for path in [*dead, *live]]
    scored = [(np.mean(sorted((row[5] for row in tube), reverse=True)[:best]), tube) for tube in tubes]
    return [(score, tube) for score, tube in scored if tube[-1][0] - tube[0][0] > longer_than]


def best_labelling(scores, cost):
    """The best value of sum(s or 1 - s) - cost x changes over all labellings: all are tried."""

    def value(labels):
        gain = sum(s if on else 1 - s for s, on in zip(scores, labels, strict=True))
        return gain - cost * sum(a != b for a, b in itertools.pairwise(labels))

    return max(value(labels) for labels in itertools.product([False, True], repeat=len(scores))), value
