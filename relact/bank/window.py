"""Which rows of a bank a clip reads, and how they become a `Memory`: the same for every kind of bank."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from relact.bank.rows import Floats, Halves, Ints
from relact.head import MemorySpec
from relact.types import Memory, View

Source = tuple[Halves, int]
"""features of rows that follow each other, and the number of the first"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The rows within reach of each clip of a batch, R in all, clip by clip and tick by tick."""

    clip: Ints
    row: Ints
    """where the bank keeps it"""
    dt: Ints
    track: Ints
    tag: Floats

    def __getitem__(self, chosen: npt.NDArray[np.bool_]) -> "Candidates":
        return Candidates(
            clip=self.clip[chosen], row=self.row[chosen], dt=self.dt[chosen],
            track=self.track[chosen], tag=self.tag[chosen],
        )  # fmt: skip


def reach(spec: MemorySpec) -> tuple[int, int]:
    """(ticks back, ticks ahead)."""
    return spec.radius, spec.radius if spec.future is None else spec.future


def ranges(first: Ints, last: Ints) -> tuple[Ints, Ints]:
    """Rows first[b] … last[b] - 1 of every clip b, and the clip of each."""
    count = np.maximum(last - first, 0)
    clip = np.arange(len(count)).repeat(count)
    begins = count.cumsum() - count
    return np.arange(len(clip)) + (first - begins)[clip], clip


class Timeline:
    """The ticks of many videos, in order: one number a tick, video first, so that all windows are two searches."""

    def __init__(self, video: Ints, tick: Ints) -> None:
        """`video [R]` are codes; rows ascend by (video, tick)."""
        self.tick = tick
        self._lowest, highest = (int(tick.min()), int(tick.max())) if len(tick) else (0, 0)
        self._span = highest - self._lowest + 1
        self._place = video * self._span + tick - self._lowest

    def within(self, video: Ints, now: Ints, spec: MemorySpec) -> tuple[Ints, Ints]:
        """The rows within reach of each clip (`video [B]`, `now [B]`), and the clip of each."""
        back, ahead = reach(spec)
        edges = np.array([now - back, now + ahead + 1]) - self._lowest
        first, last = self._place.searchsorted(video * self._span + np.minimum(np.maximum(edges, 0), self._span))
        return ranges(first, last)


def choose(candidates: Candidates, spec: MemorySpec, tracks: Sequence[Ints] | None) -> Candidates:
    """Leaves out the clip's own tick where the head wants none of it, and those beyond `max_per_tick`.

    Who stays: with `identity` people of the clip (`tracks`, a row of ids a clip) first, then as the bank orders them,
    which is by score. Rows stay in their order.
    """
    if not spec.include_current:
        candidates = candidates[candidates.dt != 0]
    if spec.max_per_tick is None or not len(candidates.row):
        return candidates
    stranger = np.ones(len(candidates.row), bool)
    if spec.identity and tracks is not None:
        stranger = ~_among(candidates, tracks)
    order = np.lexsort((np.arange(len(stranger)), stranger, candidates.dt, candidates.clip))
    clip, dt = candidates.clip[order], candidates.dt[order]
    begins = np.flatnonzero(np.r_[True, (clip[1:] != clip[:-1]) | (dt[1:] != dt[:-1])])
    rank = np.arange(len(order)) - np.repeat(begins, np.diff(np.r_[begins, len(order)]))
    kept = np.zeros(len(order), bool)
    kept[order[rank < spec.max_per_tick]] = True
    return candidates[kept]


def _among(candidates: Candidates, tracks: Sequence[Ints]) -> npt.NDArray[np.bool_]:
    """Whether each row's person is in its clip."""
    ids = np.concatenate([*tracks, candidates.track]).astype(np.int64)
    clip = np.concatenate([np.repeat(np.arange(len(tracks)), [len(t) for t in tracks]), candidates.clip])
    _, code = np.unique(ids, return_inverse=True)
    pair = clip * (int(code.max(initial=0)) + 1) + code
    here = len(ids) - len(candidates.track)
    return np.isin(pair[here:], pair[:here]) & (candidates.track >= 0)


