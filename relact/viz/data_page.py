"""A page about a labelled set, for the eye: counts with bars, what is wrong, and keyframes with boxes and labels drawn.

One file that asks nothing of any network and runs no script.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from PIL import Image

from relact.interop.files import atomic_path
from relact.viz.draw import Picture

_QUALITY = 80
_TOGETHER = 30
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; color: #222;
  background: #fff; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin: 2em 0 .4em; }
table { border-collapse: collapse; } td, th { padding: .15em .8em .15em 0; text-align: left; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.bar { background: #2471a3; height: .8em; min-width: 1px; display: inline-block; }
.none { color: #b03a2e; } .problem { color: #b03a2e; font-weight: 600; } .warning { color: #9a6a00; }
figure { display: inline-block; margin: 0 .8em .8em 0; vertical-align: top; } figcaption { font-size: .85em; }
img { display: block; max-width: 100%; } code { font-size: .9em; }
@media (prefers-color-scheme: dark) { body { background: #16181b; color: #ddd; } .bar { background: #5dade2; }
  .problem, .none { color: #ec7063; } .warning { color: #f4c75b; } }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A keyframe, drawn."""

    picture: Picture
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPage:
    """What the page says."""

    title: str
    facts: Sequence[tuple[str, str]]
    findings: Sequence[tuple[str, str, int, Sequence[str]]]
    """severity, kind, how many, where"""
    examples: Sequence[tuple[str, int, Sequence[Shown]]]
    """action, how many, some of them"""
    together: Sequence[tuple[str, str, int]]


def write_data_page(path: Path, page: DataPage) -> None:
    """Writes the page, whole or not at all."""
    most = max((count for _, count, _ in page.examples), default=0)
    pictures: dict[int, str] = {}
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(page.title)}</title>'
            '<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
            f"<style>{_STYLE}</style></head><body>\n<h1>{escape(page.title)}</h1>\n"
        )
        file.write(_table([], [f"<td>{escape(name)}</td><td>{escape(value)}</td>" for name, value in page.facts]))
        file.write("<h2>What was found</h2>\n" + (_findings(page) or "<p>Nothing is wrong.</p>\n"))
        rows = [_bar(name, count, most) for name, count, _ in page.examples]
        file.write("<h2>Examples of each action</h2>\n" + _table(["action", "boxes", ""], rows))
        if page.together:
            rows = [
                f'<td>{escape(a)}</td><td>{escape(b)}</td><td class="n">{count}</td>'
                for a, b, count in page.together[:_TOGETHER]
            ]
            file.write("<h2>Done at once by one person</h2>\n" + _table(["action", "with", "boxes"], rows))
        for name, _, shown in page.examples:
            if shown:
                file.write(f"<h2>{escape(name)}</h2>\n")
            for example in shown:
                file.write(_figure(example, pictures))
        file.write("</body></html>\n")


def _findings(page: DataPage) -> str:
    rows = []
    for severity, kind, count, places in page.findings:
        where = "<br>".join(f"<code>{escape(place)}</code>" for place in places)
        rows.append(
            f'<td class="{escape(severity)}">{escape(severity)}</td><td class="n">{count}</td>'
            f"<td>{escape(kind)}</td><td>{where}</td>"
        )
    return _table([], rows) if rows else ""


def _bar(name: str, count: int, most: int) -> str:
    width = 30 * count / max(most, 1)
    number = f'<td class="n{"" if count else " none"}">{count}</td>'
    return f'<td>{escape(name)}</td>{number}<td><span class="bar" style="width:{width:.2f}em"></span></td>'


def _table(header: Sequence[str], rows: Sequence[str]) -> str:
    head = f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in header)}</tr>\n" if header else ""
    return f"<table>{head}{''.join(f'<tr>{row}</tr>' + chr(10) for row in rows)}</table>\n"


def _figure(example: Shown, encoded: dict[int, str]) -> str:
    """A keyframe that shows several actions is encoded once."""
    key = id(example.picture)
    if key not in encoded:
        buffer = io.BytesIO()
        Image.fromarray(example.picture).save(buffer, "JPEG", quality=_QUALITY)
        encoded[key] = base64.b64encode(buffer.getvalue()).decode()
    caption = escape(example.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/jpeg;base64,{encoded[key]}">'
        f"<figcaption>{caption}</figcaption></figure>\n"
    )
