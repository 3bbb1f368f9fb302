"""Broken CVAT files: each fault names its place, or is left out and counted."""

import re
import zipfile
from pathlib import Path

import pytest

from relact.data.check import check
from relact.data.convert import Keyframing
from relact.errors import InputError
from relact.interop.annotations.naming import Naming
from relact.interop.ava_csv import read_ava_csv
from relact.run.convert import convert
from tests.make_video import make_video
from tests.unit.convert_cases import BOX, GOOD, WALK, one, rows, run
from tests.unit.made_annotations import FRAMES, HEIGHT, RATE, WIDTH, cvat_box, cvat_text


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    make_video(folder / "first.mp4", frames=FRAMES, rate=RATE, size=(WIDTH, HEIGHT))
    return folder


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
