"""Several models' predictions of the same boxes averaged: an ensemble, of any code bases that write AVA's csv.

Works on files, not on models: each model is run with its own recipe, on its own machine if need be, and once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from relact.boxes import Floats
from relact.errors import InputError
from relact.interop.ava_csv import AvaTable, Units, format_ava_rows, read_ava_csv, write_ava_csv
from relact.interop.box_match import match, same_videos

Average = Literal["scores", "logits"]
Ints = npt.NDArray[np.int64]

PREDICTIONS = "predictions.csv"
"""what `relact test` writes into the folder of a run"""
MIN_IOU = 0.9
"""Overlap from which two boxes are one: files round them differently."""
LEAST = 5e-7
"""Scores are taken for no nearer to 0 and 1 than this: files round them to six decimals, and 0 has no logit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """Averaged predictions: N boxes, K actions. `models [N]`: how many files have each box."""

    videos: tuple[str, ...]
    video: Ints
    """`[N]`, into `videos`"""
    microseconds: Ints
    boxes: Floats
    """`[N, 4]`, of the first file that has each"""
    actions: Ints
    """`[K]`, ascending ids"""
    scores: Floats
    """`[N, K]`"""
    models: Ints

    def write(self, path: str | Path) -> None:
        """As AVA's csv of predictions, a row for each box and action."""
        count, times = len(self.actions), self.microseconds / 1e6
        lines = format_ava_rows(
            videos=[self.videos[k] for k in np.repeat(self.video, count).tolist()],
            seconds=np.repeat(times, count),
            boxes=np.repeat(self.boxes, count, axis=0),
            actions=np.tile(self.actions, len(self.boxes)),
            scores=self.scores.reshape(-1),
            decimals=6,
            score_decimals=7,
        )
        write_ava_csv(path, lines)


