"""The command export: a trained detector as one file that runs without relact."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from relact.cli.app import app, say
from relact.errors import InputError


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="A run folder of `relact train`, or a name of `relact weights list`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write: model.onnx, or model.pt2.")],
    people: Annotated[str, typer.Option(help="dynamic, or how many people every clip has.")] = "dynamic",
    size: Annotated[
        str | None, typer.Option(help="Frames that it takes, WIDTHxHEIGHT; default: the model's short side, 16:9.")
    ] = None,
    pixels: Annotated[
        Literal["uint8", "normalised"], typer.Option(help="Frames as 0..255, or as normalised floats.")
    ] = "uint8",
    video: Annotated[
        Path | None, typer.Option(help="Check it on this video, whose shape is also the default of --size.")
    ] = None,
) -> None:
    """Write the whole detector as ONNX or torch.export's .pt2, and compare its scores with the model's.

    Example: relact export runs/x --out model.onnx
    """
    from relact.run.export import export as run_export

    done = run_export(
        run, out, people=_people(people), size=None if size is None else _size(size), pixels=pixels, video=video
    )
    say(f"{done.path}: {', '.join(done.inputs)} → {', '.join(done.outputs)}; {done.path.stat().st_size / 1e6:.1f} MB")
    crowds = ", ".join(str(count) for count in done.people)
    say(f"compared with the model on clips of {crowds} people: scores differ by at most {done.difference:.2g}")


def _people(text: str) -> int | None:
    if text == "dynamic":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"--people {text}: expected dynamic, or a number from 1 on")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise InputError(f"--size {text}: expected WIDTHxHEIGHT in pixels, such as 455x256")
    return int(width), int(height)
