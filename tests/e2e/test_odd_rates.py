"""Videos whose frames are farther apart than the detector looks: few a second, a gap, a rate that the user asks for."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from relact.cli import app
from relact.data.encode import VideoWriter

FINDER = """\
import numpy as np
def find(pictures):
    return [(np.array([[20., 10, 60, 60]], np.float32), np.array([.9], np.float32)) for _ in pictures]
"""


def film(path: Path, times: Sequence[float]) -> Path:
    pictures = np.random.default_rng(0).integers(0, 256, (len(times), 64, 96, 3), dtype=np.uint8)
    with VideoWriter(path, 96, 64, fps=len(times) / times[-1]) as writer:
        for picture, time in zip(pictures, times, strict=True):
            writer.write(picture, time)
    return path


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (np.arange(0, 4, 0.5), ()),
        (np.r_[0:1:0.1, 3:4:0.1], ()),
        (np.arange(0, 3, 0.1), ("--detect-hz", 30)),
    ],
    ids=["two frames a second", "a gap of two seconds", "looked at three times a frame"],
)
def test_people_are_followed_all_the_same(weights: Path, tmp_path: Path, times: np.ndarray, words: tuple):
    (tmp_path / "mine.py").write_text(FINDER)
    video = film(tmp_path / "odd.mp4", times.tolist())
    detector = f"{tmp_path / 'mine.py'}:find"
    line = ["detect", video, "-w", weights, "--detector", detector, "-o", tmp_path / "o", "--no-draw", *words]
    result = CliRunner().invoke(app, [str(word) for word in line])
    assert result.exit_code == 0, result.exception or result.output
    with (tmp_path / "o" / "odd" / "actions.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert {row["person_id"] for row in table} == {"1"}
    seconds = {float(row["time_s"]) for row in table}
    assert seconds == set(np.arange(int(times[-1]) + 1).tolist()), "a second without its people"
    record = json.loads((tmp_path / "o" / "odd" / "run.json").read_text())
    with (tmp_path / "o" / "odd" / "segments.csv").open(newline="") as file:
        assert record["counts"]["segments"] == len(list(csv.DictReader(file)))
