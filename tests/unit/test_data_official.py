"""The public data sets in their official layouts: keyframes, boxes, splits, and what is said of missing files."""

import pickle
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from relact.data.ava import AvaData
from relact.data.ava_kinetics import AvaKineticsData
from relact.data.ava_official import AvaOfficialData
from relact.data.dataset import ClipDataset
from relact.data.decode import read_clip
from relact.data.extracted import frame_folder, read_frames
from relact.data.jhmdb import JHMDBData
from relact.data.proposals import BoxesConfig
from relact.data.samples import Sample
from relact.data.transforms import Draw, TransformConfig, draw, jittered, recoloured
from relact.data.ucf24 import UCF24Data
from relact.errors import InputError
from relact.labels import LabelMap
from relact.types import Keyframe, View
from tests.make_datasets import LEFT, RIGHT, TRAIN_MOVIE, VAL_MOVIE, make_ava, make_kinetics, make_tubes
from tests.make_video import number_of

UCF = list(LabelMap.load("ucf24").names)


@pytest.fixture(scope="module")
def ava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ava(tmp_path_factory.mktemp("ava"), frames=f"{TRAIN_MOVIE}_%06d.jpg")


def by_second(samples: list[Sample]) -> dict[int, Sample]:
    return {sample.key.tick: sample for sample in samples}


def columns(sample: Sample, ids: tuple[int, ...]) -> list[list[int]]:
    return [[ids[k] for k in np.flatnonzero(row)] for row in sample.labels]


def test_ava_has_included_seconds_without_excluded_ones(ava: Path):
    data = AvaOfficialData(root=str(ava))
    train = by_second(data.samples("train"))
    assert list(train) == [902, 903]  # 904 is excluded, 1800 not included
    assert train[902].time == 2.0
    assert columns(train[902], data.label_map().ids) == [[12, 79], [11]]
    assert list(by_second(data.samples("val"))) == [902, 903, 904]
    assert list(by_second(AvaOfficialData(root=str(ava), val_every=4).samples("val"))) == [904]
    later = by_second(AvaOfficialData(root=str(ava), shift=1).samples("train"))
    assert later[902].time == pytest.approx(2 + 1 / 30)


PSF, MM = "annotations/ava_train_predicted_boxes.csv", "annotations/ava_dense_proposals_train.FAIR.recall_93.9.pkl"


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        (BoxesConfig(file=PSF, score=0.8), [[12, 79], [11], [12], []]),  # PySlowFast: labels of the file, negatives
        (BoxesConfig(file=PSF, score=0.9), [[12, 79], [11], [12]]),
        (BoxesConfig(file=PSF, score=0.8, background=False), [[12, 79], [11], [12]]),
        (
            BoxesConfig(file=PSF, score=0.0, labels="overlap", background=False),
            [[12, 79], [11], [12, 79], [11]],
        ),  # MRSN
        (BoxesConfig(file=PSF, score=0.8, annotated=False), [[12], []]),  # ACAR-Net's pickle has all
        (BoxesConfig(file=MM, score=0.9, labels="overlap", overlap=0.9), [[12, 79], [11], [12, 79]]),
        (BoxesConfig(file=MM, score=0.999, best=True), [[12, 79], [11], []]),
        (BoxesConfig(file=MM, score=0.999), [[12, 79], [11]]),
    ],
)
def test_training_boxes_are_those_of_each_code_base(ava: Path, boxes: BoxesConfig, expected: list[list[int]]):
    data = AvaOfficialData(root=str(ava), train_boxes=boxes)
    sample = by_second(data.samples("train"))[902]
    assert columns(sample, data.label_map().ids) == expected
    assert sample.truth is None
    assert sample.scores is not None
    assert len(sample.scores) == len(sample.boxes) == len(sample.person)


