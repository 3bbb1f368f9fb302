"""Numbers of the official AVA evaluator on real files, and its rules as slow loops on random ones."""

import json
from pathlib import Path

import ava_oracle
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from relact.interop.ava_csv import read_ava_csv
from relact.labels import Label, LabelMap
from relact.metrics.ava import evaluate
from relact.metrics.ava_cap import within_cap
from relact.metrics.ava_report import AvaReport

EDGES = (
    "e01_gt_2col_empty_keyframe_counts_fp",
    "e02_unknown_keyframe_ignored",
    "e04_double_detection",
    "e06_iou_exactly_half",
    "e07_iou_just_below_half",
    "e08_class_with_gt_but_no_detection_is_zero",
    "e09_class_without_gt_is_excluded",
    "e10_timestamp_formats",
    "e14_det_7_columns_score_1",
    "e16_interpolated_ap",
    "e17_greedy_is_by_score_not_iou",
    "e18_empty_detection_file",
)


def with_truth(report: AvaReport) -> dict[str, float]:
    return {str(identity): ap for identity, ap in report.ap_by_class.items() if ap is not None}


def expected(path: Path):
    return json.loads(path.read_text())


@pytest.mark.parametrize(("cap", "key"), [(50, "mAP"), (0, "mAP_uncapped")])
@pytest.mark.parametrize("name", EDGES)
def test_edge(shared_data, name, cap, key):
    folder = shared_data / "ava" / "edge"
    report = evaluate(folder / f"{name}.det.csv", folder / f"{name}.gt.csv", cap=cap)
    official = expected(folder / "expected.json")[name]
    assert report.mAP == pytest.approx(official[key], abs=1e-9)
    assert with_truth(report) == pytest.approx(official["ap"], abs=1e-9)


def test_every_edge_is_tried(shared_data):
    assert set(EDGES) == set(expected(shared_data / "ava" / "edge" / "expected.json"))


@pytest.mark.parametrize("labels", ["ava60", "ava", "ava_action_list_v2.2_for_activitynet_2019.pbtxt"])
def test_eight_videos(shared_data, labels):
    """117,003 rows without ties; 3,601 fall to the cap, so the number depends on it."""
    annotations = shared_data / "ava" / "annotations"
    report = evaluate(
        shared_data / "ava" / "synth8" / "det.csv.gz",
        annotations / "ava_val_v2.1_8videos.csv",
        annotations / labels if labels.endswith(".pbtxt") else labels,
        annotations / "ava_val_excluded_timestamps_v2.2.csv",
    )
    official = expected(shared_data / "ava" / "synth8" / "expected_official.json")
    aps = {identity: ap for identity, ap in official["ap_by_class"].items() if ap is not None}
    assert report.mAP == pytest.approx(official["mAP"], abs=1e-9)
    assert with_truth(report) == pytest.approx(aps, abs=1e-9)
    assert {str(k) for k, ap in report.ap_by_class.items() if ap is None} == {"13", "51", "60"}
    assert report.ignored["beyond the cap"] == 3601
    assert report.counts["rows_read"] == report.counts["rows_used"] + sum(report.ignored.values())


@pytest.mark.parametrize(("cap", "key"), [(50, "official_cap50"), (0, "uncapped")])
def test_published_detections_with_many_ties(shared_data, cap, key):
    folder = shared_data / "ava" / "preds"
    report = evaluate(folder / "amcrnet_1j20qq1JyX4.csv", folder / "gt_1j20qq1JyX4.csv", cap=cap)
    official = expected(folder / "expected_amcrnet_1j20qq1JyX4.json")[key]
    low, high = official["mAP_interval"]
    assert low <= report.mAP <= high
    assert report.mAP == pytest.approx(official["mAP_stable_file_order"], abs=1e-12)
    aps = with_truth(report)
    assert aps.keys() == official["ap_interval"].keys()
    for identity, (lowest, highest) in official["ap_interval"].items():
        assert lowest - 1e-12 <= aps[identity] <= highest + 1e-12


