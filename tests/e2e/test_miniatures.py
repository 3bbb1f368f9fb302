"""Each public data set as a miniature in its official layout: a training step, `relact test`, and its own metric."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from relact.data.ava_kinetics import AvaKineticsData
from relact.data.ava_official import AvaOfficialData
from relact.data.check import check
from relact.data.jhmdb import JHMDBData
from relact.data.proposals import BoxesConfig
from relact.data.transforms import TransformConfig
from relact.data.ucf24 import UCF24Data
from relact.errors import InputError
from relact.interop.ava_csv import read_ava_csv
from relact.labels import LabelMap
from relact.losses import LossConfig
from relact.recipe import Recipe, override, read
from relact.recipes import load
from relact.run import test as judge
from relact.run import train
from relact.train.evaluate import VIDEO_METRICS
from tests.make_datasets import make_ava, make_kinetics, make_tubes

UCF = list(LabelMap.load("ucf24").names)
BOXES = BoxesConfig(file="annotations/ava_val_predicted_boxes.csv", score=0.8)


def tried(data: object, kind: str = "bce") -> Recipe:
    """The smallest recipe on this data: one epoch, two views in tests."""
    small = override(load("debug"), {"train.epochs": "1", "train.batch_size": "2"})
    transform = TransformConfig(
        short_side=32, box_jitter=0.075, brightness=0.2, pca=0.1, frame_jitter=1, test_flip=True
    )
    return replace(small, data=data, transform=transform, loss=LossConfig(kind=kind))  # type: ignore[arg-type]


def run(recipe: Recipe, folder: Path) -> dict[str, object]:
    """Trains, tests again, and gives the result of the test, which is that of training."""
    first = train(recipe, folder, say=lambda text: None, quiet=True)
    again = judge(folder)
    assert read(folder / "recipe.json") == recipe
    assert again.mAP == pytest.approx(first.mAP)
    return again.to_dict()


@pytest.mark.parametrize("frames", [None, "image_%06d.jpg"])
def test_ava(tmp_path: Path, frames: str | None):
    """Detected boxes in tests: judged by the annotation, at its keyframes alone, by AVA's own metric."""
    make_ava(tmp_path / "ava", frames=frames)
    data = AvaOfficialData(
        root=str(tmp_path / "ava"), frames="frames" if frames else None, val_boxes=BOXES,
        train_boxes=BoxesConfig(file="annotations/ava_train_predicted_boxes.csv", score=0.8),
    )  # fmt: skip
    result = run(tried(data, "ava"), tmp_path / "run")
    protocol = result["protocol"]
    assert protocol["cap"] == 50
    assert protocol["box_source"] == "annotations/ava_val_predicted_boxes.csv, score >= 0.8"
    assert result["counts"]["groundtruth_boxes"] == 9
    found = read_ava_csv(tmp_path / "run" / "predictions.csv", "predictions")
    assert sorted(set(found.time)) == [902, 903, 904, 905]
    assert result["ignored"]["keyframe not in the ground truth"] == 2 * 60  # of 905, which nobody has annotated


def test_ava_kinetics(tmp_path: Path):
    make_kinetics(tmp_path / "kinetics")
    make_ava(tmp_path / "ava")
    data = AvaKineticsData(root=str(tmp_path / "kinetics"), ava=AvaOfficialData(root=str(tmp_path / "ava")))
    result = run(tried(data, "ava"), tmp_path / "run")
    assert result["counts"]["groundtruth_boxes"] == 9 + 2


def test_ucf24_is_judged_by_frames_and_tubes(tmp_path: Path):
    make_tubes(tmp_path / "ucf24", "annotations/UCF101v2-GT.pkl", UCF, 1)
    data = UCF24Data(
        root=str(tmp_path / "ucf24"), annotation="annotations/UCF101v2-GT.pkl", val_boxes="boxes.csv"
    )  # fmt: skip
    result = run(tried(data, "cross_entropy"), tmp_path / "run")
    assert (result["protocol"]["protocol"], result["protocol"]["rules"]) == ("frame-mAP", "act")
    assert result["counts"] == {
        "videos": 1, "annotated_frames": 18, "groundtruth_boxes": 18, "rows_read": 24 * 24, "rows_used": 24 * 24
    }  # fmt: skip
    tubes = json.loads((tmp_path / "run" / VIDEO_METRICS).read_text())
    assert set(tubes["video_mAP"]) == {"0.2", "0.5", "0.75", "0.5:0.95"}
    truth = read_ava_csv(tmp_path / "run" / "groundtruth.csv", "groundtruth")
    np.testing.assert_allclose(truth.boxes[0] * [320, 240, 320, 240], [40, 60, 160, 200], atol=1e-3)


@pytest.mark.parametrize("frames", [None, "%05d.png"])
def test_jhmdb_is_judged_by_frames_and_tubes(tmp_path: Path, frames: str | None):
    make_tubes(tmp_path / "jhmdb", "JHMDB-GT.pkl", ["brush_hair", "catch"], 3, frames=frames)
    data = JHMDBData(root=str(tmp_path / "jhmdb"), split=2, frames="frames" if frames else None)
    result = run(tried(data, "cross_entropy"), tmp_path / "run")
    assert result["protocol"]["rules"] == "act"
    assert result["counts"]["groundtruth_boxes"] == 18
    assert (tmp_path / "run" / VIDEO_METRICS).is_file()


def test_ones_own_labels(play: Path, tmp_path: Path):
    assert check(play).problems == 0
    recipe = override(
        load("own_small"), {"data.root": str(play), "transform.short_side": "32", "train.epochs": "1"}
    )  # fmt: skip
    result = run(recipe, tmp_path / "run")
    assert result["protocol"]["cap"] == 0


def test_a_paper_s_recipe_without_its_data_says_what_it_looked_for(tmp_path: Path):
    recipe = override(load("acar_r50"), {"data.root": str(tmp_path)})
    with pytest.raises(InputError) as caught:
        train(recipe, tmp_path / "run", say=lambda text: None)
    for name in (
        "ava_train_v2.2.csv",
        "ava_train_excluded_timestamps_v2.2.csv",
        "ava_train_predicted_boxes.csv",
        "videos",
    ):
        assert name in str(caught.value)
