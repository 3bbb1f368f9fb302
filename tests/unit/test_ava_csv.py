import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relact.errors import InputError
from relact.interop import ava_rows
from relact.interop.ava_csv import format_ava_rows, format_time, read_ava_csv, read_excluded, write_ava_csv
from relact.interop.files import atomic_path

GROUNDTRUTH = "v,902,0.1,0.2,0.5,0.9,12,3\nv,0903\nw,5.016949,0,0,1,1,80\n"
PREDICTIONS = "v,0902,0.1,0.2,0.5,0.9,12,0.25\nv,902.000000,0.1,0.2,0.5,0.9,80,1e-3\n"


@pytest.fixture
def written(tmp_path: Path):
    def write(content: str | bytes, name: str = "a.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_groundtruth_of_three_widths(written):
    table = read_ava_csv(written(GROUNDTRUTH), "groundtruth")
    assert table.videos == ("v", "w")
    assert table.video.tolist() == [0, 1]
    assert table.microseconds.tolist() == [902_000_000, 5_016_949]
    assert table.time.tolist() == [902.0, 5.016949]
    assert table.boxes.tolist() == [[0.1, 0.2, 0.5, 0.9], [0, 0, 1, 1]]
    assert table.action.tolist() == [12, 80]
    assert table.person is not None
    assert table.person.tolist() == [3, -1]
    assert table.score is None
    assert table.lines.tolist() == [1, 3]
    assert (table.empty.video.tolist(), table.empty.microseconds.tolist()) == ([0], [903_000_000])
    assert table.keyframes.microseconds.tolist() == [902_000_000, 5_016_949, 903_000_000]


def test_predictions_and_a_missing_score(written):
    table = read_ava_csv(written(PREDICTIONS + "v,0903,0,0,1,1,4\n"), "predictions")
    assert table.score is not None
    assert table.score.tolist() == [0.25, 0.001, 1.0]
    assert table.person is None
    assert table.microseconds.tolist() == [902_000_000, 902_000_000, 903_000_000]


def test_boxes_may_lack_the_action(written):
    table = read_ava_csv(written("v,0902,0,0,1,1,,0.99\nv,0902,0,0,1,1,12,0.5\nv,0902,0,0,1,1,\n"), "boxes")
    assert table.action.tolist() == [-1, 12, -1]
    assert table.score is not None
    assert table.score.tolist() == [0.99, 0.5, 1.0]
    with pytest.raises(InputError, match="line 1: action '' is not a number"):
        read_ava_csv(table.path, "predictions")


@pytest.mark.parametrize(
    "dress",
    [
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n\n",
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "  \n"),
        lambda text: text.replace(",", " , "),
        lambda text: text.replace("v,", '"v",'),
        lambda text: gzip.compress(text.encode()),
    ],
)
def test_dress_does_not_matter(written, dress):
    plain = read_ava_csv(written(PREDICTIONS), "predictions")
    other = read_ava_csv(written(dress(PREDICTIONS), "other.csv.gz"), "predictions")
    assert other.videos == plain.videos
    assert other.lines.tolist() == plain.lines.tolist()
    assert other.microseconds.tolist() == plain.microseconds.tolist()
    assert (other.boxes == plain.boxes).all()
    assert other.score is not None
    assert other.score.tolist() == [0.25, 0.001]


def test_blank_lines_keep_the_line_numbers(written):
    table = read_ava_csv(written("\n" + GROUNDTRUTH.replace("w,", "\nw,")), "groundtruth")
    assert table.lines.tolist() == [2, 5]
    assert table.where(1).endswith("a.csv line 5")


@pytest.mark.parametrize("content", ["", "\n", "\ufeff", " \n\n"])
def test_an_empty_file_has_no_rows(written, content):
    for kind in ("groundtruth", "predictions", "boxes"):
        table = read_ava_csv(written(content), kind)
        assert (len(table), len(table.keyframes), table.boxes.shape) == (0, 0, (0, 4))


def test_names_may_hold_commas_quotes_and_umlauts(written):
    names = ["a,b", 'say "hi"', "küche", "平"]
    columns = dict(seconds=[902, 5.016949, 0, 12345], boxes=[[0, 0.25, 0.5, 1]] * 4, actions=[1, 2, 3, 4])
    path = written("")
    write_ava_csv(path, format_ava_rows(videos=names, scores=[0.5, 0.25, 1, 0], **columns))
    table = read_ava_csv(path, "predictions")
    assert table.videos == tuple(names)
    assert table.time.tolist() == columns["seconds"]
    assert table.action.tolist() == columns["actions"]


