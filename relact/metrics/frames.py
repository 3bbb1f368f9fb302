"""Frame-mAP where every frame is a keyframe: UCF101-24 and J-HMDB-21, by the rules of ACT's evaluation or another's."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from relact.errors import InputError
from relact.interop.box_match import overlapping, same_videos
from relact.interop.ucf24 import PICTURE
from relact.labels import Label, LabelMap
from relact.metrics.ap_rules import Floats, Ints, Matching, class_aps, frame_rules, match, with_last_pixel
from relact.metrics.ava_report import AvaReport, ClassResult
from relact.metrics.errors import analyse
from relact.metrics.explain import EXPLAIN_BELOW, Explanation, explain
from relact.metrics.explain_side import Side
from relact.metrics.frame_map import LabelledBoxes
from relact.metrics.frame_rows import FrameRows, Units, read_detections, read_truth

JHMDB = (
    "brush_hair", "catch", "clap", "climb_stairs", "golf", "jump", "kick_ball", "pick", "pour", "pullup", "push", "run",
    "shoot_ball", "shoot_bow", "shoot_gun", "sit", "stand", "swing_baseball", "throw", "walk", "wave",
)  # fmt: skip
"""J-HMDB's actions in the order of its annotation, alphabetical."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Truth and predictions of the judged videos and actions, `video` numbers those of the truth in both."""

    truth: FrameRows
    found: FrameRows
    labels: LabelMap
    ignored: dict[str, int]
    missing: tuple[str, ...]
    split: str
    read: FrameRows
    """all predictions as they came"""
    picture: tuple[int, int]

    def columns(self, rows: FrameRows) -> Ints:
        """The class of each row, by the label map."""
        return _columns(rows.action, self.labels)


def label_map(labels: LabelMap | str | Path) -> LabelMap:
    """As `LabelMap.load`, with J-HMDB's 21 actions by the name `jhmdb`."""
    if isinstance(labels, str) and labels == "jhmdb":
        return LabelMap(Label(id=k, name=name) for k, name in enumerate(JHMDB, start=1))
    return LabelMap.load(labels).evaluated()


def read_judged(
    predictions: FrameRows | str | Path,
    groundtruth: FrameRows | str | Path,
    labels: LabelMap | str | Path,
    *,
    split: str | Path | None = None,
    box_units: Units | None = None,
    picture: tuple[int, int] = PICTURE,
) -> Judged:
    """Both files, brought together. Names of videos may differ in folder and suffix.

    Raises InputError for unreadable files and where the truth has no box of an action that counts.
    """
    counted = label_map(labels)
    if isinstance(groundtruth, FrameRows):
        truth, origin = groundtruth, "all annotated videos"
    else:
        truth, origin = read_truth(groundtruth, counted, split, picture)
    known = np.isin(truth.action, counted.ids)
    if not known.any():
        raise InputError(
            f"{truth.path}: no ground truth is of an action that counts, so there is no mAP: it has {len(truth)} "
            f"boxes, the label map {len(counted)} ids in {min(counted.ids)} to {max(counted.ids)}"
        )
    truth = truth.take(known)
    if isinstance(predictions, FrameRows):
        found = predictions
    else:
        found = read_detections(predictions, counted, truth.videos, units=box_units, picture=picture)
    pairs = same_videos(truth.videos, found.videos)
    ours = np.full(len(found.videos), -1)
    ours[list(pairs.values())] = list(pairs)
    video = ours[found.video]
    listed = np.isin(found.action, counted.ids)
    ignored = {
        "video not judged": int((video < 0).sum()),
        "action not evaluated": int(((video >= 0) & ~listed).sum()),
    }
    kept = (video >= 0) & listed
    return Judged(
        truth=truth,
        found=replace(found.take(kept), videos=truth.videos, video=video[kept]),
        labels=counted,
        ignored=ignored,
        missing=tuple(name for k, name in enumerate(truth.videos) if k not in pairs),
        split=origin,
        read=found,
        picture=picture,
    )


