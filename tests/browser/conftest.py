"""A real browser for the pages: Chromium, driven by Playwright. Without either the tests skip and say so."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made_results import moving_people, write_result
from pages import SECONDS, TWO_FRAMES

from relact.run.report import report
from tests.make_stage import make_stage

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[browser]'")
    with api.sync_playwright() as playwright:
        program = os.environ.get("RELACT_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
        if program is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip(f"no Chromium here ({', '.join(NAMES)}): apt-get install chromium, or set RELACT_CHROMIUM")
        sandbox = [] if os.geteuid() else ["--no-sandbox"]  # root has none
        with playwright.chromium.launch(executable_path=program, args=sandbox) as launched:
            yield launched


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a file in a context of its own; at the end of the test nothing may have gone wrong in any of them."""
    contexts, said = [], []

    def hear(message: Any) -> None:
        if "willReadFrequently" not in message.text:  # the tests read canvases, the page does not
            said.append(f"{message.type}: {message.text}")

    def open_(path: Path, *, quiet: bool = True, **settings: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        if quiet:
            page.on("console", hear)
        page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
        page.goto(path.resolve().as_uri())
        page.evaluate(TWO_FRAMES)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert said == []


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that browsers play."""
    return make_stage(tmp_path_factory.mktemp("film"), seconds=SECONDS, rate=25) / "videos" / "stage_3_0000.mp4"


@pytest.fixture(scope="session")
def result(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a result with its report."""
    folder = tmp_path_factory.mktemp("results") / "stage_3_0000"
    write_result(folder, film, moving_people("stage_3_0000", SECONDS), name="stage_3_0000", seconds=SECONDS)
    report(folder)
    return folder
