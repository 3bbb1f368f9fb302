"""AVA's frame-mAP at IoU 0.5, equal to the official evaluator (ActivityNet's get_ava_performance.py).

Its quirks are the protocol. Actions outside the label map are dropped first; then the 50 best rows of a
keyframe count; excluded keyframes leave both sides; predictions at keyframes that the ground truth does not
list are ignored, those at listed keyframes without people are wrong; classes without ground truth do not
enter the mean.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from relact.errors import InputError
from relact.interop.ava_csv import AvaTable, Keyframes, Units, read_ava_csv, read_excluded
from relact.interop.ava_rows import Kind
from relact.interop.faults import Faults
from relact.labels import LabelMap
from relact.metrics.ava_cap import within_cap
from relact.metrics.ava_report import (
    AvaReport,
    ClassResult,
    explain_actions,
    explain_keys,
    explain_no_truth,
    explain_overlap,
)
from relact.metrics.errors import ErrorReport, analyse
from relact.metrics.explain import EXPLAIN_BELOW, Explanation
from relact.metrics.explain import explain as find_faults
from relact.metrics.explain_side import Side
from relact.metrics.frame_map import Bools, Floats, FrameAp, Ints, LabelledBoxes, frame_ap

OFFICIAL_CAP = 50
LOWEST_SCORE = -10.0
"""The official evaluator's non-maximum suppression, otherwise without effect, drops scores up to this one."""

Reasons = npt.NDArray[np.int8]
USED, UNLISTED, UNKNOWN, EXCLUDED, CAPPED, EMPTY, LOW = range(7)
REASONS = {
    UNLISTED: "action not evaluated",
    UNKNOWN: "keyframe not in the ground truth",
    EXCLUDED: "keyframe excluded",
    CAPPED: "beyond the cap",
    EMPTY: "empty box",
    LOW: f"score of {LOWEST_SCORE:g} or less",
}
"""Why a row of predictions does not count."""


def evaluate(
    predictions: AvaTable | str | Path,
    groundtruth: AvaTable | str | Path,
    labels: LabelMap | str | Path = "ava60",
    exclude: Keyframes | str | Path | None = None,
    cap: int = OFFICIAL_CAP,
    *,
    iou_threshold: float = 0.5,
    box_units: Units = "unit",
    box_source: str | None = None,
    explain: bool | None = None,
    errors: bool = False,
    skip_bad: bool = False,
) -> AvaReport:
    """AVA frame-mAP of a predictions csv against a ground truth csv; `labels` lists the actions that count.

    `exclude` is a file of excluded timestamps. `cap` = best rows a keyframe, 0 for all (not the official
    number). `box_units` is what both files hold. Equal scores count in file order (officially it varies with
    numpy). `box_source` is written into the protocol. `explain`: look for faults; None: where the mAP is below
    0.01. `errors`: count the kinds of errors. `skip_bad`: leave broken rows out, and write how many of each
    file into the protocol. Raises InputError for unreadable files, and where no truth is of an action that counts.
    """
    if cap < 0:
        raise InputError(f"cap {cap}: expected how many rows a keyframe count, or 0 for all of them")
    whole = LabelMap.load(labels)
    counted = whole.evaluated()
    faults = {name: Faults(skip=skip_bad) for name in ("groundtruth", "predictions", "exclude")}
    truth = _table(groundtruth, "groundtruth", box_units, faults["groundtruth"])
    found = _table(predictions, "predictions", box_units, faults["predictions"])
    known = _Known.of(truth.keyframes)
    excluded = _excluded(exclude, known, faults["exclude"])
    truths = _truths(truth, known, excluded, counted)
    detections = _boxes(found, known, counted)
    reason = _reasons(detections, found, excluded, cap)
    used = reason == USED
    result = frame_ap(
        truths,
        detections.take(used),
        _scores(found)[used],
        num_classes=len(counted),
        iou_threshold=iou_threshold,
    )
    if explain is None:
        explain = not result.mean >= EXPLAIN_BELOW
    return AvaReport(
        mAP=result.mean,
        classes=tuple(_class_results(result, counted)),
        counts={
            "keyframes": int((~excluded).sum()),
            "groundtruth_rows": len(truth),
            "groundtruth_boxes": len(truths),
            "rows_read": len(found),
            "rows_used": int(used.sum()),
        },
        ignored={name: int((reason == code).sum()) for code, name in REASONS.items()},
        protocol={
            "protocol": "AVA frame-mAP",
            "iou_threshold": iou_threshold,
            "cap": cap,
            "classes": len(counted),
            "classes_with_groundtruth": int((result.truths > 0).sum()),
            "labels": None if isinstance(labels, LabelMap) else str(labels),
            "box_source": box_source,
            "keyframes": len(known.keys),
            "excluded_keyframes": int(excluded.sum()),
            "matching": "best only",
            "area": "envelope",
            "ties": "file order",
            "groundtruth": truth.path,
            "predictions": found.path,
            "exclude": None if exclude is None or isinstance(exclude, Keyframes) else str(exclude),
            **{f"{name}_rows_left_out": of_file.count for name, of_file in faults.items() if of_file.count},
        },
        warnings=(*_left_out(faults), *_warnings(truth, found, counted, detections, reason, result, iou_threshold)),
        explanation=_explanation(truth, found, known, excluded, whole) if explain else None,
        errors=_errors(truths, detections.take(used), _scores(found)[used], result, counted, iou_threshold)
        if errors
        else None,
    )


