"""`relact live`: a file played at its own speed, a pipe, a machine that is too slow, the page, the end."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
from PIL import Image

from relact.data.decode import FrameStream
from relact.errors import InputError
from relact.serve.live import LiveConfig, LiveRun
from relact.serve.live_source import WAITING_FRAMES, LiveStream
from relact.serve.live_view import LiveState, shown_size, stamp


def run_of(source: Path, weights: Path, detector: str = "find") -> LiveRun:
    config = LiveConfig(weights=str(weights), detector=f"{weights / 'mine.py'}:{detector}", precision="fp32")
    return LiveRun(str(source), config)


def watch(run: LiveRun) -> list[np.ndarray]:
    """Everything that somebody who looks is shown, until the end."""
    run.start()
    number, pictures = 0, []
    while run.running:
        newest = run.view.picture(number)
        if newest is not None:
            number = newest[0]
            pictures.append(newest[1])
        time.sleep(0.005)
    run.finish()
    return pictures


def test_a_file_is_played_at_its_own_speed_with_what_is_known_drawn_in(video: Path, weights: Path):
    run = run_of(video, weights)
    began = time.perf_counter()
    pictures = watch(run)
    took = time.perf_counter() - began
    state = run.view.state()
    print(f"\n{run.summary()}")
    assert took >= 2.9, "a video of 3 s is not over sooner"
    assert state.frames == 75
    assert len(pictures) >= 5
    assert len({picture.tobytes() for picture in pictures}) == len(pictures), "each is another one"
    with FrameStream(video) as stream:
        plain = [frame.rgb(run.view_size) for frame in stream]
    scale = run.view_size[0] / stream.info.size[0]
    rows, left, right = slice(*(round(y * scale) for y in (32, 78))), round(20 * scale), round(60 * scale) - 1
    edge = np.array([[picture[rows, left], picture[rows, right]] for picture in pictures[-3:]], np.float64)
    bare = np.array([plain[-1][rows, left], plain[-1][rows, right]], np.float64)
    assert abs(edge - bare).mean() > 30, "the box is drawn"
    assert pictures[-1][-4:].mean() < 0.6 * plain[-1][-4:].mean(), "the strip with the delay is there"
    assert state.actions_delay is not None
    assert state.people_delay is not None


def test_a_machine_that_is_too_slow_passes_over_and_is_never_far_behind(video: Path, weights: Path, tmp_path: Path):
    run = run_of(video, weights, "slow")
    ages = []
    run.start()
    while run.running:
        run.view.picture(0)
        age = run.view.state().people_delay
        ages += [] if age is None else [age]
        time.sleep(0.02)
    run.finish()
    state = run.view.state()
    assert state.dropped > 5, "of 15 pictures in 3 s, 0.8 s each"
    assert max(ages) < 25, "the delay is bounded, however busy the machine"
    assert "passed over: " in run.summary()


def test_of_frames_that_wait_the_oldest_are_dropped(video: Path):
    shown: list[float] = []
    with LiveStream(video, lambda frame: shown.append(frame.time_s)) as stream:
        frames = iter(stream)
        first = next(frames)
        while stream.came < 75:
            time.sleep(0.02)
        rest = list(frames)
    assert first.time_s == 0
    assert shown == pytest.approx([k / 25 for k in range(75)])
    assert len(rest) == WAITING_FRAMES
    assert stream.dropped == 75 - 1 - WAITING_FRAMES
    assert [frame.index for frame in rest] == list(range(1, 1 + WAITING_FRAMES))
    assert rest[-1].time_s == pytest.approx(74 / 25)


def feed(video: Path, pipe: Path, rounds: int) -> None:
    """A video's pictures as MPEG-TS, each at its own time."""
    with FrameStream(video) as stream:
        pictures = [frame.rgb() for frame in stream]
    try:
        with pipe.open("wb", buffering=0) as file, av.open(file, "w", format="mpegts") as container:
            out = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "tune": "zerolatency"})
            out.width, out.height, out.pix_fmt = pictures[0].shape[1], pictures[0].shape[0], "yuv420p"
            began = time.perf_counter()
            for number in range(rounds * len(pictures)):
                time.sleep(max(0.0, began + number / 25 - time.perf_counter()))
                frame = av.VideoFrame.from_ndarray(pictures[number % len(pictures)], format="rgb24")
                container.mux(out.encode(frame))
            container.mux(out.encode(None))
    except (BrokenPipeError, av.FFmpegError):
        return  # the reader has gone


