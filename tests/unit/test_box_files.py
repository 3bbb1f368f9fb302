"""Box files of every format: read, checked, matched with a video and with its keyframes."""

import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from relact.errors import InputError
from relact.interop.box_files import BoxTable, read_boxes


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def rows_of(table: BoxTable, name: str = "a.mp4", width: int = 100, height: int = 50) -> list[list[float]]:
    return table.for_video(name, width, height).boxes.round(6).tolist()


# --- each format


def test_ava_ground_truth_is_one_row_a_person_with_its_actions(tmp_path: Path) -> None:
    path = write(
        tmp_path / "gt.csv",
        "a,0902,0.1,0.2,0.3,0.4,12,7\na,0902,0.1,0.2,0.3,0.4,79,7\na,0903,0.5,0.2,0.6,0.4,12,8\nb,0902,0,0,1,1,1,0\n",
    )
    table = read_boxes(path)
    assert (len(table), table.clock, table.units) == (3, "seconds", "unit")
    boxes = table.for_video("/videos/a.mp4", 640, 360)
    assert boxes.instants.tolist() == [902, 903]
    assert boxes.person_id.tolist() == [7, 8]
    assert boxes.score.tolist() == [1, 1]
    assert boxes.line.tolist() == [1, 3]
    assert list(zip(boxes.label_row.tolist(), boxes.label_id.tolist(), strict=True)) == [(0, 12), (0, 79), (1, 12)]
    assert table.for_video("b", 640, 360).label_row.tolist() == [0]


def test_ava_proposals_have_scores_and_no_ids(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "a,0902,0.1,0.2,0.3,0.4,,0.9\na,0902,0.5,0.2,0.6,0.4,,0.5\n")
    boxes = read_boxes(path).for_video("a.mkv", 640, 360)
    assert boxes.score.tolist() == [0.9, 0.5]
    assert boxes.person_id.tolist() == [-1, -1]
    assert len(boxes.label_id) == 0


def test_the_score_of_an_action_is_not_the_boxs(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "a,0902,0.1,0.2,0.3,0.4,1,0.9\na,0902,0.1,0.2,0.3,0.4,5,0.2\n")
    boxes = read_boxes(path).for_video("a", 640, 360)
    assert boxes.score.tolist() == [1]
    assert boxes.label_id.tolist() == [1, 5]


def test_a_keyframe_without_people_is_an_instant(tmp_path: Path) -> None:
    path = write(tmp_path / "k.csv", "a,1,0.1,0.2,0.3,0.4,1,1\na,2\na,3,0.1,0.2,0.3,0.4,1,1\n")
    boxes = read_boxes(path).for_video("a", 640, 360)
    assert boxes.instants.tolist() == [1, 2, 3]
    assert boxes.start.tolist() == [0, 1, 1, 2]
    assert [len(boxes.boxes[boxes.nearest(second)]) for second in (1, 2, 3)] == [1, 0, 1]


def test_mot_counts_frames_and_pixels_from_one(tmp_path: Path) -> None:
    path = write(tmp_path / "det.txt", "1,3,1,11,20,30,0.9,-1,-1,-1\n3,-1,51,1,50,50,-1,-1,-1,-1\n")
    table = read_boxes(path)
    assert (table.clock, table.units) == ("frames", "pixel")
    boxes = table.for_video("any.mp4", 100, 50)
    assert boxes.instants.tolist() == [0, 2]
    np.testing.assert_allclose(boxes.boxes, [[0, 0.2, 0.2, 0.8], [0.5, 0, 1, 1]])
    assert boxes.person_id.tolist() == [3, -1]
    assert boxes.score.tolist() == [0.9, 1]


def test_mot_ground_truth_leaves_out_what_is_not_judged_and_may_leave_the_picture(tmp_path: Path) -> None:
    path = write(tmp_path / "gt.txt", "1,1,-19,1,40,50,1,1,1\n1,2,1,1,5,5,0,8,1\n2,1,1,1,10,10,1,1,0.5\n")
    boxes = read_boxes(path).for_video("x", 100, 50)
    np.testing.assert_allclose(boxes.boxes, [[0, 0, 0.2, 1], [0, 0, 0.1, 0.2]])


