"""What must not change a frame-mAP, whatever the boxes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from relact.metrics.frame_map import LabelledBoxes, frame_ap

NUM_CLASSES = 3


def boxes_of(rng: np.random.Generator, count: int, keyframes: int) -> LabelledBoxes:
    corner = rng.random((count, 2)) * 0.6
    return LabelledBoxes(
        keyframe=rng.integers(0, keyframes, count),
        column=rng.integers(0, NUM_CLASSES, count),
        boxes=np.concatenate([corner, corner + 0.1 + rng.random((count, 2)) * 0.3], axis=1),
    )


@st.composite
def cases(draw):
    """Ground truth, detections of which many lie near it, and scores that all differ."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    keyframes = draw(st.integers(1, 6))
    truths = boxes_of(rng, draw(st.integers(1, 30)), keyframes)
    near = truths.take(rng.integers(0, len(truths), draw(st.integers(0, 40))))
    noise = boxes_of(rng, draw(st.integers(0, 20)), keyframes)
    detections = LabelledBoxes(
        keyframe=np.concatenate([near.keyframe, noise.keyframe]),
        column=np.concatenate([near.column, noise.column]),
        boxes=np.concatenate([near.boxes + rng.normal(0, 0.03, near.boxes.shape), noise.boxes]),
    )
    return truths, detections, rng.permutation(len(detections)) / 64 + 0.01


def ap(truths, detections, scores):
    return frame_ap(truths, detections, scores, num_classes=NUM_CLASSES).ap


def same(a, b):
    return np.array_equal(np.isnan(a), np.isnan(b)) and np.allclose(np.nan_to_num(a), np.nan_to_num(b))


@given(cases(), st.randoms(use_true_random=False))
def test_row_order_does_not_matter(case, random):
    truths, detections, scores = case
    order = np.array(random.sample(range(len(detections)), len(detections)), np.int64)
    other = np.array(random.sample(range(len(truths)), len(truths)), np.int64)
    assert same(ap(truths, detections, scores), ap(truths.take(other), detections.take(order), scores[order]))


@given(cases())
def test_only_the_order_of_scores_matters(case):
    truths, detections, scores = case
    assert same(ap(truths, detections, scores), ap(truths, detections, np.log(scores) * 3 - 7))


@given(cases())
def test_axes_may_be_scaled(case):
    truths, detections, scores = case
    pixels = np.array([512, 256, 512, 256])  # powers of two: IoUs stay bit-equal
    scaled = [
        LabelledBoxes(keyframe=part.keyframe, column=part.column, boxes=part.boxes * pixels)
        for part in (truths, detections)
    ]
    assert same(ap(truths, detections, scores), ap(*scaled, scores))


@given(cases())
def test_keyframe_codes_are_only_names(case):
    truths, detections, scores = case
    renamed = [
        LabelledBoxes(keyframe=1000 - 7 * part.keyframe, column=part.column, boxes=part.boxes)
        for part in (truths, detections)
    ]
    assert same(ap(truths, detections, scores), ap(*renamed, scores))


@given(cases())
def test_the_truth_itself_is_perfect(case):
    truths = case[0]
    known = np.bincount(truths.column, minlength=NUM_CLASSES) > 0
    assert (ap(truths, truths, np.linspace(1, 0.1, len(truths)))[known] == 1).all()


@given(cases())
def test_a_worse_last_detection_costs_nothing_and_a_wrong_first_one_does_not_help(case):
    truths, detections, scores = case
    stray = LabelledBoxes(keyframe=np.array([99]), column=np.array([0]), boxes=np.array([[0.0, 0, 1, 1]]))
    more = LabelledBoxes(
        keyframe=np.concatenate([detections.keyframe, stray.keyframe]),
        column=np.concatenate([detections.column, stray.column]),
        boxes=np.concatenate([detections.boxes, stray.boxes]),
    )
    before = ap(truths, detections, scores)
    assert same(before, ap(truths, more, np.append(scores, -1)))
    first = ap(truths, more, np.append(scores, 99))
    assert (np.nan_to_num(first) <= np.nan_to_num(before) + 1e-12).all()


@given(cases())
def test_matches_split_by_keyframe(case):
    """Whether a detection is right depends on its own keyframe only."""
    truths, detections, scores = case
    whole = frame_ap(truths, detections, scores, num_classes=NUM_CLASSES)
    for code in np.unique(detections.keyframe).tolist():
        mine, theirs = detections.keyframe == code, truths.keyframe == code
        part = frame_ap(truths.take(theirs), detections.take(mine), scores[mine], num_classes=NUM_CLASSES)
        assert part.right.tolist() == whole.right[mine].tolist()
        assert part.overlap.tolist() == whole.overlap[mine].tolist()


@given(cases())
def test_arguments_are_left_alone(case):
    truths, detections, scores = case
    copies = [x.copy() for x in (truths.boxes, detections.boxes, detections.keyframe, scores)]
    ap(truths, detections, scores)
    now = (truths.boxes, detections.boxes, detections.keyframe, scores)
    assert all(np.array_equal(a, b) for a, b in zip(copies, now, strict=True))
