"""Broken annotation files: each fault names its place, or is left out and counted; and the rules of each tool."""

import json
import re
import zipfile
from pathlib import Path

import pytest

from relact.data.check import check
from relact.data.convert import Keyframing
from relact.errors import InputError
from relact.interop.annotations.naming import Naming
from relact.interop.annotations.pictures import video_and_number
from relact.interop.annotations.readers import ReadOptions
from relact.interop.ava_csv import read_ava_csv
from relact.run.convert import Conversion, convert
from tests.make_video import make_video
from tests.unit.made_annotations import FRAMES, HEIGHT, RATE, WIDTH, Somebody, cvat_box, cvat_text, write

WALK = frozenset(["walk"])
BOX = (10.0, 10.0, 30.0, 50.0)
SCENE = {"first": [Somebody(0, (BOX,) * 4, (WALK,) * 4)]}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    make_video(folder / "first.mp4", frames=FRAMES, rate=RATE, size=(WIDTH, HEIGHT))
    return folder


def run(tool: str, path: Path | list[Path], videos: Path, out: Path, **options) -> Conversion:
    inputs = path if isinstance(path, list) else [path]
    return convert(tool, inputs, videos, out, overwrite=True, **options)


def one(*boxes: str) -> str:
    return '<track id="0" label="person">\n' + "".join(boxes) + "</track>\n"


GOOD = one(cvat_box(0, BOX, WALK))


def cvat_file(folder: Path, tracks: str, video: str = "first") -> Path:
    path = folder / "task.xml"
    path.write_text(cvat_text(video, tracks), encoding="utf-8")
    return path


BAD_TRACKS = [
    (
        one(cvat_box(5, BOX, WALK).replace('"10.00"', '"nan"', 1)),
        r"task\.xml line \d+: xtl is 'nan'; expected a number",
    ),
    (one(cvat_box(5, BOX, WALK).replace('xbr="30.00"', "")), r"line \d+: xbr is missing; expected a number"),
    (one(cvat_box(5, (30, 10, 10, 50), WALK)), r"line \d+: box \(30, 10, 10, 50\) has x2 < x1"),
    (one(cvat_box(5, BOX, WALK).replace('frame="5"', 'frame="5.5"')), r"line \d+: frame is 5\.5; expected a whole"),
    (
        one(cvat_box(5, BOX, WALK).replace('frame="5"', 'frame="-5"')),
        r"frame is -5; expected a whole number, 0 or more",
    ),
    (
        one(cvat_box(5, BOX, WALK).replace("<box", '<box rotation="30"')),
        r"a box turned by 30 degrees; expected upright",
    ),
    (one(cvat_box(5, BOX, WALK), cvat_box(5, BOX, WALK)), r"a second box of the same person at 5; expected one"),
    (
        one(cvat_box(0, BOX, WALK), cvat_box(900, BOX, WALK)),
        r"frame 900; the video has 40 frames, from 0\. Is this ann",
    ),
    (one(cvat_box(0, (300, 10, 400, 50), WALK)), r"second 0: a box far outside of the picture of 96 x 64 pixels"),
]


@pytest.mark.parametrize(("tracks", "message"), BAD_TRACKS)
def test_cvat_faults_are_told_or_skipped(videos: Path, tmp_path: Path, tracks: str, message: str):
    path = cvat_file(tmp_path, GOOD + tracks)
    with pytest.raises(InputError, match=message):
        run("cvat", path, videos, tmp_path / "out")
    assert not (tmp_path / "out" / "groundtruth.csv").exists()
    done = run("cvat", path, videos, tmp_path / "out", skip_bad=True)
    assert done.skipped >= 1
    assert done.rows >= 4  # the good track holds to the end


XML = [
    ("<annotations><track>", "line 1: broken XML .* is the file cut off"),
    ("", "broken XML"),
    ("<html><p/></html>", "line 1: the root is <html>; expected <annotations>"),
    ('<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY b "c">]>\n<annotations/>', "line 2: a DOCTYPE or an entity"),
    ('<!DOCTYPE a SYSTEM "file:///etc/passwd">\n<annotations/>', "line 1: a DOCTYPE"),
    ("\0\1\2 not xml", "line 1: broken XML"),
    ("<annotations/>", "nobody does anything .* 1 files without a track or an image"),
]


@pytest.mark.parametrize(("text", "message"), XML)
@pytest.mark.parametrize("skip_bad", [False, True])
def test_what_is_no_cvat_xml(videos: Path, tmp_path: Path, text: str, message: str, skip_bad: bool):
    (tmp_path / "task.xml").write_text(text)
    with pytest.raises(InputError, match=message):
        run("cvat", tmp_path / "task.xml", videos, tmp_path / "out", skip_bad=skip_bad)


