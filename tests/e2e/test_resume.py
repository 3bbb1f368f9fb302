"""A run of detect that is killed goes on: the same bytes, and nothing paid for twice."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memory_models import HEADS, run_folder
from typer.testing import CliRunner

from relact.cli import app
from relact.errors import InputError
from relact.labels import LabelMap
from relact.recipe import Recipe
from relact.video.journal import FOLDER, Journal, JournaledDetector, Kind
from tests.make_stage import make_stage

FINDER = """\
from pathlib import Path
import numpy as np
LOG, LIMIT = {log!r}, {limit!r}
def find(pictures):
    answers = []
    for picture in pictures:
        Path(LOG).touch()
        if Path(LIMIT).exists() and len(Path(LOG).read_text().splitlines()) >= int(Path(LIMIT).read_text()):
            raise RuntimeError("that is enough")
        with open(LOG, "a") as log:
            log.write("asked\\n")
        x = 20.0 + float(picture[::7, ::7].mean()) / 4
        boxes = np.array([[x, 24, x + 40, 90], [140, 20, 180 + x / 9, 86.5]], np.float32)
        answers.append((boxes, np.array([0.9, 0.5 + x / 1000], np.float32)))
    return answers
"""
SECONDS = 9
SAMPLES = 45


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_stage(tmp_path_factory.mktemp("play"), seconds=SECONDS)


@pytest.fixture
def words(small: Recipe, scenes: Path, tmp_path: Path) -> list[str]:
    """A command whose detector keeps a log of how often it was asked."""
    run = run_folder(tmp_path / "run", small, HEADS["lfb"], LabelMap.load(scenes / "labels.csv"))
    (tmp_path / "mine.py").write_text(FINDER.format(log=str(tmp_path / "asked.txt"), limit=str(tmp_path / "limit.txt")))
    video, detector = scenes / "videos" / "stage_3_0000.mp4", f"{tmp_path / 'mine.py'}:find"
    return ["detect", str(video), "-w", str(run), "--detector", detector, "--format", "csv", "--format", "json"]


def outputs(folder: Path) -> dict[str, bytes]:
    """All files but run.json, which holds times."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "run.json"}


def asked(tmp_path: Path) -> int:
    log = tmp_path / "asked.txt"
    return len(log.read_text().splitlines()) if log.exists() else 0


def kill_again_and_again(tmp_path: Path, words: list[str], kills: int, seed: int) -> list[dict[str, Any]]:
    script = Path(__file__).with_name("killed_runs.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(kills), str(seed), *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def check_runs(tmp_path: Path, words: list[str], kills: int, seed: int) -> None:
    story = kill_again_and_again(tmp_path, words, kills, seed)
    print("\n" + "\n".join(map(str, story)))
    whole, killed = tmp_path / "whole" / "stage_3_0000", tmp_path / "killed" / "stage_3_0000"
    assert set(outputs(whole)) == {
        "actions.csv", "actions.json", "segments.csv", "ava.csv", "annotated.mp4", "report.html"
    }  # fmt: skip
    assert outputs(killed) == outputs(whole)
    # what begins anew: a run after one that ended, or that was killed between its last output and its end
    anew = 2 + sum("done" in event or event.get("journal_bytes") == 0 for event in story)
    assert asked(tmp_path) <= SAMPLES * anew + kills, "a picture was searched again although its boxes were known"
    assert sum("killed_after_s" in event for event in story) == kills


def test_a_run_killed_at_random_moments_ends_with_the_same_bytes(words: list[str], tmp_path: Path):
    check_runs(tmp_path, words, kills=6, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["acar", "igmn"])
def test_a_run_killed_many_times(name: str, small: Recipe, scenes: Path, words: list[str], tmp_path: Path):
    run_folder(tmp_path / "run", small, HEADS[name], LabelMap.load(scenes / "labels.csv"))
    check_runs(tmp_path, words, kills=26, seed=2)


def stopped_after(pictures: int, words: list[str], tmp_path: Path) -> Path:
    """What a run leaves whose detector breaks when it is asked once too often."""
    (tmp_path / "limit.txt").write_text(str(asked(tmp_path) + pictures))
    result = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "out")])
    assert isinstance(result.exception, RuntimeError), result.output
    (tmp_path / "limit.txt").unlink()
    return tmp_path / "out" / "stage_3_0000"


def completed(words: list[str], out: Path) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*words, "-o", str(out)])
    assert result.exit_code == 0, result.output
    record: dict[str, Any] = json.loads((out / "stage_3_0000" / "run.json").read_text())
    return record


def test_nothing_is_paid_for_twice(words: list[str], tmp_path: Path):
    words += ["--no-draw"]
    completed(words, tmp_path / "whole")
    left = stopped_after(25, words, tmp_path)
    assert {path.name for path in left.iterdir()} == {FOLDER}
    before = asked(tmp_path)
    record = completed(words, tmp_path / "out")
    assert asked(tmp_path) - before == SAMPLES - 25
    assert record["resumed_keyframes"] == 3  # seconds 3 and 4 had been seen, and waited for two more
    assert outputs(left) == outputs(tmp_path / "whole" / "stage_3_0000")


def test_another_table_and_threshold_go_on_too(words: list[str], tmp_path: Path):
    words += ["--no-draw"]
    left = stopped_after(25, words, tmp_path)
    before = asked(tmp_path)
    assert completed([*words, "--threshold", "0.2", "--draw"], tmp_path / "out")["resumed_keyframes"] == 3
    assert asked(tmp_path) - before == SAMPLES - 25
    assert (left / "annotated.mp4").is_file()


