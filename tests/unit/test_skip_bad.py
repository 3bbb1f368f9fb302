"""Bad input of each data set: the first fault stops with its place, or `skip_bad` leaves it out and counts it."""

import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relact.data.ava import AvaData
from relact.data.ava_kinetics import AvaKineticsData
from relact.data.ava_official import AvaOfficialData
from relact.data.jhmdb import JHMDBData
from relact.data.proposals import BoxesConfig
from relact.data.samples import Sample
from relact.data.ucf24 import UCF24Data
from relact.errors import InputError
from relact.interop.ava_csv import read_ava_csv
from relact.interop.box_files import read_boxes
from relact.interop.faults import SHOWN, Faults
from relact.labels import LabelMap
from tests.make_datasets import LEFT, TRAIN_MOVIE, make_ava, make_kinetics, make_tubes, write
from tests.make_video import make_video

UCF = list(LabelMap.load("ucf24").names)
DataSet = AvaData | AvaOfficialData | AvaKineticsData | UCF24Data | JHMDBData
Seen = list[tuple[object, ...]]


def seen(samples: list[Sample]) -> Seen:
    """Who is where, doing what: everything that is learnt from."""
    return [
        (
            *sample.key,
            np.round(sample.boxes.astype(float), 3).tolist(),
            sample.labels.nonzero()[1].tolist(),
            sample.person.tolist(),
        )
        for sample in samples
    ]


def refused(data: DataSet, message: str, split: str = "train") -> None:
    with pytest.raises(InputError, match=message):
        data.samples(split)  # type: ignore[arg-type]


def skipped(data: DataSet, split: str = "train") -> tuple[Seen, int, str]:
    """What is left, how many faults there were, and the first."""
    faults = Faults(skip=True)
    samples = replace(data, skip_bad=True).samples(split, faults)  # type: ignore[arg-type, type-var]
    assert seen(samples) == seen(replace(data, skip_bad=True).samples(split))  # type: ignore[arg-type, type-var]
    return seen(samples), faults.count, faults.skipped[0]


def test_many_faults_are_counted_and_a_few_of_them_told():
    faults = Faults(skip=True)
    faults.add("the first")
    asked: list[int] = []

    def say(row: int) -> str:
        asked.append(row)
        return f"row {row}"

    faults.add_rows(np.arange(1000) % 2 == 1, say)
    assert faults.count == 501
    assert faults.skipped == ["the first", *(f"row {2 * k + 1}" for k in range(SHOWN - 1))]
    faults.add_rows(np.ones(5, np.bool_), say)
    assert faults.count == 506
    assert len(asked) == SHOWN  # one too few in the first call, one in vain in the second
    with pytest.raises(InputError, match=r"^row 7$"):
        Faults().add_rows(np.arange(9) >= 7, say)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_huge_file_keeps_its_line_numbers(tmp_path: Path, end: str):
    """It is read in parts; those with a broken line go another way."""
    rows = [f"video_{k // 9000},{k % 900:04d},{LEFT},12,{k}" for k in range(60_000)]
    bad = {9: "v", 29_999: f"v,0902,{LEFT},sit,1", 30_000: f"v,0902,{LEFT},0,1", 59_999: "v,0902,0.1"}
    lines = [bad.get(k, row) for k, row in enumerate(rows)]
    path = tmp_path / "truth.csv"
    path.write_bytes(end.join(lines).encode())
    assert path.stat().st_size > 2 << 20
    faults = Faults(skip=True)
    table = read_ava_csv(path, "groundtruth", faults=faults)
    good = [k for k in range(60_000) if k not in bad]
    assert table.lines.tolist() == [k + 1 for k in good]
    assert table.person is not None
    assert table.person.tolist() == good
    assert table.videos == tuple(f"video_{k}" for k in range(7))
    said = sorted((text.split(": ")[0], "cut off" in text) for text in faults.skipped)
    assert said == sorted((f"{path} line {k + 1}", k == 59_999) for k in bad)
    with pytest.raises(InputError, match="csv line 10: expected 7 or 8 columns"):
        read_ava_csv(path, "groundtruth")


# --- labels of one's own