def ensemble(
    predictions: Sequence[str | Path],
    *,
    weights: Sequence[float] | None = None,
    average: Average = "scores",
    min_iou: float = MIN_IOU,
    keep_unmatched: bool = False,
    box_units: Units = "unit",
) -> Ensemble:
    """The (weighted) mean of files of predictions, or of `predictions.csv` in run folders, box by box.

    Boxes of one keyframe are the same from an IoU of `min_iou` on, one to one. An action that a file leaves out for a
    box, as some do below a score, has the score 0 there. `average`: of the scores, or of their logits (log-odds), which
    are the models' own where every action has a sigmoid. Raises InputError for fewer than two files, weights that do
    not fit them, files of other actions, and boxes that not all files have, unless `keep_unmatched` averages over
    those that have them.
    """
    if len(predictions) < 2:
        raise InputError(f"an ensemble of {len(predictions)} files; expected two or more")
    share = _weights(weights, len(predictions))
    tables = [read_ava_csv(_file(path), "predictions", box_units) for path in predictions]
    actions = _same_actions(tables)
    parts = [_Boxes.of(table, actions, average) for table in tables]
    whole, total, num_models = parts[0], parts[0].scores * share[0], np.ones(len(parts[0].boxes), np.int64)
    weight = np.full(len(whole.boxes), share[0])
    for part, mass in zip(parts[1:], share[1:], strict=True):
        ours, theirs, others = _met(whole, part, min_iou)
        if not keep_unmatched:
            _refuse_unmatched(parts[0], part, ours, theirs, min_iou)
        total[ours] += mass * part.scores[theirs]
        weight[ours] += mass
        num_models[ours] += 1
        whole = whole.with_others(part, others)
        total = np.concatenate([total, mass * part.scores[others]])
        weight = np.concatenate([weight, np.full(len(others), mass)])
        num_models = np.concatenate([num_models, np.ones(len(others), np.int64)])
    mean = total / weight[:, None]
    order = np.lexsort((np.arange(len(mean)), whole.microseconds, whole.video))
    return Ensemble(
        videos=whole.videos, video=whole.video[order], microseconds=whole.microseconds[order],
        boxes=whole.boxes[order], actions=actions,
        scores=(mean if average == "scores" else 1 / (1 + np.exp(-mean)))[order], models=num_models[order],
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Boxes:
    """The boxes of one file, or of several, each once, in the order of the file; `scores [N, K]` or logits."""

    path: str
    videos: tuple[str, ...]
    video: Ints
    microseconds: Ints
    boxes: Floats
    scores: Floats

    @classmethod
    def of(cls, table: AvaTable, actions: Ints, average: Average) -> "_Boxes":
        assert table.score is not None
        wrong = (table.score < 0) | (table.score > 1)
        if average == "logits" and wrong.any():
            row = int(wrong.argmax())
            raise InputError(f"{table.where(row)}: score {table.score[row]:g}; logits are of scores from 0 to 1")
        columns = np.column_stack([table.video, table.microseconds, table.boxes])
        # Rows of a box mostly follow each other: only the first of each run is sorted.
        heads = np.flatnonzero(np.concatenate([[True], (np.diff(columns, axis=0) != 0).any(axis=1)])[: len(columns)])
        _, first, kind = np.unique(columns[heads], axis=0, return_index=True, return_inverse=True)
        box = heads[first][kind.reshape(-1)].repeat(np.diff(np.append(heads, len(columns))))
        column = np.searchsorted(actions, table.action)
        # Two people may have one box, once its corners are rounded: the second row of an action is another's.
        again = _occurrence(box * len(actions) + column)
        most = int(again.max(initial=0)) + 1
        start, member = np.unique(box * most + again, return_inverse=True)
        start //= most
        scores = np.zeros((len(start), len(actions)))
        scores[member, column] = table.score
        if average == "logits":
            kept = scores.clip(LEAST, 1 - LEAST)
            scores = np.log(kept / (1 - kept))
        return cls(
            path=table.path, videos=table.videos, video=table.video[start],
            microseconds=table.microseconds[start], boxes=table.boxes[start], scores=scores,
        )  # fmt: skip

    def with_others(self, other: "_Boxes", rows: Ints) -> "_Boxes":
        """These and some boxes of another file; its scores stay behind."""
        names = {theirs: ours for ours, theirs in same_videos(self.videos, other.videos).items()}
        videos = list(self.videos)
        for theirs, name in enumerate(other.videos):
            if theirs not in names:
                names[theirs] = len(videos)
                videos.append(name)
        of = np.array([names[k] for k in range(len(other.videos))], np.int64)
        return _Boxes(
            path=self.path, videos=tuple(videos), video=np.concatenate([self.video, of[other.video[rows]]]),
            microseconds=np.concatenate([self.microseconds, other.microseconds[rows]]),
            boxes=np.concatenate([self.boxes, other.boxes[rows]]), scores=self.scores,
        )  # fmt: skip


def _met(a: _Boxes, b: _Boxes, min_iou: float) -> tuple[Ints, Ints, Ints]:
    """Rows of a and of b that are one box, and the rows of b that are none of a's."""
    ours_of = {theirs: ours for ours, theirs in same_videos(a.videos, b.videos).items()}
    of = np.array([ours_of.get(k, -1 - k) for k in range(len(b.videos))], np.int64)
    keys = np.stack([np.concatenate([a.video, of[b.video]]), np.concatenate([a.microseconds, b.microseconds])])
    tick = np.unique(keys, axis=1, return_inverse=True)[1].reshape(-1)
    ours, theirs = match(tick[: len(a.boxes)], a.boxes, tick[len(a.boxes) :], b.boxes, min_iou)
    return ours, theirs, np.setdiff1d(np.arange(len(b.boxes)), theirs)


def _refuse_unmatched(a: _Boxes, b: _Boxes, ours: Ints, theirs: Ints, min_iou: float) -> None:
    for one, other, met in ((a, b, ours), (b, a, theirs)):
        alone = np.setdiff1d(np.arange(len(one.boxes)), met)
        if len(alone):
            k = int(alone[0])
            raise InputError(
                f"{other.path}: lacks {len(alone)} of the {len(one.boxes)} boxes of {one.path}, such as that of "
                f"{one.videos[one.video[k]]} at {one.microseconds[k] / 1e6:g} s, {np.round(one.boxes[k], 3).tolist()} "
                f"(IoU >= {min_iou:g}); expected models run on the same boxes, or --keep-unmatched"
            )


def _same_actions(tables: Sequence[AvaTable]) -> Ints:
    """The ids of all files, ascending. Raises InputError where one has others than the first."""
    actions = np.unique(tables[0].action)
    for table in tables[1:]:
        others = np.setxor1d(actions, table.action)
        if len(others):
            raise InputError(
                f"{table.path} has {len(np.unique(table.action))} actions, {tables[0].path} {len(actions)}: action "
                f"{others[0]} is in one alone ({len(others)} are); expected models of the same labels"
            )
    return actions


def _occurrence(keys: Ints) -> Ints:
    """How often each key has come before, in the order of the rows."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    run = np.arange(len(keys)) - np.searchsorted(ordered, ordered)
    count = np.empty_like(run)
    count[order] = run
    return count


def _weights(weights: Sequence[float] | None, count: int) -> Floats:
    share = np.ones(count) if weights is None else np.asarray(weights, np.float64)
    if len(share) != count or not np.isfinite(share).all() or (share <= 0).any():
        raise InputError(f"weights {share.tolist()}: expected {count} numbers above 0, one a file")
    return share / share.sum()


def _file(path: str | Path) -> Path:
    return Path(path) / PREDICTIONS if Path(path).is_dir() else Path(path)
