"""Reports without a browser: what the page is given, where the video is found, and what is refused."""

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from relact.cli import app
from relact.data.decode import FrameStream, probe
from relact.data.encode import VideoWriter
from relact.errors import InputError
from relact.labels import Label, LabelMap
from relact.run.report import report
from relact.run.report_film import browsers_play
from relact.types import Detections, Keyframe
from relact.video.run_record import Counts, Protocol, RunRecord, Source, Weights, fingerprint
from relact.video.segments import Hysteresis, open_segments
from relact.video.tables import open_actions
from relact.viz.report import page, read_summary
from relact.viz.report.pack import column

STAND, WATCH = Label(id=12, name="stand", group="pose"), Label(id=80, name="watch (a person)", group="person")
LABELS = LabelMap([STAND, WATCH, Label(id=99, name="own")])
BOXES = {1: (0.1, 0.2, 0.3, 0.9), 2: (0.6, 0.2, 0.8, 0.9)}
SCORES = {1: (0.9, 0.4, 0.06), 2: (0.01, 0.02, 0.8)}
KINDS = {8: "u1", 16: "<u2", 32: "<u4", -8: "i1", -16: "<i2", -32: "<i4"}


def write_film(path: Path, seconds: float = 3.0) -> Path:
    with VideoWriter(path, 64, 48, 10) as writer:
        for number in range(round(seconds * 10)):
            writer.write(np.full((48, 64, 3), 5 * number, np.uint8), number / 10)
    return path


def write_result(
    folder: Path, video: Path, *, name: str = "film", people: tuple[int, ...] = (1, 2), kind: str = "csv", **more: Any
) -> Path:
    """Three keyframes of people who stay where they are."""
    table = open_actions(folder / f"actions.{kind}", LABELS, video=name)
    with table as actions, open_segments(folder / "segments.csv", LABELS, Hysteresis(), video=name) as segments:
        for second in range(3):
            keyframe = Detections(
                key=Keyframe(name, second), time=float(second), frame=10 * second, pts=second, width=64, height=48,
                boxes=np.array([BOXES[p] for p in people], np.float32).reshape(-1, 4),
                box_scores=np.full(len(people), 0.9, np.float32),
                scores=np.array([SCORES[p] for p in people], np.float32).reshape(-1, 3),
                person=np.array(people, np.int64), track=np.array(people, np.int64),
            )  # fmt: skip
            actions.write(keyframe)
            segments.write(keyframe)
        segments.close(3.0)
    size, head = fingerprint(video) if video.is_file() else (None, None)
    RunRecord(
        protocol=Protocol(
            keyframe_period=1.0, window=8, stride=4, short_side=256, box_source="b", box_threshold=0.5,
            action_threshold=0.05, classes=3,
        ),
        weights=more.get("weights"),
        source=Source(
            file=str(video), bytes=size, head_sha256=head, duration=3.0, width=64, height=48, rate=10.0, rotation=0,
            codec="h264",
        ),
        seconds_covered=3.0,
        counts=Counts(
            frames=30, keyframes=3, boxes=3 * len(people), people=len(people), segments=segments.count
        ),
        device="cpu", precision="float32", timings={}, warnings=("be careful",),
    ).write(folder / "run.json")  # fmt: skip
    return folder


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "film.mp4")


def read_data(path: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">([^<]*)</script>', path.read_text("utf-8"))
    assert found
    return json.loads(found[1])


def unpack(packed: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["d"]), KINDS[packed["t"]])