def test_in_tests_a_detectors_boxes_are_judged_by_the_annotation(ava: Path):
    file = "annotations/ava_val_predicted_boxes.csv"
    samples = by_second(AvaOfficialData(root=str(ava), val_boxes=BoxesConfig(file=file, score=0.8)).samples("val"))
    assert list(samples) == [902, 903, 904, 905]
    assert samples[902].scores == pytest.approx([0.99, 0.82])
    assert not samples[902].labels.any()
    assert samples[902].truth is not None
    assert samples[902].truth.labels.sum() == 3
    assert (samples[902].listed, samples[905].listed) == (True, False)
    one = AvaOfficialData(root=str(ava), val_boxes=BoxesConfig(file=file, score=0.85)).samples("val")
    assert [len(sample.boxes) for sample in one] == [1, 1, 1, 1]


def test_boxes_of_another_split_are_refused(ava: Path):
    boxes = BoxesConfig(file=PSF)
    with pytest.raises(InputError, match=rf'has "{TRAIN_MOVIE}" at 902 s; are these boxes of another split'):
        AvaOfficialData(root=str(ava), val_boxes=boxes).samples("val")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"{{movie}},0902,{LEFT},,7", r"line 2: score 7; expected a detector's, from 0 to 1"),
        (f"{{movie}},0902,{LEFT},12,1.5", r"line 2: score 1.5; expected a detector's"),
        (f"{{movie}},0902,{LEFT},12,-0.5", r"line 2: score -0.5"),
        (f"{{movie}},0902,{LEFT},4711,0.9", r"line 2: action 4711; expected one of the 60 ids of the label map"),
        (f"{{movie}},0902,{LEFT},81,0.9", r"line 2: action 81; expected one of"),
    ],
)
def test_a_detectors_rows_that_mean_nothing_are_refused(ava: Path, tmp_path: Path, row: str, message: str):
    file = tmp_path / "boxes.csv"
    file.write_text(f"{VAL_MOVIE},0903,{LEFT},,0.9\n{row.format(movie=VAL_MOVIE)}\n")
    data = AvaOfficialData(root=str(ava), val_boxes=BoxesConfig(file=str(file)))
    with pytest.raises(InputError, match=rf"boxes.csv {message}"):
        data.samples("val")


def test_rows_of_ground_truth_and_of_actions_that_are_not_judged_pass_as_boxes(ava: Path, tmp_path: Path):
    file = tmp_path / "boxes.csv"
    rows = (f"{LEFT},12,7", f"{RIGHT},2,0.9", f"{RIGHT},-1,0.9")  # a person's id; one of the 80; none
    file.write_text("".join(f"{TRAIN_MOVIE},0902,{row}\n" for row in rows))
    data = AvaOfficialData(root=str(ava), train_boxes=BoxesConfig(file=str(file), annotated=False))
    sample = by_second(data.samples("train"))[902]
    assert sorted(columns(sample, data.label_map().ids)) == [[], [12]]


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("content", [b"", f"{VAL_MOVIE},0902\n".encode(), pickle.dumps({})])
def test_boxes_of_nobody_are_told(ava: Path, tmp_path: Path, split: Literal["train", "val"], content: bytes):
    file = tmp_path / ("boxes.pkl" if content.startswith(b"\x80") else "boxes.csv")
    file.write_bytes(content)
    boxes = BoxesConfig(file=str(file))
    with pytest.raises(InputError, match=rf"{file.name}: has no box, .* left at \d annotated keyframes"):
        AvaOfficialData(root=str(ava), train_boxes=boxes, val_boxes=boxes).samples(split)


def test_all_that_is_not_there_is_listed_with_where_to_get_it(tmp_path: Path):
    data = AvaOfficialData(root=str(tmp_path), version="2.1", val_boxes=BoxesConfig(file="p.csv"))
    with pytest.raises(InputError) as caught:
        data.samples("val")
    text = str(caught.value)
    assert "AVA v2.1: 4 of 4 files and folders looked for are not there; set data.root" in text
    for name in ("ava_val_v2.1.csv", "ava_val_excluded_timestamps_v2.1.csv", "videos: the movies", "p.csv: a detector"):
        assert name in text
    for other in (
        AvaKineticsData(root=str(tmp_path)),
        JHMDBData(root=str(tmp_path)),
        UCF24Data(root=str(tmp_path / "x")),
    ):
        with pytest.raises(InputError, match=r"looked for are not there"):
            other.samples("train")


