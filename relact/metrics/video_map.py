"""Video-mAP: average precision a class over tubes, at any thresholds of spatio-temporal IoU at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relact.metrics.ap_rules import Floats, Ints, TubeRules, class_aps, match
from relact.metrics.tubes import Tubes, same_group, thin_out, tube_iou

THRESHOLDS = (0.2, 0.5, 0.75)
RANGE = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""of 0.5:0.95, the mean over which is reported"""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoAp:
    """`ap [T, K]` at T thresholds, NaN for a class without ground truth; `truths [K]`, `detections [K]` count tubes.

    Of each detected tube, `tubes`, after suppression: `best [D]`, its highest IoU with a truth of its video and class.
    """

    thresholds: tuple[float, ...]
    ap: Floats
    truths: Ints
    detections: Ints
    best: Floats

    def mean(self, threshold: float) -> float:
        """Mean over the classes with ground truth at one threshold; NaN without any."""
        known = self.truths > 0
        return float(self.ap[self.thresholds.index(threshold), known].mean()) if known.any() else float("nan")

    def mean_over(self, thresholds: Sequence[float] = RANGE) -> float:
        """Mean of the means at several thresholds."""
        return float(np.mean([self.mean(threshold) for threshold in thresholds]))


def video_ap(
    groundtruth: Tubes,
    detections: Tubes,
    *,
    num_classes: int,
    rules: TubeRules,
    thresholds: Sequence[float] = tuple(sorted({*THRESHOLDS, *RANGE})),
) -> VideoAp:
    """Average precision of every class at every threshold; an IoU of exactly the threshold matches.

    Equal scores count in order of the tubes; of equal overlaps the first ground truth is taken.
    """
    found = thin_out(detections, rules)
    i, j = same_group(found.video * num_classes + found.column, groundtruth.video * num_classes + groundtruth.column)
    overlap = tube_iou(found, groundtruth, i, j, rules)
    truths = np.bincount(groundtruth.column, minlength=num_classes)
    aps = []
    for threshold in thresholds:
        enough = overlap >= threshold
        taken = match(i[enough], j[enough], overlap[enough], found.score, rules.matching)
        aps.append(class_aps(taken >= 0, found.column, found.score, truths, rules.area))
    best = np.zeros(len(found))
    np.maximum.at(best, i, overlap)
    return VideoAp(
        thresholds=tuple(thresholds),
        ap=np.array(aps),
        truths=truths,
        detections=np.bincount(found.column, minlength=num_classes),
        best=best,
    )
