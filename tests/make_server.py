"""A server of `relact serve` for tests: a process of its own, with relact's worker or one that only pretends."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx

STAND_IN = """
import json, os, pathlib, sys, time
from relact.serve.lines import Lines

said, control = Lines(), pathlib.Path(sys.argv[1])
said.say({"ready": {"key": sys.argv[2], "model": "stand-in", "actions": 2, "device": "cpu"}})
for order in said.orders():
    folder = pathlib.Path(order["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    with (control / "log").open("a") as log:
        log.write(json.dumps(order) + "\\n")
    while (control / "hold").exists():
        said.say({"progress": {"seconds": 1.0, "keyframes": 1}})
        time.sleep(0.05)
    if (control / "crash").exists():
        os.kill(os.getpid(), 9)
    if (control / "fail").exists():
        said.say({"failed": "nobody could be judged"})
        continue
    (folder / "actions.csv").write_text("video,time_s\\nupload,0.000000\\nupload,1.000000\\n")
    (folder / "actions.json").write_text('{"video": "upload", "keyframes": [\\n]}\\n')
    (folder / "report.html").write_text('<title>r</title><script type="application/json">{"title":"upload"}</script>')
    said.say({"done": {"seconds": 3.0, "keyframes": 3, "boxes": 6, "people": 2, "warnings": [], "poster": None,
                       "actions": [{"name": "walk", "group": "pose", "seconds": 2.0}]}})
"""

RUN = """
import asyncio, json, sys
from pathlib import Path
from relact.serve.server import run
from relact.serve.settings import Limits, ServeConfig
told = json.loads(sys.argv[1])
config = ServeConfig(**{**told["config"], "folder": Path(told["config"]["folder"]), "limits": Limits(**told["limits"]),
                        "tokens": tuple(told["config"].get("tokens", ()))})
asyncio.run(run(config, lambda text: print(text, flush=True), told["commands"]))
"""


class Server:
    """A running server. `control` is the folder whose files tell a stand-in worker what to do: hold, crash, fail."""

    def __init__(
        self, folder: Path, *, real: bool = False, limits: dict[str, Any] | None = None, **config: Any
    ) -> None:
        self.folder, self.control = folder, folder / "control"
        self.control.mkdir(parents=True, exist_ok=True)
        self._config = {"weights": "stage_linear", "detector": "stage", "port": 0, "folder": str(folder), **config}
        self._limits, self._real, self.key = limits or {}, real, "one"
        self.said: list[str] = []
        self.url = ""

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts it and waits until it can be asked."""
        stand_in = [sys.executable, "-c", STAND_IN, str(self.control), self.key]
        told = {"config": self._config, "limits": self._limits, "commands": None if self._real else [stand_in]}
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, json.dumps(told)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.said, self.url, self.wrong = [], "", ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.strip())
            if line.startswith("open "):
                self.url = line.split()[1].rstrip("/")
                break
        threading.Thread(target=self._listen, daemon=True).start()
        assert self.url, self.process.communicate()

    def _listen(self) -> None:
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            for line in stream:
                self.said.append(line.strip())

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends it with a signal; its status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)

    @property
    def orders(self) -> list[dict[str, Any]]:
        """What the stand-in worker was asked so far."""
        log = self.control / "log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def client(self, **how: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, **how)

    def send(
        self, video: Path | bytes, name: str = "play.mp4", client: httpx.Client | None = None, **fields: str
    ) -> Any:
        """Uploads a video: the answer."""
        content = video if isinstance(video, bytes) else video.read_bytes()
        ask = client.post if client else httpx.post
        address = "/api/v1/videos" if client else f"{self.url}/api/v1/videos"
        return ask(address, files={"file": (name, content)}, data=fields, timeout=60)

    def state(self, job: str, **how: Any) -> Any:
        return httpx.get(f"{self.url}/api/v1/videos/{job}", **how).json()

    def wait(self, job: str, *states: str, seconds: float = 60, **how: Any) -> Any:
        """The job, once it is in one of these states (default: over)."""
        until = time.monotonic() + seconds
        while (state := self.state(job, **how))["state"] not in (states or ("done", "failed")):
            assert time.monotonic() < until, state
            time.sleep(0.05)
        return state


def other(video: Path, number: int) -> bytes:
    """The same MP4 with another content: a box behind it that no player reads."""
    text = b"number %08d" % number
    return video.read_bytes() + (len(text) + 8).to_bytes(4, "big") + b"free" + text
