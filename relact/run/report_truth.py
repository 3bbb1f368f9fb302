"""Truth for a report: an AVA csv brought to the keyframes of a result, person by person."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from relact.errors import InputError
from relact.interop.ava_csv import AvaTable, read_ava_csv
from relact.interop.box_match import match, same_instants, same_videos
from relact.viz.report import Found, Truth

MIN_IOU = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A result beside its truth: at its keyframes, and at those where only truth has somebody."""

    times: np.ndarray
    """`[T]` seconds"""
    found: Found
    truth: Truth
    """`column` is still to be set"""
    action: np.ndarray
    """`[V]` action ids of the rows of truth"""
    warnings: tuple[str, ...] = ()


def judge(
    path: str | Path, *, video: str, times: np.ndarray, every: float, covered: float, found: Found
) -> Judged:  # fmt: skip
    """The rows of one video of an AVA ground truth csv at the keyframes `times`; all in seconds.

    A person of truth is the person found in the same keyframe whose boxes overlap by half or more, one to one. Raises
    InputError where the file does not know the video, or none of its times lies in it.
    """
    table = read_ava_csv(path, "groundtruth")
    pairs = same_videos([video], table.videos)
    if 0 not in pairs:
        some = ", ".join(table.videos[:3]) + (", …" if len(table.videos) > 3 else "")
        raise InputError(f"{path}: knows no video {video!r}; it has {some or 'none'}")
    rows = np.flatnonzero(table.video == pairs[0])
    instants, instant = np.unique(table.microseconds[rows], return_inverse=True)
    seconds = instants / 1e6
    theirs, ours = same_instants(seconds, times, every / 2)
    alone = np.setdiff1d(np.flatnonzero(seconds <= covered), theirs)
    if len(seconds) and not len(theirs) and not len(alone):
        raise InputError(
            f"{path}: no time of {video!r} lies in the result: truth has {seconds[0]:g} to {seconds[-1]:g} s, the "
            f"result covers {covered:g} s; both must count from the video's first frame"
        )
    together = np.union1d(times, seconds[alone])
    keyframe_of = np.full(len(seconds), -1)
    keyframe_of[theirs] = np.searchsorted(together, times[ours])
    keyframe_of[alone] = np.searchsorted(together, seconds[alone])
    keyframe = keyframe_of[instant.reshape(-1)]
    found = replace(found, keyframe=np.searchsorted(together, times)[found.keyframe])
    left_out = int((keyframe_of < 0).sum())
    truth, action = _at_keyframes(table, rows[keyframe >= 0], keyframe[keyframe >= 0], found)
    said = f"truth: {left_out} of its {len(seconds)} times are past the {covered:g} s that the result covers"
    return Judged(times=together, found=found, truth=truth, action=action, warnings=(said,) if left_out else ())


def _at_keyframes(
    table: AvaTable, rows: np.ndarray, keyframe: np.ndarray, found: Found
) -> tuple[Truth, np.ndarray]:  # fmt: skip
    """(truth, action ids of its rows); rows with equal keyframe, id and box are one person."""
    assert table.person is not None
    key = np.column_stack([keyframe, table.person[rows], table.boxes[rows]])
    _, first, box = np.unique(key, axis=0, return_index=True, return_inverse=True)
    person, at, boxes = table.person[rows][first], keyframe[first], table.boxes[rows][first]
    nameless = person < 0  # each such box is a track of its own
    person = np.where(nameless, person.max(initial=0) + 1 + np.arange(len(person)), person)
    order = np.lexsort((at, person))
    ids, track = np.unique(person[order], return_inverse=True)
    place = np.argsort(order)[box.reshape(-1)]
    by_box = np.argsort(place, kind="stable")
    matched = np.full(len(order), -1)
    a, b = match(at[order], boxes[order], found.keyframe, found.boxes, MIN_IOU)
    matched[a] = b
    truth = Truth(
        names=tuple(f"Truth {identity}" for identity in ids.tolist()), track=track.reshape(-1), keyframe=at[order],
        boxes=boxes[order], match=matched, box=place[by_box], column=np.zeros(len(place), np.int64),
    )  # fmt: skip
    return truth, table.action[rows][by_box]