def test_mot_by_blanks_and_gzipped(tmp_path: Path) -> None:
    path = tmp_path / "det.txt.gz"
    path.write_bytes(gzip.compress(b"1 -1 1 1 10 10 0.5\n"))
    assert rows_of(read_boxes(path)) == [[0, 0, 0.1, 0.2]]


def test_plain_csv_with_a_header_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path / "b.csv", "score,x1,y1,x2,y2,time_s,person_id\n0.5,0,0,0.5,1,1.25,4\n0.75,0,0,1,1,0.5,\n")
    boxes = read_boxes(path).for_video("a.mp4", 100, 50)
    assert boxes.instants.tolist() == [0.5, 1.25]
    assert boxes.person_id.tolist() == [-1, 4]
    assert boxes.score.tolist() == [0.75, 0.5]
    pixels = write(tmp_path / "p.csv", "frame,x1,y1,x2,y2\n7,0,0,50,25\n")
    table = read_boxes(pixels, units="pixel")
    assert table.clock == "frames"
    assert rows_of(table) == [[0, 0, 0.5, 0.5]]


def test_our_own_actions_csv_comes_back_as_people(tmp_path: Path) -> None:
    head = "video,time_s,frame,pts,person_id,x1_px,y1_px,x2_px,y2_px,x1,y1,x2,y2,box_score,action_id,action,score\n"
    person = "a,1.0,30,512,{},10,5,50,25,0.1,0.1,0.5,0.5,0.8,{},x,0.3\n"
    path = write(tmp_path / "actions.csv", head + person.format(1, 12) + person.format(1, 17) + person.format(2, 12))
    boxes = read_boxes(path).for_video("a.mp4", 100, 50)
    assert boxes.person_id.tolist() == [1, 2]
    assert boxes.score.tolist() == [0.8, 0.8]
    assert boxes.label_id.tolist() == [12, 17, 12]
    assert rows_of(read_boxes(path, units="pixel")) == rows_of(read_boxes(path))


@pytest.mark.parametrize(
    "content",
    [
        [
            {"time_s": 1.5, "box": [10, 5, 50, 25], "score": 0.5, "person_id": 3, "units": "pixel"},
            {"time_s": 2, "boxes": []},
        ],
        {"units": "pixel", "boxes": [{"time_s": 1.5, "boxes": [[10, 5, 50, 25]], "scores": [0.5], "person_ids": [3]}]},
    ],
)
def test_json_single_and_grouped(tmp_path: Path, content: object) -> None:
    table = read_boxes(write(tmp_path / "b.json", json.dumps(content)))
    boxes = table.for_video("a.mp4", 100, 50)
    assert boxes.boxes.tolist() == [[0.1, 0.1, 0.5, 0.5]]
    assert boxes.instants[0] == 1.5
    assert boxes.person_id.tolist() == [3]


def test_json_of_coco(tmp_path: Path) -> None:
    content = {
        "videos": [{"id": 4, "name": "a"}],
        "images": [
            {"id": 1, "video_id": 4, "frame": 0, "width": 100, "height": 50},
            {"id": 2, "video_id": 4, "frame": 5, "width": 200, "height": 100},
            {"id": 3, "video_id": 4, "frame": 9, "width": 200, "height": 100},
        ],
        "annotations": [
            {"image_id": 1, "bbox": [10, 5, 40, 20], "track_id": 2},
            {"image_id": 2, "bbox": [20, 10, 80, 40], "score": 0.5},
        ],
    }
    boxes = read_boxes(write(tmp_path / "c.json", json.dumps(content))).for_video("a.mp4", 100, 50)
    np.testing.assert_allclose(boxes.boxes, [[0.1, 0.1, 0.5, 0.5]] * 2)
    assert boxes.instants.tolist() == [0, 5, 9]
    assert boxes.person_id.tolist() == [2, -1]


def test_proposal_pickles(tmp_path: Path) -> None:
    path = tmp_path / "p.pkl"
    path.write_bytes(pickle.dumps({"a,0902": np.asarray([[0.1, 0.2, 0.3, 0.4, 0.9]]), "a,0903": np.zeros((0, 5))}))
    boxes = read_boxes(path).for_video("a.mp4", 100, 50)
    assert boxes.instants.tolist() == [902, 903]
    assert boxes.score.tolist() == [0.9]
    entry = {"video": "a", "time": "0902", "labels": [{"bounding_box": [0.1, 0.2, 0.3, 0.4], "label": [1, 0]}]}
    path.write_bytes(pickle.dumps(([entry], [{"id": 11}, {"id": 12}])))
    boxes = read_boxes(path).for_video("a.mp4", 100, 50)
    assert len(boxes) == 1
    assert boxes.label_id.tolist() == [11, 12]


