"""A detector's people on the keyframes of a data set: which count, and which actions they are given in training.

The public code bases differ in every one of these choices, so each is a setting that names its origin.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from pydantic.dataclasses import dataclass

from relact.boxes import pairwise_iou
from relact.config import STRICT
from relact.data.samples import Sample, Truth
from relact.errors import InputError
from relact.interop.ava_csv import AvaTable, read_ava_csv
from relact.interop.box_files import read_boxes
from relact.interop.box_table import place
from relact.interop.faults import Faults
from relact.labels import LabelMap
from relact.types import Keyframe

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BoxesConfig:
    """Whose people a split has. Without a `file` they are the annotated ones."""

    file: str | None = None
    """below root: PySlowFast's csv, MMAction2's pickle of proposals, ACAR-Net's pickle of clips"""
    score: float = Field(default=0.9, ge=0, le=1)
    """least score of a box (training: ACAR-Net, PySlowFast and MMAction2 0.9; tests: ACAR-Net 0.85, SlowFast's AVA
    configurations 0.8)"""
    best: bool = False
    """where no box reaches the score, keep the best one (MMAction2)"""
    annotated: bool = True
    """training: the annotated boxes as well; False for a file that has them already (ACAR-Net's pickle)"""
    labels: Literal["file", "overlap"] = "file"
    """training: a box does what its file says (PySlowFast, ACAR-Net), or what the annotated box does that it overlaps
    most (MMAction2, MRSN)"""
    overlap: float = Field(default=0.75, gt=0, le=1)
    """least IoU for that (MRSN: 0.75, MMAction2: 0.9)"""
    background: bool = True
    """training: boxes that do nothing stay, as examples of nothing (PySlowFast); False: they go (MMAction2, MRSN)"""


class Detections:
    """The boxes of a file by keyframe, in rows of (box, action); action -1 where there is none.

    Faults are those of the readers of boxes, and scores outside 0 to 1. Beside an action a whole number passes:
    PySlowFast lists the ground truth among its boxes, whose last column is the person.
    """

    def __init__(self, path: Path, faults: Faults) -> None:
        self.path = path
        self._faults = faults
        if path.suffix.lower() in (".pkl", ".pickle"):
            table = read_boxes(path, "pickle", faults=faults)
            source = np.concatenate([np.arange(len(table)), table.label_row])
            self.action = np.concatenate([np.full(len(table), -1), table.label_id])
            names, code, micro = table.videos, table.video[source], np.rint(table.instant[source] * 1e6)
            self.boxes, self.score = table.boxes[source], table.score[source]
            line, self._word = table.line[source], table.line_word
        else:  # here, beside an action, too, the last column is the box's score
            rows = _scored(read_ava_csv(path, "boxes", faults=faults), faults)
            assert rows.score is not None
            names, code, micro = rows.videos, rows.video, rows.microseconds
            self.boxes, self.action, self.score = rows.boxes, rows.action, rows.score
            line, self._word = rows.lines, "line"
        order = np.lexsort((micro, code))
        self.boxes, self.action, self.score = self.boxes[order], self.action[order], self.score[order]
        self._line = line[order]
        changes = (np.diff(code[order]) != 0) | (np.diff(micro[order]) != 0)
        starts = np.flatnonzero(np.append(True, changes)[: len(order)])
        ends = np.append(starts, len(order))[1:]
        firsts = order[starts]
        self._rows = {
            (names[v], int(m)): slice(int(a), int(b))
            for v, m, a, b in zip(code[firsts], micro[firsts], starts, ends, strict=True)
        }

    def check_actions(self, labels: LabelMap) -> None:
        """Rows whose action is neither in the map nor one of AVA's 80, of which a map may leave some out, are faults;
        where they are skipped the box stays, without that action.
        """
        known = np.array([-1, *labels.ids, *LabelMap.load("ava").ids])
        rows = np.argsort(self._line, kind="stable")
        action = self.action[rows]
        ids = f"one of the {len(labels)} ids of the label map in {min(labels.ids)} to {max(labels.ids)}, or none"

        def say(number: int) -> str:
            where = place(str(self.path), int(self._line[rows[number]]), self._word)
            return f"{where}: action {action[number]}; expected {ids}; are these boxes of this data set?"

        self._faults.add_rows(~np.isin(action, known), say)

    def keyframes(self) -> Iterator[tuple[str, int]]:
        """(video, microseconds) of every keyframe with boxes."""
        yield from self._rows

    def at(self, video: str, micro: int, labels: LabelMap) -> tuple[Floats, Floats, Floats]:
        """Boxes `[N, 4]`, their scores `[N]`, and what they do `[N, K]`; rows with equal corners are one box."""
        rows = self._rows.get((video, micro), slice(0, 0))
        boxes, inverse = np.unique(self.boxes[rows], axis=0, return_inverse=True)
        score = np.zeros(len(boxes))
        np.maximum.at(score, inverse.reshape(-1), self.score[rows])
        hot = np.zeros((len(boxes), len(labels)), np.float32)
        columns = [labels.column(int(action)) for action in self.action[rows]]
        known = np.array([column is not None for column in columns], bool)
        hot[inverse.reshape(-1)[known], [column for column in columns if column is not None]] = 1
        order = np.argsort(-score, kind="stable")
        return boxes[order].clip(0, 1).astype(np.float32), score[order].astype(np.float32), hot[order]


