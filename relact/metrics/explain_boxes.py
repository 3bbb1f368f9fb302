"""Faults of boxes and ids, at keyframes that both sides have."""

from collections.abc import Callable, Iterator

import numpy as np

from relact.boxes import area, iou
from relact.labels import LabelMap
from relact.metrics.ap_rules import Floats, Ints
from relact.metrics.explain_side import MIN_IOU, Finding, Side, surest_rows
from relact.metrics.tubes import same_group


def find_in_units(truth: Side, found: Side) -> Iterator[Finding]:
    """Pixels on one side and fractions on the other, or pixels of another picture."""
    high = [float(side.boxes.max()) for side in (truth, found)]
    words = [f"{side.boxes.min():g} to {side.boxes.max():g}" for side in (truth, found)]
    if (high[0] <= 1.5) != (high[1] <= 1.5):
        pixel = "predictions" if high[1] > 1.5 else "labels"
        yield Finding(
            kind="units",
            text=f"the {pixel} look like pixels, the others like fractions of the picture: coordinates of the labels "
            f"are {words[0]}, of the predictions {words[1]}; divide by width and height, or give --box-units",
        )
    elif (
        found.picture is not None
        and (np.quantile(found.boxes[:, 2:], 0.99, axis=0) > 1.15 * np.array(found.picture)).any()
    ):
        width, height = found.picture
        right, low = found.boxes[:, 2:].max(axis=0)
        yield Finding(
            kind="picture",
            text=f"predicted boxes reach {right:g} x {low:g}, the labels' picture is {width} x {height}; scale them, "
            "or write fractions of the picture",
        )


def box_recall(truth: Side, boxes: Floats, keys: tuple[Ints, Ints]) -> float:
    """The share of the labelled boxes that some predicted box overlaps, whatever the actions."""
    i, j = same_group(keys[0], keys[1])
    hit = np.zeros(len(truth), np.bool_)
    hit[i[iou(truth.boxes[i], boxes[j]) >= MIN_IOU]] = True
    return float(hit.mean())


_ORDERS: dict[str, Callable[[Floats], Floats]] = {
    "y1,x1,y2,x2": lambda b: b[:, [1, 0, 3, 2]],
    "x,y,width,height": lambda b: np.column_stack([b[:, :2], b[:, :2] + b[:, 2:]]),
    "centre x,y,width,height": lambda b: np.column_stack([b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2]),
}


def find_in_boxes(truth: Side, found: Side, keys: tuple[Ints, Ints]) -> Iterator[Finding]:
    """Boxes that miss those of the labels: in another order of coordinates, of another size, or elsewhere."""
    kept = surest_rows(found, keys[1])
    boxes, keys = found.boxes[kept], (keys[0], keys[1][kept])
    recall = box_recall(truth, boxes, keys)
    if recall >= 0.5:
        return
    start = f"{recall:.1%} of the labelled boxes have a predicted box with an IoU of {MIN_IOU:g}, whatever its action"
    orders = {words: box_recall(truth, change(boxes), keys) for words, change in _ORDERS.items()}
    best = max(orders, key=lambda words: orders[words])
    sizes = [float(np.median(area(b))) for b in (truth.boxes, boxes)]
    ratio = sizes[1] / sizes[0] if sizes[0] > 0 else np.inf
    if orders[best] > recall + 0.2:
        text = f"{start}; read as {best} it would be {orders[best]:.1%}: write x1,y1,x2,y2"
        yield Finding(kind="box order", text=text)
    elif not 0.4 <= ratio <= 2.5:
        word = "small" if ratio < 1 else "large"
        text = f"{start}: they are too {word}, {ratio:.3g} times the area (medians); another picture size, or padding?"
        yield Finding(kind="box size", text=text)
    else:
        text = f"{start}, and no more can be right; another detector, a lower box threshold, or another crop?"
        yield Finding(kind="box recall", text=text)


def find_in_ids(truth: Side, found: Side, keys: tuple[Ints, Ints], labels: LabelMap) -> Iterator[Finding]:
    """The surest action of a box against the labels of the box that it overlaps, with ids moved by one."""
    surest = surest_rows(found, keys[1])
    i, j = same_group(keys[1][surest], keys[0])
    near = iou(found.boxes[surest[i]], truth.boxes[j]) >= MIN_IOU
    i, j = i[near], j[near]
    total = len(np.unique(i))
    if total < 10:
        return
    share = {
        shift: len(np.unique(i[found.action[surest[i]] + shift == truth.action[j]])) / total for shift in (0, 1, -1)
    }
    shift = max(share, key=lambda shift: share[shift])
    if share[shift] > max(2 * share[0], share[0] + 0.2):
        names = {label.id: label.name for label in labels}
        example = int(found.action[surest[i[found.action[surest[i]] + shift == truth.action[j]][0]]])
        meant = names.get(example + shift, "?")
        yield Finding(
            kind="ids",
            text=f"on {total} boxes that match a label {share[0]:.1%} of the surest actions are right; with ids "
            f"{shift:+d} {share[shift]:.1%} would be: {example} is written where {example + shift} ({meant}) is meant; "
            "ids count from 1",
        )
