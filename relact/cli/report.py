"""The command report: the page of a result, made again."""

from pathlib import Path
from typing import Annotated

import typer

from relact.cli.app import app, say


@app.command()
def report(
    result: Annotated[Path, typer.Argument(help="A folder that `relact detect` wrote, or one that holds several.")],
    truth: Annotated[
        Path | None, typer.Option(help="Ground truth in AVA's csv, shown beside what was found, misses marked.")
    ] = None,
    video: Annotated[Path | None, typer.Option(help="The video, where it is no longer where detect read it.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Label map with the kinds of actions; default: beside the weights, or AVA's.")
    ] = None,
    embed: Annotated[bool, typer.Option(help="Put the video into the page, so that one file is all.")] = False,
) -> None:
    """Write report.html: the video with boxes, ids and actions over it, a timeline a person, and a table.

    Example: relact report out/street --truth groundtruth.csv
    """
    from relact.run.report import report as run_report

    for page in run_report(result, truth=truth, video=video, labels=labels, embed=embed):
        say(f"look at {page}")
