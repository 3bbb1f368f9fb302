"""How well ids follow people: IDF1, id switches, and the precision and recall of the links between
observations.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from relact.boxes import Floats
from relact.interop.box_match import overlapping

Ints = npt.NDArray[np.int64]

KEPT = 1000.0
"""Bonus of last tick's partner when switches are counted: above any sum of overlaps in one tick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracks:
    """Boxes with ids over time, rows in any order: `tick [R]` int64, `boxes [R, 4]`, `ids [R]` int64."""

    tick: Ints
    boxes: Floats
    ids: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityScores:
    """IDF1 with its parts, and id switches of CLEAR MOT. All 0 where there is neither truth nor
    prediction.
    """

    idf1: float
    id_precision: float
    id_recall: float
    switches: int
    truth_boxes: int
    predicted_boxes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkScores:
    """Of the links made, the share that is right; of the true ones, the share that was made. 0 where none
    is.
    """

    precision: float
    recall: float
    predicted: int
    true: int


def identity_scores(truth: Tracks, predicted: Tracks, min_iou: float = 0.5) -> IdentityScores:
    """IDF1 (Ristani et al., ECCV 2016 workshop): each true id may keep one predicted id over the whole video.

    The pairing of ids that maximises the common boxes (IoU >= `min_iou`) minimises IDFN + IDFP as well.
    """
    t, p, overlap = overlapping(truth.tick, truth.boxes, predicted.tick, predicted.boxes, min_iou)
    truth_names, truth_of = np.unique(truth.ids, return_inverse=True)
    predicted_names, predicted_of = np.unique(predicted.ids, return_inverse=True)
    common = np.zeros((len(truth_names), len(predicted_names)))
    np.add.at(common, (truth_of[t], predicted_of[p]), 1)
    matched = common[linear_sum_assignment(common, maximize=True)].sum()
    return IdentityScores(
        idf1=_share(2 * matched, len(truth.ids) + len(predicted.ids)),
        id_precision=_share(matched, len(predicted.ids)),
        id_recall=_share(matched, len(truth.ids)),
        switches=_switches(truth.tick[t], truth.ids[t], predicted.ids[p], overlap),
        truth_boxes=len(truth.ids),
        predicted_boxes=len(predicted.ids),
    )


def link_scores(tick: Ints, true_ids: Ints, predicted_ids: Ints, max_gap: int | None = None) -> LinkScores:
    """Judge links between the same rows: a link joins a row to the next row of its id, at most `max_gap`
    later.
    """
    true = _links(tick, true_ids, max_gap)
    predicted = _links(tick, predicted_ids, max_gap)
    right = np.isin(predicted, true).sum()
    return LinkScores(
        precision=_share(right, len(predicted)),
        recall=_share(right, len(true)),
        predicted=len(predicted),
        true=len(true),
    )


def _share(part: float, whole: int) -> float:
    return float(part) / whole if whole else 0.0


def _links(tick: Ints, ids: Ints, max_gap: int | None) -> Ints:
    """Each link as one number, row * R + next row."""
    order = np.lexsort((tick, ids))
    here, following = order[:-1], order[1:]
    gap = tick[following] - tick[here]
    joined = (ids[here] == ids[following]) & (gap > 0)
    if max_gap is not None:
        joined &= gap <= max_gap
    return here[joined] * len(ids) + following[joined]


def _switches(tick: Ints, true_ids: Ints, predicted_ids: Ints, overlap: Floats) -> int:
    """CLEAR MOT's count: a matched person's predicted id differs from the one at its last match.

    Ticks are walked in order: who is matched depends on the tick before, as the definition wants.
    """
    partner: dict[int, int] = {}
    switches = 0
    order = np.argsort(tick, kind="stable")
    starts = np.flatnonzero(np.diff(tick[order])) + 1
    for rows in np.split(order, starts) if len(order) else []:
        truth, truth_of = np.unique(true_ids[rows], return_inverse=True)
        predicted, predicted_of = np.unique(predicted_ids[rows], return_inverse=True)
        gain = np.zeros((len(truth), len(predicted)))
        gain[truth_of, predicted_of] = overlap[rows]
        last = np.asarray([partner.get(int(name), -1) for name in truth])
        gain += KEPT * ((gain > 0) & (last[:, None] == predicted))
        for i, j in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
            if gain[i, j] > 0:
                switches += int(last[i] not in (-1, predicted[j]))
                partner[int(truth[i])] = int(predicted[j])
    return switches
