"""Video-mAP of UCF101-24 and J-HMDB-21: tubes from boxes of frames, or from ids, judged by IoU in space and time."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from relact.errors import InputError
from relact.interop.ucf24 import PICTURE
from relact.labels import LabelMap
from relact.metrics.ap_rules import Ints, tube_rules
from relact.metrics.explain import EXPLAIN_BELOW, Explanation
from relact.metrics.frame_rows import FrameRows, Units
from relact.metrics.frames import Judged, explain_low, read_judged, stamp, warnings
from relact.metrics.tube_linking import LINK_RULES, link_boxes, link_rules, trimmed
from relact.metrics.tubes import Tubes, build
from relact.metrics.video_map import RANGE, THRESHOLDS, VideoAp, video_ap

Linking = Literal["act", "road", "ids"]
TRIM_COST = 3.0
"""ROAD's cost of a change between action and none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoReport:
    """Video-mAP at each threshold, its parts, and all that it depends on; fields as in `AvaReport`.

    `maps`: mAP by "0.2", "0.5", "0.75" and "0.5:0.95"; `classes`: id, name, group, truths, predictions (tubes), and
    `ap` by threshold, None without ground truth.
    """

    maps: dict[str, float]
    classes: tuple[dict[str, object], ...]
    counts: dict[str, int]
    ignored: dict[str, int]
    protocol: dict[str, str | int | float | None]
    warnings: tuple[str, ...]
    explanation: Explanation | None = None

    def to_dict(self) -> dict[str, object]:
        """All of it as plain values."""
        content: dict[str, object] = {
            "video_mAP": self.maps,
            "classes": list(self.classes),
            "counts": self.counts,
            "ignored": self.ignored,
            "protocol": self.protocol,
            "warnings": list(self.warnings),
        }
        if self.explanation is not None:
            content["explanation"] = self.explanation.to_dict()
        return content

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"


def evaluate_videos(
    predictions: FrameRows | str | Path,
    groundtruth: FrameRows | str | Path,
    labels: LabelMap | str | Path = "ucf24",
    *,
    rules: str = "act",
    linking: str = "act",
    trim: float | None = None,
    split: str | Path | None = None,
    box_units: Units | None = None,
    picture: tuple[int, int] = PICTURE,
    box_source: str | None = None,
    explain: bool | None = None,
) -> VideoReport:
    """Video-mAP at 0.2, 0.5, 0.75 and the mean of 0.5, 0.55 … 0.95; files as in `relact.metrics.frames`.

    `linking`: tubes by ACT's or ROAD's rules from the boxes of a class, or `ids`, the file's own. `trim`: the cost of
    ROAD's cut in time (3), None: tubes stay whole. Raises InputError for truth without ids, and for predictions without
    them where `linking` is `ids`.
    """
    rule = tube_rules(rules)
    if linking not in get_args(Linking):
        link_rules(linking)
    both = read_judged(predictions, groundtruth, labels, split=split, box_units=box_units, picture=picture)
    truth = from_ids(both.truth, both.columns(both.truth), "the truth of video-mAP needs them")
    found = _predicted(both, linking, trim)
    result = video_ap(truth, found, num_classes=len(both.labels), rules=rule)
    maps = {f"{t:g}": result.mean(t) for t in THRESHOLDS} | {"0.5:0.95": result.mean_over(RANGE)}
    return VideoReport(
        maps=maps,
        classes=_classes(result, both.labels),
        counts={
            "videos": len(both.truth.videos),
            "groundtruth_tubes": len(truth),
            "predicted_tubes": len(found),
            "judged_tubes": int(result.detections.sum()),
            "rows_read": len(both.read),
            "rows_used": len(both.found),
        },
        ignored=both.ignored,
        protocol={
            "protocol": "video-mAP",
            "rules": rules,
            "matching": rule.matching,
            "area": rule.area,
            "last_pixel": rule.last_pixel,
            "tube_nms": rule.nms,
            "duration": rule.duration,
            "linking": linking,
            "trim_cost": trim,
            **stamp(both, labels, box_source),
        },
        warnings=(*warnings(both), *_tube_warnings(both, found, linking)),
        explanation=explain_low(both) if explain or (explain is None and maps["0.5"] < EXPLAIN_BELOW) else None,
    )


def _predicted(both: Judged, linking: str, trim: float | None) -> Tubes:
    columns = both.columns(both.found)
    if linking == "ids":
        tubes = from_ids(
            both.found, columns, "link its boxes with --linking act or road", missed=LINK_RULES["act"].max_step
        )
        return tubes if trim is None else trimmed(tubes, trim)
    return link_boxes(
        video=both.found.video, column=columns, frame=both.found.frame, boxes=both.found.boxes,
        scores=both.found.score, rules=link_rules(linking), trim=trim,
    )  # fmt: skip


def from_ids(rows: FrameRows, column: Ints, otherwise: str, missed: int = 1) -> Tubes:
    """A tube for each id doing an action, cut where it is not seen for longer than usual in this file (1.5 times the
    most common step) and for more than `missed` frames; shorter gaps are filled.

    Raises InputError for rows without an id (`otherwise` says what to do then), and for a tube with two boxes on a
    frame.
    """
    if len(rows) and (rows.track < 0).any():
        some = "some rows have" if (rows.track >= 0).any() else "it has"
        raise InputError(f"{rows.path}: {some} no ids of people or tubes; {otherwise}")
    order = np.lexsort((rows.frame, rows.track, column, rows.video))
    key = np.stack([rows.video, column, rows.track])[:, order]
    frame = rows.frame[order]
    same = (np.diff(key) == 0).all(axis=0)
    step = np.diff(frame)
    if (same & (step == 0)).any():
        row = int(order[(same & (step == 0)).argmax()])
        raise InputError(
            f"{rows.path}: id {rows.track[row]} has two boxes of action {rows.action[row]} on frame {rows.frame[row]} "
            f"of {rows.videos[rows.video[row]]}; an id is of one box a frame"
        )
    usual = int(np.bincount(step[same]).argmax()) if same.any() else 1
    code = np.full(len(rows), -1)
    code[order] = np.cumsum(np.concatenate([[True], ~(same & (step <= max(1.5 * usual, missed)))])[: len(rows)]) - 1
    return build(code, rows.video, column, rows.frame, rows.boxes, rows.score)


def _classes(result: VideoAp, labels: LabelMap) -> tuple[dict[str, object], ...]:
    shown = [(f"{t:g}", result.ap[result.thresholds.index(t)]) for t in THRESHOLDS]
    shown.append(("0.5:0.95", np.mean([result.ap[result.thresholds.index(t)] for t in RANGE], axis=0)))
    return tuple(
        {
            "id": label.id,
            "name": label.name,
            "group": label.group,
            "ap": {name: float(ap[k]) if result.truths[k] else None for name, ap in shown},
            "truths": int(result.truths[k]),
            "predictions": int(result.detections[k]),
        }
        for k, label in enumerate(labels)
    )


def _tube_warnings(both: Judged, tubes: Tubes, linking: str) -> tuple[str, ...]:
    said = []
    if linking != "ids" and len(both.found) and (both.found.track >= 0).all():
        said.append("the predictions carry ids, which linking does not use; --linking ids does")
    if len(both.found) and not len(tubes):
        said.append(
            f"{len(both.found)} boxes made no tube that is long and sure enough by {linking}'s rules; are there boxes "
            "on every frame?"
        )
    return tuple(said)
