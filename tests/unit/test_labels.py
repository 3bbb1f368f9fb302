from pathlib import Path

import pytest

from relact.errors import InputError
from relact.labels import LabelMap


def test_ava_has_80_actions_in_three_groups_and_60_are_evaluated():
    ava = LabelMap.load("ava")
    assert {group: len(ids) for group, ids in ava.groups().items()} == {
        "pose": 14,
        "object": 49,
        "person": 17,
    }
    assert len(ava) == 80
    assert LabelMap.load("ava60") == ava.evaluated()
    assert len(LabelMap.load("ava60")) == 60


def test_the_first_13_columns_of_the_60_are_poses_without_crawl():
    ava60 = LabelMap.load("ava60")
    assert ava60.exclusive == tuple(range(13))
    assert ava60.ids[:13] == (1, *range(3, 15))
    assert ava60.column(80) == 59
    assert ava60.column(2) is None


def test_ucf24_has_24_names_in_alphabetical_order():
    ucf = LabelMap.load("ucf24")
    assert len(ucf) == 24
    assert ucf[0].name == "Basketball"
    assert ucf[23].name == "WalkingWithDog"
    assert list(ucf.names) == sorted(ucf.names)


@pytest.mark.parametrize(
    ("file", "map_name"),
    [("ava_action_list_v2.2.pbtxt", "ava"), ("ava_action_list_v2.2_for_activitynet_2019.pbtxt", "ava60")],
)
def test_the_official_files_read_as_the_shipped_maps(shared_data: Path, file: str, map_name: str):
    read, shipped = LabelMap.load(shared_data / "ava" / "annotations" / file), LabelMap.load(map_name)
    assert [(v.id, v.name, v.group) for v in read] == [(v.id, v.name, v.group) for v in shipped]


def test_a_csv_with_or_without_header(tmp_path: Path):
    (tmp_path / "a.csv").write_text("id,name,group\n3,sit,pose\n7,eat,\n")
    (tmp_path / "b.csv").write_text("3,sit,pose\n7,eat\n")
    assert LabelMap.load(tmp_path / "a.csv") == LabelMap.load(tmp_path / "b.csv")
    assert LabelMap.load(tmp_path / "a.csv").groups() == {"pose": (3,), "action": (7,)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,name\n0,sit\n", "line 2: expected id,name"),
        ("id,name\n1,sit\n1,stand\n", "lists an id twice"),
        ("", "no labels in it"),
        ('label {\n name: "x"\n}\n', "line 1: expected a name and an id"),
    ],
)
def test_bad_maps_are_refused_with_the_place(tmp_path: Path, text: str, message: str):
    path = tmp_path / "labels.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        LabelMap.load(path)


def test_a_missing_map_names_the_shipped_ones(tmp_path: Path):
    with pytest.raises(InputError, match="one of ava, ava60, ucf24"):
        LabelMap.load(tmp_path / "none.pbtxt")
