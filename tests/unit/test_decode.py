import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from relact.data import decode
from relact.data.decode import (
    FrameStream,
    index_by_decoding,
    index_by_packets,
    probe,
    read_clip,
    video_index,
)
from relact.data.source import VideoInfo
from relact.errors import InputError
from tests.make_video import cut, make_sound, make_video, number_of, numbered

CLIPS = [
    "v_Basketball_g01_c01.avi",
    "v_Basketball_g01_c02.mp4",
    "v_Biking_g01_c01.mp4",
    "v_Fencing_g01_c06.mp4",
    "v_SalsaSpin_g03_c01.mp4",
]


def watch(path: Path | str, threads: int = 1) -> tuple[list[int], np.ndarray, FrameStream]:
    """(numbers in the pictures, times, the stream after its end)."""
    with FrameStream(path, threads=threads) as stream:
        frames = list(stream)
    return [number_of(frame.rgb()) for frame in frames], np.array([f.time_s for f in frames]), stream


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("plain.mp4", {}),
        ("plain.mkv", {}),
        ("stream.ts", {"container": "mpegts"}),
        ("xvid.avi", {"codec": "mpeg4", "ticks": 30}),
        ("odd.avi", {"codec": "mpeg4", "ticks": 30, "size": (97, 63)}),
        ("odd.mkv", {"codec": "ffv1", "size": (97, 63), "pix_fmt": "yuv444p"}),
        ("full.avi", {"codec": "mjpeg", "ticks": 30, "pix_fmt": "yuvj420p"}),
        ("sound.mp4", {"sound": True}),
    ],
)
def test_every_frame_comes_once_in_order_at_its_time(tmp_path: Path, name: str, how: dict, threads: int) -> None:
    numbers, times, stream = watch(make_video(tmp_path / name, **how), threads)
    assert numbers == list(range(60))
    np.testing.assert_allclose(times, np.arange(60) / 30, atol=6e-4)  # Matroska rounds to milliseconds
    assert stream.info.size == how.get("size", (96, 64))
    assert stream.decoded_s == pytest.approx(2.0, abs=2e-3)
    assert stream.warning is None


def test_a_pipe_is_read_without_seeking(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mkv")
    read_end, write_end = os.pipe()
    with open(write_end, "wb") as pipe:  # smaller than the pipe's buffer, so no thread is needed
        assert path.stat().st_size < 60_000
        pipe.write(path.read_bytes())
    numbers, _, _ = watch(f"pipe:{read_end}")
    os.close(read_end)
    assert numbers == list(range(60))


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("limited.mp4", {}),
        ("full.avi", {"codec": "mjpeg", "ticks": 30, "pix_fmt": "yuvj420p"}),
        ("rgb.mkv", {"codec": "ffv1", "pix_fmt": "yuv444p"}),
    ],
)
def test_black_grey_and_white_in_any_range(tmp_path: Path, name: str, how: dict) -> None:
    with FrameStream(make_video(tmp_path / name, **how)) as stream:
        zero, *_, last = list(stream)
    assert zero.rgb()[40, 40].max() < 8
    np.testing.assert_allclose(last.rgb()[10, 85], numbered(59)[10, 85], atol=8)
    assert last.rgb()[10, 85].min() > 247


def test_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    times = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.2, 50)) - 0.01
    _, seen, _ = watch(make_video(tmp_path / "v.mp4", times=times.tolist()))
    np.testing.assert_allclose(seen, times - times[0], atol=2e-5)


def test_timestamps_that_go_backwards_keep_the_order_of_display(tmp_path: Path) -> None:
    """AVI has no presentation times, so those of H.264 with B frames come out shuffled."""
    path = make_video(tmp_path / "shuffled.avi", ticks=30)
    with FrameStream(path) as stream:
        pts = [frame.pts for frame in stream]
    assert pts != sorted(pts), "this file should be a bad one"
    for threads in (0, 1, 3):
        numbers, times, _ = watch(path, threads)
        assert numbers == list(range(60))
        np.testing.assert_allclose(times, np.arange(60) / 30, atol=1e-9)


