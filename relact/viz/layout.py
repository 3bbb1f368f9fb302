"""Where text plates go: close to their people, on no face or other plate, still while nothing forces a move.

A greedy search over slots around each box, then over a grid of the whole picture (a plate far from its box
gets a leader line). The lines of text allowed per plate are lowered, for all alike, when that frees room.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rects = npt.NDArray[np.float64]
"""`[..., 4]` as x1, y1, x2, y2 in pixels"""

FACE = 1 / 3
"""the upper part of a box that no plate may cover"""

# A slot beside the box: x = x1 + fx * box width - px * plate width + gx * gap, y alike, and what it costs.
_SLOTS = np.array(
    [  # fx   px   gx   fy   py   gy   cost
        (0.0, 0.0, 0, 0.0, 1.0, -1, 0.00),  # above, left edges aligned; then slid
        (0.5, 0.5, 0, 0.0, 1.0, -1, 0.05),
        (1.0, 1.0, 0, 0.0, 1.0, -1, 0.05),
        (0.5, 0.0, 0, 0.0, 1.0, -1, 0.12),
        (0.5, 1.0, 0, 0.0, 1.0, -1, 0.12),
        (0.0, 0.0, 0, 1.0, 0.0, 1, 0.15),  # below
        (0.5, 0.5, 0, 1.0, 0.0, 1, 0.15),
        (1.0, 1.0, 0, 1.0, 0.0, 1, 0.15),
        (0.5, 0.0, 0, 1.0, 0.0, 1, 0.20),
        (0.5, 1.0, 0, 1.0, 0.0, 1, 0.20),
        (1.0, 0.0, 1, 0.0, 0.0, 0, 0.20),  # right
        (1.0, 0.0, 1, 0.5, 0.5, 0, 0.20),
        (1.0, 0.0, 1, 1.0, 1.0, 0, 0.20),
        (0.0, 1.0, -1, 0.0, 0.0, 0, 0.25),  # left
        (0.0, 1.0, -1, 0.5, 0.5, 0, 0.25),
        (0.0, 1.0, -1, 1.0, 1.0, 0, 0.25),
        (0.5, 0.5, 0, 1.0, 1.0, -1, 0.30),  # inside, from the feet up
        (0.0, 0.0, 1, 1.0, 1.0, -1, 0.30),
        (1.0, 1.0, -1, 1.0, 1.0, -1, 0.30),
        (0.5, 0.5, 0, 0.8, 0.5, 0, 0.40),
        (0.5, 0.5, 0, 0.7, 0.5, 0, 0.45),
        (0.5, 0.5, 0, 0.6, 0.5, 0, 0.50),
        (0.5, 0.5, 0, 0.5, 0.5, 0, 0.55),
        (0.5, 0.5, 0, FACE, 0.0, 1, 0.60),
    ]
)
_GRID = len(_SLOTS)
"""the slot number of plates that stand on the grid"""

_STAY = 0.5  # taken off the cost of the slot that a plate already has
_BODY = 1.2  # for a plate that covers other people's bodies wholly
_OWN_BODY = 0.2
_LINE_LOST = 0.5  # for all lines of text that a smaller plate gives up
_AWAY = 1.0  # for standing on the grid, and per diagonal of distance from the box
_CROSSING = 0.6  # for a leader across faces, per share of its length
_ID_ONLY = 3.0
_ON_A_FACE = 10.0
_NOWHERE = 20.0
_GOOD = 0.4  # a plate that costs less is fine where it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where one person's plate is: its upper left corner, its size, whether a leader joins it to the box."""

    x: int
    y: int
    size: int
    """index into the person's plate sizes"""
    leader: bool
    slot: int
    cost: float = field(compare=False)


Placements = list[Placement | None]


def layout(
    boxes: Rects,
    plate_sizes: Sequence[npt.NDArray[np.integer]],
    width: int,
    height: int,
    *,
    previous: Sequence[Placement | None] | None = None,
) -> Placements:
    """A place for each person's plate; None where even the smallest finds no room.

    boxes: `[N, 4]` pixels; plate_sizes: per person `[V, 2]` widths and heights, the fullest first, the last
    for the bare id. Plates are inside the picture and apart from each other. A plate is on a face zone (the
    upper third of a box) only if it is the last size and no slot of the picture would take it. `previous` is
    preferred.
    """
    before: Placements = list(previous) if previous is not None else [None] * len(boxes)
    fullest = max((len(sizes) for sizes in plate_sizes), default=0)
    best: Placements = []
    best_cost = np.inf
    for cap in range(max(fullest - 1, 1)):  # fewer lines for all, while someone does not stand well
        search = _Search(boxes, width, height)
        placements = search.run([_Sizes(sizes, cap) for sizes in plate_sizes], before)
        cost = sum(_NOWHERE if p is None else p.cost for p in placements)
        if cost < best_cost:
            best, best_cost = placements, cost
        if all(p is not None and p.cost < _GOOD for p in placements):
            break
    return best


