"""The house rules that a machine can check."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = sorted((ROOT / "relact").rglob("*.py"))
BIN = Path(sys.executable).parent


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_ruff_finds_nothing():
    checked = run(str(BIN / "ruff"), "check", ".")
    assert checked.returncode == 0, checked.stdout
    formatted = run(str(BIN / "ruff"), "format", "--check", ".")
    assert formatted.returncode == 0, formatted.stdout


def test_types_hold():
    checked = run(str(BIN / "mypy"))
    assert checked.returncode == 0, checked.stdout


def test_imports_point_down():
    checked = run(str(BIN / "lint-imports"))
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short_and_free_of_what_we_avoid(path: Path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400, "split it by meaning"
    assert not re.search(r"\.cuda\(\)|\bTODO\b|\bFIXME\b", text)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 80, f"{node.name} has {length} lines"


def test_equations_in_code_stand_in_the_notes_of_the_paper():
    for head in sorted((ROOT / "relact" / "heads").glob("[!_]*.py")):
        cited = set(re.findall(r"# (Eq\. \d+)", head.read_text(encoding="utf-8")))
        notes = ROOT / "docs" / "papers" / f"{head.stem}.md"
        assert notes.is_file(), f"{head.stem} has no page of notes"
        missing = {equation for equation in cited if equation not in notes.read_text(encoding="utf-8")}
        assert not missing, f"{notes.name} lacks {missing}"


EQUATIONS = {"acar": range(1, 6), "amcrnet": range(2, 7), "mrsn": range(1, 9), "igmn": range(1, 11)}
"""numbered in the papers; AMCRNet's Eq. 1 is the backbone, STC has none, the baselines' papers are not at hand"""


@pytest.mark.parametrize("head", EQUATIONS)
def test_every_equation_of_a_paper_has_its_line_and_is_transcribed(head: str):
    code = (ROOT / "relact" / "heads" / f"{head}.py").read_text(encoding="utf-8")
    notes = (ROOT / "docs" / "papers" / f"{head}.md").read_text(encoding="utf-8")
    tagged = {int(n) for comment in re.findall(r"# (Eq\. .*)", code) for n in re.findall(r"\d+", comment)}
    transcribed = {int(n) for n in re.findall(r"Eq\. (\d+)[:,|]?", notes)}
    assert set(EQUATIONS[head]) <= tagged
    assert set(EQUATIONS[head]) <= transcribed


def test_public_names_are_listed_and_resolve():
    import relact

    assert sorted(relact.__all__) == relact.__all__
    for name in relact.__all__:
        assert getattr(relact, name).__name__.rpartition(".")[2] == name


def test_neither_the_package_nor_help_imports_torch():
    code = "import sys, relact, relact.cli; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert run(sys.executable, "-c", code).returncode == 0


def test_evaluation_does_not_import_torch():
    code = "import sys, relact.metrics.ava; sys.exit('torch' in sys.modules)"
    assert run(sys.executable, "-c", code).returncode == 0


COMMANDS = {
    "demo", "detect", "train", "test", "evaluate", "show", "recipes", "heads", "backbones", "doctor", "weights", "data",
    "bank", "report", "bench", "detector", "export", "serve", "live",
}  # fmt: skip


def test_the_command_list_is_frozen():
    """A command that users script against is added on purpose, with its line in the README, and never lost."""
    from relact.cli import app

    names = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    groups = {group.name for group in app.registered_groups}
    assert names | groups == COMMANDS
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in sorted(COMMANDS) if f"relact {name}" not in readme] == []
