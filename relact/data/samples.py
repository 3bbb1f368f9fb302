"""What a data set is: keyframes with their people, and where to find the frames around them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from relact.types import Keyframe


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The annotated people of a keyframe, where a sample has a detector's: M people, K actions."""

    boxes: Float[np.ndarray, "M 4"]
    labels: Float[np.ndarray, "M K"]
    person: Int[np.ndarray, " M"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """By which rules a data set's predictions are judged."""

    measure: Literal["ava", "frames"] = "ava"
    """ava: the official AVA evaluator; frames: every frame is a keyframe, ACT's evaluation (UCF101-24, J-HMDB)"""
    cap: int = 0
    """ava: best rows a keyframe that count; 0 = all"""
    tubes: bool = False
    """frames: judge tubes as well"""
    picture: tuple[int, int] = (320, 240)
    """frames: width and height of the pictures that are judged"""
    boxes: str = "annotated"
    """where the boxes come from; written into the result"""
    left_out: int = 0
    """faults of the data that were left out (data.skip_bad); written into the result where there are any"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One keyframe of a data set; N people, maybe none."""

    key: Keyframe
    path: Path
    """the video file, or the folder of its extracted frames"""
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
    scores: Float[np.ndarray, " N"] | None = None
    """of the boxes, by their detector; None = annotated, all 1"""
    truth: Truth | None = None
    """what the boxes are judged by, where they are a detector's; None = their own labels"""
    listed: bool = True
    """whether the annotation knows this keyframe: what is found at others is not judged"""


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
