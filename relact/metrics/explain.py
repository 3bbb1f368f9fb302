"""Why a metric is zero, or lower than it should be: faults of keys, ids, boxes and scores, each found by numbers.

A finding says what is wrong, how many rows it concerns, and what to do. Where a fault can be mended on the spot (names
of videos, a shift of the time), the search goes on behind it, so that two faults give two findings. A result without
faults gives none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from relact.labels import LabelMap
from relact.metrics.ap_rules import Bools, Ints
from relact.metrics.explain_boxes import box_recall, find_in_boxes, find_in_ids, find_in_units
from relact.metrics.explain_keys import find_in_names, find_in_times
from relact.metrics.explain_side import Finding, Side, at_shared_keyframes, sample, surest_of, surest_rows

EXPLAIN_BELOW = 0.01
"""Evaluations explain themselves below this mAP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The faults that were found, and the recall of the boxes at IoU 0.5 whatever their actions, at the keyframes that
    both sides have once names and times are mended (None: there is none).
    """

    findings: tuple[Finding, ...]
    box_recall: float | None

    def to_dict(self) -> dict[str, object]:
        """As plain values."""
        return {"findings": [finding.to_dict() for finding in self.findings], "box_recall": self.box_recall}


def explain(truth: Side, found: Side, labels: LabelMap, *, excluded: Bools | None = None) -> Explanation:
    """All faults, the first that must be mended first. `excluded [R]` flags truth rows at keyframes left out."""
    if not len(found):
        text = f"{found.path}: no predictions in it; did the model run on this set?"
        return Explanation(findings=(Finding(kind="no predictions", text=text),), box_recall=None)
    findings = []
    if excluded is not None and len(truth) and excluded.mean() > 0.5:
        text = (
            f"{int(excluded.sum())} of {len(truth)} label rows lie at excluded keyframes; is the list of excluded "
            "timestamps of another split?"
        )
        findings.append(Finding(kind="excluded", text=text))
        truth = truth if excluded.all() else truth.take(~excluded)
    findings += _actions(truth, found, labels)
    found, faults = find_in_names(truth, found)
    findings += faults
    found, faults = find_in_times(truth, sample(found))
    findings += faults
    truth, found, keys = at_shared_keyframes(truth, found)
    if not len(found):
        return Explanation(findings=tuple(findings), box_recall=None)
    units = list(find_in_units(truth, found))
    findings += units
    kept = surest_rows(found, keys[1])
    recall = box_recall(truth, found.boxes[kept], (keys[0], keys[1][kept]))
    if not units:
        findings += [*find_in_boxes(truth, found, keys), *find_in_ids(truth, found, keys, labels)]
    findings += _scores(found)
    return Explanation(findings=tuple(findings), box_recall=recall)


def _actions(truth: Side, found: Side, labels: LabelMap) -> Iterator[Finding]:
    """Actions that only one of the two sides has."""
    names = {label.id: label.name for label in labels}
    judged, made = np.unique(truth.action), np.unique(found.action)
    counted = judged[np.isin(judged, labels.ids)]
    missed = counted[~np.isin(counted, made)]
    rows = np.isin(truth.action, missed)
    if len(counted) and rows.mean() > 0.1:
        yield Finding(
            kind="never predicted",
            text=f"{len(missed)} of the {len(counted)} labelled actions are never predicted, {rows.mean():.1%} of the "
            f"label rows: {_named(missed, names)}; not in the model's label map, or below a score threshold?",
        )
    surest = surest_of(sample(found))
    without = np.unique(surest.action[~np.isin(surest.action, counted)])
    stray = np.isin(surest.action, without)
    if stray.mean() > 0.5:
        yield Finding(
            kind="no truth",
            text=f"on {stray.mean():.1%} of the boxes the surest action is of {len(without)} that have no labels here: "
            f"{_named(without, names)}; predictions have ids {_ranges(made)}, labels {_ranges(judged)}: one label map?",
        )


def _named(ids: Ints, names: dict[int, str]) -> str:
    shown = ", ".join(f"{k} {names.get(k, '(not in the map)')}" for k in ids[:4].tolist())
    return shown + (" …" if len(ids) > 4 else "")


def _ranges(ids: Ints) -> str:
    """1-4, 7 of 1, 2, 3, 4, 7; at most four runs."""
    cuts = [0, *(np.flatnonzero(np.diff(ids) > 1) + 1).tolist(), len(ids)]
    runs = [f"{ids[a]}-{ids[b - 1]}" if b - a > 1 else f"{ids[a]}" for a, b in pairwise(cuts)] if len(ids) else []
    return ", ".join(runs[:4]) + (" …" if len(runs) > 4 else "")


def _scores(found: Side) -> Iterator[Finding]:
    if len(found) > 10 and found.score.min() == found.score.max():
        yield Finding(
            kind="scores",
            text=f"all {len(found)} scores looked at are {found.score[0]:g}: average precision needs an order; write "
            "the model's scores",
        )
    elif found.score.max() <= -10:
        yield Finding(
            kind="scores",
            text=f"scores are {found.score.min():g} to {found.score.max():g}, and -10 and less does not count; write "
            "probabilities, not logits",
        )