def assemble(candidates: Candidates, sources: Sequence[Source], spec: MemorySpec) -> Memory:
    """`Memory` of M slots, M the rows of the fullest clip: rows first, then empty slots. `sources`: one a clip."""
    num_clips = len(sources)
    counts = np.bincount(candidates.clip, minlength=num_clips)
    most = int(counts.max(initial=0))
    begins = counts.cumsum() - counts
    slot = np.arange(len(candidates.clip)) + (np.arange(num_clips) * most - begins)[candidates.clip]
    features = np.empty((num_clips, most, spec.dim), np.float16)  # by numpy: torch's threads take longer to meet
    for out, count, begin, source in zip(features, counts.tolist(), begins.tolist(), sources, strict=True):
        if count:  # a file a video: one copy each, of rows that mostly lie side by side
            _copy(source, candidates.row[begin : begin + count], out[:count])
        if count < most:
            out[count:] = 0
    shape = (num_clips, most)
    return Memory(
        features=torch.from_numpy(features),
        dt=_spread(candidates.dt, slot, shape, 0),
        track=_spread(candidates.track, slot, shape, -1),
        tag=_spread(candidates.tag, slot, shape, 1),
        mask=torch.from_numpy(np.arange(most) < counts[:, None]),
    )


def _spread(values: npt.NDArray[np.generic], slot: Ints, shape: tuple[int, int], empty: float) -> Tensor:
    out = np.empty(shape[0] * shape[1], values.dtype)
    out.fill(empty)
    out[slot] = values
    return torch.from_numpy(out.reshape(shape))


def _copy(source: Source, rows: Ints, out: Halves) -> None:
    """The features of these rows, which ascend; one copy of memory where they lie side by side."""
    features, first = source
    begin, end = rows.item(0) - first, rows.item(-1) - first + 1
    if end - begin == len(rows):
        out[:] = features[begin:end]
    else:
        np.take(features, rows - first, axis=0, out=out, mode="clip")


def to_view(memory: Memory, spec: MemorySpec, views: Sequence[View]) -> Memory:
    """Rows that are maps, as each clip was cut and mirrored; vectors as they are.

    A bank's maps show whole frames; a clip in training may show a part, or its mirror image (ACAR-Net, Sec. 3.3 needs
    them place by place).
    """
    if spec.grid is None or all(_uncut(view) and not view.flip for view in views) or memory.mask.shape[1] == 0:
        return memory
    rows, columns = spec.grid
    maps = memory.features.view(*memory.mask.shape, -1, rows, columns).clone()
    for clip, view in enumerate(views):
        if not _uncut(view):
            maps[clip] = _cut(maps[clip].float(), view).half()
        elif view.flip:
            maps[clip] = maps[clip].flip(-1)
    return Memory(
        features=maps.view_as(memory.features), dt=memory.dt, track=memory.track, tag=memory.tag, mask=memory.mask
    )


def _uncut(view: View) -> bool:
    return (view.clip_width, view.clip_height, view.left, view.top) == (view.width, view.height, 0, 0)


def _cut(maps: Tensor, view: View) -> Tensor:
    """The part of `[M, C, rows, columns]` that the clip shows, on as many cells; the border goes on outside."""
    x = (2 * view.left + view.clip_width) / view.width - 1, view.clip_width / view.width
    y = (2 * view.top + view.clip_height) / view.height - 1, view.clip_height / view.height
    theta = torch.tensor([[-x[1] if view.flip else x[1], 0, x[0]], [0, y[1], y[0]]], dtype=maps.dtype)
    grid = torch.nn.functional.affine_grid(theta.expand(len(maps), 2, 3), list(maps.shape), align_corners=False)
    return torch.nn.functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)