def evaluate_frames(
    predictions: FrameRows | str | Path,
    groundtruth: FrameRows | str | Path,
    labels: LabelMap | str | Path = "ucf24",
    *,
    rules: str = "act",
    iou_threshold: float = 0.5,
    split: str | Path | None = None,
    box_units: Units | None = None,
    picture: tuple[int, int] = PICTURE,
    box_source: str | None = None,
    explain: bool | None = None,
    errors: bool = False,
) -> AvaReport:
    """Frame-mAP over all frames of the judged videos; the files are those of `relact.metrics.frame_rows`.

    `labels`: a label map, `ucf24` or `jhmdb`; `rules`: whose evaluation, see docs/metrics.md; `split`: a list of the
    judged videos. Classes without ground truth do not enter the mean. The rest is as in `relact.metrics.ava.evaluate`.
    """
    rule = frame_rules(rules)
    if not 0 < iou_threshold <= 1:
        raise InputError(f"IoU threshold {iou_threshold:g}; expected one above 0 and up to 1")
    both = read_judged(predictions, groundtruth, labels, split=split, box_units=box_units, picture=picture)
    truth, found, counted = both.truth, both.found, both.labels
    truths, boxes = _keyed(truth, found, counted)
    ignored = dict(both.ignored)
    if rule.frames == "annotated":
        kept = np.isin(boxes.keyframe, truths.keyframe)
        ignored["frame not annotated"] = int((~kept).sum())
        found, boxes = found.take(kept), boxes.take(kept)
    taken = _taken(truths, boxes, found.score, len(counted), rule.last_pixel, rule.matching, iou_threshold)
    per_class = np.bincount(truths.column, minlength=len(counted))
    aps = class_aps(taken >= 0, boxes.column, found.score, per_class, rule.area)
    mean = float(aps[per_class > 0].mean())
    analysed = None
    if errors:
        sides = [replace(side, boxes=with_last_pixel(side.boxes, rule.last_pixel)) for side in (truths, boxes)]
        analysed = analyse(sides[0], sides[1], found.score, taken, counted, area=rule.area, iou_threshold=iou_threshold)
    return AvaReport(
        mAP=mean,
        classes=class_results(aps, per_class, np.bincount(boxes.column, minlength=len(counted)), counted),
        counts={
            "videos": len(truth.videos),
            "annotated_frames": len(np.unique(truths.keyframe)),
            "groundtruth_boxes": len(truths),
            "rows_read": len(both.read),
            "rows_used": len(boxes),
        },
        ignored=ignored,
        protocol={
            "protocol": "frame-mAP",
            "rules": rules,
            "matching": rule.matching,
            "area": rule.area,
            "last_pixel": rule.last_pixel,
            "frames": rule.frames,
            "iou_threshold": iou_threshold,
            **stamp(both, labels, box_source),
        },
        warnings=warnings(both),
        explanation=explain_low(both) if explain or (explain is None and mean < EXPLAIN_BELOW) else None,
        errors=analysed,
    )


def _columns(action: Ints, labels: LabelMap) -> Ints:
    columns = np.full(max(labels.ids) + 1, -1)
    columns[list(labels.ids)] = np.arange(len(labels))
    return columns[action]


def _keyed(truth: FrameRows, found: FrameRows, labels: LabelMap) -> tuple[LabelledBoxes, LabelledBoxes]:
    frames = 1 + max(int(truth.frame.max()), int(found.frame.max(initial=0)))
    sides = [
        LabelledBoxes(keyframe=rows.video * frames + rows.frame, column=_columns(rows.action, labels), boxes=rows.boxes)
        for rows in (truth, found)
    ]
    return sides[0], sides[1]


def _taken(
    truths: LabelledBoxes, boxes: LabelledBoxes, scores: Floats, classes: int, last_pixel: bool, matching: Matching,
    threshold: float,
) -> Ints:  # fmt: skip
    """The truth that each detection takes, -1 for none."""
    corners = [with_last_pixel(side.boxes, last_pixel) for side in (boxes, truths)]
    groups = [side.keyframe * classes + side.column for side in (boxes, truths)]
    i, j, overlap = overlapping(groups[0], corners[0], groups[1], corners[1], threshold)
    return match(i, j, overlap.astype(np.float64), scores, matching)


def class_results(aps: Floats, truths: Ints, found: Ints, labels: LabelMap) -> tuple[ClassResult, ...]:
    """AP and counts `[K]` by class."""
    return tuple(
        ClassResult(
            id=label.id, name=label.name, group=label.group, ap=float(aps[k]) if truths[k] else None,
            truths=int(truths[k]), predictions=int(found[k]),
        )
        for k, label in enumerate(labels)
    )  # fmt: skip


def stamp(both: Judged, labels: LabelMap | str | Path, box_source: str | None) -> dict[str, str | int | float | None]:
    """What every protocol says."""
    return {
        "classes": len(both.labels),
        "classes_with_groundtruth": len(np.unique(both.truth.action)),
        "labels": None if isinstance(labels, LabelMap) else str(labels),
        "box_source": box_source,
        "box_units": both.read.units,
        "videos": both.split,
        "cap": 0,
        "ties": "file order",
        "groundtruth": both.truth.path,
        "predictions": both.read.path,
    }


def warnings(both: Judged) -> tuple[str, ...]:
    """What the number leaves out."""
    return tuple(_warnings(both))


def _warnings(both: Judged) -> Iterator[str]:
    if not len(both.read):
        yield f"{both.read.path}: no predictions in it"
    elif len(both.missing) == len(both.truth.videos):
        yield (
            f'no prediction is of a judged video: labels have "{both.truth.videos[0]}" …, predictions '
            f'"{both.read.videos[0]}" …'
        )
    elif both.missing:
        yield f"{len(both.missing)} of {len(both.truth.videos)} judged videos have no predictions: {both.missing[0]} …"


def explain_low(both: Judged) -> Explanation:
    """The faults that explain a low number."""
    # The names that met without folder and suffix are equal here: what is left differs in more than that.
    pairs = same_videos(both.truth.videos, both.read.videos)
    names = list(both.read.videos)
    for ours, theirs in pairs.items():
        names[theirs] = both.truth.videos[ours]
    found = replace(_side(both.read), videos=tuple(names), picture=both.picture)
    return explain(_side(both.truth), found, both.labels)


def _side(rows: FrameRows) -> Side:
    return Side(
        path=rows.path, videos=rows.videos, video=rows.video, instant=rows.frame.astype(np.float64), boxes=rows.boxes,
        action=rows.action, score=rows.score, clock="frame",
    )  # fmt: skip
