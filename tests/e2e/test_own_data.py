"""Labels of one's own, the whole way: to CVAT and back, checked, trained on; predictions corrected and trained on."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from relact.data.check import check
from relact.interop.annotations import cvat
from relact.interop.annotations.cvat_write import VideoPeople, write_cvat
from relact.interop.annotations.pictures import FrameRule
from relact.interop.ava_csv import read_ava_csv
from relact.interop.faults import Faults
from relact.labels import LabelMap
from relact.run import detect_files
from relact.run.convert import convert, export_cvat
from relact.video.pipeline import DetectConfig
from relact.video.tables import read_actions
from tests.make_stage import make_stage

ROOT = Path(__file__).resolve().parent.parent.parent
TUTORIAL = ROOT / "docs" / "tutorials" / "own-data.md"


def relact(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "relact", *words], capture_output=True, text=True, check=False, cwd=folder
    )


def test_labels_to_cvat_and_back(play: Path, tmp_path: Path):
    files = export_cvat(play, tmp_path / "xml")
    assert [path.name for path in files] == ["stage_3_0000.xml", "stage_3_0001.xml"]
    raw = json.loads((tmp_path / "xml" / "cvat_labels.json").read_text())
    assert [a["name"] for a in raw[0]["attributes"]] == list(LabelMap.load(play / "labels.csv").names)
    convert("cvat", [tmp_path / "xml"], play / "videos", tmp_path / "own", labels=str(play / "labels.csv"))
    before, after = (read_ava_csv(folder / "groundtruth.csv", "groundtruth") for folder in (play, tmp_path / "own"))
    keys = [np.lexsort((t.action, t.boxes[:, 0].round(3), t.microseconds, t.video)) for t in (before, after)]
    assert before.videos == after.videos
    np.testing.assert_allclose(before.boxes[keys[0]], after.boxes[keys[1]], atol=1e-4)
    for column in ("video", "microseconds", "action"):
        np.testing.assert_array_equal(getattr(before, column)[keys[0]], getattr(after, column)[keys[1]])
    assert check(tmp_path / "own").problems == 0


@pytest.fixture(scope="module")
def detected(play: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detected")
    detect_files(
        [str(play / "videos" / "stage_3_0000.mp4")], weights=str(weights), out=folder, boxes=play / "people.csv",
        config=DetectConfig(draw=False), say=lambda text: None, quiet=True,
    )  # fmt: skip
    return folder / "stage_3_0000"


def test_predictions_to_cvat_and_back(detected: Path, play: Path, tmp_path: Path):
    """Same boxes to a hundredth of a pixel, same actions, people apart as they were."""
    labels = str(play / "labels.csv")
    export_cvat(detected, tmp_path / "corrections.xml", labels=labels, threshold=0.2)
    convert("cvat", [tmp_path / "corrections.xml"], play / "videos", tmp_path / "own", labels=labels)
    columns = read_actions(detected / "actions.csv")
    done = columns["score"] >= 0.2
    seconds = columns["time_s"].round()
    corners = np.stack([columns[name] for name in ("x1", "y1", "x2", "y2")], axis=1)
    wanted = sorted(zip(seconds[done], columns["action_id"][done], corners[done].round(3).tolist(), strict=True))
    table = read_ava_csv(tmp_path / "own" / "groundtruth.csv", "groundtruth")
    found = sorted(zip(table.time, table.action, table.boxes.tolist(), strict=True))
    assert len(wanted) == len(found) > 5
    assert [row[:2] for row in wanted] == [row[:2] for row in found]
    np.testing.assert_allclose([row[2] for row in wanted], [row[2] for row in found], atol=6e-4)
    assert table.person is not None
    assert len(set(table.person.tolist())) == len(set(columns["person_id"][done].tolist()))


def test_a_correction_arrives(detected: Path, play: Path, tmp_path: Path):
    """A box moved, an action ticked off and on, in the text as CVAT would save it."""
    labels = str(play / "labels.csv")
    export_cvat(detected, tmp_path / "a.xml", labels=labels, threshold=0.0)
    text = (tmp_path / "a.xml").read_text()
    text = re.sub(r'(<attribute name="stand">)(true|false)', r"\1false", text)
    text = re.sub(r'(<attribute name="walk">)(true|false)', r"\1true", text)
    text = re.sub(r'ytl="[\d.]+"', 'ytl="1.50"', text)
    (tmp_path / "a.xml").write_text(text)
    convert("cvat", [tmp_path / "a.xml"], play / "videos", tmp_path / "own", labels=labels)
    table = read_ava_csv(tmp_path / "own" / "groundtruth.csv", "groundtruth")
    assert 1 not in table.action
    assert table.person is not None
    seen = np.unique(np.column_stack([table.time, table.person]), axis=0)
    assert (table.action == 2).sum() == len(seen) == 6
    np.testing.assert_allclose(table.boxes[:, 1], 1.5 / 96, atol=1e-6)


def test_a_person_who_leaves_is_gone_between(tmp_path: Path):
    people = VideoPeople(
        file="a.mp4", width=100, height=50, num_frames=100, step=10.0, frame=np.array([0, 10, 60, 95]),
        person=np.array([4, 4, 4, 9]), boxes_px=np.array([[1.0, 2, 30, 40]] * 4),
        actions=(frozenset(["walk"]), frozenset(), frozenset(["a <b> & c"]), frozenset()),
    )  # fmt: skip
    write_cvat(tmp_path / "a.xml", people, ["walk", "a <b> & c"])
    first, second = cvat.read(tmp_path / "a.xml", FrameRule(), Faults()).tracks
    assert first.instants.tolist() == [0, 10, 15, 60, 65]
    assert first.visible.tolist() == [True, True, False, True, False]
    assert second.instants.tolist() == [95]  # the video ends before it could be gone


def test_what_cannot_be_exported(tmp_path: Path, play: Path, detected: Path):
    shown = relact("data", "export", "cvat", str(tmp_path), "--out", "x.xml", folder=tmp_path)
    assert (shown.returncode, "expected a folder that relact detect wrote" in shown.stderr) == (2, True)
    shown = relact("data", "export", "cvat", str(play), "--out", "x.xml", folder=tmp_path)
    assert (shown.returncode, "2 videos; give a folder" in shown.stderr) == (2, True)
    (tmp_path / "labels.csv").write_text("id,name\n1,sing\n")
    shown = relact(
        "data", "export", "cvat", str(detected), "--out", "x.xml", "--labels", "labels.csv", "--threshold", "0",
        folder=tmp_path,
    )  # fmt: skip
    assert (shown.returncode, "lacks" in shown.stderr) == (2, True)


def test_check_tells_by_its_status_and_draws_a_page(play: Path, tmp_path: Path):
    shown = relact("data", "check", str(play), "--page", "check.html", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "warning: classes without an example (32)" in shown.stdout
    assert "0 problems, 32 warnings" in shown.stdout
    page = (tmp_path / "check.html").read_text()
    assert "stand" in page
    assert page.count("data:image/jpeg;base64,") >= 5
    assert not re.search(r"<script|https?://", page)
    (tmp_path / "truth.csv").write_text((play / "groundtruth.csv").read_text() + "stage_3_0000,0001,5,5,9,9,12,8\n")
    bad = relact(
        "data", "check", str(play), "--truth", str(tmp_path / "truth.csv"), "--write-good", "clean.csv", "--json",
        folder=tmp_path,
    )  # fmt: skip
    assert bad.returncode == 1
    report = json.loads(bad.stdout)
    assert (report["problems"], report["findings"][0]["kind"]) == (1, "boxes in pixels")
    assert (tmp_path / "clean.csv").read_bytes() == (play / "groundtruth.csv").read_bytes()
    assert relact("data", "check", "nowhere", folder=tmp_path).returncode == 2


def commands() -> list[str]:
    """The tutorial's lines that begin with `relact`, comments cut off and broken lines joined."""
    text = TUTORIAL.read_text(encoding="utf-8")
    blocks = [block for _, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split(" #")[0].strip() for line in lines if line.startswith("relact ")]