class Layouter:
    """Lays out picture after picture of a video, so that plates stand still beside their people.

    While the people and their texts stay, each plate keeps its slot, moving with the box, until that would
    cover a face or another plate; new texts start a new search, in which the old place is preferred.
    """

    def __init__(self) -> None:
        self._before: dict[int, Placement | None] = {}
        self._sizes: dict[int, bytes] = {}

    def place(
        self,
        ids: Sequence[int],
        boxes: Rects,
        plate_sizes: Sequence[npt.NDArray[np.integer]],
        width: int,
        height: int,
    ) -> Placements:
        """`layout` with the memory of the pictures before this one; ids name the people."""
        sizes = {person: np.asarray(size).tobytes() for person, size in zip(ids, plate_sizes, strict=True)}
        before = [self._before.get(person) for person in ids]
        placements = _kept(before, boxes, plate_sizes, width, height) if sizes == self._sizes else None
        if placements is None:
            placements = layout(boxes, plate_sizes, width, height, previous=before)
        self._sizes, self._before = sizes, dict(zip(ids, placements, strict=True))
        return placements


def _kept(
    before: Placements, boxes: Rects, plate_sizes: Sequence[npt.NDArray[np.integer]], width: int, height: int
) -> Placements | None:
    """Every plate in its slot beside the moved box, or None where that would cover a plate or a face."""
    rows = [i for i, placement in enumerate(before) if placement is not None]
    old = [placement for placement in before if placement is not None]
    if not old:
        return before
    size = np.array([plate_sizes[i][p.size] for i, p in zip(rows, old, strict=True)])
    box = np.asarray(boxes, np.float64)[rows]
    slot = np.array([p.slot for p in old])
    beside = slot != _GRID
    corner = np.array([(p.x, p.y) for p in old], np.float64)
    corner[beside] = _corners(box[beside], size[beside], _SLOTS[slot[beside]], _gap(width, height))
    corner = np.floor(np.clip(corner, 0, [width, height] - size))
    rects = np.concatenate([corner, corner + size], axis=1)
    apart = np.triu(_common(rects, rects), 1).sum() == 0
    on_face = _meets(rects, face_zones(boxes))
    if not apart or (on_face & np.array([p.cost < _ON_A_FACE for p in old])).any():
        return None
    joined = _needs_leader(np.array(rows), np.asarray(boxes, np.float64), rects, _gap(width, height)).tolist()
    kept = list(before)
    for i, p, (x, y), line in zip(rows, old, corner.astype(int).tolist(), joined, strict=True):
        kept[i] = Placement(x=x, y=y, size=p.size, leader=line, slot=p.slot, cost=p.cost)
    return kept


def _corners(boxes: Rects, sizes: npt.NDArray[np.integer], slots: Floats, gap: int) -> Floats:
    """Upper left corners of plates in slots, `[..., 4], [..., 2], [..., 7] -> [..., 2]`; may be outside."""
    fraction, anchor, gaps = slots[..., [0, 3]], slots[..., [1, 4]], slots[..., [2, 5]]
    return boxes[..., :2] + fraction * (boxes[..., 2:] - boxes[..., :2]) - anchor * sizes + gaps * gap


def face_zones(boxes: Rects) -> Rects:
    """The upper third of each box."""
    faces = np.array(boxes, np.float64).reshape(-1, 4)
    faces[:, 3] = faces[:, 1] + (faces[:, 3] - faces[:, 1]) * FACE
    return faces


def grid(size: npt.NDArray[np.integer], width: int, height: int) -> Floats:
    """The corners `[C, 2]` that a plate may take anywhere in the picture; none if it is too large."""
    room = np.array([width, height]) - size
    if (room < 0).any():
        return np.zeros((0, 2))
    step = np.maximum(size / 2, [width / 48, height / 48])
    x, y = (np.floor(np.linspace(0, r, int(np.ceil(r / s)) + 1)) for r, s in zip(room, step, strict=True))
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


class _Sizes:
    """A person's plate sizes under a cap; the last one, the bare id, is kept apart."""

    def __init__(self, sizes: npt.NDArray[np.integer], cap: int) -> None:
        self.all = np.asarray(sizes)
        self.last = len(sizes) - 1
        self.text = np.arange(min(cap, max(self.last - 1, 0)), self.last)

    def cost(self, variant: npt.NDArray[np.integer]) -> Floats:
        return np.where(variant == self.last, _ID_ONLY, _LINE_LOST * variant / max(self.last, 1))


