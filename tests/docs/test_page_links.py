"""Every relative link and anchor of the documentation leads somewhere, and no page of the site is lost."""

import re
import runpy
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
GENERATED = {DOCS / "api" / "commands.md"}
"""written by docs/commands.py; not kept"""
PAGES = sorted({ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")} - GENERATED)

FENCE = re.compile(r"^(```+|~~~+).*?^\1", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"(`+).+?\1", re.DOTALL)
LINK = re.compile(r"\]\(\s*<?([^()<>\s]+(?:\([^()\s]*\))?)>?(?:\s+\"[^\"]*\")?\s*\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//")


def links(page: Path) -> list[str]:
    """The targets of a page's links and pictures; what stands in code is none."""
    text = CODE.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))
    return [target for target in LINK.findall(text) if not ELSEWHERE.match(target)]


def anchors(page: Path) -> set[str]:
    """The names of a page's headings: small letters, hyphens for spaces; a name that comes again is numbered."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    found: set[str] = set(re.findall(r"\{\s*#([\w-]+)\s*\}", text))
    seen: Counter[str] = Counter()
    for heading in HEADING.findall(text):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"\{[^{}]*\}$", "", heading)).lower()
        slug = re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", words).strip())
        found |= {
            slug,
            re.sub("-+", "-", slug),
            *([f"{slug}-{seen[slug]}", f"{slug}_{seen[slug]}"] if seen[slug] else []),
        }
        seen[slug] += 1
    return found


def faults(page: Path) -> list[str]:
    """What is wrong with the links of a page."""
    wrong = []
    for target in links(page):
        name, _, anchor = unquote(target).partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() and file not in GENERATED:
            wrong.append(f"{target}: no such file")
        elif page.is_relative_to(DOCS) and not file.is_relative_to(DOCS):
            wrong.append(f"{target}: is not part of the site")
        elif page.is_relative_to(DOCS) and file.is_dir():
            wrong.append(f"{target}: the site has no page for a folder; name its index.md")
        elif anchor and file.suffix == ".md" and file not in GENERATED and anchor not in anchors(file):
            wrong.append(f"{target}: no such heading")
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    assert faults(page) == []


def test_a_dead_link_is_found(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One & two\n[a](#one-two) [b](nowhere.md) [c](page.md#three) `[d](code.md)` [e](https://example.org/x)\n"
        "```\n[f](block.md)\n```\n![g](picture.png 'no') [h](page.md \"title\")\n## One & two\n[i](#one-two_1)\n"
    )
    found = faults(page)
    assert [fault.split(":")[0] for fault in found] == ["nowhere.md", "page.md#three"], found


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page():
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = re.findall(r"^\s+- (?:[^:\n]+: )?([\w/-]+\.md)$", config, re.MULTILINE)
    assert len(named) == len(set(named))
    assert set(named) == {str(page.relative_to(DOCS)) for page in {*DOCS.rglob("*.md"), *GENERATED}}


def test_the_drawing_of_the_layers_is_that_of_the_contract():
    tool = runpy.run_path(str(DOCS / "layers.py"))
    assert (DOCS / "assets" / "layers.svg").read_text(encoding="utf-8") == tool["picture"](), "python docs/layers.py"
    assert len(tool["layers"]()) > 10


@pytest.mark.parametrize("folder", ["papers", "decisions"])
def test_an_index_names_every_page_of_its_folder(folder: str):
    index = DOCS / folder / "index.md"
    assert {page.name for page in index.parent.glob("*.md")} - {"index.md"} <= set(links(index))
