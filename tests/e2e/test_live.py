"""`relact detect` on a stream that comes at its own pace: a pipe that somebody fills in real time."""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import pytest
from memory_models import HEADS, run_folder
from typer.testing import CliRunner

import relact
from relact.cli import app
from relact.data.ahead import ReadAhead, stamped
from relact.data.decode import FrameStream
from relact.data.sampling import Picture
from relact.data.source import is_live, open_container
from relact.errors import InputError
from relact.labels import LabelMap
from relact.recipe import Recipe
from relact.run.detection import name_of
from relact.video.pipeline import DetectConfig

RATE = 10
FINDER = """\
import numpy as np
def find(pictures):
    return [(np.array([[20., 30, 60, 90]], np.float32), np.array([.9], np.float32)) for _ in pictures]
"""


class Camera(threading.Thread):
    """Sends a video's pictures through a pipe as MPEG-TS, each at its own time, `rounds` times over."""

    def __init__(self, video: Path, pipe: Path, *, rounds: int) -> None:
        super().__init__(daemon=True)
        self._video, self._pipe, self._rounds = video, pipe, rounds
        self.sent: dict[int, float] = {}
        """when each frame went out"""
        self.ended = float("inf")

    def run(self) -> None:
        with FrameStream(self._video) as stream:
            pictures = [frame.rgb() for frame in stream]
        try:
            self._send(pictures)
        except (BrokenPipeError, av.FFmpegError):
            return  # the reader has gone
        self.ended = time.perf_counter()

    def _send(self, pictures: list[Picture]) -> None:
        with self._pipe.open("wb", buffering=0) as pipe, av.open(pipe, "w", format="mpegts") as container:
            out = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "tune": "zerolatency"})
            out.width, out.height, out.pix_fmt = pictures[0].shape[1], pictures[0].shape[0], "yuv420p"
            began = time.perf_counter()
            for number in range(self._rounds * len(pictures)):
                time.sleep(max(0.0, began + number / RATE - time.perf_counter()))
                frame = av.VideoFrame.from_ndarray(pictures[number % len(pictures)], format="rgb24")
                container.mux(out.encode(frame))
                self.sent[number] = time.perf_counter()
            container.mux(out.encode(None))


