"""How good a result is: the protocols of `relact evaluate`; those of UCF101-24 and J-HMDB are in `judge_videos`."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from relact.cli.app import app, say
from relact.cli.shown import show_comparison, show_links, show_report, write_json
from relact.errors import InputError

__all__ = ["evaluate_app", "picture_of", "show_report", "write_json"]

Units = Literal["unit", "pixel"]
PROTOCOLS = {
    "ava": "AVA's frame-mAP", "ucf24": "frame-mAP of UCF101-24", "jhmdb": "frame-mAP of J-HMDB-21",
    "video": "video-mAP", "links": "ids of people", "compare": "two results", "ensemble": "models averaged",
}  # fmt: skip


class _Protocols(TyperGroup):
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands:
            known = ", ".join(f"{name} ({what})" for name, what in PROTOCOLS.items())
            raise InputError(f"no protocol named {args[0]!r}: there are {known}")
        return super().resolve_command(ctx, args)


evaluate_app = typer.Typer(cls=_Protocols, no_args_is_help=True, help="Judge predictions: actions, tubes, ids.")
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
    box_source: Annotated[str | None, typer.Option(help="Where the boxes come from; written into the result.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Look for faults of keys, ids, boxes. Done anyway where mAP < 0.01.")
    ] = False,
    show_errors: Annotated[
        bool, typer.Option("--errors", help="Count kinds of errors, and what mending each would give.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave broken rows out; the result says how many of each file.")
    ] = False,
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
        box_source=box_source,
        explain=explain or None,
        errors=show_errors,
        skip_bad=skip_bad,
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
        box_units=box_units, fps=fps, picture=None if picture is None else picture_of(picture),
    )  # fmt: skip
    if json_file is not None:
        write_json(json_file, report)
    show_links(report)


@evaluate_app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="Result of `relact evaluate --json`, or metrics.json.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another result of the same measure.")],
    at: Annotated[
        str, typer.Option(help="IoU at which classes of video-mAP are compared: 0.2, 0.5, 0.75, 0.5:0.95.")
    ] = "0.5",
    plot: Annotated[Path | None, typer.Option(help="Also draw the differences by class into this PNG.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the comparison to this file.")] = None,
) -> None:
    """Say where two results differ: protocols first, then means, groups and classes.

    Example: relact evaluate compare runs/linear/metrics.json runs/acar/metrics.json --plot difference.png
    """
    from relact.metrics.compare import compare_results

    comparison = compare_results(first, second, threshold=at)
    if json_file is not None:
        write_json(json_file, comparison)
    if plot is not None:
        from relact.metrics.compare_plot import draw

        draw(comparison, plot)
    show_comparison(comparison)


@evaluate_app.command()
def ensemble(
    predictions: Annotated[
        list[Path], typer.Argument(help="csv of predictions of each model, or run folders that hold predictions.csv.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="csv to write: video,second,x1,y1,x2,y2,action,score")],
    weights: Annotated[str | None, typer.Option(help="Of the models, such as 2,1,1; default: all alike.")] = None,
    average: Annotated[
        Literal["scores", "logits"], typer.Option(help="Mean of the scores, or of their logits (log-odds).")
    ] = "scores",
    min_iou: Annotated[float, typer.Option(help="Overlap from which two boxes are one.", min=0.01, max=1)] = 0.9,
    keep_unmatched: Annotated[
        bool, typer.Option("--keep-unmatched", help="Boxes that not all models have: average over those that do.")
    ] = False,
    box_units: Annotated[Units, typer.Option(help="unit (0..1) or pixel, of all files.")] = "unit",
) -> None:
    """Average the predictions of several models for the same boxes, of whatever code bases; judge the result as any.

    Example: relact evaluate ensemble runs/acar runs/mrsn theirs.csv --out both.csv --weights 2,1,1
    """
    from relact.interop.ensemble import ensemble as averaged

    try:
        share = None if weights is None else [float(weight) for weight in weights.split(",")]
    except ValueError as error:
        raise InputError(f"--weights {weights}: expected numbers between commas, such as 2,1,1") from error
    made = averaged(
        predictions, weights=share, average=average, min_iou=min_iou, keep_unmatched=keep_unmatched, box_units=box_units
    )
    made.write(out)
    alone = int((made.models < len(predictions)).sum())
    say(
        f"{len(made.boxes)} boxes of {len(made.videos)} videos, {len(made.actions)} actions, {len(predictions)} files"
        + (f"; {alone} boxes are not in all" if alone else "")
        + f" → {out}"
    )


def picture_of(text: str) -> tuple[int, int]:
    """Width and height."""
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", text):
        raise InputError(f"--picture {text}: expected WIDTHxHEIGHT in pixels, such as 1280x720")
    width, height = text.split("x")
    return int(width), int(height)
