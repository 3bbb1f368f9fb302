"""Annotations of tubes (UCF101-24, J-HMDB) that are broken, each told by file, video, tube and frame."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relact.data.jhmdb import JHMDBData
from relact.data.ucf24 import UCF24Data
from relact.errors import InputError
from relact.interop.ucf24 import read_annotation, read_label_folder
from relact.labels import LabelMap
from relact.metrics.frame_rows import read_truth
from tests.make_datasets import make_tubes

NAME = "catch/v_a"


def tube(**cells: float) -> np.ndarray:
    """Frames 3 to 5 of ACT's layout; `row_column=value` changes a cell."""
    rows = np.array([[frame, 40, 60, 160, 200] for frame in (3, 4, 5)], np.float32)
    for place, value in cells.items():
        row, column = place[1:].split("_")
        rows[int(row), int(column)] = value
    return rows


def act(tubes: object, nframes: object = 24, **changes: object) -> dict[str, object]:
    names = {"train_videos": [[NAME]], "test_videos": [[NAME]]}
    return {"labels": ["brush_hair", "catch"], "gttubes": {NAME: tubes}, "nframes": {NAME: nframes}, **names, **changes}


def pyannot(**changes: object) -> dict[str, object]:
    person = {"label": 1, "sf": 2, "ef": 4, "boxes": np.array([[5, 5, 9, 9]] * 2, np.uint8)} | changes
    return {NAME: {"annotations": [person], "label": 1, "numf": np.uint8(24)}}


