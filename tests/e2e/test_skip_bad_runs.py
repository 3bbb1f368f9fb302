"""`--skip-bad` on what trains, tests, fills banks and judges: it goes on, and the number is found again."""

import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from relact.bank import FeatureBank
from relact.cli import main
from relact.data.transforms import TransformConfig
from relact.data.ucf24 import UCF24Data
from relact.labels import LabelMap
from relact.losses import LossConfig
from relact.recipe import override, read
from relact.recipes import load
from relact.run import test as judge
from relact.run import train
from relact.run.banks import producer_of
from relact.run.skipped import SKIPPED
from relact.train.evaluate import METRICS, VIDEO_METRICS
from tests.make_datasets import make_tubes

UCF = list(LabelMap.load("ucf24").names)


def relact(*arguments: str | Path) -> tuple[int, str, str]:
    """Status, standard output and error of the command line, in this process."""
    out, err, status = StringIO(), StringIO(), 0
    words = ["relact", *map(str, arguments)]
    with redirect_stdout(out), redirect_stderr(err), mock.patch("sys.argv", words):
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
    return status, out.getvalue(), err.getvalue()


def loaded(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))


@pytest.fixture(scope="module")
def broken(play: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good videos, one that does not open, and two rows that are none."""
    folder = Path(shutil.copytree(play, tmp_path_factory.mktemp("broken") / "play"))
    (folder / "videos" / "closed.mp4").write_bytes(b"no video")
    truth = folder / "groundtruth.csv"
    rows = truth.read_text()
    action = rows.split(",")[6]
    bad = f"stage_3_0000,0001,0.1,nan,0.4,0.9,{action},1\nstage_3_0000,oops\n"
    truth.write_text(f"{bad}{rows}closed,0001,0.1,0.1,0.4,0.9,{action},1\n")
    return folder


@pytest.fixture(scope="module")
def run(broken: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run that was trained on the rest, and what was said meanwhile."""
    out = tmp_path_factory.mktemp("skipped") / "run"
    small = [f"data.root={broken}", "transform.short_side=48", "train.epochs=1"]
    command = ["train", "debug", *(word for one in small for word in ("--set", one)), "--out", str(out)]
    status, _, said = relact(*command)
    assert status == 2
    assert f"{broken / 'groundtruth.csv'} line 2: time 'oops' is not a number" in said
    assert not (out / METRICS).exists()
    status, _, said = relact(*command, "--skip-bad")
    assert status == 0, said
    return out, said


def test_training_goes_on_and_says_what_is_left_out(run: tuple[Path, str], broken: Path):
    out, said = run
    assert "warning: the train split is without 3 fault(s), such as" in said
    assert "warning: the val split is without 3 fault(s)" in said
    assert "warning: 3 fault(s) of the data are left out (skip_bad): the result is of the rest" in said
    kept = loaded(out / SKIPPED)
    assert {split: of_split["count"] for split, of_split in kept.items()} == {"train": 3, "val": 3}
    assert ["line 2" in kept["val"]["first"][0], "line 1" in kept["val"]["first"][1]] == [True, True]
    assert str(broken / "videos" / "closed.mp4") in kept["val"]["first"][2]
    assert loaded(out / METRICS)["protocol"]["left_out"] == 3
    assert read(out / "recipe.json").data.skip_bad


def test_a_test_is_stamped_and_one_of_all_the_data_is_not(run: tuple[Path, str], play: Path, tmp_path: Path):
    out = Path(shutil.copytree(run[0], tmp_path / "run"))
    strict = ["--set", "data.skip_bad=false"]
    assert relact("test", out, *strict)[0] == 2
    status, _, said = relact("test", out, *strict, "--skip-bad", "--json", tmp_path / "result.json")
    assert status == 0, said
    assert "warning: the val split is without 3 fault(s)" in said
    of_rest = loaded(tmp_path / "result.json")
    assert of_rest["protocol"]["left_out"] == 3
    status, _, said = relact("test", out, "--set", f"data.root={play}")
    assert (status, "fault" in said) == (0, False)
    of_all = loaded(out / METRICS)
    assert "left_out" not in of_all["protocol"]
    assert of_all["mAP"] == pytest.approx(of_rest["mAP"])  # the very keyframes
    assert list(loaded(out / SKIPPED)) == ["train"]


def test_a_bank_says_what_it_is_without(run: tuple[Path, str], play: Path, tmp_path: Path):
    strict = ["--set", "data.skip_bad=false"]
    assert relact("bank", "build", run[0], "--out", tmp_path / "strict", *strict)[0] == 2
    status, _, said = relact("bank", "build", run[0], "--out", tmp_path / "bank", *strict, "--skip-bad")
    assert status == 0, said
    assert "warning: the train split is without 3 fault(s)" in said
    assert loaded(tmp_path / "bank" / SKIPPED)["train"]["count"] == 3
    assert relact("bank", "build", run[0], "--out", tmp_path / "all", "--set", f"data.root={play}")[0] == 0
    rest, all_of_it = FeatureBank.open(tmp_path / "bank"), FeatureBank.open(tmp_path / "all")
    assert rest.videos == all_of_it.videos
    assert len(rest) == len(all_of_it)


def test_a_run_of_before_this_setting_reads_resumes_and_has_the_same_bank(play: Path, tmp_path: Path):
    settings = {"data.root": str(play), "transform.short_side": "32", "train.epochs": "1"}
    recipe = override(load("debug"), settings)
    train(recipe, tmp_path / "run", say=lambda text: None, quiet=True)
    samples = recipe.data.samples("train")
    now = producer_of(tmp_path / "run", samples)
    file = tmp_path / "run" / "recipe.json"
    values = json.loads(file.read_text())
    del values["data"]["skip_bad"]
    file.write_text(json.dumps(values))
    assert read(file) == recipe
    assert producer_of(tmp_path / "run", samples) == now
    again = override(recipe, {"data.skip_bad": "true"})  # of the same data: may go on
    said: list[str] = []
    train(again, tmp_path / "run", resume=True, say=said.append, quiet=True)
    assert not any("nothing has been saved" in text for text in said)


def test_tubes_are_stamped_too(tmp_path: Path):
    make_tubes(tmp_path / "ucf24", "pyannot.pkl", UCF, 1)
    with (tmp_path / "ucf24" / "boxes.csv").open("a") as file:
        file.write("half,a,row\n")
    small = override(load("debug"), {"train.epochs": "1", "train.batch_size": "2"})
    data = UCF24Data(root=str(tmp_path / "ucf24"), val_boxes="boxes.csv", skip_bad=True)
    recipe = replace(small, data=data, transform=TransformConfig(short_side=32), loss=LossConfig(kind="cross_entropy"))
    said: list[str] = []
    train(recipe, tmp_path / "run", say=said.append, quiet=True)
    report = judge(tmp_path / "run", say=said.append)
    assert report.protocol["left_out"] == 1
    assert report.warnings[-1].startswith("1 fault(s) of the data are left out")
    assert loaded(tmp_path / "run" / VIDEO_METRICS)["protocol"]["left_out"] == 1
    assert sum("boxes.csv line 26: 3 columns; expected 7" in text for text in said) == 2
    assert list(loaded(tmp_path / "run" / SKIPPED)) == ["val"]


def test_nothing_left_is_an_error(broken: Path, tmp_path: Path):
    folder = Path(shutil.copytree(broken, tmp_path / "play"))
    (folder / "groundtruth.csv").write_text("closed,0001,0.1,0.1,0.4,0.9,1,1\n")
    status, _, said = relact("train", "debug", "--set", f"data.root={folder}", "--skip-bad", "--out", tmp_path / "run")
    assert status == 2
    assert "nothing is left of the train split" in said
    assert "closed.mp4" in said


def test_evaluate_ava(tmp_path: Path):
    rows = [f"v,0902,0.1,0.1,0.5,0.9,{action},{{}}" for action in (12, 79)]
    truth, found, out = (tmp_path / name for name in ("truth.csv", "found.csv", "excluded.csv"))
    truth.write_text("\n".join(row.format(1) for row in rows) + "\n")
    found.write_text("\n".join(row.format(0.9) for row in rows) + "\n")
    out.write_text("v,0903\n")
    files = ["--groundtruth", truth, "--predictions", found, "--exclude", out]
    assert relact("evaluate", "ava", *files, "--skip-bad", "--json", tmp_path / "good.json")[0] == 0
    assert relact("evaluate", "ava", *files, "--json", tmp_path / "strict.json")[0] == 0
    assert loaded(tmp_path / "good.json") == loaded(tmp_path / "strict.json")
    truth.write_text("video,second,x1\n" + truth.read_text())
    found.write_text(found.read_text() + "v,0902,0.1,0.1,7,0.9,12,0.9\nv,0902,0.1,0.1,0.5,0.9,12,nan\n")
    status, _, said = relact("evaluate", "ava", *files)
    assert (status, f"{truth} line 1: expected 7 or 8 columns" in said) == (2, True)
    status, _, said = relact("evaluate", "ava", *files, "--skip-bad", "--json", tmp_path / "rest.json")
    assert status == 0
    assert f"2 broken row(s) left out, such as {found} line 3: x2=7" in said
    rest = loaded(tmp_path / "rest.json")
    left_out = {name: count for name, count in rest["protocol"].items() if name.endswith("left_out")}
    assert left_out == {"groundtruth_rows_left_out": 1, "predictions_rows_left_out": 2}
    assert np.isclose(rest["mAP"], loaded(tmp_path / "good.json")["mAP"])
    assert any("1 broken row(s) left out" in warning for warning in rest["warnings"])