TRUTH = f"one,0000,{LEFT},12,1\none,0001,{LEFT},14,1\none,0002\ntwo,0001,{LEFT},12,4\n"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "videos").mkdir()
    for name in ("one", "two"):
        make_video(folder / "videos" / f"{name}.mp4", frames=30, rate=10)
    write(folder / "labels.csv", ["id,name", "12,stand", "14,walk"])
    return folder


@pytest.fixture
def own(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "own"))


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ("video,second,x1,y1,x2,y2,action,person\n" + TRUTH, "csv line 1: time 'second' is not a number .*no header"),
        (TRUTH + "one,0001,0.1\n", "csv line 5: expected 7 or 8 columns .* got 3 columns"),
        (TRUTH + "one,0001,0.1,0.2,0.4,0.9,sit,1\n", "csv line 5: action 'sit' is not a number"),
        (f"one,0001,0.1,nan,0.4,0.9,12,1\n{TRUTH}", "csv line 1: y1=nan is not a finite number"),
        (TRUTH + "one,0001,10,20,30,40,12,1\n", "csv line 5: x1=10 > 1. Pixel boxes"),
        (TRUTH + "one,0001,0.4,0.2,0.1,0.9,12,1\n", "csv line 5: x2=0.1 < x1=0.4"),
        (TRUTH + f"one,-3,{LEFT},12,1\n", "csv line 5: time -3"),
        (TRUTH + f",0001,{LEFT},12,1\n", "csv line 5: the video name is empty"),
        (TRUTH + f"one,0001,{LEFT},12,0.25\n", "csv line 5: person id 0.25"),
        (TRUTH + f"one,0001,{LEFT},13,1\n", "csv line 5: action 13; the label map has 2 ids in 12 to 14"),
        (TRUTH + f"one,0009,{LEFT},12,1\n", r"one at 9 s \(3.0 s long\)"),
        (TRUTH + f"three,0001,{LEFT},12,1\n", "videos: 1 of 3 videos are missing, such as three"),
        (TRUTH.replace("one,0002\n", "") + "one,0002", "csv line 4: the last line is cut off"),
    ],
)
def test_ones_own_labels(own: Path, truth: str, message: str):
    (own / "groundtruth.csv").write_text(TRUTH)
    data = AvaData(root=str(own))
    good = seen(data.samples("train"))
    assert len(good) == 4
    (own / "groundtruth.csv").write_text(truth)
    refused(data, message)
    rest, count, _ = skipped(data)
    cut = "cut off" in message
    assert (sorted(rest), count) == (sorted(good)[:2] + sorted(good)[3:] if cut else sorted(good), 1)


def test_ones_own_videos_that_do_not_open_and_lists_with_faults(own: Path):
    (own / "groundtruth.csv").write_text(TRUTH)
    (own / "videos" / "two.mp4").write_bytes(b"no video")
    write(own / "excluded.csv", ["one,0002", "one,half past"])
    tracks = [f"one,0000,{LEFT},12,7", f"one,0001,{LEFT},14,8", "one,0001,5,5,9,9,14,9"]
    write(own / "tracks.csv", tracks)
    data = AvaData(root=str(own), exclude="excluded.csv", tracks="tracks.csv")
    refused(data, "excluded.csv line 2: time 'half past'")
    write(own / "excluded.csv", ["one,0002"])
    refused(data, "tracks.csv line 3: x1=5 > 1")
    write(own / "tracks.csv", tracks[:2])
    refused(data, "two.mp4: ")
    write(own / "tracks.csv", tracks)
    write(own / "excluded.csv", ["one,half past", "one,0002"])
    rest, count, _ = skipped(data)
    assert [(tick, person) for _, tick, _, _, person in rest] == [(0, [7]), (1, [8])]
    assert count == 3


