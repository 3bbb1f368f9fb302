"""A trained model over a data set: predictions, written as files that anybody can judge again."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader

from relact.data.samples import Sample
from relact.interop.ava_csv import format_ava_rows, write_ava_csv
from relact.labels import LabelMap
from relact.metrics.ava import evaluate
from relact.metrics.ava_report import AvaReport
from relact.model import ActionDetector
from relact.nn.precision import autocast
from relact.types import Batch, Keyframe

METRICS = "metrics.json"
"""the result of a run that has been trained to its end, in its folder"""


@torch.inference_mode()
def predict(
    model: ActionDetector, batches: "DataLoader[Batch]", *, dtype: torch.dtype
) -> Iterator[tuple[Keyframe, npt.NDArray[np.float32]]]:
    """Scores `[N, K]` of the people of each keyframe, in the order of its boxes."""
    model.eval()
    device = next(model.parameters()).device
    for batch in batches:
        moved = batch.to(device)
        with autocast(device, dtype):
            output = model(moved.frames, moved.actors, valid=moved.valid, memory=moved.memory)
        rows = output.scores.float().cpu().numpy()
        yield from zip(batch.keys, np.split(rows, np.cumsum(batch.actors.counts)[:-1]), strict=True)


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
    person, column = np.nonzero(sample.labels)
    return format_ava_rows(
        videos=[sample.key.video] * len(person),
        seconds=np.full(len(person), sample.stamp),
        boxes=sample.boxes[person],
        actions=ids[column],
        scores=sample.person[person],
        score_decimals=0,  # ground truth has the person's id there
    )


def _predicted_rows(sample: Sample, scores: npt.NDArray[np.float32], ids: npt.NDArray[np.int64]) -> Iterator[str]:
    return format_ava_rows(
        videos=[sample.key.video] * scores.size,
        seconds=np.full(scores.size, sample.stamp),
        boxes=np.repeat(sample.boxes, scores.shape[1], axis=0),
        actions=np.tile(ids, len(scores)),
        scores=scores.reshape(-1),
    )


def judge(
    model: ActionDetector,
    batches: "DataLoader[Batch]",
    samples: Sequence[Sample],
    *,
    labels: LabelMap,
    cap: int,
    dtype: torch.dtype,
    folder: Path,
) -> AvaReport:
    """Predict, write `groundtruth.csv` and `predictions.csv` into `folder`, and judge these very files."""
    scores = dict(predict(model, batches, dtype=dtype))
    groundtruth, predictions = write_files(folder, samples, scores, labels)
    return evaluate(predictions=predictions, groundtruth=groundtruth, labels=labels, cap=cap)
