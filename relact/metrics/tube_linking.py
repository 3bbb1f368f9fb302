"""Tubes from boxes of single frames: greedy linking as ACT and ROAD have it, and trimming in time.

All videos and classes are linked at once, frame by frame: within a frame the best tube chooses first, and takes the
highest-scored box of its class that overlaps its last one enough. Written from the rules of ACT's `BuildTubes`
(Kalogeiton et al., ICCV 2017; for tubelets of one frame) and of realtime-action-detection's `incremental_linking`
(Singh et al., ICCV 2017; the trimming is Saha et al., BMVC 2016).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from relact.boxes import iou
from relact.errors import InputError
from relact.interop.box_match import overlapping
from relact.metrics.ap_rules import Bools, Floats, Ints, greedy, with_last_pixel
from relact.metrics.tubes import Fill, Tubes, build, same_group, suppress, within

_PAIRS = 1 << 21  # pairs of boxes compared at a time
_CELLS = 1 << 22  # frames of tubes that are trimmed at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRules:
    """How boxes of a frame become tubes; overlaps count the last pixel (x2 - x1 + 1)."""

    nms: float
    """of two boxes of a class on a frame that overlap by more, the better stays"""
    top: int
    """boxes of a class that a frame keeps after that"""
    min_iou: float
    """least overlap of a box with the tube's last one"""
    max_step: int
    """frames from one box of a tube to the next, at most"""
    order: Literal["mean", "recent best"]
    """which tube chooses first: by the mean of its scores; or by that of its `max_step` + 1 best, and those that began
    a frame ago last"""
    fill: Fill
    min_score: float
    """tubes below it are dropped, 0 for none"""
    min_length: int
    """frames that a tube has at least"""
    best_scores: int | None
    """a tube scores the mean of so many of its best frames; None: of all on which it was seen"""


LINK_RULES = {
    "act": LinkRules(
        nms=0.3, top=10, min_iou=0.2, max_step=5, order="mean", fill="linear",
        min_score=0.005, min_length=15, best_scores=None,
    ),
    "road": LinkRules(
        nms=0.45, top=10, min_iou=0.1, max_step=3, order="recent best", fill="next",
        min_score=0.0, min_length=10, best_scores=40,
    ),
}  # fmt: skip


def link_rules(name: str) -> LinkRules:
    """By name. Raises InputError for a name that is not known."""
    if name not in LINK_RULES:
        raise InputError(f"linking {name!r}: expected one of {', '.join(LINK_RULES)}, or ids (the file's own)")
    return LINK_RULES[name]


def link_boxes(
    *,
    video: Ints,
    column: Ints,
    frame: Ints,
    boxes: Floats,
    scores: Floats,
    rules: LinkRules,
    trim: float | None = None,
) -> Tubes:
    """Tubes from R boxes, each of a video, class and frame; pixels. `trim`: the cost of a change, see `trimmed`."""
    group = video * (int(column.max(initial=0)) + 1) + column
    rows = np.flatnonzero(best_boxes(group, frame, boxes, scores, rules))
    tube = link(group[rows], frame[rows], boxes[rows], scores[rows], rules)
    tubes = build(tube, video[rows], column[rows], frame[rows], boxes[rows], scores[rows], rules.fill)
    if trim is not None:
        tubes = trimmed(tubes, trim)
    if rules.best_scores is not None:
        tubes = _scored_by_best(tubes, rules.best_scores)
    return tubes.take((tubes.score >= rules.min_score) & (tubes.length >= rules.min_length))


def best_boxes(group: Ints, frame: Ints, boxes: Floats, scores: Floats, rules: LinkRules) -> Bools:
    """The boxes that are linked: after non-maximum suppression a frame and group, the `top` best."""
    order = np.lexsort((-scores, group, frame))
    key = _codes(frame[order], group[order])
    corner = with_last_pixel(boxes[order], True)
    stays = np.ones(len(order), np.bool_)
    crowded = np.flatnonzero(np.bincount(key)[key] > 1) if len(key) else key
    for rows in _parts(crowded, key):
        i, j = same_group(key[rows], key[rows])
        i, j = i[i < j], j[i < j]
        much = iou(corner[rows[i]], corner[rows[j]]) > rules.nms
        stays[rows] = suppress(i[much], j[much], len(rows))
    left = np.flatnonzero(stays)
    rank = _rank(key[left])
    result = np.zeros(len(order), np.bool_)
    result[order[left[rank < rules.top]]] = True
    return result


