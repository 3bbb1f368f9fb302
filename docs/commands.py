"""Write the page of all commands, docs/api/commands.md, from what `relact --help` is made of: `make docs` runs it."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from relact.cli import app
from relact.interop.files import atomic_path

PAGE = Path(__file__).parent / "api" / "commands.md"
HEAD = "# Commands\n\n`relact COMMAND --help` says the same in a terminal.\n"


def commands(node: Any, path: tuple[str, ...] = ("relact",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it; groups are walked."""
    if children := getattr(node, "commands", None):
        for name in sorted(children):
            yield from commands(children[name], (*path, name))
    else:
        yield path, node


def section(words: tuple[str, ...], command: Any) -> str:
    """A heading, what the command does, its example, a table of what it takes."""
    whole = inspect.cleandoc(command.help or "")
    text, _, example = whole.partition("Example:")
    lines = [f"## {' '.join(words)}", "", safe(" ".join(text.split())), ""]
    if example:
        lines += ["```sh", *example.strip().splitlines(), "```", ""]
    rows = [row(parameter) for parameter in command.params if parameter.name != "help"]
    return "\n".join([*lines, "| | | default |", "|---|---|---|", *rows, ""])


def row(parameter: Any) -> str:
    """A line of the table: its names, what it means, what it is otherwise."""
    option = parameter.param_type_name == "option"
    names = [*parameter.opts, *parameter.secondary_opts] if option else [parameter.name.upper()]
    default = "" if parameter.default in (None, False, (), []) or callable(parameter.default) else parameter.default
    if parameter.required:
        default = "required"
    shown = f"`{default}`" if default not in ("", "required") else default
    return f"| {' '.join(f'`{name}`' for name in names)} | {safe(parameter.help or '')} | {shown} |"


def safe(text: str) -> str:
    """Words that Markdown must not take for its own signs; code between backticks stays as it is."""
    parts = text.replace("|", "\\|").split("`")
    parts[::2] = [re.sub(r"([*_<])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def main() -> None:
    """Write the page."""
    parts = [section(words, command) for words, command in commands(typer.main.get_command(app))]
    with atomic_path(PAGE) as temporary:
        temporary.write_text("\n".join([HEAD, *parts]), encoding="utf-8")


if __name__ == "__main__":
    main()