def _explanation(truth: AvaTable, found: AvaTable, known: "_Known", excluded: Bools, labels: LabelMap) -> Explanation:
    sides = [
        Side(
            path=table.path, videos=table.videos, video=table.video, instant=table.time, boxes=table.boxes,
            action=table.action, score=np.ones(len(table)) if table.score is None else table.score,
        )
        for table in (truth, found)
    ]  # fmt: skip
    return find_faults(sides[0], sides[1], labels, excluded=excluded[known.find(truth.row_keyframes)])


def _errors(
    truths: LabelledBoxes, found: LabelledBoxes, scores: Floats, result: FrameAp, labels: LabelMap, iou_threshold: float
) -> ErrorReport:
    taken = np.where(result.right, result.best, -1)
    return analyse(truths, found, scores, taken, labels, area="envelope", iou_threshold=iou_threshold)


def _left_out(faults: Mapping[str, Faults]) -> Iterator[str]:
    for of_file in faults.values():
        if of_file.count:
            yield f"{of_file.count} broken row(s) left out, such as {of_file.skipped[0]}"


def _table(source: AvaTable | str | Path, kind: Kind, box_units: Units, faults: Faults) -> AvaTable:
    if not isinstance(source, AvaTable):
        return read_ava_csv(source, kind, box_units, faults)
    assert source.kind == kind, f"expected a table of {kind}, got one of {source.kind}"
    return source


def _scores(found: AvaTable) -> Floats:
    assert found.score is not None
    return found.score


@dataclass(frozen=True, slots=True)
class _Known:
    """The keyframes of the ground truth; each has a code, found by video name and time."""

    videos: dict[str, int]
    times: Ints
    keys: Ints

    @classmethod
    def of(cls, keyframes: Keyframes) -> "_Known":
        times = np.unique(keyframes.microseconds)
        keys = np.unique(keyframes.video * len(times) + np.searchsorted(times, keyframes.microseconds))
        return cls({name: code for code, name in enumerate(keyframes.videos)}, times, keys)

    def find(self, keyframes: Keyframes) -> Ints:
        """The code of each keyframe, -1 for one that the ground truth does not list."""
        if not len(self.keys) or not len(keyframes):
            return np.full(len(keyframes), -1)
        video = np.array([self.videos.get(name, -1) for name in keyframes.videos])[keyframes.video]
        time = np.searchsorted(self.times, keyframes.microseconds).clip(max=len(self.times) - 1)
        key = video * len(self.times) + time
        code = np.searchsorted(self.keys, key).clip(max=len(self.keys) - 1)
        same = (video >= 0) & (self.times[time] == keyframes.microseconds) & (self.keys[code] == key)
        return np.where(same, code, -1)


