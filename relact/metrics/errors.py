"""What goes wrong where a model fails, and what mending each kind of error would be worth: TIDE for boxes with actions.

After Bolya et al., TIDE (ECCV 2020). Each prediction that is not right, and each label that nobody found, is one error:

    wrong action   right box, false action: the box overlaps (IoU 0.5) a label of another action, none of its own
    location       right action, box off: it overlaps a label of its action by 0.1 to 0.5
    both           the box is off (0.1 to 0.5), and the action false
    duplicate      right box and action, but a better prediction has the label
    background     no label overlaps it by 0.1
    missed person  no box of any action overlaps the label's (0.5)
    missed action  a box is there, but this action was not predicted on it

A label that a wrong action or a location error stands for is theirs, not missed. People do several things at once: a
prediction with a false action on a person stands for the action of that person which nobody found, if there is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relact.boxes import iou
from relact.labels import LabelMap
from relact.metrics.ap_rules import Area, Bools, Floats, Ints, class_aps
from relact.metrics.frame_map import LabelledBoxes
from relact.metrics.tubes import same_group

BACKGROUND_IOU = 0.1
_PAIRS = 1 << 20  # pairs of boxes compared at a time
RIGHT, WRONG, LOCATION, BOTH, DUPLICATE, BACKGROUND = range(6)
PREDICTED = {
    WRONG: "wrong action", LOCATION: "location", BOTH: "both", DUPLICATE: "duplicate", BACKGROUND: "background",
}  # fmt: skip
FOUND, PERSON, ACTION = range(3)
MISSED = {PERSON: "missed person", ACTION: "missed action"}
KINDS = (*PREDICTED.values(), *MISSED.values())
CONFUSIONS = 20
"""So many are listed in a report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReport:
    """`counts` by kind, `gain` by kind: how much the mAP rises if only errors of this kind are mended; both also by
    class id. `confusions`: (predicted id, labelled id, rows, their summed score), by falling score.
    """

    counts: dict[str, int]
    gain: dict[str, float]
    counts_by_class: dict[int, dict[str, int]]
    gain_by_class: dict[int, dict[str, float]]
    confusions: tuple[tuple[int, int, int, float], ...]

    def to_dict(self) -> dict[str, object]:
        """As plain values; ids as text."""
        return {
            "counts": self.counts,
            "gain": self.gain,
            "counts_by_class": {str(k): counts for k, counts in self.counts_by_class.items()},
            "gain_by_class": {str(k): gain for k, gain in self.gain_by_class.items()},
            "confusions": [
                {"predicted": p, "labelled": t, "rows": n, "score": score} for p, t, n, score in self.confusions
            ],
        }


@dataclass(frozen=True, slots=True)
class _Nearest:
    """Of each prediction: the highest IoU with a label of its action and of others, and that label (-1: none)."""

    own: Floats
    own_truth: Ints
    other: Floats
    other_truth: Ints
    seen: Bools
    """of each label: whether a box of any action overlaps it"""


def analyse(
    truths: LabelledBoxes,
    found: LabelledBoxes,
    scores: Floats,
    taken: Ints,
    labels: LabelMap,
    *,
    area: Area,
    iou_threshold: float = 0.5,
) -> ErrorReport:
    """The errors of D predictions against T labels; `taken [D]` is the label that each right one has, -1 for the wrong.

    Columns of both are those of `labels`. `area` is the rule by which AP is computed.
    """
    hit = np.zeros(len(truths), np.bool_)
    hit[taken[taken >= 0]] = True
    near = _nearest(truths, found, hit, iou_threshold)
    kind = _kinds(near, taken >= 0, iou_threshold)
    target = np.where(kind == WRONG, near.other_truth, np.where(kind == LOCATION, near.own_truth, -1))
    mended = _mended(kind, target, hit, scores)
    covered = hit.copy()
    covered[target[mended]] = True
    state = np.where(covered, FOUND, np.where(near.seen, ACTION, PERSON))
    parts = _Parts(truths, found, scores, kind, target, mended, state, hit, area, len(labels))
    base = parts.aps(None)
    known = np.flatnonzero(~np.isnan(base))
    gains = {name: parts.aps(name) - base for name in KINDS}
    counts = {name: parts.count(name).tolist() for name in KINDS}
    return ErrorReport(
        counts={name: sum(of_class) for name, of_class in counts.items()},
        gain={name: float(gain[known].mean()) if len(known) else 0.0 for name, gain in gains.items()},
        counts_by_class={
            label.id: {name: of_class[k] for name, of_class in counts.items()} for k, label in enumerate(labels)
        },
        gain_by_class={labels[k].id: {name: float(gains[name][k]) for name in KINDS} for k in known.tolist()},
        confusions=_confusions(truths, found, scores, kind, target, labels),
    )


