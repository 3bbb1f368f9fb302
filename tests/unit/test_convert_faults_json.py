"""Broken files of the other annotation tools: each fault names its place, or is left out and counted."""

from pathlib import Path

import pytest

from relact.data.convert import Keyframing
from relact.errors import InputError
from relact.interop.annotations.pictures import video_and_number
from relact.interop.annotations.readers import ReadOptions
from tests.make_video import make_video
from tests.unit.convert_cases import rows, run, spoiled
from tests.unit.made_annotations import FRAMES, HEIGHT, RATE, WIDTH


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    make_video(folder / "first.mp4", frames=FRAMES, rate=RATE, size=(WIDTH, HEIGHT))
    return folder


def put(*keys_and_value):
    *keys, last, value = keys_and_value

    def change(content):
        for key in keys:
            content = content[key] if not isinstance(key, type(next)) else key(content)
        content[last] = value

    return change


FIRST = "1_0_1"
VALUE = (0, "annotations", 0, "result", 0, "value")
PICTURE = {"filename": "cover.jpg", "regions": []}
BAD_JSON = [
    ("via", put("metadata", FIRST, "z", ["soon"]), r"metadata\.1_0_1: z is 'soon'; expected a number"),
    ("via", put("metadata", FIRST, "vid", "9"), r"metadata\.1_0_1\.vid: '9' is no view with a file; expected one of 1"),
    ("via", put("metadata", FIRST, "xy", [2, 1, "x", 3, 4]), r"xy is 'x'; expected a number"),
    ("via", put("metadata", FIRST, "xy", [2, 30, 10, -20, 9]), r"has x2 < x1"),
    ("via", put("metadata", FIRST, "z", None), r"expected z \(seconds\) and xy \(a shape\)"),
    ("via", put("metadata", FIRST, "z", [-1.0]), "a picture before the first frame"),
    ("via2", put("_via_img_metadata", "x", PICTURE), r"\['x'\]\.filename: 'cover\.jpg'"),
    ("coco", put("annotations", 0, "image_id", 77), r"annotations\[0\]\.image_id: 77 is not among the images"),
    ("coco", put("annotations", 0, "category_id", 77), r"annotations\[0\]\.category_id: 77 is not among the 4"),
    ("coco", put("annotations", 0, "bbox", [1, 2, 3]), r"annotations\[0\]\.bbox: \[1, 2, 3\]; expected \[left, top"),
    ("coco", put("annotations", 0, "bbox", [1, 2, 3, float("nan")]), r"annotations\[0\]: bbox is 'nan'"),
    ("coco", put("annotations", 0, "bbox", [1, 2, True, None]), r"annotations\[0\]: bbox is 'True'"),
    ("coco", put("images", 0, "video_id", 5), r"images\[0\]\.video_id: 5 is not among the 1 videos"),
    ("coco", put("images", 0, "frame_index", "two"), r"images\[0\]: frame_index is 'two'; expected a number"),
    ("coco", put("images", 0, "width", 97), r"images\[1\]: a picture of 96 x 64 pixels; the others of"),
    ("coco", put("images", 0, "frame_index", 700), "frame 700; the video has 40 frames"),
    ("coco", lambda content: content["videos"].append({"name": "x"}), r"videos\[1\]: expected an object with an id"),
    ("labelstudio", put(*VALUE, "sequence", 0, "x", "left"),
     r"\[0\]\.annotations\[0\]\.result\[0\]\.value\.sequence\[0\]: x is 'left'"),
    ("labelstudio", put(*VALUE, "sequence", 0, "rotation", 12), "turned by 12 degrees"),
    ("labelstudio", put(*VALUE, "sequence", []), r"sequence: \[\]; expected a list"),
    ("labelstudio", put(*VALUE, "framesCount", 0), "neither framesCount and duration"),
    ("labelstudio", put(*VALUE, "sequence", 0, "frame", 0), "frame 0; expected a number"),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "change", "message"), BAD_JSON)
