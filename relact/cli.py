"""The command line. torch is imported when work starts, so that help and mistakes in arguments are answered at once."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from relact import __version__
from relact.errors import InputError

if TYPE_CHECKING:
    from relact.recipe import Recipe

app = typer.Typer(
    name="relact",
    help="Relational action detection: who does what, with what and with whom, second by second, in any video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
weights_app = typer.Typer(no_args_is_help=True, help="Published weights: list, fetch, convert.")
data_app = typer.Typer(no_args_is_help=True, help="Data sets: generate.")
app.add_typer(weights_app, name="weights")
app.add_typer(data_app, name="data")

Units = Literal["unit", "pixel"]
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


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything that it makes.")] = Path("demo"),
    epochs: Annotated[int | None, typer.Option(help="Train longer or shorter.")] = None,
) -> None:
    """Generate little videos, train on them, detect, draw and judge: the whole way, with nothing downloaded.

    Example: relact demo --out demo
    """
    from relact.run import demo as run_demo

    run_demo(_recipe("debug", []), out, epochs=epochs, say=_say)


@app.command()
def detect(
    videos: Annotated[list[str], typer.Argument(help="Video files.")],
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
    short_side: Annotated[
        int | None, typer.Option(help="Pixels; default: what the model was trained at.", min=16)
    ] = None,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    batch: Annotated[int | None, typer.Option(help="Keyframes at a time.", min=1)] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
) -> None:
    """Find the people in videos and what they do; write tables, segments and a drawn video.

    Example: relact detect street.mp4 --weights runs/x --out out
    """
    from relact.run import detect_files
    from relact.video.pipeline import DetectConfig

    config = DetectConfig(
        every=every, detect_hz=detect_hz, box_threshold=box_threshold, threshold=threshold, draw=draw,
        formats=tuple(table or ["csv"]), short_side=short_side, precision=precision, batch=batch,
    )  # fmt: skip
    results = detect_files(
        videos, weights=weights, out=out, boxes=boxes, box_format=box_format, box_units=box_units,
        detector=detector, config=config, device=device, say=_say, quiet=as_json,
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

    chosen = _recipe(recipe, [*(settings or []), *([f"head={head}"] if head else [])])
    report = run_train(chosen, out or Path("runs") / chosen.name, resume=resume, device=device, say=_say)
    _show_report(report)


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

    report = run_test(run, settings=_pairs(settings or []), split=split, device=device)
    _show_report(report)
    if json_file is not None:
        _write_json(json_file, report)


@app.command()
def evaluate(
    protocol: Annotated[str, typer.Argument(help="ava")],
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
    """Judge predictions by the official protocol.

    Example: relact evaluate ava --groundtruth val.csv --predictions mine.csv --labels list.pbtxt --exclude excluded.csv
    """
    from relact.metrics.ava import evaluate as evaluate_ava

    if protocol != "ava":
        raise InputError(f"no protocol named {protocol!r}: there is ava (frame-mAP at IoU 0.5)")
    report = evaluate_ava(
        predictions=predictions,
        groundtruth=groundtruth,
        labels=labels,
        exclude=exclude,
        cap=cap,
        box_units=box_units,
    )
    if json_file is not None:
        _write_json(json_file, report)
    _show_report(report)


@app.command()
def show(
    result: Annotated[Path, typer.Argument(help="A folder that `relact detect` wrote.")],
    person: Annotated[int | None, typer.Option(help="Only this person.")] = None,
    least: Annotated[float, typer.Option(help="Least mean score.", min=0, max=1)] = 0.0,
) -> None:
    """Who does what from when to when, read from segments.csv.

    Example: relact show out/street --person 2
    """
    from relact.video.segments import read_segments

    rows = read_segments(result / "segments.csv")
    chosen = [row for row in rows if (person is None or row.person == person) and row.mean >= least]
    if not chosen:
        _say(
            f"{result}: none of its {len(rows)} segments is asked for"
            if rows
            else f"{result}: nobody did anything for sure"
        )
    for row in chosen:
        print(f"person {row.person:<4} {_clock(row.start)}–{_clock(row.end)}  {row.action} {row.mean:.2f}")


@app.command()
def recipes() -> None:
    """The recipes that ship, by name."""
    from relact import recipes as shipped

    _print_rows("recipe", "what it is", [(name, shipped.describe(name)) for name in shipped.available()])


@app.command()
def heads() -> None:
    """The relation heads, by name."""
    from relact import heads as found

    rows = [(name, found.summary(name)) for name in found.available()]
    _print_rows("head", "what it is", rows)


@app.command()
def backbones(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """The backbones, by name, with their windows and parameter counts."""
    from relact.run import backbone_table

    rows = backbone_table()
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("backbone", "frames x stride", "maps", "parameters")
    for row in rows:
        table.add_row(row["name"], row["window"], row["maps"], f"{row['parameters']:,}")
    screen.print(table)


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """What this machine has, and what relact will use."""
    from relact.run import doctor as examine

    found = examine()
    print(json.dumps(found, indent=2)) if as_json else _print_rows("", "", [(k, str(v)) for k, v in found.items()])


@weights_app.command("list")
def weights_list(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """Public weights that relact can read: what each is good for, its size, licence and place."""
    from relact.weights import list_weights

    rows = list_weights()
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        here = ", here" if row["cached"] else ""
        print(f"{row['name']}\n  {row['architecture']}, {row['trained_on']}: {row['figure']}; {row['size']}{here}")
        print(f"  good for: {row['good_for']}\n  licence: {row['licence']}\n  {row['url']}")


@weights_app.command("fetch")
def weights_fetch(name: Annotated[str, typer.Argument(help="As `relact weights list` names it.")]) -> None:
    """Download published weights into the cache, and check them.

    Example: relact weights fetch slowfast_r50_8x8_k400_pyslowfast
    """
    from rich.progress import Progress

    from relact.weights import fetch

    with Progress(console=errors, disable=not errors.is_terminal, transient=True) as bar:
        task = bar.add_task(name, total=None)
        path = fetch(name, lambda done, total: bar.update(task, completed=done, total=total))
    print(path)


@weights_app.command("convert")
def weights_convert(
    checkpoint: Annotated[Path, typer.Argument(help="A published checkpoint: .pyth, .pkl, .pth, .safetensors")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    layout: Annotated[
        str | None,
        typer.Option(help="pyslowfast, pyslowfast_caffe2, pytorchvideo, mmaction2, acar; default: found out."),
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Check against this backbone (relact backbones).")] = None,
) -> None:
    """Rewrite a published checkpoint in relact's names.

    Example: relact weights convert SLOWFAST_8x8_R50.pkl --out slowfast.safetensors --preset slowfast_r50_8x8
    """
    from relact.weights import convert

    print(convert(checkpoint, layout=layout, out=out, preset=preset))


@data_app.command("toy")
def data_toy(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    videos: Annotated[int, typer.Option(min=1)] = 2,
    people: Annotated[int, typer.Option(min=0)] = 3,
    seconds: Annotated[float, typer.Option(min=1)] = 8.0,
    seed: int = 0,
) -> None:
    """Generate little videos of stick people with exact labels, in AVA's format.

    Example: relact data toy --out toy --videos 4
    """
    from relact.data.toy import generate

    generate(out, videos=videos, people=people, seconds=seconds, seed=seed)
    _say(f"{videos} videos and their labels are in {out}")


def _recipe(name: str, settings: list[str]) -> "Recipe":
    from relact import recipes as shipped
    from relact.recipe import override

    return override(shipped.load(name), _pairs(settings))


def _pairs(settings: list[str]) -> dict[str, str]:
    for setting in settings:
        if "=" not in setting:
            raise InputError(f"--set {setting}: expected NAME=VALUE, such as optim.lr=0.02")
    return dict(setting.split("=", 1) for setting in settings)


def _say(text: str) -> None:
    errors.print(text)


def _write_json(path: Path, report: Any) -> None:
    from relact.interop.files import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(report.to_json(), encoding="utf-8")


def _show_report(report: Any) -> None:
    table = Table("id", "action", "AP")
    for action in report.classes:
        table.add_row(str(action.id), action.name, "no truth" if action.ap is None else f"{action.ap:.4f}")
    screen.print(table)
    for group, ap in report.ap_by_group.items():
        screen.print(f"{group:>8}  {'no truth' if ap is None else f'{ap:.4f}'}", highlight=False)
    screen.print(f"mAP@0.5 {report.mAP:.4f}", highlight=False)
    for warning in report.warnings:
        errors.print(f"warning: {warning}")


def _print_rows(left: str, right: str, rows: list[tuple[str, str]]) -> None:
    table = Table(left, right, show_header=bool(left))
    for row in rows:
        table.add_row(*row)
    screen.print(table)


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"
