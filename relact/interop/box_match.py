"""Which boxes of one source are which of another: the same videos and instants, one box to one box; and their ids."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from relact.boxes import Floats, iou
from relact.errors import InputError
from relact.interop.box_table import BoxTable, bare_name

Ints = npt.NDArray[np.int64]


def check_ids(table: BoxTable, otherwise: str) -> None:
    """Raises InputError unless each box has an id, and no other box of its instant the same.

    `otherwise` ends the message for a file without any: what to do then.
    """
    known = table.person_id >= 0
    if not known.any():
        raise InputError(
            f"{table.path}: no person ids; expected them on all boxes (8th column of an AVA csv, MOT's id, "
            f"person_id of csv and JSON); {otherwise}"
        )
    if not known.all():
        row = int(known.argmin())
        raise InputError(f"{table.where(row)}: no person id, but other boxes have one; give all or none")
    order = np.lexsort((table.person_id, table.instant, table.video))
    columns = np.stack([table.video, table.instant, table.person_id])[:, order]
    again = np.flatnonzero((np.diff(columns) == 0).all(axis=0))
    if len(again):
        row, other = int(order[again[0] + 1]), int(order[again[0]])
        raise InputError(
            f"{table.where(row)}: person {table.person_id[row]} has another box at {table.instant[row]:g} "
            f"({table.where(other)}); an id is of one box an instant"
        )


def same_videos(a: Sequence[str], b: Sequence[str]) -> dict[int, int]:
    """Index in `a` → index in `b` of the videos that both name: equally, or equally without folder and suffix.

    A source that names no video (its only name is "") is of the other's only one. Raises InputError where a name
    without folder and suffix may mean several.
    """
    if len(a) == len(b) == 1 and "" in (a[0], b[0]):
        return {0: 0}
    exact = {name: k for k, name in enumerate(b)}
    pairs = {k: exact[name] for k, name in enumerate(a) if name in exact}
    others = _by_bare_name(b, set(pairs.values()))
    for name, ours in _by_bare_name(a, set(pairs)).items():
        theirs = others.get(name, [])
        if theirs and len(ours) + len(theirs) > 2:
            several = ", ".join(repr(video) for video in [*(a[k] for k in ours), *(b[k] for k in theirs)][:4])
            raise InputError(f"which video is which? {several} may all be {name!r}; name them alike in both files")
        if theirs:
            pairs[ours[0]] = theirs[0]
    return pairs


def _by_bare_name(videos: Sequence[str], left_out: set[int]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for k, name in enumerate(videos):
        if k not in left_out:
            found.setdefault(bare_name(name), []).append(k)
    return found


def same_instants(a: Floats | Ints, b: Floats | Ints, tolerance: float) -> tuple[Ints, Ints]:
    """Pairs (index in `a [I]`, index in `b [J]`), both ascending, of instants that are each other's nearest.

    They may differ by `tolerance`, in the unit of both.
    """
    if not len(a) or not len(b):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    forth, back = _nearest(np.asarray(b, np.float64), a), _nearest(np.asarray(a, np.float64), b)
    i = np.arange(len(a))
    same = (back[forth] == i) & (np.abs(np.asarray(a, np.float64) - b[forth]) <= tolerance + 1e-9)
    return i[same], forth[same]


def overlapping(
    tick_a: Ints, boxes_a: Floats, tick_b: Ints, boxes_b: Floats, min_iou: float
) -> tuple[Ints, Ints, Floats]:
    """All pairs of rows of `boxes_a [R, 4]` and `boxes_b [S, 4]` in one tick with an IoU >= `min_iou`, and it."""
    order = np.argsort(tick_b, kind="stable")
    low = np.searchsorted(tick_b[order], tick_a, side="left")
    count = np.searchsorted(tick_b[order], tick_a, side="right") - low
    a = np.repeat(np.arange(len(tick_a)), count)
    within = np.arange(len(a)) - np.repeat(np.cumsum(count) - count, count)
    b = order[np.repeat(low, count) + within]
    overlap = iou(boxes_a[a], boxes_b[b])
    enough = overlap >= min_iou
    return a[enough], b[enough], overlap[enough]


def match(tick_a: Ints, boxes_a: Floats, tick_b: Ints, boxes_b: Floats, min_iou: float = 0.5) -> tuple[Ints, Ints]:
    """Rows of `boxes_a [R, 4]` and `boxes_b [S, 4]` that are one person: one to one, tick by tick, ascending in a.

    The pairs with an IoU >= `min_iou` (above 0) whose IoUs add up to the most. Only ticks in which a box has several
    candidates need the assignment; elsewhere the pair is the answer.
    """
    a, b, overlap = overlapping(tick_a, boxes_a, tick_b, boxes_b, min_iou)
    chosen = (np.bincount(a, minlength=len(tick_a))[a] == 1) & (np.bincount(b, minlength=len(tick_b))[b] == 1)
    open_pairs = np.flatnonzero(~chosen)
    open_pairs = open_pairs[np.argsort(tick_a[a[open_pairs]], kind="stable")]
    cuts = np.flatnonzero(np.diff(tick_a[a[open_pairs]])) + 1
    for pairs in np.split(open_pairs, cuts) if len(open_pairs) else []:
        rows, row = np.unique(a[pairs], return_inverse=True)
        columns, column = np.unique(b[pairs], return_inverse=True)
        gain, pair_of = np.zeros((len(rows), len(columns))), np.full((len(rows), len(columns)), -1)
        gain[row, column], pair_of[row, column] = overlap[pairs], pairs
        made = pair_of[linear_sum_assignment(gain, maximize=True)]
        chosen[made[made >= 0]] = True
    order = np.argsort(a[chosen], kind="stable")
    return a[chosen][order], b[chosen][order]


def _nearest(sorted_values: Floats, wanted: Floats | Ints) -> Ints:
    """Index of the value nearest to each wanted one; the earlier of two that are equally near."""
    after = np.searchsorted(sorted_values, wanted).clip(1, max(len(sorted_values) - 1, 1))
    if len(sorted_values) == 1:
        return np.zeros(len(wanted), np.int64)
    later = sorted_values[after] - wanted < wanted - sorted_values[after - 1]
    return np.where(later, after, after - 1)
