"""The page of all commands has every command, with everything that it takes."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import typer

from relact.cli import app

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "commands.py"))


def test_every_command_has_its_section_with_all_that_it_takes(tool: dict[str, Any]):
    found = list(tool["commands"](typer.main.get_command(app)))
    assert {" ".join(words) for words, _ in found} >= {"relact detect", "relact data stage", "relact weights list"}
    for words, command in found:
        text = tool["section"](words, command)
        assert text.startswith(f"## {' '.join(words)}\n")
        for parameter in command.params:
            if parameter.name != "help":
                shown = parameter.opts[0] if parameter.param_type_name == "option" else parameter.name.upper()
                assert f"| `{shown}`" in text, f"{words}: {shown}"
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {4}


def test_words_that_markdown_would_take_for_signs_are_only_words(tool: dict[str, Any]):
    assert tool["safe"]("a_b *c* <d> `e_f` g|h") == r"a\_b \*c\* \<d> `e_f` g\|h"
