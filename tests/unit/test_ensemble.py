"""Ensembles of files of predictions."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from relact.cli import app
from relact.errors import InputError
from relact.interop.ava_csv import read_ava_csv
from relact.interop.ensemble import ensemble

A = """v1,0902,0.1,0.1,0.5,0.9,1,0.8
v1,0902,0.1,0.1,0.5,0.9,3,0.2
v1,0902,0.6,0.1,0.9,0.9,1,0.4
v1,0902,0.6,0.1,0.9,0.9,3,0.6
v2,0903,0.2,0.2,0.4,0.4,1,0.5
v2,0903,0.2,0.2,0.4,0.4,3,0.5
"""
# the same boxes by another code base: other order, other decimals, a name with a suffix, a score left out
B = """v2.mp4,903.0,0.2001,0.2,0.4,0.4,3,0.9
v2.mp4,903.0,0.2001,0.2,0.4,0.4,1,0.1
v1.mp4,902,0.6000,0.1001,0.9,0.9,3,0.2
v1.mp4,902,0.1,0.1,0.5,0.9,1,0.4
v1.mp4,902,0.1,0.1,0.5,0.9,3,0.6
"""


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    for name, text in {"a.csv": A, "b.csv": B}.items():
        (tmp_path / name).write_text(text)
    return [tmp_path / "a.csv", tmp_path / "b.csv"]


def test_scores_are_averaged_box_by_box(files: list[Path]):
    made = ensemble(files)
    assert made.videos == ("v1", "v2")
    assert made.actions.tolist() == [1, 3]
    np.testing.assert_allclose(made.boxes, [[0.1, 0.1, 0.5, 0.9], [0.6, 0.1, 0.9, 0.9], [0.2, 0.2, 0.4, 0.4]])
    np.testing.assert_allclose(made.scores, [[0.6, 0.4], [0.2, 0.4], [0.3, 0.7]])
    assert made.models.tolist() == [2, 2, 2]


def test_weights_and_logits(files: list[Path]):
    made = ensemble(files, weights=[3, 1])
    np.testing.assert_allclose(made.scores[0], [0.7, 0.3])
    odds = ensemble(files, average="logits", weights=[3, 1]).scores[0] / (
        1 - ensemble(files, average="logits", weights=[3, 1]).scores[0]
    )
    np.testing.assert_allclose(odds, [(0.8 / 0.2) ** 0.75 * (0.4 / 0.6) ** 0.25, (0.2 / 0.8) ** 0.75 * 1.5**0.25])
    np.testing.assert_allclose(ensemble([files[0], files[0]], average="logits").scores, ensemble([files[0]] * 2).scores)


def test_what_is_written_can_be_read_and_averaged_again(files: list[Path], tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "predictions.csv").write_text(A)
    ensemble([tmp_path / "run", files[1]]).write(tmp_path / "c.csv")
    table = read_ava_csv(tmp_path / "c.csv", "predictions")
    assert table.score is not None
    np.testing.assert_allclose(table.score, [0.6, 0.4, 0.2, 0.4, 0.3, 0.7])
    assert table.time.tolist() == [902] * 4 + [903] * 2
    np.testing.assert_allclose(ensemble([tmp_path / "c.csv", files[0]]).scores[0], [0.7, 0.3])


def test_a_box_that_one_file_lacks_is_refused_or_kept(files: list[Path], tmp_path: Path):
    lines = B.splitlines(keepends=True)
    files[1].write_text("".join(lines[:2] + lines[3:]) + "v3,0905,0.1,0.1,0.2,0.2,1,0.9\n")
    with pytest.raises(InputError, match=r"b\.csv: lacks 1 of the 3 boxes of .*a\.csv, such as that of v1 at 902 s"):
        ensemble(files)
    with pytest.raises(InputError, match=r"a\.csv: lacks 1 of the 3 boxes of .*b\.csv, such as that of v3"):
        ensemble(files[::-1])
    made = ensemble(files, keep_unmatched=True, weights=[1, 3])
    assert made.videos == ("v1", "v2", "v3")
    assert made.models.tolist() == [2, 1, 2, 1]
    np.testing.assert_allclose(made.scores, [[0.5, 0.5], [0.4, 0.6], [0.2, 0.8], [0.9, 0]])
    third = tmp_path / "third.csv"
    third.write_text("v3,905,0.1,0.1,0.2,0.2,1,0.3\nv3,905,0.1,0.1,0.2,0.2,3,0.1\n")
    made = ensemble([*files, third], keep_unmatched=True)
    assert made.models.tolist() == [2, 1, 2, 2]  # a third file meets what the second one added
    np.testing.assert_allclose(made.scores[3], [0.6, 0.05])


def test_two_people_with_one_rounded_box_stay_two(tmp_path: Path):
    row = "v1,0902,0.1,0.1,0.5,0.9"
    for name, scores in {"a.csv": (0.1, 0.2, 0.7, 0.8), "b.csv": (0.3, 0.4, 0.9, 1.0)}.items():
        (tmp_path / name).write_text("".join(f"{row},{1 + k % 2},{score}\n" for k, score in enumerate(scores)))
    made = ensemble([tmp_path / "a.csv", tmp_path / "b.csv"])
    np.testing.assert_allclose(made.scores, [[0.2, 0.3], [0.8, 0.9]])


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        (B.replace(",3,", ",4,"), {}, r"b\.csv has 2 actions, .*a\.csv 2: action 3 is in one alone \(2 are\)"),
        (B, {"weights": [1.0]}, r"weights \[1\.0\]: expected 2 numbers above 0"),
        (B, {"weights": [1.0, -1.0]}, "expected 2 numbers above 0"),
        (B.replace("0.9\n", "4.5\n"), {"average": "logits"}, r"b\.csv line 1: score 4\.5; logits are of scores"),
        (B.replace("903.0", "x", 1), {}, r"b\.csv line 1"),
        ("", {}, "has 0 actions"),
    ],
)
def test_files_that_do_not_fit_are_refused(files: list[Path], text: str, more: dict[str, object], message: str):
    files[1].write_text(text)
    with pytest.raises(InputError, match=message):
        ensemble(files, **more)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected two or more"):
        ensemble(files[:1])


def test_the_command(files: list[Path], tmp_path: Path):
    out = tmp_path / "c.csv"
    said = CliRunner().invoke(
        app, ["evaluate", "ensemble", *map(str, files), "--out", str(out), "--weights", "3,1", "--average", "logits"]
    )
    assert said.exit_code == 0, said.output
    assert "3 boxes of 2 videos, 2 actions, 2 files" in said.output
    table = read_ava_csv(out, "predictions")
    assert table.score is not None
    np.testing.assert_allclose(
        table.score.reshape(3, 2), ensemble(files, weights=[3, 1], average="logits").scores, atol=1e-7
    )
    bad = CliRunner().invoke(app, ["evaluate", "ensemble", *map(str, files), "--out", str(out), "--weights", "3;1"])
    assert isinstance(bad.exception, InputError)
    assert "--weights 3;1" in str(bad.exception)