def _excluded(exclude: Keyframes | str | Path | None, known: _Known, faults: Faults) -> Bools:
    """A flag for each known keyframe."""
    flags = np.zeros(len(known.keys), np.bool_)
    if exclude is not None:
        codes = known.find(exclude if isinstance(exclude, Keyframes) else read_excluded(exclude, faults))
        flags[codes[codes >= 0]] = True
    return flags


def _boxes(table: AvaTable, known: _Known, labels: LabelMap) -> LabelledBoxes:
    """All rows, with -1 for a keyframe that is not known and for an action that does not count."""
    columns = np.full(max(labels.ids) + 2, -1)  # the last entry stands for every id beyond the map's
    columns[list(labels.ids)] = np.arange(len(labels))
    return LabelledBoxes(
        keyframe=known.find(table.row_keyframes),
        column=columns[table.action.clip(max=len(columns) - 1)],
        boxes=table.boxes,
    )


def _truths(truth: AvaTable, known: _Known, excluded: Bools, labels: LabelMap) -> LabelledBoxes:
    assert truth.person is not None
    boxes = _boxes(truth, known, labels)
    counts = (boxes.column >= 0) & ~excluded[boxes.keyframe]
    if not counts.any():
        raise InputError(explain_no_truth(truth, labels))
    # Of two truths that a detection overlaps equally it takes the first: officially, the higher person id.
    by_person = np.argsort(-truth.person, kind="stable")
    return boxes.take(by_person[counts[by_person]])


def _reasons(rows: LabelledBoxes, found: AvaTable, excluded: Bools, cap: int) -> Reasons:
    """Of every prediction row why it does not count, or USED; only evaluated actions fill the cap."""
    scores = _scores(found)
    reason = np.zeros(len(rows), np.int8)
    reason[rows.keyframe < 0] = UNKNOWN
    reason[rows.column < 0] = UNLISTED
    open_rows = np.flatnonzero(reason == USED)
    reason[open_rows[excluded[rows.keyframe[open_rows]]]] = EXCLUDED
    if cap:
        left = np.flatnonzero(reason == USED)
        kept = within_cap(rows.keyframe[left], found.action[left], rows.boxes[left], scores[left], cap)
        reason[left[~kept]] = CAPPED
    reason[(reason == USED) & np.any(rows.boxes[:, 2:] <= rows.boxes[:, :2], axis=1)] = EMPTY
    reason[(reason == USED) & (scores <= LOWEST_SCORE)] = LOW
    return reason


def _class_results(result: FrameAp, labels: LabelMap) -> Iterator[ClassResult]:
    for k, label in enumerate(labels):
        truths = int(result.truths[k])
        yield ClassResult(
            id=label.id,
            name=label.name,
            group=label.group,
            ap=float(result.ap[k]) if truths else None,
            truths=truths,
            predictions=int(result.detections[k]),
        )


def _warnings(
    truth: AvaTable,
    found: AvaTable,
    labels: LabelMap,
    detections: LabelledBoxes,
    reason: Reasons,
    result: FrameAp,
    iou_threshold: float,
) -> Iterator[str]:
    """What a reader of the number must know: why it is zero, or what of the input it leaves out."""
    at_known, listed = detections.keyframe >= 0, detections.column >= 0
    if not len(found):
        yield f"{found.path}: no predictions in it"
    elif not at_known.any():
        yield explain_keys(truth, found)
    elif not (at_known & listed).any():
        yield explain_actions(labels, found)
    elif result.mean == 0 and len(result.overlap):
        yield explain_overlap(truth, found, iou_threshold, float(result.overlap.max()))
    else:
        yield from _partial_warnings(truth, found, at_known, reason)


def _partial_warnings(truth: AvaTable, found: AvaTable, at_known: Bools, reason: Reasons) -> Iterator[str]:
    missing = sorted(set(truth.videos) - set(found.videos))
    if missing:
        yield f"{len(missing)} of {len(truth.videos)} labelled videos have no predictions: {missing[0]} …"
    stray = int((~at_known).sum())
    if stray > len(found) / 2:
        yield f"{stray} of {len(found)} prediction rows lie at keyframes that the labels do not list"
    low = int((reason == LOW).sum())
    if low:
        yield f"{low} scores are {LOWEST_SCORE:g} or less and do not count; write probabilities, not logits"
