"""A trained model over a data set: predictions, written as files that anybody can judge again."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from relact.data.samples import Sample
from relact.interop.ava_csv import write_ava_csv
from relact.labels import LabelMap
from relact.metrics.ava import AvaReport, evaluate
from relact.model import ActionDetector
from relact.nn.precision import autocast
from relact.types import Batch, Keyframe


@torch.inference_mode()
def predict(
    model: ActionDetector, batches: "DataLoader[Batch]", *, dtype: torch.dtype
) -> Iterator[tuple[Keyframe, np.ndarray]]:
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
    folder: Path, samples: Sequence[Sample], scores: dict[Keyframe, np.ndarray], labels: LabelMap
) -> tuple[Path, Path]:
    """`groundtruth.csv` and `predictions.csv` in AVA's format, the tick in the place of the second."""
    ids = np.array(labels.ids)
    truth = [(s, *np.nonzero(s.labels)) for s in samples]
    groundtruth, predictions = folder / "groundtruth.csv", folder / "predictions.csv"
    write_ava_csv(
        groundtruth,
        video=[s.key.video for s, person, _ in truth for _ in person],
        time=[float(s.key.tick) for s, person, _ in truth for _ in person],
        boxes=np.concatenate([s.boxes[person] for s, person, _ in truth] or [np.zeros((0, 4))]),
        action=np.concatenate([ids[column] for _, _, column in truth] or [np.zeros(0, int)]),
        last=np.concatenate([s.person[person] for s, person, _ in truth] or [np.zeros(0, int)]),
    )
    cells = [(s, scores[s.key]) for s in samples]
    write_ava_csv(
        predictions,
        video=[s.key.video for s, rows in cells for _ in range(rows.size)],
        time=[float(s.key.tick) for s, rows in cells for _ in range(rows.size)],
        boxes=np.concatenate([np.repeat(s.boxes, rows.shape[1], axis=0) for s, rows in cells] or [np.zeros((0, 4))]),
        action=np.concatenate([np.tile(ids, len(rows)) for _, rows in cells] or [np.zeros(0, int)]),
        last=np.concatenate([rows.reshape(-1) for _, rows in cells] or [np.zeros(0)]),
    )
    return groundtruth, predictions


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