def test_json_faults_are_told_or_skipped(videos: Path, tmp_path: Path, tool: str, change, message: str):
    path = spoiled(tool, tmp_path / "in", change)
    name = {"via2": "via"}.get(tool, tool)
    with pytest.raises(InputError, match=message):
        run(name, path, videos, tmp_path / "out")
    done = run(name, path, videos, tmp_path / "out", skip_bad=True)
    assert done.skipped >= 1
    assert 1 <= done.rows <= 4
    assert done.skipped_first


@pytest.mark.parametrize("tool", ["via", "coco", "labelstudio"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": [1, 2', "line 1: broken JSON .* is the file cut off"),
        ("[\n1,\n]", "line 3: broken JSON|line 2: broken JSON"),
        ("", "broken JSON"),
        ("7", "expected"),
        ("[1]", "expected"),
        ("{}", "expected"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_what_is_no_json_of_the_tool(videos: Path, tmp_path: Path, tool: str, text: str, message: str):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=message):
        run(tool, tmp_path / "a.json", videos, tmp_path / "out")


def test_what_is_no_file_at_all(videos: Path, tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        run("cvat", tmp_path / "none.xml", videos, tmp_path / "out")
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InputError, match="is not a text file"):
        run("coco", tmp_path / "a.json", videos, tmp_path / "out")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"expected \*\.xml or \*\.zip in this folder"):
        run("cvat", tmp_path / "folder", videos, tmp_path / "out")


# --- MOT


def mot(folder: Path, boxes: str, actions: str) -> tuple[Path, ReadOptions]:
    folder.mkdir(exist_ok=True)
    (folder / "first.txt").write_text(boxes)
    (folder / "does.csv").write_text(actions)
    return folder / "first.txt", ReadOptions(actions=str(folder / "does.csv"))


MOT = "1,1,11,11,20,40,1,-1,-1,-1\n11,1,11,11,20,40,1,-1,-1,-1\n"
DOES = "person,action,start_frame,end_frame\n1,walk,1,20\n"
BAD_MOT = [
    (MOT + "21,1,11,11,20\n", DOES, r"first\.txt line 3: 5 columns; expected frame,id,.*is the file cut off"),
    (MOT + "21,1,11,nan,20,40,1\n", DOES, r"first\.txt line 3: top is 'nan'; expected a number"),
    (MOT + "0,1,11,11,20,40,1\n", DOES, r"line 3: frame 0; expected a whole number from 1"),
    (MOT + "21,1,11,11,-20,40,1\n", DOES, r"line 3: box .* has x2 < x1"),
    (MOT, DOES + "1,wave,2\n", r"does\.csv line 3: 3 columns; expected 4"),
    (MOT, DOES + "1,wave,x,9\n", r"does\.csv line 3: start_frame is 'x'"),
    (MOT, DOES + "1,wave,9,2\n", r"does\.csv line 3: end_frame 2 < start_frame 9"),
    (MOT, DOES + "1,,1,2\n", r"does\.csv line 3: no action"),
    (MOT, DOES.replace("person", "video,person").replace("1,walk", "first,1,walk") + "first,4,wave,1,2\n",
     r"does\.csv line 3: person 4 has no box"),
]  # fmt: skip


@pytest.mark.parametrize(("boxes", "actions", "message"), BAD_MOT)
def test_mot_faults_are_told_or_skipped(videos: Path, tmp_path: Path, boxes: str, actions: str, message: str):
    path, options = mot(tmp_path / "in", boxes, actions)
    with pytest.raises(InputError, match=message):
        run("mot", path, videos, tmp_path / "out", options=options)
    done = run("mot", path, videos, tmp_path / "out", options=options, skip_bad=True)
    assert (done.rows, done.skipped) == (2, 1)


def test_mot_needs_its_actions_and_one_clock(videos: Path, tmp_path: Path):
    path, _ = mot(tmp_path / "in", MOT, DOES)
    with pytest.raises(InputError, match="give --actions with a csv person,action,start,end"):
        run("mot", path, videos, tmp_path / "out")
    path, options = mot(tmp_path / "in", MOT, "person,does\n1,walk\n")
    with pytest.raises(InputError, match="line 1: header 'person,does'; expected person,action,start,end"):
        run("mot", path, videos, tmp_path / "out", options=options)
    path, options = mot(tmp_path / "in", MOT, "person,action,start,end\n1,walk,0,1.5\n1,wave,0.8,9\n")
    with pytest.raises(InputError, match="give --fps, or start_frame,end_frame"):
        run("mot", path, videos, tmp_path / "out", options=options)
    timed = ReadOptions(actions=options.actions, fps=RATE)
    assert run("mot", path, videos, tmp_path / "out", options=timed).examples == {"walk": 2, "wave": 1}
    with pytest.raises(InputError, match="--actions is for mot"):
        run("cvat", path, videos, tmp_path / "out", options=options)


# --- rules of the tools


def test_label_studio_ends_with_its_last_enabled_frame(videos: Path, tmp_path: Path):
    def change(content):
        result = content[0]["annotations"][0]["result"]
        del result[2:]
        place = {"x": 0, "y": 0, "width": 50, "height": 50, "rotation": 0}
        result[0]["value"]["sequence"] = [
            {"frame": 1, "enabled": True, **place},
            {"frame": 11, "enabled": False, **place, "x": 10},
            {"frame": 26, "enabled": True, **place, "x": 50},
        ]

    run("labelstudio", spoiled("labelstudio", tmp_path / "in", change), videos, tmp_path / "out")
    assert [(second, box[0]) for second, box, _ in rows(tmp_path / "out")] == [(0, 0), (1, 9.6), (3, 48)]


def test_via_segments_speak_of_their_person(videos: Path, tmp_path: Path):
    def change(content):
        for entry in content["metadata"].values():
            entry["av"].pop("1")
        content["metadata"]["s1"] = {"vid": "1", "z": [0.5, 2.2], "xy": [], "av": {"1": "0", "2": "1"}}
        content["metadata"]["s2"] = {"vid": "1", "z": [0.0, 3.0], "xy": [], "av": {"1": "1"}}

    done = run("via", spoiled("via", tmp_path / "in", change), videos, tmp_path / "out")
    assert [second for second, _, _ in rows(tmp_path / "out")] == [1, 2]
    assert done.ignored["temporal segments that name no person"] == 1


def test_only_pictures_near_a_keyframe_count(videos: Path, tmp_path: Path):
    def change(content):
        for image, frame in zip(content["images"], (0, 9, 16, 33), strict=True):
            image["frame_index"] = frame

    path = spoiled("coco", tmp_path / "in", change)
    done = run("coco", path, videos, tmp_path / "out")
    assert [second for second, _, _ in rows(tmp_path / "out")] == [0, 1]
    assert done.ignored == {"boxes of pictures that are not the nearest to a keyframe, within 0.25 s": 2}
    done = run("coco", path, videos, tmp_path / "out", keyframing=Keyframing(tolerance=0.4))
    assert [second for second, _, _ in rows(tmp_path / "out")] == [0, 1, 2, 3]


def test_pictures_at_another_rate(videos: Path, tmp_path: Path):
    def change(content):
        for number, image in enumerate(content["images"], start=1):
            image["frame_index"] = number

    path = spoiled("coco", tmp_path / "in", change)
    run("coco", path, videos, tmp_path / "out", options=ReadOptions(first_frame=1, fps=1.0))
    assert [second for second, _, _ in rows(tmp_path / "out")] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("name", "fallback", "found"),
    [
        ("bus_00/000012.jpg", "", ("bus_00", 12)),
        ("a/bus_00/frame_12.png", "", ("bus_00", 12)),
        ("bus_00_000012.jpg", "", ("bus_00", 12)),
        ("bus_00_frame_000012.jpg", "", ("bus_00", 12)),
        ("clips\\bus_00_12.jpg", "", ("bus_00", 12)),
        ("frame_000012.png", "hall.mp4", ("hall.mp4", 12)),
        ("000012.png", "", None),
        ("cover.png", "hall", None),
    ],
)
def test_names_of_pictures(name: str, fallback: str, found: tuple[str, int] | None):
    assert video_and_number(name, fallback) == found
