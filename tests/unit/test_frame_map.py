import numpy as np
import pytest

from relact.errors import InputError
from relact.labels import Label, LabelMap
from relact.metrics.ava import evaluate
from relact.metrics.ava_cap import within_cap
from relact.metrics.frame_map import LabelledBoxes, average_precision, frame_ap

LEFT, RIGHT, WIDE = [0.0, 0, 4, 10], [6.0, 0, 10, 10], [0.0, 0, 8, 10]
LABELS = LabelMap([Label(id=3, name="sit", group="pose"), Label(id=5, name="wave"), Label(id=9, name="eat")])


def rows(*entries):
    """Each (keyframe, column, box)."""
    return LabelledBoxes(
        keyframe=np.array([entry[0] for entry in entries], np.int64),
        column=np.array([entry[1] for entry in entries], np.int64),
        boxes=np.array([entry[2] for entry in entries], np.float64).reshape(-1, 4),
    )


@pytest.mark.parametrize(
    ("right", "num_truths", "ap"),
    [
        ([], 2, 0.0),
        ([True], 1, 1.0),
        ([False, True], 1, 0.5),
        ([True, False, True], 2, (1 + 2 / 3) / 2),
        ([True, False, False, True, False, True], 4, (1 + 0.5 + 0.5) / 4),
        ([False, True, True], 2, 2 / 3),
    ],
)
def test_average_precision(right, num_truths, ap):
    assert average_precision(np.array(right, np.bool_), num_truths) == pytest.approx(ap)


def test_average_precision_without_truth_is_undefined():
    assert np.isnan(average_precision(np.zeros(3, np.bool_), 0))


def test_no_second_choice():
    """Two detections overlap the left truth most; the second is wrong although the right truth is free."""
    truths = rows((0, 0, LEFT), (0, 0, RIGHT))
    result = frame_ap(truths, rows((0, 0, LEFT), (0, 0, WIDE)), np.array([0.9, 0.8]), num_classes=1)
    assert result.best.tolist() == [0, 0]
    assert result.overlap.tolist() == [1.0, 0.5]
    assert result.right.tolist() == [True, False]
    assert result.ap.tolist() == [0.5]


def test_score_decides_and_ties_go_by_row():
    truths = rows((7, 0, LEFT))
    boxes = rows((7, 0, WIDE), (7, 0, LEFT))
    for scores, right in (([0.1, 0.2], [False, True]), ([0.2, 0.1], [True, False]), ([1, 1], [True, False])):
        assert frame_ap(truths, boxes, np.array(scores), num_classes=1).right.tolist() == right


def test_keyframes_and_classes_are_apart():
    truths = rows((0, 1, LEFT), (1, 0, LEFT))
    found = rows((0, 0, LEFT), (1, 1, LEFT), (2, 0, LEFT), (1, 0, LEFT))
    result = frame_ap(truths, found, np.array([0.9, 0.8, 0.7, 0.6]), num_classes=3)
    assert result.best.tolist() == [-1, -1, -1, 1]
    assert result.ap[:2].tolist() == [1 / 3, 0.0]
    assert np.isnan(result.ap[2])
    assert result.mean == pytest.approx(1 / 6)
    assert (result.truths.tolist(), result.detections.tolist()) == ([1, 1, 0], [3, 1, 0])


def test_nothing_on_either_side():
    none = np.zeros(0)
    assert frame_ap(rows((0, 0, LEFT)), rows(), none, num_classes=2).mean == 0.0
    assert np.isnan(frame_ap(rows(), rows((0, 0, LEFT)), np.ones(1), num_classes=2).mean)
    assert np.isnan(frame_ap(rows(), rows(), none, num_classes=2).ap).all()


def test_within_cap_breaks_ties_by_the_least_row():
    """Cap 2: rows 0 and 1 fill the heap, row 2 is too late, row 3 pushes out the lower action id."""
    keyframe = np.array([0, 0, 0, 0, 1])
    action = np.array([4, 3, 9, 1, 1])
    kept = within_cap(keyframe, action, np.zeros((5, 4)), np.array([0.5, 0.5, 0.5, 0.9, 0.1]), 2)
    assert kept.tolist() == [True, False, False, True, True]
    assert within_cap(keyframe[:0], action[:0], np.zeros((0, 4)), np.zeros(0), 2).tolist() == []


