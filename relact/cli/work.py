"""The commands that work on videos and data: demo, detect, train, test, show."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from relact.cli.app import SkipBad, app, errors, pairs, say, screen, with_skip_bad
from relact.cli.judge import show_report, write_json
from relact.errors import InputError

if TYPE_CHECKING:
    from relact.recipe import Recipe
    from relact.run import Result
    from relact.run.many import Outcome

Units = Literal["unit", "pixel"]
Videos = Annotated[
    list[str],
    typer.Argument(help="Video files; - (stdin), a pipe, a camera, rtsp://…; or a folder, @list.txt, s3://bucket/…"),
]
Weights = Annotated[
    str, typer.Option("--weights", "-w", help="A run folder of `relact train`, or a name of `relact weights list`.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Folder; one subfolder a video. Default: VIDEO.relact beside it."),
]
Boxes = Annotated[
    Path | None,
    typer.Option(help="Person boxes from a file instead of a detector: AVA csv or pickle, MOT, JSON, csv, UCF101-24."),
]
Table = Annotated[list[str] | None, typer.Option("--format", help="csv, json, parquet; may be given several times.")]
Draw = Annotated[bool | None, typer.Option(help="Write annotated.mp4. Default: unless there are many.")]
Report = Annotated[
    bool | None, typer.Option(help="Write report.html, and index.html for several. Default: unless there are many.")
]
Causal = Annotated[
    bool, typer.Option("--causal", help="Use the past only: each keyframe is known when its own clip is over.")
]
Live = Annotated[bool, typer.Option("--live", help="Print each keyframe, a line of JSON, the moment that it is known.")]
Engine = Annotated[
    Literal["local", "ray", "torchrun"] | None,
    typer.Option(help="Who does many videos: local (this process), ray, torchrun (the default where it started this)."),
]
Workers = Annotated[int | None, typer.Option(help="Of --engine ray; default: one a GPU, or one a machine.", min=1)]
Retries = Annotated[int, typer.Option(help="Times that a video is tried again whose worker was killed.", min=0)]


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for everything that it makes.")] = Path("demo"),
    model: Annotated[str, typer.Option(help="A model that ships (stage_acar …), or a run folder.")] = "stage_amcrnet",
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
    videos: Videos,
    weights: Weights,
    out: Out = None,
    boxes: Boxes = None,
    box_format: Annotated[str | None, typer.Option(help="Format of --boxes where its name does not tell.")] = None,
    box_units: Annotated[
        Units | None, typer.Option(help="unit or pixel, where the format of --boxes leaves it open.")
    ] = None,
    detector: Annotated[str, typer.Option(help="auto, a torchvision detector's name, or file.py:function.")] = "auto",
    every: Annotated[float, typer.Option(help="Seconds between keyframes.", min=0.04)] = 1.0,
    detect_hz: Annotated[float, typer.Option(help="Person detections a second.", min=0.1)] = 5.0,
    box_threshold: Annotated[float, typer.Option(help="Least score of a person box.", min=0, max=1)] = 0.5,
    threshold: Annotated[float, typer.Option(help="Least score of an action in actions.*", min=0, max=1)] = 0.05,
    table: Table = None,
    draw: Draw = None,
    report: Report = None,
    short_side: Annotated[
        int | None, typer.Option(help="Pixels; default: what the model was trained at.", min=16)
    ] = None,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    batch: Annotated[int | None, typer.Option(help="Keyframes at a time.", min=1)] = None,
    causal: Causal = False,
    live: Live = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …")] = None,
    engine: Engine = None,
    workers: Workers = None,
    retries: Retries = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
) -> None:
    """Find the people in videos and what they do; write tables, segments, a drawn video and a page to look at.

    A run that was stopped goes on where it was when the same command is given again. Of a folder, a list or a bucket
    the tables of all videos are one Parquet set, OUT/detections, and videos.jsonl says what became of each.

    Example: relact detect street.mp4 --weights runs/x --out out

    Example: relact detect videos --weights runs/x --out out --engine ray --workers 4
    """
    from relact.run import detect_files
    from relact.run.many_engines import detect_many, wants_many
    from relact.video.pipeline import DetectConfig

    if live and as_json:
        raise InputError("--live and --json: both print to standard output; choose one")
    many = wants_many(videos, engine)
    config = DetectConfig(
        every=every, detect_hz=detect_hz, box_threshold=box_threshold, threshold=threshold,
        draw=draw if draw is not None else not many, formats=tuple(table or (["parquet"] if many else ["csv"])),
        short_side=short_side, precision=precision, batch=batch, causal=causal,
    )  # fmt: skip
    if many:
        if out is None or live:
            raise InputError("many videos: give --out, a folder for all results, and no --live")
        outcomes = detect_many(
            videos, weights=weights, out=out, config=config, engine=engine, workers=workers, retries=retries,
            boxes=boxes, box_format=box_format, box_units=box_units, detector=detector, device=device,
            report=bool(report), say=say,
        )  # fmt: skip
        told = as_json and bool(outcomes)  # of torchrun's ranks the first one tells
        _end(outcomes, [outcome.error for outcome in outcomes], told)
        return
    if workers is not None:
        raise InputError("--workers is for --engine ray")
    results = detect_files(
        videos, weights=weights, out=out, boxes=boxes, box_format=box_format, box_units=box_units,
        detector=detector, config=config, device=device, live=live, report=report is not False, say=say,
        quiet=as_json or live,
    )  # fmt: skip
    for failed in (result for result in results if result.error):
        errors.print(f"relact: {failed.error}")
    _end(results, [result.error for result in results], as_json)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, a recipe.json, or file.py:function.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="Override a field: optim.lr=0.02")] = None,
    head: Annotated[str | None, typer.Option(help="Swap the head.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Run folder; default runs/NAME.")] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on where an earlier run in this folder was stopped; it ends as if it had not been.")
    ] = False,
    skip_bad: SkipBad = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda …")] = None,
) -> None:
    """Train a recipe; the run folder holds the weights, the recipe, a log and the validation result.

    On several GPUs: torchrun --nproc-per-node 8 -m relact train RECIPE

    Example: relact train ucf24_small --set data.root=ucf24 --out runs/ucf24
    """
    from relact.run import train as run_train
    from relact.train.distributed import is_first

    chosen = _recipe(recipe, [*([f"head={head}"] if head else []), *with_skip_bad(settings, skip_bad)])
    report = run_train(chosen, out or Path("runs") / chosen.name, resume=resume, device=device, say=say)
    if is_first():
        show_report(report)


@app.command()
def test(
    run: Annotated[Path, typer.Argument(help="A run folder of `relact train`.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="Override a field, such as data.root=…")] = None,
    split: Annotated[str, typer.Option(help="train or val.")] = "val",
    skip_bad: SkipBad = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda …")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the result to this file.")] = None,
) -> None:
    """Run a trained model over its validation set, write its predictions and judge them.

    Example: relact test runs/ucf24
    """
    from relact.run import test as run_test
    from relact.train.distributed import is_first

    report = run_test(run, settings=pairs(with_skip_bad(settings, skip_bad)), split=split, device=device, say=say)
    if not is_first():
        return
    show_report(report)
    if json_file is not None:
        write_json(json_file, report)


@app.command()
def show(
    result: Annotated[Path, typer.Argument(help="A folder that `relact detect` wrote; with --relations also a video.")],
    person: Annotated[int | None, typer.Option(help="Only this person.")] = None,
    least: Annotated[float, typer.Option(help="Least mean score.", min=0, max=1)] = 0.0,
    relations: Annotated[
        Path | None,
        typer.Option(
            help="Draw what somebody is related to into this .png or .svg; needs --at, and --person of several."
        ),
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


def _end(results: "Sequence[Result | Outcome]", faults: Sequence[object], as_json: bool) -> None:
    """Of `detect`: what a program reads, and status 1 where some failed."""
    if as_json:
        print(json.dumps([result.to_json() for result in results], indent=2, ensure_ascii=False))
    if any(fault is not None for fault in faults):
        raise typer.Exit(1)


def _recipe(name: str, settings: list[str]) -> "Recipe":
    from relact import recipes as shipped
    from relact.recipe import override

    return override(shipped.load(name), pairs(settings))


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"
