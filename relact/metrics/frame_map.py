"""Frame-mAP: average precision a class over the boxes of keyframes, for any protocol that has keyframes.

The rules are those of the official AVA evaluator (TensorFlow's object_detection: per_image_evaluation and
metrics). Detections are taken by falling score; each looks at the one ground truth of its keyframe and class
that it overlaps most; it is right if the IoU reaches the threshold and nobody was there before, else wrong:
no second choice.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from relact import boxes as box_algebra

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledBoxes:
    """Boxes `[R, 4]` (x1, y1, x2, y2 in any unit), each with a keyframe (code from 0) and class (column)."""

    keyframe: Ints
    column: Ints
    boxes: Floats

    def __len__(self) -> int:
        return len(self.keyframe)

    def take(self, rows: Ints | Bools) -> "LabelledBoxes":
        """Some of the rows, by number or by mask."""
        return LabelledBoxes(keyframe=self.keyframe[rows], column=self.column[rows], boxes=self.boxes[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameAp:
    """`ap [K]`, NaN for a class without ground truth; `truths [K]` and `detections [K]` count boxes.

    Of every detection: `best [D]`, the row of the ground truth of its keyframe and class that it overlaps
    most, or -1; `overlap [D]`, that IoU; `right [D]`, whether it is a true positive.
    """

    ap: Floats
    truths: Ints
    detections: Ints
    best: Ints
    overlap: Floats
    right: Bools

    @property
    def mean(self) -> float:
        """Mean over the classes that have ground truth; NaN without any."""
        known = self.truths > 0
        return float(self.ap[known].mean()) if known.any() else float("nan")


def frame_ap(
    groundtruth: LabelledBoxes,
    detections: LabelledBoxes,
    scores: Floats,
    *,
    num_classes: int,
    iou_threshold: float = 0.5,
) -> FrameAp:
    """Average precision of every class: area under the precision envelope (every change of recall counts).

    `scores [D]` belong to `detections`; equal ones count in row order, and of equal overlaps the first row of
    the ground truth does. An IoU of exactly `iou_threshold` matches. A detection at a keyframe without ground
    truth is wrong, so leave out those at keyframes that do not count.
    """
    best, overlap = _best_truth(groundtruth, detections, num_classes)
    order = np.argsort(-scores, kind="stable")
    right = _first_claims(best, overlap >= iou_threshold, order, len(groundtruth))
    truths = np.bincount(groundtruth.column, minlength=num_classes)
    counts = np.bincount(detections.column, minlength=num_classes)
    return FrameAp(
        ap=_average_precisions(right[order], detections.column[order], counts, truths),
        truths=truths,
        detections=counts,
        best=best,
        overlap=overlap,
        right=right,
    )


def _best_truth(groundtruth: LabelledBoxes, detections: LabelledBoxes, num_classes: int) -> tuple[Ints, Floats]:
    """The ground truth of the same keyframe and class with the highest IoU, and the IoU; or -1 and 0."""
    groups = groundtruth.keyframe * num_classes + groundtruth.column
    by_group = np.argsort(groups, kind="stable")
    first, size = _find(groups[by_group], detections.keyframe * num_classes + detections.column)
    best = np.full(len(detections), -1)
    overlap = np.full(len(detections), -1.0)
    rows = np.flatnonzero(size)
    # Round k compares all detections whose group has a k-th ground truth: few rounds, however many rows.
    rank = 0
    while len(rows):
        candidate = by_group[first[rows] + rank]
        iou = box_algebra.iou(detections.boxes[rows], groundtruth.boxes[candidate])
        better = iou > overlap[rows]
        best[rows[better]] = candidate[better]
        overlap[rows[better]] = iou[better]
        rank += 1
        rows = rows[size[rows] > rank]
    return best, overlap.clip(min=0)


def _find(values: Ints, wanted: Ints) -> tuple[Ints, Ints]:
    """Where in the sorted `values` each wanted one starts, and how often it comes (0: not at all)."""
    distinct, start, count = np.unique(values, return_index=True, return_counts=True)
    if not len(distinct):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.int64)
    place = np.searchsorted(distinct, wanted).clip(max=len(distinct) - 1)
    return start[place], np.where(distinct[place] == wanted, count[place], 0)


def _first_claims(best: Ints, reaches: Bools, order: Ints, num_truths: int) -> Bools:
    """Of the detections that reach their ground truth, the first in `order` has it; later ones are wrong."""
    claims = order[reaches[order]]
    winner = np.full(num_truths, -1)
    winner[best[claims[::-1]]] = claims[::-1]  # of repeated places the last one stays: the highest score
    right = np.zeros(len(best), np.bool_)
    right[winner[winner >= 0]] = True
    return right


def _average_precisions(right: Bools, column: Ints, counts: Ints, truths: Ints) -> Floats:
    """AP a class from detections in falling order of score."""
    right = right[np.argsort(column.astype(np.uint16), kind="stable")]  # radix sort: the order by score stays
    parts = np.split(right, np.cumsum(counts)[:-1])
    return np.array([average_precision(part, n) for part, n in zip(parts, truths.tolist(), strict=True)])


def average_precision(right: Bools, num_truths: int) -> float:
    """Area under the precision envelope of detections in falling order of score; NaN without ground truth."""
    if num_truths == 0:
        return float("nan")
    hits = np.flatnonzero(right)
    precision = np.arange(1, len(hits) + 1) / (hits + 1)
    envelope = np.maximum.accumulate(precision[::-1])
    return float(envelope.sum() / num_truths)