# --- the AVA report: what is ignored, and what it says about a zero


@pytest.fixture
def judge(tmp_path):
    def run(predictions, groundtruth="v,0902,0,0,0.5,1,3,0\nv,0903,0,0,0.5,1,3,0\n", **options):
        for name, content in (("p.csv", predictions), ("g.csv", groundtruth), ("x.csv", "v,903\n")):
            (tmp_path / name).write_text(content)
        return evaluate(tmp_path / "p.csv", tmp_path / "g.csv", LABELS, tmp_path / "x.csv", **options)

    return run


def test_rows_are_ignored_for_a_reason(judge):
    report = judge(
        "v,0902,0,0,0.5,1,3,0.9\n"
        "v,0902,0,0,0.5,1,4,0.9\n"  # an id that is not in the map
        "v,0903,0,0,0.5,1,3,0.9\n"  # excluded
        "v,0904,0,0,0.5,1,3,0.9\n"  # not in the ground truth
        "v,0902,0,0,0,1,3,0.95\n"  # empty, yet it takes one of the three places
        "v,0902,0,0,1,1,3,0.1\n"  # beyond the cap
        "v,0902,0,0,0.5,1,5,0.2\n",
        cap=3,
    )
    assert report.mAP == 1.0
    assert report.ap_by_class == {3: 1.0, 5: None, 9: None}
    assert report.ap_by_group == {"pose": 1.0, "action": None}
    assert report.counts == {
        "keyframes": 1,
        "groundtruth_rows": 2,
        "groundtruth_boxes": 1,
        "rows_read": 7,
        "rows_used": 2,
    }
    assert report.ignored == {
        "action not evaluated": 1,
        "keyframe not in the ground truth": 1,
        "keyframe excluded": 1,
        "beyond the cap": 1,
        "empty box": 1,
        "score of -10 or less": 0,
    }
    assert '"mAP": 1.0' in report.to_json()
    assert report.to_dict()["ap_by_class"] == {"3": 1.0, "5": None, "9": None}


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ("", "p.csv: no predictions in it"),
        (
            "v.mp4,0902,0,0,0.5,1,3,0.9\n",
            'no prediction shares a (video, second) key with the labels: labels have "v", predictions "v.m',
        ),
        (
            "v,0,0,0,0.5,1,3,0.9\nv,1,0,0,0.5,1,3,0.9\n",
            'of "v" labels have 2 keyframes in 902 to 903 s, predictions 2 keyframes in 0 to 1 s',
        ),
        ("v,0902,0,0,0.5,1,80,0.9\n", "the label map has 3 ids in 3 to 9, predictions have 1 in 80 to 80"),
        ("v,0902,0,0,0.1,1,3,0.9\n", "overlaps a label of its action by 0.5 IoU; the best has 0.200."),
    ],
)
def test_a_zero_is_explained(judge, predictions, message):
    report = judge(predictions)
    assert report.mAP == 0
    assert len(report.warnings) == 1
    assert message in report.warnings[0]


def test_what_is_left_out_is_said(judge):
    truth = "v,0902,0,0,0.5,1,3,0\nw,0902,0,0,0.5,1,3,0\n"
    report = judge("v,0902,0,0,0.5,1,3,0.9\nv,0902,0,0,0.5,1,3,-11\n" + "v,7,0,0,1,1,3,1\n" * 3, truth)
    assert report.warnings == (
        "1 of 2 labelled videos have no predictions: w …",
        "3 of 5 prediction rows lie at keyframes that the labels do not list",
        "1 scores are -10 or less and do not count; write probabilities, not logits",
    )


def test_no_truth_and_a_bad_cap_are_errors(judge):
    with pytest.raises(InputError, match=r"g\.csv: no ground truth is of an action that counts.* 1 row"):
        judge("", "v,0902,0,0,0.5,1,80,0\n")
    with pytest.raises(InputError, match="it has no boxes"):
        judge("", "")
    with pytest.raises(InputError, match="cap -1: expected"):
        judge("", cap=-1)


def test_pixel_files(judge):
    predictions, truth = "v,0902,0,0,100,99,3,0.9\n", "v,0902,0,0,100,100,3,0\n"
    assert judge(predictions, truth, box_units="pixel").mAP == 1.0
    with pytest.raises(InputError, match="Pixel boxes"):
        judge(predictions, truth)