@dataclass(slots=True)
class _Candidates:
    rects: Rects
    variant: npt.NDArray[np.intp]
    slot: npt.NDArray[np.intp]
    cost: Floats

    def where(self, mask: npt.NDArray[np.bool_]) -> "_Candidates":
        return _Candidates(self.rects[mask], self.variant[mask], self.slot[mask], self.cost[mask])


class _Search:
    """One greedy pass: people with the least choice first, each takes the cheapest free candidate."""

    def __init__(self, boxes: Rects, width: int, height: int) -> None:
        self.boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        self.faces = face_zones(self.boxes)
        self.width, self.height = width, height
        self.gap = _gap(width, height)
        self.placed: Rects = np.zeros((0, 4))

    def run(self, sizes: list[_Sizes], before: Placements) -> Placements:
        near = [self._near(i, s, s.text, before[i]) for i, s in enumerate(sizes)]
        placements: Placements = [None] * len(sizes)
        for i in np.argsort([len(candidates.cost) for candidates in near], kind="stable").tolist():
            placements[i] = chosen = self._choose(i, sizes[i], near[i], before[i])
            if chosen is not None:
                corner = np.array([chosen.x, chosen.y])
                rect = np.concatenate([corner, corner + sizes[i].all[chosen.size]])
                self.placed = np.concatenate([self.placed, rect[None]])
        return placements

    def _choose(self, i: int, sizes: _Sizes, near: _Candidates, before: Placement | None) -> Placement | None:
        for candidates in self._stages(i, sizes, near, before):
            free = candidates.where(~_meets(candidates.rects, self.placed))
            if len(free.cost):
                k = int(free.cost.argmin())
                x, y = free.rects[k, :2].astype(int).tolist()
                slot, cost = int(free.slot[k]), float(free.cost[k])
                return Placement(
                    x=x,
                    y=y,
                    size=int(free.variant[k]),
                    leader=self._apart(i, free.rects[k]),
                    slot=slot,
                    cost=cost,
                )
        return None

    def _stages(self, i: int, sizes: _Sizes, near: _Candidates, before: Placement | None) -> Iterator[_Candidates]:
        """What to try, best first; each is worked out only when the ones before it hold nothing free."""
        bare = np.array([sizes.last])
        yield near
        yield self._anywhere(i, sizes, sizes.text, before)
        yield self._near(i, sizes, bare, before)
        yield self._anywhere(i, sizes, bare, before)
        yield self._on_a_face(i, sizes)

    def _near(self, i: int, sizes: _Sizes, variants: npt.NDArray[np.intp], before: Placement | None) -> _Candidates:
        """Slots around the box, pushed into the picture, off all faces."""
        corner = _corners(self.boxes[i], sizes.all[variants], _SLOTS[:, None], self.gap)
        inside = np.clip(corner, 0, [self.width, self.height] - sizes.all[variants])
        moved = np.linalg.norm(corner - inside, axis=-1) / min(self.width, self.height)
        slot, variant = np.broadcast_arrays(np.arange(_GRID)[:, None], variants)
        return self._free(i, sizes, inside, variant, slot, _SLOTS[:, None, 6] + moved, before)

    def _anywhere(self, i: int, sizes: _Sizes, variants: npt.NDArray[np.intp], before: Placement | None) -> _Candidates:
        """The grid over the whole picture, off all faces; far costs more, a leader across faces too."""
        corners = [grid(sizes.all[v], self.width, self.height) for v in variants]
        if before is not None and before.slot == _GRID and before.size in variants:
            corners.append(np.array([[before.x, before.y]], np.float64))
            variants = np.append(variants, before.size)
        variant = np.repeat(variants, [len(c) for c in corners])
        corner = np.concatenate([np.zeros((0, 2)), *corners])
        rects = np.concatenate([corner, corner + sizes.all[variant]], axis=1)
        joint, end = leader(self.boxes[i], rects)
        cost = _AWAY + _AWAY * np.hypot(*(joint - end).T) / np.hypot(self.width, self.height)
        cost += _CROSSING * self._crossing(joint, end)
        return self._free(i, sizes, corner, variant, np.full(len(corner), _GRID), cost, before)

    def _free(
        self,
        i: int,
        sizes: _Sizes,
        corner: Floats,
        variant: npt.NDArray[np.intp],
        slot: npt.NDArray[np.intp],
        cost: Floats,
        before: Placement | None,
    ) -> _Candidates:
        """Candidates that fit, off faces, priced for bodies covered and lines of text given up."""
        corner, variant, slot, cost = (
            np.floor(corner).reshape(-1, 2),
            variant.ravel(),
            slot.ravel(),
            cost.ravel(),
        )
        rects = np.concatenate([corner, corner + sizes.all[variant]], axis=1)
        fits = (corner >= 0).all(axis=1) & (rects[:, 2] <= self.width) & (rects[:, 3] <= self.height)
        found = _Candidates(rects, variant, slot, cost).where(fits & ~_meets(rects, self.faces))
        weights = np.full(len(self.boxes), _BODY)
        weights[i] = _OWN_BODY
        area = np.prod(found.rects[:, 2:] - found.rects[:, :2], axis=1)
        cover = _common(found.rects, self.boxes) @ weights / area
        found.cost = found.cost + cover.clip(max=2.0) + sizes.cost(found.variant)
        if before is not None:
            found.cost -= (
                _STAY * (found.slot == before.slot) * (found.variant == before.size) * self._same(found, before)
            )
        return found

    def _same(self, found: _Candidates, before: Placement) -> npt.NDArray[np.bool_]:
        """A slot beside the box moves with it; one on the grid is the same only at the same place."""
        return (found.slot != _GRID) | (found.rects[:, :2] == (before.x, before.y)).all(axis=1)

    def _on_a_face(self, i: int, sizes: _Sizes) -> _Candidates:
        """The last resort: the bare id where it hides least of any face."""
        corner = grid(sizes.all[-1], self.width, self.height)
        rects = np.concatenate([corner, corner + sizes.all[-1]], axis=1)
        joint, end = leader(self.boxes[i], rects)
        hidden = _common(rects, self.faces).sum(axis=1) / max(np.prod(sizes.all[-1]), 1)
        cost = _ON_A_FACE + hidden * 4 + np.hypot(*(joint - end).T) / np.hypot(self.width, self.height)
        return _Candidates(rects, np.full(len(rects), sizes.last), np.full(len(rects), _GRID), cost)

    def _crossing(self, joint: Floats, end: Floats) -> Floats:
        """The share of each leader that lies on faces, from nine points of it."""
        along = np.linspace(0, 1, 9)[:, None, None]
        x, y = np.moveaxis(joint + (end - joint) * along, -1, 0)[..., None]
        x1, y1, x2, y2 = self.faces.T
        return ((x > x1) & (x < x2) & (y > y1) & (y < y2)).any(axis=-1).mean(axis=0)

    def _apart(self, i: int, rect: Rects) -> bool:
        """Whether a plate stands so far from its box that a line must join them."""
        return bool(_needs_leader(np.array([i]), self.boxes, rect[None], self.gap)[0])


