"""UCF101-24's annotation in its three forms, and its traps: bytes that wrap, pixels and frames from one."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from relact.errors import InputError
from relact.interop.box_files import read_boxes
from relact.interop.ucf24 import read_annotation, read_label_folder
from relact.interop.unpickle import restricted_load


def pyannot(tmp_path: Path, **changes: object) -> Path:
    tube = {
        "label": 17,
        "sf": 3,
        "ef": np.uint8(5),
        "boxes": np.asarray([[200, 53, 100, 61], [1, 1, 320 - 65, 240]], np.uint8),
    }
    path = tmp_path / "pyannot.pkl"
    path.write_bytes(
        pickle.dumps({"Skijet/v_Skijet_g10_c04": {"annotations": [tube | changes], "label": 17, "numf": np.uint8(255)}})
    )
    return path


def test_pyannot_bytes_do_not_wrap_and_count_from_one(tmp_path: Path) -> None:
    tubes = read_annotation(pyannot(tmp_path))
    assert tubes.boxes.tolist() == [[199, 52, 299, 113], [0, 0, 255, 240]]
    assert tubes.frame.tolist() == [3, 4]  # half open
    assert tubes.label.tolist() == [18, 18]
    assert tubes.tube.tolist() == [1, 1]
    assert tubes.num_frames.tolist() == [255]


def test_boxes_refer_to_320_by_240_whatever_the_file_is(tmp_path: Path) -> None:
    boxes = read_boxes(pyannot(tmp_path)).for_video("v_Skijet_g10_c04.mp4", 340, 256)
    np.testing.assert_allclose(boxes.boxes[0], [199 / 320, 52 / 240, 299 / 320, 113 / 240])
    assert boxes.clock == "frames"
    assert boxes.label_id.tolist() == [18, 18]


def test_gt_pickle_counts_frames_from_one(tmp_path: Path) -> None:
    tube = np.asarray([[9.0, 188, 101, 235, 179], [10, 188, 101, 235, 179]], np.float32)
    content = {
        "labels": ["Basketball"],
        "gttubes": {"Basketball/v_a": {0: [tube, tube[:1] + 1]}},
        "nframes": {"Basketball/v_a": 141},
    }
    path = tmp_path / "UCF101v2-GT.pkl"
    path.write_bytes(pickle.dumps(content))
    tubes = read_annotation(path)
    assert tubes.frame.tolist() == [8, 9, 9]
    assert tubes.boxes[0].tolist() == [188, 101, 235, 179]
    assert tubes.tube.tolist() == [1, 1, 2]
    assert tubes.label.tolist() == [1, 1, 1]
    assert tubes.num_frames.tolist() == [141]


def test_label_files(tmp_path: Path) -> None:
    folder = tmp_path / "labels" / "Basketball" / "v_a"
    folder.mkdir(parents=True)
    (folder / "00009.txt").write_text("1 188 101 235 179\n1 0 0 5 5\n")
    (folder / "00010.txt").write_text("")
    for root in (tmp_path / "labels", folder):
        tubes = read_label_folder(root)
        assert tubes.videos == ("Basketball/v_a",)
        assert tubes.frame.tolist() == [8, 8]
        assert tubes.boxes.tolist() == [[188, 101, 235, 179], [0, 0, 5, 5]]
        assert tubes.label.tolist() == [1, 1]
    assert read_boxes(tmp_path / "labels").person_id.tolist() == [-1, -1]
    (folder / "00011.txt").write_text("1 188 101 235\n")
    with pytest.raises(InputError, match=r"00011.txt line 1: '1 188 101 235'; expected 'class x1 y1 x2 y2'"):
        read_label_folder(folder)
    (folder / "00011.txt").rename(folder / "notes.txt")
    with pytest.raises(InputError, match=r"notes.txt: expected the frame's number"):
        read_label_folder(folder)
    with pytest.raises(InputError, match="no label files"):
        read_label_folder(tmp_path / "nowhere")


def test_broken_annotations_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"v_Skijet_g10_c04 tube 1 has 2 boxes for 6 frames; expected one box a frame"):
        read_annotation(pyannot(tmp_path, ef=9))
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"a": {"annotations": [{}]}}))
    with pytest.raises(InputError, match="broken annotation of UCF101-24"):
        read_annotation(path)
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(InputError, match="not an annotation of UCF101-24"):
        read_annotation(path)
    path.write_bytes(pickle.dumps({"a": {"annotations": [], "numf": 3}}))
    assert len(read_annotation(path)) == 0


def test_the_published_annotation_gives_the_published_boxes(shared_data: Path) -> None:
    table = read_boxes(shared_data / "ucf24/annotations/pyannot.pkl")
    assert (len(table.videos), len(table.label_id)) == (3194, 573862)
    expected = json.loads((shared_data / "ucf24/clips/decode_expected.json").read_text())
    for clip, facts in expected.items():
        boxes = table.for_video(clip, facts["width"], facts["height"])
        for frame, rows in facts["gt_boxes_normalised_by_0based_frame"].items():
            found = boxes.boxes[boxes.nearest(int(frame))]
            np.testing.assert_allclose(np.sort(found, axis=0), np.sort(np.reshape(rows, (-1, 4)), axis=0), atol=1e-6)


def test_the_three_forms_are_the_same_boxes(shared_data: Path) -> None:
    name = "Basketball/v_Basketball_g01_c01"
    forms = [
        read_boxes(shared_data / "ucf24/annotations/pyannot.pkl"),
        read_boxes(shared_data / "ucf24/frames/labels"),
    ]
    tubes, labels = (table.for_video(name, 320, 240) for table in forms)
    assert tubes.instants[:-1].tolist() == labels.instants.tolist()  # the label set omits the last frame of the tube
    np.testing.assert_allclose(tubes.boxes[:-1], labels.boxes)
    content = restricted_load(shared_data / "ucf24/moc_samples/gt_tubes.pkl")
    assert isinstance(content, dict)
    published = content[name][0][0]
    np.testing.assert_array_equal(published[:, 0] - 1, tubes.instants)
    np.testing.assert_allclose(published[:, 1:] / [320, 240, 320, 240], tubes.boxes)
