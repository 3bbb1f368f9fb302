"""The report in a real browser: what is drawn is what was found, and every way to look at it works."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_results import LABELS, moving_people, write_result
from pages import SECONDS, ready, settle, until

from relact.run.report import report
from relact.video.segments import read_segments
from relact.viz.draw import Sighting, interpolate_tracks, short_names, sighting
from relact.viz.palette import colour

pytestmark = pytest.mark.slow

Open = Callable[..., Any]

PIXEL = """([x, y]) => {
  const canvas = document.getElementById('overlay');
  const dense = window.devicePixelRatio;
  const [w, h] = [canvas.width / dense, canvas.height / dense];
  const [left, top] = [Math.round(x * w * dense), Math.round(y * h * dense)];
  const { data } = canvas.getContext('2d').getImageData(left, top - 2, 1, 5);  // a line may lie between two pixels
  const column = [0, 1, 2, 3, 4].map((row) => [...data.slice(4 * row, 4 * row + 4)]);
  return column.reduce((best, pixel) => (pixel[3] > best[3] ? pixel : best));
}"""
"""The most opaque pixel at a place or two above or below it."""


def expected(time: float, threshold: float = 0.3) -> Sighting:
    """What annotated.mp4 would show."""
    names = short_names(LABELS)
    sightings = [sighting(keyframe, names, threshold=threshold) for keyframe in moving_people("stage_3_0000", SECONDS)]
    return interpolate_tracks(sightings, time, max_gap=2.5, hold=0.5)


def go(page: Any, time: float) -> None:
    """Seek by a click on the timeline."""
    box = page.locator("#pane").bounding_box()
    page.mouse.click(box["x"] + page.evaluate("time => relact.x(time)", time), box["y"] + 60)
    settle(page)


def check_drawn(page: Any, time: float | None = None, most: int = 3) -> None:
    drawn = page.evaluate("relact.drawn()")
    wanted = expected(drawn["time"])
    if time is not None:
        assert drawn["time"] == pytest.approx(time, abs=0.02)
    assert [box["name"] for box in drawn["boxes"]] == [f"Person {person}" for person in wanted.ids]
    boxes = wanted.boxes / [288, 96, 288, 96]
    np.testing.assert_allclose([box["box"] for box in drawn["boxes"]], boxes, atol=2e-5)
    for box, lines in zip(drawn["boxes"], wanted.lines, strict=True):
        assert [name for name, _ in box["lines"]] == [name for name, _ in lines][:most]
        np.testing.assert_allclose(
            [score for _, score in box["lines"]], [score for _, score in lines][:most], atol=6e-5
        )


@pytest.mark.parametrize("time", [1.0, 2.25, 4.6])
def test_drawn_boxes_are_those_of_the_data(open_page: Open, result: Path, time: float):
    page = ready(open_page(result / "report.html"))
    go(page, time)
    check_drawn(page, time)
    assert page.evaluate("document.getElementById('video').currentTime") == pytest.approx(time, abs=0.03)
    last = page.evaluate("relact.drawn().boxes")[-1]  # drawn last: nothing but plates is over it
    x1, _, x2, y2 = last["box"]
    found = page.evaluate(PIXEL, [(x1 + x2) / 2, y2])
    assert found[3] == 255
    assert found[:3] == pytest.approx(colour(int(last["name"].split()[1])), abs=12)


def test_boxes_follow_a_video_that_others_move(open_page: Open, result: Path):
    """As media keys, picture in picture and a phone's lock screen do."""
    page = ready(open_page(result / "report.html"))
    for time in (3.4, 1.2):
        page.evaluate("time => { document.getElementById('video').currentTime = time; }", time)
        until(page, f"Math.abs(relact.view().time - {time}) < 0.01")
        settle(page)
        check_drawn(page, time)
    page.evaluate("document.getElementById('video').play()")
    until(page, "relact.view().playing && relact.view().time > 1.4")
    check_drawn(page)
    page.evaluate("document.getElementById('video').pause()")
    until(page, "!relact.view().playing")
    settle(page)
    check_drawn(page, page.evaluate("relact.view().time"))
    assert page.evaluate("document.getElementById('video').currentTime") == pytest.approx(
        page.evaluate("relact.view().time"), abs=0.06
    )


def test_boxes_follow_the_frames_while_it_plays(open_page: Open, result: Path):
    page = ready(open_page(result / "report.html"))
    page.select_option("#speed", "0.25")
    page.click("#play")
    until(page, "relact.view().time > 0.6")
    check_drawn(page)
    page.click("#play")
    assert not page.evaluate("relact.view().playing")
    stopped = page.evaluate("relact.view().time")
    settle(page)
    assert page.evaluate("relact.view().time") == stopped
    check_drawn(page, stopped)