def test_entities_do_not_multiply(videos: Path, tmp_path: Path):
    levels = "".join(f'<!ENTITY l{k} "{f"&l{k - 1};" * 10}">' for k in range(1, 12))
    text = f'<!DOCTYPE a [<!ENTITY l0 "ha">{levels}]><annotations>&l11;</annotations>'
    (tmp_path / "task.xml").write_text(text)
    with pytest.raises(InputError, match="a DOCTYPE"):
        run("cvat", tmp_path / "task.xml", videos, tmp_path / "out")


def test_zips(videos: Path, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "task.zip", "w") as archive:
        archive.writestr("annotations.xml", cvat_text("first", GOOD))
        archive.writestr("images/readme.txt", "x")
    assert run("cvat", tmp_path / "task.zip", videos, tmp_path / "out").rows == 4
    whole = (tmp_path / "task.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.zip: is not a zip file, or was cut off"):
        run("cvat", tmp_path / "cut.zip", videos, tmp_path / "out")
    damaged = bytearray(whole)
    damaged[60:90] = b"\0" * 30
    (tmp_path / "bad.zip").write_bytes(damaged)
    with pytest.raises(InputError, match=r"cannot be unzipped|broken XML|the root"):
        run("cvat", tmp_path / "bad.zip", videos, tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "none.zip", "w") as archive:
        archive.writestr("a.txt", "x")
    with pytest.raises(InputError, match=r"expected one \.xml file in the zip, got 0 \(it holds a\.txt\)"):
        run("cvat", tmp_path / "none.zip", videos, tmp_path / "out")


def test_missing_and_unknown_videos(videos: Path, tmp_path: Path):
    path = cvat_file(tmp_path, GOOD, video="frist")
    with pytest.raises(InputError, match=r"video 'frist\.mp4' is not in .*; nearest name: 'first'"):
        run("cvat", path, videos, tmp_path / "out")
    other = tmp_path / "more"
    other.mkdir()
    (other / "a.xml").write_text(cvat_text("first", GOOD))
    (other / "b.xml").write_text(cvat_text("frist", GOOD))
    done = run("cvat", other, videos, tmp_path / "out", skip_bad=True)
    assert (done.videos, done.skipped) == (1, 1)
    with pytest.raises(InputError, match="no such folder; expected the annotated videos"):
        run("cvat", path, tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no video in it or below it"):
        run("cvat", path, tmp_path / "empty", tmp_path / "out")


def test_an_export_that_names_no_video(videos: Path, tmp_path: Path):
    """As CVAT exports a job: neither source nor size."""
    text = "<annotations><meta><job><id>3</id><stop_frame>39</stop_frame></job></meta>" + GOOD + "</annotations>"
    (tmp_path / "job.xml").write_text(text)
    assert run("cvat", tmp_path / "job.xml", videos / "first.mp4", tmp_path / "out").rows == 4
    both = tmp_path / "both"
    both.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (both / name).write_bytes((videos / "first.mp4").read_bytes())
    with pytest.raises(
        InputError, match=r"job\.xml line 1: names no video, and .*both has 2; give its video: --videos FILE"
    ):
        run("cvat", tmp_path / "job.xml", both, tmp_path / "out")


def test_a_project_of_two_tasks(videos: Path, tmp_path: Path):
    tasks = "".join(
        f"<task><id>{k}</id><name>{name}</name><stop_frame>{stop}</stop_frame><source>{name}.mp4</source></task>"
        for k, name, stop in ((11, "first", 15), (12, "again", 39))
    )
    track = GOOD.replace("<track", '<track task_id="{}"')
    body = track.format(12) + track.format(11) + track.format(12)
    text = f"<annotations><meta><project><id>1</id><name>p</name><tasks>{tasks}</tasks></project></meta>{body}"
    (tmp_path / "project.xml").write_text(text + "</annotations>")
    both = tmp_path / "both"
    both.mkdir()
    for name in ("first.mp4", "again.mp4"):
        (both / name).write_bytes((videos / "first.mp4").read_bytes())
    run("cvat", tmp_path / "project.xml", both, tmp_path / "out")
    table = read_ava_csv(tmp_path / "out" / "groundtruth.csv", "groundtruth")
    counted = [(table.videos[k], int((table.video == k).sum())) for k in range(len(table.videos))]
    assert counted == [("again", 8), ("first", 2)]  # the task of first.mp4 ends with frame 15


def test_two_files_about_one_video_speak_of_different_people(videos: Path, tmp_path: Path):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        (tmp_path / "in" / f"{name}.xml").write_text(cvat_text("first", GOOD))
    run("cvat", tmp_path / "in", videos, tmp_path / "out")
    table = read_ava_csv(tmp_path / "out" / "groundtruth.csv", "groundtruth")
    assert table.person is not None
    assert sorted(set(table.person.tolist())) == [1, 2]


def test_a_video_that_cannot_be_read(tmp_path: Path):
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "first.mp4").write_bytes(b"nonsense" * 100)
    with pytest.raises(InputError, match=r"first\.mp4: is not a video"):
        run("cvat", cvat_file(tmp_path, GOOD), folder, tmp_path / "out")


