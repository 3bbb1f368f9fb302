"""The README's commands do what they say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


BLOCKS = [text for _, text in re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)]


def commands() -> list[str]:
    """The lines of code blocks that begin with `relact`, comments cut off."""
    lines = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines()]
    return [line for line in lines if line.startswith("relact ")]


def test_every_command_of_the_readme_exists_with_its_options():
    assert len(commands()) >= 5
    for command in commands():
        words = command.split()
        depth = 3 if words[1] in ("data", "weights", "evaluate", "bench", "detector", "bank") else 2
        shown = subprocess.run(
            [sys.executable, "-m", *words[:depth], "--help"], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert shown.returncode == 0, command
        for option in re.findall(r"--[a-z-]+", command):
            assert option in shown.stdout, f"{option} of {command!r}"


@pytest.mark.slow
def test_the_training_block_runs_as_it_stands(tmp_path: Path):
    block = next(block for block in BLOCKS if "relact train debug --set" in block)
    for line in block.splitlines():
        words = line.split("#")[0].split()
        done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "mAP@0.5" in done.stdout
    assert (tmp_path / "runs" / "play" / "metrics.json").is_file()