def test_the_commands_of_the_tutorial_exist_with_their_options():
    assert len(commands()) >= 10
    helps: dict[tuple[str, ...], str] = {}
    for command in commands():
        words = command.split()
        depth = 3 if words[1] in ("data", "weights", "evaluate") else 2
        key = tuple(words[1:depth])
        helps[key] = helps.get(key) or relact(*key, "--help", folder=ROOT).stdout
        for option in re.findall(r"--[a-z-]+", command):
            assert option in helps[key], f"{option} of {command!r}"


@pytest.mark.slow
def test_the_tutorial_runs_as_it_stands(tmp_path: Path):
    """Its first part: the made-up videos stand for the reader's own."""
    text = TUTORIAL.read_text(encoding="utf-8").partition("<!-- tried as it stands until here -->")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert sum(block.count("relact ") for block in blocks) >= 9
    script = f'set -e\nrelact() {{ "{sys.executable}" -m relact "$@"; }}\n' + "\n".join(blocks)
    shown = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert check(tmp_path / "corrected").problems == 0


@pytest.mark.slow
def test_converted_labels_train(tmp_path: Path):
    make_stage(tmp_path / "play", videos=2)
    export_cvat(tmp_path / "play", tmp_path / "xml")
    convert("cvat", [tmp_path / "xml"], tmp_path / "play" / "videos", tmp_path / "own")
    settings = ["data.root=own", "train.epochs=1", "transform.short_side=48"]
    words = [word for setting in settings for word in ("--set", setting)]
    shown = relact("train", "debug", *words, "--out", "run", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "mAP@0.5" in shown.stdout
