"""`relact data check --recipe` on a miniature of each public data set in its layout: figures, faults, status."""

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from relact.labels import LabelMap
from tests.make_datasets import LEFT, make_ava, make_kinetics, make_tubes

UCF = list(LabelMap.load("ucf24").names)
NO_BOXES = ("data.train_boxes.file=null", "data.val_boxes.file=null")


def check(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "relact", "data", "check", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def found(root: Path, recipe: str, *settings: str, status: int = 0) -> tuple[dict[str, Any], dict[str, int]]:
    """The statistics of the splits, and how often each kind of finding came."""
    chosen = [word for setting in settings for word in ("--set", setting)]
    done = check(root, "--recipe", recipe, "--json", *chosen)
    assert done.returncode == status, done.stderr
    told = json.loads(done.stdout)
    return told["splits"], {finding["kind"]: finding["count"] for finding in told["findings"]}


def counts(statistics: dict[str, Any]) -> tuple[int, ...]:
    return tuple(statistics[name] for name in ("videos", "keyframes", "empty_keyframes", "people", "boxes"))


@pytest.mark.parametrize("frames", [None, "image_%06d.jpg"])
def test_ava(tmp_path: Path, frames: str | None):
    make_ava(tmp_path, frames=frames)
    boxes = NO_BOXES[:1], ("data.val_boxes.file=annotations/ava_val_predicted_boxes.csv",)
    where = ["data.frames=frames"] if frames else []
    splits, findings = found(tmp_path, "acar_r50", *where, *boxes[0], *boxes[1])
    assert counts(splits["train"]) == (1, 2, 0, 2, 4)  # 904 is excluded
    assert counts(splits["val"]) == (1, 3, 0, 2, 6)  # the annotated people, not the detector's; 905 has none of them
    assert splits["val"]["examples"]["sit"] == 3
    assert splits["train"]["seconds"] == pytest.approx(185 / 30, abs=1e-3)
    assert findings == {
        "classes without a training example": 57,
        "rows of seconds that AVA does not use": 2,
        "rows of excluded keyframes": 3,
    }


def test_ava_s_faults_are_all_told_with_their_lines(tmp_path: Path):
    make_ava(tmp_path)
    truth = tmp_path / "annotations" / "ava_train_v2.2.csv"
    with truth.open("a") as file:
        file.write("AAAAAAAAAAA,0902,0.1,0.1,1.5,0.9,12,3\nAAAAAAAAAAA,0903,0.4,0.1,0.2,0.9,12,3\n")
    splits, findings = found(tmp_path, "acar_r50", *NO_BOXES, status=1)
    assert counts(splits["train"]) == (1, 2, 0, 2, 4)  # what is left of it
    assert findings["boxes outside of the picture"] == findings["boxes the wrong way round"] == 1
    assert findings["splits that training or testing stops at"] == 1
    for video in (tmp_path / "videos").iterdir():
        video.unlink()
    done = check(tmp_path, "--recipe", "acar_r50", "--set", NO_BOXES[0], "--set", NO_BOXES[1])
    assert done.returncode == 2
    assert "ava_train_v2.2.csv line 11" in done.stderr


def test_ava_kinetics(tmp_path: Path):
    make_kinetics(tmp_path / "kinetics")
    make_ava(tmp_path / "ava")
    ava = (f"data.ava.root={tmp_path / 'ava'}", "data.ava.train_boxes.file=null", "data.ava.val_boxes.file=null")
    recipe = "ava_kinetics_slowfast_r101", *NO_BOXES, *ava
    splits, findings = found(tmp_path / "kinetics", *recipe)
    assert counts(splits["train"]) == (3, 4, 1, 2, 5)  # those of Kinetics have no ids
    assert counts(splits["val"]) == (2, 4, 0, 2, 7)
    with (tmp_path / "kinetics" / "annotations" / "kinetics_val_v1.0.csv").open("a") as file:
        file.write(f"FFFFFFFFFFF,3.5,{LEFT},12,1\n")
    _, findings = found(tmp_path / "kinetics", *recipe, "data.missing=skip")
    assert findings["videos that are missing, and left out"] == 1
    _, findings = found(tmp_path / "kinetics", *recipe, "data.missing=refuse", status=1)
    assert findings["splits that training or testing stops at"] == 1


def test_ucf24(tmp_path: Path):
    annotation = make_tubes(tmp_path, "annotations/UCF101v2-GT.pkl", UCF, 1) / "annotations" / "UCF101v2-GT.pkl"
    recipe = "ucf24_slowfast_r50", "data.annotation=annotations/UCF101v2-GT.pkl", "data.frame_step=1"
    splits, findings = found(tmp_path, *recipe)
    assert counts(splits["train"]) == (2, 36, 0, 2, 36)
    assert counts(splits["val"]) == (1, 18, 0, 1, 18)
    assert splits["val"]["sizes"] == {"96x64": 1}
    assert findings == {"classes without a training example": 22}
    content = pickle.loads(annotation.read_bytes())
    first, second, third = content["gttubes"]
    content["gttubes"][first][0][0][0, 3] = 600  # right of the picture
    content["gttubes"][second][1][0][1, 3:] = (40, 60)  # without area
    content["gttubes"][third][0][0][17, 0] = 25  # a frame after the last
    content["gttubes"][third][0][0][16, 0] = 100
    content["gttubes"]["Biking/v_Biking_g01_c01"] = {}
    annotation.write_bytes(pickle.dumps(content))
    _, findings = found(tmp_path, *recipe, status=1)
    assert findings["boxes outside of the picture"] == findings["boxes without area"] == 1
    assert findings["keyframes beyond the end of their video"] == 1
    assert findings["keyframes a little beyond the end (the last frame stands for them)"] == 1
    assert findings["videos that are missing, and left out"] == 1
    content["gttubes"][first][0][0][0, 1] = float("nan")
    annotation.write_bytes(pickle.dumps(content))
    splits, findings = found(tmp_path, *recipe, status=1)
    assert findings["broken tubes"] == 1
    assert findings["splits that training or testing stops at"] == 2
    assert counts(splits["train"]) == (1, 18, 0, 1, 18), "the broken tube takes its video along"


@pytest.mark.parametrize("frames", [None, "%05d.png"])
def test_jhmdb(tmp_path: Path, frames: str | None):
    make_tubes(tmp_path, "JHMDB-GT.pkl", ["brush_hair", "catch"], 3, frames=frames)
    where = ["data.frames=frames"] if frames else []
    splits, findings = found(tmp_path, "jhmdb_slowfast_r50", *where, "data.split=2")
    assert counts(splits["train"]) == (2, 12, 0, 2, 12)  # every third frame
    assert counts(splits["val"]) == (1, 6, 0, 1, 6)
    assert findings == {}
    broken = tmp_path / "frames" / "catch/v_catch_g01_c01/00002.png" if frames else next(tmp_path.rglob("*catch*.avi"))
    broken.unlink() if frames else broken.write_bytes(b"no video")
    done = check(tmp_path, "--recipe", "jhmdb_slowfast_r50", *(word for one in where for word in ("--set", one)))
    assert done.returncode == 1
    assert "videos that cannot be read (1)" in done.stdout
    assert done.stdout.startswith("train: 2 videos")


def test_one_s_own_labels_by_a_recipe(play: Path):
    splits, findings = found(play, "own_small")
    assert list(splits) == ["train and val"]
    assert not any(kind.startswith("splits") for kind in findings)


def test_without_the_data_the_files_looked_for_are_told(tmp_path: Path):
    done = check(tmp_path, "--recipe", "ucf24_slowfast_r50")
    assert done.returncode == 2
    assert "pyannot.pkl" in done.stderr
    for wrong in (["--page", "x.html", "--recipe", "debug"], [], [tmp_path, "--set", "data.root=x"]):
        done = check(*wrong)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
