"""What a newcomer is told to run does what the page says, as it stands, in an empty folder."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)

LEAVES = {
    "start.md": ["demo/found/stage_7_0000/report.html", "out/play/segments.csv"],
    "tutorials/own-video.md": [
        "out/stage_5_0000/annotated.mp4",
        "finer/stage_5_0000/actions.json",
        "piped/stdin/run.json",
    ],
    "tutorials/memory.md": [
        "runs/acar/bank/val",
        "past.png",
        "causal/stage_0_0000/segments.csv",
        "runs/none/metrics.json",
    ],
}
"""of each page, what is there at its end"""


def steps(page: str) -> list[list[str]]:
    """What the page tells its reader to run; installation is done already."""
    found = []
    for kind, text in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        if kind == "python":
            found.append([sys.executable, "-c", text])
            continue
        for line in text.splitlines():
            command = line.split(" #")[0].strip()
            if not command.startswith(("make ", ". ")):
                relact = f"{sys.executable} -m relact "
                found.append(["bash", "-c", relact + command[7:] if command.startswith("relact ") else command])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("page", LEAVES)
def test_a_page_runs_as_it_stands(page: str, tmp_path: Path):
    told = steps(page)
    assert len(told) >= 5
    for step in told:
        done = subprocess.run(step, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, f"{step[-1]}: {done.stderr}"
    assert [name for name in LEAVES[page] if not (tmp_path / name).exists()] == []