@pytest.mark.parametrize(
    ("values", "kind"),
    [([], 8), ([0, 255], 8), ([256], 16), ([70_000], 32), ([-1, 127], -8), ([-1, 128], -16), ([-1, 40_000], -32)],
)
def test_columns_take_the_fewest_bytes_and_come_back(values: list[int], kind: int):
    packed = column(np.array(values, np.int64))
    assert packed["t"] == kind
    assert unpack(packed).tolist() == values


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_the_page_holds_what_the_tables_hold(film: Path, tmp_path: Path, kind: str):
    [path] = report(write_result(tmp_path / "r", film, kind=kind), labels=_file(tmp_path))
    data = read_data(path)
    assert data["title"] == "film"
    assert [person["id"] for person in data["people"]] == [1, 2]
    assert all(person["picture"].startswith("data:image/jpeg;base64,") for person in data["people"])
    assert [(label["id"], label["group"]) for label in data["labels"]] == [(12, "pose"), (80, "person"), (99, "action")]
    found = data["found"]
    assert unpack(data["times"]).tolist() == [0, 1000, 2000]
    assert unpack(found["first"]).tolist() == [0, 3, 6]
    assert unpack(found["keyframe"]).tolist() == [0, 1, 2, 0, 1, 2]
    boxes = unpack(found["box"]).reshape(-1, 4) / data["units"]["box"]
    np.testing.assert_allclose(boxes, [BOXES[1]] * 3 + [BOXES[2]] * 3, atol=1e-5)
    assert unpack(found["firstAction"]).tolist() == [0, 3, 6, 9, 10, 11, 12]
    assert unpack(found["label"]).tolist() == [0, 1, 2] * 3 + [2] * 3
    assert unpack(found["score"]).tolist() == [9000, 4000, 600] * 3 + [8000] * 3
    segments = {name: unpack(values).tolist() for name, values in data["segments"].items()}
    assert sorted(zip(segments["person"], segments["label"], segments["end"], strict=True)) == [
        (0, 0, 2500), (1, 2, 2500)
    ]  # fmt: skip
    assert data["warnings"] == ["be careful"]


def _file(folder: Path) -> Path:
    path = folder / "labels.csv"
    path.write_text("id,name,group\n" + "".join(f"{v.id},{v.name},{v.group}\n" for v in LABELS))
    return path


def test_made_again_the_page_is_the_same_to_the_byte(film: Path, tmp_path: Path):
    folder = write_result(tmp_path / "r", film)
    [path] = report(folder)
    first = path.read_bytes()
    report(folder)
    assert path.read_bytes() == first


def test_kinds_of_actions_come_from_the_run_folder_or_from_ava(film: Path, tmp_path: Path):
    [path] = report(write_result(tmp_path / "ava", film))
    assert [label["group"] for label in read_data(path)["labels"]] == ["pose", "person", "action"]
    run = tmp_path / "run"
    run.mkdir()
    (run / "labels.csv").write_text("id,name,group\n12,stand,a\n80,watch (a person),b\n99,own,c\n")
    weights = Weights(path=str(run / "model.safetensors"), sha256="0" * 64, recipe="run")
    [path] = report(write_result(tmp_path / "own", film, weights=weights))
    assert [label["group"] for label in read_data(path)["labels"]] == ["a", "b", "c"]


def test_the_policy_names_the_script_and_the_style_that_are_there(film: Path, tmp_path: Path):
    [path] = report(write_result(tmp_path / "r", film))
    text = path.read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert policy[1].startswith("default-src 'none'; ")
    for tag in ("script", "style"):
        [inner] = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]
    assert "unsafe" not in policy[1]
    assert not re.search(r"\b(src|href)=[\"']?(https?:|//)", text)


