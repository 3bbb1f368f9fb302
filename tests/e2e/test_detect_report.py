"""`relact detect` and `relact report`: a page to look at, from videos to the end."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from relact.cli import app
from relact.errors import InputError
from relact.run import one_video


def run(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'id="data">([^<]*)</script>', page.read_text("utf-8"))
    assert found
    return json.loads(found[1])


def test_detect_writes_a_report_a_video_and_an_index(play: Path, weights: Path, tmp_path: Path):
    videos = [play / "videos" / f"stage_3_000{k}.mp4" for k in (0, 1)]
    said = run("detect", *videos, "-w", weights, "--boxes", play / "people.csv", "-o", tmp_path, "--no-draw")
    for name in ("stage_3_0000", "stage_3_0001"):
        assert f"look at {tmp_path / name / 'report.html'}" in said
        data = data_of(tmp_path / name / "report.html")
        assert [person["id"] for person in data["people"]] == [1, 2]
        assert {label["group"] for label in data["labels"]} == {"pose", "object", "person"}
    assert f"look at {tmp_path / 'index.html'}" in said
    assert [video["href"] for video in data_of(tmp_path / "index.html")["videos"]] == [
        "stage_3_0000/report.html", "stage_3_0001/report.html"
    ]  # fmt: skip
    before = (tmp_path / "stage_3_0000" / "report.html").read_bytes()
    run("report", tmp_path)
    assert (tmp_path / "stage_3_0000" / "report.html").read_bytes() == before
    run("report", tmp_path / "stage_3_0000", "--truth", play / "groundtruth.csv")
    assert data_of(tmp_path / "stage_3_0000" / "report.html")["truth"]["names"] == ["Truth 1", "Truth 2"]


def test_no_report_is_no_report(play: Path, weights: Path, tmp_path: Path):
    video = play / "videos" / "stage_3_0000.mp4"
    said = run(
        "detect", video, "-w", weights, "--boxes", play / "people.csv", "-o", tmp_path, "--no-draw", "--no-report"
    )
    assert "look at" not in said
    assert not (tmp_path / "stage_3_0000" / "report.html").exists()


def test_a_report_that_fails_is_said_and_the_result_stands(
    play: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> Path:
        raise InputError("the disk is full")

    monkeypatch.setattr(one_video, "report_one", fail)
    video = tmp_path / "stage_3_0000.mp4"
    shutil.copy(play / "videos" / "stage_3_0000.mp4", video)
    said = run("detect", video, "-w", weights, "--boxes", play / "people.csv", "--no-draw")
    assert "report.html is not written: the disk is full" in said
    assert (tmp_path / "stage_3_0000.relact" / "actions.csv").is_file()