def test_a_click_on_a_segment_goes_there(open_page: Open, result: Path):
    page = ready(open_page(result / "report.html"))
    number = page.locator("#rows tr.row").nth(5).get_attribute("data-row")
    row = page.locator(f'#rows tr[data-row="{number}"]')
    start = row.locator(".go").inner_text()
    row.locator(".go").click()
    settle(page)
    assert page.locator("#now").inner_text() == start
    assert "current" in row.get_attribute("class")


def test_people_are_filtered(open_page: Open, result: Path):
    page = ready(open_page(result / "report.html"))
    page.locator("#people button").nth(1).click()
    settle(page)
    assert {box["name"] for box in page.evaluate("relact.drawn().boxes")} == {"Person 2"}
    assert {name for name, _ in page.evaluate("relact.rows()")} == {"Person 2"}
    assert page.locator("#people button").nth(1).get_attribute("aria-pressed") == "true"
    page.click("#everyone")
    settle(page)
    assert len(page.evaluate("relact.drawn().boxes")) == 3


def test_actions_are_filtered_by_text_score_and_kind(open_page: Open, result: Path):
    page = ready(open_page(result / "report.html"))
    page.fill("#search", "watch")
    settle(page)
    assert {action for _, action in page.evaluate("relact.rows()")} <= {None, "watch (a person)"}
    assert {line[0] for box in page.evaluate("relact.drawn().boxes") for line in box["lines"]} <= {"watch (a person)"}
    page.fill("#search", "")
    page.evaluate("const l = document.getElementById('least'); l.value = 0.9; l.dispatchEvent(new Event('input'))")
    settle(page)
    assert all(s >= 0.9 for box in page.evaluate("relact.drawn().boxes") for _, s in box["lines"])
    strong = page.evaluate("relact.rows()")
    page.evaluate("const l = document.getElementById('least'); l.value = 0; l.dispatchEvent(new Event('input'))")
    settle(page)
    assert len(page.evaluate("relact.rows()")) > len(strong)
    page.get_by_role("button", name="Pose").click()
    settle(page)
    assert not {"sit", "walk"} & {action for _, action in page.evaluate("relact.rows()")}
    page.fill("#search", "nothing is called so")
    settle(page)
    assert "No action passes the filters" in page.locator("#nothing").inner_text()


def test_everything_can_be_done_by_keys(open_page: Open, result: Path):
    page = ready(open_page(result / "report.html"))
    press, now = page.keyboard.press, lambda: page.evaluate("relact.view().time")
    press("ArrowRight")
    press("ArrowRight")
    assert now() == pytest.approx(2)
    press("ArrowLeft")
    press(".")
    assert now() == pytest.approx(1.04)
    press("ArrowRight")
    assert now() == pytest.approx(2)
    press(".")
    press("ArrowLeft")
    assert now() == pytest.approx(2)
    press("End")
    assert now() == pytest.approx(SECONDS)
    press("Home")
    press("ArrowDown")
    press("ArrowDown")
    assert page.evaluate("relact.view().people") == [1]
    press("ArrowUp")
    assert page.evaluate("relact.view().people") == [0]
    press("Escape")
    assert page.evaluate("relact.view().people") == []
    press("/")
    page.keyboard.type("sit ?")
    assert page.evaluate("relact.view().text") == "sit ?"
    press("Escape")
    assert page.evaluate("relact.view().text") == ""
    press("?")
    assert page.locator("#help").is_visible()
    press("Escape")
    assert not page.locator("#help").is_visible()
    press("b")
    settle(page)
    assert page.evaluate("relact.drawn().boxes") == []
    press("b")
    press("+")
    assert page.evaluate("relact.view().span") < SECONDS
    press("0")
    assert page.evaluate("relact.view().span") == SECONDS
    press(" ")
    until(page, "relact.view().playing && relact.view().time > 0.1")
    press(" ")
    assert not page.evaluate("relact.view().playing")


