"""`relact evaluate ucf24 | jhmdb | video | compare` as a user runs them, and AVA's --explain and --errors."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from relact.cli import app
from relact.errors import InputError

Run = Callable[..., tuple[int, str]]
ACTIONS = ("walk", "wave", "sit")


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
def jhmdb(tmp_path: Path) -> tuple[Path, Path]:
    """Three whole videos of 30 frames, one person each; predictions near them, and a false box on every frame."""
    rng = np.random.default_rng(0)
    truth, found = ["video,frame,x1,y1,x2,y2,action,person"], ["video,frame,x1,y1,x2,y2,action,score"]
    for video, action in enumerate(ACTIONS):
        for frame in range(30):
            box = np.array([60 + frame, 50, 120 + frame, 200]) + rng.normal(0, 2, 4)
            truth.append(f"clip_{video},{frame},{60 + frame},50,{120 + frame},200,{action},1")
            found.append(f"clip_{video}.avi,{frame},{','.join(f'{x:.1f}' for x in box)},{action},{0.5 + frame / 100}")
            found.append(f"clip_{video}.avi,{frame},200,20,260,100,{ACTIONS[video - 1]},{0.2 + frame / 1000}")
    paths = tmp_path / "truth.csv", tmp_path / "found.csv"
    for path, lines in zip(paths, (truth, found), strict=True):
        path.write_text("\n".join(lines) + "\n")
    return paths


def test_jhmdb_from_csv_files(run: Run, jhmdb, tmp_path: Path):
    truth, found = jhmdb
    report = tmp_path / "report.json"
    words = ["evaluate", "jhmdb", "--groundtruth", truth, "--predictions", found, "--json", report]
    status, said = run(*words, "--errors", "--explain", "--box-source", "made up")
    assert status == 0, said
    assert "mAP@0.5 1.0000" in said
    assert "background" in said
    assert "recall of the boxes at IoU 0.5, whatever the action: 1.0000" in said
    content = json.loads(report.read_text())
    assert content["mAP"] == 1
    assert content["errors"]["counts"]["background"] == 90
    assert content["protocol"]["labels"] == "jhmdb"
    assert content["protocol"]["box_source"] == "made up"
    assert content["explanation"] == {"findings": [], "box_recall": 1.0}


def test_tubes_are_linked_judged_and_compared(run: Run, jhmdb, tmp_path: Path):
    truth, found = jhmdb
    words = ["evaluate", "video", "--labels", "jhmdb", "--groundtruth", truth, "--predictions", found]
    for name, options in (("act", []), ("road", ["--linking", "road", "--trim", "road"])):
        status, said = run(*words, *options, "--json", tmp_path / f"{name}.json")
        assert status == 0, said
        assert "video-mAP@0.5 1.0000" in said
    plot = tmp_path / "plot.png"
    compared = tmp_path / "compared.json"
    status, said = run(
        "evaluate", "compare", tmp_path / "act.json", tmp_path / "road.json", "--plot", plot, "--json", compared
    )
    assert status == 0, said
    assert said.index("THE PROTOCOLS DIFFER") < said.index("mAP@0.2")
    assert plot.read_bytes().startswith(b"\x89PNG")
    differences = json.loads(compared.read_text())["protocol_differences"]
    assert differences == {"linking": ["act", "road"], "trim_cost": [None, 3.0]}


def test_a_zero_is_explained_on_the_screen(run: Run, jhmdb, tmp_path: Path):
    truth, found = jhmdb
    lost = tmp_path / "lost.csv"
    lost.write_text(found.read_text().replace("clip_", "CLIP_"))
    for name in ("jhmdb", "video"):
        words = ["evaluate", name, "--labels", "jhmdb", "--groundtruth", truth, "--predictions", lost]
        status, said = run(*words)
        assert status == 0, said
        assert "warning: no prediction is of a judged video" in said
        assert "why: 180 of 180 prediction rows name videos that the labels lack" in said
        assert "in lower case, without folder and suffix" in said


def test_ava_shows_errors_and_explains(run: Run, tmp_path: Path):
    truth, found = tmp_path / "truth.csv", tmp_path / "found.csv"
    truth.write_text("".join(f"v,{t:04d},0.1,0.1,0.4,0.9,{12 if t % 2 else 80},1\n" for t in range(902, 932)))
    found.write_text("".join(f"v,{t},0.1,0.1,0.4,0.9,{12 if t % 2 else 79},0.{t % 90 + 10}\n" for t in range(902, 932)))
    report = tmp_path / "report.json"
    words = ["evaluate", "ava", "--groundtruth", truth, "--predictions", found, "--errors", "--json", report]
    status, said = run(*words)
    assert status == 0, said
    assert "wrong action" in said
    assert "why:" not in said
    content = json.loads(report.read_text())
    assert content["errors"]["gain"]["wrong action"] == 0.5
    assert content["protocol"]["labels"] == "ava60"
    assert content["protocol"]["keyframes"] == 30
    status, said = run(*words, "--explain")
    assert "why: 1 of the 2 labelled actions are never predicted, 50.0% of the label rows: 80 watch (a person)" in said


@pytest.mark.slow
def test_the_real_split(run: Run, shared_data: Path, tmp_path: Path):
    """UCF101-24's 910 test videos: the truth judged as predictions is perfect but for tubes that overlap each other."""
    from relact.interop.ucf24 import read_annotation

    annotation = shared_data / "ucf24" / "annotations" / "pyannot.pkl"
    tubes = read_annotation(annotation)
    found = tmp_path / "found.csv"
    with found.open("w") as file:
        file.write("video,frame,x1,y1,x2,y2,action_id,score,person\n")
        rows = zip(
            tubes.video.tolist(), tubes.frame.tolist(), tubes.boxes.tolist(), tubes.label, tubes.tube, strict=True
        )
        file.writelines(
            f"{tubes.videos[v]},{f},{','.join(map(str, box))},{label},0.9,{tube}\n" for v, f, box, label, tube in rows
        )
    report = tmp_path / "report.json"
    words = ["--groundtruth", annotation, "--predictions", found, "--json", report]
    status, said = run("evaluate", "ucf24", *words)
    assert status == 0, said
    content = json.loads(report.read_text())
    assert content["mAP"] == 1
    assert content["counts"]["groundtruth_boxes"] == content["counts"]["rows_used"] == 170_580
    assert content["counts"]["videos"] == 910
    status, said = run("evaluate", "video", *words, "--linking", "ids", "--rules", "3d-retinanet")
    assert status == 0, said
    assert json.loads(report.read_text())["video_mAP"]["0.5"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["video", "--predictions", "FOUND", "--groundtruth", "TRUTH", "--trim", "much"], "--trim much: expected none"),
        (
            ["video", "--predictions", "FOUND", "--groundtruth", "TRUTH", "--linking", "x"],
            "linking 'x': expected one of",
        ),
        (
            ["jhmdb", "--predictions", "FOUND", "--groundtruth", "TRUTH", "--picture", "1"],
            "--picture 1: expected WIDTH",
        ),
        (["ucf24", "--predictions", "FOUND", "--groundtruth", "TRUTH"], "action 'walk' is not in the label map"),
        (["compare", "TRUTH", "FOUND"], "truth.csv: not JSON"),
        (["frames"], "no protocol named 'frames': there are ava"),
    ],
)
def test_unusable_arguments_are_one_clear_error(run: Run, jhmdb, words, message):
    truth, found = jhmdb
    given = {"TRUTH": truth, "FOUND": found}
    status, said = run("evaluate", *[given.get(word, word) for word in words])
    assert status == 2
    assert message in said


def test_no_protocol_imports_torch(jhmdb, tmp_path: Path):
    truth, found = jhmdb
    code = (
        "import sys; from typer.testing import CliRunner; from relact.cli import app;"
        "done = CliRunner().invoke(app, sys.argv[1:]); sys.exit(done.exit_code or 9 * ('torch' in sys.modules))"
    )
    files = [
        "--groundtruth",
        str(truth),
        "--predictions",
        str(found),
        "--labels",
        "jhmdb",
        "--json",
        str(tmp_path / "r"),
    ]
    for words in (
        ["evaluate", "jhmdb", *files, "--errors", "--explain"],
        ["evaluate", "video", *files],
        ["evaluate", "compare", str(tmp_path / "r"), str(tmp_path / "r"), "--plot", str(tmp_path / "plot.png")],
    ):
        done = subprocess.run([sys.executable, "-c", code, *words], check=False, env=dict(os.environ))
        assert done.returncode == 0, words
