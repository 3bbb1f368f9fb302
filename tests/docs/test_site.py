"""The site: built as `make docs` does, every link in it followed, nothing in it asked of another machine."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from tests.docs.built_site import build

ROOT = Path(__file__).resolve().parent.parent.parent
ELSEWHERE = ("http:", "https:", "//")
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}
"""what a browser fetches by itself"""


class Page(HTMLParser):
    """The names and the links of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.names: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.names |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if LOADED.get(tag) in found:
            self.loaded.append(found[LOADED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}


def test_every_page_is_built(site: Path, pages: dict[Path, Page]):
    sources = (ROOT / "docs").rglob("*.md")
    expected = {site / path.relative_to(ROOT / "docs").with_suffix(".html") for path in sources}
    assert expected <= set(pages)
    assert (site / "search.js").stat().st_size > 100_000
    assert not list(site.rglob("*.py")), "tools are no part of it"


def broken(page: Page, pages: dict[Path, Page]) -> Iterator[str]:
    for link in page.links + page.loaded:
        if link.startswith((*ELSEWHERE, "mailto:", "data:", "javascript:")):
            continue
        name, anchor = urldefrag(link)
        file = (page.path.parent / unquote(name)).resolve() if name else page.path
        if not file.is_file():
            yield f"{link}: no such file"
        elif anchor and file in pages and unquote(anchor) not in pages[file].names:
            yield f"{link}: no such place"


def test_every_link_leads_somewhere(site: Path, pages: dict[Path, Page]):
    found = {str(path.relative_to(site)): list(broken(page, pages)) for path, page in pages.items()}
    assert {path: wrong for path, wrong in found.items() if wrong} == {}
    assert sum(len(page.links) for page in pages.values()) > 1000


def test_nothing_is_fetched_from_elsewhere(pages: dict[Path, Page]):
    for page in pages.values():
        assert [address for address in page.loaded if address.startswith(ELSEWHERE)] == []
    styles = "".join(path.read_text(encoding="utf-8") for path in next(iter(pages)).parents[0].rglob("*.css"))
    assert "url(http" not in styles
    assert "@import" not in styles


def test_the_api_has_its_docstrings(site: Path):
    text = (site / "api" / "values.html").read_text(encoding="utf-8")
    for name in ("relact.types.Actors.pad", "relact.types.Detections.boxes", "relact.labels.LabelMap"):
        assert f'id="{name}"' in text
    assert "[0, 1] of the upright frame" in text
