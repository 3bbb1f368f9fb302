"""PySlowFast's frame lists: read, refused with file and line, and followed to extracted frames."""

from collections.abc import Callable
from pathlib import Path

import pytest

from relact.data.ava_official import AvaOfficialData
from relact.errors import InputError
from relact.interop import frame_list
from relact.interop.frame_list import ListedFrames, read_frame_list
from tests.make_datasets import TRAIN_MOVIE, VAL_MOVIE, make_ava

HEADER = "original_vido_id video_id frame_id path labels"


def lines(movie: str, number: int, count: int, first: int = 1) -> list[str]:
    return [f'{movie} {number} {k} {movie}/{movie}_{first + k:06d}.jpg ""' for k in range(count)]


@pytest.fixture
def written(tmp_path: Path) -> Callable[[list[str]], Path]:
    def write(text: list[str]) -> Path:
        (tmp_path / "train.csv").write_text("\n".join(text) + "\n")
        return tmp_path / "train.csv"

    return write


@pytest.mark.parametrize("chunk", [1 << 17, 3])
def test_a_list_says_where_the_frames_of_each_movie_are(
    written: Callable[[list[str]], Path], monkeypatch: pytest.MonkeyPatch, chunk: int
):
    monkeypatch.setattr(frame_list, "_CHUNK_LINES", chunk)  # movies that begin and end within what is read at a time
    path = written([HEADER, *lines("a", 0, 4), *lines("-b", 1, 3, first=31), *lines("c", 2, 1)])
    assert read_frame_list(path) == {
        "a": ListedFrames("a", "a_000001.jpg", "a_000004.jpg", 4),
        "-b": ListedFrames("-b", "-b_000031.jpg", "-b_000033.jpg", 3),
        "c": ListedFrames("c", "c_000001.jpg", "c_000001.jpg", 1),
    }
    assert read_frame_list(written([HEADER.replace("vido", "video")])) == {}


A = lines("a", 0, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ([*A], r"train\.csv line 1: expected the header 'original_vido_id"),
        ([HEADER, *A[:2], "a 0 2 a/a_000003.jpg", A[3]], r"train\.csv line 4: 4 fields between spaces; expected the 5"),
        ([HEADER, A[0], "", *A[1:]], r"train\.csv line 3: 1 fields"),
        ([HEADER, A[0], 'a 0 x a/a_000002.jpg ""'], r"train\.csv line 3: frame_id 'x'; expected a whole number"),
        ([HEADER, A[0], 'a nan 1 a/a_000002.jpg ""'], r"train\.csv line 3: video_id 'nan'"),
        ([HEADER, A[0], A[2]], r"train\.csv line 3: frame 2 of a; expected 1"),
        ([HEADER, A[0], A[0]], r"train\.csv line 3: frame 0 of a; expected 1"),
        ([HEADER, *A[:2], *lines("b", 1, 2), *A[2:]], r"train\.csv line 6: movie a was listed before"),
        ([HEADER, A[0], 'a 0 1 b/a_000002.jpg ""'], r"train\.csv line 2: a: from a to b; expected one folder"),
        ([HEADER, A[0], 'a 0 1 a/a_000007.jpg ""'], r"train\.csv line 2: a has 2 lines, from a_000001\.jpg to"),
        ([HEADER, 'a 0 0 /abs/a_000001.jpg ""'], r"train\.csv line 2: path /abs/a_000001\.jpg; expected MOVIE/"),
        ([HEADER, 'a 0 0 a/cover.jpg ""'], r"train\.csv line 2: path a/cover\.jpg"),
    ],
)
@pytest.mark.parametrize("chunk", [1 << 17, 1])
def test_what_is_no_list_is_named_with_its_line(
    written: Callable[[list[str]], Path], monkeypatch: pytest.MonkeyPatch, text: list[str], message: str, chunk: int
):
    monkeypatch.setattr(frame_list, "_CHUNK_LINES", chunk)
    with pytest.raises(InputError, match=message):
        read_frame_list(written(text))


def test_files_that_are_no_texts(tmp_path: Path):
    with pytest.raises(InputError, match=r"gone\.csv: cannot be read"):
        read_frame_list(tmp_path / "gone.csv")
    (tmp_path / "binary.csv").write_bytes(HEADER.encode() + b"\n\xff\xfe\x00")
    with pytest.raises(InputError, match="is not a text"):
        read_frame_list(tmp_path / "binary.csv")


def test_ava_is_read_through_a_list(tmp_path: Path):
    """The frames of movies lie elsewhere than in folders of their names: the list finds them."""
    root = make_ava(tmp_path / "ava", frames=f"{VAL_MOVIE}_%06d.jpg")
    data = AvaOfficialData(root=str(root), frames="frames", frame_lists="frame_lists")
    with pytest.raises(InputError, match=r"frame_lists/val\.csv: PySlowFast's list, https://.*frame_lists/val\.csv"):
        data.samples("val")
    (root / "frames" / "all").mkdir()
    (root / "frames" / VAL_MOVIE).rename(root / "frames" / "all" / "movie7")
    (root / "frame_lists").mkdir()
    count = len(list((root / "frames" / "all" / "movie7").iterdir()))

    def listed(first: int, last: int) -> None:
        rows = [f'{VAL_MOVIE} 0 {n - first} all/movie7/{VAL_MOVIE}_{n:06d}.jpg ""' for n in range(first, last + 1)]
        (root / "frame_lists" / "val.csv").write_text("\n".join([HEADER, *rows]) + "\n")

    listed(1, count)
    samples = data.samples("val")
    assert {sample.path for sample in samples} == {root / "frames" / "all" / "movie7"}
    plain = AvaOfficialData(root=str(root)).samples("val")
    assert [(sample.key, sample.time) for sample in samples] == [(sample.key, sample.time) for sample in plain]
    listed(2, count)
    with pytest.raises(InputError, match=r"val\.csv: lists \d+ frames of .*_000001\.jpg is there too; a list"):
        data.samples("val")
    listed(1, count + 1)
    with pytest.raises(InputError, match=rf"_{count + 1:06d}\.jpg is not there; a list and frames of different"):
        data.samples("val")
    (root / "frame_lists" / "val.csv").write_text("\n".join([HEADER, *lines(TRAIN_MOVIE, 0, 2)]) + "\n")
    with pytest.raises(InputError, match=f"1 of 1 folders of frames are missing, such as {VAL_MOVIE}"):
        data.samples("val")
    with pytest.raises(InputError, match=r"set data\.frames"):
        AvaOfficialData(root=str(root), frame_lists="frame_lists").samples("val")
