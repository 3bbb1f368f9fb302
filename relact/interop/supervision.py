"""People and their actions as `supervision` Detections (https://supervision.roboflow.com), and back.

One Detections is one keyframe. A person is one row; its class is its strongest action, so that supervision's
annotators and filters work as they are, and all its scores travel along in `data`. The package is only needed when
something is converted: `pip install "relact[supervision]"`.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from relact.errors import InputError
from relact.labels import LabelMap
from relact.types import Detections, Keyframe

if TYPE_CHECKING:
    import supervision

SCORES, ACTION, BOX_SCORE, TRACK = "action_scores", "class_name", "box_score", "track"
"""entries of `data`, a row a person: `[N, K]` scores, name of the strongest action, of the box, the tracker's id"""
VIDEO, TICK, TIME, FRAME, PTS, SIZE = "video", "tick", "time_s", "frame", "pts", "resolution_wh"
"""entries of `metadata`: of the keyframe"""


def to_supervision(detections: Detections, labels: LabelMap) -> "supervision.Detections":
    """A keyframe's people: boxes in pixels, `class_id` = id of the strongest action, `confidence` = its score.

    `tracker_id` is the person's number. `class_id` is the label map's own id (AVA's begin with 1).
    """
    sv = _package()
    if detections.scores.shape[1] != len(labels):
        raise InputError(
            f"labels: {len(labels)} actions for scores of {detections.scores.shape[1]}; give the model's own label map"
        )
    best = detections.scores.argmax(axis=1)
    size = np.array([detections.width, detections.height] * 2, dtype=np.float64)
    return sv.Detections(
        xyxy=(detections.boxes.astype(np.float64) * size).astype(np.float32).reshape(-1, 4),
        confidence=detections.scores[np.arange(len(best)), best].astype(np.float32),
        class_id=np.array(labels.ids, dtype=np.int64)[best],
        tracker_id=detections.person.astype(np.int64),
        data={
            ACTION: np.array(labels.names)[best],
            SCORES: detections.scores,
            BOX_SCORE: detections.box_scores,
            TRACK: detections.track,
        },
        metadata={
            VIDEO: detections.key.video,
            TICK: detections.key.tick,
            TIME: detections.time,
            FRAME: detections.frame,
            PTS: detections.pts,
            SIZE: (detections.width, detections.height),
        },
    )


def from_supervision(found: "supervision.Detections") -> Detections:
    """The inverse of `to_supervision`, also of what supervision's filters left of it.

    Raises InputError for Detections that do not hold what relact wrote.
    """
    missing = [name for name in (VIDEO, TICK, TIME, FRAME, PTS, SIZE) if name not in found.metadata]
    missing += [name for name in (SCORES, BOX_SCORE, TRACK) if name not in found.data]
    if missing or found.tracker_id is None:
        raise InputError(
            f"supervision Detections without {', '.join(missing or ['tracker_id'])}: expected what to_supervision "
            "gave; for people of another detector take people_of"
        )
    about, (width, height) = found.metadata, found.metadata[SIZE]
    return Detections(
        key=Keyframe(about[VIDEO], about[TICK]),
        time=about[TIME],
        frame=about[FRAME],
        pts=about[PTS],
        width=width,
        height=height,
        boxes=_unit(found, width, height),
        box_scores=np.asarray(found.data[BOX_SCORE]),
        scores=np.asarray(found.data[SCORES]),
        person=np.asarray(found.tracker_id),
        track=np.asarray(found.data[TRACK]),
    )


def people_of(
    found: "supervision.Detections", width: int, height: int, *, person_class: int | None = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Any detector's people for relact: boxes `[N, 4]` in [0, 1] of the frame, scores `[N]`, track ids `[N]`.

    Kept are rows of `person_class` (COCO's 0; None = all rows). Scores are 1 and ids -1 where there are none.
    Raises InputError for boxes that are not finite, or a frame without size.
    """
    if width < 1 or height < 1:
        raise InputError(f"a frame of {width} x {height} pixels: expected its width and height in pixels")
    kept = (
        np.ones(len(found), bool) if person_class is None or found.class_id is None else found.class_id == person_class
    )
    if not np.isfinite(found.xyxy).all():
        raise InputError("supervision Detections hold boxes that are not finite: expected x1 y1 x2 y2 in pixels")
    scores = np.ones(len(found), np.float32) if found.confidence is None else np.asarray(found.confidence)
    track = np.full(len(found), -1, np.int64) if found.tracker_id is None else np.asarray(found.tracker_id)
    return _unit(found, width, height)[kept], scores[kept].astype(np.float32), track[kept].astype(np.int64)


def _unit(found: "supervision.Detections", width: int, height: int) -> np.ndarray:
    size = np.array([width, height] * 2, dtype=np.float64)
    return (np.asarray(found.xyxy, np.float64).reshape(-1, 4) / size).astype(np.float32)


def _package() -> Any:
    """Supervision, or what to install. Raises InputError."""
    try:
        import supervision as package
    except ImportError as error:
        raise InputError(f'{error.name} is not installed: pip install "relact[supervision]"') from error
    return package
