"""Frame-mAP where every frame is a keyframe: rules by hand, files, and what is wrong with them."""

import csv
import pickle
from pathlib import Path

import numpy as np
import pytest

from relact.errors import InputError
from relact.labels import Label, LabelMap
from relact.metrics.ap_rules import class_aps, greedy, match, trapezoid
from relact.metrics.frame_rows import read_detections, read_truth
from relact.metrics.frames import JHMDB, evaluate_frames, label_map

LABELS = LabelMap([Label(id=1, name="run"), Label(id=2, name="sit, quietly", group="pose"), Label(id=7, name="wave")])
HEADER = "video,frame,x1,y1,x2,y2,action,"


@pytest.fixture
def files(tmp_path: Path):
    def write(predictions: str, truth: str, header: str = HEADER) -> tuple[Path, Path]:
        (tmp_path / "p.csv").write_text(f"{header}score\n{predictions}")
        (tmp_path / "t.csv").write_text(f"{HEADER}person\n{truth}")
        return tmp_path / "p.csv", tmp_path / "t.csv"

    return write


# --- rules


@pytest.mark.parametrize(
    ("right", "num_truths", "area"),
    [
        ([], 2, 0.0),
        ([True], 1, 1.0),  # from (0, 1) to (1, 1)
        ([False, True], 1, (0 + 1 / 2) / 2),
        ([True, False, True], 2, (1 + (1 / 2 + 2 / 3) / 2) / 2),
        ([True, True], 4, 1 / 2),
    ],
)
def test_trapezoid(right, num_truths, area):
    assert trapezoid(np.array(right, np.bool_), num_truths) == pytest.approx(area)


def test_areas_of_nothing_are_undefined():
    for area in ("trapezoid", "envelope"):
        aps = class_aps(np.array([True]), np.array([0]), np.ones(1), np.array([1, 0]), area)
        assert aps[0] == 1
        assert np.isnan(aps[1])


def test_greedy_takes_pairs_in_order_whose_partners_are_free():
    first, second = np.array([0, 1, 1, 2, 0]), np.array([0, 0, 1, 1, 2])
    assert greedy(first, second).tolist() == [True, False, True, False, False]
    assert greedy(first[:0], second[:0]).tolist() == []


def test_a_truth_that_is_taken_is_gone_and_the_next_best_is_chosen():
    """Both detections overlap truth 0 most; the second reaches truth 1 as well."""
    pairs = np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([0.9, 0.8, 0.6])
    scores = np.array([0.9, 0.5])
    assert match(*pairs, scores, "next best").tolist() == [0, 1]
    assert match(*pairs, scores, "best only").tolist() == [0, -1]
    assert match(*pairs, scores[::-1], "next best").tolist() == [-1, 0]


def test_rules_differ_in_a_scene_by_hand(files):
    """Two truths side by side; the second detection overlaps the taken one by 2/3 and the free one by 1/2."""
    predictions, truth = files(
        "v,0,0,0,29,9,run,0.9\nv,0,6,0,35,9,run,0.8\nv,1,0,0,29,9,run,0.7\n",
        "v,0,0,0,29,9,run,1\nv,0,16,0,45,9,run,2\n",
    )
    aps = {
        rules: evaluate_frames(predictions, truth, LABELS, rules=rules).mAP
        for rules in ("act", "3d-retinanet", "road", "multisports", "yowo")
    }
    assert aps["act"] == 1.0  # IoU 20 / 40 with the last pixel, 19 / 39 without
    assert aps["3d-retinanet"] == aps["road"] == aps["multisports"] == aps["yowo"] == 0.5
    assert evaluate_frames(predictions, truth, LABELS, rules="yowo").ignored["frame not annotated"] == 1


