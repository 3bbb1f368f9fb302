"""Every format: made-up people come back as they were, and the folder passes its check."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relact.data.ava import AvaData
from relact.data.check import check
from relact.interop.annotations.naming import Naming
from relact.interop.annotations.readers import ReadOptions
from relact.interop.ava_csv import read_ava_csv
from relact.labels import LabelMap
from relact.run.convert import Conversion, convert
from tests.make_video import make_video
from tests.unit.made_annotations import (
    ACTIONS,
    FRAMES,
    HEIGHT,
    RATE,
    TOOLS,
    WIDTH,
    Scene,
    Somebody,
    expected,
    write,
)

VIDEOS = ("first", "second_02")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for name in VIDEOS:
        make_video(folder / f"{name}.mp4", frames=FRAMES, rate=RATE, size=(WIDTH, HEIGHT))
    return folder


def converted(tool: str, scene: Scene, videos: Path, folder: Path, **options: object) -> Conversion:
    inputs = write(tool, scene, folder / "in")
    actions = str(folder / "in" / "actions.csv") if tool == "mot" else None
    name = {"cvat images": "cvat", "via2": "via"}.get(tool, tool)
    return convert(
        name, inputs, videos, folder / "out", options=ReadOptions(actions=actions), overwrite=True, **options
    )


def rows_of(folder: Path) -> set[tuple[str, int, tuple[float, ...], str]]:
    table = read_ava_csv(folder / "groundtruth.csv", "groundtruth")
    labels = LabelMap.load(folder / "labels.csv")
    pixels = (table.boxes * [WIDTH, HEIGHT, WIDTH, HEIGHT]).round(2)
    return {
        (table.videos[video], int(second), tuple(box), labels[labels.column(int(action))].name)
        for video, second, box, action in zip(table.video, table.time, pixels.tolist(), table.action, strict=True)
    }


def pixel(most: float, least: float = 0) -> st.SearchStrategy[float]:
    return st.integers(round(100 * least), round(100 * most)).map(lambda value: value / 100)


@st.composite
def somebody(draw: st.DrawFn) -> Somebody:
    first = draw(st.integers(0, 3))
    count = draw(st.integers(1, 4 - first))
    boxes = []
    for _ in range(count):
        x1, y1 = draw(pixel(WIDTH - 10)), draw(pixel(HEIGHT - 10))
        boxes.append((x1, y1, draw(st.just(WIDTH) | pixel(WIDTH, x1 + 1.01)),
                      draw(st.just(HEIGHT) | pixel(HEIGHT, y1 + 1.01))))  # fmt: skip
    does = st.frozensets(st.sampled_from(ACTIONS), min_size=1)
    return Somebody(first, tuple(boxes), tuple(draw(does) for _ in range(count)))


scenes = st.dictionaries(st.sampled_from(VIDEOS), st.lists(somebody(), min_size=1, max_size=3), min_size=1)


@pytest.mark.parametrize("tool", TOOLS)
@given(scene=scenes)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_people_come_back_as_they_were_and_the_folder_is_clean(tool: str, scene: Scene, videos: Path, tmp_path: Path):
    done = converted(tool, scene, videos, tmp_path)
    assert rows_of(tmp_path / "out") == expected(scene)
    assert done.skipped == 0
    assert done.rows == sum(len(person.boxes) for people in scene.values() for person in people)
    checked = check(tmp_path / "out")
    assert [f for f in checked.findings if f.severity == "problem"] == []
    assert checked.statistics.boxes == done.rows
    samples = AvaData(root=str(tmp_path / "out")).samples("train")
    told = sum(len(actions) for people in scene.values() for person in people for actions in person.actions)
    assert sum(int(sample.labels.sum()) for sample in samples) == told


@pytest.mark.parametrize("tool", ["cvat", "cvat images", "via", "via2", "coco", "mot"])
def test_a_person_keeps_one_id(tool: str, videos: Path, tmp_path: Path):
    boxes = ((10.0, 10.0, 30.0, 50.0), (12.0, 10.0, 32.0, 50.0), (14.0, 10.0, 34.0, 50.0))
    others = tuple((x1 + 50, y1, x2 + 50, y2) for x1, y1, x2, y2 in boxes)
    walks = (frozenset(["walk"]),) * 3
    converted(tool, {"first": [Somebody(0, boxes, walks), Somebody(1, others, walks)]}, videos, tmp_path)
    table = read_ava_csv(tmp_path / "out" / "groundtruth.csv", "groundtruth")
    left = table.boxes[:, 0] * WIDTH < 40
    assert table.person is not None
    assert len(np.unique(table.person[left])) == len(np.unique(table.person[~left])) == 1
    assert set(table.person[left].tolist()) != set(table.person[~left].tolist())


def test_labels_fix_the_ids_and_short_names_will_do(videos: Path, tmp_path: Path):
    (tmp_path / "labels.csv").write_text(
        "id,name,group\n12,Walk,pose\n69,hand wave (e.g. hello),person\n80,sit & <talk>,pose\n"
    )
    scene: Scene = {"first": [Somebody(0, ((1.0, 2.0, 30.0, 40.0),), (frozenset(ACTIONS),))]}
    converted("cvat", scene, videos, tmp_path, labels=str(tmp_path / "labels.csv"))
    with (tmp_path / "out" / "groundtruth.csv").open() as file:
        assert sorted(int(row[6]) for row in csv.reader(file) if len(row) > 2) == [12, 69, 80]
    assert LabelMap.load(tmp_path / "out" / "labels.csv") == LabelMap.load(tmp_path / "labels.csv")


def test_links_or_copies(videos: Path, tmp_path: Path):
    scene: Scene = {"first": [Somebody(0, ((1.0, 2.0, 30.0, 40.0),), (frozenset(["walk"]),))]}
    converted("cvat", scene, videos, tmp_path)
    film = tmp_path / "out" / "videos" / "first.mp4"
    assert film.is_symlink()
    assert film.resolve() == (videos / "first.mp4").resolve()
    converted("cvat", scene, videos, tmp_path, copy=True)
    assert not film.is_symlink()
    assert film.read_bytes() == (videos / "first.mp4").read_bytes()
    assert not (tmp_path / "out" / "videos" / "second_02.mp4").exists()


def test_chosen_attributes_alone_are_actions(videos: Path, tmp_path: Path):
    scene: Scene = {"first": [Somebody(0, ((1.0, 2.0, 30.0, 40.0),), (frozenset(ACTIONS),))]}
    done = converted("cvat", scene, videos, tmp_path, naming=Naming(actions=("walk",)))
    assert done.examples == {"walk": 1}
