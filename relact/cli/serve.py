"""The command serve: a page and an API to which videos are sent."""

from pathlib import Path
from typing import Annotated

import typer

from relact.cli.app import app, say
from relact.errors import InputError


@app.command()
def serve(
    weights: Annotated[
        str, typer.Option("--weights", "-w", help="A run folder of `relact train`, or a name of `relact weights list`.")
    ],
    folder: Annotated[
        Path, typer.Option("--folder", "-o", help="Where the queue, the videos and the results are kept.")
    ] = Path("relact-serve"),
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0: all of this machine's.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any that is free.", min=0, max=65535)] = 8000,
    token: Annotated[
        list[str] | None,
        typer.Option(envvar="RELACT_TOKEN", help="What users must know; several times: a user each. See below."),
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option(help="cpu, cuda:0 …; several times: a worker each. Default: the best one.")
    ] = None,
    detector: Annotated[str, typer.Option(help="auto, a torchvision detector's name, or file.py:function.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    draw: Annotated[bool, typer.Option(help="Also write annotated.mp4.")] = False,
    max_megabytes: Annotated[float, typer.Option(help="Of a video.", min=0.1)] = 2000.0,
    max_seconds: Annotated[float, typer.Option(help="Of a video.", min=1)] = 3600.0,
    max_waiting: Annotated[int, typer.Option(help="Videos in the queue.", min=1)] = 100,
    rate: Annotated[int, typer.Option(help="Uploads a minute of one client; 0: no limit.", min=0)] = 60,
    keep_hours: Annotated[
        float, typer.Option(help="Videos and results are removed so long after they are done; 0: never.", min=0)
    ] = 24.0,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another name by which a server without a token may be called.")
    ] = None,
    proxy: Annotated[
        str | None, typer.Option(help="Address of the reverse proxy that says who the clients are (X-Forwarded-For).")
    ] = None,
) -> None:
    """A web page and a JSON API to which videos are sent, with a queue and a worker a device.

    A server that listens at the loopback only (the default) needs no token; any other has one, and prints it if none
    was given.

    Example: relact serve --weights runs/x
    """
    try:
        from relact.serve.server import serve as run_server
    except ImportError as error:
        raise InputError(f"{error.name} is not installed: pip install 'relact[serve]'") from error
    from relact.serve.settings import Limits, ServeConfig

    limits = Limits(
        megabytes=max_megabytes, seconds=max_seconds, queue=max_waiting, rate=rate, keep_hours=keep_hours
    )  # fmt: skip
    run_server(
        ServeConfig(
            weights=weights, folder=folder, detector=detector, host=host, port=port, devices=tuple(device or [""]),
            tokens=tuple(token or ()), hosts=tuple(allow_host or ()), proxy=proxy, precision=precision, draw=draw,
            limits=limits,
        ),
        say,
    )  # fmt: skip