def _nearest(truths: LabelledBoxes, found: LabelledBoxes, hit: Bools, threshold: float) -> _Nearest:
    count = len(found)
    near = _Nearest(
        np.zeros(count), np.full(count, -1), np.zeros(count), np.full(count, -1), np.zeros(len(truths), np.bool_)
    )
    _, at = np.unique(np.concatenate([truths.keyframe, found.keyframe]), return_inverse=True)
    a, b = at[: len(truths)], at[len(truths) :]
    size = np.bincount(a, minlength=int(at.max(initial=-1)) + 1)[b] if len(a) else np.zeros(count, np.int64)
    for rows in np.split(np.arange(count), np.flatnonzero(np.diff(np.cumsum(size) // _PAIRS)) + 1):
        i, j = same_group(b[rows], a)
        i = rows[i]
        overlap = iou(found.boxes[i], truths.boxes[j])
        near.seen[j[overlap >= threshold]] = True
        own = found.column[i] == truths.column[j]
        _best(near.own, near.own_truth, i[own], j[own], overlap[own], hit, threshold)
        _best(near.other, near.other_truth, i[~own], j[~own], overlap[~own], hit, threshold)
    return near


def _best(best: Floats, truth: Ints, i: Ints, j: Ints, overlap: Floats, hit: Bools, threshold: float) -> None:
    """Writes the highest overlap of each prediction, and a label with it; of those that reach the threshold a label
    that nobody has found goes first.
    """
    np.maximum.at(best, i, overlap)
    free = (overlap >= threshold) & ~hit[j]
    order = np.lexsort((-j, overlap, free))  # the last one stays
    truth[i[order]] = j[order]


def _kinds(near: _Nearest, right: Bools, threshold: float) -> Ints:
    conditions = [
        (RIGHT, right),
        (DUPLICATE, near.own >= threshold),
        (LOCATION, near.own >= BACKGROUND_IOU),
        (WRONG, near.other >= threshold),
        (BOTH, near.other >= BACKGROUND_IOU),
    ]
    return np.select(
        [flags for _, flags in conditions], [np.int64(kind) for kind, _ in conditions], np.int64(BACKGROUND)
    )


def _mended(kind: Ints, target: Ints, hit: Bools, scores: Floats) -> Bools:
    """Of wrong actions, and of the mislocated, those that would take their label: it is free, and they come first."""
    result = np.zeros(len(kind), np.bool_)
    for each in (WRONG, LOCATION):
        rows = np.flatnonzero((kind == each) & (target >= 0))
        rows = rows[~hit[target[rows]]]
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        _, first = np.unique(target[rows], return_index=True)
        result[rows[first]] = True
    return result


@dataclass(frozen=True, slots=True)
class _Parts:
    """Everything that a mended evaluation needs."""

    truths: LabelledBoxes
    found: LabelledBoxes
    scores: Floats
    kind: Ints
    target: Ints
    mended: Bools
    state: Ints
    hit: Bools
    area: Area
    classes: int

    def count(self, name: str) -> Ints:
        """Errors of a kind, by class: that of the prediction, or of the label that was missed."""
        for code, known in PREDICTED.items():
            if known == name:
                return np.bincount(self.found.column[self.kind == code], minlength=self.classes)
        code = next(code for code, known in MISSED.items() if known == name)
        return np.bincount(self.truths.column[self.state == code], minlength=self.classes)

    def aps(self, name: str | None) -> Floats:
        """AP of each class with the errors of one kind mended (None: none is)."""
        right, column, kept = self.kind == RIGHT, self.found.column, np.ones(len(self.kind), np.bool_)
        left = np.ones(len(self.truths), np.bool_)
        for code, known in PREDICTED.items():
            if known == name:
                mend = (self.kind == code) & self.mended
                kept = (self.kind != code) | mend
                right = right | mend
                if code == WRONG:
                    column = column.copy()
                    column[mend] = self.truths.column[self.target[mend]]
        for code, known in MISSED.items():
            if known == name:
                left = self.state != code
        truths = np.bincount(self.truths.column, minlength=self.classes)
        after = np.bincount(self.truths.column[left], minlength=self.classes)
        aps = class_aps(right[kept], column[kept], self.scores[kept], after, self.area)
        # a class all of whose labels were missed, and no longer are, is perfect
        return np.where((truths > 0) & (after == 0), 1.0, aps)


def _confusions(
    truths: LabelledBoxes, found: LabelledBoxes, scores: Floats, kind: Ints, target: Ints, labels: LabelMap
) -> tuple[tuple[int, int, int, float], ...]:
    rows = np.flatnonzero(kind == WRONG)
    pair = found.column[rows] * len(labels) + truths.column[target[rows]]
    counts = np.bincount(pair, minlength=1)
    sums = np.bincount(pair, scores[rows], minlength=1)
    ids: Sequence[int] = labels.ids
    order = np.lexsort((np.arange(len(sums)), -sums))
    order = order[counts[order] > 0][:CONFUSIONS]
    return tuple(
        (ids[p // len(labels)], ids[p % len(labels)], int(counts[p]), round(float(sums[p]), 6)) for p in order.tolist()
    )