# --- what is wrong is named with its place


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "a,1,0.1,0.2,0.3,0.4,,0.9\na,1,0.1,0.2,413,0.4,,0.9\n", r"a.csv line 2: x2=413 > 1. Pixel boxes\?"),
        ("a.csv", "a,1,0.1,0.2,nan,0.4,,0.9\n", r"a.csv line 1: .*not a"),
        ("a.csv", "a,1,0.5,0.2,0.3,0.4,,0.9\n", r"a.csv line 1: x2=0.3 < x1=0.5"),
        ("a.csv", "a,1,0.1,0.2,0.3,0.4,,0.9\na,1,0.1,0.", r"a.csv line 2: "),
        ("b.csv", "time_s,x1,y1,x2,y2\n1,0.5,0,0.3,1\n", r"b.csv line 2: .*x2 < x1"),
        ("b.csv", "time_s,x1,y1,x2,y2\n1,0,0,nan,1\n", r"b.csv line 2: .*not four finite numbers"),
        ("b.csv", "time_s,x1,y1,x2,y2\n1,0,0,,1\n", r"b.csv line 2: .*not four finite numbers"),
        ("b.csv", "time_s,x1,y1,x2,y2\n1,0,0,1,1\n\n1,0,0\n", r"b.csv line 4: 3 columns; expected 5.*cut off"),
        ("b.csv", "time_s,x1,y1,x2,y2\n1,0,0,one,1\n", r"b.csv line 2: x2 is 'one'; expected a number"),
        ("b.csv", "time_s,x1,y1,x2,y2\n1,0,0,80,70\n", r"b.csv line 2: .*--box-units pixel"),
        ("b.csv", "x1,y1,x2,y2\n0,0,1,1\n", r"b.csv line 1: header .*expected time_s or frame"),
        ("b.csv", "time_s,x1,y1,x2\n0,0,1,1\n", r"b.csv line 1: header .*expected x1,y1,x2,y2"),
        ("b.csv", "frame,x1,y1,x2,y2\n1.5,0,0,1,1\n", r"b.csv line 2: frame 1.5"),
        ("b.csv", "time_s,x1,y1,x2,y2,action_id\n1,0,0,1,1,0\n", r"b.csv line 2: action 0; ids start at 1"),
        ("m.txt", "1,1,1,1,10,10,1\n2,1,1,1,10,10,1\n3,1,1,1,1", r"m.txt line 3: 5 columns; expected 7.*cut off"),
        ("m.txt", "1,1,1,1,10,10,1\n2,1,1,x,10,10,1\n", r"m.txt line 2: 'x' is not a number"),
        ("m.txt", "0,1,1,1,10,10,1\n", r"m.txt line 1: frame -1 \(counted from 0\)"),
        ("m.txt", "1,1,1,1,-10,10,1\n", r"m.txt line 1: .*x2 < x1"),
        ("j.json", '[{"time_s": 1, "box": [0, 0, 1]}]', r"j.json entry 1: a box of 3 numbers"),
        (
            "j.json",
            '[{"time_s": 1, "box": [0, 0, 1, 1]},\n{"box": [0, 0, 1, 1]}]',
            r"j.json entry 2: no number 'time_s'",
        ),
        ("j.json", '[{"time_s": 1,\n', r"j.json line 2: broken JSON"),
        ("j.json", '{"a": 1}', r"j.json: expected a list"),
        ("j.json", '[{"time_s": 1, "boxes": [[0, 0, 1, 1]], "scores": []}]', r"j.json entry 1: "),
        ("x.dat", "hello", r"x.dat: cannot tell the format"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_boxes(write(tmp_path / name, text))
    assert "\n" not in str(caught.value)


def test_bad_pickles_missing_files_and_choices(tmp_path: Path) -> None:
    path = tmp_path / "p.pkl"
    for content, message in (
        ({"a,0902": np.zeros((2, 3))}, r"p.pkl entry 1 \('a,0902'\): expected proposals"),
        ({"a": np.zeros((1, 5))}, "entry 1"),
        ({"a,x": np.zeros((1, 5))}, "time 'x'"),
        ({"a,1": np.asarray([[0, 0, np.nan, 1, 1]])}, r"entry 1 \('a,1'\) row 1: .*finite"),
        ({"a,1": np.zeros((2, 4))}, r"entry 1 \('a,1'\): .*got shape \[2, 4\]; the fifth column is the score"),
        ({"a,1": [[0, 0, 1, 1, 1], [0, 0]]}, r"entry 1 \('a,1'\): .*got no numbers"),
        (
            {"a,1": [], "a,2": np.asarray([[0, 0, 1, 1, 1], [0, 0, 1, 1, 7]])},
            r"entry 2 \('a,2'\) row 2: .*7",
        ),
        ({"a,1": np.asarray([[0, 0, 1, 1, np.nan]])}, r"entry 1 \('a,1'\) row 1: .*score nan; .*from 0 to 1"),
        ({"a,1": np.asarray([[0, 0, 1.2, 1, 1]])}, r"entry 1 \('a,1'\) row 1: .*outside.*--box-units pixel"),
        ({"a,1": np.asarray([[0.5, 0, 0.2, 1, 1]])}, r"entry 1 \('a,1'\) row 1: .*x2 < x1"),
        (
            ([{"video": "a", "time": "1", "labels": [{"bounding_box": [0, 0, 1, 1], "label": [-1]}]}], [{"id": 3}]),
            "entry 1: .*a label below 0",
        ),
        (3, "expected proposals"),
        ([{"video": "a"}], "entry 1: expected proposals"),
    ):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(InputError, match=message):
            read_boxes(path)
    with pytest.raises(InputError, match="no such file"):
        read_boxes(tmp_path / "none.csv")
    with pytest.raises(InputError, match="box format 'yolo'; expected one of ava"):
        read_boxes(path, format="yolo")
    with pytest.raises(InputError, match="box units 'px'"):
        read_boxes(path, units="px")


# --- the video that a file is of


def table_of(tmp_path: Path, *videos: str) -> BoxTable:
    lines = "".join(f"{video},{k},0.1,0.2,0.3,0.4,,0.9\n" for k, video in enumerate(videos))
    return read_boxes(write(tmp_path / "v.csv", lines))


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        ("a", "a"),
        ("a", "/x/y/a.mp4"),
        ("a.avi", "a.mp4"),
        ("Class/v_a_g01_c01", "v_a_g01_c01.avi"),
        ("Class/v_a_g01_c01", "/data/Class/v_a_g01_c01.avi"),
        ("Class/a.mp4", "a"),
        ("1.5x", "1.5x.mp4"),
    ],
)
def test_names_match_without_folder_and_suffix(tmp_path: Path, known: str, asked: str) -> None:
    assert len(table_of(tmp_path, known, "other").for_video(asked, 10, 10)) == 1