def test_a_video_without_tracks_has_people_without_ids(own: Path):
    (own / "groundtruth.csv").write_text(TRUTH)
    write(own / "tracks.csv", [f"one,0000,{LEFT},12,7", f"one,0001,{LEFT},14,8"])
    data = AvaData(root=str(own), tracks="tracks.csv")
    refused(data, "tracks.csv: has no boxes of 'two'")
    rest, count, _ = skipped(data)
    assert {(video, tick): person for video, tick, _, _, person in rest if person} == {
        ("one", 0): [7], ("one", 1): [8], ("two", 1): [-1]
    }  # fmt: skip
    assert count == 1
    write(own / "tracks.csv", [f"one,0000,{LEFT},12,7", f"one,0000,{LEFT[:-1]}1,12,7"])
    with pytest.raises(InputError, match="person 7 has another box"):  # nobody knows which of the two
        skipped(data)


def test_where_nothing_is_left_there_is_nothing_to_skip(own: Path):
    write(own / "groundtruth.csv", [f"three,0001,{LEFT},12,1", f"four,0001,{LEFT},12,1"])
    with pytest.raises(InputError, match="2 of 2 videos are missing"):
        skipped(AvaData(root=str(own)))


# --- AVA and AVA-Kinetics


@pytest.fixture
def ava(tmp_path: Path) -> Path:
    return make_ava(tmp_path / "ava")


PSF, MM = "annotations/ava_train_predicted_boxes.csv", "annotations/ava_dense_proposals_train.FAIR.recall_93.9.pkl"


def appended(file: Path, *lines: str) -> None:
    file.write_text(file.read_text() + "".join(f"{line}\n" for line in lines))


def test_ava(ava: Path):
    data = AvaOfficialData(root=str(ava))
    good, truth = seen(data.samples("train")), ava / "annotations" / "ava_train_v2.2.csv"
    before = len(truth.read_text().splitlines())
    appended(truth, f"{TRAIN_MOVIE},0903,0.1,0.1,0.4,inf,12,1", f"MMMMMMMMMMM,0903,{LEFT},12,1")
    refused(data, f"ava_train_v2.2.csv line {before + 1}: y2=inf is not a finite number")
    rest, count, first = skipped(data)
    assert (rest, count) == (good, 2)
    assert "y2=inf" in first
    (ava / "videos" / f"{TRAIN_MOVIE}.mp4").write_bytes(b"no video")
    assert skipped(data)[:2] == ([], 3)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{TRAIN_MOVIE},0903,0.1,0.1,0.4", "predicted_boxes.csv line 10: expected 7 or 8 columns"),
        (f"{TRAIN_MOVIE},0903,0.1,0.1,0.4,0.9,,1.7", "predicted_boxes.csv line 10: score 1.7; expected a detector's"),
        (f"{TRAIN_MOVIE},0903,nan,0.1,0.4,0.9,,0.9", "predicted_boxes.csv line 10: x1=nan"),
    ],
)
def test_ava_s_detected_boxes(ava: Path, line: str, message: str):
    data = AvaOfficialData(root=str(ava), train_boxes=BoxesConfig(file=PSF, score=0.8))
    good = seen(data.samples("train"))
    appended(ava / PSF, line)
    refused(data, message)
    assert skipped(data)[:2] == (good, 1)


def test_ava_s_detected_boxes_of_an_unknown_action_stay_without_it(ava: Path):
    data = AvaOfficialData(root=str(ava), train_boxes=BoxesConfig(file=PSF, score=0.8, annotated=False))
    appended(ava / PSF, f"{TRAIN_MOVIE},0903,0.3,0.3,0.5,0.5,97,0.95")
    refused(data, "predicted_boxes.csv line 10: action 97; expected one of the 60 ids")
    rest, count, _ = skipped(data)
    [second] = [(boxes, actions) for _, tick, boxes, actions, _ in rest if tick == 903]
    assert [0.3, 0.3, 0.5, 0.5] in second[0]
    assert (len(second[1]), count) == (1, 1)  # that of the file, not 97


def test_ava_s_proposals(ava: Path):
    data = AvaOfficialData(root=str(ava), train_boxes=BoxesConfig(file=MM, score=0.5))
    good = seen(data.samples("train"))
    content = pickle.loads((ava / MM).read_bytes())
    key = f"{TRAIN_MOVIE},0903"
    content[key] = np.concatenate([content[key], [[np.nan, 0, 1, 1, 0.9], [0.1, 0.1, 0.3, 0.3, 7]]])
    content[f"{TRAIN_MOVIE},0902b"], content["x,0902"] = content[key][:1], np.zeros((2, 4))
    (ava / MM).write_bytes(pickle.dumps(content))
    refused(data, "entry 4: time '0902b'; expected seconds")
    rest, count, _ = skipped(data)
    assert (rest, count) == (good, 4)


