"""What a bank holds: one row per person and tick of a video."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Halves = npt.NDArray[np.float16]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """R rows of one video."""

    features: Halves
    """[R, E]; kept in half precision, as the published banks are"""
    tick: Ints
    track: Ints
    """ids of people, -1 where unknown"""
    tag: Floats
    """what the writer noted, such as its loss"""
    score: Floats
    """of the box"""
    boxes: Floats
    """[R, 4] x1, y1, x2, y2 in the writer's units, pixels of its clip or of the frame: they only fix the rows' order"""

    @classmethod
    def of(
        cls,
        tick: int,
        features: npt.NDArray[np.floating],
        *,
        boxes: npt.NDArray[np.floating],
        track: Ints | None = None,
        score: npt.NDArray[np.floating] | None = None,
        tag: float = 1.0,
    ) -> "Rows":
        """The people of one tick, N rows, in an order that depends on who they are and not on how they came."""
        count = len(features)
        zero = np.float32(0)  # added: -0 and 0 are the same place, and shall be the same bytes
        score = np.ones(count, np.float32) if score is None else np.asarray(score, np.float32) + zero
        track = np.full(count, -1, np.int64) if track is None else np.asarray(track, np.int64)
        boxes = np.asarray(boxes, np.float32).reshape(count, 4) + zero
        halves = _halved(features)
        order = _order(halves, (track, *boxes.T, -score))
        return cls(
            features=halves[order],
            tick=np.full(count, tick, np.int64),
            track=track[order],
            tag=np.full(count, tag, np.float32),
            score=score[order],
            boxes=boxes[order],
        )

    @classmethod
    def none(cls, dim: int) -> "Rows":
        """No rows of this width."""
        return cls.of(0, np.zeros((0, dim), np.float16), boxes=np.zeros((0, 4), np.float32))

    def without_features(self) -> "Rows":
        """The same rows without what takes room."""
        return replace(self, features=np.zeros((len(self), 0), np.float16))

    def __len__(self) -> int:
        return len(self.tick)

    def __getitem__(self, rows: slice) -> "Rows":
        return Rows(
            features=self.features[rows], tick=self.tick[rows], track=self.track[rows],
            tag=self.tag[rows], score=self.score[rows], boxes=self.boxes[rows],
        )  # fmt: skip


def _halved(features: npt.NDArray[np.floating]) -> Halves:
    """In half precision, and the largest number for what is larger; compared as bits, which is ten times as fast."""
    with np.errstate(over="ignore"):
        halves = features.astype(np.float16)
    infinite = halves.view(np.uint16) << 1 == 0xF800
    if infinite.any():
        halves[infinite] = np.copysign(LARGEST, halves[infinite])
    return halves


def _order(halves: Halves, keys: tuple[npt.NDArray[np.generic], ...]) -> Ints:
    """By the last key first; the features decide only between rows that are alike in all keys (a box given twice)."""
    if len(halves) < 2:
        return np.arange(len(halves))
    order = np.lexsort(keys)
    if np.all([key[order[1:]] == key[order[:-1]] for key in keys], axis=0).any():
        _, rank = np.unique(halves.view(np.uint16), axis=0, return_inverse=True)
        order = np.lexsort((rank, *keys))
    return order


def joined(parts: list[Rows]) -> Rows:
    """All rows, in this order."""
    return Rows(
        features=np.concatenate([part.features for part in parts]),
        tick=np.concatenate([part.tick for part in parts]),
        track=np.concatenate([part.track for part in parts]),
        tag=np.concatenate([part.tag for part in parts]),
        score=np.concatenate([part.score for part in parts]),
        boxes=np.concatenate([part.boxes for part in parts]),
    )
