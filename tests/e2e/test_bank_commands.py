"""`relact bank build` and `relact bank show`."""

import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from unittest import mock

import pytest

from relact.cli import main
from tests.make_stage import make_stage


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a tiny ACAR-Net, and its data beside it."""
    folder = tmp_path_factory.mktemp("bank")
    make_stage(folder / "play", videos=2)
    small = ["head.reduce=8", "head.width=8", "head.grid=[3, 4]", "transform.short_side=48", "train.epochs=1"]
    settings = [word for setting in [f"data.root={folder / 'play'}", *small] for word in ("--set", setting)]
    done = relact("train", "debug", "--head", "acar", *settings, "--out", str(folder / "run"))
    assert done.returncode == 0, done.stderr
    return folder / "run"


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def relact(*arguments: str) -> Done:
    """The command line in this process, which has torch already."""
    out, err, status = StringIO(), StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err), mock.patch("sys.argv", ["relact", *arguments]):
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
    return Done(status, out.getvalue(), err.getvalue())


def test_a_bank_is_built_shown_and_built_only_once(run: Path):
    bank = run.parent / "bank"
    done = relact("bank", "build", str(run), "--split", "val", "--out", str(bank))
    assert done.returncode == 0, done.stderr
    assert "8 rows of 2 videos" in done.stderr
    files = {path: path.stat().st_mtime_ns for path in bank.glob("*.safetensors")}
    assert relact("bank", "build", str(run), "--split", "val", "--out", str(bank)).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in bank.glob("*.safetensors")} == files
    shown = json.loads(relact("bank", "show", str(bank), "--json").stdout)
    assert (shown["rows"], shown["ticks"], shown["people"], shown["grid"]) == (8, 4, 4, [3, 4])
    assert (shown["dim"], shown["bytes"], shown["producer"]["head"]) == (8 * 3 * 4, 8 * 8 * 3 * 4 * 2, "acar")
    text = relact("bank", "show", str(bank), "--videos").stdout
    assert "maps of 8 x 3 x 4" in text
    assert all(f"{video}" in text for video in shown["videos"])


def test_what_is_wrong_is_said(run: Path):
    nothing = relact("bank", "show", str(run.parent / "nowhere"))
    assert (nothing.returncode, "no feature bank" in nothing.stderr) == (2, True)
    split = relact("bank", "build", str(run), "--split", "test", "--out", str(run.parent / "b"))
    assert (split.returncode, "expected train or val" in split.stderr) == (2, True)
    whole = run.parent / "whole"
    assert relact("bank", "build", str(run), "--out", str(whole)).returncode == 0
    damaged = next(whole.glob("*.safetensors"))
    content = bytearray(damaged.read_bytes())
    content[5000] ^= 1
    damaged.write_bytes(content)
    shown = relact("bank", "show", str(whole))
    assert (shown.returncode, damaged.name in shown.stderr, "checksum" in shown.stderr) == (2, True, True)


def test_a_bank_of_another_network_is_refused_by_name(run: Path):
    other = run.parent / "other"
    settings = ["--set", f"data.root={run.parent / 'play'}", "--set", "transform.short_side=48"]
    assert relact("train", "debug", *settings, "--set", "train.epochs=1", "--out", str(other)).returncode == 0
    bank = run.parent / "of_acar"
    assert relact("bank", "build", str(run), "--out", str(bank)).returncode == 0
    refused = relact("bank", "build", str(other), "--out", str(bank))
    assert refused.returncode == 2
    assert "made by head acar" in refused.stderr
    assert "expected head linear" in refused.stderr
