"""The command live: a camera, stream or file, judged and shown while it runs."""

import asyncio
from typing import Annotated

import typer

from relact.cli.app import app, say
from relact.errors import InputError


@app.command()
def live(
    source: Annotated[
        str, typer.Argument(help="A camera, an rtsp address, a pipe, - for standard input; a file is played.")
    ],
    weights: Annotated[
        str, typer.Option("--weights", "-w", help="A run folder of `relact train`, or a name of `relact weights list`.")
    ],
    port: Annotated[int, typer.Option(help="Of the page, on this machine only; 0: any that is free.", min=0)] = 8008,
    window: Annotated[bool, typer.Option("--window", help="Show a window instead of a page.")] = False,
    detector: Annotated[str, typer.Option(help="auto, a torchvision detector's name, or file.py:function.")] = "auto",
    every: Annotated[float, typer.Option(help="Seconds between keyframes.", min=0.04)] = 1.0,
    detect_hz: Annotated[float, typer.Option(help="Person detections a second.", min=0.1)] = 5.0,
    box_threshold: Annotated[float, typer.Option(help="Least score of a person box.", min=0, max=1)] = 0.5,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …")] = None,
) -> None:
    """Show who does what while it happens: on a page of this machine, or in a window, with the delay on the picture.

    What the machine is too slow for is dropped and counted, so that what is shown is never old.

    Example: relact live rtsp://camera/yard --weights runs/x
    """
    from relact.serve.live import LiveConfig, LiveRun

    if not window:
        try:
            from relact.serve.live_page import run_page
        except ImportError as error:
            raise InputError(
                f"{error.name} is not installed: pip install 'relact[serve]', or show a --window"
            ) from error
    say("loading the model, opening the source …")
    run = LiveRun(
        source,
        LiveConfig(
            weights=weights, detector=detector, device=device, precision=precision, every=every, detect_hz=detect_hz,
            box_threshold=box_threshold,
        ),
    )  # fmt: skip
    try:
        if window:
            from relact.serve.live_window import run_window

            run_window(run)
        else:
            asyncio.run(run_page(run, port, say))
    finally:
        run.finish()
    say(run.summary())