def test_a_missing_movie_and_an_unfinished_folder_are_refused(tmp_path: Path):
    make_ava(tmp_path / "ava")
    (tmp_path / "ava" / "videos" / f"{VAL_MOVIE}.mp4").unlink()
    data = AvaOfficialData(root=str(tmp_path / "ava"))
    assert data.samples("train")
    with pytest.raises(InputError, match=f"1 of 1 movies are missing, such as {VAL_MOVIE}"):
        data.samples("val")
    (tmp_path / "ava" / ".incomplete").touch()
    with pytest.raises(InputError, match="its writing was cut off"):
        data.samples("train")
    with pytest.raises(InputError, match="its writing was cut off"):
        AvaData(root=str(tmp_path / "ava")).samples("train")


def test_extracted_frames_are_those_of_the_video(ava: Path):
    """The same frames by number, at seconds, beyond both ends, and pixels that differ by the JPEG alone."""
    video, folder = ava / "videos" / f"{VAL_MOVIE}.mp4", ava / "frames" / VAL_MOVIE
    times = np.array([-1.0, 0.0, 0.5, 0.5166, 2.0, 3.9, 99.0])
    ours, theirs = (
        read_frames(folder, times=times, rate=30, short_side=48),
        read_clip(video, times=times, short_side=48),
    )
    assert ours.shape == theirs.shape
    numbers = [[number_of(clip[:, t].permute(1, 2, 0).numpy()) for t in range(7)] for clip in (ours, theirs)]
    assert numbers[0] == numbers[1] == [0, 0, 15, 15, 60, 117, 185]
    assert (ours.float() - theirs.float()).abs().mean() < 3
    frames = np.array([5, 0, 200])
    assert torch.equal(
        read_frames(folder, frames=frames)[:, 0], read_frames(folder, times=np.array([5 / 30]), rate=30)[:, 0]
    )
    named, plain = AvaOfficialData(root=str(ava), frames="frames"), AvaOfficialData(root=str(ava))
    clips = [
        ClipDataset(
            data.samples("val"), num_frames=4, frame_stride=2, rate=30, transform=TransformConfig(short_side=32),
            train=False,
        )
        for data in (named, plain)
    ]  # fmt: skip
    assert clips[0].aspects() == clips[1].aspects()
    assert clips[0][0].view == clips[1][0].view
    assert (clips[0][0].frames.float() - clips[1][0].frames.float()).abs().mean() < 3