def test_own_label_map(shared_data):
    folder = shared_data / "samples_mmaction2"
    files = folder / "eval_detection"
    official = expected(folder / "expected.json")
    report = evaluate(files / "pred.csv", files / "gt.csv", files / "action_list.txt")
    assert report.mAP == pytest.approx(
        official["eval_detection official AVA evaluator with its own action_list.txt"], abs=1e-8
    )


# Random files with few keyframes, classes and coordinates, so that everything collides. Scores differ where
# the AP is compared (officially the order of ties is numpy's whim); the cap gets ties, where it is exact.

KEYFRAMES = ("v,0902", "v,903", "w,902.000000", "w,5.016949", "x,0902")
LISTED = (1, 2, 4)
LABELS = LabelMap(Label(id=k, name=f"action {k}") for k in LISTED)


def rows(rng: np.random.Generator, boxes: np.ndarray, last: list[float]) -> list[str]:
    """A line a box of quarters of the frame, each at some keyframe and of some action, listed or not."""
    keys, actions = rng.choice(KEYFRAMES, len(boxes)), rng.integers(1, 5, len(boxes))
    fields = [",".join(f"{x / 4}" for x in box) for box in boxes.tolist()]
    return [f"{k},{box},{a},{v}" for k, box, a, v in zip(keys, fields, actions, last, strict=True)]


def random_boxes(rng: np.random.Generator, count: int, least: int) -> np.ndarray:
    low = rng.integers(0, 4, (count, 2))
    return np.concatenate([low, np.minimum(low + rng.integers(least, 4, (count, 2)), 4)], axis=1)


@pytest.fixture
def files(tmp_path):
    def write(**content: list[str]) -> list[Path]:
        for name, lines in content.items():
            (tmp_path / f"{name}.csv").write_text("".join(f"{line}\n" for line in lines))
        return [tmp_path / f"{name}.csv" for name in content]

    return write


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(0, 150), st.sampled_from([0, 1, 4, 20]))
def test_the_rules_as_loops(files, seed, num_truths, num_detections, cap):
    rng = np.random.default_rng(seed)
    scores = rng.permutation(num_detections) / 100 - rng.choice([0, 0, 0, 10.005], num_detections)
    excluded = rng.choice(KEYFRAMES, rng.integers(0, 2)).tolist()
    predictions, groundtruth, exclude = files(
        predictions=rows(rng, random_boxes(rng, num_detections, 0), scores.tolist()),
        groundtruth=[
            *rows(rng, random_boxes(rng, num_truths, 1), rng.permutation(num_truths).tolist()),
            *rng.choice(KEYFRAMES, rng.integers(0, 2)),
        ],
        exclude=excluded,
    )
    keys = {f"{key.split(',')[0]},{float(key.split(',')[1]):.6f}" for key in excluded}
    official = ava_oracle.evaluate(predictions, groundtruth, set(LISTED), keys, cap)
    assume(any(ap is not None for ap in official.values()))
    report = evaluate(predictions, groundtruth, LABELS, exclude, cap=cap)
    assert report.ap_by_class == pytest.approx(official, abs=1e-12)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.integers(0, 80), st.integers(1, 10))
def test_ties_at_the_cap_fall_as_on_the_heap(files, seed, count, cap):
    """Which rows stay, not only how many."""
    rng = np.random.default_rng(seed)
    (path,) = files(p=rows(rng, random_boxes(rng, count, 0), (rng.integers(0, 4, count) / 4).tolist()))
    official, _ = ava_oracle.read(path, {1, 2, 3, 4}, cap)

    table = read_ava_csv(path, "predictions")
    assert table.score is not None
    keyframe = table.video * 10_000 + table.microseconds // 1_000_000
    kept = within_cap(keyframe, table.action, table.boxes, table.score, cap)
    columns = np.column_stack([table.score, table.action, table.boxes[:, [1, 0, 3, 2]]])[kept]
    assert sorted(map(tuple, columns.tolist())) == sorted(row for found in official.values() for row in found)