def test_a_video_of_another_shape(videos: Path, tmp_path: Path):
    path = cvat_file(tmp_path, GOOD)
    path.write_text(path.read_text().replace(f"<width>{WIDTH}<", f"<width>{HEIGHT}<").replace(
        f"<height>{HEIGHT}<", f"<height>{WIDTH}<"))  # fmt: skip
    with pytest.raises(InputError, match=r"pictures of 64 x 96 pixels; .* has 96 x 64 \(is it turned\?"):
        run("cvat", path, videos, tmp_path / "out")


def test_boxes_drawn_on_a_smaller_copy_of_the_video(videos: Path, tmp_path: Path):
    path = cvat_file(tmp_path, one(cvat_box(0, (5.0, 5.0, 15.0, 25.0), WALK)))
    path.write_text(path.read_text().replace(f"<width>{WIDTH}<", f"<width>{WIDTH // 2}<").replace(
        f"<height>{HEIGHT}<", f"<height>{HEIGHT // 2}<"))  # fmt: skip
    run("cvat", path, videos, tmp_path / "out")
    assert (
        (tmp_path / "out" / "groundtruth.csv").read_text().startswith("first,0000,0.104167,0.156250,0.312500,0.781250,")
    )


def rows(folder: Path) -> list[tuple[float, list[float], int]]:
    table = read_ava_csv(folder / "groundtruth.csv", "groundtruth")
    pixels = (table.boxes * [WIDTH, HEIGHT, WIDTH, HEIGHT]).round(2).tolist()
    return list(zip(table.time.tolist(), pixels, table.action.tolist(), strict=True))


def test_cvat_moves_boxes_in_straight_lines_and_attributes_hold(videos: Path, tmp_path: Path):
    """Frames 5 and 25 are written: 10 is a quarter of the way; outside from 25 on; back at 30 with another action."""
    late = cvat_box(25, (30.0, 10.0, 50.0, 50.0), WALK, outside=True)
    back = cvat_box(30, (0.0, 0.0, 20.0, 40.0), frozenset(["hand wave"]))
    run("cvat", cvat_file(tmp_path, one(cvat_box(5, BOX, WALK), late, back)), videos, tmp_path / "out")
    assert rows(tmp_path / "out") == [
        (1.0, [15, 10, 35, 50], 1), (2.0, [25, 10, 45, 50], 1), (3.0, [0, 0, 20, 40], 2)
    ]  # fmt: skip
    truth = read_ava_csv(tmp_path / "out" / "groundtruth.csv", "groundtruth")
    assert truth.empty.microseconds.tolist() == [0]  # the task covers second 0, where nobody is


def test_attributes_that_are_not_written_again_hold(videos: Path, tmp_path: Path):
    again = cvat_box(15, BOX, WALK)
    again = again[: again.index("<attribute")] + "</box>\n"
    run("cvat", cvat_file(tmp_path, one(cvat_box(0, BOX, WALK), again)), videos, tmp_path / "out")
    assert [action for _, _, action in rows(tmp_path / "out")] == [1, 1, 1, 1]


def test_keyframes_between_seconds(videos: Path, tmp_path: Path):
    path = cvat_file(tmp_path, GOOD)
    run("cvat", path, videos, tmp_path / "out", keyframing=Keyframing(every=0.5))
    assert [second for second, _, _ in rows(tmp_path / "out")] == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]


def test_labels_are_actions_where_there_are_no_attributes(videos: Path, tmp_path: Path):
    text = cvat_text("first", GOOD.replace('label="person"', 'label="digging"'))
    text = (
        text[: text.index("<labels>")]
        + "<labels><label><name>digging</name></label></labels>"
        + text[text.index("</labels>") + 9 :]
    )
    (tmp_path / "task.xml").write_text(re.sub(r"<attribute .*?</attribute>", "", text))
    done = run("cvat", tmp_path / "task.xml", videos, tmp_path / "out")
    assert done.examples == {"digging": 4}
    with pytest.raises(InputError, match="4 boxes of people without an action"):
        run("cvat", tmp_path / "task.xml", videos, tmp_path / "out", naming=Naming(label_is="person"))


