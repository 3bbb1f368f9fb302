"""The official AVA evaluator's limit on the rows of a keyframe, ties included, without its heap."""

import numpy as np

from relact.metrics.frame_map import Bools, Floats, Ints


def within_cap(keyframe: Ints, action: Ints, boxes: Floats, scores: Floats, cap: int) -> Bools:
    """Flags of the `cap` best rows of each keyframe (a code from 0); arguments as columns in file order.

    The official evaluator pushes rows onto a heap of (score, action, y1, x1, y2, x2); when it is full, a row
    enters only with a score above the least entry's, which it pushes out. So with s the score of rank `cap`:
    every row above s stays; of those at s, only the ones among the first `cap` rows with s or more ever
    enter; and the rows above s that come after push out the least of them.
    """
    kept = np.ones(len(keyframe), np.bool_)
    if not len(keyframe):
        return kept
    crowded = np.flatnonzero(np.bincount(keyframe)[keyframe] > cap)
    rows = crowded[np.lexsort((-scores[crowded], keyframe[crowded]))]
    rank = _rank_in_group(keyframe[rows])
    limit = scores[rows][np.arange(len(rows)) - rank + cap - 1]
    kept[rows[scores[rows] <= limit]] = False

    good = rows[scores[rows] >= limit]
    tied = np.zeros(len(keyframe), np.bool_)
    tied[rows[scores[rows] == limit]] = True
    good = good[np.lexsort((good, keyframe[good]))]
    entered = good[_rank_in_group(keyframe[good]) < cap]
    rivals = entered[tied[entered]]
    x1, y1, x2, y2 = boxes[rivals].T
    rivals = rivals[np.lexsort((-x2, -y2, -x1, -y1, -action[rivals], keyframe[rivals]))]
    above = np.bincount(keyframe[good[~tied[good]]], minlength=int(keyframe.max()) + 1)
    kept[rivals[_rank_in_group(keyframe[rivals]) < cap - above[keyframe[rivals]]]] = True
    return kept


def _rank_in_group(groups: Ints) -> Ints:
    """Position of each entry within its run of equal entries."""
    place = np.arange(len(groups))
    starts = np.concatenate([[True], groups[1:] != groups[:-1]])[: len(groups)]
    return place - np.maximum.accumulate(np.where(starts, place, 0))
