"""What a data set is: keyframes with their people, and where to find the frames around them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from relact.types import Keyframe


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One keyframe of a data set; N people, maybe none."""

    key: Keyframe
    path: Path
    """the video file"""
    stamp: float
    """what the annotation calls this keyframe: its second, or its frame"""
    boxes: Float[np.ndarray, "N 4"]
    """[0, 1] of the upright frame"""
    labels: Float[np.ndarray, "N K"]
    person: Int[np.ndarray, " N"]
    time: float | None = None
    """seconds from the first frame, or"""
    frame: int | None = None
    """0-based index, where the data set counts frames"""


def people_of_keyframe(
    boxes: Float[np.ndarray, "R 4"],
    columns: Int[np.ndarray, " R"],
    person: Int[np.ndarray, " R"],
    num_classes: int,
) -> tuple[Float[np.ndarray, "N 4"], Float[np.ndarray, "N K"], Int[np.ndarray, " N"]]:
    """One row per (person, action), as annotation files have it → one row per person with multi-hot labels.

    Rows with equal boxes and ids are one person (AVA: "rows merge by their coordinates"). `columns` are classifier
    columns, -1 for none. Order of first appearance is kept.
    """
    keys = np.concatenate([boxes, person[:, None].astype(boxes.dtype)], axis=1)
    _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))[group.reshape(-1)]
    order = np.sort(first)
    labels = np.zeros((len(order), num_classes), np.float32)
    known = columns >= 0
    labels[rank[known], columns[known]] = 1
    return boxes[order].astype(np.float32), labels, person[order]
