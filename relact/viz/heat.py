"""Weights as colours over a picture: where a grid of them lies, and a scale whose steps look alike."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from relact.viz.canvas import Picture

Floats = npt.NDArray[np.float64]
Extent = tuple[float, float, float, float]
"""x1, y1, x2, y2 in [0, 1] of the frame; a grid may reach beyond it"""
WHOLE: Extent = (0.0, 0.0, 1.0, 1.0)

_INFERNO = ("000004", "1f0c48", "57106e", "8a226a", "bc3754", "e45a31", "f98e09", "f9cb35", "fcffa4")
"""matplotlib's inferno (van der Walt and Smith, CC0) at every eighth: its lightness rises evenly"""
_OPACITY = 0.62
"""of the colour over the frame, which is grey below it so that no colour of its own is taken for weight"""


def heat_colours(shares: Floats) -> Picture:
    """`[...]` in [0, 1] → `[..., 3]`: black, purple, orange, light yellow, evenly lighter."""
    anchors = np.array([[int(name[k : k + 2], 16) for k in (0, 2, 4)] for name in _INFERNO], np.float64)
    at = np.linspace(0, 1, len(anchors))
    mixed = np.stack([np.interp(shares, at, anchors[:, k]) for k in range(3)], axis=-1)
    return mixed.round().astype(np.uint8)


def shares_of(values: Floats, low: float, high: float) -> Floats:
    """Weights → [0, 1] of a scale; all 1 where the scale has no width."""
    return ((values - low) / (high - low)).clip(0, 1) if high > low else np.ones_like(values)


def over_grey(shares: Floats, grey: Floats | float = 128.0) -> Picture:
    """What a share of the scale looks like over grey `[...]`: for the legend, and for every pixel of a frame."""
    under = np.broadcast_to(np.asarray(grey, np.float64), shares.shape)[..., None]
    return (heat_colours(shares) * _OPACITY + under * (1 - _OPACITY)).round().astype(np.uint8)


def part_of(frame: Picture, window: Extent, width: int, height: int) -> Picture:
    """The part of a frame that a window shows, resized."""
    high, wide = frame.shape[:2]
    x1, x2 = (min(max(x, 0.0), 1.0) * wide for x in window[::2])
    y1, y2 = (min(max(y, 0.0), 1.0) * high for y in window[1::2])
    part = (min(x1, wide - 1.0), min(y1, high - 1.0), max(x2, x1 + 1.0), max(y2, y1 + 1.0))
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS, box=part))


def overlay(picture: Picture, shares: Floats, extent: Extent, window: Extent, *, cells: bool) -> Picture:
    """The picture of a window `[H, W, 3]`, in grey, with a grid `[rows, columns]` of shares that lies at `extent`.

    `cells`: every cell in one colour, and what no cell covers stays grey; else smooth between the middles of cells, and
    beyond the outermost as there.
    """
    height, width = picture.shape[:2]
    column = _places(width, window[0], window[2], extent[0], extent[2], shares.shape[1])
    row = _places(height, window[1], window[3], extent[1], extent[3], shares.shape[0])
    covered = _within(row, shares.shape[0])[:, None] & _within(column, shares.shape[1]) if cells else np.True_
    spread = _nearest if cells else _between
    weight = spread(spread(shares, row).T, column).T
    grey = np.asarray(Image.fromarray(picture).convert("L")).astype(np.float64)
    plain = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
    return np.where(np.broadcast_to(covered, grey.shape)[..., None], over_grey(weight, grey), plain)


def _places(pixels: int, low: float, high: float, first: float, last: float, cells: int) -> Floats:
    """Where the middles of pixels lie, counted in cells from the grid's edge."""
    at = low + (np.arange(pixels) + 0.5) / pixels * (high - low)
    return np.asarray((at - first) / (last - first) * cells, np.float64)


def _within(place: Floats, cells: int) -> npt.NDArray[np.bool_]:
    return (place >= 0) & (place <= cells)


def _nearest(values: Floats, place: Floats) -> Floats:
    return values[place.astype(np.int64).clip(0, len(values) - 1)]


def _between(values: Floats, place: Floats) -> Floats:
    """Straight lines between the middles of the first axis' cells; the outer halves are as their middles."""
    at = (place - 0.5).clip(0, len(values) - 1)
    below = np.floor(at).astype(np.int64)
    above = np.minimum(below + 1, len(values) - 1)
    share = (at - below)[:, None]
    return values[below] * (1 - share) + values[above] * share
