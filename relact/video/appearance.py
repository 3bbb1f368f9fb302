"""What a person looks like, cheaply: colours of a box in three bands, how telling they are, and where a film
is cut.
"""

import numpy as np

from relact.boxes import Floats
from relact.data.sampling import Picture

"""RGB, `[H, W, 3]`."""

ROWS, COLUMNS, BANDS, BINS = 12, 6, 3, 8
SIZE = BANDS * 3 * BINS
BLOCK = 16


def colour_features(picture: Picture, boxes_px: Floats) -> Floats:
    """Unit vectors `[N, SIZE]` whose dot product is 1 for equal colours in equal bands of the box.

    Each box is sampled at 12 x 6 points of its middle half; lightness and two chromaticities, which hardly
    change with the light, are counted per band with linear interpolation between bins. Square roots make the
    product Bhattacharyya's.
    """
    colour = _samples(picture, boxes_px).astype(np.float64)
    red, green, blue = np.moveaxis(colour, -1, 0)
    total = red + green + blue
    channels = np.stack(
        [
            total / 765,
            (red - green) / (total + 30) * 1.2 + 0.5,
            (blue - (red + green) / 2) / (total + 30) * 1.2 + 0.5,
        ],
        axis=-1,
    )
    place = np.clip(channels, 0, 1 - 1e-9) * (BINS - 1)
    low = place.astype(np.int64)
    band = (np.arange(ROWS) * BANDS // ROWS)[:, None, None]
    person = np.arange(len(boxes_px))[:, None, None, None]
    cell = ((person * BANDS + band) * 3 + np.arange(3)) * BINS + low
    upper = (place - low).ravel()
    length = len(boxes_px) * SIZE
    counts = np.bincount(cell.ravel(), 1 - upper, length) + np.bincount(cell.ravel() + 1, upper, length)
    features = np.sqrt(counts.reshape(-1, SIZE))
    return features / np.sqrt(3 * ROWS * COLUMNS)


def _samples(picture: Picture, boxes_px: Floats) -> Picture:
    """Colours at a grid of points in each box: `[N, ROWS, COLUMNS, 3]`."""
    height, width = picture.shape[:2]
    down = (np.arange(ROWS) + 0.5) / ROWS
    across = 0.25 + 0.5 * (np.arange(COLUMNS) + 0.5) / COLUMNS
    x1, y1, x2, y2 = (boxes_px[:, k : k + 1] for k in range(4))
    y = (y1 + (y2 - y1) * down).clip(0, height - 1).astype(np.int64)
    x = (x1 + (x2 - x1) * across).clip(0, width - 1).astype(np.int64)
    return picture[y[:, :, None], x[:, None, :]]


class Telling:
    """How much a likeness says: log odds that two boxes show one person, learnt from the video itself.

    People in one picture are different people; linked boxes are mostly one. Where all are dressed alike the
    two kinds of likeness have the same spread, the odds are even, and motion decides alone.
    """

    def __init__(self) -> None:
        self._same = _Spread(mean=0.95, variance=0.05**2)
        self._other = _Spread(mean=0.75, variance=0.12**2)

    def learn(self, linked: Floats, together: Floats) -> None:
        """`linked [L]`: likeness of boxes just linked. `together [N, SIZE]`: features of people in one
        picture.
        """
        self._same.learn(linked)
        likeness = together @ together.T
        self._other.learn(likeness[np.triu_indices(len(together), 1)])

    def log_odds(self, likeness: Floats) -> Floats:
        """Element by element; a likeness above the usual of one person counts as the usual."""
        same, other = self._same, self._other
        least = max(same.variance, 0.02**2)
        widest = max(other.variance, least)
        near = np.minimum(likeness, same.mean)
        return (
            0.5 * (near - other.mean) ** 2 / widest
            - 0.5 * (near - same.mean) ** 2 / least
            + 0.5 * np.log(widest / least)
        )


class _Spread:
    """Running mean and variance; the latest 300 values or so count."""

    def __init__(self, *, mean: float, variance: float) -> None:
        self.mean, self.variance, self.count = mean, variance, 10.0

    def learn(self, values: Floats) -> None:
        before = min(self.count, 300.0)
        self.count = before + len(values)
        self.mean = (self.mean * before + values.sum()) / self.count
        self.variance = (self.variance * before + ((values - self.mean) ** 2).sum()) / self.count


class CutFinder:
    """Says whether a picture belongs to another shot than the one before, from the change of block means."""

    def __init__(self, level: float = 0.06, times_usual: float = 2.0) -> None:
        self._level, self._times_usual = level, times_usual
        self._last: Floats | None = None
        self._usual: float | None = None

    def is_cut(self, picture: Picture) -> bool:
        """True where the mean change exceeds `level` (of full scale) and is far above the usual of late."""
        blocks = _block_means(picture)
        last, self._last = self._last, blocks
        if last is None or last.shape != blocks.shape:
            return last is not None
        change = float(np.abs(blocks - last).mean()) / 255
        usual = change if self._usual is None else self._usual
        cut = change > self._level and (self._usual is None or change > self._times_usual * usual)
        if not cut:
            self._usual = 0.8 * usual + 0.2 * change
        return cut


def _block_means(picture: Picture) -> Floats:
    """Green, averaged over blocks of 16 x 16 pixels (every second one read)."""
    rows, columns = max(picture.shape[0] // BLOCK, 1), max(picture.shape[1] // BLOCK, 1)
    kept = picture[: rows * BLOCK : 2, : columns * BLOCK : 2, 1]
    if min(picture.shape[:2]) < BLOCK:
        return kept.astype(np.float64)
    return kept.reshape(rows, BLOCK // 2, columns, BLOCK // 2).mean(axis=(1, 3))
