"""`relact detect` as a user runs it."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

import relact
from relact.cli import app
from relact.errors import InputError
from relact.metrics.ava import evaluate

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


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_output_is_there_and_they_agree(run: Run, play: Path, weights: Path, tmp_path: Path):
    video = play / "videos" / "stage_3_0000.mp4"
    status, said = run(
        "detect", video, "--weights", weights, "--boxes", play / "people.csv", "--out", tmp_path, "--threshold", 0,
        "--format", "csv", "--format", "json",
    )  # fmt: skip
    assert status == 0, said
    folder = tmp_path / "stage_3_0000"
    assert {p.name for p in folder.iterdir()} == {
        "actions.csv", "actions.json", "segments.csv", "ava.csv", "run.json", "annotated.mp4", "report.html"
    }  # fmt: skip
    table = rows(folder / "actions.csv")
    assert len(table) == 3 * 2 * 38  # seconds, people, actions
    first = table[0]
    assert float(first["x1_px"]) == pytest.approx(float(first["x1"]) * 288, abs=0.01)
    assert {row["time_s"] for row in table} == {"0.000000", "1.000000", "2.000000"}
    assert {row["person_id"] for row in table} == {"1", "2"}
    record = json.loads((folder / "run.json").read_text())
    assert record["seconds_covered"] == pytest.approx(3.0)
    assert record["counts"]["keyframes"] == 3
    with av.open(str(folder / "annotated.mp4")) as drawn:
        stream = drawn.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 288, 96)
        assert sum(1 for _ in drawn.decode(stream)) == 30


def test_the_submission_is_accepted_by_the_metric(run: Run, play: Path, weights: Path, tmp_path: Path):
    video = play / "videos" / "stage_3_0001.mp4"
    run("detect", video, "-w", weights, "--boxes", play / "people.csv", "-o", tmp_path, "--no-draw")
    report = evaluate(tmp_path / "stage_3_0001" / "ava.csv", play / "groundtruth.csv", play / "labels.csv")
    assert 0 < report.mAP <= 1
    assert sum(action.predictions for action in report.classes) == 2 * 50  # judged keyframes, AVA's cap


def test_one_bad_video_never_stops_the_others(run: Run, play: Path, weights: Path, tmp_path: Path):
    good, bad, text = play / "videos" / "stage_3_0000.mp4", tmp_path / "none.mp4", tmp_path / "text.mp4"
    text.write_text("not a video")
    status, said = run(
        "detect", bad, text, good, "-w", weights, "--boxes", play / "people.csv", "-o", tmp_path / "out", "--no-draw"
    )
    assert status == 1
    assert "none.mp4" in said
    assert "text.mp4" in said
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["stage_3_0000"]


def test_boxes_of_another_video_are_refused_by_name(run: Run, play: Path, weights: Path, tmp_path: Path):
    other = tmp_path / "street.mp4"
    shutil.copy(play / "videos" / "stage_3_0000.mp4", other)
    status, said = run("detect", other, "-w", weights, "--boxes", play / "people.csv", "-o", tmp_path / "out")
    assert status == 1
    assert "has no boxes of" in said
    assert "stage_3_0000" in said
    assert not (tmp_path / "out").exists()


def test_a_video_without_people_is_a_result(run: Run, play: Path, weights: Path, tmp_path: Path):
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("video,time_s,x1,y1,x2,y2,score\nstage_3_0000,1,0.1,0.1,0.5,0.9,0.01\n")
    status, said = run(
        "detect", play / "videos" / "stage_3_0000.mp4", "-w", weights, "--boxes", boxes, "-o", tmp_path / "o"
    )
    assert status == 0
    assert "nobody was found" in said
    assert rows(tmp_path / "o" / "stage_3_0000" / "actions.csv") == []
    assert (tmp_path / "o" / "stage_3_0000" / "annotated.mp4").is_file()


def test_sparse_boxes_are_linked_and_files_ids_are_kept(run: Run, play: Path, weights: Path, tmp_path: Path):
    sparse = tmp_path / "sparse.csv"
    dense = rows(play / "proposals.csv")
    keep = [row for row in dense if float(row["time_s"]) % 1 == 0]
    lines = [",".join(row.values()) for row in keep]
    sparse.write_text("\n".join([",".join(dense[0]), *lines]) + "\n")
    video = play / "videos" / "stage_3_0000.mp4"
    run("detect", video, "-w", weights, "--boxes", sparse, "-o", tmp_path / "a", "--no-draw")
    linked = {row["person_id"] for row in rows(tmp_path / "a" / "stage_3_0000" / "actions.csv")}
    assert linked
    assert min(map(int, linked)) >= 1
    run("detect", video, "-w", weights, "--boxes", play / "groundtruth.csv", "-o", tmp_path / "b", "--no-draw")
    assert {row["person_id"] for row in rows(tmp_path / "b" / "stage_3_0000" / "actions.csv")} == {"1", "2"}


def test_a_detector_of_ones_own(run: Run, play: Path, weights: Path, tmp_path: Path):
    module = tmp_path / "mine.py"
    module.write_text(
        "import numpy as np\n"
        "def find(pictures):\n"
        "    return [(np.array([[20., 30, 60, 90]], np.float32), np.array([.9], np.float32)) for _ in pictures]\n"
    )
    video = play / "videos" / "stage_3_0000.mp4"
    status, said = run(
        "detect", video, "-w", weights, "--detector", f"{module}:find", "-o", tmp_path / "o", "--no-draw"
    )
    assert status == 0, said
    table = rows(tmp_path / "o" / "stage_3_0000" / "actions.csv")
    assert {row["person_id"] for row in table} == {"1"}
    assert {row["x1_px"] for row in table} == {"20.00"}


def test_any_function_is_a_detector_from_python(play: Path, weights: Path):
    def find(pictures):
        return [(np.array([[20, 30, 60, 90]], np.float32), np.array([0.9], np.float32)) for _ in pictures]

    model = relact.load_model(weights)
    found = list(relact.detect(play / "videos" / "stage_3_0000.mp4", model=model, detector=find))
    assert [detections.person.tolist() for detections in found] == [[1], [1], [1]]
    np.testing.assert_allclose(found[0].boxes, [[20 / 288, 30 / 96, 60 / 288, 90 / 96]], rtol=1e-6)


def test_run_json_names_the_source_of_boxes(run: Run, play: Path, weights: Path, tmp_path: Path):
    run(
        "detect",
        play / "videos" / "stage_3_0000.mp4",
        "-w",
        weights,
        "--boxes",
        play / "people.csv",
        "-o",
        tmp_path,
        "--no-draw",
    )
    protocol = json.loads((tmp_path / "stage_3_0000" / "run.json").read_text())["protocol"]
    assert protocol["box_source"].endswith("people.csv")
    assert protocol["detection_rate"] is None


def test_finer_keyframes(run: Run, play: Path, weights: Path, tmp_path: Path):
    video = play / "videos" / "stage_3_0000.mp4"
    run("detect", video, "-w", weights, "--boxes", play / "people.csv", "-o", tmp_path, "--no-draw", "--every", 0.4)
    times = sorted({float(row["time_s"]) for row in rows(tmp_path / "stage_3_0000" / "actions.csv")})
    assert times == pytest.approx([0, 0.4, 0.8, 1.2, 1.6, 2.0, 2.4, 2.8])


def test_detect_from_python_gives_detections(play: Path, weights: Path):
    model = relact.load_model(weights)
    found = list(relact.detect(play / "videos" / "stage_3_0000.mp4", model=model, boxes=play / "people.csv"))
    assert [d.key for d in found] == [relact.Keyframe("stage_3_0000", tick) for tick in range(3)]
    assert found[0].scores.shape == (2, 38)
    assert np.isfinite(found[0].scores).all()


def test_batches_of_keyframes_give_what_one_at_a_time_gives(play: Path, weights: Path):
    from relact.video.pipeline import DetectConfig

    model = relact.load_model(weights)
    video, boxes = play / "videos" / "stage_3_0000.mp4", play / "people.csv"
    one, four = (
        list(relact.detect(video, model=model, boxes=boxes, config=DetectConfig(batch=size, precision="fp32")))
        for size in (1, 4)
    )
    for a, b in zip(one, four, strict=True):
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)
        np.testing.assert_array_equal(a.person, b.person)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["detect", "x.mp4", "-w", "nowhere"], "no such run folder"),
        (["train", "debgu"], "did you mean 'debug'"),
        (["train", "debug", "--set", "optim.lrr=1"], "did you mean optim.lr"),
        (["train", "debug", "--set", "optim"], "expected NAME=VALUE"),
        (["train", "debug", "--head", "linera"], "did you mean 'linear'"),
        (["evaluate", "eva", "--predictions", "a", "--groundtruth", "b"], "no protocol named 'eva'"),
        (["weights", "fetch", "nothing_like_it"], "relact weights list"),
    ],
)
def test_unusable_arguments_are_one_clear_error(run: Run, words: list[str], message: str):
    status, said = run(*words)
    assert status == 2
    assert message in said


def test_all_mistakes_of_a_recipe_are_told_at_once(run: Run, tmp_path: Path):
    recipe = tmp_path / "recipe.json"
    recipe.write_text(
        json.dumps(
            {
                "name": "x",
                "data": {"source": "ava", "roott": "."},
                "optim": {"lr": -1},
                "head": {"name": "linear", "dept": 3},
            }
        )
    )
    status, said = run("train", recipe)
    assert status == 2
    for part in ("data", "roott", "optim.lr", "head.dept"):
        assert part in said