def test_frames_without_truth_count_against_the_model_but_for_yowo(files):
    predictions, truth = files("v,5,0,0,9,9,run,0.9\nv,0,0,0,9,9,run,0.8\n", "v,0,0,0,9,9,run,1\n")
    assert evaluate_frames(predictions, truth, LABELS).mAP == pytest.approx(0.25)
    assert evaluate_frames(predictions, truth, LABELS, rules="road").mAP == pytest.approx(0.5)
    assert evaluate_frames(predictions, truth, LABELS, rules="yowo").mAP == 1


# --- reports


def test_the_report_says_what_counted_and_under_which_protocol(files):
    predictions, truth = files(
        'v.avi,0,0,0,9,9,"sit, quietly",0.9\nw,0,0,0,9,9,run,0.8\nv.avi,0,0,0,9,9,5,0.8\n',
        'Class/v,0,0,0,9,9,"sit, quietly",1\nClass/x,0,0,0,9,9,run,1\n',
    )
    report = evaluate_frames(predictions, truth, LABELS, box_source="YOWO's")
    assert report.ap_by_class == {1: 0.0, 2: 1.0, 7: None}
    assert report.ap_by_group == {"action": 0.0, "pose": 1.0}
    assert report.ignored == {"video not judged": 1, "action not evaluated": 1}
    assert report.counts == {
        "videos": 2, "annotated_frames": 2, "groundtruth_boxes": 2, "rows_read": 3, "rows_used": 1,
    }  # fmt: skip
    assert report.warnings == ("1 of 2 judged videos have no predictions: Class/x …",)
    content = report.to_dict()
    assert content["protocol"]["box_source"] == "YOWO's"
    assert content["protocol"]["rules"] == "act"
    assert content["protocol"]["classes"] == 3
    assert content["classes"][1] == {
        "id": 2, "name": "sit, quietly", "group": "pose", "ap": 1.0, "truths": 1, "predictions": 1,
    }  # fmt: skip
    assert "explanation" not in content


def test_fractions_are_scaled_to_the_labels_picture(files):
    predictions, truth = files("v,0,0.5,0.5,1,1,run,0.9\n", "v,0,160,120,320,240,run,1\n")
    assert evaluate_frames(predictions, truth, LABELS).mAP == 1
    assert evaluate_frames(predictions, truth, LABELS).protocol["box_units"] == "unit"
    assert evaluate_frames(predictions, truth, LABELS, box_units="pixel").mAP == 0
    assert evaluate_frames(predictions, truth, LABELS, picture=(640, 480)).mAP == 0


def test_jhmdb_has_its_21_actions():
    labels = label_map("jhmdb")
    assert labels.names == JHMDB == tuple(sorted(JHMDB))
    assert labels.ids == tuple(range(1, 22))


# --- files


def test_own_tables_arrays_and_bare_csv_are_one(tmp_path: Path):
    """Frames count from 0 with a header, from 1 without one and in arrays; actions from 0 in arrays."""
    (tmp_path / "own.csv").write_text(
        "video,time_s,frame,person_id,x1_px,y1_px,x2_px,y2_px,x1,y1,x2,y2,box_score,action_id,action,score\n"
        "v,0.3,8,4,11,22,33,44,0.1,0.25,0.5,0.75,0.9,7,wave,0.5\n"
        "v,0.3,8,,11,22,33,44,0.1,0.25,0.5,0.75,0.9,1,run,0.25\n"
    )
    (tmp_path / "bare.csv").write_text("v,9,0.1,0.25,0.5,0.75,7,0.5\nv,9,0.1,0.25,0.5,0.75,1,0.25\n")
    boxes = [32.0, 60, 160, 180]
    np.save(tmp_path / "array.npy", np.array([[0, 9, 2, 0.5, *boxes], [0, 9, 0, 0.25, *boxes]]))
    (tmp_path / "array.pkl").write_bytes(pickle.dumps(np.load(tmp_path / "array.npy")))
    for name in ("own.csv", "bare.csv", "array.npy", "array.pkl"):
        rows = read_detections(tmp_path / name, LABELS, ["v"])
        assert rows.frame.tolist() == [8, 8], name
        assert rows.action.tolist() == [7, 1]
        assert rows.score.tolist() == [0.5, 0.25]
        np.testing.assert_allclose(rows.boxes, [boxes, boxes])
    assert read_detections(tmp_path / "own.csv", LABELS, ["v"]).track.tolist() == [4, -1]
    pixels = read_detections(tmp_path / "own.csv", LABELS, ["v"], units="pixel")
    assert pixels.boxes[0].tolist() == [11, 22, 33, 44]


