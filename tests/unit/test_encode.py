from pathlib import Path

import av
import numpy as np
import pytest

from relact.data.decode import FrameStream
from relact.data.encode import VideoWriter
from relact.errors import InputError
from tests.make_video import number_of, numbered


def test_written_frames_come_back_at_their_times(tmp_path: Path) -> None:
    times = np.cumsum([0.0, 0.04, 0.5, 0.033, 0.1, 0.2, 1.0]).tolist()
    path = tmp_path / "new" / "out.mp4"
    with VideoWriter(path, 96, 64, fps=25) as writer:
        for number, time in enumerate(times):
            writer.write(numbered(number), time)
        assert not path.exists()
    assert [p.name for p in path.parent.iterdir()] == ["out.mp4"]
    with FrameStream(path) as stream:
        frames = list(stream)
    assert (stream.info.codec, stream.info.size) == ("h264", (96, 64))
    assert [number_of(frame.rgb()) for frame in frames] == list(range(7))
    np.testing.assert_allclose([frame.time_s for frame in frames], times, atol=1e-5)
    with av.open(str(path)) as container:
        assert container.duration / 1e6 == pytest.approx(times[-1] + 1 / 25, abs=1e-3)


def test_it_can_play_before_it_is_all_there(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, 96, 64, fps=30) as writer:
        writer.write(numbered(1), 0.0)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_browsers_can_play_it_and_colours_are_kept(tmp_path: Path) -> None:
    picture = np.full((64, 96, 3), (200, 40, 90), np.uint8)
    with VideoWriter(tmp_path / "out.mp4", 96, 64, fps=30) as writer:
        for number in range(5):
            writer.write(picture, number / 30)
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, context.colorspace) == ("h264", "yuv420p", 1)
    with FrameStream(tmp_path / "out.mp4") as stream:
        back = next(iter(stream)).rgb()
    np.testing.assert_allclose(back.mean((0, 1)), (200, 40, 90), atol=4)


def test_odd_sizes_are_padded(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", 97, 63, fps=30) as writer:
        writer.write(numbered(5, 97, 63), 0.0)
    with FrameStream(tmp_path / "out.mp4") as stream:
        assert stream.info.size == (98, 64)
        assert number_of(next(iter(stream)).rgb()[:63, :97]) == 5


def test_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"the old one")
    with pytest.raises(RuntimeError, match="half way"), VideoWriter(path, 96, 64, fps=30) as writer:  # noqa: PT012
        writer.write(numbered(0), 0.0)
        raise RuntimeError("half way")
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
    assert path.read_bytes() == b"the old one"


def test_wrong_use_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ascend"), VideoWriter(tmp_path / "a.mp4", 96, 64, 30) as writer:  # noqa: PT012
        writer.write(numbered(0), 0.5)
        writer.write(numbered(1), 0.5)
    with pytest.raises(AssertionError, match="shape"), VideoWriter(tmp_path / "a.mp4", 90, 64, 30) as writer:
        writer.write(numbered(0), 0.0)
    with pytest.raises(AssertionError, match="no picture"), VideoWriter(tmp_path / "a.mp4", 90, 64, 30):
        pass
    assert list(tmp_path.iterdir()) == []


def test_without_libx264(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    with pytest.raises(InputError, match=r"out\.mp4: cannot be written: this PyAV lacks libx264"):
        VideoWriter(tmp_path / "out.mp4", 96, 64, fps=30)


def test_a_place_that_cannot_be_written_to() -> None:
    with pytest.raises(InputError, match="cannot"), VideoWriter("/proc/nowhere/out.mp4", 96, 64, fps=30):
        pass


def test_two_pictures_within_one_tick_are_both_written(tmp_path: Path):
    """Files that were joined have pictures less than 1/90,000 s apart."""
    picture = np.zeros((32, 48, 3), np.uint8)
    with VideoWriter(tmp_path / "joined.mp4", 48, 32, 25) as writer:
        for time in (0.0, 5.005, 5.005000833, 5.045):
            writer.write(picture, time)
    with av.open(str(tmp_path / "joined.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 4


def test_exact_bytes_do_not_depend_on_the_number_of_cores(tmp_path: Path):
    pictures = np.random.default_rng(0).integers(0, 256, (12, 288, 320, 3), dtype=np.uint8)
    for name in ("one", "two"):
        with VideoWriter(tmp_path / f"{name}.mp4", 320, 288, fps=10, exact=True) as writer:
            for number, picture in enumerate(pictures):
                writer.write(picture, number / 10)
    content = (tmp_path / "one.mp4").read_bytes()
    assert b" threads=1 " in content  # as the encoder writes of itself; several would each have a slice
    assert content == (tmp_path / "two.mp4").read_bytes()
