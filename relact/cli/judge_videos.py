"""`relact evaluate` for data sets that count frames: UCF101-24 and J-HMDB-21, by frame and by tube."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from relact.cli.judge import Units, evaluate_app, picture_of
from relact.cli.shown import show_report, show_videos, write_json
from relact.errors import InputError

Predictions = Annotated[
    Path,
    typer.Option(help="csv with a header, predictions.csv of `relact test`, or ACT's frame_detections (.npy, .pkl)."),
]
Truth = Annotated[Path, typer.Option(help="pyannot.pkl, UCF101v2-GT.pkl, JHMDB-GT.pkl, label folder, or csv.")]
Labels = Annotated[str, typer.Option(help="ucf24, jhmdb, or a csv or pbtxt of the actions that count.")]
Split = Annotated[
    Path | None,
    typer.Option(help="List of the judged videos. Default: the annotation's, testlist01.txt beside it, or all."),
]
BoxUnits = Annotated[
    Units | None, typer.Option(help="unit (0..1) or pixel, of a csv of predictions. Default: by size.")
]
Picture = Annotated[str, typer.Option(help="WIDTHxHEIGHT that the labels' pixels refer to.")]
Rules = Annotated[
    str, typer.Option(help="Whose evaluation: act, road, 3d-retinanet, multisports, and for frames yowo.")
]
Threshold = Annotated[float, typer.Option("--iou", help="Least overlap of a right box.")]
Source = Annotated[str | None, typer.Option(help="Where the boxes come from; written into the result.")]
Explain = Annotated[
    bool, typer.Option("--explain", help="Look for faults of keys, ids, boxes. Done anyway where mAP < 0.01.")
]
Errors = Annotated[bool, typer.Option("--errors", help="Count kinds of errors, and what mending each would give.")]
Json = Annotated[Path | None, typer.Option("--json", help="Also write the result to this file.")]


def _judge_frames(of: str) -> Callable[..., None]:
    """The command of a data set whose labels have this name."""

    def command(
        predictions: Predictions,
        groundtruth: Truth,
        labels: Labels = of,
        split: Split = None,
        rules: Rules = "act",
        iou: Threshold = 0.5,
        box_units: BoxUnits = None,
        picture: Picture = "320x240",
        box_source: Source = None,
        explain: Explain = False,
        show_errors: Errors = False,
        json_file: Json = None,
    ) -> None:
        from relact.metrics.frames import evaluate_frames

        report = evaluate_frames(
            predictions, groundtruth, labels, rules=rules, iou_threshold=iou, split=split, box_units=box_units,
            picture=picture_of(picture), box_source=box_source, explain=explain or None, errors=show_errors,
        )  # fmt: skip
        if json_file is not None:
            write_json(json_file, report)
        show_report(report)

    return command


for name, title, example in (
    ("ucf24", "UCF101-24", "--groundtruth ucf24/annotations/pyannot.pkl --predictions runs/ucf24/predictions.csv"),
    ("jhmdb", "J-HMDB-21", "--groundtruth JHMDB-GT.pkl --predictions mine.csv"),
):
    said = f"Judge actions on all frames of {title}: frame-mAP by ACT's evaluation."
    evaluate_app.command(name, help=f"{said}\n\nExample: relact evaluate {name} {example}")(_judge_frames(name))


@evaluate_app.command()
def video(
    predictions: Predictions,
    groundtruth: Truth,
    labels: Labels = "ucf24",
    split: Split = None,
    rules: Rules = "act",
    linking: Annotated[str, typer.Option(help="act or road: tubes from boxes; ids: the file's own tubes.")] = "act",
    trim: Annotated[
        str, typer.Option(help="none; road: cut tubes in time at the cost of 3 a change; or another cost.")
    ] = "none",
    box_units: BoxUnits = None,
    picture: Picture = "320x240",
    box_source: Source = None,
    explain: Explain = False,
    json_file: Json = None,
) -> None:
    """Judge tubes: video-mAP at IoU 0.2, 0.5, 0.75 and 0.5:0.95 of UCF101-24, J-HMDB-21 and sets like them.

    Example: relact evaluate video --groundtruth ucf24/annotations/pyannot.pkl --predictions runs/ucf24/predictions.csv

    Example: relact evaluate video --labels jhmdb --groundtruth truth.csv --predictions actions.csv --linking ids
    """
    from relact.metrics.videos import evaluate_videos

    report = evaluate_videos(
        predictions, groundtruth, labels, rules=rules, linking=linking, trim=_cost(trim), split=split,
        box_units=box_units, picture=picture_of(picture), box_source=box_source, explain=explain or None,
    )  # fmt: skip
    if json_file is not None:
        write_json(json_file, report)
    show_videos(report)


def _cost(trim: str) -> float | None:
    from relact.metrics.videos import TRIM_COST

    if trim in ("none", "road"):
        return None if trim == "none" else TRIM_COST
    try:
        return float(trim)
    except ValueError:
        raise InputError(f"--trim {trim}: expected none, road, or a number, the cost of a change") from None
