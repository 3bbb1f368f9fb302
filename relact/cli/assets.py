"""The commands that get or make files to work with: weights fetch, weights convert, data toy."""

from pathlib import Path
from typing import Annotated

import typer

from relact.cli.app import data_app, errors, say, weights_app


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
    say(f"{videos} videos and their labels are in {out}")