def test_ava_kinetics_counts_the_faults_of_both_parts(tmp_path: Path, ava: Path):
    root = make_kinetics(tmp_path / "kinetics")
    data = AvaKineticsData(root=str(root), ava=AvaOfficialData(root=str(ava)))
    good = seen(data.samples("train"))
    truth = root / "annotations" / "kinetics_train_v1.0.csv"
    appended(truth, "CCCCCCCCCCC,13.5,0.1,0.1,NaN,0.9,12", f"FFFFFFFFFFF,3.5,{LEFT},12", f"CCCCCCCCCCC,40,{LEFT},12")
    refused(data, "kinetics_train_v1.0.csv line 3: x2=nan")
    appended(ava / "annotations" / "ava_train_v2.2.csv", f"{TRAIN_MOVIE},0903,{LEFT},99,1")
    rest, count, _ = skipped(data)
    assert (rest, count) == (good, 4)
    uncounted = replace(data, missing="skip")
    assert skipped(uncounted)[:2] == (good, 3)


# --- tubes


def spoilt(file: Path, change: Callable[[dict[str, Any], list[str]], object]) -> None:
    content = pickle.loads(file.read_bytes())
    change(content, list(content["gttubes"]))
    file.write_bytes(pickle.dumps(content))


def set_nan(content: dict[str, Any], names: list[str]) -> None:
    tube = content["gttubes"][names[1]][1][0]
    tube[4, 2], tube[6, 2] = np.nan, np.nan


def narrow(content: dict[str, Any], names: list[str]) -> None:
    content["gttubes"][names[1]][1] = [np.zeros((3, 4))]


def early(content: dict[str, Any], names: list[str]) -> None:
    content["gttubes"][names[1]][1][0][0, 0] = 0


def no_dict(content: dict[str, Any], names: list[str]) -> None:
    content["gttubes"][names[1]] = 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_nan, r"v_catch_g01_c01 tube 1 frame 7: box .* is not four finite numbers"),
        (narrow, r"v_catch_g01_c01 tube 1: shape \[3, 4\]; expected numbers \[N, 5\]"),
        (early, "v_catch_g01_c01 tube 1 frame 0: no such frame"),
        (no_dict, "broken annotation of .*v_catch_g01_c01 .AttributeError"),
    ],
)
def test_jhmdb_s_tubes(tmp_path: Path, change: Callable[[dict[str, Any], list[str]], object], message: str):
    """The video goes whole: whoever is in the broken tube would else be nobody."""
    make_tubes(tmp_path, "JHMDB-GT.pkl", ["brush_hair", "catch"], 3, frames="%05d.png")
    data = JHMDBData(root=str(tmp_path), frames="frames", frame_step=6)
    good = seen(data.samples("train"))
    spoilt(tmp_path / "JHMDB-GT.pkl", change)
    refused(data, message)
    assert skipped(data)[:2] == ([one for one in good if "catch" not in str(one[0])], 1)
    assert skipped(data, "val")[1] == 1  # of the annotation, which both splits share
    next(tmp_path.glob("frames/brush_hair/*g01*/00005.png")).unlink()
    rest, count, _ = skipped(data)
    assert (rest, count) == ([], 2)


def test_an_annotation_of_broken_tubes_alone_stops(tmp_path: Path):
    make_tubes(tmp_path, "JHMDB-GT.pkl", ["brush_hair", "catch"], 3)
    spoilt(tmp_path / "JHMDB-GT.pkl", lambda content, names: content["gttubes"].update(dict.fromkeys(names, 7)))
    with pytest.raises(InputError, match="each of its 3 videos is broken, such as"):
        skipped(JHMDBData(root=str(tmp_path)))


