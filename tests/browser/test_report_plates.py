"""The plates over the picture: in a crowd with long names every one can be read, and hides no head."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_results import write_result
from pages import SECONDS, ready, settle

from relact.labels import Label, LabelMap
from relact.run.report import report
from relact.types import Detections, Keyframe

pytestmark = pytest.mark.slow

LABELS = LabelMap(
    [
        Label(id=1, name="bend/bow (at the waist)", group="pose"),
        Label(id=2, name="carry/hold (an object)", group="object"),
        Label(id=3, name="listen to (a person)", group="person"),
        Label(id=4, name="talk to (a person)", group="person"),
    ]
)
CROWDS = {
    "side by side": [(0.02 + 0.16 * k, 0.35, 0.16 + 0.16 * k, 0.9) for k in range(6)],
    "behind each other": [(0.3 + 0.06 * k, 0.3 + 0.02 * (k % 3), 0.38 + 0.06 * k, 0.85) for k in range(6)],
    "as high as the picture": [(0.05 + 0.3 * k, 0.02, 0.25 + 0.3 * k, 0.98) for k in range(3)],
    "above each other": [(0.4, 0.05, 0.6, 0.45), (0.41, 0.5, 0.61, 0.95), (0.62, 0.3, 0.8, 0.7)],
}


def crowd(boxes: list[tuple[float, ...]]) -> list[Detections]:
    """The same people at every second; every other one goes slowly to the right."""
    random, count = np.random.default_rng(1), len(boxes)
    goes = (np.arange(count) % 2)[:, None] * np.array([1, 0, 1, 0]) * 0.004
    return [
        Detections(
            key=Keyframe("crowd", second), time=float(second), frame=25 * second, pts=90_000 * second, width=288,
            height=96, boxes=(np.array(boxes) + goes * second).astype(np.float32),
            box_scores=np.full(count, 0.9, np.float32),
            scores=random.uniform(0.4, 1, (count, len(LABELS))).astype(np.float32), person=np.arange(count) + 1,
            track=np.arange(count),
        )
        for second in range(SECONDS)
    ]  # fmt: skip


def common(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Areas that rectangles share, `[N, 4], [M, 4] -> [N, M]`."""
    low, high = np.maximum(first[:, None, :2], second[:, :2]), np.minimum(first[:, None, 2:], second[:, 2:])
    return (high - low).clip(min=0).prod(axis=2)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", list(CROWDS))
def test_plates_cover_neither_each_other_nor_a_head(
    name: str, width: int, open_page: Callable[..., Any], film: Path, tmp_path: Path
):
    write_result(tmp_path, film, crowd(CROWDS[name]), name="crowd", seconds=SECONDS, labels=LABELS)
    report(tmp_path)
    page = ready(open_page(tmp_path / "report.html", viewport={"width": width, "height": 900}))
    for time in (0.5, 2.5, 4.5):
        page.evaluate("time => { document.getElementById('video').currentTime = time; }", time)
        settle(page)
        drawn = page.evaluate("relact.drawn().boxes")
        assert len(drawn) == len(CROWDS[name])
        wide, high = page.evaluate(
            "(({ clientWidth, clientHeight }) => [clientWidth, clientHeight])(document.getElementById('overlay'))"
        )
        plates = np.array([one["plate"] for one in drawn])
        boxes = np.array([one["box"] for one in drawn]) * [wide, high, wide, high]
        heads = np.concatenate([boxes[:, :3], (boxes[:, 1] + (boxes[:, 3] - boxes[:, 1]) / 3)[:, None]], axis=1)
        assert plates.min() >= 0
        assert (plates[:, 2:] <= np.array([wide, high]) + 0.5).all()
        assert np.triu(common(plates, plates), 1).max() == 0, "each can be read"
        assert common(plates, heads).max() < 1, "no head is hidden"
        if width > 500:
            assert ((plates[:, 2] - plates[:, 0]) > 60).all(), "each has at least one action on it"


def test_a_plate_stays_in_its_place_while_people_move(open_page: Callable[..., Any], film: Path, tmp_path: Path):
    write_result(tmp_path, film, crowd(CROWDS["side by side"]), name="crowd", seconds=SECONDS, labels=LABELS)
    report(tmp_path)
    page = ready(open_page(tmp_path / "report.html"))
    before = None
    for step in range(12):
        page.evaluate("time => { document.getElementById('video').currentTime = time; }", 1.02 + step * 0.04)
        settle(page)
        plates = np.array([one["plate"][:2] for one in page.evaluate("relact.drawn().boxes")])
        if before is not None:
            assert abs(plates - before).max() < 3, "pixels a frame: nobody goes faster"
        before = plates
