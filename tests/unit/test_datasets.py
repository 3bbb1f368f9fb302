"""Data sets on real and generated files."""

from pathlib import Path

import numpy as np
import pytest

from relact.data.ava import AvaData
from relact.data.ucf24 import UCF24Data
from relact.errors import InputError
from relact.interop.ava_csv import read_ava_csv
from relact.types import Keyframe
from tests.make_stage import make_stage


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_stage(tmp_path_factory.mktemp("play"), videos=2)


def test_a_keyframe_has_all_its_people_and_their_actions(play: Path):
    data = AvaData(root=str(play))
    samples = data.samples("train")
    assert {sample.key for sample in samples} == {Keyframe(f"stage_3_000{v}", t) for v in (0, 1) for t in (1, 2)}
    table = read_ava_csv(play / "groundtruth.csv", "groundtruth")
    assert sum(int(sample.labels.sum()) for sample in samples) == len(table)
    assert all(len(sample.boxes) == 2 and sorted(sample.person) == [1, 2] for sample in samples)


def test_a_keyframe_without_people_and_an_excluded_one(play: Path, tmp_path: Path):
    truth = (play / "groundtruth.csv").read_text() + "stage_3_0000,0000\n"
    (tmp_path / "truth.csv").write_text(truth)
    (tmp_path / "excluded.csv").write_text("stage_3_0001,0001\n")
    data = AvaData(root=str(play), train=str(tmp_path / "truth.csv"), exclude=str(tmp_path / "excluded.csv"))
    samples = {sample.key: sample for sample in data.samples("train")}
    assert samples[Keyframe("stage_3_0000", 0)].boxes.shape == (0, 4)
    assert Keyframe("stage_3_0001", 1) not in samples


def test_ucf24_keyframes_are_frames_from_1_with_boxes_of_the_published_convention(shared_data: Path):
    data = UCF24Data(root=str(shared_data / "ucf24"), split="all")
    samples = {sample.key: sample for sample in data.samples("train")}
    video = "Basketball/v_Basketball_g01_c01"
    sample = samples[Keyframe(video, 9)]  # 0-based frame 8
    assert sample.frame == 8
    np.testing.assert_allclose(sample.boxes, [[0.5875, 0.420833, 0.734375, 0.745833]], atol=1e-6)
    assert sample.labels.argmax(axis=1).tolist() == [0]
    assert Keyframe(video, 1) not in samples


def test_ucf24_split_and_step(shared_data: Path):
    root = str(shared_data / "ucf24")
    every, fifth = (UCF24Data(root=root, frame_step=step).samples("val") for step in (1, 5))
    assert len({sample.key.video for sample in every}) == 5  # all five clips are of the test list
    assert len(fifth) < len(every) / 4.5
    with pytest.raises(InputError, match=r"data\.split=all"):
        UCF24Data(root=root).samples("train")


def test_a_missing_folder_is_said(tmp_path: Path):
    with pytest.raises(InputError, match=r"groundtruth\.csv: the ground truth"):
        AvaData(root=str(tmp_path)).samples("train")
    (tmp_path / "groundtruth.csv").write_text("v,0001,0.1,0.1,0.5,0.5,12,1\n")
    with pytest.raises(InputError, match="a folder of the videos"):
        AvaData(root=str(tmp_path)).samples("train")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "stage_3_0000,0001,0.1,0.1,0.5,0.5,99,1",
            r"truth\.csv line \d+: action 99; the label map has 38 ids in 1 to 38",
        ),
        (
            "stage_3_0000,0902,0.1,0.1,0.5,0.5,12,1",
            r"1 of 5 keyframes lie outside .* stage_3_0000 at 902 s \(3\.0 s long\)",
        ),
    ],
)
def test_labels_that_cannot_be_are_told_with_their_place(play: Path, tmp_path: Path, row: str, message: str):
    (tmp_path / "truth.csv").write_text((play / "groundtruth.csv").read_text() + row + "\n")
    with pytest.raises(InputError, match=message):
        AvaData(root=str(play), train=str(tmp_path / "truth.csv")).samples("train")


def test_keyframes_between_seconds_stay_apart(play: Path, tmp_path: Path):
    rows = [f"stage_3_0000,{second},0.1,0.1,0.5,0.5,12,1" for second in ("0.4", "0.6", "1")]
    (tmp_path / "truth.csv").write_text("\n".join(rows) + "\n")
    samples = AvaData(root=str(play), train=str(tmp_path / "truth.csv")).samples("train")
    assert [(sample.key.tick, sample.stamp, sample.time) for sample in samples] == [
        (400, 0.4, 0.4), (600, 0.6, 0.6), (1000, 1.0, 1.0)
    ]  # fmt: skip
