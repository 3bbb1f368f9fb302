"""The command report: the page of a result, made again."""

from pathlib import Path
from typing import Annotated

import typer

from relact.cli.app import app, say
from relact.errors import InputError


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
    relations: Annotated[
        list[float] | None,
        typer.Option(help="Also show where the head looked at this second; may be given several times."),
    ] = None,
    person: Annotated[
        int | None, typer.Option(help="Of --relations: only this person; default: everyone who is there.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", "-w", help="Of --relations; default: what the result was made with.")
    ] = None,
    embed: Annotated[bool, typer.Option(help="Put the video into the page, so that one file is all.")] = False,
) -> None:
    """Write report.html: the video with boxes, ids and actions over it, a timeline a person, and a table.

    Example: relact report out/street --truth groundtruth.csv --relations 12 --person 2
    """
    from relact.run.report import report as run_report
    from relact.run.report_looks import Asked

    if relations is None and (person is not None or weights is not None):
        raise InputError("report: --person and --weights belong to --relations SECOND; give it, or leave them out")
    asked = None if relations is None else Asked(seconds=tuple(relations), person=person, weights=weights)
    for page in run_report(result, truth=truth, video=video, labels=labels, embed=embed, asked=asked):
        say(f"look at {page}")
