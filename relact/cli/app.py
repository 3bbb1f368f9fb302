"""The command line's root: its groups, its screens, and how errors end it."""

import os
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from relact import __version__
from relact.errors import InputError

app = typer.Typer(
    name="relact",
    help="Relational action detection: who does what, with what and with whom, second by second, in any video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
weights_app = typer.Typer(no_args_is_help=True, help="Published weights: list, fetch, convert.")
bank_app = typer.Typer(no_args_is_help=True, help="Feature banks, the memory of heads: build, show.")
detector_app = typer.Typer(no_args_is_help=True, help="The small person detector: train.")
bench_app = typer.Typer(no_args_is_help=True, help="Comparisons of all heads: stage.")
data_app = typer.Typer(no_args_is_help=True, help="Data sets: generate, convert, check.")
app.add_typer(weights_app, name="weights")
app.add_typer(bank_app, name="bank")
app.add_typer(data_app, name="data")
app.add_typer(bench_app, name="bench")
app.add_typer(detector_app, name="detector")

SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", help="Leave out rows, videos and keyframes that cannot be used, and count them."),
]

screen = Console(width=None if sys.stdout.isatty() else 160)
errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
_debug = False


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    global _debug
    _debug = debug
    if version:
        print(f"relact {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """Entry point: errors of users are one line and status 2, or 1 where only some of several inputs failed."""
    spin_briefly()
    try:
        app()
    except InputError as error:
        if _debug:
            raise
        errors.print(f"relact: {error}")
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
    except RuntimeError as error:
        if _debug or type(error).__name__ != "OutOfMemoryError":
            raise
        errors.print(f"relact: the GPU has too little memory: {error}; try --batch 1, or --short-side 224")
        sys.exit(2)


def spin_briefly() -> None:
    """Threads that wait for each other sleep soon, unless the environment says otherwise.

    GNU's OpenMP lets them spin for milliseconds, which beside another busy process is up to nine times as slow
    (docs/experiments.md). It reads this when torch is loaded; worker processes inherit it.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def say(text: str) -> None:
    """To standard error, where progress goes: standard output is for results."""
    errors.print(text)


def print_rows(left: str, right: str, rows: list[tuple[str, str]]) -> None:
    """A table of two columns."""
    table = Table(left, right, show_header=bool(left))
    for row in rows:
        table.add_row(*row)
    screen.print(table)


def with_skip_bad(settings: list[str] | None, skip_bad: bool) -> list[str]:
    """Settings as `--set` gives them, and that of `--skip-bad`."""
    return [*(settings or []), *(["data.skip_bad=true"] if skip_bad else [])]


def pairs(settings: list[str]) -> dict[str, str]:
    """What `--set NAME=VALUE` was given."""
    for setting in settings:
        if "=" not in setting:
            raise InputError(f"--set {setting}: expected NAME=VALUE, such as optim.lr=0.02")
    return dict(setting.split("=", 1) for setting in settings)
