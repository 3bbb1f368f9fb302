"""What an evaluation of frames says: the numbers, the protocol that they hold for, and why a number is zero."""

import json
from dataclasses import asdict, dataclass

import numpy as np

from relact.interop.ava_csv import AvaTable
from relact.labels import LabelMap
from relact.metrics.errors import ErrorReport
from relact.metrics.explain import Explanation


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassResult:
    """One action: its AP (None without ground truth) and how many boxes it had on either side."""

    id: int
    name: str
    group: str
    ap: float | None
    truths: int
    predictions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AvaReport:
    """Frame-mAP and its parts. `mAP` is the mean over the classes with ground truth.

    `counts`: keyframes judged, ground-truth boxes and prediction rows read and used; `ignored`: prediction
    rows that did not count, by reason; `protocol`: everything that the number depends on; `warnings`: what a
    reader must know; `explanation`: faults that make a number low, None where nobody looked; `errors`: what is
    wrong and what mending it would be worth, where that was asked for.
    """

    mAP: float
    classes: tuple[ClassResult, ...]
    counts: dict[str, int]
    ignored: dict[str, int]
    protocol: dict[str, str | int | float | None]
    warnings: tuple[str, ...]
    explanation: Explanation | None = None
    errors: ErrorReport | None = None

    @property
    def ap_by_class(self) -> dict[int, float | None]:
        """AP by AVA id; None for a class without ground truth, which the mean leaves out."""
        return {result.id: result.ap for result in self.classes}

    @property
    def ap_by_group(self) -> dict[str, float | None]:
        """Mean AP of the classes of each group that have ground truth; None where none has."""
        groups: dict[str, list[float]] = {}
        for result in self.classes:
            groups.setdefault(result.group, []).extend([] if result.ap is None else [result.ap])
        return {name: float(np.mean(values)) if values else None for name, values in groups.items()}

    def to_dict(self) -> dict[str, object]:
        """All of it as plain values; ids as text, as JSON wants its keys."""
        content: dict[str, object] = {
            "mAP": self.mAP,
            "ap_by_group": self.ap_by_group,
            "ap_by_class": {str(identity): ap for identity, ap in self.ap_by_class.items()},
            "classes": [asdict(result) for result in self.classes],
            "counts": self.counts,
            "ignored": self.ignored,
            "protocol": self.protocol,
            "warnings": list(self.warnings),
        }
        if self.explanation is not None:
            content["explanation"] = self.explanation.to_dict()
        if self.errors is not None:
            content["errors"] = self.errors.to_dict()
        return content

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"


def explain_keys(truth: AvaTable, found: AvaTable) -> str:
    """Why no prediction lies at a keyframe of the ground truth: other video names, or other times."""
    start = "no prediction shares a (video, second) key with the labels"
    truth_videos, found_videos = set(truth.videos), set(found.videos)
    common = sorted(truth_videos & found_videos)
    if not common:
        names = (_some(table.videos) for table in (truth, found))
        return f"{start}: labels have {next(names)}, predictions {next(names)}"
    video = common[0]
    return f'{start}: of "{video}" labels have {_span(truth, video)}, predictions {_span(found, video)}'


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f'"{names[0]}"{more}'


def _span(table: AvaTable, video: str) -> str:
    keyframes = table.keyframes
    times = keyframes.microseconds[keyframes.video == table.videos.index(video)] / 1e6
    return f"{len(np.unique(times))} keyframes in {times.min():g} to {times.max():g} s"


def explain_actions(labels: LabelMap, found: AvaTable) -> str:
    """Why no prediction at a keyframe of the ground truth is of an action that counts."""
    ids = np.unique(found.action)
    return (
        f"no prediction is of an action that counts: the label map has {len(labels)} ids in "
        f"{min(labels.ids)} to {max(labels.ids)}, predictions have {len(ids)} in {ids[0]} to {ids[-1]}"
    )


def explain_overlap(truth: AvaTable, found: AvaTable, iou_threshold: float, best: float) -> str:
    """Why predictions at the right keyframes, of the right actions, match nothing."""
    units = (" to ".join(f"{x:g}" for x in (t.boxes.min(), t.boxes.max())) for t in (truth, found))
    return (
        f"no prediction overlaps a label of its action by {iou_threshold:g} IoU; the best has {best:.3f}. "
        f"Other units, or another crop? Coordinates: labels {next(units)}, predictions {next(units)}"
    )


def explain_no_truth(truth: AvaTable, labels: LabelMap) -> str:
    """Why the mAP is undefined: nothing in the ground truth is of an action that counts."""
    ids = np.unique(truth.action)
    has = f"{len(truth)} rows of {len(ids)} actions in {ids[0]} to {ids[-1]}" if len(ids) else "no boxes"
    return (
        f"{truth.path}: no ground truth is of an action that counts, so there is no mAP: it has {has}, "
        f"the label map {len(labels)} ids in {min(labels.ids)} to {max(labels.ids)}"
    )
