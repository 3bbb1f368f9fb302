"""Pictures of where a head looked, in the report where they were asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_results import moving_people, write_result
from pages import SECONDS, ready, settle

from relact.run.report import report
from relact.run.report_looks import Asked

pytestmark = pytest.mark.slow

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def looked(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result whose page shows everyone at second 1 and person 2 at second 4."""
    folder = tmp_path_factory.mktemp("looked") / "stage_3_0000"
    write_result(folder, film, moving_people("stage_3_0000", SECONDS), name="stage_3_0000", seconds=SECONDS)
    report(folder, asked=Asked(seconds=(4.0, 1.0), person=2, weights="stage_stc"))
    return folder


def test_a_picture_leads_to_its_moment_and_person(open_page: Open, looked: Path):
    page = ready(open_page(looked / "report.html"))
    assert page.locator("#looks li").count() == 2
    assert page.locator("#looks button").all_inner_texts() == ["0:01.0, Person 2", "0:04.0, Person 2"]
    page.locator("#looks button").last.click()
    settle(page)
    view = page.evaluate("relact.view()")
    assert view["time"] == pytest.approx(4.0, abs=0.02)
    assert {name for name, _ in page.evaluate("relact.rows()")} == {"Person 2"}
    picture = page.locator("#looks img").last
    assert picture.get_attribute("alt") == "STC: what it relates person 2 to, at 0:04.0"
    picture.scroll_into_view_if_needed()
    settle(page)
    assert picture.evaluate("image => image.naturalWidth") > 1000
    small = picture.bounding_box()["width"]
    page.locator("#looks-all").click()
    assert page.locator("#looks-all").get_attribute("aria-pressed") == "true"
    assert picture.bounding_box()["width"] > 1.5 * small


def test_on_a_phone_a_picture_is_as_wide_as_the_page(open_page: Open, looked: Path):
    page = ready(open_page(looked / "report.html", viewport={"width": 390, "height": 844}, color_scheme="dark"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#looks img").first.bounding_box()["width"] > 300


def test_pictures_are_no_serious_fault_for_those_who_cannot_see(open_page: Open, looked: Path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page = ready(open_page(looked / "report.html", bypass_csp=True))
    faults = [rule for rule in axe.Axe().run(page).response["violations"] if rule["impact"] in ("serious", "critical")]
    assert faults == []


def test_a_page_that_was_not_asked_for_pictures_has_none(open_page: Open, result: Path):
    page = ready(open_page(result / "report.html"))
    assert page.locator("#looks-card").is_hidden()