GOOD = "v,0902,0.1,0.1,0.5,0.9,12,0.9\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("v,0902,0.1,0.1,413,0.9,12,0.9", r"x2=413 > 1\. Pixel boxes\? add --box-units pixel"),
        ("v,0902,0.1,0.1,0.5,1.3,12,0.9", "y2=1.3 > 1: outside the frame"),
        ("v,0902,-0.2,0.1,0.5,0.9,12,0.9", "x1=-0.2 < 0: outside the frame"),
        ("v,0902,0.6,0.1,0.5,0.9,12,0.9", r"x2=0\.5 < x1=0\.6"),
        ("v,0902,0.1,0.9,0.5,0.1,12,0.9", r"y2=0\.1 < y1=0\.9"),
        ("v,0902,0.1,nan,0.5,0.9,12,0.9", "y1=nan is not a finite number"),
        ("v,0902,0.1,0.1,inf,0.9,12,0.9", "x2=inf is not a finite number"),
        ("v,0902,0.1,0.1,0.5,0.9,12,nan", "score nan is not a finite number"),
        ("v,0902,0.1,0.1,0.5,0.9,0,0.9", "action 0; ids start at 1"),
        ("v,0902,0.1,0.1,0.5,0.9,-3,0.9", "action -3; ids start at 1"),
        ("v,0902,0.1,0.1,0.5,0.9,1.5,0.9", r"action 1\.5; expected the number of an action"),
        ("v,0902,0.1,0.1,0.5,0.9,sit,0.9", "action 'sit' is not a number"),
        ("v,0902,0.1,o.1,0.5,0.9,12,0.9", "y1 'o.1' is not a number"),
        ("v,0902,0.1,,0.5,0.9,12,0.9", "y1 '' is not a number"),
        ("v,0902,0.1,0.1,0.5,0.9,12,1_0", "score '1_0' is not a number"),
        ("v,-4,0.1,0.1,0.5,0.9,12,0.9", "time -4; expected seconds"),
        ("v,nan,0.1,0.1,0.5,0.9,12,0.9", "time nan; expected seconds"),
        (",0902,0.1,0.1,0.5,0.9,12,0.9", "the video name is empty"),
        ("v,0902,0.1,0.1,0.5,0.9", r"expected 7 or 8 columns .*, got 6 columns"),
        ("v,0902,0.1,0.1,0.5,0.9,12,0.9,7", r"expected 7 or 8 columns .*, got 9 columns"),
        ("v;0902;0.1", r"expected 7 or 8 columns .*, got 1 columns: v;0902;0.1"),
    ],
)
def test_a_bad_line_is_named(written, line, message):
    path = written(GOOD * 3 + line + "\n" + GOOD)
    with pytest.raises(InputError, match=rf"a\.csv line 4: .*{message}"):
        read_ava_csv(path, "predictions")


def test_the_first_of_several_bad_lines_is_named(written):
    path = written(GOOD + GOOD.replace("0.5", "0.05") + GOOD.replace(",12,", ",0,") + "v,nan\n")
    with pytest.raises(InputError, match="line 2: x2"):
        read_ava_csv(path, "predictions")


def test_a_bad_line_in_a_later_chunk(written, monkeypatch):
    monkeypatch.setattr(ava_rows, "_CHUNK", 64)
    lines = GOOD * 50 + "v,0903\n" + GOOD.replace("v,", "w,") * 10
    table = read_ava_csv(written(lines), "predictions")
    assert len(table) == 60
    assert table.lines.tolist() == [*range(1, 51), *range(52, 62)]
    assert table.video.tolist() == [0] * 50 + [1] * 10
    with pytest.raises(InputError, match=r"line 62: x2=0.05"):
        read_ava_csv(written(lines + GOOD.replace("0.5", "0.05") + GOOD), "predictions")


@pytest.mark.parametrize("cut", range(1, 27))
def test_a_broken_last_line_is_named(written, cut):
    """Every cut that takes the score is found; one inside the score's digits leaves a row like any other."""
    with pytest.raises(InputError, match=r"line 3: .*cut off"):
        read_ava_csv(written(GOOD * 2 + GOOD[:cut]), "predictions")


def test_a_two_column_last_line_is_usual_where_others_are(written):
    assert len(read_ava_csv(written("v,0901\n" + GOOD + "v,0903"), "predictions").empty) == 2


def test_header_and_swapped_files_get_a_hint(written):
    with pytest.raises(InputError, match=r"line 1: time 'time' is not a number \(these files have no header"):
        read_ava_csv(written("video,time,x1,y1,x2,y2,action,score\n" + GOOD), "predictions")
    with pytest.raises(InputError, match=r"line 1: person id 0\.9; .*is this a predictions file"):
        read_ava_csv(written(GOOD), "groundtruth")


def test_pixel_boxes(written):
    path = written("v,0902,10,20,413,300,12,0.9\n")
    assert read_ava_csv(path, "predictions", "pixel").boxes.tolist() == [[10, 20, 413, 300]]
    with pytest.raises(InputError, match=r"x1=10 > 1. Pixel boxes"):
        read_ava_csv(path, "predictions")


