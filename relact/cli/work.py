"""The commands that work on videos and data: demo, detect, train, test, show."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from relact.cli.app import app, errors, pairs, say, screen
from relact.cli.judge import show_report, write_json
from relact.errors import InputError

if TYPE_CHECKING:
    from relact.recipe import Recipe

Units = Literal["unit", "pixel"]


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for everything that it makes.")] = Path("demo"),
    model: Annotated[str, typer.Option(help="A model that ships (stage_acar …), or a run folder.")] = "stage_stc",
    seed: Annotated[int, typer.Option(help="Which play; those that ship have seen seed 1.", min=0)] = 7,
    seconds: Annotated[int, typer.Option(help="Its length.", min=3)] = 48,
) -> None:
    """Write a play that nobody has seen, find its people, say what they do, and judge it: nothing is downloaded.

    Example: relact demo --model stage_acar --seed 8
    """
    from rich.table import Table

    from relact.run.play import demo as run_demo
    from relact.run.play import family_rows

    done = run_demo(out, model=model, seed=seed, seconds=seconds, say=say)
    table = Table("family", "actions", "AP")
    for row in family_rows(done.report):
        table.add_row(*row)
    screen.print(table)
    print(f"frame-mAP@0.5 {done.report.mAP:.3f} of {model} on the play of seed {seed}")
    print(f"look at {done.page}")


@app.command()
def detect(
    videos: Annotated[
        list[str], typer.Argument(help="Video files; - for standard input, a pipe, a camera, an rtsp address …")
    ],
    weights: Annotated[
        str, typer.Option("--weights", "-w", help="A run folder of `relact train`, or a name of `relact weights list`.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder; one subfolder a video. Default: VIDEO.relact beside it."),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(
            help="Person boxes from a file instead of a detector: AVA csv or pickle, MOT, JSON, csv, UCF101-24."
        ),
    ] = None,
    box_format: Annotated[str | None, typer.Option(help="Format of --boxes where its name does not tell.")] = None,
    box_units: Annotated[
        Units | None, typer.Option(help="unit or pixel, where the format of --boxes leaves it open.")
    ] = None,
    detector: Annotated[str, typer.Option(help="auto, a torchvision detector's name, or file.py:function.")] = "auto",
    every: Annotated[float, typer.Option(help="Seconds between keyframes.", min=0.04)] = 1.0,
    detect_hz: Annotated[float, typer.Option(help="Person detections a second.", min=0.1)] = 5.0,
    box_threshold: Annotated[float, typer.Option(help="Least score of a person box.", min=0, max=1)] = 0.5,
    threshold: Annotated[float, typer.Option(help="Least score of an action in actions.*", min=0, max=1)] = 0.05,
    table: Annotated[
        list[str] | None, typer.Option("--format", help="csv, json, parquet; may be given several times.")
    ] = None,
    draw: Annotated[bool, typer.Option(help="Write annotated.mp4.")] = True,
    report: Annotated[bool, typer.Option(help="Write report.html, and index.html for several videos.")] = True,
    short_side: Annotated[
        int | None, typer.Option(help="Pixels; default: what the model was trained at.", min=16)
    ] = None,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    batch: Annotated[int | None, typer.Option(help="Keyframes at a time.", min=1)] = None,
    causal: Annotated[
        bool, typer.Option("--causal", help="Use the past only: each keyframe is known when its own clip is over.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Print each keyframe, a line of JSON, the moment that it is known.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
) -> None:
    """Find the people in videos and what they do; write tables, segments, a drawn video and a page to look at.

    A run that was stopped goes on where it was when the same command is given again.

    Example: relact detect street.mp4 --weights runs/x --out out
    """
    from relact.run import detect_files
    from relact.video.pipeline import DetectConfig

    if live and as_json:
        raise InputError("--live and --json: both print to standard output; choose one")
    config = DetectConfig(
        every=every, detect_hz=detect_hz, box_threshold=box_threshold, threshold=threshold, draw=draw,
        formats=tuple(table or ["csv"]), short_side=short_side, precision=precision, batch=batch, causal=causal,
    )  # fmt: skip
    results = detect_files(
        videos, weights=weights, out=out, boxes=boxes, box_format=box_format, box_units=box_units,
        detector=detector, config=config, device=device, live=live, report=report, say=say,
        quiet=as_json or live,
    )  # fmt: skip
    for failed in (result for result in results if result.error):
        errors.print(f"relact: {failed.error}")
    if as_json:
        print(json.dumps([result.to_json() for result in results], indent=2))
    if any(result.error for result in results):
        raise typer.Exit(1)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, a recipe.json, or file.py:function.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="Override a field: optim.lr=0.02")] = None,
    head: Annotated[str | None, typer.Option(help="Swap the head.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Run folder; default runs/NAME.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the last epoch of an earlier run in this folder.")] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda …")] = None,
) -> None:
    """Train a recipe; the run folder holds the weights, the recipe, a log and the validation result.

    Example: relact train ucf24_small --set data.root=ucf24 --out runs/ucf24
    """
    from relact.run import train as run_train

    chosen = _recipe(recipe, [*([f"head={head}"] if head else []), *(settings or [])])
    report = run_train(chosen, out or Path("runs") / chosen.name, resume=resume, device=device, say=say)
    show_report(report)


@app.command()
def test(
    run: Annotated[Path, typer.Argument(help="A run folder of `relact train`.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="Override a field, such as data.root=…")] = None,
    split: Annotated[str, typer.Option(help="train or val.")] = "val",
    device: Annotated[str | None, typer.Option(help="cpu, cuda …")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the result to this file.")] = None,
) -> None:
    """Run a trained model over its validation set, write its predictions and judge them.

    Example: relact test runs/ucf24
    """
    from relact.run import test as run_test

    report = run_test(run, settings=pairs(settings or []), split=split, device=device)
    show_report(report)
    if json_file is not None:
        write_json(json_file, report)


@app.command()
def show(
    result: Annotated[Path, typer.Argument(help="A folder that `relact detect` wrote; with --relations also a video.")],
    person: Annotated[int | None, typer.Option(help="Only this person.")] = None,
    least: Annotated[float, typer.Option(help="Least mean score.", min=0, max=1)] = 0.0,
    relations: Annotated[
        Path | None, typer.Option(help="Draw what a person is related to into this .png or .svg; needs --at.")
    ] = None,
    at: Annotated[float | None, typer.Option(help="Second of the keyframe that --relations draws.")] = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", "-w", help="Of --relations; default: what the result was made with."),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(help="Of --relations: who is in the video, a box file or a result. Default: VIDEO.relact."),
    ] = None,
    device: Annotated[str, typer.Option(help="Of --relations: cpu, cuda, cuda:1 …")] = "cpu",
) -> None:
    """Who does what from when to when, read from segments.csv; with --relations, where the head looked, as a picture.

    Example: relact show out/street --person 2 --at 12 --relations looked.png
    """
    if relations is not None and at is not None:
        from relact.run.look import show_relations

        show_relations(result, relations, at=at, person=person, weights=weights, boxes=boxes, device=device, say=say)
        return
    if relations is not None or at is not None or weights is not None or boxes is not None:
        raise InputError("show: --at SECOND and --relations FILE.png (or .svg) belong together; give both")
    from relact.video.segments import read_segments

    rows = read_segments(result / "segments.csv")
    chosen = [row for row in rows if (person is None or row.person == person) and row.mean >= least]
    if not chosen:
        say(
            f"{result}: none of its {len(rows)} segments is asked for"
            if rows
            else f"{result}: nobody did anything for sure"
        )
    for row in chosen:
        print(f"person {row.person:<4} {_clock(row.start)}–{_clock(row.end)}  {row.action} {row.mean:.2f}")


def _recipe(name: str, settings: list[str]) -> "Recipe":
    from relact import recipes as shipped
    from relact.recipe import override

    return override(shipped.load(name), pairs(settings))


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"
