"""The kinds of errors in scenes made by hand, and what mending them gives."""

from pathlib import Path

import numpy as np
import pytest

from relact.labels import Label, LabelMap
from relact.metrics.ava import evaluate
from relact.metrics.errors import KINDS, ErrorReport, analyse
from relact.metrics.frame_map import LabelledBoxes, frame_ap

LABELS = LabelMap([Label(id=3, name="sit", group="pose"), Label(id=5, name="wave"), Label(id=9, name="eat")])
SIT, WAVE, EAT = range(3)
HERE, NEAR, FAR = [0.0, 0, 10, 10], [3.0, 0, 13, 10], [6.0, 0, 16, 10]  # IoU with HERE: 1, 0.54, 0.25
AWAY = [50.0, 50, 60, 60]


def rows(*entries: tuple[int, int, list[float]]) -> LabelledBoxes:
    return LabelledBoxes(
        keyframe=np.array([entry[0] for entry in entries], np.int64),
        column=np.array([entry[1] for entry in entries], np.int64),
        boxes=np.array([entry[2] for entry in entries], np.float64).reshape(-1, 4),
    )


def errors(truths: LabelledBoxes, found: LabelledBoxes, scores: list[float]) -> ErrorReport:
    result = frame_ap(truths, found, np.array(scores), num_classes=3)
    taken = np.where(result.right, result.best, -1)
    return analyse(truths, found, np.array(scores), taken, LABELS, area="envelope")


def only(report: ErrorReport) -> dict[str, int]:
    return {kind: count for kind, count in report.counts.items() if count}


@pytest.mark.parametrize(
    ("found", "kinds"),
    [
        ((0, SIT, HERE), {}),
        ((0, WAVE, NEAR), {"wrong action": 1}),
        ((0, SIT, FAR), {"location": 1}),
        ((0, WAVE, FAR), {"both": 1, "missed person": 1}),
        ((0, SIT, AWAY), {"background": 1, "missed person": 1}),
        ((1, SIT, HERE), {"background": 1, "missed person": 1}),
    ],
)
def test_one_prediction_and_one_label(found, kinds):
    report = errors(rows((0, SIT, HERE)), rows(found), [0.9])
    assert only(report) == kinds
    for kind in ("wrong action", "location", "missed person"):
        assert report.gain[kind] == (1.0 if kind in kinds else 0.0)


def test_a_second_box_is_a_duplicate():
    report = errors(
        rows((0, SIT, HERE), (1, SIT, HERE)), rows((0, SIT, HERE), (0, SIT, NEAR), (1, SIT, HERE)), [3, 2, 1]
    )
    assert only(report) == {"duplicate": 1}
    assert report.gain["duplicate"] == pytest.approx(1 - (1 + 2 / 3) / 2)


def test_a_person_who_is_seen_but_not_this_action():
    """Two actions of one person; one is found, the other nobody says."""
    report = errors(rows((0, SIT, HERE), (0, EAT, HERE)), rows((0, SIT, HERE)), [0.9])
    assert only(report) == {"missed action": 1}
    assert report.gain["missed action"] == 0.5  # eat: from 0 to 1, of two actions with labels
    assert report.counts_by_class[9]["missed action"] == 1
    assert report.gain_by_class[9]["missed action"] == 1
    assert 5 not in report.gain_by_class  # nobody waves


def test_a_wrong_action_stands_for_the_one_that_nobody_found():
    """The person sits (found) and eats; "wave" is taken for eat, and the second "wave" changes nothing."""
    truths = rows((0, SIT, HERE), (0, EAT, HERE))
    report = errors(truths, rows((0, SIT, HERE), (0, WAVE, HERE), (0, WAVE, NEAR)), [0.9, 0.8, 0.7])
    assert only(report) == {"wrong action": 2}
    assert report.gain["wrong action"] == 0.5
    assert report.confusions == ((5, 9, 2, pytest.approx(1.5)),)
    content = report.to_dict()
    assert content["confusions"] == [{"predicted": 5, "labelled": 9, "rows": 2, "score": pytest.approx(1.5)}]
    assert content["counts_by_class"]["5"]["wrong action"] == 2


def test_mending_the_background_gives_what_it_cost():
    truths = rows((0, SIT, HERE), (1, SIT, HERE))
    found = rows((0, SIT, AWAY), (0, SIT, HERE), (1, SIT, AWAY), (1, SIT, HERE))
    report = errors(truths, found, [0.9, 0.8, 0.7, 0.6])
    assert only(report) == {"background": 2}
    assert report.gain["background"] == pytest.approx(1 - 0.5)


def test_without_predictions_everybody_is_missed():
    report = errors(rows((0, SIT, HERE), (1, EAT, HERE)), rows(), [])
    assert only(report) == {"missed person": 2}
    assert report.gain["missed person"] == 1
    assert set(report.counts) == set(KINDS)


def test_every_row_is_one_kind_and_parts_do_not_matter(monkeypatch):
    """Right rows and errors add up; comparing few pairs at a time gives the same."""
    rng = np.random.default_rng(5)
    sides = []
    for count in (60, 200):
        low = rng.integers(0, 4, (count, 2)) * 5.0
        sides.append(
            LabelledBoxes(
                keyframe=rng.integers(0, 9, count), column=rng.integers(0, 3, count),
                boxes=np.concatenate([low, low + rng.integers(1, 4, (count, 2)) * 5], axis=1),
            )
        )  # fmt: skip
    truths, found = sides
    scores = rng.permutation(200) / 200
    report = errors(truths, found, scores.tolist())
    right = int(frame_ap(truths, found, scores, num_classes=3).right.sum())
    predicted = sum(report.counts[kind] for kind in KINDS if not kind.startswith("missed"))
    assert right + predicted == 200
    assert all(gain >= 0 for kind, gain in report.gain.items() if kind in ("duplicate", "background", "both"))
    for kind in KINDS:
        assert sum(counts[kind] for counts in report.counts_by_class.values()) == report.counts[kind]
    monkeypatch.setattr("relact.metrics.errors._PAIRS", 7)
    assert errors(truths, found, scores.tolist()) == report


def test_of_ava(shared_data: Path):
    """Published detections: boxes are nearly all there, and what is wrong are the actions."""
    folder = shared_data / "ava" / "preds"
    report = evaluate(folder / "amcrnet_1j20qq1JyX4.csv", folder / "gt_1j20qq1JyX4.csv", errors=True)
    assert report.errors is not None
    counts, gain = report.errors.counts, report.errors.gain
    wrong = sum(counts[kind] for kind in KINDS if not kind.startswith("missed"))
    assert max(gain, key=lambda kind: gain[kind]) == "wrong action"
    assert wrong < report.counts["rows_used"]
    assert report.to_dict()["errors"]["counts"] == counts