def test_folders_tell_equal_names_apart(tmp_path: Path) -> None:
    table = table_of(tmp_path, "x/a", "y/a")
    assert table.for_video("/videos/y/a.mp4", 10, 10).instants.tolist() == [1]
    with pytest.raises(InputError, match=r"may be any of 'x/a', 'y/a'"):
        table.for_video("a.mp4", 10, 10)


def test_a_file_of_another_video_names_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"v.csv: has no boxes of 'kitchem.mp4'; it has 2 videos: 'street', 'kitchen'; nearest"
    ):
        table_of(tmp_path, "street", "kitchen").for_video("kitchem.mp4", 10, 10)
    with pytest.raises(InputError, match="names no video at all"):
        read_boxes(write(tmp_path / "e.csv", "")).for_video("a", 10, 10)


def test_slightly_outside_is_cut_and_far_outside_is_an_error(tmp_path: Path) -> None:
    near = write(tmp_path / "n.csv", "frame,x1,y1,x2,y2\n0,-2,0,102.5,50\n")
    assert rows_of(read_boxes(near, units="pixel")) == [[0, 0, 1, 1]]
    far = write(tmp_path / "f.csv", "frame,x1,y1,x2,y2\n0,0,0,10,10\n1,0,0,150,50\n")
    with pytest.raises(
        InputError, match=r"f.csv line 3: box \(0, 0, 150, 50\) lies outside the picture, which is 100 x 50 pixels"
    ):
        rows_of(read_boxes(far, units="pixel"))
    unit = write(tmp_path / "u.csv", "time_s,x1,y1,x2,y2\n0,0,0,1.5,1\n")
    with pytest.raises(InputError, match=r"u.csv line 2: .*outside.*--box-units pixel"):
        rows_of(read_boxes(unit))
    mot = write(tmp_path / "m.txt", "1,1,200,1,10,10,1,-1,-1,-1\n")
    with pytest.raises(InputError, match=r"m.txt line 1: .*outside"):
        rows_of(read_boxes(mot))


