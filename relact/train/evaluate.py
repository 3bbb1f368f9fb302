"""A trained model over a data set: predictions, written as files that anybody can judge again."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader

from relact.data.samples import Protocol, Sample, Truth
from relact.interop.ava_csv import format_ava_rows, format_time, write_ava_csv
from relact.interop.files import atomic_path
from relact.labels import LabelMap
from relact.losses import scores as action_scores
from relact.metrics.ava import evaluate
from relact.metrics.ava_report import AvaReport
from relact.metrics.frames import evaluate_frames
from relact.metrics.videos import VideoReport, evaluate_videos
from relact.model import ActionDetector
from relact.nn.precision import autocast
from relact.train.distributed import gathered, told
from relact.types import Batch, Keyframe

_Report = TypeVar("_Report", AvaReport, VideoReport)

METRICS = "metrics.json"
"""the result of a run that has been trained to its end, in its folder"""
VIDEO_METRICS = "metrics_video.json"
"""what its tubes give, where the data set's protocol judges them"""


@torch.inference_mode()
def predict(
    model: ActionDetector, views: "Sequence[DataLoader[Batch]]", *, dtype: torch.dtype
) -> dict[Keyframe, npt.NDArray[np.float32]]:
    """Scores `[N, K]` of the people of each keyframe, in the order of its boxes.

    With several views of the same samples (sizes, mirrored) the logits of a box are averaged (ACAR-Net's "++").
    """
    model.eval()
    device = next(model.parameters()).device
    total: dict[Keyframe, torch.Tensor] = {}
    for batches in views:
        for batch in batches:
            moved = batch.to(device)
            with autocast(device, dtype):
                output = model(moved.frames, moved.actors, valid=moved.valid, memory=moved.memory, maps=moved.maps)
            parts = output.logits.float().cpu().split(batch.actors.counts)
            for key, logits in zip(batch.keys, parts, strict=True):
                total[key] = total[key] + logits if key in total else logits
    return {key: action_scores(logits / len(views), model.exclusive).numpy() for key, logits in total.items()}


def write_files(
    folder: Path, samples: Sequence[Sample], scores: dict[Keyframe, npt.NDArray[np.float32]], labels: LabelMap
) -> tuple[Path, Path]:
    """`groundtruth.csv` and `predictions.csv` in AVA's format, the annotation's own stamps as seconds."""
    ids = np.array(labels.ids)
    groundtruth, predictions = folder / "groundtruth.csv", folder / "predictions.csv"
    write_ava_csv(groundtruth, chain.from_iterable(_truth_rows(sample, ids) for sample in samples))
    write_ava_csv(
        predictions, chain.from_iterable(_predicted_rows(sample, scores[sample.key], ids) for sample in samples)
    )
    return groundtruth, predictions


def _truth_rows(sample: Sample, ids: npt.NDArray[np.int64]) -> Iterator[str]:
    truth = sample.truth or Truth(boxes=sample.boxes, labels=sample.labels, person=sample.person)
    person, column = np.nonzero(truth.labels)
    if not len(person) and sample.truth is not None and sample.listed:  # whatever is found here is wrong
        return iter([f"{sample.key.video},{format_time(sample.stamp)}\n"])
    return format_ava_rows(
        videos=[sample.key.video] * len(person),
        seconds=np.full(len(person), sample.stamp),
        boxes=truth.boxes[person],
        actions=ids[column],
        scores=truth.person[person],
        decimals=_decimals(sample),
        score_decimals=0,  # ground truth has the person's id there
    )


def _predicted_rows(sample: Sample, scores: npt.NDArray[np.float32], ids: npt.NDArray[np.int64]) -> Iterator[str]:
    return format_ava_rows(
        videos=[sample.key.video] * scores.size,
        seconds=np.full(scores.size, sample.stamp),
        boxes=np.repeat(sample.boxes, scores.shape[1], axis=0),
        actions=np.tile(ids, len(scores)),
        scores=scores.reshape(-1),
        decimals=_decimals(sample),
    )


def _decimals(sample: Sample) -> int:
    """AVA's boxes have three; a tube's corners are whole pixels, which three would blur."""
    return 3 if sample.frame is None else 6


def judge(
    model: ActionDetector,
    views: "Sequence[DataLoader[Batch]]",
    samples: Sequence[Sample],
    *,
    labels: LabelMap,
    protocol: Protocol,
    dtype: torch.dtype,
    folder: Path,
) -> AvaReport:
    """Predict, write `groundtruth.csv` and `predictions.csv` into `folder`, and judge these very files.

    Where the data set's protocol judges tubes, what they give is in `metrics_video.json` there. Of several processes
    each predicts what its own loaders give, and the first writes and judges.
    """
    scores: dict[Keyframe, npt.NDArray[np.float32]] = {}
    for of_process in gathered(predict(model, views, dtype=dtype)):
        scores |= of_process
    return told(lambda: _judged(scores, samples, labels=labels, protocol=protocol, folder=folder))


def _judged(
    scores: dict[Keyframe, npt.NDArray[np.float32]],
    samples: Sequence[Sample],
    *,
    labels: LabelMap,
    protocol: Protocol,
    folder: Path,
) -> AvaReport:
    groundtruth, predictions = write_files(folder, samples, scores, labels)
    if protocol.measure == "ava":
        return _stamped(
            evaluate(
                predictions=predictions, groundtruth=groundtruth, labels=labels.evaluated(), cap=protocol.cap,
                box_source=protocol.boxes,
            ),
            protocol,
        )  # fmt: skip
    if protocol.tubes:
        tubes = evaluate_videos(
            predictions, groundtruth, labels, box_units="unit", picture=protocol.picture, box_source=protocol.boxes
        )
        with atomic_path(folder / VIDEO_METRICS) as temporary:
            temporary.write_text(_stamped(tubes, protocol).to_json(), encoding="utf-8")
    frames = evaluate_frames(
        predictions, groundtruth, labels, box_units="unit", picture=protocol.picture, box_source=protocol.boxes
    )
    return _stamped(frames, protocol)


def _stamped(report: _Report, protocol: Protocol) -> _Report:
    """Says that it is of a part of the data, where it is."""
    if not protocol.left_out:
        return report
    warning = f"{protocol.left_out} fault(s) of the data are left out (skip_bad): the result is of the rest"
    return replace(
        report,
        protocol={**report.protocol, "left_out": protocol.left_out},
        warnings=(*report.warnings, warning),
    )