def test_json_cannot_end_its_block():
    text = page.to_json({"</script>": "<!-- & \u2028 \ud800"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"</script>": "<!-- & \u2028 \ud800"}


def test_the_video_is_addressed_from_the_page(tmp_path: Path):
    film = write_film(tmp_path / "a b#1?%.mp4")
    [path] = report(write_result(tmp_path / "out" / "r", film))
    assert read_data(path)["film"]["src"] == "../../a%20b%231%3F%25.mp4"


def test_a_video_that_moved_with_its_result_is_found_if_it_is_the_same(film: Path, tmp_path: Path):
    folder = write_result(tmp_path / "old" / "r", film)
    shutil.move(film, tmp_path / "old" / "film.mp4")
    [path] = report(folder)
    assert read_data(path)["film"]["src"] == "../film.mp4"
    write_film(tmp_path / "old" / "film.mp4", seconds=2)
    report(folder)
    assert read_data(path)["film"]["src"] is None
    assert "is not here" in read_data(path)["film"]["note"]
    report(folder, video=tmp_path / "old" / "film.mp4")
    assert read_data(path)["film"]["src"] == "../film.mp4"


def test_where_only_the_drawn_copy_is_left_it_is_shown(film: Path, tmp_path: Path):
    folder = write_result(tmp_path / "r", film)
    shutil.move(film, folder / "annotated.mp4")
    [path] = report(folder)
    shown = read_data(path)["film"]
    assert (shown["src"], shown["drawn"]) == ("annotated.mp4", True)


def test_what_browsers_cannot_play_is_copied_once(tmp_path: Path):
    old = tmp_path / "old.avi"
    with av.open(str(old), "w") as container:
        track = container.add_stream("mpeg4", rate=10)
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        for number in range(30):
            picture = np.full((48, 64, 3), 5 * number, np.uint8)
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(track.encode())
    assert not browsers_play(old)
    folder = write_result(tmp_path / "r", old)
    [path] = report(folder)
    copy = folder / "video.mp4"
    assert read_data(path)["film"]["src"] == "video.mp4"
    assert browsers_play(copy)
    assert probe(copy).size == (64, 48)
    with FrameStream(copy) as stream:
        times = [frame.time_s for frame in stream]
    assert times == pytest.approx([number / 10 for number in range(30)], abs=1e-3)
    made = copy.stat().st_mtime_ns
    report(folder)
    assert copy.stat().st_mtime_ns == made


def test_an_embedded_video_is_the_file_itself(film: Path, tmp_path: Path):
    [path] = report(write_result(tmp_path / "r", film), embed=True)
    found = re.search(r'id="film">([^<]*)</script>', path.read_text("utf-8"))
    assert found
    assert base64.b64decode(found[1]) == film.read_bytes()
    assert read_data(path)["film"]["src"] is None


def test_a_video_too_large_to_embed_is_refused(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(page, "MAX_EMBED", 100)
    with pytest.raises(InputError, match=r"film\.mp4.*are too many for a page.*--no-embed"):
        report(write_result(tmp_path / "r", film), embed=True)
    assert not (tmp_path / "r" / "report.html").exists()


def truth_file(folder: Path, lines: str) -> Path:
    path = folder / "truth.csv"
    path.write_text(lines)
    return path


def test_truth_is_matched_box_to_box_and_misses_stay(film: Path, tmp_path: Path):
    near, far = "0.11,0.2,0.3,0.9", "0.4,0.1,0.5,0.2"
    truth = truth_file(
        tmp_path,
        f"film,0001,{near},12,5\nfilm,0001,{near},80,5\nfilm,0001,{near},14,5\nfilm,0002,{far},12,6\n"
        f"other,0001,{near},12,5\nfilm,0007,{far},12,6\n",
    )
    [path] = report(write_result(tmp_path / "r", film), truth=truth)
    data = read_data(path)
    true = data["truth"]
    assert true["names"] == ["Truth 5", "Truth 6"]
    assert unpack(true["keyframe"]).tolist() == [1, 2]
    assert unpack(true["match"]).tolist() == [1, -1]  # the box of person 1 at second 1; nobody
    assert unpack(true["firstAction"]).tolist() == [0, 3, 4]
    ids = [data["labels"][k]["id"] for k in unpack(true["label"])]
    given = dict(zip(ids[:3], unpack(true["score"]).tolist()[:3], strict=True))
    assert given == {12: 9000, 80: 4000, 14: 0}
    assert {label["id"]: label["name"] for label in data["labels"]}[14] == "walk"
    assert "truth: 1 of its 3 times are past the 3 s that the result covers" in data["warnings"]


def test_truth_where_nobody_was_found_is_all_missed(film: Path, tmp_path: Path):
    truth = truth_file(tmp_path, "film,0001,0.1,0.1,0.5,0.5,12\nfilm,0001,0.5,0.5,0.9,0.9,12\n")  # without ids
    [path] = report(write_result(tmp_path / "r", film, people=()), truth=truth)
    data = read_data(path)
    assert unpack(data["truth"]["match"]).tolist() == [-1, -1]
    assert len(data["truth"]["names"]) == 2
    assert unpack(data["times"]).tolist() == [1000]
    assert data["people"] == []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("other,0001,0.1,0.1,0.5,0.5,12,1\n", "knows no video 'film'; it has other"),
        ("film,0902,0.1,0.1,0.5,0.5,12,1\n", "no time of 'film' lies in the result: truth has 902 to 902 s"),
        ("film,0001,10,0.1,50,0.5,12,1\n", "line 1: x1=10 > 1"),
    ],
)
def test_truth_of_something_else_is_refused(film: Path, tmp_path: Path, lines: str, message: str):
    folder = write_result(tmp_path / "r", film)
    with pytest.raises(InputError, match=re.escape(message)):
        report(folder, truth=truth_file(tmp_path, lines))


