"""`detect`: videos in, tables, segments, a drawn video and a record of the run out."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import torch

from relact.backbones.prepared import Prepared, prepare_for_inference
from relact.data.decode import FrameStream
from relact.data.source import is_live
from relact.errors import InputError
from relact.interop.box_files import read_boxes
from relact.interop.box_table import BoxTable
from relact.model import ActionDetector
from relact.nn.memory import keep_freed_memory
from relact.nn.precision import default_device, resolve
from relact.run.models import PRODUCER, load_model, load_producer, weights_file
from relact.run.one_video import Result, Say, Setup, detect_one, people_of, tell
from relact.run.report import PAGE, index
from relact.types import Detections
from relact.video.people import CheckedDetector, Detector, load_detector
from relact.video.pipeline import DetectConfig, Progress, detect_stream
from relact.video.run_record import Weights


def detect(
    video: str | Path,
    *,
    model: ActionDetector | str | Path,
    boxes: str | Path | None = None,
    detector: str | Detector = "auto",
    config: DetectConfig | None = None,
    producer: ActionDetector | None = None,
) -> Iterator[Detections]:
    """Detections of a video, keyframe by keyframe, as they become known; nothing is written.

    `video` is whatever PyAV opens: a file, `-` for standard input, a pipe, a camera, an address. `model` comes from
    `create_model` or `load_model`, or is a run folder or a published name as `load_model` takes them; `boxes` is a box
    file, without which `detector` finds people: a name as on the command line, or any function from pictures to (boxes,
    scores), see `relact.video.people.Detector`. `producer` writes the rows that a head with memory reads, where another
    model did so in training; a run folder knows its own.
    """
    config = config or DetectConfig()
    if not isinstance(model, ActionDetector):
        producer = producer or load_producer(model)
        model = load_model(model)
    if model.foreign_rows and producer is None:
        raise InputError(
            "this model reads a memory that another model wrote: give the run folder itself, "
            'detect(video, model="runs/x"), or its producer'
        )
    finder = _finder(boxes, detector, model)
    with FrameStream(video) as stream:
        yield from detect_stream(
            stream,
            name=name_of(str(video)),
            model=prepare(model, config.precision),
            people=people_of(str(video), finder, config, stream, drawn=False),
            config=config,
            progress=Progress(),
            producer=None if producer is None else prepare(producer, config.precision),
        )


def detect_files(
    videos: Sequence[str],
    *,
    weights: str | Path,
    out: Path | None,
    boxes: Path | None = None,
    box_format: str | None = None,
    box_units: str | None = None,
    detector: str = "auto",
    config: DetectConfig,
    device: str | None = None,
    live: bool = False,
    report: bool = True,
    say: Say = print,
    quiet: bool = False,
) -> list[Result]:
    """Every video into a folder of its own; one that fails is reported and the others are done.

    `report` writes a page to look at into each, and an `index.html` of those in `out` where there are several. `live`
    also prints every keyframe to standard output, a line of JSON, the moment that it is known.
    """
    setup = load_setup(
        weights, boxes=boxes, box_format=box_format, box_units=box_units, detector=detector, config=config,
        device=device, live=live, quiet=quiet, report=report,
    )  # fmt: skip
    results = []
    for video, folder in zip(videos, _folders(videos, out), strict=True):
        progress = Progress()
        try:
            result = detect_one(video, name_of(video), folder, setup, progress)
            tell(result, setup, say)
        except InputError as error:
            result = Result(video=video, folder=folder, progress=progress, error=error)
        results.append(result)
    if report and out is not None and len(list(out.glob(f"*/{PAGE}"))) > 1:
        say(f"look at {index(out)}")
    return results


def load_setup(
    weights: str | Path,
    *,
    boxes: Path | None = None,
    box_format: str | None = None,
    box_units: str | None = None,
    detector: str = "auto",
    config: DetectConfig,
    device: str | None = None,
    live: bool = False,
    quiet: bool = False,
    report: bool = True,
) -> Setup:
    """What all videos share, loaded once: the model, ready on its device, and what knows the people."""
    where = torch.device(device) if device else default_device()
    if where.type == "cpu":
        keep_freed_memory()
    model, producer = load_model(weights, device=where), load_producer(weights, device=where)
    return Setup(
        model=prepare(model, config.precision),
        weights=Weights.of(weights_file(weights), str(weights)),
        finder=_finder(boxes, detector, model, box_format=box_format, box_units=box_units),
        box_source=str(boxes or detector),
        config=config,
        producer=None if producer is None else prepare(producer, config.precision),
        producer_weights=None if producer is None else _weights_of_producer(Path(weights)),
        live=live,
        quiet=quiet,
        report=report,
    )


def prepare(model: ActionDetector, precision: str) -> ActionDetector:
    """The model for inference: its backbone folded and in the chosen number format. The given one stays as it is."""
    if isinstance(model.backbone, Prepared):
        return model
    dtype = resolve(precision, next(model.parameters()).device)
    return model.with_backbone(
        prepare_for_inference(model.backbone, "bf16" if dtype == torch.bfloat16 else "fp32")
    ).eval()


def name_of(video: str) -> str:
    """The name of a video in tables: its file's without the suffix, `stdin`, or the last part of an address."""
    if video == "-":
        return "stdin"
    if "://" in video:
        address = urlsplit(video)
        return Path(address.path).stem or address.hostname or "stream"
    return Path(video).stem


def _folders(videos: Sequence[str], out: Path | None) -> list[Path]:
    """`OUT/name`, or `video.relact` beside the video (here, for a live source); numbered where two share a name."""
    folders: list[Path] = []
    for video in videos:
        if out is not None:
            first = out / name_of(video)
        elif is_live(video) or "://" in video:
            first = Path(f"{name_of(video)}.relact")
        else:
            first = Path(video).with_suffix(".relact")
        folder, number = first, 2
        while folder in folders:
            folder, number = first.with_name(f"{first.name}_{number}"), number + 1
        folders.append(folder)
    return folders


def _finder(
    boxes: str | Path | None,
    detector: str | Detector,
    model: ActionDetector,
    *,
    box_format: str | None = None,
    box_units: str | None = None,
) -> BoxTable | Detector:
    """What knows the people of all videos: read or loaded once."""
    if boxes is not None:
        return read_boxes(boxes, format=box_format, units=box_units)
    if isinstance(detector, str):
        return load_detector(detector, next(model.parameters()).device)
    return CheckedDetector(detector, "the detector")


def _weights_of_producer(run: Path) -> Weights:
    return Weights.of(weights_file(run / PRODUCER), str(run / PRODUCER))
