"""`relact data check`: every fault with its place, exact counts, and the reader's own verdict."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relact.data.ava import AvaData
from relact.data.check import SetCheck, check
from relact.data.check_rows import Findings, read_truth, write_rows
from relact.data.folder import INCOMPLETE, MANIFEST
from relact.errors import InputError
from relact.interop.ava_csv import AvaTable, read_ava_csv
from relact.interop.faults import Faults
from relact.interop.files import sha256_of
from tests.make_video import make_video

TRUTH = """\
one,0000,0.1,0.1,0.4,0.9,12,1
one,0000,0.1,0.1,0.4,0.9,69,1
one,0000,0.5,0.1,0.9,0.9,12,2
one,0001,0.1,0.1,0.4,0.9,14,1
one,0002
two,0001,0.2,0.2,0.6,0.8,12
"""
LABELS = "id,name,group\n12,stand,pose\n14,walk,pose\n69,wave,person\n"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    (folder / "videos").mkdir()
    for name, frames in (("one", 30), ("two", 20)):
        make_video(folder / "videos" / f"{name}.mp4", frames=frames, rate=10)
    (folder / "groundtruth.csv").write_text(TRUTH)
    (folder / "labels.csv").write_text(LABELS)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "set"))


def kinds(checked: SetCheck, severity: str = "problem") -> dict[str, int]:
    return {found.kind: found.count for found in checked.findings if found.severity == severity}


def test_a_good_set_and_its_figures(folder: Path):
    checked = check(folder)
    assert (checked.problems, checked.warnings) == (0, 0)
    s = checked.statistics
    assert (s.videos, s.keyframes, s.empty_keyframes, s.people) == (2, 4, 1, 2)
    assert (s.boxes, s.boxes_without_id, s.most_people) == (4, 1, 2)
    assert s.examples == {"stand": 3, "walk": 1, "wave": 1}
    assert s.together == [("stand", "wave", 1)]
    assert s.seconds == pytest.approx(2.9 + 1.9)
    assert s.sizes == {"96x64": 2}
    assert json.loads(json.dumps(checked.to_json()))["statistics"]["examples"]["walk"] == 1


ROWS = [
    ("one,0001,0.1,nan,0.4,0.9,12,1", "boxes that are no numbers"),
    ("one,0001,10,20,300,200,12,1", "boxes in pixels"),
    ("one,0001,0.1,0.1,1.5,0.9,12,1", "boxes outside of the picture"),
    ("one,0001,0.6,0.1,0.4,0.9,12,1", "boxes the wrong way round"),
    ("one,0001,0.4,0.1,0.4,0.9,12,1", "boxes without area"),
    ("one,0001,0.1,0.1,0.4,0.9,0,1", "actions that are none"),
    ("one,0001,0.1,0.1,0.4,0.9,13,1", "unknown actions"),
    ("one,0001,0.1,0.1,0.4,0.9,12,0.5", "person ids that are no whole numbers"),
    ("one,-1,0.1,0.1,0.4,0.9,12,1", "times that are none"),
    ("one,0009,0.1,0.1,0.4,0.9,12,1", "seconds beyond the end"),
    ("one,0001,0.5,0.1,0.9,0.9,12,1", "persons with two boxes at one keyframe"),
    ("one,0001,0.1,0.1,0.4", "lines with a wrong number of columns"),
    ("one,0001,0.1,0.1,0.4,0.9,stand,1", "cells that are no numbers"),
    (",0001,0.1,0.1,0.4,0.9,12,1", "rows without a video's name"),
    ("three,0001,0.1,0.1,0.4,0.9,12,1", "missing videos"),
]


@pytest.mark.parametrize(("row", "kind"), ROWS, ids=[kind for _, kind in ROWS])
def test_each_fault_is_told_with_its_line(folder: Path, row: str, kind: str):
    (folder / "groundtruth.csv").write_text(TRUTH + row + "\n")
    checked = check(folder)
    assert kinds(checked).get(kind) == 1
    assert checked.problems == 1 + (kind == "rows without a video's name")  # a video "" is also missing
    place = next(found.examples[0] for found in checked.findings if found.kind == kind)
    assert f"{folder / 'groundtruth.csv'} line 7: " in place or kind == "missing videos"


def test_several_faults_are_all_told(folder: Path):
    (folder / "groundtruth.csv").write_text(
        "video,second,x1,y1,x2,y2,action,person\n" + TRUTH + "\n".join(r for r, _ in ROWS)
    )
    found = kinds(check(folder))
    assert set(found) == {kind for _, kind in ROWS} | {"a header line"}


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("one,0001,0.1,0.1,0.4,0.9,14,1", "rows that come twice"),
        ("one,0001,0.1,0.1,0.4,1.02,12,7", "boxes a little outside of the picture"),
        ("one,0000,0.5,0.1,0.9,0.9,12,3", "boxes of two persons at one keyframe"),
        ("one,0001", "keyframes with and without people"),
        ("one,0001,0.1,0.1,0.15,0.15,12,2", "persons who jump"),
        ("two,0002.5,0.1,0.1,0.4,0.9,12,1", "seconds a little beyond the end (the last frame stands for them)"),
    ],
)
def test_what_is_only_suspicious_is_a_warning(folder: Path, row: str, kind: str):
    (folder / "groundtruth.csv").write_text(TRUTH + row + "\n")
    checked = check(folder)
    assert checked.problems == 0
    assert kinds(checked, "warning") == {kind: 1}


def test_a_last_line_that_is_cut_off(folder: Path):
    (folder / "groundtruth.csv").write_text(TRUTH.replace("one,0002\n", "") + "two,00")
    assert kinds(check(folder)) == {"a last line that is cut off": 1}


def test_videos_that_are_broken_cut_or_unlabelled(folder: Path):
    whole = (folder / "videos" / "one.mp4").read_bytes()
    (folder / "videos" / "two.mp4").write_bytes(b"no video at all" * 50)
    shutil.copy(folder / "videos" / "one.mp4", folder / "videos" / "three.mp4")
    (folder / "videos" / "four.txt").write_text("notes")
    checked = check(folder)
    assert kinds(checked) == {"videos that cannot be read": 1}
    assert kinds(checked, "ignored") == {"videos without labels": 1}
    assert "two.mp4" in next(f for f in checked.findings if f.severity == "problem").examples[0]
    middle = len(whole) // 2
    damaged = whole[:middle] + b"\0" * 400 + whole[middle + 400 :]
    (folder / "videos" / "two.mp4").write_bytes(whole)
    (folder / "videos" / "one.mp4").write_bytes(damaged)
    assert isinstance(check(folder, decode=True).problems, int)  # whatever FFmpeg makes of it, it is no crash


def test_a_cut_video_is_found_by_its_length(folder: Path):
    path = folder / "videos" / "one.mkv"
    make_video(path, frames=100, rate=10)
    (folder / "videos" / "one.mp4").unlink()
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    assert "videos that are cut off or damaged" in kinds(check(folder))


def test_names_with_a_suffix_are_explained(folder: Path):
    (folder / "groundtruth.csv").write_text(TRUTH.replace("two,", "two.mp4,"))
    checked = check(folder)
    assert "write the name without the suffix" in checked.findings[0].examples[0]


@pytest.mark.parametrize(
    ("text", "kind", "place"),
    [
        (LABELS + "14,run,pose\n", "label ids that come twice", "line 5: id 14, as in line 3"),
        (LABELS + "15,\n", "labels without a name", "line 5"),
        (LABELS + "fifteen,run\n", "labels that cannot be read", "line 5"),
        ("", "labels that cannot be read", "no labels"),
    ],
)
def test_faults_of_the_labels(folder: Path, text: str, kind: str, place: str):
    (folder / "labels.csv").write_text(text)
    checked = check(folder)
    assert any(place in example for found in checked.findings if found.kind == kind for example in found.examples)


def test_labels_that_nobody_does_and_names_that_come_twice(folder: Path):
    (folder / "labels.csv").write_text(LABELS + "15,Walk,pose\n")
    checked = check(folder)
    assert kinds(checked, "warning") == {"label names that come twice": 1, "classes without an example": 1}
    assert checked.problems == 0


def test_a_missing_label_file(folder: Path):
    (folder / "labels.csv").unlink()
    assert kinds(check(folder)) == {"labels that cannot be read": 1}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / INCOMPLETE).touch(), "its writing was cut off"),
        (lambda f: (f / "groundtruth.csv").unlink(), "cannot be read"),
        (lambda f: (f / "groundtruth.csv").write_text(""), "it is empty"),
        (lambda f: (f / "groundtruth.csv").write_text("a\nb\n"), "line 1: 1 columns"),
        (lambda f: (f / "groundtruth.csv").write_bytes(b"\xff\xfe\x00"), "UTF-8"),
        (lambda f: (f / MANIFEST).write_text('{"files": {"boxes.csv": "0"}}'), r"boxes\.csv, which is not there"),
        (lambda f: (f / MANIFEST).write_text('{"files": {"labels.csv": "0"}}'), "content is not what manifest"),
        (lambda f: (f / MANIFEST).write_text('{"files": {"labels.csv": 3}}'), "something else than texts"),
        (lambda f: (f / MANIFEST).write_text('{"files": '), "line 1: broken JSON"),
        (lambda f: (f / MANIFEST).write_text("[]"), "expected"),
    ],
)
def test_what_cannot_be_used_at_all(folder: Path, spoil, message: str):
    spoil(folder)
    with pytest.raises(InputError, match=message):
        check(folder)


def test_a_manifest_that_fits(folder: Path):
    claim = {"files": {"labels.csv": sha256_of(folder / "labels.csv")}}
    (folder / MANIFEST).write_text(json.dumps(claim))
    assert check(folder).problems == 0


def test_the_good_rows_are_what_training_takes(folder: Path, tmp_path: Path):
    (folder / "groundtruth.csv").write_text(TRUTH + "\n".join(row for row, _ in ROWS) + "\n")
    check(folder, write_good=tmp_path / "clean.csv")
    assert (tmp_path / "clean.csv").read_text() == TRUTH
    present = TRUTH + "\n".join(row for row, _ in ROWS if not row.startswith("three")) + "\n"
    (folder / "groundtruth.csv").write_text(present)
    assert check(folder).statistics == check(folder, truth=str(tmp_path / "clean.csv")).statistics
    with pytest.raises(InputError):
        AvaData(root=str(folder)).samples("train")
    assert len(AvaData(root=str(folder), train=str(tmp_path / "clean.csv")).samples("train")) == 4


def test_avas_own_conventions(folder: Path):
    """Second 900 is the first frame; 20 of the 80 actions are not judged; some keyframes are excluded."""
    (folder / "groundtruth.csv").write_text("one,0901,0.1,0.1,0.4,0.9,12,1\none,0902,0.1,0.1,0.4,0.9,2,1\n")
    (folder / "excluded.csv").write_text("one,0901\n")
    checked = check(folder, labels="ava60", start=900, exclude="excluded.csv")
    assert checked.problems == 0
    assert kinds(checked, "ignored") == {
        "actions of AVA's 80 that are not evaluated": 1, "rows of excluded keyframes": 1, "videos without labels": 1
    }  # fmt: skip
    assert kinds(check(folder, labels="ava"))["seconds beyond the end"] == 2


def lines_of(low: list[str], high: list[str]) -> st.SearchStrategy[str]:
    corners = st.sampled_from(low), st.sampled_from(low), st.sampled_from(high), st.sampled_from(high)
    return st.builds(
        ",".join,
        st.tuples(
            st.just("one"), st.sampled_from(["0", "1", "-1", "nan"]), *corners,
            st.sampled_from(["12", "0", "1.5", "y"]), st.sampled_from(["1", "2", "0.5", "-1"]),
        ),
    )  # fmt: skip


cells = ["0.1", "0.5", "0.9", "1.03", "1.2", "7", "-0.3", "nan", "inf", "x", "", "0_1"]
line = lines_of(cells, cells)


@given(st.lists(line | st.sampled_from(["one,0001", "one", "one,0001,0.1,0.1,0.4,0.9,14,1"]), min_size=1, max_size=6))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_the_reader_refuses_is_a_problem_here(original: Path, tmp_path: Path, lines: list[str]):
    path = tmp_path / "truth.csv"
    path.write_text("\n".join(lines) + "\n")
    try:
        checked = check(original, truth=str(path), write_good=tmp_path / "clean.csv")
    except InputError:  # not one row
        with pytest.raises(InputError):
            read_ava_csv(path, "groundtruth")
        return
    try:
        read_ava_csv(path, "groundtruth")
    except InputError:
        assert checked.problems
    clean = read_ava_csv(tmp_path / "clean.csv", "groundtruth")
    assert len(clean) + len(clean.empty) == int(checked.rows.usable.sum())
    assert np.isfinite(clean.boxes).all()


LOW, HIGH = ["0.1", "0.4", "-0.02", "-0.3", "nan", "x"], ["0.5", "0.9", "0.3", "1.03", "7", "inf", "0_1"]
OTHERS = ["one,0001", "one", "one,0001,0.1,0.1,0.4,0.9,14,1", "", '"one",0001', "two,0000"]
ROW = lines_of(LOW, HIGH) | st.sampled_from(OTHERS)  # none without area: only the check minds those


@given(st.lists(ROW, min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]), st.booleans())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_the_reader_skips_is_what_the_check_leaves_out(tmp_path: Path, lines: list[str], end: str, whole: bool):
    path, clean = tmp_path / "truth.csv", tmp_path / "clean.csv"
    path.write_bytes((end.join(lines) + end * whole).encode())
    checked, faults = read_truth(path, Findings()), Faults(skip=True)
    table = read_ava_csv(path, "groundtruth", faults=faults)
    assert table.lines.tolist() == checked.lines[checked.people].tolist()
    assert faults.count == sum(bool(text) for text in lines) - int(checked.good.sum())
    write_rows(checked, path, clean)
    again = read_ava_csv(clean, "groundtruth")
    for ours, theirs in ((table, again), (table.empty, again.empty)):
        for name in ("videos", "video", "microseconds"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    for name in ("boxes", "action", "person"):
        np.testing.assert_array_equal(getattr(table, name), getattr(again, name))
    assert_same(again, read_ava_csv(clean, "groundtruth", faults=(none := Faults(skip=True))))
    assert none.count == 0


def assert_same(a: AvaTable, b: AvaTable) -> None:
    assert a.videos == b.videos
    for name in ("video", "microseconds", "boxes", "action", "person", "lines"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_a_set_without_its_videos_is_still_counted(folder: Path):
    shutil.rmtree(folder / "videos")
    checked = check(folder)
    assert kinds(checked) == {"no folder of videos": 1, "missing videos": 2}
    assert (checked.statistics.boxes, checked.statistics.seconds) == (4, 0)
