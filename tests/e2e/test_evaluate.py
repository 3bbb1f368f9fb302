"""`relact evaluate` as a user runs it: actions and ids."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from relact.cli import app
from relact.errors import InputError

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run() -> Run:
    def call(*words: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, [str(word) for word in words])
        if isinstance(result.exception, InputError):  # main() prints it and ends with 2
            return 2, str(result.exception)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    return call


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Two people for three seconds in each of two videos; in `b` one of them jumps."""
    path = tmp_path / "truth.csv"
    rows = [("a", t, x, who) for t in range(3) for x, who in ((0.1, 1), (0.6, 2))]
    rows += [("b", t, 0.1, 1) for t in range(3)] + [("b", 0, 0.5, 2), ("b", 1, 0.8, 2), ("b", 2, 0.8, 2)]
    path.write_text("".join(f"{v},{t},{x},0.1,{x + 0.1:.1f},0.9,12,{who}\n" for v, t, x, who in rows))
    return path


def test_the_truth_judged_by_itself_is_perfect(run: Run, truth: Path, tmp_path: Path):
    report = tmp_path / "report.json"
    status, said = run("evaluate", "links", "--predictions", truth, "--groundtruth", truth, "--json", report)
    assert status == 0, said
    assert [line.split("│")[1:4] for line in said.splitlines() if "│ all" in line] == [
        [" all   ", " 1.0000    ", " 1.0000 "]
    ]
    content = json.loads(report.read_text())
    assert list(content["videos"]) == ["a", "b"]
    assert (content["total"]["precision"], content["total"]["true"], content["total"]["idf1"]) == (1, 8, 1)


def test_the_linker_is_judged_in_one_command(run: Run, truth: Path, tmp_path: Path):
    report = tmp_path / "report.json"
    words = ["evaluate", "links", "--predictions", truth, "--groundtruth", truth, "--json", report]
    status, said = run(*words, "--relink", "--link-gap", 2, "--max-gap", 1)
    assert status == 0, said
    content = json.loads(report.read_text())
    assert content["total"]["recall"] == 7 / 8  # the jump is lost
    assert content["videos"]["a"]["recall"] == content["total"]["precision"] == 1
    assert content["protocol"]["ids"] == "keyframe linker by overlap, max_gap 2"


def test_what_detect_wrote_is_judged_as_it_is(run: Run, play: Path, weights: Path, tmp_path: Path):
    """Detect keeps the ids of its box file, so its own tables judge as perfect; ava.csv has no ids."""
    boxes = play / "groundtruth.csv"
    status, said = run(
        "detect", play / "videos" / "stage_3_0000.mp4", "-w", weights, "--boxes", boxes, "-o", tmp_path, "--no-draw"
    )
    assert status == 0, said
    folder, report = tmp_path / "stage_3_0000", tmp_path / "report.json"
    judge = ["evaluate", "links", "--groundtruth", boxes, "--json", report, "--predictions"]
    status, said = run(*judge, folder / "actions.csv")
    assert status == 0, said
    content = json.loads(report.read_text())
    assert content["videos"]["stage_3_0000"]["precision"] == content["videos"]["stage_3_0000"]["recall"] == 1
    assert content["videos"]["stage_3_0001"]["recall"] == 0  # no predictions: missed, and said
    assert "1 of 2 videos have no predictions" in content["warnings"][0]
    status, said = run(*judge, folder / "ava.csv")
    assert status == 2
    assert "ava.csv: no person ids" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "eva", "--predictions", "a", "--groundtruth", "b"], "no protocol named 'eva': there are ava"),
        (["evaluate", "links", "--predictions", "nowhere.csv", "--groundtruth", "TRUTH"], "nowhere.csv: no such file"),
        (["evaluate", "links", "--predictions", "TRUTH", "--groundtruth", "TRUTH", "--link-gap", "2"], "for --relink"),
        (
            ["evaluate", "links", "--predictions", "TRUTH", "--groundtruth", "TRUTH", "--picture", "12"],
            "--picture 12: expected WIDTHxHEIGHT",
        ),
        (["evaluate", "links", "--predictions", "TRUTH", "--groundtruth", "TRUTH", "--min-iou", "2"], "overlap 2"),
    ],
)
def test_unusable_arguments_are_one_clear_error(run: Run, truth: Path, words: list[str], message: str):
    status, said = run(*[str(truth) if word == "TRUTH" else word for word in words])
    assert status == 2
    assert message in said


def test_both_protocols_start_without_torch(truth: Path):
    code = (
        "import sys; from typer.testing import CliRunner; from relact.cli import app;"
        "done = CliRunner().invoke(app, sys.argv[1:]); sys.exit(done.exit_code or 9 * ('torch' in sys.modules))"
    )
    for words in (
        ["evaluate", "links", "--predictions", str(truth), "--groundtruth", str(truth), "--relink"],
        ["evaluate", "ava", "--predictions", str(truth), "--groundtruth", str(truth)],
    ):
        done = subprocess.run([sys.executable, "-c", code, *words], check=False, env=dict(os.environ))
        assert done.returncode == 0, words