def test_what_training_wrote_is_judged_as_it_is(tmp_path: Path):
    """groundtruth.csv and predictions.csv of a run: AVA's columns, fractions, frames from 1, an id or a score last."""
    (tmp_path / "groundtruth.csv").write_text("Class/v,0009,0.100,0.250,0.500,0.750,7,4\n")
    (tmp_path / "predictions.csv").write_text(
        "Class/v,0009,0.100,0.250,0.500,0.750,7,0.5\nClass/v,0009,0.100,0.250,0.500,0.750,1,0.25\n"
    )
    report = evaluate_frames(tmp_path / "predictions.csv", tmp_path / "groundtruth.csv", LABELS)
    assert report.mAP == 1
    assert report.protocol["box_units"] == "unit"
    rows, origin = read_truth(tmp_path / "groundtruth.csv", LABELS)
    assert (rows.frame.tolist(), rows.track.tolist(), origin) == ([8], [4], "all annotated videos")
    np.testing.assert_allclose(rows.boxes, [[32, 60, 160, 180]])
    (tmp_path / "predictions.csv").write_text("Class/v,0.5,0.100,0.250,0.500,0.750,7,0.5\n")
    with pytest.raises(InputError, match=r"predictions\.csv line 1: 0\.5; expected the number of a frame, from 1"):
        evaluate_frames(tmp_path / "predictions.csv", tmp_path / "groundtruth.csv", LABELS)


def test_the_judged_videos_come_from_the_pickle_a_list_or_the_list_beside_it(tmp_path: Path):
    tube = np.array([[1.0, 0, 0, 9, 9], [2, 0, 0, 9, 9]])
    content = {
        "labels": ["run"], "gttubes": {"A/v": {0: [tube]}, "A/w": {0: [tube]}}, "nframes": {"A/v": 2, "A/w": 2},
    }  # fmt: skip
    truth = tmp_path / "GT.pkl"
    truth.write_bytes(pickle.dumps(content | {"test_videos": [["A/w"], ["A/v"]]}))
    np.save(tmp_path / "p.npy", np.array([[0, 2, 0, 0.5, 0, 0, 9, 9]]))

    def judged(**options):
        report = evaluate_frames(tmp_path / "p.npy", truth, LABELS, **options)
        return report.counts["videos"], report.protocol["videos"], report.mAP

    assert judged() == (1, "test videos of split 1 in the annotation", 0.5)
    (tmp_path / "list.txt").write_text("A/w.avi 1\nA/v\nA/gone\n")
    assert judged(split=tmp_path / "list.txt") == (2, str(tmp_path / "list.txt"), 0.25)
    truth.write_bytes(pickle.dumps(content))
    assert judged() == (2, "all annotated videos", 0.25)
    (tmp_path / "testlist01.txt").write_text("A/v\n")
    assert judged() == (1, str(tmp_path / "testlist01.txt"), 0.5)
    (tmp_path / "list.txt").write_text("B/v\n")
    with pytest.raises(InputError, match=r"list\.txt: none of its 1 videos is in .*GT\.pkl"):
        judged(split=tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ("v,0,0,0,9,9,run\n", "p.csv line 2: 7 columns; expected 8 as the header says; is the file cut off"),
        ("v,0,0,0,9,9,run,1\nv,x,0,0,9,9,run,1\n", "p.csv line 3: frame is 'x'; expected a number"),
        ("v,1.5,0,0,9,9,run,1\n", "p.csv line 2: frame is 1.5; expected a frame's number, from 0"),
        ("v,,0,0,9,9,run,1\n", "p.csv line 2: frame is empty"),
        ("v,0,0,0,9,nan,run,1\n", "p.csv line 2: y2 is empty; expected a finite number"),
        ("v,0,9,0,5,9,run,1\n", "p.csv line 2: x2 is 5; expected no less than x1"),
        ("v,0,0,0,9,9,runs,1\n", "p.csv line 2: action 'runs' is not in the label map, such as 'run' (1)"),
        ("v,0,0,0,9,9,0,1\n", "p.csv line 2: action '0' is not in the label map"),
        ("v,0,0,0,9,9,run,inf\n", "p.csv line 2: score is inf; expected a finite number"),
    ],
)
def test_a_broken_line_is_named(files, predictions, message):
    with pytest.raises(InputError) as error:
        evaluate_frames(*files(predictions, "v,0,0,0,9,9,run,1\n"), LABELS)
    assert message in str(error.value)


