"""The rules in which evaluations of frames and tubes differ, by name, and what they have in common.

Every evaluation walks the detections of a class by falling score, gives each a ground truth or none, and takes an area
under precision over recall. The published codes agree on no detail of it: see docs/metrics.md for a table.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from relact.errors import InputError
from relact.metrics.frame_map import average_precision

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

Matching = Literal["next best", "best only"]
"""next best: a ground truth that is taken is gone, and the best of those left is chosen; best only: the one that
overlaps most decides, and is wrong where it is taken (AVA, PASCAL VOC).
"""
Area = Literal["trapezoid", "envelope"]
"""trapezoid: under the line through all points, from precision 1 at recall 0 (ACT's `pr_to_ap`); envelope: under the
falling envelope of precision, at every change of recall (VOC since 2010, AVA).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRules:
    """How boxes of frames are judged. `last_pixel`: x2 and y2 are pixels of the box, so that it is x2 - x1 + 1 wide;
    `frames`: all of the judged videos, or only those on which the ground truth has a box.
    """

    matching: Matching
    area: Area
    last_pixel: bool
    frames: Literal["all", "annotated"] = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class TubeRules:
    """How tubes are judged. `nms`: a tube that overlaps a better one of its video and class by more is left out;
    `duration`: the length in time as a count of frames, or last - first (then a tube of one frame overlaps nothing).
    """

    matching: Matching
    area: Area
    last_pixel: bool
    nms: float | None
    duration: Literal["frames", "difference"] = "frames"


FRAME_RULES = {
    "act": FrameRules(matching="next best", area="trapezoid", last_pixel=True),
    "3d-retinanet": FrameRules(matching="next best", area="trapezoid", last_pixel=False),
    "road": FrameRules(matching="next best", area="envelope", last_pixel=False),
    "multisports": FrameRules(matching="best only", area="envelope", last_pixel=False),
    "yowo": FrameRules(matching="best only", area="envelope", last_pixel=True, frames="annotated"),
}
"""act: ACT and MOC; road: gurkirt's realtime-action-detection; multisports: MultiSports and HIT."""

TUBE_RULES = {
    "act": TubeRules(matching="next best", area="trapezoid", last_pixel=True, nms=0.3),
    "3d-retinanet": TubeRules(matching="next best", area="trapezoid", last_pixel=True, nms=None),
    "road": TubeRules(matching="next best", area="envelope", last_pixel=False, nms=None),
    "multisports": TubeRules(matching="best only", area="envelope", last_pixel=False, nms=0.3, duration="difference"),
}


def frame_rules(name: str) -> FrameRules:
    """By name. Raises InputError for a name that is not known."""
    if name not in FRAME_RULES:
        raise InputError(f"rules {name!r}: for frames there are {', '.join(FRAME_RULES)}")
    return FRAME_RULES[name]


def tube_rules(name: str) -> TubeRules:
    """By name. Raises InputError for a name that is not known."""
    if name not in TUBE_RULES:
        raise InputError(f"rules {name!r}: for tubes there are {', '.join(TUBE_RULES)}")
    return TUBE_RULES[name]


def with_last_pixel(boxes: Floats, last_pixel: bool) -> Floats:
    """Boxes `[R, 4]` whose plain algebra gives the areas of the rule: x2 and y2 move to the pixel's far side."""
    return boxes + np.array([0, 0, 1, 1]) if last_pixel else boxes


def greedy(first: Ints, second: Ints) -> Bools:
    """Of pairs `(first[p], second[p])` in order of preference, those that a walk takes whose partners are both free.

    Each round takes all pairs that are the first of both their partners at once: a few rounds, however many pairs.
    """
    taken = np.zeros(len(first), np.bool_)
    if not len(first):
        return taken
    used = np.zeros(int(first.max()) + 1, np.bool_), np.zeros(int(second.max()) + 1, np.bool_)
    place = np.zeros(len(used[0]), np.int64), np.zeros(len(used[1]), np.int64)
    left = np.arange(len(first))
    while len(left):
        sides = first[left], second[left]
        at = np.arange(len(left))
        top = np.ones(len(left), np.bool_)
        for side, where in zip(sides, place, strict=True):
            where[side[::-1]] = at[::-1]  # of repeated places the last one stays: the first pair
            top &= where[side] == at
        taken[left[top]] = True
        for side, flags in zip(sides, used, strict=True):
            flags[side[top]] = True
        left = left[~(used[0][sides[0]] | used[1][sides[1]])]
    return taken


def match(detection: Ints, truth: Ints, overlap: Floats, scores: Floats, matching: Matching) -> Ints:
    """The ground truth that each of the D detections takes, `[D]`, -1 for none: by falling score, ties by row.

    Pairs that may match: `detection [P]`, `truth [P]` and their `overlap [P]`; of equal overlaps the first row of the
    ground truth is taken. `scores [D]`.
    """
    rank = np.empty(len(scores), np.int64)
    rank[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    order = np.lexsort((truth, -overlap, rank[detection]))
    if matching == "best only":
        leads = np.ones(len(order), np.bool_)
        leads[1:] = detection[order[1:]] != detection[order[:-1]]
        order = order[leads]
    taken = order[greedy(detection[order], truth[order])]
    result = np.full(len(scores), -1)
    result[detection[taken]] = truth[taken]
    return result


def class_aps(right: Bools, column: Ints, scores: Floats, truths: Ints, area: Area) -> Floats:
    """AP `[K]` of each class from D detections in any order, NaN where `truths [K]` is 0; ties count by row."""
    order = np.argsort(-scores, kind="stable")
    order = order[np.argsort(column[order].astype(np.uint16), kind="stable")]  # radix sort: the order by score stays
    counts = np.bincount(column, minlength=len(truths))
    parts = np.split(right[order], np.cumsum(counts)[:-1])
    one = average_precision if area == "envelope" else trapezoid
    return np.array([one(part, n) for part, n in zip(parts, truths.tolist(), strict=True)])


def trapezoid(right: Bools, num_truths: int) -> float:
    """Area under the straight lines through all (recall, precision), beginning at (0, 1); NaN without ground truth.

    Only a hit moves recall, so that its step has the precision before it and that with it.
    """
    if num_truths == 0:
        return float("nan")
    rank = np.flatnonzero(right)
    hits = np.arange(len(rank))
    before = np.divide(hits, rank, out=np.ones(len(rank)), where=rank > 0)
    return float((before + (hits + 1) / (rank + 1)).sum() / 2 / num_truths)
