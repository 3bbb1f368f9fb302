"""Who is who: how ids come from annotation, files and linking to the clips, and that none is invented."""

from pathlib import Path

import numpy as np
import pytest

from relact.data.ava import AvaData
from relact.data.collate import collate
from relact.data.dataset import ClipDataset
from relact.data.samples import Sample
from relact.data.transforms import TransformConfig
from relact.data.ucf24 import UCF24Data
from relact.errors import InputError
from relact.interop.box_files import read_boxes
from relact.types import Keyframe
from tests.make_stage import make_stage

VIDEOS = ("stage_3_0000", "stage_3_0001")


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of three seconds; the people of both are 1 and 2."""
    return make_stage(tmp_path_factory.mktemp("play"), videos=2)


def lines(play: Path) -> list[list[str]]:
    return [line.split(",") for line in (play / "groundtruth.csv").read_text().splitlines()]


def without_ids(play: Path, folder: Path) -> Path:
    path = folder / "no_ids.csv"
    path.write_text("".join(",".join(cells[:7]) + "\n" for cells in lines(play)))
    return path


def people(samples: list[Sample]) -> dict[Keyframe, list[int]]:
    return {sample.key: sample.person.tolist() for sample in samples}


def same_partition(samples: list[Sample], truth: list[Sample]) -> bool:
    """Whether two boxes of a video have one id exactly where the truth says so."""
    pairs = {
        (a.key.video, p, t)
        for a, b in zip(samples, truth, strict=True)
        for p, t in zip(a.person, b.person, strict=True)
    }
    return len(pairs) == len({pair[:2] for pair in pairs}) == len({pair[::2] for pair in pairs})


# --- from the annotation to the batch


def test_the_ids_of_the_annotation_reach_the_clip_and_the_batch(play: Path):
    samples = AvaData(root=str(play)).samples("train")
    clips = ClipDataset(
        samples, num_frames=4, frame_stride=2, rate=30.0, transform=TransformConfig(short_side=32), train=False
    )
    first, other = (next(k for k, s in enumerate(samples) if s.key == Keyframe(f"stage_3_000{v}", 1)) for v in (0, 1))
    assert clips[first].track.tolist() == samples[first].person.tolist()
    batch = collate([clips[first], clips[other]])
    assert sorted(batch.actors.track.tolist()) == [1, 1, 2, 2]
    rows = list(zip(batch.actors.clip.tolist(), batch.actors.track.tolist(), strict=True))
    assert len(set(rows)) == 4  # person 1 of one video and person 1 of the other: the key's video tells them apart
    assert [key.video for key in batch.keys] == ["stage_3_0000", "stage_3_0001"]


def test_a_cropped_clip_keeps_ids_with_their_boxes(play: Path):
    samples = AvaData(root=str(play)).samples("train")
    clips = ClipDataset(
        samples, num_frames=2, frame_stride=1, rate=30.0, transform=TransformConfig(short_side=64, crop=40), train=True
    )
    dropped = 0
    for clip, sample in zip((clips[k] for k in range(len(clips))), samples, strict=True):
        assert len(clip.track) == len(clip.boxes)
        assert set(clip.track.tolist()) <= set(sample.person.tolist())
        theirs = [sample.boxes[sample.person == who][0] for who in clip.track.tolist()]
        np.testing.assert_allclose(clip.view.to_frame(clip.boxes).numpy(), np.reshape(theirs, (-1, 4)), atol=1e-5)
        dropped += len(sample.boxes) - len(clip.boxes)
    assert dropped > 0


def test_a_row_without_an_id_is_nobody(play: Path, tmp_path: Path):
    rows = lines(play)
    mixed = tmp_path / "mixed.csv"
    mixed.write_text("".join(",".join(cells[: 7 if cells[7] == "2" else 8]) + "\n" for cells in rows))
    samples = AvaData(root=str(play), train=str(mixed)).samples("train")
    assert all(sorted(ids) == [-1, 1] for ids in people(samples).values())
    with_all = AvaData(root=str(play), train=str(without_ids(play, tmp_path))).samples("train")
    assert all(ids == [-1, -1] for ids in people(with_all).values())


def test_a_box_file_with_ids_on_some_rows_invents_none_for_the_others(tmp_path: Path):
    path = tmp_path / "gt.csv"
    path.write_text("a,1,0.1,0.2,0.3,0.4,12,7\na,1,0.5,0.2,0.6,0.4,12\n")
    assert read_boxes(path).person_id.tolist() == [7, -1]


def test_one_person_alone_has_an_id_where_ids_are_expected(tmp_path: Path):
    path = tmp_path / "gt.csv"
    path.write_text("a,1,0.1,0.2,0.3,0.4,12,1\na,2,0.1,0.2,0.3,0.4,12,1\n")
    assert read_boxes(path).person_id.tolist() == [-1, -1]
    assert read_boxes(path, expect_ids=True).person_id.tolist() == [1, 1]


def test_ucf24_people_are_the_tubes_of_their_video(shared_data: Path):
    samples = UCF24Data(root=str(shared_data / "ucf24"), split="all").samples("train")
    for video in {sample.key.video for sample in samples}:
        ids = np.concatenate([sample.person for sample in samples if sample.key.video == video])
        assert ids.min() == 1


# --- from a file of tracks


def moved(cells: list[str], by: float) -> str:
    """A row of a tracks file: the box moved by so many of its widths, under another id."""
    x1, y1, x2, y2 = (float(value) for value in cells[2:6])
    step = by * (x2 - x1)
    return f"{cells[0]},{cells[1]},{x1 + step:.4f},{y1:.4f},{x2 + step:.4f},{y2:.4f},{40 + int(cells[7])},0.9\n"


HEADER = "video,time_s,x1,y1,x2,y2,person_id,score\n"


def test_people_take_the_ids_of_the_boxes_that_cover_them(play: Path, tmp_path: Path):
    """Boxes moved by a tenth carry ids 41 and 42; in one second person 2's box is elsewhere."""
    rows = {(cells[0], cells[1], cells[7]): cells for cells in lines(play)}
    tracks = tmp_path / "tracks.csv"
    lost = "stage_3_0000,0001,0,0,0.05,0.05,42,0.9\n"
    written = [lost if key == ("stage_3_0000", "0001", "2") else moved(cells, 0.1) for key, cells in rows.items()]
    tracks.write_text(HEADER + "".join(written))
    data = AvaData(root=str(play), train=str(without_ids(play, tmp_path)), tracks=str(tracks))
    truth = AvaData(root=str(play)).samples("train")
    for sample, known in zip(data.samples("train"), truth, strict=True):
        expected = [40 + who for who in known.person.tolist()]
        if sample.key == Keyframe("stage_3_0000", 1):
            expected = [-1 if who == 42 else who for who in expected]
        assert sample.person.tolist() == expected