def test_no_timestamps_at_all_counts_at_the_header_rate(tmp_path: Path) -> None:
    numbers, times, stream = watch(make_video(tmp_path / "raw.h264", container="h264"))
    assert numbers == list(range(60))
    np.testing.assert_allclose(times, np.arange(60) / 25)  # FFmpeg's rate for raw streams
    assert not stream.regular


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotated_video_stands_upright(tmp_path: Path, rotation: int) -> None:
    """Turned counterclockwise by the metadata, and back again here."""
    path = make_video(tmp_path / "phone.mp4", rotation=rotation)
    info = probe(path)
    assert info.rotation == rotation
    assert info.size == ((96, 64) if rotation == 180 else (64, 96))
    with FrameStream(path) as stream:
        first = next(iter(stream))
        turned = np.rot90(first.rgb(info.resized(32)), -rotation // 90)
        assert first.rgb(info.resized(32)).shape[:2] == info.resized(32)[::-1]
    red = turned[1, 6].astype(int)
    assert red[0] > 150 > 100 > red[2]
    assert number_of(np.rot90(first.rgb(), -rotation // 90)) == 0


def test_a_rotated_clip_equals_the_stream(tmp_path: Path) -> None:
    path = make_video(tmp_path / "phone.mp4", rotation=90)
    with FrameStream(path) as stream:
        whole = np.stack([frame.rgb(stream.info.resized(48)) for frame in stream])
    clip = read_clip(path, frames=np.array([40, 41]), short_side=48)
    np.testing.assert_array_equal(clip.permute(1, 2, 3, 0).numpy(), whole[40:42])


@pytest.mark.parametrize(
    ("size", "short", "expected"),
    [
        ((320, 240), 256, (341, 256)),
        ((240, 320), 256, (256, 341)),
        ((1920, 1080), 256, (455, 256)),
        ((65, 49), None, (65, 49)),
        ((50, 50), 7, (7, 7)),
    ],
)
def test_short_side_rounds_the_long_one_down(size: tuple[int, int], short: int, expected: tuple[int, int]) -> None:
    info = VideoInfo(
        path="", width=size[0], height=size[1], rotation=0, codec="", rate=None, announced_s=None, time_base=1
    )
    assert info.resized(short) == expected


def test_a_frame_is_converted_once_a_size(tmp_path: Path) -> None:
    with FrameStream(make_video(tmp_path / "v.mp4")) as stream:
        frame = next(iter(stream))
    assert frame.rgb((48, 32)) is frame.rgb((48, 32))
    assert frame.rgb().shape == (64, 96, 3)


def test_a_change_of_resolution_keeps_the_first_size(tmp_path: Path) -> None:
    """Two transport streams in one, as broadcasts and cameras make them; the clock was started again, too."""
    kinds = {"container": "mpegts", "frames": 30}
    small = make_video(tmp_path / "a.ts", **kinds)
    large = make_video(tmp_path / "b.ts", size=(192, 128), **kinds)
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    with FrameStream(both, threads=1) as stream:
        frames = list(stream)
    assert [number_of(frame.rgb()) for frame in frames] == [*range(30), *range(30)]
    assert {frame.rgb().shape for frame in frames} == {(64, 96, 3)}
    assert (np.diff([frame.time_s for frame in frames]) > 0).all()


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_a_cut_off_video_says_what_it_covers(tmp_path: Path, name: str) -> None:
    whole = make_video(tmp_path / name, frames=300, file_options={"movflags": "+faststart"} if "mp4" in name else {})
    numbers, times, stream = watch(cut(whole, tmp_path / f"cut_{name}", 0.6))
    assert 60 < len(numbers) < 300
    assert numbers[:60] == list(range(60))
    covered = f"{times[-1] + 1 / 30:.1f} s"
    assert stream.warning is not None
    assert stream.warning.endswith(f"decoded {covered} of 10.0 s; results cover {covered}")


def test_a_damaged_packet_is_skipped(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mkv", frames=120, codec="mjpeg", pix_fmt="yuvj420p", options={})
    content = bytearray(path.read_bytes())
    middle = content.index(b"\xff\xd8", len(content) // 2)
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(content)
    numbers, times, stream = watch(path)
    assert len(numbers) in (119, 120)
    assert numbers[-1] == 119
    assert times[-1] == pytest.approx(119 / 30, abs=1e-3)
    assert stream.warning is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.mp4", None, "no such file"),
        ("empty.mp4", b"", "is empty"),
        ("notes.txt", b"hello\n" * 100, "text file"),
        ("noise.mp4", bytes(range(256)) * 40, "is not a video"),
    ],
)
def test_what_is_no_video_is_told_apart(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    for opener in (probe, FrameStream, video_index, lambda p: read_clip(p, frames=np.array([0]))):
        with pytest.raises(InputError, match=f"{name}: .*{message}"):
            opener(path)


def test_a_folder_and_sound_only_and_a_lost_header(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        probe(tmp_path)
    with pytest.raises(InputError, match=r"song\.m4a: contains only audio \(aac\)"):
        probe(make_sound(tmp_path / "song.m4a"))
    with pytest.raises(InputError, match="cut off or damaged"):
        probe(cut(make_video(tmp_path / "v.mp4"), tmp_path / "c.mp4", 0.5))
    with pytest.raises(InputError, match="cannot be opened"):
        probe("http://127.0.0.1:9/video.mp4")


def test_one_frame(tmp_path: Path) -> None:
    path = make_video(tmp_path / "one.mp4", frames=1)
    numbers, times, stream = watch(path)
    assert (numbers, times.tolist(), stream.warning) == ([0], [0.0], None)
    clip = read_clip(path, times=np.array([-1.0, 0.0, 5.0]))
    assert clip.shape == (3, 3, 64, 96)
    assert (clip[:, 0] == clip[:, 2]).all()


@pytest.mark.parametrize(
    ("name", "how", "by_packets"),
    [
        ("gop.mp4", {}, True),
        ("open.mp4", {"options": {"g": "10", "x264-params": "open-gop=1:bframes=3"}}, True),
        ("refresh.mp4", {"options": {"g": "10", "x264-params": "intra-refresh=1"}}, True),
        ("late.mkv", {"times": [3 + n / 20 for n in range(60)]}, True),
        ("hevc.mp4", {"codec": "libx265", "options": {"x265-params": "keyint=10:log-level=none"}}, True),
        ("vp8.webm", {"codec": "libvpx", "options": {"g": "10"}}, True),
        ("stream.ts", {"container": "mpegts"}, False),
        ("xvid.avi", {"codec": "mpeg4", "ticks": 30}, False),
        ("xvid_b.avi", {"codec": "mpeg4", "ticks": 30, "options": {"bf": "2", "g": "12"}}, False),
        ("mpeg2.mpg", {"codec": "mpeg2video", "ticks": 30, "container": "mpeg"}, False),
        ("shuffled.avi", {"ticks": 30}, False),
        ("raw.h264", {"container": "h264"}, False),
        ("raw.m4v", {"codec": "mpeg4", "ticks": 30, "container": "m4v"}, False),
    ],
)
def test_clips_equal_the_stream_in_any_container(tmp_path: Path, name: str, how: dict, by_packets: bool) -> None:
    path = make_video(tmp_path / name, **how)
    assert (index_by_packets(path) is not None) == by_packets
    check_clips(path)


def test_clips_of_a_cut_off_file_equal_the_stream(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "v.mp4", frames=120, file_options={"movflags": "+faststart"})
    path = cut(whole, tmp_path / "cut.mp4", 0.7)
    with FrameStream(path, threads=1) as stream:
        numbers = [number_of(frame.rgb()) for frame in stream]
    clip = read_clip(path, frames=np.arange(len(numbers) - 3, len(numbers) + 3))
    shown = [number_of(picture.numpy()) for picture in clip.permute(1, 2, 3, 0)]
    assert shown == numbers[-3:] + numbers[-1:] * 3


@pytest.mark.parametrize("name", CLIPS)
def test_clips_of_real_files_equal_the_stream(shared_data: Path, name: str) -> None:
    check_clips(shared_data / "ucf24" / "clips" / name, short_side=64)


def check_clips(path: Path, short_side: int = 32) -> None:
    with FrameStream(path, threads=1) as stream:
        frames = list(stream)
    times = np.array([frame.time_s for frame in frames])
    whole = np.stack([frame.rgb(stream.info.resized(short_side)) for frame in frames])
    exact, index = index_by_decoding(path), video_index(path)
    np.testing.assert_array_equal(index.times, exact.times)
    np.testing.assert_array_equal(exact.times, times)
    last = len(frames) - 1
    for start in range(-4, last + 4, 7):
        wanted = np.arange(start, start + 8, 2)
        clip = read_clip(path, frames=wanted, short_side=short_side)
        assert clip.dtype == torch.uint8
        np.testing.assert_array_equal(clip.permute(1, 2, 3, 0).numpy(), whole[wanted.clip(0, last)])
        by_time = read_clip(path, times=times[wanted.clip(0, last)] + 1e-4, short_side=short_side)
        assert torch.equal(by_time, clip)
    mixed = np.array([last, 3, 3, last // 2])
    clip = read_clip(path, frames=mixed, short_side=short_side, index=exact)
    np.testing.assert_array_equal(clip.permute(1, 2, 3, 0).numpy(), whole[mixed])


def test_an_index_that_promises_too_much_is_replaced(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4")
    index = video_index(path)
    wrong = decode.VideoIndex(
        info=index.info, times=np.append(index.times, 2.5), pts=np.append(index.pts, index.pts[-1] + 9)
    )
    clip = read_clip(path, times=np.array([1.0, 9.0]), index=wrong)
    assert [number_of(picture.numpy()) for picture in clip.permute(1, 2, 3, 0)] == [30, 59]


def test_seeking_starts_at_the_key_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(tmp_path / "v.mp4", frames=120)
    index = video_index(path)
    monkeypatch.setattr(decode, "_from_start", lambda source: iter(()))
    clip = read_clip(path, frames=np.array([100, 103]), index=index)
    assert [number_of(picture.numpy()) for picture in clip.permute(1, 2, 3, 0)] == [100, 103]


@pytest.mark.parametrize("name", CLIPS)
def test_real_clips_as_expected(shared_data: Path, name: str) -> None:
    folder = shared_data / "ucf24" / "clips"
    expected = json.loads((folder / "decode_expected.json").read_text())[name]
    with FrameStream(folder / name) as stream:
        frames = list(stream)
    assert len(frames) == expected["decoded_frames"]
    assert stream.info.size == (expected["width"], expected["height"])
    rate = (len(frames) - 1) / frames[-1].time_s
    assert rate == pytest.approx(expected["fps_from_pts"], abs=0.005)
    for number, colour in expected["mean_rgb"].items():
        np.testing.assert_allclose(frames[int(number)].rgb().mean((0, 1)), colour, atol=1.0)