def _codes(frame: Ints, group: Ints) -> Ints:
    """0, 0, 1, … for sorted (frame, group)."""
    new = np.ones(len(frame), np.bool_)
    new[1:] = (np.diff(frame) != 0) | (np.diff(group) != 0)
    return np.cumsum(new) - 1


def _rank(key: Ints) -> Ints:
    """Position of each entry in its run of equal entries."""
    _, counts = np.unique(key, return_counts=True)
    return within(counts)


def _parts(rows: Ints, key: Ints) -> list[Ints]:
    """Rows, whole keys together, in parts of about `_PAIRS` pairs."""
    if not len(rows):
        return []
    starts = np.flatnonzero(np.r_[True, np.diff(key[rows]) != 0])
    counts = np.diff(np.r_[starts, len(rows)])
    part = np.cumsum(counts**2) // _PAIRS
    return np.split(rows, starts[1:][np.diff(part) != 0])


def link(group: Ints, frame: Ints, boxes: Floats, scores: Floats, rules: LinkRules) -> Ints:
    """The tube of each of R boxes, `[R]`, codes from 0 in order of their beginning."""
    corner = with_last_pixel(boxes, True)
    live = np.zeros(0, _live_dtype(rules))
    tube = np.full(len(frame), -1)
    order = np.lexsort((-scores, frame))
    codes = 0
    for rows in np.split(order, np.flatnonzero(np.diff(frame[order])) + 1) if len(order) else []:
        now = int(frame[rows[0]])
        live = live[now - live["frame"] <= rules.max_step]
        t, r, _ = overlapping(live["group"], live["box"], group[rows], corner[rows], rules.min_iou)
        preference = np.lexsort((r, _places(live, now, rules)[t]))  # rows fall by score
        taken = preference[greedy(t[preference], r[preference])]
        t, r = t[taken], rows[r[taken]]
        tube[r] = live["code"][t]
        live["box"][t], live["frame"][t] = corner[r], now
        live["total"][t] += scores[r]
        live["count"][t] += 1
        live["best"][t] = np.sort(np.column_stack([live["best"][t], scores[r]]), axis=1)[:, 1:]
        first = rows[tube[rows] < 0]
        tube[first] = codes + np.arange(len(first))
        codes += len(first)
        begun = np.zeros(len(first), live.dtype)
        begun["code"], begun["group"], begun["box"], begun["frame"] = tube[first], group[first], corner[first], now
        begun["total"], begun["count"], begun["best"] = scores[first], 1, -np.inf
        begun["best"][:, -1] = scores[first]
        live = np.concatenate([live, begun])
    return tube


def _live_dtype(rules: LinkRules) -> np.dtype[np.void]:
    """A tube that may still grow: code, group, last box and frame, sum and number of scores, the best of them."""
    fields = [("code", "i8"), ("group", "i8"), ("box", "f8", 4), ("frame", "i8"), ("total", "f8"), ("count", "i8")]
    return np.dtype([*fields, ("best", "f8", rules.max_step + 1)])


def _places(live: npt.NDArray[np.void], now: int, rules: LinkRules) -> Ints:
    """The place of each live tube in the order of choice."""
    if rules.order == "mean":
        order = np.argsort(-live["total"] / live["count"], kind="stable")
    else:  # ROAD sorts the tubes before it appends new ones: those of the frame before come after all others
        known = np.isfinite(live["best"])
        mean = np.where(known, live["best"], 0).sum(axis=1) / known.sum(axis=1)
        order = np.lexsort((-mean, (live["count"] == 1) & (live["frame"] == now - 1)))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return place


