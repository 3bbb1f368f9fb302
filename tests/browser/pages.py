"""Waiting for a page."""

from typing import Any

import pytest

SECONDS = 6
"""of the videos that the tests look at"""
TWO_FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def until(page: Any, expression: str, seconds: float = 10.0) -> None:
    """Wait for a condition of the page; the page's own policy forbids Playwright's way of doing it."""
    for _ in range(round(seconds / 0.03)):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(30)
    pytest.fail(f"{expression} was not true within {seconds:g} s")


def ready(page: Any) -> Any:
    """The page, once its video can be sought."""
    until(page, "relact.view().ready")
    return page


def settle(page: Any) -> None:
    """Wait until what was asked for is drawn."""
    page.evaluate(TWO_FRAMES)
    page.wait_for_timeout(200)
