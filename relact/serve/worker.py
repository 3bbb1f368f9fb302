"""Judges one video after the other in a process of its own, on one device, with the model loaded once.

    python -m relact.serve.worker '{"weights": …, "detector": …, "device": …}'

It says {"ready": {…}} or {"refused": "…"}; each order `{video, folder, settings}` is answered with lines of
{"progress": {…}} and then {"done": {…}} or {"failed": "…"}. A fault that is not the video's ends the process: the
server marks the job and starts another. What an interrupted order had paid for is taken up by the next (`.resume/`).
"""

import dataclasses
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from relact import __version__
from relact.errors import InputError
from relact.nn.memory import keep_freed_memory
from relact.nn.precision import default_device
from relact.run.detection import prepare
from relact.run.models import PRODUCER, load_model, load_producer, weights_file
from relact.run.one_video import Setup, detect_one
from relact.run.report import PAGE
from relact.serve.deliver import NAME
from relact.serve.lines import Lines
from relact.video.people import load_detector
from relact.video.pipeline import DetectConfig, Progress
from relact.video.run_record import Weights
from relact.viz.report import read_summary

_REPORT_EVERY_S = 0.4


def setup_of(order: dict[str, Any]) -> Setup:
    """Model and detector on their device; InputError for weights or a device that are not there."""
    device = torch.device(order["device"]) if order["device"] else default_device()
    if device.type == "cpu":
        keep_freed_memory()
    weights, precision = order["weights"], order["precision"]
    model, producer = load_model(weights, device=device), load_producer(weights, device=device)
    run = Path(weights) / PRODUCER
    return Setup(
        model=prepare(model, precision),
        weights=Weights.of(weights_file(weights), str(weights)),
        finder=load_detector(order["detector"], device),
        box_source=order["detector"],
        config=DetectConfig(precision=precision, draw=order["draw"], formats=formats()),
        producer=None if producer is None else prepare(producer, precision),
        producer_weights=None if producer is None else Weights.of(weights_file(run), str(run)),
        quiet=True,
    )


def formats() -> tuple[str, ...]:
    """The tables that can be written here."""
    return ("csv", "json", "parquet") if find_spec("pyarrow") else ("csv", "json")


def describe(setup: Setup) -> dict[str, Any]:
    """What the server must know of a worker: `key` changes with whatever changes a result."""
    weights = [setup.weights.sha256, setup.producer_weights.sha256 if setup.producer_weights else None]
    device = next(setup.model.parameters()).device
    return {
        "key": [weights, setup.box_source, setup.config.precision, setup.config.draw, __version__],
        "model": Path(setup.weights.recipe).name,
        "actions": len(setup.model.labels),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
    }


def run(order: dict[str, Any], setup: Setup, lines: Lines) -> dict[str, Any]:
    """One video; what the server keeps of the result."""
    video, folder, progress = Path(order["video"]), Path(order["folder"]), Progress()
    setup = dataclasses.replace(setup, config=dataclasses.replace(setup.config, **order["settings"]))
    with _reporting(progress, lines):
        result = detect_one(str(video), NAME, folder, setup, progress)
    page = folder / PAGE
    summary = read_summary(page) if page.is_file() else None
    return {
        "seconds": round(progress.covered, 3),
        "keyframes": progress.keyframes,
        "boxes": progress.boxes,
        "people": result.people,
        "resumed": progress.resumed,
        "warnings": [warning.replace(str(video), "the video") for warning in progress.warnings],
        "actions": summary["actions"] if summary else [],
        "poster": summary["poster"] if summary else None,
    }


@contextmanager
def _reporting(progress: Progress, lines: Lines) -> Iterator[None]:
    over = threading.Event()

    def report() -> None:
        while not over.wait(_REPORT_EVERY_S):
            lines.say({"progress": {"seconds": round(progress.covered, 2), "keyframes": progress.keyframes}})

    thread = threading.Thread(target=report, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()  # its last line must not come after the answer


def main() -> None:
    """Answers until nobody asks any more."""
    lines = Lines()
    try:
        setup = setup_of(json.loads(sys.argv[1]))
    except (InputError, RuntimeError) as error:  # torch's own, for a device that is not there
        lines.say({"refused": str(error)})
        sys.exit(2)
    lines.say({"ready": describe(setup)})
    for order in lines.orders():
        try:
            lines.say({"done": run(order, setup, lines)})
        except InputError as error:
            lines.say({"failed": str(error).replace(f"{order['video']}: ", "").replace(order["video"], "the video")})


if __name__ == "__main__":
    main()