def test_unusable_files_are_one_clear_error(files, tmp_path: Path):
    predictions, truth = files("v,0,0,0,9,9,run,1\n", "v,0,0,0,9,9,run,1\n")
    (tmp_path / "headless.csv").write_text("video,x1,y1,x2,y2,action,score\nv,0,0,1,1,run,1\n")
    np.save(tmp_path / "flat.npy", np.zeros(8))
    np.save(tmp_path / "late.npy", np.array([[3, 1, 0, 1, 0, 0, 9, 9.0]]))
    (tmp_path / "other.pkl").write_bytes(pickle.dumps({"a": 1}))
    for ours, theirs, message in (
        (tmp_path / "headless.csv", truth, "headless.csv line 1: no column frame"),
        (truth, truth, "t.csv line 1: no column score; predictions need one"),
        (tmp_path / "flat.npy", truth, "flat.npy: shape (8,); expected ACT's frame detections, [N, 8]"),
        (tmp_path / "late.npy", truth, "late.npy row 0: [3.0, 1.0"),
        (predictions, tmp_path / "other.pkl", "other.pkl: not an annotation; expected pyannot.pkl"),
        (tmp_path / "none.csv", truth, "none.csv: cannot be read (No such file"),
    ):
        with pytest.raises(InputError) as error:
            evaluate_frames(ours, theirs, LABELS)
        assert message in str(error.value)
    with pytest.raises(InputError, match="rules 'acts': for frames there are act, "):
        evaluate_frames(predictions, truth, LABELS, rules="acts")
    with pytest.raises(InputError, match="IoU threshold 0; expected one above 0"):
        evaluate_frames(predictions, truth, LABELS, iou_threshold=0)
    truth.write_text(truth.read_text().replace("run", "4"))
    with pytest.raises(InputError, match=r"t\.csv: no ground truth is of an action that counts.* 3 ids in 1 to 7"):
        evaluate_frames(predictions, truth, LABELS)


def test_a_long_file_is_read_in_parts_and_numbers_its_lines(tmp_path: Path):
    """More lines than are parsed at a time, blank ones among them."""
    path = tmp_path / "long.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerow(["video", "frame", "x1", "y1", "x2", "y2", "action", "score"])
        file.write("\n" + "".join(f"v{k % 3},{k},0,0,9,9,run,0.5\n" for k in range(70_000)))
    rows = read_detections(path, LABELS, ["v0", "v1", "v2"])
    assert len(rows) == 70_000
    assert rows.videos == ("v0", "v1", "v2")
    assert (rows.frame == np.arange(70_000)).all()
    assert (rows.video == np.arange(70_000) % 3).all()
    with path.open("a") as file:
        file.write("v0,1,0,0,9,9,run,high\n")
    with pytest.raises(InputError, match=r"long\.csv line 70003: score is 'high'"):
        read_detections(path, LABELS, ["v0"])