@pytest.fixture
def pipe(video: Path, tmp_path: Path) -> Path:
    path = tmp_path / "door.ts"
    os.mkfifo(path)
    threading.Thread(target=feed, args=(video, path, 20), daemon=True).start()
    return path


def test_a_pipe_is_shown_while_it_is_filled_and_can_be_stopped(pipe: Path, weights: Path):
    run = run_of(pipe, weights)
    run.start()
    number, until = 0, time.monotonic() + 60
    while number < 10:
        newest = run.view.picture(number)
        number = number if newest is None else newest[0]
        assert time.monotonic() < until
        time.sleep(0.01)
    assert run.running
    run.stop()
    run.finish()
    print(f"\n{run.summary()}")
    assert run.view.over
    assert run.view.state().frames < 20 * 75


def test_the_page_sends_moving_pictures_until_ctrl_c(pipe: Path, weights: Path):
    words = ["live", str(pipe), "-w", str(weights), "--detector", f"{weights / 'mine.py'}:find", "--port", "0"]
    with subprocess.Popen([sys.executable, "-m", "relact", *words], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = [process.stderr.readline(), process.stderr.readline()]
        assert said[1].startswith("open http://127.0.0.1:"), said
        url = said[1].split()[1].rstrip("/")
        assert httpx.get(url, headers={"Host": "evil.example"}).status_code == 421
        assert "pictures" in httpx.get(f"{url}/").text
        with httpx.stream("GET", f"{url}/pictures", timeout=60) as answer:
            assert answer.headers["content-type"].startswith("multipart/x-mixed-replace")
            data, pieces = b"", answer.iter_bytes()
            while data.count(b"Content-Type: image/jpeg") < 4:
                data += next(pieces)
        parts = [part.split(b"\r\n\r\n", 1)[1] for part in data.split(b"--relact-picture\r\n")[1:4]]
        pictures = [np.asarray(Image.open(io.BytesIO(part.removesuffix(b"\r\n")))) for part in parts]
        assert {picture.shape for picture in pictures} == {(213, 640, 3)}
        assert not (pictures[0] == pictures[2]).all()
        state = httpx.get(f"{url}/state").json()
        assert (state["source"], state["over"]) == ("door", False)
        assert "pictures/s" in state["text"]
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 0, rest
    assert "pictures drawn" in rest
    assert "Traceback" not in rest


def test_a_window_needs_a_display(video: Path, weights: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("tkinter")
    from relact.serve.live_window import run_window

    monkeypatch.delenv("DISPLAY", raising=False)
    run = run_of(video, weights)
    with pytest.raises(InputError, match="no display here"):
        run_window(run)
    run.finish()
    monkeypatch.setitem(sys.modules, "tkinter", None)
    with pytest.raises(InputError, match="tkinter is not installed"):
        run_window(run)


def test_a_source_that_is_none_is_named(video: Path, weights: Path, tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        run_of(Path("missing.mp4"), weights)
    content = video.read_bytes()
    (tmp_path / "bare.mp4").write_bytes(content[: content.index(b"mdat") + 10])
    with pytest.raises(InputError, match="no frame could be decoded"):
        run_of(tmp_path / "bare.mp4", weights)


def test_the_figures_fit_any_picture():
    state = LiveState(
        shown_a_second=24.9, picture_delay=0.03, people_delay=0.2, actions_delay=1.234, frames=340, dropped=12,
        passed_over=1,
    )  # fmt: skip
    assert state.text() == (
        "24.9 pictures/s, picture 0.03 s late, boxes 0.20 s, actions 1.23 s; passed over: 12 of 340 frames, 1 keyframes"
    )
    for width, height in ((64, 48), (320, 240), (1280, 720)):
        out = stamp(np.full((height, width, 3), 200, np.uint8), state.text())
        assert out.shape == (height, width, 3)
        assert (out[: height // 2] == 200).all()
        assert out.min() < 100
    for width in (400, 640):
        out = stamp(np.full((300, width, 3), 200, np.uint8), state.text())
        assert (out[:, -6:].max(axis=2) < 100).any(), "the strip"
        assert out[:, -6:].max() == 200, "the text ends before the edge: nothing of it is cut off"


def test_small_pictures_are_enlarged_and_large_ones_reduced():
    assert shown_size((288, 96)) == (640, 213)
    assert shown_size((240, 320)) == (480, 640)
    assert shown_size((640, 360)) == (640, 360)
    assert shown_size((1920, 1080)) == (1280, 720)
    assert shown_size((1080, 1920)) == (720, 1280)
