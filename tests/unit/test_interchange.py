"""Results in the hands of others: supervision's Detections, FiftyOne's data sets."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from relact.cli import app
from relact.errors import InputError
from relact.interop.fiftyone_json import VideoActions, write_fiftyone
from relact.interop.supervision import from_supervision, people_of, to_supervision
from relact.labels import LabelMap
from relact.types import Detections, Keyframe

LABELS = LabelMap.load("ava60")


def found(people: int) -> Detections:
    random = np.random.default_rng(people)
    corner = random.uniform(0, 0.4, (people, 2))
    return Detections(
        key=Keyframe("street", 7),
        time=7.0,
        frame=210,
        pts=107520,
        width=1920,
        height=1080,
        boxes=np.concatenate([corner, corner + 0.5], axis=1).astype(np.float32),
        box_scores=random.uniform(0.5, 1, people).astype(np.float32),
        scores=random.uniform(0, 1, (people, len(LABELS))).astype(np.float32),
        person=np.arange(1, people + 1),
        track=np.arange(people) * 10,
    )


@pytest.fixture
def sv():
    return pytest.importorskip("supervision", reason='needs pip install "relact[supervision]"')


@pytest.mark.parametrize("people", [0, 1, 4])
def test_supervision_there_and_back(sv, people: int):
    first = found(people)
    there = to_supervision(first, LABELS)
    assert len(there) == people
    back = from_supervision(there)
    for name in ("key", "time", "frame", "pts", "width", "height"):
        assert getattr(back, name) == getattr(first, name)
    for name in ("box_scores", "scores", "person", "track"):
        np.testing.assert_array_equal(getattr(back, name), getattr(first, name))
    np.testing.assert_allclose(back.boxes, first.boxes, atol=1e-6)


def test_supervision_shows_the_strongest_action_in_pixels(sv):
    first = found(3)
    there = to_supervision(first, LABELS)
    best = first.scores.argmax(axis=1)
    assert there.class_id.tolist() == [LABELS[k].id for k in best]
    assert there.data["class_name"].tolist() == [LABELS[k].name for k in best]
    np.testing.assert_allclose(there.xyxy[:, 0], first.boxes[:, 0] * 1920, rtol=1e-6)
    np.testing.assert_allclose(there.xyxy[:, 3], first.boxes[:, 3] * 1080, rtol=1e-6)
    np.testing.assert_array_equal(there.confidence, first.scores.max(axis=1))


def test_what_supervision_filters_stays_filtered(sv):
    first = found(4)
    there = to_supervision(first, LABELS)
    back = from_supervision(there[there.tracker_id != 2])
    assert back.person.tolist() == [1, 3, 4]
    np.testing.assert_array_equal(back.scores, first.scores[[0, 2, 3]])


def test_people_of_any_detector(sv):
    theirs = sv.Detections(
        xyxy=np.array([[0, 0, 96, 54], [10, 10, 20, 20.0]]),
        confidence=np.array([0.9, 0.8]),
        class_id=np.array([0, 2]),
    )
    boxes, scores, track = people_of(theirs, 192, 108)
    np.testing.assert_allclose(boxes, [[0, 0, 0.5, 0.5]])
    assert (scores.tolist(), track.tolist()) == ([pytest.approx(0.9)], [-1])
    assert len(people_of(theirs, 192, 108, person_class=None)[0]) == 2
    with pytest.raises(InputError, match="expected what to_supervision gave"):
        from_supervision(theirs)
    with pytest.raises(InputError, match="a frame of 0 x 108 pixels"):
        people_of(theirs, 0, 108)


def test_a_label_map_of_another_model_is_refused(sv):
    with pytest.raises(InputError, match="80 actions for scores of 60"):
        to_supervision(found(2), LabelMap.load("ava"))


def test_without_supervision_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(InputError, match=r'pip install "relact\[supervision\]"'):
        to_supervision(found(1), LABELS)


def test_the_module_alone_does_not_import_the_package():
    code = "import sys, relact.interop.supervision; sys.exit('supervision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def video(path: Path, rows: int = 3) -> VideoActions:
    path.write_bytes(b"a video")
    return VideoActions(
        file=path,
        frame=np.array([30, 0, 30])[:rows],
        person=np.array([2, 1, 2])[:rows],
        boxes=np.array([[0.1, 0.2, 0.3, 0.4], [-0.1, 0, 0.5, 1.2], [0.1, 0.2, 0.3, 0.4]])[:rows],
        action=['say "hi", <b>', "stand", "walk"][:rows],
        score=np.array([0.5, 0.25, 0.75])[:rows],
    )


def test_fiftyone_finds_video_and_actions(tmp_path: Path):
    source = tmp_path / "a street.mp4"
    manifest = write_fiftyone(tmp_path / "out", [video(source), video(tmp_path / "empty.mp4", rows=0)])
    index = json.loads(manifest.read_text())
    assert index["type"] == "eta.core.datasets.LabeledVideoDataset"
    first, second = index["index"]
    assert (manifest.parent / first["data"]).read_bytes() == b"a video"
    assert json.loads((manifest.parent / second["labels"]).read_text()) == {"frames": {}}
    frames = json.loads((manifest.parent / first["labels"]).read_text())["frames"]
    assert list(frames) == ["1", "31"]  # FiftyOne counts from 1
    assert frames["1"]["objects"]["objects"][0]["bounding_box"] == {
        "top_left": {"x": 0.0, "y": 0.0}, "bottom_right": {"x": 0.5, "y": 1.0},
    }  # fmt: skip
    both = frames["31"]["objects"]["objects"]
    assert [(o["label"], o["index"], o["confidence"]) for o in both] == [('say "hi", <b>', 2, 0.5), ("walk", 2, 0.75)]


def test_fiftyone_again_and_with_names_that_meet(tmp_path: Path):
    first = video(tmp_path / "a.mp4")
    write_fiftyone(tmp_path / "out", [first])
    write_fiftyone(tmp_path / "out", [first])
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="several videos are named a"):
        write_fiftyone(tmp_path / "out", [first, video(tmp_path / "other" / "a.mp4")])
    (tmp_path / "taken" / "data" / "a.mp4").mkdir(parents=True)
    with pytest.raises(InputError, match="cannot link to"):
        write_fiftyone(tmp_path / "taken", [first])
    assert not (tmp_path / "taken" / "manifest.json").exists()


def test_fiftyone_from_a_result_folder(tmp_path: Path):
    from relact.run.fiftyone import export_fiftyone

    source = tmp_path / "street.mp4"
    source.write_bytes(b"a video")
    folder = tmp_path / "street"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"source": {"file": str(source)}}))
    header = "video,time_s,frame,pts,person_id,x1_px,y1_px,x2_px,y2_px,x1,y1,x2,y2,box_score,action_id,action,score"
    lines = [header, "street,1.0,30,0,4,0,0,10,10,0.1,0.2,0.3,0.4,0.9,12,stand,0.8",
             "street,1.0,30,0,4,0,0,10,10,0.1,0.2,0.3,0.4,0.9,14,walk,0.2"]  # fmt: skip
    (folder / "actions.csv").write_text("\n".join(lines) + "\n")
    manifest = export_fiftyone(tmp_path, tmp_path / "out", threshold=0.5)
    frames = json.loads((manifest.parent / "labels" / "street.json").read_text())["frames"]
    assert [o["label"] for o in frames["31"]["objects"]["objects"]] == ["stand"]
    commanded = CliRunner().invoke(app, ["data", "export", "fiftyone", str(tmp_path), "--out", str(tmp_path / "all")])
    assert commanded.exit_code == 0, commanded.output
    frames = json.loads((tmp_path / "all" / "labels" / "street.json").read_text())["frames"]
    assert [o["label"] for o in frames["31"]["objects"]["objects"]] == ["stand", "walk"], "FiftyOne filters by itself"
    source.unlink()
    with pytest.raises(InputError, match="its video is no longer at"):
        export_fiftyone(folder, tmp_path / "out")
    with pytest.raises(InputError, match="expected a folder that relact detect wrote"):
        export_fiftyone(tmp_path / "nothing", tmp_path / "out")
