"""Whatever is done to an annotation file, the answer is a set that passes its check, or one InputError."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relact.data.check import check
from relact.errors import InputError
from relact.interop.annotations.readers import ReadOptions
from relact.run.convert import convert
from tests.make_video import make_video
from tests.unit.made_annotations import FRAMES, HEIGHT, RATE, TOOLS, WIDTH, Somebody, write

BOX = (10.0, 10.0, 30.0, 50.0)
ODD: list[Any] = [None, -1, 0, 1.5, 1e400, "", "x", "nan", True, [], {}, [1, 2], {"id": 1}, 10**30, "1e999", "\u2028"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for name in ("first", "second"):
        make_video(folder / f"{name}.mp4", frames=FRAMES, rate=RATE, size=(WIDTH, HEIGHT))
    return folder


def outcome(tool: str, inputs: list[Path], videos: Path, out: Path, *, skip_bad: bool) -> str:
    """ "set" or the error's text; any other error passes through and fails the test."""
    actions = str(inputs[0].parent / "actions.csv") if tool == "mot" else None
    name = {"cvat images": "cvat", "via2": "via"}.get(tool, tool)
    try:
        options = ReadOptions(actions=actions)
        convert(name, inputs, videos, out, options=options, overwrite=True, skip_bad=skip_bad)
    except InputError as error:
        return str(error)
    checked = check(out)
    return "set" if not checked.problems else f"a set with problems: {checked.findings}"


def spoil(content: Any, chance: random.Random) -> Any:
    """Replaces, removes or doubles one value somewhere in a JSON document."""
    parent, key = content, None
    while isinstance(parent, dict | list) and parent:
        keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        key = chance.choice(keys)
        if not isinstance(parent[key], dict | list) or not parent[key] or chance.random() < 0.15:
            break
        parent = parent[key]
    if key is None:
        return copy.deepcopy(chance.choice(ODD))
    what = chance.random()
    if what < 0.7:
        parent[key] = copy.deepcopy(chance.choice(ODD))
    elif what < 0.85 or isinstance(parent, dict):
        del parent[key]
    else:
        parent.append(copy.deepcopy(parent[key]))
    return content


@pytest.mark.parametrize("tool", TOOLS)
@given(seed=st.integers(0, 2**32), skip_bad=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_spoiled_files(tool: str, seed: int, skip_bad: bool, videos: Path, tmp_path: Path):
    chance = random.Random(seed)
    people = [Somebody(0, (BOX,) * 3, (frozenset(["walk"]),) * 3), Somebody(1, (BOX,), (frozenset(["hand wave"]),))]
    inputs = write(tool, {"first": people, "second": people[:1]}, tmp_path / "in")
    path = chance.choice([*inputs, inputs[0].parent / "actions.csv"] if tool == "mot" else inputs)
    if path.suffix == ".json":
        content = json.loads(path.read_text())
        for _ in range(chance.choice([1, 1, 2, 5])):
            content = spoil(content, chance)
        path.write_text(json.dumps(content))
    else:
        data = bytearray(path.read_bytes())
        for _ in range(chance.choice([1, 2, 8])):
            where = chance.randrange(len(data))
            what = chance.random()
            if what < 0.5:
                data[where : where + 1] = chance.choice(
                    [b"", b"9", b"-", b"nan", b"\xff", b"<", b'"', b",", b"1e400", b"\n"]
                )
            elif what < 0.8:
                del data[where : where + chance.randrange(1, 60)]
            else:
                data[where:where] = data[where : where + 200]
            if not data:
                break
        path.write_bytes(data)
    said = outcome(tool, inputs, videos, tmp_path / "out", skip_bad=skip_bad)
    assert not said.startswith("a set with problems")
    assert "\n" not in said
