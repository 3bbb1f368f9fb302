"""`relact report --relations`: pictures of where the head looked, in the page; clear answers where there is none."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from relact.cli import app
from relact.run import detect_files
from relact.video.pipeline import DetectConfig
from relact.video.tables import read_actions


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.output + (f"{done.exception}" if done.exception else "")


@pytest.fixture(scope="module")
def result(play: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a model that ships makes of the people of a play."""
    folder = tmp_path_factory.mktemp("found")
    detect_files(
        [str(play / "videos" / "stage_3_0000.mp4")], weights="stage_stc", out=folder, boxes=play / "people.csv",
        config=DetectConfig(draw=False, threshold=0.0), say=lambda text: None, quiet=True,
    )  # fmt: skip
    return folder / "stage_3_0000"


def looks(page: Path) -> list[dict[str, Any]]:
    """The pictures that a page shows."""
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">([^<]*)</script>', text)
    assert found is not None
    pictures: list[dict[str, Any]] = json.loads(found[1])["looks"]
    return pictures


def test_everyone_is_drawn_where_nobody_is_named(result: Path, tmp_path: Path):
    assert looks(result / "report.html") == []
    status, said = run("report", result, "--relations", "2", "--relations", "1.1")
    assert status == 0, said
    actions = read_actions(result / "actions.csv")
    there = {(time, person) for time, person in zip(actions["time_s"], actions["person_id"], strict=True)}
    expected = sorted((round(float(t)), int(p)) for t, p in there if round(float(t)) in (1, 2))
    found = looks(result / "report.html")
    assert [(look["time"], look["person"]) for look in found] == expected
    assert found[0]["title"] == f"STC: what it relates person {found[0]['person']} to"
    kind, data = found[0]["picture"].split(";base64,")
    assert kind == "data:image/jpeg"
    (tmp_path / "picture.jpg").write_bytes(base64.b64decode(data))
    with Image.open(tmp_path / "picture.jpg") as picture:
        assert picture.width > 1000
    status, said = run("report", result)
    assert status == 0, said
    assert looks(result / "report.html") == []


def test_one_person_by_another_model_from_a_film_that_has_moved(result: Path, play: Path, tmp_path: Path):
    film = tmp_path / "moved.mp4"
    film.write_bytes((play / "videos" / "stage_3_0000.mp4").read_bytes())
    status, said = run("report", result, "--video", film, "--relations", 1, "--person", 2, "--weights", "stage_acar")
    assert status == 0, said
    assert [look["title"] for look in looks(result / "report.html")] == ["ACAR-Net: what it relates person 2 to"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--relations", 99), "--at 99: .* goes from 0 to"),
        (("--relations", 1, "--person", 9), "--person 9: not in the keyframe at 1 s"),
        (("--relations", 1, "--weights", "stage_linear"), "linear"),
        (("--person", 1), "belong to --relations SECOND"),
    ],
)
def test_what_cannot_be_drawn_is_said_and_the_page_stays_as_it_was(
    result: Path, words: tuple[object, ...], message: str
):
    before = (result / "report.html").read_bytes()
    status, said = run("report", result, *words)
    assert status != 0
    assert re.search(message, said), said
    assert (result / "report.html").read_bytes() == before


def test_pictures_are_of_one_result(result: Path, tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_bytes((result / "run.json").read_bytes())
    status, said = run("report", tmp_path, "--relations", 1)
    assert status != 0
    assert "holds 2 results; give the folder of one" in said