def test_ucf24(tmp_path: Path):
    make_tubes(tmp_path, "pyannot.pkl", UCF, 1)
    annotation = tmp_path / "pyannot.pkl"
    data = UCF24Data(root=str(tmp_path), val_boxes="boxes.csv", frame_step=4)
    train, val = seen(data.samples("train")), seen(data.samples("val"))
    boxes = tmp_path / "boxes.csv"
    row = boxes.read_text().splitlines()[1].split(",")
    appended(boxes, ",".join([*row[:2], "oops", *row[3:]]), ",".join(row[:4]), ",".join([*row[:4], "900", *row[5:]]))
    refused(data, "boxes.csv line 26: 4|boxes.csv line 27: 4 columns; expected 7", "val")
    assert skipped(data, "val")[:2] == (val, 3)
    content = pickle.loads(annotation.read_bytes())
    catch = list(content["gttubes"])[1]
    content["gttubes"][catch][24] = content["gttubes"][catch].pop(1)
    del content["labels"]
    annotation.write_bytes(pickle.dumps(content))
    refused(data, f"{catch} tube 1: label 24; expected 0 to 23")
    rest, count, _ = skipped(data)
    assert (rest, count) == ([one for one in train if one[0] != catch], 1)
    next(tmp_path.rglob("*_g02_c01.avi")).write_bytes(b"no video")
    assert skipped(data, "val")[:2] == ([], 1 + 1 + 2)  # of the boxes, the one outside is not asked for any more


def test_boxes_that_lack_a_video_stop_in_any_case(tmp_path: Path):
    """Without that video the result would be too good."""
    make_tubes(tmp_path, "pyannot.pkl", UCF, 1)
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(boxes.read_text().replace("v_", "w_"))
    with pytest.raises(InputError, match="has no boxes of"):
        skipped(UCF24Data(root=str(tmp_path), val_boxes="boxes.csv"), "val")


# --- box files of every format


def acar(*people: object) -> bytes:
    return pickle.dumps([{"video": "v", "time": "0902", "labels": [{"bounding_box": box} for box in people]}])


COCO = """{"images": [{"id": 1, "frame": 0, "width": 10, "height": 10}],
 "annotations": [{"image_id": 1, "bbox": [1, 1, 2, 2]}, {"image_id": 5, "bbox": [1, 1, 2, 2]}, {"image_id": []}]}"""


@pytest.mark.parametrize(
    ("name", "content", "message", "left", "count"),
    [
        ("a.txt", "1,1,5,5,9,9,1\n1,2,5,x,9,9,1\n2,1,5,5,9\n3,1.5,5,5,9,9,1\n", "line 2: 'x'", 1, 3),
        ("a.csv", "frame,x1,y1,x2,y2\n0,0,0,1,1\n1,a,b,1,1\n2,0,0\n3,0,0,nan,1\n-4,0,0,1,1\n",
         "line 4: 3 columns", 1, 4),
        ("a.csv", f"v,0902,{LEFT},,0.5\nv,0902,{LEFT},x,0.5\n", "line 2: action 'x'", 1, 1),
        ("a.csv", f"v,0902,{LEFT},12,3\nv,0903,{LEFT},12,1e17\n", "line 2: person id 1e\\+17", 1, 1),
        ("a.json", '[{"time_s": 1, "box": [0, 0, 1, 1]}, {"box": [0, 0, 1, 1]}, {"time_s": 1, "box": [0, 1]}]',
         "entry 2: no number 'time_s'", 1, 2),
        ("a.json", COCO, "entry 2: KeyError", 1, 2),
        ("a.pkl", acar([0, 0, 1, 1], [0, 0, 4, 1]), "row 2: box .* lies outside", 1, 1),
        ("v/00001.txt", "1 5 5 9 9\n1 5 5 9\n0 5 5 9 9\n1 9 5 5 9\n", "line 2: '1 5 5 9'", 1, 3),
    ],
)  # fmt: skip
def test_box_files(tmp_path: Path, name: str, content: str | bytes, message: str, left: int, count: int):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    source = path if path.parent == tmp_path else path.parent
    with pytest.raises(InputError, match=message):
        read_boxes(source)
    faults = Faults(skip=True)
    table = read_boxes(source, faults=faults)
    assert (len(table), faults.count) == (left, count)
    assert np.isfinite(table.boxes).all()
