"""Tubes: boxes on consecutive frames, one person doing one action; made of rows, compared, and thinned out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from relact.boxes import iou
from relact.metrics.ap_rules import Bools, Floats, Ints, TubeRules, with_last_pixel

_ROWS = 1 << 20  # rows of overlap compared at a time: what a pair of tubes has in common is expanded
Fill = Literal["linear", "next"]
"""Boxes of frames on which a tube was not seen: between its neighbours, or the next one (ROAD)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tubes:
    """N tubes: `video [N]`, `column [N]` (class), `score [N]`, `begin [N]` (first frame); tube n has the rows
    `start[n]` to `start[n + 1]` of `boxes [R, 4]` and `row_score [R]`, one a frame.
    """

    video: Ints
    column: Ints
    score: Floats
    begin: Ints
    start: Ints
    boxes: Floats
    row_score: Floats

    def __len__(self) -> int:
        return len(self.video)

    @property
    def length(self) -> Ints:
        """Frames of each tube, `[N]`."""
        return np.diff(self.start)

    @property
    def end(self) -> Ints:
        """The last frame of each tube, `[N]`."""
        return self.begin + self.length - 1

    def take(self, chosen: Ints | Bools) -> "Tubes":
        """Some of the tubes, by number or by mask."""
        numbers = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        length = self.length[numbers]
        rows = np.repeat(self.start[numbers], length) + within(length)
        return Tubes(
            video=self.video[numbers],
            column=self.column[numbers],
            score=self.score[numbers],
            begin=self.begin[numbers],
            start=np.concatenate([[0], np.cumsum(length)]),
            boxes=self.boxes[rows],
            row_score=self.row_score[rows],
        )


def within(counts: Ints) -> Ints:
    """0 … n - 1 for each count n, one after another."""
    return np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)


def build(
    tube: Ints, video: Ints, column: Ints, frame: Ints, boxes: Floats, scores: Floats, fill: Fill = "linear"
) -> Tubes:
    """Tubes from rows in any order: `tube [R]` says which row is of which (-1: none); a frame at most once in a tube.

    A tube's score is the mean of its rows; frames between two of its rows are filled.
    """
    rows = np.flatnonzero(tube >= 0)
    rows = rows[np.lexsort((frame[rows], tube[rows]))]
    _, first, counts = np.unique(tube[rows], return_index=True, return_counts=True)
    step = np.ones(len(rows), np.int64)
    step[:-1] = frame[rows][1:] - frame[rows][:-1]
    step[first + counts - 1] = 1
    source = np.repeat(np.arange(len(rows)), step)
    share = within(step) / np.repeat(step, step)
    share = np.where(share > 0, 1.0, 0.0) if fill == "next" else share
    other = np.minimum(source + 1, len(rows) - 1)
    values = np.column_stack([boxes[rows], scores[rows]])
    filled = values[source] * (1 - share[:, None]) + values[other] * share[:, None] if len(rows) else values
    sums = np.add.reduceat(scores[rows], first) if len(first) else np.zeros(0)
    length = np.add.reduceat(step, first) if len(first) else np.zeros(0, np.int64)
    return Tubes(
        video=video[rows][first],
        column=column[rows][first],
        score=sums / counts,
        begin=frame[rows][first],
        start=np.concatenate([[0], np.cumsum(length)]),
        boxes=filled[:, :4],
        row_score=filled[:, 4],
    )


def same_group(a: Ints, b: Ints) -> tuple[Ints, Ints]:
    """All pairs (row of `a [N]`, row of `b [M]`) of equal values; rows of `a` ascend, then rows of `b`."""
    order = np.argsort(b, kind="stable")
    low = np.searchsorted(b[order], a, side="left")
    count = np.searchsorted(b[order], a, side="right") - low
    return np.repeat(np.arange(len(a)), count), order[np.repeat(low, count) + within(count)]


def tube_iou(a: Tubes, b: Tubes, i: Ints, j: Ints, rules: TubeRules) -> Floats:
    """Spatio-temporal IoU of the pairs (tube `i[p]` of `a`, tube `j[p]` of `b`), `[P]`.

    Temporal IoU x the mean IoU of the boxes on the common frames. Tubes with one common frame or none have 0, as in
    ACT's and ROAD's code.
    """
    low = np.maximum(a.begin[i], b.begin[j])
    high = np.minimum(a.end[i], b.end[j])
    common = high - low + 1
    open_pairs = np.flatnonzero(common > 1)
    result = np.zeros(len(i))
    corner_a = with_last_pixel(a.boxes, rules.last_pixel)
    corner_b = with_last_pixel(b.boxes, rules.last_pixel)
    for pairs in _chunks(open_pairs, common):
        n = common[pairs]
        frame = within(n)
        row_a = np.repeat(a.start[i[pairs]] + low[pairs] - a.begin[i[pairs]], n) + frame
        row_b = np.repeat(b.start[j[pairs]] + low[pairs] - b.begin[j[pairs]], n) + frame
        overlap = iou(corner_a[row_a], corner_b[row_b])
        result[pairs] = np.add.reduceat(overlap, np.cumsum(n) - n) / n
    one = 1 if rules.duration == "frames" else 0
    union = np.maximum(a.end[i], b.end[j]) - np.minimum(a.begin[i], b.begin[j]) + one
    return result * (common - 1 + one) / np.maximum(union, 1)


def _chunks(pairs: Ints, rows: Ints) -> Iterator[Ints]:
    """Pairs in parts of about `_ROWS` rows."""
    if not len(pairs):
        return iter(())
    cut = np.cumsum(rows[pairs]) // _ROWS
    return iter(np.split(pairs, np.flatnonzero(np.diff(cut)) + 1))


def suppress(better: Ints, worse: Ints, count: int) -> Bools:
    """Greedy non-maximum suppression of `count` things: which stay, given the pairs that overlap too much.

    A thing goes if a better one that stays overlaps it; each round settles all whose better neighbours are settled.
    """
    stays, settled = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    while not settled.all():
        waits = np.zeros(count, np.bool_)
        waits[worse] = True
        fresh = ~waits & ~settled
        stays |= fresh
        gone = np.zeros(count, np.bool_)
        gone[worse[fresh[better]]] = True
        settled |= fresh | gone
        left = ~settled[better] & ~settled[worse]
        better, worse = better[left], worse[left]
    return stays


def thin_out(tubes: Tubes, rules: TubeRules) -> Tubes:
    """Without the tubes that overlap a better one of their video and class by more than the rules allow."""
    if rules.nms is None or not len(tubes):
        return tubes
    group = tubes.video * (int(tubes.column.max()) + 1) + tubes.column
    i, j = same_group(group, group)
    rank = np.empty(len(tubes), np.int64)
    rank[np.argsort(-tubes.score, kind="stable")] = np.arange(len(tubes))
    ahead = rank[i] < rank[j]
    i, j = i[ahead], j[ahead]
    much = tube_iou(tubes, tubes, i, j, rules) > rules.nms
    return tubes.take(suppress(i[much], j[much], len(tubes)))
