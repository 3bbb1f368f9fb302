"""`relact detect` of folders, lists and buckets in this process: the Parquet set, the record, what is done again."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from relact.cli import app
from relact.errors import InputError
from relact.run import many_engines
from relact.run.many import Worker
from relact.run.many_engines import detect_many
from relact.run.many_videos import Video
from relact.video.pipeline import DetectConfig

dataset = pytest.importorskip("pyarrow.dataset", reason="the Parquet set needs pyarrow")

Run = Callable[..., tuple[int, str]]
CONFIG = DetectConfig(draw=False, formats=("parquet",))


@pytest.fixture
def run() -> Run:
    def call(*words: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, [str(word) for word in words])
        if isinstance(result.exception, InputError):
            return 2, str(result.exception)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    return call


@pytest.fixture
def films(play: Path, tmp_path: Path) -> Path:
    """Two good videos, a broken one between them."""
    folder = tmp_path / "films"
    shutil.copytree(play / "videos", folder)
    (folder / "stage_3_0000b.mp4").write_text("not a video")
    return folder


def record(out: Path) -> dict[str, dict[str, object]]:
    lines = (out / "videos.jsonl").read_text(encoding="utf-8").splitlines()
    return {entry["name"]: entry for entry in map(json.loads, lines)}


def states(out: Path) -> dict[str, object]:
    return {name: entry["state"] for name, entry in record(out).items()}


def times(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "detections").iterdir()}


def test_a_folder_becomes_one_table_and_a_bad_video_is_recorded(
    run: Run, films: Path, play: Path, weights: Path, tmp_path: Path
):
    out = tmp_path / "out"
    status, said = run("detect", films, "-w", weights, "--boxes", play / "people.csv", "-o", out)
    assert status == 1
    assert "3 videos: 2 done, 1 failed, 0 done before" in said
    assert states(out) == {"stage_3_0000": "done", "stage_3_0000b": "failed", "stage_3_0001": "done"}
    assert "stage_3_0000b.mp4: is not a video" in str(record(out)["stage_3_0000b"]["error"])
    table = dataset.dataset(out / "detections").to_table()
    assert set(table["video"].to_pylist()) == {"stage_3_0000", "stage_3_0001"}
    assert sorted(path.name for path in (out / "detections").iterdir()) == [
        "stage_3_0000.parquet",
        "stage_3_0001.parquet",
    ]
    run("detect", films / "stage_3_0000.mp4", "-w", weights, "--boxes", play / "people.csv", "-o", tmp_path / "one",
        "--format", "parquet")  # fmt: skip
    for name in ("actions.parquet", "segments.csv", "ava.csv"):
        assert (out / "stage_3_0000" / name).read_bytes() == (tmp_path / "one" / "stage_3_0000" / name).read_bytes()
    assert (out / "detections" / "stage_3_0000.parquet").samefile(out / "stage_3_0000" / "actions.parquet")


def test_done_videos_are_not_done_again_until_something_changes(
    run: Run, films: Path, play: Path, weights: Path, tmp_path: Path
):
    out, words = tmp_path / "out", ("-w", weights, "--boxes", play / "people.csv", "-o", tmp_path / "out")
    run("detect", films, *words)
    first = times(out)
    (films / "stage_3_0000b.mp4").unlink()
    status, said = run("detect", films, *words)
    assert (status, times(out)) == (0, first)
    assert "2 videos: 0 done, 0 failed, 2 done before" in said
    assert record(out)["stage_3_0001"]["keyframes"] == 3
    shutil.copyfile(films / "stage_3_0000.mp4", films / "new.mp4")
    (films / "new.mp4").replace(films / "stage_3_0000.mp4")  # the same film, fetched again
    (films / "stage_3_0001.mp4").unlink()
    shutil.copyfile(films / "stage_3_0000.mp4", films / "stage_3_0001.mp4")  # another film of this name
    _, said = run("detect", films, *words)
    assert states(out) == {"stage_3_0000": "skipped", "stage_3_0001": "done"}
    assert "1 videos were done with other settings, or have changed" in said
    _, said = run("detect", films, *words, "--threshold", 0.2)
    assert states(out) == {"stage_3_0000": "done", "stage_3_0001": "done"}
    (out / "stage_3_0000" / "segments.csv").unlink()
    run("detect", films, *words, "--threshold", 0.2)
    assert states(out) == {"stage_3_0000": "done", "stage_3_0001": "skipped"}
    _, said = run("detect", f"@{_list(tmp_path, films / 'stage_3_0000.mp4')}", *words, "--threshold", 0.2)
    assert "also holds 1 videos that this start does not name" in said


def test_what_no_longer_succeeds_leaves_the_set(films: Path, play: Path, weights: Path, tmp_path: Path):
    out = tmp_path / "out"
    detect_many([str(films)], weights=weights, out=out, boxes=play / "people.csv", config=CONFIG, say=_silent)
    (films / "stage_3_0000.mp4").write_text("broken since")
    detect_many([str(films)], weights=weights, out=out, boxes=play / "people.csv", config=CONFIG, say=_silent)
    assert states(out) == {"stage_3_0000": "failed", "stage_3_0000b": "failed", "stage_3_0001": "skipped"}
    assert [path.name for path in (out / "detections").iterdir()] == ["stage_3_0001.parquet"]


def test_a_list_and_a_bucket_give_what_the_folder_gives(films: Path, play: Path, weights: Path, tmp_path: Path):
    (films / "stage_3_0000b.mp4").unlink()
    ways = {"folder": [str(films)], "list": [f"@{_list(tmp_path, *films.iterdir())}"], "bucket": [films.as_uri()]}
    for name, arguments in ways.items():
        done = detect_many(
            arguments, weights=weights, out=tmp_path / name, boxes=play / "people.csv", config=CONFIG, say=_silent
        )
        assert [outcome.state for outcome in done] == ["done", "done"], done
        for path in (tmp_path / name / "detections").iterdir():
            assert path.read_bytes() == (tmp_path / "folder" / "detections" / path.name).read_bytes()
    source = json.loads((tmp_path / "bucket" / "stage_3_0000" / "run.json").read_text())["source"]
    assert source["file"] == f"{films.as_uri()}/stage_3_0000.mp4"
    assert source["bytes"] == (films / "stage_3_0000.mp4").stat().st_size
    again = detect_many(
        ways["bucket"], weights=weights, out=tmp_path / "bucket", boxes=play / "people.csv", config=CONFIG, say=_silent
    )
    assert [outcome.state for outcome in again] == ["skipped", "skipped"]


def test_a_fault_of_the_program_in_one_video_is_told_and_the_others_are_done(
    films: Path, weights: Path, tmp_path: Path
):
    (films / "stage_3_0000b.mp4").unlink()
    script = tmp_path / "mine.py"
    script.write_text(
        "import numpy as np\n"
        "asked = []\n"
        "def find(pictures):\n"
        "    asked.append(1)\n"
        "    if len(asked) == 3:\n"
        "        raise ZeroDivisionError('in a library')\n"
        "    return [(np.array([[20., 30, 60, 90]], np.float32), np.array([.9], np.float32)) for _ in pictures]\n"
    )
    done = detect_many(
        [str(films)], weights=weights, out=tmp_path / "out", detector=f"{script}:find", config=CONFIG, say=_silent
    )
    bad, good = sorted(done, key=lambda outcome: outcome.state == "done")
    assert (bad.state, good.state) == ("failed", "done")
    assert bad.error is not None
    assert bad.error.endswith("ZeroDivisionError: in a library")
    assert bad.trace is not None
    assert "mine.py" in bad.trace


def test_an_interrupted_video_is_no_attempt_and_a_new_round_knows_who_died(
    films: Path, play: Path, weights: Path, tmp_path: Path
):
    from relact.run.many import Job, plan

    job = Job.of(out=tmp_path / "out", weights=weights, boxes=play / "people.csv", detector="auto", config=CONFIG,
                 box_format=None, box_units=None, report=False)  # fmt: skip
    worker, first = (
        Worker(job),
        Video(source=str(films / "stage_3_0000.mp4"), name="stage_3_0000", **_facts(films / "stage_3_0000.mp4")),
    )
    worker._detect = _interrupt  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        worker.do(first, 2)
    assert json.loads(job.state_of("stage_3_0000").read_text())["attempts"] == 1
    for attempts, wanted in ((2, 3), (3, None)):
        state = json.loads(job.state_of("stage_3_0000").read_text()) | {"state": "running", "attempts": attempts}
        job.state_of("stage_3_0000").write_text(json.dumps(state))
        board, todo = plan(job, [str(films)], _silent, again=True, retries=2)
        assert dict((video.name, attempt) for video, attempt in todo).get("stage_3_0000") == wanted
    assert "its worker was killed (for memory?), 3 times" in str(board.outcomes["stage_3_0000"].error)
    _, todo = plan(job, [str(films)], _silent)
    assert dict((video.name, attempt) for video, attempt in todo)["stage_3_0000"] == 1  # a start by hand tries it again


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["@nowhere.txt", "-o", "x"], "@nowhere.txt: cannot be read"),
        (["{films}"], "give --out"),
        (["{films}", "-o", "x", "--live"], "no --live"),
        (["{films}", "-o", "s3://bucket/x"], "expected a folder that all machines share"),
        (["{films}", "-o", "x", "--workers", "2"], "--workers is for --engine ray"),
        (["a.mp4", "-o", "x", "--workers", "2"], "--workers is for --engine ray"),
        (["a.mp4", "-o", "x", "--engine", "torchrun"], "torchrun --nproc-per-node 2 -m relact detect"),
        (["{films}", "-o", "x", "--boxes", "none.csv"], "none.csv: no such file"),
        (["{films}", "-o", "x", "-w", "nowhere"], "'nowhere'"),
    ],
)
def test_unusable_arguments_end_it_before_anything_is_written(
    run: Run,
    films: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
):
    monkeypatch.chdir(tmp_path)
    status, said = run("detect", "-w", weights, *(word.format(films=films) for word in words))
    assert (status, message in said) == (2, True), said
    assert not (tmp_path / "x" / "videos.jsonl").exists()


def test_engines_that_are_not_there(films: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r'pip install "relact\[ray\]"'):
        detect_many([str(films)], weights=weights, out=tmp_path / "o", config=CONFIG, engine="ray", say=_silent)
    with pytest.raises(InputError, match="expected local, ray or torchrun"):
        detect_many([str(films)], weights=weights, out=tmp_path / "o", config=CONFIG, engine="spark", say=_silent)  # type: ignore[arg-type]
    assert not many_engines.wants_many(["a.mp4", "-"], None)


def _list(folder: Path, *videos: Path) -> Path:
    (folder / "list.txt").write_text("".join(f"{video}\n" for video in videos))
    return folder / "list.txt"


def _facts(path: Path) -> dict[str, int]:
    return {"bytes": path.stat().st_size, "modified": os.stat(path).st_mtime_ns}


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _silent(text: str) -> None:
    pass