def saved(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (act({1: [np.zeros((3, 4))]}), r"v_a tube 1: shape \[3, 4\]; expected numbers \[N, 5\]: frame, x1, y1, x2, y2"),
        (act({1: [tube(), "abc"]}), r"v_a tube 2: no numbers \('abc'\); expected numbers \[N, 5\]"),
        (act({1: [[[1, 2, 3, 4, 5], [1, 2]]]}), r"v_a tube 1: no numbers \(\[\[1, 2, 3"),
        (act({1: [tube(r1_2=np.nan)]}), r"v_a tube 1 frame 4: box \(40, nan, 160, 200\) is not four finite numbers"),
        (act({0: [tube()], 1: [tube(r2_3=np.inf)]}), r"v_a tube 2 frame 5: box .* is not four finite numbers"),
        (act({1: [tube(r0_3=20)]}), r"v_a tube 1 frame 3: box .* has x2 < x1 or y2 < y1; expected x1, y1, x2, y2"),
        (act({1: [tube(r0_0=np.nan)]}), r"v_a tube 1 row 1: frame nan; expected a whole number, from 1"),
        (act({1: [tube(r0_0=2.5)]}), r"v_a tube 1 row 1: frame 2.5; expected a whole number"),
        (act({1: [tube(r0_0=-4)]}), r"v_a tube 1 frame -4: no such frame; expected 1 or more"),
        (act({1: [tube()]}, nframes="many"), r"broken annotation of ACT's layout .*'many' is not a whole number"),
        (act({2: [tube()]}), r"v_a tube 1 frame 3: label 2; expected 0 to 1, one of the file's 2 actions"),
        (act({-1: [tube()]}), r"v_a tube 1 frame 3: label -1; expected 0 to 1"),
        (act({1: [tube()]}, labels=7), r"labels is 7; expected a list of the actions' names"),
        (act([tube()]), r"broken annotation of ACT's layout \(UCF101v2-GT.pkl, JHMDB-GT.pkl\)"),
        (act({}) | {"gttubes": {}}, r"has no video; expected an annotation of ACT's layout"),
        (pyannot(boxes=np.zeros((2, 5))), r"v_a tube 1: boxes: shape \[2, 5\]; expected numbers \[N, 4\]: x, y, w, h"),
        (pyannot(boxes=np.array([[5, 5, np.nan, 9]] * 2)), r"v_a tube 1 frame 2: box .* not four finite numbers"),
        (pyannot(sf=-1, ef=1), r"v_a tube 1 frame -1: no such frame; expected 0 or more"),
        (pyannot(label=24), r"v_a tube 1 frame 2: label 24; expected 0 to 23"),
        (pyannot(label="walk"), r"broken annotation of UCF101-24 .*'walk' is not a whole number"),
        (pyannot(sf=np.inf), r"broken annotation of UCF101-24"),
    ],
)
def test_broken_tubes_are_named(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(InputError, match=rf"x.pkl: .*{message}") as caught:
        read_annotation(saved(tmp_path / "x.pkl", content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 1 2 nan 9", r"box \(1, 2, nan, 9\) is not four finite numbers"),
        ("1 5 2 1 9", r"box \(5, 2, 1, 9\) has x2 < x1"),
        ("0 1 2 5 9", "class 0; expected a whole number, from 1"),
        ("1.5 1 2 5 9", "class 1.5"),
    ],
)
def test_broken_label_files_are_named(tmp_path: Path, line: str, message: str) -> None:
    folder = tmp_path / "labels" / NAME
    folder.mkdir(parents=True)
    (folder / "00001.txt").write_text("1 1 2 5 9\n")
    (folder / "00002.txt").write_text(f"1 1 2 5 9\n\n{line}\n")
    with pytest.raises(InputError, match=rf"00002.txt line 3: {message}"):
        read_label_folder(tmp_path / "labels")


@pytest.fixture(scope="module")
def jhmdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tubes(tmp_path_factory.mktemp("jhmdb"), "JHMDB-GT.pkl", ["brush_hair", "catch"], 1)


def changed(root: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """The name of a copy of the annotation with a change."""
    content = pickle.loads((root / "JHMDB-GT.pkl").read_bytes())
    change(content)
    return saved(root / "changed.pkl", content).name


def test_a_video_without_people_has_no_keyframe(jhmdb: Path) -> None:
    first = "brush_hair/v_brush_hair_g01_c01"
    data = JHMDBData(root=str(jhmdb), annotation=changed(jhmdb, lambda content: content["gttubes"].update({first: {}})))
    assert {sample.key.video for sample in data.samples("train")} == {"catch/v_catch_g01_c01"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": 3}, "labels is 3; expected a list of the actions' names"),
        ({"train_videos": 4}, "train_videos is 4; expected a list of 'Class/video' for each split"),
        ({"train_videos": ["catch/v_a"]}, r"train_videos is \['catch/v_a'\]; expected a list"),
        ({"train_videos": []}, r"has 0 splits; data.split=1 is not among them"),
        ({"labels": ["brush_hair"]}, r"v_catch_g01_c01 tube 1 frame 3: label 1; expected 0 to 0"),
        ({"gttubes": [1]}, "broken annotation of ACT's layout"),
    ],
)
def test_broken_j_hmdb_is_named(jhmdb: Path, change: dict[str, object], message: str) -> None:
    data = JHMDBData(root=str(jhmdb), annotation=changed(jhmdb, lambda content: content.update(change)))
    with pytest.raises(InputError, match=rf"changed.pkl: .*{message}"):
        data.samples("train")


def test_the_metric_refuses_them_too(tmp_path: Path) -> None:
    labels = LabelMap.load("ucf24")
    with pytest.raises(InputError, match=r"frame 4: box .* is not four finite numbers"):
        read_truth(saved(tmp_path / "x.pkl", act({1: [tube(r1_4=np.nan)]})), labels)
    with pytest.raises(InputError, match="test_videos is 'all'; expected a list"):
        read_truth(saved(tmp_path / "x.pkl", act({1: [tube()]}, test_videos="all")), labels)


@pytest.mark.parametrize("place", ["annotations/UCF101v2-GT.pkl", "UCF101v2-GT.pkl"])
def test_acts_pickle_is_found_without_being_named(tmp_path: Path, place: str) -> None:
    make_tubes(tmp_path, place, list(LabelMap.load("ucf24").names), 1)
    data = UCF24Data(root=str(tmp_path))
    assert len(data.samples("train")) == 2 * 18
    (tmp_path / place).unlink()
    with pytest.raises(InputError, match=r"annotations/pyannot.pkl: pyannot.pkl of .*nor is .*/UCF101v2-GT.pkl or .*"):
        data.samples("train")


def test_actions_that_ucf101_24_does_not_have_are_refused(tmp_path: Path) -> None:
    make_tubes(tmp_path, "x.pkl", [f"a{k}" for k in range(30)], 1)
    content = pickle.loads((tmp_path / "x.pkl").read_bytes())
    content["gttubes"]["a1/v_a1_g01_c01"] = {24: [tube()]}
    saved(tmp_path / "x.pkl", content)
    with pytest.raises(InputError, match=r"x.pkl: a1/v_a1_g01_c01 tube 1: label 24; expected 0 to 23"):
        UCF24Data(root=str(tmp_path), annotation="x.pkl").samples("train")