# --- keyframes


def spans(found: list[slice]) -> list[tuple[int, int]]:
    return [(rows.start, rows.stop) for rows in found]


def test_keyframes_take_the_nearest_second_within_half_a_period(tmp_path: Path) -> None:
    lines = "".join(f"{t},0,0,1,1\n" for t in (1, 2, 2, 4))
    boxes = read_boxes(write(tmp_path / "b.csv", "time_s,x1,y1,x2,y2\n" + lines)).for_video("a", 10, 10)
    assert len(boxes) == 3  # the same box twice is one person
    assert boxes.tolerance() == 0.5
    found = spans([boxes.nearest(second) for second in (0.4, 0.5, 1.4, 1.5, 1.6, 3.0, 4.4, 9.0)])
    assert found == [(0, 0), (0, 1), (0, 1), (0, 1), (1, 2), (0, 0), (2, 3), (0, 0)]
    assert spans([boxes.nearest(1.6, 0.1)]) == [(0, 0)]
    assert boxes.nearest(2.2) == slice(1, 2)


def test_frames_match_exactly_and_must_be_in_the_video(tmp_path: Path) -> None:
    lines = "frame,x1,y1,x2,y2\n0,0,0,1,1\n1,0,0,1,1\n2,0,0,1,1\n"
    boxes = read_boxes(write(tmp_path / "b.csv", lines)).for_video("a", 10, 10)
    assert spans([boxes.nearest(frame) for frame in (0, 2, 3)]) == [(0, 1), (2, 3), (0, 0)]
    boxes.check_frames(3)
    with pytest.raises(InputError, match=r"b.csv line 4: frame 2 \(counted from 0\), but the video has 2 frames"):
        boxes.check_frames(2)


def test_frames_with_a_step_reach_half_of_it(tmp_path: Path) -> None:
    lines = "".join(f"{f},0,0,1,1\n" for f in (0, 6, 12))
    boxes = read_boxes(write(tmp_path / "b.csv", "frame,x1,y1,x2,y2\n" + lines)).for_video("a", 10, 10)
    assert spans([boxes.nearest(f) for f in (2, 4, 9, 12, 15, 16)]) == [(0, 1), (1, 2), (1, 2), (2, 3), (2, 3), (0, 0)]


def test_a_file_without_boxes_matches_nothing(tmp_path: Path) -> None:
    boxes = read_boxes(write(tmp_path / "m.txt", "\n"), format="mot").for_video("a", 10, 10)
    assert spans([boxes.nearest(0), boxes.nearest(1)]) == [(0, 0), (0, 0)]


# --- the published files


def test_published_files(shared_data: Path) -> None:
    truth = read_boxes(shared_data / "ava/annotations/ava_val_v2.1_8videos.csv")
    assert (len(truth), len(truth.videos), len(truth.label_id)) == (11691, 8, 27163)
    keyframes = {(v, t) for v, t in zip(truth.video.tolist(), truth.instant.tolist(), strict=True)}
    people = set(zip(truth.video.tolist(), truth.person_id.tolist(), strict=True))
    assert (len(keyframes), len(people)) == (6470, 3205)
    proposals = read_boxes(shared_data / "ava/proposals/ava_val_predicted_boxes_sample.csv")
    first = proposals.for_video("1j20qq1JyX4.mkv", 640, 360)
    np.testing.assert_allclose(
        first.boxes[first.nearest(902)], [[0.036, 0.098, 0.55, 0.979], [0.443, 0.04, 0.99, 0.989]]
    )
    assert first.score[0] == 0.995518
    pickled = read_boxes(shared_data / "samples_mmaction2/ava_dataset/ava_proposals_sample.pkl")
    np.testing.assert_allclose(pickled.for_video("0f39OWEqJ24", 640, 360).boxes[0], [0.011, 0.157, 0.655, 0.983])
