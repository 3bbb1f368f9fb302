"""What the tests of converted annotations share: one walking person, and a conversion of a broken file."""

import json
from pathlib import Path

from relact.interop.ava_csv import read_ava_csv
from relact.run.convert import Conversion, convert
from tests.unit.made_annotations import HEIGHT, WIDTH, Somebody, cvat_box, write

WALK = frozenset(["walk"])
BOX = (10.0, 10.0, 30.0, 50.0)
SCENE = {"first": [Somebody(0, (BOX,) * 4, (WALK,) * 4)]}


def run(tool: str, path: Path | list[Path], videos: Path, out: Path, **options) -> Conversion:
    inputs = path if isinstance(path, list) else [path]
    return convert(tool, inputs, videos, out, overwrite=True, **options)


def one(*boxes: str) -> str:
    return '<track id="0" label="person">\n' + "".join(boxes) + "</track>\n"


GOOD = one(cvat_box(0, BOX, WALK))


def rows(folder: Path) -> list[tuple[float, list[float], int]]:
    table = read_ava_csv(folder / "groundtruth.csv", "groundtruth")
    pixels = (table.boxes * [WIDTH, HEIGHT, WIDTH, HEIGHT]).round(2).tolist()
    return list(zip(table.time.tolist(), pixels, table.action.tolist(), strict=True))


def spoiled(tool: str, folder: Path, change) -> Path:
    [path] = write(tool, SCENE, folder)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path