def test_unreadable_files(written, tmp_path):
    with pytest.raises(InputError, match=r"none.csv: cannot be read"):
        read_ava_csv(tmp_path / "none.csv", "predictions")
    with pytest.raises(InputError, match="cannot be read"):
        read_ava_csv(tmp_path, "predictions")
    with pytest.raises(InputError, match="not a text file"):
        read_ava_csv(written(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "predictions")
    with pytest.raises(InputError, match="gzip file is cut off"):
        read_ava_csv(written(gzip.compress(PREDICTIONS.encode())[:-12]), "predictions")
    with pytest.raises(InputError, match="not UTF-8"):
        read_ava_csv(written(b"\xff\xfe" + GOOD.encode()), "predictions")


def test_excluded(written):
    keyframes = read_excluded(written("v,0904\nw,0905\n"))
    assert keyframes.videos == ("v", "w")
    assert keyframes.microseconds.tolist() == [904_000_000, 905_000_000]
    with pytest.raises(InputError, match=r"line 1: expected 2 columns \(video,time\), got 8"):
        read_excluded(written(GOOD))


def test_written_rows(tmp_path):
    path = tmp_path / "deep" / "out.csv"
    rows = format_ava_rows(
        videos=["v", "w"],
        seconds=[902, 5.016949],
        boxes=[[0, 0.1234, 0.5, 1], [0.25, 0.25, 0.75, 0.75]],
        actions=[12, 80],
        scores=[0.98765432, 0],
        score_decimals=4,
    )
    write_ava_csv(path, rows)
    assert path.read_text() == (
        "v,0902,0.000,0.123,0.500,1.000,12,0.9877\nw,5.016949,0.250,0.250,0.750,0.750,80,0.0000\n"
    )
    with pytest.raises(InputError, match="not a finite number"):
        list(format_ava_rows(videos=["v"], seconds=[1], boxes=[[0, 0, 1, 1]], actions=[1], scores=[np.nan]))


def test_nothing_is_left_half_written(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError):
        write_ava_csv(path, (f"{1 / k}\n" for k in (2, 1, 0)))
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="is a folder"), atomic_path(tmp_path):
        pass
    with pytest.raises(InputError, match="cannot make its folder"), atomic_path(path / "x" / "y.csv"):
        pass


@given(st.integers(0, 10**9 * 1000))
def test_times_survive_writing(microseconds):
    seconds = microseconds / 1e6
    assert np.rint(float(format_time(seconds)) * 1e6) == microseconds


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 2000), st.integers(1, 80), st.floats(0, 1)),
        max_size=20,
    ),
    st.booleans(),
)
def test_round_trip(tmp_path_factory, rows, quoted):
    """What is written is read again, by the fast path and (names in quotes) by the careful one."""
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    videos, seconds, actions, scores = zip(*rows, strict=True) if rows else ((), (), (), ())
    names = ['"' + name for name in videos] if quoted else list(videos)
    boxes = np.tile([0.125, 0.25, 0.5, 0.75], (len(rows), 1))
    write_ava_csv(
        path,
        format_ava_rows(videos=names, seconds=seconds, boxes=boxes, actions=actions, scores=scores, score_decimals=17),
    )
    table = read_ava_csv(path, "predictions")
    assert table.score is not None
    assert [table.videos[k] for k in table.video] == names
    assert table.time.tolist() == list(seconds)
    assert (table.boxes == boxes).all()
    assert table.action.tolist() == list(actions)
    assert np.allclose(table.score, scores, rtol=0, atol=1e-16)


def test_real_files(shared_data):
    annotations = shared_data / "ava" / "annotations"
    whole = read_ava_csv(annotations / "ava_val_v2.1_8videos.csv", "groundtruth")
    assert (len(whole), len(whole.videos), len(np.unique(whole.action))) == (27_163, 8, 64)
    poses = read_ava_csv(annotations / "ava_val_v2.1_pose_only_64videos.csv", "groundtruth")
    assert (len(poses), len(poses.videos)) == (93_400, 64)
    kinetics = read_ava_csv(annotations / "kinetics_val_v1.0.csv", "groundtruth")
    assert (len(kinetics), len(kinetics.empty), len(kinetics.videos)) == (65_172, 8_673, 31_228)
    keys = np.stack([kinetics.keyframes.video, kinetics.keyframes.microseconds], axis=1)
    assert len(np.unique(keys, axis=0)) == 31_272
    proposals = shared_data / "ava" / "proposals" / "ava_val_predicted_boxes_sample.csv"
    assert set(read_ava_csv(proposals, "boxes").action.tolist()) == {-1}