def test_other_labels_and_shapes_are_counted(videos: Path, tmp_path: Path):
    cup = GOOD.replace('label="person"', 'label="cup"')
    polygon = '<track id="4" label="person"><polygon frame="0" points="1,1;2,2;3,1"/></track>\n'
    done = run(
        "cvat", cvat_file(tmp_path, GOOD + cup + polygon), videos, tmp_path / "out", naming=Naming(labels=("person",))
    )
    assert done.rows == 4
    assert done.ignored == {"boxes labelled 'cup'": 1, "polygon shapes (only boxes are read)": 1}
    with pytest.raises(InputError, match="no label is called 'people'; the annotation has person"):
        run("cvat", cvat_file(tmp_path, GOOD), videos, tmp_path / "out", naming=Naming(labels=("people",)))
    with pytest.raises(InputError, match="no attribute is called 'pose'; the annotation has walk, hand wave"):
        run("cvat", cvat_file(tmp_path, GOOD), videos, tmp_path / "out", naming=Naming(actions=("pose",)))


def test_selects_and_texts(videos: Path, tmp_path: Path):
    labels = (
        "<labels><label><name>person</name><attributes>"
        "<attribute><name>pose</name><input_type>select</input_type><values>none\nstand\nsit</values></attribute>"
        "<attribute><name>also</name><input_type>text</input_type><values></values></attribute>"
        "<attribute><name>age</name><input_type>number</input_type><values>0\n99\n1</values></attribute>"
        "</attributes></label></labels>"
    )
    text = cvat_text("first", GOOD)
    text = text[: text.index("<labels>")] + labels + text[text.index("</labels>") + 9 :]
    start, end = text.index("<attribute name="), text.rindex("</box>")
    written = {"pose": "sit", "also": "eat, talk", "age": "7"}
    said = "".join(f'<attribute name="{name}">{value}</attribute>' for name, value in written.items())
    (tmp_path / "task.xml").write_text(text[:start] + said + text[end:])
    done = run("cvat", tmp_path / "task.xml", videos, tmp_path / "out")
    assert done.examples == {"stand": 0, "sit": 4, "eat": 4, "talk": 4}
    assert (tmp_path / "out" / "labels.csv").read_text().splitlines()[1:] == [
        "1,stand,pose,1", "2,sit,pose,1", "3,eat,action,1", "4,talk,action,1"
    ]  # fmt: skip


def test_actions_that_given_labels_lack(videos: Path, tmp_path: Path):
    (tmp_path / "labels.csv").write_text("id,name\n1,walks\n2,run\n")
    with pytest.raises(InputError, match=r"1 actions are not in the label map, such as 'walk' \(nearest: 'walks'\)"):
        run("cvat", cvat_file(tmp_path, GOOD), videos, tmp_path / "out", labels=str(tmp_path / "labels.csv"))


def test_an_existing_set_is_not_overwritten_unasked(videos: Path, tmp_path: Path):
    path = cvat_file(tmp_path, GOOD)
    convert("cvat", [path], videos, tmp_path / "out")
    with pytest.raises(InputError, match="exists already; give another folder, or --overwrite"):
        convert("cvat", [path], videos, tmp_path / "out")


def test_what_was_half_written_is_refused_and_made_again(videos: Path, tmp_path: Path):
    path = cvat_file(tmp_path, GOOD)
    (tmp_path / "out" / "groundtruth.csv").mkdir(parents=True)
    with pytest.raises(InputError, match="is a folder"):
        run("cvat", path, videos, tmp_path / "out")
    with pytest.raises(InputError, match="its writing was cut off"):
        check(tmp_path / "out")
    (tmp_path / "out" / "groundtruth.csv").rmdir()
    convert("cvat", [path], videos, tmp_path / "out")
    assert check(tmp_path / "out").problems == 0


# --- JSON


def spoiled(tool: str, folder: Path, change) -> Path:
    [path] = write(tool, SCENE, folder)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


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
        ("toy_00/000012.jpg", "", ("toy_00", 12)),
        ("a/toy_00/frame_12.png", "", ("toy_00", 12)),
        ("toy_00_000012.jpg", "", ("toy_00", 12)),
        ("toy_00_frame_000012.jpg", "", ("toy_00", 12)),
        ("clips\\toy_00_12.jpg", "", ("toy_00", 12)),
        ("frame_000012.png", "toy.mp4", ("toy.mp4", 12)),
        ("000012.png", "", None),
        ("cover.png", "toy", None),
    ],
)
def test_names_of_pictures(name: str, fallback: str, found: tuple[str, int] | None):
    assert video_and_number(name, fallback) == found
