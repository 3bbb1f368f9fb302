"""How often the right one of two actions scores higher: the measure of Stage, where chance is a half by design."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from relact.errors import InputError
from relact.interop.ava_csv import AvaTable, read_ava_csv


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAccuracy:
    """Of the people who do one of two actions: how many there are, and of how many that one scores higher."""

    people: int
    right: float

    @property
    def accuracy(self) -> float:
        """NaN without people; half of a tie counts."""
        return self.right / self.people if self.people else float("nan")


def pair_accuracy(
    groundtruth: str | Path, predictions: str | Path, pairs: Sequence[tuple[int, int]]
) -> list[PairAccuracy]:
    """For each pair of action ids, over the people of a ground truth who do exactly one of the two.

    `predictions` scores the very boxes of the ground truth, as `relact test` does. Raises InputError where a person of
    the ground truth has no score for both actions.
    """
    truth, told = read_ava_csv(Path(groundtruth), "groundtruth"), read_ava_csv(Path(predictions), "predictions")
    videos = {name: code for code, name in enumerate(dict.fromkeys((*truth.videos, *told.videos)))}
    where, scored = _people(truth, videos), _people(told, videos)
    assert told.score is not None
    order = np.lexsort((told.action, scored))
    keys, actions, scores = scored[order], told.action[order], told.score[order]
    return [_accuracy(where, truth.action, keys, actions, scores, pair) for pair in pairs]


def _people(table: AvaTable, videos: dict[str, int]) -> npt.NDArray[np.void]:
    """One value a row, equal for rows of the same box of the same keyframe."""
    code = np.array([videos[name] for name in table.videos], np.int64)[table.video]
    boxes = np.round(table.boxes * 1e4).astype(np.int64)
    whole = np.ascontiguousarray(np.column_stack([code, table.microseconds, boxes]))
    return whole.view([("", whole.dtype)] * whole.shape[1]).reshape(-1)


def _accuracy(
    where: npt.NDArray[np.void],
    truth: npt.NDArray[np.int64],
    keys: npt.NDArray[np.void],
    actions: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    pair: tuple[int, int],
) -> PairAccuracy:
    first, second = (np.unique(where[truth == action]) for action in pair)
    first, second = np.setdiff1d(first, second), np.setdiff1d(second, first)
    right = 0.0
    for people, (own, other) in ((first, pair), (second, pair[::-1])):
        gap = _scores_of(people, keys, actions, scores, own) - _scores_of(people, keys, actions, scores, other)
        right += float((gap > 0).sum() + 0.5 * (gap == 0).sum())
    return PairAccuracy(people=len(first) + len(second), right=right)


def _scores_of(
    people: npt.NDArray[np.void],
    keys: npt.NDArray[np.void],
    actions: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    action: int,
) -> npt.NDArray[np.float64]:
    """One score a person."""
    of_action = actions == action
    known, values = keys[of_action], scores[of_action]
    place = np.searchsorted(known, people)
    inside = place < len(known)
    found = inside & (known[np.minimum(place, max(len(known) - 1, 0))] == people) if len(known) else inside
    if not found.all():
        raise InputError(
            f"{int((~found).sum())} of {len(people)} people of the ground truth have no score for action {action}: "
            "give predictions of all actions on the true boxes, as relact test writes them"
        )
    return values[place]
