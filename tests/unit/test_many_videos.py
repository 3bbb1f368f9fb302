"""Which videos a job is of, and what it calls them."""

import sys
from pathlib import Path

import pytest

from relact.errors import InputError
from relact.run.many_videos import Video, list_videos, local_file, names_many


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two days of two cameras, with things that are no videos to do between them."""
    for name, size in {
        "days/mon/cam1.mp4": 10, "days/mon/cam2.mkv": 30, "days/tue/cam1.MP4": 20, "days/tue/notes.txt": 5,
        "days/tue/cam1.relact/annotated.mp4": 9, "days/.cache/old.mp4": 9, "days/results/cam1/annotated.mp4": 9,
        "days/tue/.part.mp4": 9,
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    return tmp_path / "days"


def names(arguments: list[str], out: Path) -> list[str]:
    return [video.name for video in list_videos(arguments, out)]


def test_a_folder_gives_its_videos_largest_first_and_not_what_detect_wrote(folder: Path):
    videos = list_videos([str(folder)], folder / "results")
    assert [(video.name, video.bytes) for video in videos] == [
        ("mon__cam2", 30), ("tue__cam1", 20), ("mon__cam1", 10),
    ]  # fmt: skip
    assert all(Path(video.source).is_absolute() and video.modified for video in videos)


def test_a_name_is_the_files_own_and_longer_only_where_two_share_it(folder: Path):
    files = [str(folder / "mon" / "cam1.mp4"), str(folder / "mon" / "cam2.mkv")]
    assert names(files, folder) == ["cam2", "cam1"]
    assert names([*files, str(folder / "tue" / "cam1.MP4")], folder) == ["cam2", "tue__cam1", "mon__cam1"]


def test_kinds_of_file_numbers_and_our_own_names_keep_videos_apart(tmp_path: Path):
    for name in ("a.mp4", "a.mkv", "detections.mp4"):
        (tmp_path / name).write_bytes(b"x")
    assert sorted(names([str(tmp_path)], tmp_path / "out")) == ["a_mkv", "a_mp4", f"{tmp_path.name}__detections"]
    same = names(["http://host/a.mp4?id=1", "http://host/a.mp4?id=2"], tmp_path)
    assert same == ["a_mp4", "a_mp4_2"]


def test_each_video_comes_once(folder: Path):
    assert (
        len(list_videos([str(folder), str(folder / "mon"), str(folder / "mon" / "cam1.mp4")], folder / "results")) == 3
    )


def test_a_list_has_paths_from_the_current_folder_and_addresses(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "list.txt").write_text("# cameras\n\nmon/cam1.mp4\n  mon/gone.mp4\nhttp://host/film.mp4\n")
    monkeypatch.chdir(folder)
    videos = list_videos(["@list.txt"], folder / "results")
    assert [(video.name, video.bytes) for video in videos] == [("cam1", 10), ("film", None), ("gone", None)]
    assert videos[0].source == str(folder / "mon" / "cam1.mp4")


@pytest.mark.parametrize(
    ("line", "message"),
    [("@other.txt", r"list.txt line 2: @other.txt: a list in a list"),
     ("rtsp://host/live", r"list.txt line 2: rtsp://host/live: a live source, which never ends"),
     ("s3n://host/x", r"list.txt line 2: s3n://host/x: a live source, which never ends")],
)  # fmt: skip
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, line: str, message: str):
    (tmp_path / "list.txt").write_text(f"a.mp4\n{line}\n")
    with pytest.raises(InputError, match=message):
        list_videos([f"@{tmp_path / 'list.txt'}"], tmp_path)


def test_no_list_and_no_videos_are_errors(tmp_path: Path):
    with pytest.raises(InputError, match="cannot be read"):
        list_videos([f"@{tmp_path / 'list.txt'}"], tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no videos; expected files ending in \.mp4"):
        list_videos([str(tmp_path / "empty")], tmp_path)


def test_what_stands_for_many(folder: Path):
    assert all(names_many(word) for word in ("@list.txt", "s3://bucket/x.mp4", str(folder), folder.as_uri()))
    one = folder / "mon" / "cam1.mp4"
    assert not any(names_many(word) for word in ("-", "a.mp4", "rtsp://host/live", str(one), one.as_uri()))


def test_a_bucket_is_listed_as_a_folder_is_and_its_files_are_fetched(folder: Path):
    pytest.importorskip("pyarrow", reason="needs pyarrow")
    (folder / "mon" / "a b%.mp4").write_bytes(b"film")
    here, there = list_videos([str(folder / "mon")], folder / "o"), list_videos([f"file://{folder}/mon/"], folder / "o")
    assert [(video.name, video.bytes) for video in there] == [(video.name, video.bytes) for video in here]
    [odd] = [video for video in there if video.name == "a b%"]
    with local_file(odd) as path:
        assert Path(path).name == "a b%.mp4"
        assert Path(path).read_bytes() == b"film"
        assert Path(path).stat().st_mtime_ns == (folder / "mon" / "a b%.mp4").stat().st_mtime_ns == odd.modified
    assert not Path(path).exists()


def test_one_file_of_a_bucket_that_may_be_gone(folder: Path):
    pytest.importorskip("pyarrow", reason="needs pyarrow")
    good, gone = list_videos([f"file://{folder}/mon/cam1.mp4", f"file://{folder}/mon/gone.mp4"], folder)
    assert (good.name, good.bytes, gone.name, gone.bytes) == ("cam1", 10, "gone", None)
    with pytest.raises(InputError, match=r"gone\.mp4: cannot be fetched"), local_file(gone):
        pass


def test_an_unknown_kind_of_bucket_and_pyarrow_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with pytest.raises(InputError, match="cannot be reached"):
        list_videos(["viewfs://nowhere/x"], tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r'pip install "relact\[parquet\]"'):
        list_videos(["s3://bucket/x"], tmp_path)


def test_a_file_of_this_machine_is_read_where_it_is(folder: Path):
    path = str(folder / "mon" / "cam1.mp4")
    with local_file(Video(source=path, name="cam1")) as opened:
        assert opened == path