def leader(boxes: Rects, rects: Rects) -> tuple[Floats, Floats]:
    """The shortest way from a box, below its face zone, to its plate: a point on each; `[..., 4]` both."""
    below = boxes[..., :2].astype(np.float64)
    below[..., 1] += (boxes[..., 3] - boxes[..., 1]) * FACE
    middle = (rects[..., :2] + rects[..., 2:]) / 2
    joint = np.clip(middle, below, boxes[..., 2:])
    return joint, np.clip(joint, rects[..., :2], rects[..., 2:])


def _needs_leader(owner: npt.NDArray[np.integer], boxes: Rects, rects: Rects, gap: int) -> npt.NDArray[np.bool_]:
    """Whether a plate of `boxes[owner]` stands away from its box, or on someone else more than on its own."""
    own = boxes[owner]
    away = np.maximum(rects[:, :2] - own[:, 2:], own[:, :2] - rects[:, 2:]).clip(min=0)
    cover = _common(rects, boxes)
    row = np.arange(len(owner))
    on_own = cover[row, owner]
    cover[row, owner] = 0.0
    return np.asarray((np.hypot(*away.T) > 3 * gap) | (cover.max(axis=1) > on_own), np.bool_)


def _gap(width: int, height: int) -> int:
    return max(2, round(min(width, height) / 180))


def _common(a: Rects, b: Rects) -> Floats:
    """Common area, `[A, 4], [B, 4] -> [A, B]`."""
    x = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    y = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    return x.clip(min=0) * y.clip(min=0)


def _meets(a: Rects, b: Rects) -> npt.NDArray[np.bool_]:
    """Which of `a` have area in common with any of `b`."""
    x = (a[:, None, 0] < b[None, :, 2]) & (b[None, :, 0] < a[:, None, 2])
    y = (a[:, None, 1] < b[None, :, 3]) & (b[None, :, 1] < a[:, None, 3])
    return np.asarray((x & y).any(axis=1))
