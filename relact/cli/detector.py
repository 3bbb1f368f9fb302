"""The command that trains a person detector: detector train."""

from pathlib import Path
from typing import Annotated

import typer

from relact.cli.app import detector_app, say


@detector_app.command("train")
def detector_train(
    data: Annotated[Path, typer.Option(help="A folder with videos/ and the box file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    boxes: Annotated[str, typer.Option(help="Box file below it: any that `detect --boxes` takes.")] = "people.csv",
    frames: Annotated[int, typer.Option(help="Pictures of each video.", min=1)] = 12,
    first: Annotated[int | None, typer.Option(help="Only the first videos; default: all.", min=1)] = None,
    steps: Annotated[int, typer.Option(min=10)] = 600,
    seed: int = 0,
) -> None:
    """Train the small person detector, for `relact detect --detector FILE`.

    Example: relact detector train --data stage --out people.safetensors
    """
    from relact.run.detector import train_people

    train_people(data / "videos", data / boxes, out, frames=frames, first=first, steps=steps, seed=seed, say=say)
