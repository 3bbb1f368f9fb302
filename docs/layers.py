"""Draw the layers of imports, docs/assets/layers.svg, from pyproject.toml, where import-linter reads them."""

import tomllib
from pathlib import Path

from relact.interop.files import atomic_path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "assets" / "layers.svg"

SAYS = {
    "relact.cli": "arguments and screens",
    "relact.serve": "the server",
    "relact.run": "what commands call, for Python users too",
    "relact.recipe": "everything that decides a run",
    "relact.train": "training; a video from end to end",
    "relact.model": "the model; the data; judging; drawing",
    "relact.heads": "relations; maps; what was seen before",
    "relact.head": "the contract of a head",
    "relact.nn": "what networks are made of",
    "relact.interop": "file formats, without torch",
    "relact.boxes": "boxes, ragged rows, labels",
    "relact.types": "the values that travel",
    "relact.errors": "errors and strict settings",
}
"""what a layer is, by its first room"""

WIDTH, HIGH, GAP, LEFT = 1040, 34, 8, 8
STYLE = """text { font: 600 14px system-ui, sans-serif; text-anchor: middle; }
    .says { font-weight: 400; font-size: 13px; text-anchor: start; fill: #757b87; }
    .room rect { fill: #e7edff; stroke: #4a63c9; stroke-width: 1.5; } .room text { fill: #16204d; }
    .down { stroke: #757b87; stroke-width: 2; }"""


def layers() -> list[list[str]]:
    """The rooms of each layer, from the top; those of one layer may not import each other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    rows = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [row.split(" | ") for row in rows]


def picture() -> str:
    """The drawing as SVG; its colours are readable on white and on black."""
    rows = layers()
    height = len(rows) * (HIGH + GAP) + GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title">',
        '  <title id="title">The layers of imports, each of which may import those below it</title>',
        f"  <style>\n    {STYLE}\n  </style>",
        f'  <path class="down" d="M{LEFT} {GAP} V{height - GAP - 8}"/>',
        f'  <path fill="#757b87" d="M{LEFT - 6} {height - GAP - 9} h12 l-6 9 z"/>',
    ]
    for number, rooms in enumerate(rows):
        y, width = GAP + number * (HIGH + GAP), (640 - GAP * (len(rooms) - 1)) / len(rooms)
        for place, room in enumerate(rooms):
            x = 28 + place * (width + GAP)
            lines.append(
                f'  <g class="room"><rect x="{x:g}" y="{y}" width="{width:g}" height="{HIGH}" rx="6"/>'
                f'<text x="{x + width / 2:g}" y="{y + 22}">{room.removeprefix("relact.")}</text></g>'
            )
        lines.append(f'  <text class="says" x="684" y="{y + 22}">{SAYS[rooms[0]]}</text>')
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    """Write the drawing."""
    with atomic_path(PICTURE) as temporary:
        temporary.write_text(picture(), encoding="utf-8")


if __name__ == "__main__":
    main()
