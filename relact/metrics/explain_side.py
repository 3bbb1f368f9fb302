"""The two sides of an explanation, and what of them can be compared."""

from dataclasses import dataclass, replace

import numpy as np

from relact.metrics.ap_rules import Bools, Floats, Ints

MIN_IOU = 0.5
_SAMPLE = 100_000  # prediction rows that are looked at, whole keyframes


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault: `kind` is stable, for programs; `text` is the line for people."""

    kind: str
    text: str

    def to_dict(self) -> dict[str, str]:
        return {"kind": self.kind, "text": self.text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The truth or the predictions: R rows, `video [R]` indexes `videos`; `instant [R]` in `clock`s (second, frame).

    `boxes [R, 4]` and `action [R]` as the file has them; `score [R]` is 1 for truth. `picture`: what pixels refer to.
    """

    path: str
    videos: tuple[str, ...]
    video: Ints
    instant: Floats
    boxes: Floats
    action: Ints
    score: Floats
    clock: str = "second"
    picture: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.video)

    def take(self, rows: Ints | Bools) -> "Side":
        return replace(
            self, video=self.video[rows], instant=self.instant[rows], boxes=self.boxes[rows], action=self.action[rows],
            score=self.score[rows],
        )  # fmt: skip


def ticks(instant: Floats) -> Ints:
    """Instants as whole numbers, millionths of their clock."""
    return np.rint(instant * 1e6).astype(np.int64)


def at_shared_keyframes(truth: Side, found: Side, shift: float = 0.0) -> tuple[Side, Side, tuple[Ints, Ints]]:
    """Both sides at the keyframes that they share, and the keyframe of each row."""
    here = np.flatnonzero(found.video >= 0)
    times, of = np.unique(
        np.concatenate([ticks(truth.instant), ticks(found.instant[here] + shift)]), return_inverse=True
    )
    key = np.concatenate([truth.video, found.video[here]]) * len(times) + of
    a, b = key[: len(truth)], key[len(truth) :]
    both = np.intersect1d(a, b)
    left, right = np.isin(a, both), np.isin(b, both)
    return truth.take(left), found.take(here[right]), (a[left], b[right])


def sample(found: Side) -> Side:
    """All rows of some keyframes, about `_SAMPLE`; which, is decided by a hash of video and time."""
    if len(found) <= _SAMPLE:
        return found
    mixed = (found.video.astype(np.uint64) << np.uint64(44)) ^ ticks(found.instant).astype(np.uint64)
    mixed = (mixed * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    return found.take(mixed % np.uint64(len(found) // _SAMPLE + 1) == 0)


def surest_of(found: Side) -> Side:
    """The best-scored row of each box."""
    _, of = np.unique(ticks(found.instant), return_inverse=True)
    return found.take(surest_rows(found, found.video * (int(of.max(initial=0)) + 1) + of))


def surest_rows(found: Side, key: Ints) -> Ints:
    """The best-scored row of each distinct box."""
    order = np.lexsort((-found.score, *found.boxes.T, key))
    columns = np.column_stack([key, found.boxes])[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (columns[1:] != columns[:-1]).any(axis=1)
    return order[new]