def _scored(rows: AvaTable, faults: Faults) -> AvaTable:
    """The rows with a detector's score, or with an action and a whole number."""
    score = rows.score
    assert score is not None
    person = (rows.action >= 0) & (score == np.floor(score))
    wrong = ~person & ~((score >= 0) & (score <= 1 + 1e-6))
    if not wrong.any():
        return rows
    faults.add_rows(wrong, lambda k: f"{rows.where(k)}: score {score[k]:g}; expected a detector's, from 0 to 1")
    return rows.take(~wrong)


def with_boxes(
    samples: Sequence[Sample],
    found: Detections,
    labels: LabelMap,
    config: BoxesConfig,
    *,
    training: bool,
    empty: Callable[[str, float], Sample | None],
) -> list[Sample]:
    """The same keyframes with a detector's people, and those that only the detector knows.

    In training annotated and detected people stand side by side; in tests the detected ones alone, and the annotation
    becomes what they are judged by. `empty` makes a keyframe that the annotation does not have, or None where there
    must be none. Raises InputError where the file has no box, and where none of its keyframes is one of the samples';
    an action that means nothing is a fault of `found`.
    """
    found.check_actions(labels)
    known = {(sample.key.video, round(sample.stamp * 1e6)): sample for sample in samples}
    if known and next(found.keyframes(), None) is None:
        raise InputError(
            f"{found.path}: has no box, so that nobody would be left at {len(known)} annotated keyframes; expected a "
            "detector's boxes; write it again, or leave data.train_boxes.file or data.val_boxes.file out"
        )
    if known and not any(key in known for key in found.keyframes()):
        first = next(iter(known))
        some = next(found.keyframes())
        raise InputError(
            f'{found.path}: none of its keyframes is annotated: the annotation has "{first[0]}" at '
            f'{first[1] / 1e6:g} s, the file has "{some[0]}" at {some[1] / 1e6:g} s; are these boxes of another split?'
        )
    for video, micro in found.keyframes():
        if (video, micro) not in known and (new := empty(video, micro / 1e6)) is not None:
            known[video, micro] = replace(new, listed=False)
    join = _trained if training else _tested
    return [join(sample, *found.at(*key, labels), config) for key, sample in known.items()]


def _tested(sample: Sample, boxes: Floats, scores: Floats, hot: Floats, config: BoxesConfig) -> Sample:
    kept = _kept(scores, config)
    return replace(
        sample,
        boxes=boxes[kept],
        labels=np.zeros((len(kept), hot.shape[1]), np.float32),
        person=np.full(len(kept), -1, np.int64),
        scores=scores[kept],
        truth=Truth(boxes=sample.boxes, labels=sample.labels, person=sample.person),
    )


def _trained(sample: Sample, boxes: Floats, scores: Floats, hot: Floats, config: BoxesConfig) -> Sample:
    kept = _kept(scores, config)
    boxes, scores, hot = boxes[kept], scores[kept], hot[kept]
    if config.labels == "overlap":
        hot = np.zeros_like(hot)
        if len(sample.boxes) and len(boxes):
            overlap = pairwise_iou(boxes, sample.boxes)
            best = overlap.argmax(axis=1)
            near = overlap.max(axis=1) >= config.overlap
            hot[near] = sample.labels[best[near]]
    if not config.background:
        real = hot.any(axis=1)
        boxes, scores, hot = boxes[real], scores[real], hot[real]
    if not config.annotated:
        return replace(
            sample, boxes=boxes, labels=hot, person=np.full(len(boxes), -1, np.int64), scores=scores
        )  # fmt: skip
    return replace(
        sample,
        boxes=np.concatenate([sample.boxes, boxes]),
        labels=np.concatenate([sample.labels, hot]),
        person=np.concatenate([sample.person, np.full(len(boxes), -1, np.int64)]),
        scores=np.concatenate([np.ones(len(sample.boxes), np.float32), scores]),
    )


def _kept(scores: Floats, config: BoxesConfig) -> Ints:
    """Rows, of scores that fall."""
    kept = np.flatnonzero(scores >= config.score)
    return kept if len(kept) or not config.best else np.arange(min(len(scores), 1))


def without(samples: Sequence[Sample], keys: set[Keyframe]) -> list[Sample]:
    """All but the excluded keyframes."""
    return [sample for sample in samples if sample.key not in keys]