def test_the_picture_that_stands_still_is_told_to_screen_readers(open_page: Open, result: Path):
    page = ready(open_page(result / "report.html"))
    page.keyboard.press("ArrowRight")
    until(page, "document.getElementById('status').textContent.startsWith('0:01.0. Person 1: ')")
    assert page.locator("#timeline").get_attribute("aria-valuetext") == "0:01.0"


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_light_and_dark_follow_the_system_and_the_button(open_page: Open, result: Path, scheme: str, dark: bool):
    page = ready(open_page(result / "report.html", color_scheme=scheme))

    def is_dark() -> bool:
        red = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        corner = page.evaluate("[...document.getElementById('bars').getContext('2d').getImageData(2, 2, 1, 1).data]")
        assert (corner[0] < 128) == (int(red.split("(")[1].split(",")[0]) < 128)
        return corner[0] < 128

    assert is_dark() == dark
    page.click("#theme")
    settle(page)
    assert is_dark() != dark


@pytest.mark.parametrize("width", [390, 320])
def test_on_a_phone_nothing_is_cut_off_and_a_tap_seeks(open_page: Open, result: Path, width: int):
    size = {"width": width, "height": 800}
    phone = open_page(result / "report.html", viewport=size, has_touch=True, is_mobile=True, device_scale_factor=2)
    page = ready(phone)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for name in ("#play", "#boxes", "#full", "#search", "#export", "#zoom-in", "#theme"):
        box = page.locator(name).bounding_box()
        assert box["x"] >= 0, name
        assert box["x"] + box["width"] <= width, name
    page.locator("#timeline").scroll_into_view_if_needed()
    box = page.locator("#pane").bounding_box()
    page.touchscreen.tap(box["x"] + page.evaluate("relact.x(3)"), box["y"] + 60)
    settle(page)
    check_drawn(page, page.evaluate("relact.view().time"), most=1)
    assert page.evaluate("relact.view().time") == pytest.approx(3, abs=0.05)


def test_the_table_sorts_and_is_exported_as_segments(open_page: Open, result: Path, tmp_path: Path):
    page = ready(open_page(result / "report.html"))
    page.get_by_role("button", name="Mean").click()
    means = [float(cell) for cell in page.locator("#rows tr.row td:nth-child(6)").all_inner_texts()]
    assert means == sorted(means, reverse=True)
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Mean")
    page.locator("#people button").first.click()
    settle(page)
    with page.expect_download() as download:
        page.click("#export")
    download.value.save_as(tmp_path / "segments.csv")
    least = page.evaluate("relact.view().least")
    rows = [row for row in read_segments(result / "segments.csv") if row.person == 1 and row.mean >= least]
    kept = read_segments(tmp_path / "segments.csv")
    assert kept
    assert sorted(kept, key=repr) == sorted(rows, key=repr)


def test_the_wheel_zooms_and_the_overview_moves(open_page: Open, result: Path):
    page = ready(open_page(result / "report.html"))
    box = page.locator("#pane").bounding_box()
    page.mouse.move(box["x"] + page.evaluate("relact.x(3)"), box["y"] + 60)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    settle(page)
    view = page.evaluate("relact.view()")
    assert view["span"] < SECONDS
    assert view["start"] < 3 < view["start"] + view["span"]
    page.locator("#overview").scroll_into_view_if_needed()
    overview = page.locator("#overview").bounding_box()
    page.mouse.click(overview["x"] + overview["width"] - 16, overview["y"] + 10)
    settle(page)
    view = page.evaluate("relact.view()")
    assert view["start"] + view["span"] == pytest.approx(SECONDS)


def test_of_many_people_those_in_the_picture_come_into_view(open_page: Open, film: Path, tmp_path: Path):
    """Twenty people, each for a part of the video: whoever looks at second 4 need not look for them in the list."""
    everyone = moving_people("crowd", SECONDS, 20)
    for second, keyframe in enumerate(everyone):
        here = slice(3 * second, 3 * second + 3)
        rows = ("boxes", "box_scores", "scores", "person", "track")
        everyone[second] = replace(keyframe, **{name: getattr(keyframe, name)[here] for name in rows})
    write_result(tmp_path, film, everyone, name="crowd", seconds=SECONDS)
    report(tmp_path)
    page = ready(open_page(tmp_path / "report.html"))
    shown = "document.getElementById('people').scrollTop"
    assert page.evaluate(shown) == 0
    go(page, 3.0)
    page.mouse.move(2, 2)
    go(page, 4.0)
    card = page.locator("#people button", has_text="Person 13").bounding_box()
    room = page.locator("#people").bounding_box()
    assert room["y"] <= card["y"] <= room["y"] + room["height"] - card["height"] / 2
    page.locator("#people button", has_text="Person 13").focus()
    page.evaluate("document.getElementById('video').currentTime = 0.5")
    settle(page)
    there = page.locator("#people button", has_text="Person 13").bounding_box()["y"]
    assert there == pytest.approx(card["y"], abs=1), "the list stays while it is being used"
