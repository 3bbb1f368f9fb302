"""`relact show --relations`: from a video or a result to a picture, and clear answers where there is none."""

import dataclasses
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from relact.cli import app
from relact.labels import LabelMap
from relact.recipe import Recipe
from tests.e2e.memory_models import HEADS, run_folder


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.output + (f"{done.exception}" if done.exception else "")


@pytest.fixture(scope="module")
def acar(play: Path, small: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    head = dataclasses.replace(HEADS["acar"], window=0)
    return run_folder(tmp_path_factory.mktemp("run"), small, head, LabelMap.load(play / "labels.csv"))


@pytest.fixture(scope="module")
def result(play: Path, acar: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What detect finds in the play."""
    folder = tmp_path_factory.mktemp("found")
    video, boxes = play / "videos" / "stage_3_0000.mp4", play / "people.csv"
    status, said = run("detect", video, "-w", acar, "--boxes", boxes, "-o", folder, "--no-draw", "--no-report")
    assert status == 0, said
    return folder / "stage_3_0000"


def test_a_result_knows_its_video_and_its_model(result: Path, tmp_path: Path):
    status, said = run("show", result, "--at", 1, "--person", 2, "--relations", tmp_path / "a.svg")
    assert status == 0, said
    root = ET.parse(tmp_path / "a.svg").getroot()
    words = [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "ACAR-Net: what it relates person 2 to" in words
    assert any(word.startswith("what person 1 means to 2") for word in words)
    keyframe = json.loads((result / "run.json").read_text())["protocol"]["keyframe_period"]
    assert keyframe == 1.0
    assert "stage_3_0000.mp4, keyframe at 1 s" in words


def test_without_relations_show_lists_segments_as_ever(result: Path):
    status, said = run("show", result)
    assert status == 0, said
    assert "person" in said


@pytest.mark.parametrize("name", HEADS)
def test_a_video_with_a_box_file_and_any_memory(name: str, play: Path, small: Recipe, result: Path, tmp_path: Path):
    """The memory of a head is filled as detect fills it: the scores in the picture are detect's."""
    weights = run_folder(tmp_path / "run", small, HEADS[name], LabelMap.load(play / "labels.csv"))
    video = play / "videos" / "stage_3_0000.mp4"
    boxes = result if name == "igmn" else play / "people.csv"
    out = tmp_path / "a.png"
    status, said = run("show", video, "-w", weights, "--boxes", boxes, "--at", 1, "--person", 1, "--relations", out)
    assert status == 0, said
    assert Image.open(out).size[0] == 2240


@pytest.mark.parametrize("name", ["lfb", "igmn"])
def test_the_scores_are_those_of_detect(name: str, play: Path, small: Recipe, tmp_path: Path):
    from relact.run import detect_files
    from relact.run.look import open_looker
    from relact.video.pipeline import DetectConfig
    from relact.video.tables import read_actions

    weights = run_folder(tmp_path / "run", small, HEADS[name], LabelMap.load(play / "labels.csv"))
    config = DetectConfig(precision="fp32", threshold=0.0, draw=False)
    [found] = detect_files(
        [str(play / "videos" / "stage_3_0000.mp4")], weights=weights, out=tmp_path / "out", boxes=play / "people.csv",
        config=config, report=False, quiet=True, say=lambda text: None,
    )  # fmt: skip
    table = read_actions(found.folder / "actions.csv")
    picture = open_looker(found.folder).picture(1.0, 1)
    rows = (table["time_s"] == 1.0) & (table["person_id"] == 1)
    best = sorted(table["score"][rows].tolist(), reverse=True)[: len(picture.actions)]
    assert [score for _, score in picture.actions] == pytest.approx(best, abs=2e-4)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--at", 99, "--person", 1), "--at 99: .*stage_3_0000.mp4 goes from 0 to"),
        (("--at", 1, "--person", 7), "--person 7: not in the keyframe at 1 s, where there are 1, 2; person 7 is in no"),
        (("--at", 1), "--person: who[?] at 1 s there are 1, 2"),
    ],
)
def test_whoever_or_whenever_is_not_there_is_said(words: tuple[object, ...], told: str, result: Path, tmp_path: Path):
    status, said = run("show", result, *words, "--relations", tmp_path / "a.png")
    assert status != 0
    assert re.search(told, said), said
    assert not (tmp_path / "a.png").exists()


def test_a_keyframe_without_people_and_a_head_without_maps(
    play: Path, weights: Path, result: Path, acar: Path, tmp_path: Path
):
    video, boxes, out = play / "videos" / "stage_3_0000.mp4", tmp_path / "few.csv", tmp_path / "a.png"
    boxes.write_text("video,time_s,x1,y1,x2,y2,person\nstage_3_0000,2.0,0.1,0.1,0.4,0.9,5\n")
    status, said = run("show", video, "-w", acar, "--boxes", boxes, "--at", 0, "--relations", out)
    assert status != 0
    assert "nobody is in the keyframe at 0 s; somebody is there at 2 s" in said
    status, said = run("show", video, "-w", acar, "--boxes", boxes, "--at", 2, "--relations", out)
    assert status == 0, said  # one person alone: no pair, and that is said
    status, said = run("show", result, "-w", weights, "--at", 1, "--person", 1, "--relations", tmp_path / "b.png")
    assert status != 0
    assert "the head linear leaves no weights" in said


def test_what_is_missing_is_asked_for(play: Path, result: Path, tmp_path: Path):
    video = play / "videos" / "stage_3_0001.mp4"
    for words, told in (
        ((video, "--at", 1, "--relations", tmp_path / "a.png"), "who is in it? give --boxes"),
        ((video, "--boxes", play / "people.csv", "--at", 1, "--relations", tmp_path / "a.png"), "give --weights"),
        ((result, "--relations", tmp_path / "a.png"), "belong together; give both"),
        ((result, "--at", 1, "--person", 1, "--relations", tmp_path / "a.gif"), "ending in .png or .svg"),
        ((tmp_path, "--at", 1, "--relations", tmp_path / "a.png"), "expected a folder that relact detect wrote"),
    ):
        status, said = run("show", *words)
        assert status != 0
        assert told in said