def start(pipe: str, run: Path, out: Path, *words: str, **how: Any) -> subprocess.Popen[str]:
    (out / "mine.py").write_text(FINDER)
    return subprocess.Popen(
        [sys.executable, "-m", "relact", "detect", pipe, "-w", str(run), "--detector", f"{out / 'mine.py'}:find",
         "-o", str(out), "--live", "--precision", "fp32", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(small: Recipe, play: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_folder(tmp_path_factory.mktemp("lfb"), small, HEADS["lfb"], LabelMap.load(play / "labels.csv"))


def test_a_pipe_is_judged_while_it_runs(play: Path, run: Path, tmp_path: Path):
    pipe = tmp_path / "door.ts"
    os.mkfifo(pipe)
    camera = Camera(play / "videos" / "stage_3_0000.mp4", pipe, rounds=3)
    with start(str(pipe), run, tmp_path, "--causal") as process:
        camera.start()
        assert process.stdout is not None
        came = [(json.loads(line), time.perf_counter()) for line in process.stdout]
        camera.join()
        said = process.stderr.read() if process.stderr else ""
    assert process.returncode == 0, said
    assert [line["time_s"] for line, _ in came] == list(range(9))
    assert all(line["people"][0]["person_id"] == 1 for line, _ in came)
    early = [when for _, when in came if when < camera.ended]
    assert len(early) >= 5, f"{len(early)} of 9 lines came before the pipe was closed"
    lags = [when - camera.sent[RATE * second] for second, (_, when) in enumerate(came) if second >= 3]
    print(f"\nfrom a keyframe's sending to its line: {[round(lag, 2) for lag in lags]} s")
    assert max(lags) < 3.0
    record = json.loads((tmp_path / "door" / "run.json").read_text())
    clip = relact.load_model(run).clip
    assert record["delay"]["after_keyframe_ms"]["median"] > 900 * (clip.num_frames // 2 - 1) * clip.frame_stride / 30
    assert record["protocol"]["causal"]
    assert any("annotated.mp4 is not drawn" in warning for warning in record["warnings"])
    assert {path.name for path in (tmp_path / "door").iterdir()} == {
        "actions.csv", "segments.csv", "ava.csv", "run.json", "report.html"
    }  # fmt: skip


def test_an_interrupt_ends_a_stream_well(play: Path, run: Path, tmp_path: Path):
    pipe = tmp_path / "door.ts"
    os.mkfifo(pipe)
    camera = Camera(play / "videos" / "stage_3_0000.mp4", pipe, rounds=100)
    with start(str(pipe), run, tmp_path) as process:
        camera.start()
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read().splitlines()
        said = process.stderr.read() if process.stderr else ""
    assert process.returncode == 0, said
    assert first["time_s"] == 0
    assert len(rest) >= 2, "those that waited for the future are judged with what there was"
    assert "so results come as late" in said
    lines = (tmp_path / "door" / "actions.csv").read_text().splitlines()
    assert {line.split(",")[1] for line in lines[1:]} == {f"{second:.6f}" for second in range(len(rest) + 1)}


def test_standard_input_is_a_source_too(play: Path, run: Path, tmp_path: Path):
    video = tmp_path / "play.ts"
    with av.open(str(play / "videos" / "stage_3_0000.mp4")) as source, av.open(str(video), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    with video.open("rb") as given, start("-", run, tmp_path, "--causal", "--no-draw", stdin=given) as process:
        out, said = process.communicate()
    assert process.returncode == 0, said
    piped = [json.loads(line) for line in out.splitlines()]
    assert [line["video"] for line in piped] == ["stdin"] * 3
    filed = list(
        relact.detect(
            video, model=run, detector=f"{tmp_path / 'mine.py'}:find",
            config=DetectConfig(causal=True, precision="fp32"),
        )
    )  # fmt: skip
    for line, detections in zip(piped, filed, strict=True):
        scores = {action["score"] for action in line["people"][0]["actions"]}
        assert scores == {round(float(score), 6) for score in detections.scores[0] if score >= 0.05}


def test_live_and_json_do_not_go_together(play: Path, run: Path):
    words = ["detect", str(play / "videos" / "stage_3_0000.mp4"), "-w", str(run), "--live", "--json"]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, InputError)
    assert "choose one" in str(result.exception)


def test_sources_have_names():
    named = {
        "-": "stdin", "a/b.mp4": "b", "rtsp://me:x@host:554/yard?x=1": "yard", "udp://@239.0.0.1:1234": "239.0.0.1",
        "/dev/video0": "video0", "https://host/a%20b.mp4?token=1": "a%20b",
    }  # fmt: skip
    assert {video: name_of(video) for video in named} == named


def test_reading_ahead_keeps_order_and_passes_errors_on():
    def items():
        yield from range(100)
        raise InputError("torn")

    ahead = ReadAhead(items(), room=3)
    got = []
    with pytest.raises(InputError, match="torn"):
        got.extend(ahead)
    assert got == list(range(100))
    assert ahead.full > 0
    assert ahead.close()
    assert [item for item, _ in ReadAhead(stamped(range(5)), room=2)] == list(range(5))


def test_reading_ahead_can_be_called_off():
    stopped = threading.Event()

    def endless():
        while not stopped.is_set():
            yield 1

    ahead = ReadAhead(endless(), room=2)
    assert next(ahead) == 1
    ahead.stop()
    assert list(ahead) == []
    assert ahead.close()
    waiting = ReadAhead(iter(stopped.wait, None), room=2)  # a source that sends nothing
    began = time.perf_counter()
    assert not waiting.close()
    assert time.perf_counter() - began < 3
    stopped.set()


SERVER = """\
import sys
import av
with av.open(sys.argv[1]) as source, av.open(sys.argv[2], "w", format="mpegts") as target:
    stream = target.add_stream_from_template(source.streams.video[0])
    for packet in source.demux(source.streams.video[0]):
        if packet.dts is not None:
            packet.stream = stream
            target.mux(packet)
"""


def test_an_address_is_read_at_its_own_pace(play: Path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    video = str(play / "videos" / "stage_3_0000.mp4")
    with subprocess.Popen([sys.executable, "-c", SERVER, video, f"{address}?listen=1"]) as server:
        until = time.monotonic() + 30
        while True:
            try:
                stream = FrameStream(address)
                break
            except InputError:  # the server is not up yet
                assert time.monotonic() < until
                time.sleep(0.1)
        with stream:
            assert stream.live
            assert [round(frame.time_s * RATE) for frame in stream] == list(range(3 * RATE))
    assert server.returncode == 0


def test_a_file_on_a_web_server_is_a_file(play: Path):
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(play / "videos"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with FrameStream(f"http://127.0.0.1:{server.server_port}/stage_3_0000.mp4") as stream:
            assert not stream.live
            assert sum(1 for _ in stream) == 3 * RATE
        server.shutdown()


def test_what_comes_once_is_known_before_it_is_opened(play: Path, tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for live in ("-", "rtsp://host/x", "udp://@239.0.0.1:1234", str(tmp_path / "pipe")):
        assert is_live(live), live
    for file in (play / "videos" / "stage_3_0000.mp4", "http://host/x.mp4", "file:///x.mp4", "missing.mp4"):
        assert not is_live(file), file


def test_a_camera_that_this_build_cannot_open_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("relact.data.source.is_live", lambda path: True)
    monkeypatch.setattr("av.formats_available", {"mp4", "rtsp"})
    with pytest.raises(InputError, match=r"/dev/video7: this PyAV was built without cameras .* pipe: ffmpeg -f v4l2"):
        open_container("/dev/video7")
