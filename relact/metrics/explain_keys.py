"""Faults of keys: names of videos and times that do not meet, or that meet a keyframe off."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from relact.boxes import iou
from relact.interop.box_table import bare_name
from relact.metrics.ap_rules import Floats
from relact.metrics.explain_side import MIN_IOU, Finding, Side, at_shared_keyframes, surest_rows, ticks
from relact.metrics.tubes import same_group


def _plain(name: str) -> str:
    return bare_name(name)


def _lower(name: str) -> str:
    return _plain(name).lower()


def _unpadded(name: str) -> str:
    return re.sub(r"0+(\d)", r"\1", _lower(name))


_SPELLINGS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("without folder and suffix", _plain),
    ("in lower case, without folder and suffix", _lower),
    ("without the zeros before numbers", _unpadded),
)


def find_in_names(truth: Side, found: Side) -> tuple[Side, list[Finding]]:
    """Predictions of videos that the labels lack; the predictions come back with the labels' numbers of videos."""
    exact = {name: k for k, name in enumerate(truth.videos)}
    code = np.array([exact.get(name, -1) for name in found.videos], np.int64)
    stray = code[found.video] < 0
    if stray.mean() <= 0.5:
        return replace(found, videos=truth.videos, video=code[found.video]), []
    for words, spell in _SPELLINGS:
        others = {spell(name): k for k, name in enumerate(truth.videos)}
        ours = np.array([others.get(spell(name), -1) for name in found.videos], np.int64)
        if (ours[found.video] >= 0).mean() > 0.5:
            k = int(((ours >= 0) & (code < 0)).argmax())
            text = (
                f"{int(stray.sum())} of {len(found)} prediction rows name videos that the labels lack, and would meet "
                f'them {words}: labels have "{truth.videos[ours[k]]}", predictions "{found.videos[k]}"; write the '
                "labels' names"
            )
            mended = replace(found, videos=truth.videos, video=ours[found.video])
            return mended, [Finding(kind="video names", text=text)]
    text = (
        f"{int(stray.sum())} of {len(found)} prediction rows are of videos that the labels lack: labels have "
        f"{_few(truth.videos)}, predictions {_few(found.videos)}; are these two files of one set?"
    )
    return replace(found, videos=truth.videos, video=code[found.video]), [Finding(kind="videos", text=text)]


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def _meet(truth: Side, found: Side, instant: Floats) -> float:
    """The share of predictions, at other times, whose keyframe the labels list."""
    here = found.video >= 0
    if not here.any():
        return 0.0
    times, of = np.unique(np.concatenate([ticks(truth.instant), ticks(instant[here])]), return_inverse=True)
    key = np.concatenate([truth.video, found.video[here]]) * len(times) + of
    return float(np.isin(key[len(truth) :], key[: len(truth)]).mean())


def find_in_times(truth: Side, found: Side) -> tuple[Side, list[Finding]]:
    """Predictions at keyframes that the labels do not list, or of the one before or after."""
    here = found.video >= 0
    if not here.any():
        return found, []
    now = _meet(truth, found, found.instant)
    offset = _offset(truth, found)
    tried = {f"{s:+g} {found.clock}{'' if abs(s) == 1 else 's'}": found.instant + s for s in (1.0, -1.0, offset) if s}
    if (truth.instant == np.rint(truth.instant)).all():
        tried[f"rounding to whole {found.clock}s"] = np.rint(found.instant)
    shares = {words: _meet(truth, found, instant) for words, instant in tried.items()}
    best = max(shares, key=lambda words: shares[words], default="")
    if now < 0.5 and best and shares[best] > now + 0.25:
        text = (
            f"{now:.1%} of the predictions lie at keyframes that the labels list; {best} makes it {shares[best]:.1%}: "
            f"labels have {_span(truth)}, predictions {_span(found)}"
        )
        return replace(found, instant=tried[best]), [Finding(kind="times", text=text)]
    if now < 0.1:  # more may be meant: predictions at every frame, labels at some
        text = (
            f"{now:.1%} of the predictions lie at keyframes that the labels list: labels have {_span(truth)}, "
            f"predictions {_span(found)}; are both in {found.clock}s from the start of the video?"
        )
        return found, [Finding(kind="times", text=text)]
    agree = {shift: _agreement(truth, found, shift) for shift in (0, 1, -1)}
    shift = max(agree, key=lambda shift: agree[shift])
    if agree[shift] > max(1.25 * agree[0], agree[0] + 0.05):
        text = (
            f"of the surest predictions {agree[0]:.1%} agree with a label of their keyframe in box and action; "
            f"{shift:+d} {found.clock} makes it {agree[shift]:.1%}: are they one {found.clock} off?"
        )
        return replace(found, instant=found.instant + shift), [Finding(kind="times", text=text)]
    return found, []


def _offset(truth: Side, found: Side) -> float:
    """The usual difference between the first instants of a video in both files."""
    both = np.intersect1d(truth.video, found.video[found.video >= 0])
    first = [np.full(len(truth.videos), np.inf) for _ in range(2)]
    np.minimum.at(first[0], truth.video, truth.instant)
    here = found.video >= 0
    np.minimum.at(first[1], found.video[here], found.instant[here])
    return float(np.median(first[0][both] - first[1][both])) if len(both) else 0.0


def _span(side: Side) -> str:
    return f"{side.clock}s {side.instant.min():g} to {side.instant.max():g}"


def _agreement(truth: Side, found: Side, shift: int) -> float:
    """The share of the surest rows that overlap a label of their keyframe and of their action."""
    labelled, rows, (a, b) = at_shared_keyframes(truth, found, shift)
    if not len(rows):
        return 0.0
    surest = surest_rows(rows, b)
    i, j = same_group(b[surest], a)
    same = rows.action[surest[i]] == labelled.action[j]
    i, j = i[same], j[same]
    right = iou(rows.boxes[surest[i]], labelled.boxes[j]) >= MIN_IOU
    return len(np.unique(i[right])) / len(surest)