@pytest.mark.parametrize(
    ("change", "named"), [(["--box-threshold", "0.4"], "configuration"), (["--every", "0.5"], "configuration")]
)
def test_what_another_run_left_is_not_used(change: list[str], named: str, words: list[str], tmp_path: Path):
    words += ["--no-draw"]
    stopped_after(25, words, tmp_path)
    before = asked(tmp_path)
    record = completed([*words, *change], tmp_path / "out")
    assert any(f"an interrupted run with another {named} was here; begun anew" in said for said in record["warnings"])
    assert asked(tmp_path) - before == SAMPLES
    assert record["resumed_keyframes"] == 0


def test_a_broken_video_leaves_nothing(words: list[str], tmp_path: Path):
    (tmp_path / "limit.txt").write_text("0")
    result = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "out")])
    assert isinstance(result.exception, RuntimeError)
    assert not (tmp_path / "out" / "stage_3_0000").exists()


RUN = {"video": [1, "a"], "weights": "b"}


def written(folder: Path, count: int) -> list[np.ndarray]:
    """A journal of `count` records."""
    values = [np.arange(number, dtype=np.float16) for number in range(count)]
    with Journal(folder, RUN) as journal:
        for number, rows in enumerate(values):
            journal.append(Kind.ROWS, {"rows": rows})
            if number % 2:
                journal.append(Kind.JUDGED, {"scores": rows.astype(np.float32), "empty": np.zeros((0, 4), np.float32)})
    return values


def recalled(folder: Path) -> tuple[int, int]:
    """How many rows and scores a journal still knows; they are what was written."""
    with Journal(folder, RUN) as journal:
        rows, judged = 0, journal.judged
        while (known := journal.recall(Kind.ROWS)) is not None:
            np.testing.assert_array_equal(known["rows"], np.arange(rows, dtype=np.float16))
            assert known["rows"].dtype == np.float16
            rows += 1
            if rows % 2 == 0 and rows // 2 <= judged:
                scores = journal.recall(Kind.JUDGED)
                assert scores is not None
                np.testing.assert_array_equal(scores["scores"], np.arange(rows - 1))
                assert scores["empty"].shape == (0, 4)
        return rows, judged


def test_a_journal_gives_back_what_it_was_given(tmp_path: Path):
    written(tmp_path, 6)
    assert recalled(tmp_path) == (6, 3)


def test_a_journal_that_is_cut_anywhere_loses_its_tail_only(tmp_path: Path):
    written(tmp_path / "whole", 3)
    whole = (tmp_path / "whole" / FOLDER / "journal.bin").read_bytes()
    known = []
    for size in range(len(whole) + 1):
        (tmp_path / "cut" / FOLDER).mkdir(parents=True, exist_ok=True)
        (tmp_path / "cut" / FOLDER / "journal.bin").write_bytes(whole[:size])
        known.append(sum(recalled(tmp_path / "cut")))
    assert known[-1] == 4
    assert known == sorted(known)
    assert set(known) == {0, 1, 2, 3, 4}


def test_a_flipped_byte_is_never_read(tmp_path: Path):
    written(tmp_path / "whole", 3)
    whole = (tmp_path / "whole" / FOLDER / "journal.bin").read_bytes()
    for place in range(0, len(whole), 3):
        (tmp_path / "bad" / FOLDER).mkdir(parents=True, exist_ok=True)
        (tmp_path / "bad" / FOLDER / "journal.bin").write_bytes(
            whole[:place] + bytes([whole[place] ^ 64]) + whole[place + 1 :]
        )
        assert sum(recalled(tmp_path / "bad")) < 4


def test_a_journal_goes_on_behind_its_torn_tail(tmp_path: Path):
    written(tmp_path, 3)
    path = tmp_path / FOLDER / "journal.bin"
    path.write_bytes(path.read_bytes()[:-5])
    with Journal(tmp_path, RUN) as journal:
        for kind in (Kind.ROWS, Kind.ROWS, Kind.JUDGED):
            assert journal.recall(kind) is not None
        assert journal.recall(Kind.ROWS) is None
        journal.append(Kind.ROWS, {"rows": np.arange(2, dtype=np.float16)})
    assert recalled(tmp_path) == (3, 1)


def test_two_runs_do_not_write_one_journal(tmp_path: Path):
    with Journal(tmp_path, RUN), pytest.raises(InputError, match="another relact detect is writing here"):
        Journal(tmp_path, RUN)


def test_a_journal_out_of_step_says_what_to_delete(tmp_path: Path):
    written(tmp_path, 2)
    with Journal(tmp_path, RUN) as journal, pytest.raises(InputError, match=r"ROWS where FOUND is due.*delete"):
        JournaledDetector(lambda pictures: [], journal)([np.zeros((2, 2, 3), np.uint8)])


def test_a_journal_of_another_run_is_discarded(tmp_path: Path):
    written(tmp_path, 4)
    with Journal(tmp_path, {**RUN, "weights": "c"}) as journal:
        assert journal.judged == 0
        assert journal.recall(Kind.ROWS) is None
        assert "another weights" in journal.note
        journal.finish()
    assert not (tmp_path / FOLDER).exists()
