"""The comparisons that are commands: bench stage."""

import json
from pathlib import Path
from typing import Annotated

import typer

from relact.cli.app import bench_app, say, screen


@bench_app.command("stage")
def bench_stage(
    data: Annotated[Path, typer.Option(help="A set that `relact data stage` wrote.")] = Path("stage"),
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the runs.")] = Path("runs/stage"),
    heads: Annotated[
        list[str] | None,
        typer.Option("--head", help="Recipes without `stage_`; may be given several times; default: all."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each, with seeds from 0.", min=1)] = 3,
    jobs: Annotated[int, typer.Option(help="Runs at the same time.", min=1)] = 1,
    epochs: Annotated[int | None, typer.Option(help="Train longer or shorter.", min=1)] = None,
    page: Annotated[
        Path | None, typer.Option(help="Also write the table, in Markdown, and its plot into this folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Train every head on Stage and compare them, family by family; goes on where it was stopped.

    Example: relact bench stage --data stage --out runs/stage --jobs 2
    """
    from relact import recipes
    from relact.recipes.stage import HEADS
    from relact.run.stage import Bench, run_bench
    from relact.run.stage_table import summary, write_page

    bench = Bench(
        data=data, out=out, heads=tuple(heads or HEADS), load=recipes.load, seeds=seeds, jobs=jobs, epochs=epochs
    )
    results = run_bench(bench, say)
    if page is not None:
        write_page(results, page)
    if as_json:
        print(json.dumps(results, indent=1))
    else:
        screen.print(summary(results), soft_wrap=True)
