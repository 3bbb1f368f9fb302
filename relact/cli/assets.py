"""The commands that get or make files to work with: weights fetch, weights convert."""

from pathlib import Path
from typing import Annotated

import typer

from relact.cli.app import errors, weights_app


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
