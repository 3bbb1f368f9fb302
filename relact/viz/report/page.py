"""The parts in `web/` and the data, joined to one file that asks nothing of any network.

Text of the data reaches the page as JSON in a block that browsers do not run, with `<` escaped, and is shown as text
only. The page's policy allows this script and this style by their hashes and nothing else.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import IO, Any

from relact.errors import InputError, at
from relact.interop.files import atomic_path
from relact.viz.report.data import ReportData
from relact.viz.report.pack import page_data, summary

FORMAT = 1
"""Raised when the summary that an index reads changes its meaning."""

MAX_EMBED = 350 << 20
"""Bytes of video in a page: browsers hold no string of more than half a gigabyte."""

SCRIPTS = (
    "common",
    "data",
    "view",
    "clock",
    "plates",
    "overlay",
    "timeline",
    "pointer",
    "people",
    "table",
    "looks",
    "main",
)
INDEX_SCRIPTS = ("common", "index")

_CHUNK = 3 << 18  # a multiple of three: base64 of the parts is base64 of the whole
_SUMMARY = re.compile(r'<script type="application/json" id="summary">([^<]*)</script>')
_READ = 1 << 22


def write_page(path: Path, data: ReportData) -> None:
    """Write the report of one video. InputError where the video is too large to be put in."""
    film = data.film.embed
    if film is not None and film.stat().st_size > MAX_EMBED:
        size = film.stat().st_size >> 20
        raise InputError(f"{at(film)}: {size} MB are too many for a page (at most {MAX_EMBED >> 20}); use --no-embed")
    blocks = {"summary": {"format": FORMAT, **summary(data)}, "data": page_data(data)}
    _write(path, "report", SCRIPTS, blocks, film)


def write_index(path: Path, videos: Sequence[dict[str, Any]]) -> None:
    """Write the page that lists reports: the summary of each, and its address as `href`."""
    _write(path, "index", INDEX_SCRIPTS, {"data": {"videos": list(videos)}}, None)


def read_summary(path: Path) -> dict[str, Any] | None:
    """What a report says of its video; None for a file that is no report of this format."""
    with path.open(encoding="utf-8", errors="replace") as file:
        found = _SUMMARY.search(file.read(_READ))  # it stands before the data and the video
    if found is None:
        return None
    value: dict[str, Any] = json.loads(found[1])
    return value if value.get("format") == FORMAT else None


def to_json(value: object) -> str:
    """JSON that cannot end the block in which it stands."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _write(path: Path, name: str, scripts: Sequence[str], blocks: dict[str, Any], film: Path | None) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for part, text in _parts(name):
            if part == "style":
                file.write(f"<style>{_style(name)}</style>")
            elif part == "script":
                file.write(f"<script>{_script(scripts)}</script>")
            elif part == "policy":
                file.write(_policy(_script(scripts), _style(name)))
            elif part == "data":
                for key, value in blocks.items():
                    file.write(f'<script type="application/json" id="{key}">{to_json(value)}</script>\n')
                if film is not None:
                    _embed(file, film)
            file.write(text)


def _parts(name: str) -> Iterator[tuple[str, str]]:
    """The template cut at its marks: what is to be put in, and the text after it."""
    first, *rest = re.split(r"<!--put (\w+)-->", _asset(f"{name}.html"))
    yield "", first
    yield from zip(rest[::2], rest[1::2], strict=True)


def _script(names: Sequence[str]) -> str:
    """One script with a scope of its own."""
    text = "".join(_asset(f"{name}.js") for name in names)
    assert "</script" not in text.lower(), "a script would end early"
    return f'(() => {{\n"use strict";\n{text}}})();'


def _style(name: str) -> str:
    return _asset("common.css") + _asset(f"{name}.css")


def _asset(name: str) -> str:
    return (resources.files("relact.viz.report") / "web" / name).read_text(encoding="utf-8")


def _policy(script: str, style: str) -> str:
    """Nothing but our own script and style runs; videos come from beside the page, from it, or from the reader."""
    rules = (
        "default-src 'none'",
        f"script-src '{_hash(script)}'",
        f"style-src '{_hash(style)}'",
        "img-src data:",
        "media-src 'self' file: blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
    )
    return f'<meta http-equiv="Content-Security-Policy" content="{"; ".join(rules)}">'


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _embed(file: IO[str], film: Path) -> None:
    file.write('<script type="text/plain" id="film">')
    with film.open("rb") as video:
        while chunk := video.read(_CHUNK):
            file.write(base64.b64encode(chunk).decode())
    file.write("</script>\n")
