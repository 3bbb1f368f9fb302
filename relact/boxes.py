"""Algebra of boxes `[..., 4]` as x1, y1, x2, y2 on numpy arrays; torchvision's operators serve on tensors."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


def area(boxes: Floats) -> Floats:
    """Area of each box, 0 where x2 <= x1 or y2 <= y1. `[..., 4] -> [...]`."""
    size = (boxes[..., 2:] - boxes[..., :2]).clip(min=0)
    return size[..., 0] * size[..., 1]


def intersection(a: Floats, b: Floats) -> Floats:
    """Common area, box by box, shapes broadcast: `[..., 4], [..., 4] -> [...]`."""
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., 2:], b[..., 2:])
    size = (high - low).clip(min=0)
    return size[..., 0] * size[..., 1]


def iou(a: Floats, b: Floats) -> Floats:
    """Intersection over union, box by box, shapes broadcast; 0 for two empty boxes."""
    common = intersection(a, b)
    union = area(a) + area(b) - common
    return np.divide(common, union, out=np.zeros_like(union), where=union > 0)


def pairwise_iou(a: Floats, b: Floats) -> Floats:
    """All pairs: `[N, 4], [M, 4] -> [N, M]`."""
    return iou(a[:, None], b[None])


def clip(boxes: Floats, width: float, height: float) -> Floats:
    """Boxes cut to `[0, width] x [0, height]`."""
    return boxes.clip(min=0, max=np.asarray([width, height, width, height], boxes.dtype))


def scale(boxes: Floats, factor_x: float, factor_y: float) -> Floats:
    """Coordinates multiplied per axis: to pixels with (width, height), to unit with (1/width, 1/height)."""
    return boxes * np.asarray([factor_x, factor_y, factor_x, factor_y], boxes.dtype)


def expand(boxes: Floats, factor: float) -> Floats:
    """Boxes grown about their centres so that each side is `factor` times as long; not cut to any frame."""
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    half = (boxes[..., 2:] - boxes[..., :2]) / 2 * factor
    return np.concatenate([centre - half, centre + half], axis=-1)


def flip(boxes: Floats, width: float = 1.0) -> Floats:
    """Mirrored left to right in a frame of `width`."""
    x1, y1, x2, y2 = np.moveaxis(boxes, -1, 0)
    return np.stack([width - x2, y1, width - x1, y2], axis=-1)
