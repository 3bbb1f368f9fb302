"""How good a result is: the protocols of `relact evaluate`, and how their reports are shown and written."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import typer
from rich.table import Table
from typer.core import TyperGroup

from relact.cli.app import app, errors, screen
from relact.errors import InputError

if TYPE_CHECKING:
    from relact.metrics.links import LinkCounts, LinksReport

Units = Literal["unit", "pixel"]
PROTOCOLS = {"ava": "frame-mAP at IoU 0.5", "links": "ids of people"}


class _Protocols(TyperGroup):
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands:
            known = " and ".join(f"{name} ({what})" for name, what in PROTOCOLS.items())
            raise InputError(f"no protocol named {args[0]!r}: there are {known}")
        return super().resolve_command(ctx, args)


evaluate_app = typer.Typer(cls=_Protocols, no_args_is_help=True, help="Judge predictions: actions (ava), ids (links).")
app.add_typer(evaluate_app, name="evaluate")


@evaluate_app.command()
def ava(
    predictions: Annotated[Path, typer.Option(help="csv: video,second,x1,y1,x2,y2,action,score")],
    groundtruth: Annotated[Path, typer.Option(help="csv: video,second,x1,y1,x2,y2,action[,person]")],
    labels: Annotated[str, typer.Option(help="pbtxt or csv of the evaluated actions, or ava60, ava, ucf24.")] = "ava60",
    exclude: Annotated[Path | None, typer.Option(help="csv of excluded timestamps: video,second")] = None,
    cap: Annotated[int, typer.Option(help="Best (box, action) rows that count a keyframe; 0 = all.", min=0)] = 50,
    box_units: Annotated[Units, typer.Option(help="unit (0..1) or pixel, of both files.")] = "unit",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write mAP, ap_by_class, ap_by_group to this file.")
    ] = None,
) -> None:
    """Judge actions by AVA's official protocol: frame-mAP at IoU 0.5.

    Example: relact evaluate ava --groundtruth val.csv --predictions mine.csv --labels list.pbtxt --exclude excluded.csv
    """
    from relact.metrics.ava import evaluate as evaluate_ava

    report = evaluate_ava(
        predictions=predictions,
        groundtruth=groundtruth,
        labels=labels,
        exclude=exclude,
        cap=cap,
        box_units=box_units,
    )
    if json_file is not None:
        write_json(json_file, report)
    show_report(report)


@evaluate_app.command()
def links(
    predictions: Annotated[Path, typer.Option(help="Boxes with ids: actions.csv of detect, AVA csv, MOT, JSON …")],
    groundtruth: Annotated[Path, typer.Option(help="Boxes with true ids, such as AVA's csv with person_id.")],
    max_gap: Annotated[float | None, typer.Option(help="Seconds; longer links do not count. Default: all do.")] = None,
    min_iou: Annotated[float, typer.Option(help="Least overlap of a box with its true one.")] = 0.5,
    relink: Annotated[
        bool, typer.Option("--relink", help="Judge relact's keyframe linker (overlap alone) on these boxes instead.")
    ] = False,
    link_gap: Annotated[
        int | None, typer.Option(help="With --relink: keyframes from a person to the next sight; default 1.", min=1)
    ] = None,
    box_threshold: Annotated[float, typer.Option(help="Leave out predicted boxes that score less.")] = 0.0,
    box_units: Annotated[
        Units | None, typer.Option(help="unit (0..1) or pixel, where the files leave it open.")
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second of a file that counts frames.")] = None,
    picture: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT of the video, where one file is in pixels, the other in 0..1.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the result to this file.")] = None,
) -> None:
    """Judge ids of people: precision and recall of the links from sight to sight, IDF1, switches.

    Example: relact evaluate links --groundtruth val.csv --predictions out/street/actions.csv

    Example: relact evaluate links --groundtruth val.csv --predictions val.csv --relink
    """
    from relact.interop.linking import LinkConfig
    from relact.metrics.links import evaluate_links

    if link_gap is not None and not relink:
        raise InputError("--link-gap is for --relink; --max-gap says which links count")
    report = evaluate_links(
        predictions, groundtruth, max_gap=max_gap, min_iou=min_iou, box_threshold=box_threshold,
        relink=LinkConfig(max_gap=link_gap or 1) if relink else None,
        box_units=box_units, fps=fps, picture=None if picture is None else _picture(picture),
    )  # fmt: skip
    if json_file is not None:
        write_json(json_file, report)
    _show_links(report)


def _picture(text: str) -> tuple[int, int]:
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", text):
        raise InputError(f"--picture {text}: expected WIDTHxHEIGHT in pixels, such as 1280x720")
    width, height = text.split("x")
    return int(width), int(height)


class Report(Protocol):
    """What can be written as JSON."""

    def to_json(self) -> str:
        """All of it as text."""


def write_json(path: Path, report: Report) -> None:
    """The report as a file, whole or not at all."""
    from relact.interop.files import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(report.to_json(), encoding="utf-8")


def show_report(report: Any) -> None:
    """AP of each action, of groups, and mAP."""
    table = Table("id", "action", "AP")
    for action in report.classes:
        table.add_row(str(action.id), action.name, "no truth" if action.ap is None else f"{action.ap:.4f}")
    screen.print(table)
    for group, ap in report.ap_by_group.items():
        screen.print(f"{group:>8}  {'no truth' if ap is None else f'{ap:.4f}'}", highlight=False)
    screen.print(f"mAP@0.5 {report.mAP:.4f}", highlight=False)
    for warning in report.warnings:
        errors.print(f"warning: {warning}")


def _show_links(report: "LinksReport") -> None:
    """A line for each video and one for all."""
    table = Table("video", "precision", "recall", "links made", "true links", "IDF1", "switches", "boxes", "true boxes")
    for name, counts in report.videos.items():
        table.add_row(name or "(no name)", *_cells(counts))
    table.add_section()
    table.add_row("all", *_cells(report.total))
    screen.print(table)
    for warning in report.warnings:
        errors.print(f"warning: {warning}")


def _cells(counts: "LinkCounts") -> list[str]:
    shares = ["none" if share is None else f"{share:.4f}" for share in (counts.precision, counts.recall, counts.idf1)]
    numbers = [str(n) for n in (counts.switches, counts.predicted_boxes, counts.true_boxes)]
    return [*shares[:2], str(counts.predicted), str(counts.true), shares[2], *numbers]