def test_a_file_of_tracks_goes_before_the_annotations_ids_and_may_be_denser(play: Path, tmp_path: Path):
    rows = {(cells[0], cells[1], cells[7]): cells for cells in lines(play)}
    tracks = tmp_path / "tracks.csv"
    elsewhere = [f"{v},{t}.5,0.1,0.1,0.2,0.2,99,0.9\n" for v in VIDEOS for t in range(3)]
    tracks.write_text(HEADER + "".join([*elsewhere, *(moved(cells, 0.0) for cells in rows.values())]))
    ids = people(AvaData(root=str(play), tracks=str(tracks)).samples("val"))
    assert all(sorted(found) == [41, 42] for found in ids.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "stage_3_0000,1,0.1,0.1,0.9,0.9,,0.9\n", r"tracks\.csv: no person ids; .*data\.link=true"),
        (
            HEADER + "stage_3_0000,1,0,0,1,1,3,1\nstage_3_0000,2,0,0,1,1,,1\n",
            r"tracks\.csv line 3: no person id, but other",
        ),
        (HEADER + "stage_3_0000,1,0,0,1,1,3,1\n", r"tracks\.csv: has no boxes of 'stage_3_0001'"),
        (
            HEADER + "stage_3_0000,901,0,0,1,1,3,1\nstage_3_0001,901,0,0,1,1,3,1\n",
            r"none of its 2 boxes covers one of the 8 annotated people .* seconds 901 to 901, they have 1 to 2",
        ),
        (HEADER.replace("time_s", "frame") + "stage_3_0000,1,0,0,1,1,3,1\n", r"tracks\.csv: counts frames; expected"),
        (HEADER, r"tracks\.csv: no person ids"),
    ],
)
def test_tracks_that_cannot_be_used_are_refused(play: Path, tmp_path: Path, text: str, message: str):
    (tmp_path / "tracks.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        AvaData(root=str(play), tracks=str(tmp_path / "tracks.csv")).samples("train")


# --- by linking


def test_people_without_ids_are_linked_when_asked(play: Path, tmp_path: Path):
    """A person stands and one next to them: two seconds, the second one somebody new on the right."""
    path = tmp_path / "gt.csv"
    rows = [(0, 0.1), (0, 0.6), (1, 0.12), (1, 0.3), (2, 0.14), (2, 0.3)]
    path.write_text("".join(f"{v},{t},{x},0.2,{x + 0.1},0.6,12\n" for v in VIDEOS for t, x in rows))
    unlinked = AvaData(root=str(play), train=str(path))
    assert {who for ids in people(unlinked.samples("train")).values() for who in ids} == {-1}
    linked = people(AvaData(root=str(play), train=str(path), link=True).samples("train"))
    for video in VIDEOS:  # ids begin anew in every video
        assert [linked[Keyframe(video, t)] for t in range(3)] == [[1, 2], [1, 3], [1, 3]]


def test_linking_leaves_ids_that_are_there(play: Path, tmp_path: Path):
    path = tmp_path / "gt.csv"
    path.write_text("".join(",".join([*cells[:7], str(40 + int(cells[7]))]) + "\n" for cells in lines(play)))
    ids = people(AvaData(root=str(play), train=str(path), link=True).samples("train"))
    assert all(sorted(found) == [41, 42] for found in ids.values())


def test_linking_goes_through_seconds_that_training_leaves_out(play: Path, tmp_path: Path):
    (tmp_path / "gt.csv").write_text(
        "".join(f"stage_3_0000,{t},0.1,0.2,0.3,0.6,12\n" for t in range(4)) + "stage_3_0001,1\n"
    )
    (tmp_path / "excluded.csv").write_text("stage_3_0000,2\n")
    data = AvaData(root=str(play), train=str(tmp_path / "gt.csv"), exclude=str(tmp_path / "excluded.csv"), link=True)
    ids = people(data.samples("train"))
    assert ids == {Keyframe("stage_3_0001", 1): [], **{Keyframe("stage_3_0000", t): [1] for t in (0, 1, 3)}}


def test_linking_the_people_of_plays_finds_who_they_are(play: Path, tmp_path: Path):
    truth = AvaData(root=str(play)).samples("train")
    found = AvaData(root=str(play), train=str(without_ids(play, tmp_path)), link=True).samples("train")
    ids = people(found)
    assert all((np.asarray(known) >= 1).all() for known in ids.values())
    assert same_partition(found, truth)
