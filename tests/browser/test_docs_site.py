"""The site of the documentation opened by a double click: nothing is fetched, search works, formulas are set."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.docs.built_site import build

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("site"))


def test_search_finds_a_page(site: Path, open_page: Callable[..., Any]):
    page = open_page(site / "index.html", quiet=False)  # the browser tells of a focus that the theme asked for
    page.keyboard.press("Control+k")
    page.get_by_placeholder("Search").last.fill("PosNet")
    found = page.get_by_text("Departures from the released code").first
    found.wait_for()
    found.click()
    page.wait_for_url("**/papers/amcrnet.html*")


def test_formulas_of_the_papers_are_set(site: Path, open_page: Callable[..., Any]):
    page = open_page(site / "papers" / "acar.html")
    equation = page.get_by_text("Eq. 1, at each place").first
    assert equation.locator("sup").first.inner_text() == "i"
    assert equation.locator("sub").first.inner_text() == "j"
    assert "H\u0303" in equation.inner_text()
    assert "^" not in equation.inner_text()
    assert page.locator("code sub, code sup, pre sub, pre sup").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_as_wide_as_a_phone(site: Path, open_page: Callable[..., Any], scheme: str):
    for name in ("index", "start", "architecture", "recipes", "api/values", "tutorials/new-head"):
        page = open_page(site / f"{name}.html", viewport={"width": 390, "height": 844}, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
