"""The window of `relact live`, on a display of its own (Xvfb): what it shows, and every way to close it."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageGrab

from relact.serve.live import LiveConfig, LiveRun
from relact.serve.live_window import CLOSING_KEYS, fitting, run_window

tkinter = pytest.importorskip("tkinter")


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    if shutil.which("Xvfb") is None:
        pytest.skip("no Xvfb (Debian: apt install xvfb)")
    words = ["Xvfb", "-displayfd", "1", "-screen", "0", "1000x700x24", "-nolisten", "tcp"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        number = server.stdout.readline().strip()
        if not number:
            pytest.skip("Xvfb does not start")
        yield f":{number}"
        server.terminate()


@pytest.fixture
def words(video: Path, weights: Path) -> list[str]:
    return ["live", str(video), "-w", str(weights), "--detector", f"{weights / 'mine.py'}:find", "--window"]


def opened(video: Path, weights: Path) -> LiveRun:
    config = LiveConfig(weights=str(weights), detector=f"{weights / 'mine.py'}:find", precision="fp32")
    return LiveRun(str(video), config)


@pytest.mark.parametrize("way", [*CLOSING_KEYS, "the cross"])
def test_the_window_shows_the_source_and_closes(
    way: str, video: Path, weights: Path, display: str, monkeypatch: pytest.MonkeyPatch
):
    run = opened(video, weights)
    seen: list[Image.Image] = []

    class Watched(tkinter.Tk):
        """A window whose owner looks at the screen after a while, and closes it."""

        def __init__(self) -> None:
            super().__init__()
            self.after(50, self._look)

        def _look(self) -> None:
            if run.view.drawn < 5:
                self.after(50, self._look)
                return
            self.after(200, self._leave)

        def _leave(self) -> None:
            seen.append(ImageGrab.grab(xdisplay=display))
            self.focus_force()
            self.update()
            if way == "the cross":
                self.tk.call(self.protocol("WM_DELETE_WINDOW"))
            else:
                self.event_generate(f"<Key-{way}>" if way == "q" else way)

    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setattr(tkinter, "Tk", Watched)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    run_window(run)
    assert not any(issubclass(type(thing), tkinter.Tk) for thing in gc.get_objects()), "another thread would abort"
    run.finish()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    screen = np.asarray(seen[0].convert("RGB"))
    width, height = run.view_size
    assert not screen[height:].any(), "the window is as large as the picture"
    assert not screen[:, width:].any()
    drawn = run.view.picture(0)
    assert drawn is not None
    inside = screen[:height, :width].astype(float)
    assert abs(inside - drawn[1]).mean() < 12, "the screen shows what was drawn, a moment ago"
    assert run.view.state().frames < 75, "the video has more: it was closed, and did not end"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_window_with_its_summary(number: signal.Signals, words: list[str], display: str):
    environment = os.environ | {"DISPLAY": display}
    with subprocess.Popen(
        [sys.executable, "-m", "relact", *words], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        until = time.monotonic() + 60
        while (
            len(set(ImageGrab.grab(xdisplay=display).convert("RGB").getdata())) < 50
        ):  # a window without a picture yet
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        said = process.stderr.read()
    assert process.returncode == 0, said
    assert "pictures drawn" in said
    assert "Traceback" not in said


def test_a_picture_fits_its_window_without_being_squeezed():
    assert fitting((640, 360), (1280, 720)) == (1280, 720)
    assert fitting((640, 360), (640, 720)) == (640, 360)
    assert fitting((640, 360), (1000, 180)) == (320, 180)
    assert fitting((640, 360), (1, 1)) == (1, 1)
