"""Ids across sparse keyframes: boxes of a file at 1 Hz, say, where between two of them nothing is seen."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from relact.boxes import Floats, pairwise_iou

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConfig:
    """A pair scores `iou_weight` * IoU + (1 - iou_weight) * cosine of the features; IoU alone without
    features.
    """

    iou_weight: float = 0.5
    min_iou: float = 0.1
    """a pair is allowed from this overlap on, or from `min_cosine`"""
    min_cosine: float = 0.7
    min_score: float = 0.4
    min_score_without_features: float = 0.3
    """the same for IoU alone: best on AVA's own ids, flat from 0.25 to 0.35 (benchmarks/tracking.py)"""
    max_gap: int = 1
    """periods that a person may be unseen and still be linked; 1 = the next keyframe"""


class SparseLinker:
    """Links the boxes of keyframes that come one by one. Ids count from 1 and are never used twice.

    `period` is the time between keyframes, seconds.
    """

    def __init__(self, period: float = 1.0, config: LinkConfig | None = None) -> None:
        self._config = config or LinkConfig()
        self._reach_s = (self._config.max_gap + 0.5) * period
        self._boxes = np.zeros((0, 4))
        self._features: Floats | None = None
        self._ids = np.zeros(0, np.int64)
        self._seen_s = np.zeros(0)
        self._next_id = 1

    def update(self, boxes: Floats, time_s: float, features: Floats | None = None) -> Ints:
        """Ids `[N]` of `boxes [N, 4]` in any units (the same every time); `features [N, E]` always or
        never.
        """
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        unit = None if features is None or not len(boxes) else _unit(features)
        self._keep(time_s - self._seen_s <= self._reach_s)
        row, column = self._pairs(boxes, unit)
        ids = np.zeros(len(boxes), np.int64)
        ids[column] = self._ids[row]
        new = np.flatnonzero(ids == 0)
        ids[new] = np.arange(self._next_id, self._next_id + len(new))
        self._next_id += len(new)
        unlinked = np.setdiff1d(np.arange(len(self._ids)), row)
        if unit is not None:
            old = np.zeros((0, unit.shape[1])) if self._features is None else self._features[unlinked]
            self._features = np.concatenate([old, unit])
        elif self._features is not None:
            self._features = self._features[unlinked]
        self._boxes = np.concatenate([self._boxes[unlinked], boxes])
        self._ids = np.concatenate([self._ids[unlinked], ids])
        self._seen_s = np.concatenate([self._seen_s[unlinked], np.full(len(boxes), time_s)])
        return ids

    def _keep(self, chosen: npt.NDArray[np.bool_]) -> None:
        self._boxes, self._ids, self._seen_s = self._boxes[chosen], self._ids[chosen], self._seen_s[chosen]
        if self._features is not None:
            self._features = self._features[chosen]

    def _pairs(self, boxes: Floats, features: Floats | None) -> tuple[Ints, Ints]:
        """Hungarian on the score; pairs that are not allowed or score too low are not made."""
        config = self._config
        overlap = pairwise_iou(self._boxes, boxes)
        score, allowed, least = overlap, overlap >= config.min_iou, config.min_score_without_features
        if features is not None and self._features is not None:
            cosine = self._features @ features.T
            score = config.iou_weight * overlap + (1 - config.iou_weight) * cosine
            allowed |= cosine >= config.min_cosine
            least = config.min_score
        score = np.where(allowed & (score >= least), score, 0)
        row, column = linear_sum_assignment(score, maximize=True)
        made = score[row, column] > 0
        return row[made], column[made]


def _unit(features: Floats) -> Floats:
    rows = np.asarray(features, np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def link_keyframes(
    boxes: Floats, time_s: Floats, features: Floats | None = None, config: LinkConfig | None = None
) -> Ints:
    """Ids `[R]` for all boxes `[R, 4]` of one video at once; rows in any order, `time_s [R]` of their
    keyframes.
    """
    times = np.unique(time_s)
    period = float(np.quantile(np.diff(times), 0.1, method="lower")) if len(times) > 1 else 1.0
    linker = SparseLinker(period, config)
    ids = np.zeros(len(boxes), np.int64)
    order = np.argsort(time_s, kind="stable")
    for rows in np.split(order, np.searchsorted(time_s[order], times[1:])) if len(times) else []:
        ids[rows] = linker.update(boxes[rows], float(time_s[rows[0]]), None if features is None else features[rows])
    return ids
