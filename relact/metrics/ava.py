"""AVA's frame-mAP at IoU 0.5, equal to the official evaluator (ActivityNet's get_ava_performance.py).

Its quirks are the protocol. Actions outside the label map are dropped first; then the 50 best rows of a keyframe
count; excluded keyframes leave both sides; predictions at keyframes that the ground truth does not list are ignored,
those at listed keyframes without people are wrong; classes without ground truth do not enter the mean.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from relact.errors import InputError
from relact.interop.ava_csv import AvaTable, Keyframes, Units, read_ava_csv, read_excluded
from relact.labels import LabelMap
from relact.metrics.ava_report import AvaReport, ClassResult, explain_actions, explain_keys, explain_overlap
from relact.metrics.frame_map import Bools, Floats, FrameAp, Ints, LabelledBoxes, frame_ap

OFFICIAL_CAP = 50
LOWEST_SCORE = -10.0
"""The official evaluator's non-maximum suppression, though without effect on boxes, drops scores up to this one."""

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
    *,
    cap: int = OFFICIAL_CAP,
    iou_threshold: float = 0.5,
    box_units: Units = "unit",
) -> AvaReport:
    """AVA frame-mAP of a predictions csv against a ground truth csv; `labels` lists the actions that count.

    `exclude` is a file of excluded timestamps. `cap` = best rows a keyframe, 0 for all (not the official number).
    `box_units` is what both files hold. Equal scores count in file order (officially, their order varies with numpy).
    Raises InputError for unreadable files, and where no ground truth is of an action that counts.
    """
    if cap < 0:
        raise InputError(f"cap {cap}: expected how many rows a keyframe count, or 0 for all of them")
    counted = LabelMap.load(labels).evaluated()
    truth = _table(groundtruth, "groundtruth", box_units)
    found = _table(predictions, "predictions", box_units)
    excluded = read_excluded(exclude) if isinstance(exclude, (str, Path)) else exclude
    known = _Known.of(truth.keyframes, excluded)
    judged = _Judged.of(truth, found, known, counted, cap)
    result = frame_ap(
        judged.truths, judged.detections, judged.scores, num_classes=len(counted), iou_threshold=iou_threshold
    )
    return AvaReport(
        mAP=result.mean,
        classes=tuple(_class_results(result, counted)),
        counts={
            "keyframes": int((~known.excluded).sum()),
            "groundtruth_rows": len(truth),
            "groundtruth_boxes": len(judged.truths),
            "rows_read": len(found),
            "rows_used": len(judged.detections),
        },
        ignored={name: int((judged.reason == code).sum()) for code, name in REASONS.items()},
        protocol={
            "protocol": "AVA frame-mAP",
            "iou_threshold": iou_threshold,
            "cap": cap,
            "classes": len(counted),
            "classes_with_groundtruth": int((result.truths > 0).sum()),
            "excluded_keyframes": int(known.excluded.sum()),
            "groundtruth": truth.path,
            "predictions": found.path,
            "exclude": str(exclude) if isinstance(exclude, (str, Path)) else None,
        },
        warnings=tuple(_warnings(result, judged, truth, found, counted, iou_threshold)),
    )


def _table(source: AvaTable | str | Path, kind: "_Kind", box_units: Units) -> AvaTable:
    if not isinstance(source, AvaTable):
        return read_ava_csv(source, kind, box_units)
    assert source.kind == kind, f"expected a table of {kind}, got one of {source.kind}"
    return source


@dataclass(frozen=True, slots=True)
class _Known:
    """The keyframes of the ground truth: a code each, found by video name and time; `excluded [codes]`."""

    videos: dict[str, int]
    times: Ints
    keys: Ints
    excluded: Bools

    @classmethod
    def of(cls, keyframes: Keyframes, excluded: Keyframes | None) -> "_Known":
        videos = {name: code for code, name in enumerate(keyframes.videos)}
        times = np.unique(keyframes.microseconds)
        keys = np.unique(keyframes.video * len(times) + np.searchsorted(times, keyframes.microseconds))
        known = cls(videos, times, keys, np.zeros(len(keys), np.bool_))
        if excluded is not None:
            codes = known.find(excluded)
            known.excluded[codes[codes >= 0]] = True
        return known

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


@dataclass(frozen=True, slots=True)
class _Judged:
    """What the metric compares, and of every prediction row the reason why it is not there (or USED)."""

    truths: LabelledBoxes
    detections: LabelledBoxes
    scores: Floats
    reason: npt.NDArray[np.int8]

    @classmethod
    def of(
        cls, truth: AvaTable, found: AvaTable, known: _Known, labels: LabelMap, cap: int
    ) -> "_Judged":
        scores = found.score
        assert scores is not None
        rows = LabelledBoxes(
            keyframe=known.find(found.row_keyframes), column=_columns(found.action, labels), boxes=found.boxes
        )
        reason = _reasons(rows, scores, known.excluded, cap)
        used = reason == USED
        return cls(_truths(truth, known, labels), rows.take(used), scores[used], reason)