def test_what_is_no_result_is_refused(film: Path, tmp_path: Path):
    with pytest.raises(InputError, match="expected a folder that relact detect wrote"):
        report(tmp_path)
    folder = write_result(tmp_path / "a", film)
    with pytest.raises(InputError, match="no such file; expected the video"):
        report(folder, video=tmp_path / "none.mp4")
    with pytest.raises(InputError, match=r"run\.json: "):
        report(folder, video=folder / "run.json")
    write_result(tmp_path / "b", film)
    with pytest.raises(InputError, match="holds 2 results; give the folder of one"):
        report(tmp_path, video=film)
    (folder / "actions.csv").unlink()
    with pytest.raises(InputError, match=r"expected one of actions\.csv, actions\.parquet, actions\.json"):
        report(folder)
    (folder / "run.json").write_text("{}")
    with pytest.raises(InputError, match=r"run\.json: expected the run\.json that relact detect writes"):
        report(folder)


def test_without_a_video_there_is_nothing_to_embed(tmp_path: Path):
    folder = write_result(tmp_path / "r", tmp_path / "gone.mp4")
    with pytest.raises(InputError, match=r"no video to put into the page: .*gone\.mp4 is not there; give --video"):
        report(folder, embed=True)


def test_an_index_lists_the_reports_of_a_folder(film: Path, tmp_path: Path):
    out = tmp_path / "out"
    for name in ("one", "two #2"):
        write_result(out / name, film, name=name)
    (out / "other").mkdir()
    (out / "other" / "report.html").write_text("<html>not ours</html>")
    pages = report(out)
    assert [page.relative_to(out).as_posix() for page in pages] == [
        "one/report.html",
        "two #2/report.html",
        "index.html",
    ]
    videos = read_data(out / "index.html")["videos"]
    assert [video["href"] for video in videos] == ["one/report.html", "two%20%232/report.html"]
    assert [video["people"] for video in videos] == [2, 2]
    assert [action["name"] for action in videos[0]["actions"]] == ["stand", "own"]
    assert read_summary(out / "other" / "report.html") is None


def test_the_command_says_what_to_look_at(film: Path, tmp_path: Path):
    folder = write_result(tmp_path / "r", film)
    done = CliRunner().invoke(app, ["report", str(folder), "--no-embed"])
    assert done.exit_code == 0
    assert f"look at {folder / 'report.html'}" in done.output


@pytest.mark.parametrize(
    ("codec", "pixels", "name", "plays"),
    [
        ("libx264", "yuv420p", "a.mp4", True),
        ("libx264", "yuv420p", "a.mov", True),
        ("libx264", "yuv444p", "a.mp4", False),
        ("libx264", "yuv420p", "a.mkv", False),
        ("libvpx-vp9", "yuv420p", "a.webm", True),
        ("libvpx-vp9", "yuv420p", "a.mkv", False),
        ("mpeg4", "yuv420p", "a.mp4", False),
    ],
)
def test_what_browsers_play(tmp_path: Path, codec: str, pixels: str, name: str, plays: bool):
    with av.open(str(tmp_path / name), "w") as container:
        track = container.add_stream(codec, rate=10)
        track.width, track.height, track.pix_fmt = 64, 48, pixels
        for _ in range(3):
            picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            container.mux(track.encode(picture))
        container.mux(track.encode())
    assert browsers_play(tmp_path / name) == plays
