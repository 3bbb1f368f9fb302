"""The plot of gains: a bar for each head in each panel, a dot for each run."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor

from relact.viz.bars import ABOVE, BELOW, INK, Panel, draw_bars


def _pixels(image: Image.Image, colour: str) -> npt.NDArray[np.int64]:
    """`[N, 2]` rows and columns of a colour."""
    return np.argwhere((np.asarray(image) == ImageColor.getrgb(colour)).all(axis=2))


def _drawn(folder: Path, *panels: Panel) -> Image.Image:
    draw_bars(panels, folder / "bars.png", title="", note="")
    return Image.open(folder / "bars.png")


def test_bars_are_as_long_as_their_means_and_go_their_way(tmp_path: Path) -> None:
    image = _drawn(tmp_path, Panel(name="", bars={"a": [0.3, 0.5], "b": [-0.1], "c": [0.2]}))
    above, below = _pixels(image, ABOVE), _pixels(image, BELOW)
    zero = above[:, 1].min()
    rows = np.unique(above[:, 0])
    first, second = (rows[rows < below[:, 0].min()], rows[rows > below[:, 0].max()])
    long, short = (np.ptp(above[np.isin(above[:, 0], part)][:, 1]) for part in (first, second))
    assert abs(long / short - 2) < 0.05
    assert below[:, 1].max() < zero + 2
    assert abs(np.ptp(below[:, 1]) / short - 0.5) < 0.05


def test_every_run_is_a_dot(tmp_path: Path) -> None:
    bare = _drawn(tmp_path, Panel(name="", bars={"": [0.4, 0.4, 0.4]}))
    dots = _drawn(tmp_path, Panel(name="", bars={"": [0.3, 0.4, 0.5]}))
    columns = [len(np.unique(_pixels(image, INK)[:, 1])) for image in (bare, dots)]
    assert columns[1] == 3 * columns[0] > 0


def test_heads_are_named_once_a_row_of_panels(tmp_path: Path) -> None:
    heads = {f"head_{number}": [0.1] for number in range(20)}
    image = _drawn(tmp_path, *(Panel(name=f"family {number}", bars=heads) for number in range(12)))
    named = _pixels(image, INK)
    named = named[named[:, 1] < 140]
    gaps = np.diff(np.unique(named[:, 0]))
    assert (gaps > 30).sum() == 3  # four blocks of names, one under another
    assert image.width == 960
