"""The command line. torch is imported when work starts, so that help and mistakes in arguments are answered at once."""

from relact.cli import (  # noqa: I001 (the order of commands in the help)
    work,
    judge,
    judge_videos,
    bench,
    banks,
    detector,
    lists,
    assets,
    data,
    report,
    export,
    serve,
    live,
)
from relact.cli.app import app, main

__all__ = [
    "app",
    "assets",
    "banks",
    "bench",
    "data",
    "detector",
    "export",
    "judge",
    "judge_videos",
    "lists",
    "live",
    "main",
    "report",
    "serve",
    "work",
]