def trimmed(tubes: Tubes, cost: float) -> Tubes:
    """The parts of tubes on which the action goes on: the labelling on / off of the frames that maximises
    sum(score where on, 1 - score where off) - `cost` x changes, found by Viterbi. A part scores its frames' mean.

    Raises InputError unless `cost` is 0 or more, and where scores leave 0 to 1.
    """
    if not cost >= 0:
        raise InputError(f"trimming cost {cost:g}: expected 0 or more, such as ROAD's 3")
    if len(tubes.row_score) and not (tubes.row_score.min() >= 0 and tubes.row_score.max() <= 1):
        raise InputError(
            f"scores from {tubes.row_score.min():g} to {tubes.row_score.max():g}: trimming weighs a score against "
            "1 - score; expected probabilities"
        )
    on = np.zeros(len(tubes.boxes), np.bool_)
    by_length = np.argsort(tubes.length, kind="stable")
    longest = tubes.length[by_length] * np.arange(1, len(tubes) + 1)
    for part in np.split(by_length, np.flatnonzero(np.diff(longest // _CELLS)) + 1) if len(tubes) else []:
        length = tubes.length[part]
        rows = np.repeat(tubes.start[part], length) + within(length)
        scores = np.zeros((len(part), int(length.max())))
        scores[np.repeat(np.arange(len(part)), length), within(length)] = tubes.row_score[rows]
        states = _viterbi(scores, length, cost)
        on[rows] = states[np.repeat(np.arange(len(part)), length), within(length)]
    return _parts_on(tubes, on)


def _viterbi(scores: Floats, length: Ints, cost: float) -> Bools:
    """On or off `[N, T]`, of N padded tracks of scores; where both are equally good, off."""
    count, longest = scores.shape
    off, on = 1 - scores[:, 0], scores[:, 0].copy()
    came_on = np.zeros((longest, 2, count), np.bool_)  # whether the best way to off, to on, came from on
    ends_on = on > off
    for t in range(1, longest):
        came_on[t, 0] = on - cost > off
        came_on[t, 1] = on >= off - cost
        off, on = np.maximum(off, on - cost) + 1 - scores[:, t], np.maximum(on, off - cost) + scores[:, t]
        ends_on = np.where(length - 1 == t, on > off, ends_on)
    states = np.zeros((count, longest), np.bool_)
    state = np.zeros(count, np.bool_)
    for t in range(longest - 1, -1, -1):
        state = np.where(length - 1 == t, ends_on, state)
        states[:, t] = state
        state = np.where(state, came_on[t, 1], came_on[t, 0])
    return states


def _parts_on(tubes: Tubes, on: Bools) -> Tubes:
    """A tube for each run of rows that are on."""
    owner = np.repeat(np.arange(len(tubes)), tubes.length)
    rows = np.flatnonzero(on)
    new = np.ones(len(rows), np.bool_)
    new[1:] = (np.diff(rows) > 1) | (np.diff(owner[rows]) > 0)
    first = np.flatnonzero(new)
    length = np.diff(np.r_[first, len(rows)])
    sums = np.add.reduceat(tubes.row_score[rows], first) if len(first) else np.zeros(0)
    of = owner[rows[first]]
    return Tubes(
        video=tubes.video[of],
        column=tubes.column[of],
        score=sums / length,
        begin=tubes.begin[of] + rows[first] - tubes.start[of],
        start=np.r_[0, np.cumsum(length)],
        boxes=tubes.boxes[rows],
        row_score=tubes.row_score[rows],
    )


def _scored_by_best(tubes: Tubes, count: int) -> Tubes:
    """The same tubes; the score is the mean of the `count` best frames."""
    owner = np.repeat(np.arange(len(tubes)), tubes.length)
    order = np.lexsort((-tubes.row_score, owner))
    chosen = order[within(tubes.length) < count]
    sums = np.bincount(owner[chosen], tubes.row_score[chosen], minlength=len(tubes))
    return Tubes(
        video=tubes.video, column=tubes.column, score=sums / np.minimum(tubes.length, count), begin=tubes.begin,
        start=tubes.start, boxes=tubes.boxes, row_score=tubes.row_score,
    )  # fmt: skip