def test_a_gap_in_extracted_frames_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="no numbered pictures"):
        frame_folder(tmp_path)
    for number in (1, 2, 4):
        (tmp_path / f"img_{number:05d}.jpg").touch()
    with pytest.raises(InputError, match="frame 3 is missing, though 4 is there"):
        frame_folder(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        frame_folder(tmp_path / "gone")


def test_kinetics_clips_begin_where_their_names_say(tmp_path: Path):
    make_kinetics(tmp_path)
    data = AvaKineticsData(root=str(tmp_path), ava=None)
    train = {sample.key: sample for sample in data.samples("train")}
    assert {key: sample.time for key, sample in train.items()} == {
        Keyframe("CCCCCCCCCCC", 13500): 1.5, Keyframe("DDDDDDDDDDD", 4250): 1.25
    }  # fmt: skip
    assert len(train[Keyframe("DDDDDDDDDDD", 4250)].boxes) == 0
    assert [sample.labels.sum() for sample in data.samples("val")] == [2]
    (tmp_path / "kinetics" / "CCCCCCCCCCC_12_22.mp4").unlink()
    with pytest.raises(InputError, match=r"1 of 2 videos are missing, such as CCCCCCCCCCC; data\.missing=skip"):
        data.samples("train")
    assert len(AvaKineticsData(root=str(tmp_path), ava=None, missing="skip").samples("train")) == 1


def test_both_parts_of_ava_kinetics_come_together(ava: Path, tmp_path: Path):
    make_kinetics(tmp_path)
    data = AvaKineticsData(root=str(tmp_path), ava=AvaOfficialData(root=str(ava)))
    assert len({sample.key for sample in data.samples("train")}) == 2 + 2
    with pytest.raises(InputError, match="expected the same"):
        AvaKineticsData(root=str(tmp_path), ava=AvaOfficialData(root=str(ava), labels="ava")).samples("train")


@pytest.mark.parametrize("frames", [None, "frames"])
def test_acts_pickles_give_splits_and_frames_from_1(tmp_path: Path, frames: str | None):
    make_tubes(tmp_path, "JHMDB-GT.pkl", ["brush_hair", "catch"], 3, frames="%05d.png" if frames else None)
    data = JHMDBData(root=str(tmp_path), split=3, frames=frames)
    train, val = data.samples("train"), data.samples("val")
    assert data.label_map().names == ("brush_hair", "catch")
    assert [sample.frame for sample in val] == list(range(2, 20))
    assert {sample.key.video for sample in train} == {
        "brush_hair/v_brush_hair_g01_c01", "catch/v_catch_g01_c01"
    }  # fmt: skip
    np.testing.assert_allclose(val[0].boxes, [[0.125, 0.25, 0.5, 200 / 240]], atol=1e-6)
    clip = ClipDataset(
        val, num_frames=4, frame_stride=1, rate=None, transform=TransformConfig(short_side=48), train=False
    )[0]
    assert [number_of(clip.frames[:, t].permute(1, 2, 0).numpy()) for t in range(4)] == [0, 1, 2, 3]


def test_ucf24_takes_the_split_of_acts_pickle_and_a_detectors_boxes(tmp_path: Path):
    make_tubes(tmp_path, "annotations/UCF101v2-GT.pkl", UCF, 1)
    data = UCF24Data(root=str(tmp_path), annotation="annotations/UCF101v2-GT.pkl", val_boxes="boxes.csv")
    assert len(data.samples("train")) == 2 * 18
    val = data.samples("val")
    assert len(val) == 24  # unlabelled frames too: what is found there is wrong
    assert [sample.listed for sample in val].count(False) == 24 - 18
    truth = val[5].truth
    assert truth is not None
    np.testing.assert_allclose(val[5].boxes, truth.boxes, atol=1e-3)
    assert (
        not UCF24Data(root=str(tmp_path), annotation=data.annotation, val_boxes="boxes.csv", val_score=0.95)
        .samples("val")[5]
        .boxes.size
    )


def test_boxes_move_by_no_more_than_asked_and_stay_inside():
    view, boxes = View.whole(100, 50), torch.tensor([[20.0, 10, 60, 40], [0, 0, 100, 50]]).repeat(200, 1)
    moved = jittered(boxes, view, 0.1, np.random.default_rng(0))
    change = (moved - boxes)[::2]
    assert change[:, [0, 2]].abs().max() <= 4
    assert change[:, [1, 3]].abs().max() <= 3
    assert change[:, 0].min() < -3.5
    assert change[:, 0].max() > 3.5
    assert moved[1::2, 0].min() >= 0
    assert moved[1::2, 2].max() <= 100
    out = jittered(boxes, view, (0.2, 0.0, 0.2, 0.0), np.random.default_rng(0))  # outward only
    assert (out[:, :2] <= boxes[:, :2]).all()
    assert (out[:, 2:] >= boxes[:, 2:]).all()
    assert jittered(boxes, view, None, np.random.default_rng(0)) is boxes


def test_colours_change_all_frames_of_a_clip_alike():
    frames = torch.randint(40, 200, (3, 1, 8, 8), dtype=torch.uint8).expand(3, 4, 8, 8)
    config = TransformConfig(brightness=0.4, contrast=0.4, saturation=0.4, pca=0.1)
    changed = recoloured(frames, config, np.random.default_rng(1))
    assert changed.dtype == torch.uint8
    assert not torch.equal(changed, frames)
    assert all(torch.equal(changed[:, 0], changed[:, t]) for t in range(4))
    assert torch.equal(changed, recoloured(frames, config, np.random.default_rng(1)))
    assert recoloured(frames, TransformConfig(), np.random.default_rng(1)) is frames
    shifted = recoloured(frames, TransformConfig(pca=0.1), np.random.default_rng(1)).int() - frames.int()
    assert all(len(shifted[c].unique()) == 1 for c in range(3))  # one shift a colour


def test_real_ava_annotation_is_read_by_its_official_names(shared_data: Path, tmp_path: Path):
    """The 8 movies of the real validation annotation, with empty files of frames in their place."""
    notes, source = tmp_path / "annotations", shared_data / "ava" / "annotations"
    notes.mkdir()
    (notes / "ava_val_v2.1.csv").symlink_to(source / "ava_val_v2.1_8videos.csv")
    (notes / "ava_val_excluded_timestamps_v2.1.csv").symlink_to(source / "ava_val_excluded_timestamps_v2.2.csv")
    movies = {line.split(",")[0] for line in (source / "ava_val_v2.1_8videos.csv").read_text().splitlines()}
    for movie in movies:
        (tmp_path / "frames" / movie).mkdir(parents=True)
    data = AvaOfficialData(root=str(tmp_path), version="2.1", frames="frames")
    samples = data.samples("val")
    assert len(samples) == 6470
    assert sum(int(sample.labels.sum()) for sample in samples) == 27140
    pbtxt = source / "ava_action_list_v2.2_for_activitynet_2019.pbtxt"
    assert LabelMap.load(pbtxt) == data.label_map()
    boxes = shared_data / "ava" / "proposals" / "ava_val_predicted_boxes_sample.csv"
    found = AvaOfficialData(
        root=str(tmp_path), version="2.1", frames="frames", val_boxes=BoxesConfig(file=str(boxes), score=0.8)
    ).samples("val")
    assert sum(len(sample.boxes) > 0 for sample in found) == 25


def test_views_of_tests_are_all_sizes_plain_and_mirrored(ava: Path):
    views = TransformConfig(test_short_sides=(32, 48), test_flip=True).views()
    assert [(view.short_side, view.flip) for view in views] == [(32, False), (32, True), (48, False), (48, True)]
    assert TransformConfig(short_side=32).views() == [Draw(short_side=32)]
    samples = AvaOfficialData(root=str(ava)).samples("val")
    plain, mirrored = (
        ClipDataset(
            samples, num_frames=2, frame_stride=2, rate=30, transform=TransformConfig(short_side=32), train=False,
            view=Draw(short_side=32, flip=flip),
        )[0]
        for flip in (False, True)
    )  # fmt: skip
    assert torch.equal(plain.frames.flip(-1), mirrored.frames)
    torch.testing.assert_close(plain.view.to_frame(plain.boxes), mirrored.view.to_frame(mirrored.boxes))
    assert not torch.equal(plain.boxes, mirrored.boxes)


def test_short_sides_are_drawn_by_their_inverse_where_asked():
    config = TransformConfig(train_short_side=(100, 400), short_side_draw="inverse")
    random = np.random.default_rng(0)
    drawn = np.array([draw(config, random).short_side for _ in range(4000)])
    assert drawn.min() >= 100
    assert drawn.max() <= 400
    assert np.median(drawn) == pytest.approx(160, abs=5)  # 1 / mean of 1/100 and 1/400
