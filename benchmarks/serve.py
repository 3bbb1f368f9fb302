"""Many clients at once at `relact serve` on the loopback: how soon each is answered, and whether anything is lost.

    python benchmarks/serve.py [--clients 50] [--seconds 3] [--weights stage_linear] [--device cpu] [--json FILE]

Every client sends a video of its own (the same pictures, another file), all at the same moment, and then asks twice a
second until it is done. The server is a process of its own with one worker; limits on rate and queue are off.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from relact.data.stage import StageConfig, generate

ASK_EVERY_S = 0.5


def main() -> None:
    args, load = _arguments(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder) / "play", StageConfig(videos=1, seconds=args.seconds, seed=1))
        video = Path(folder) / "play" / "videos" / "stage_1_0000.mp4"
        url, server = start(Path(folder) / "server", args.weights, args.device)
        try:
            row = measure(url, video, args.clients)
        finally:
            server.terminate()
            server.wait()
    row |= {"seconds_each": args.seconds, "weights": args.weights, "device": args.device}
    row |= {"date": datetime.now(UTC).isoformat(timespec="seconds"), "cores": os.cpu_count()}
    row |= {"load_before": round(load, 1)}
    for name, value in row.items():
        print(f"{name:28} {value}")
    if args.json:
        args.json.write_text(json.dumps(row, indent=2) + "\n")


def start(folder: Path, weights: str, device: str) -> tuple[str, subprocess.Popen[str]]:
    """A server with its address, once it can be asked."""
    words = ["serve", "-w", weights, "--detector", "stage", "--port", "0", "-o", str(folder), "--device", device]
    server = subprocess.Popen(
        [sys.executable, "-m", "relact", *words, "--rate", "0", "--max-waiting", "100000"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stderr is not None
    for line in server.stderr:
        if line.startswith("open "):
            threading.Thread(target=server.stderr.read, daemon=True).start()
            return line.split()[1], server
    sys.exit(f"the server did not start ({server.wait()})")


def measure(url: str, video: Path, clients: int) -> dict[str, Any]:
    """All clients at once: what became of them."""
    gate, content = threading.Barrier(clients), video.read_bytes()
    since = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        rows = list(pool.map(lambda number: one_client(url, content, number, gate), range(clients)))
    took = time.perf_counter() - since
    answered = np.array([row["answered"] for row in rows])
    asked = np.concatenate([row["asked"] for row in rows if row["asked"]])
    return {
        "clients": clients,
        "accepted": sum(row["status"] == 201 for row in rows),
        "done": sum(row["state"] == "done" for row in rows),
        "right_name_and_rows": sum(row["right"] for row in rows),
        "upload_answered_s (median, 95 %, most)": spread(answered),
        "state_answered_ms (median, 95 %, most)": spread(1000 * asked),
        "states_asked": len(asked),
        "all_done_s": round(took, 1),
        "bytes_each": len(content),
    }


def one_client(url: str, content: bytes, number: int, gate: threading.Barrier) -> dict[str, Any]:
    """Sends, asks until it is over, fetches the table."""
    name, text = f"client {number}.mp4", b"number %08d" % number
    body = content + (len(text) + 8).to_bytes(4, "big") + b"free" + text  # a box that no player reads
    with httpx.Client(base_url=url, timeout=600) as client:
        gate.wait()
        since = time.perf_counter()
        sent = client.post("/api/v1/videos", files={"file": (name, body)})
        row: dict[str, Any] = {"status": sent.status_code, "answered": time.perf_counter() - since, "asked": []}
        row |= {"state": None, "right": False}
        while sent.status_code == 201 and row["state"] not in ("done", "failed"):
            time.sleep(ASK_EVERY_S)
            since = time.perf_counter()
            row["state"] = client.get(f"/api/v1/videos/{sent.json()['id']}").json()["state"]
            row["asked"].append(time.perf_counter() - since)
        if row["state"] == "done":
            lines = client.get(f"/api/v1/videos/{sent.json()['id']}/actions.csv").text.splitlines()
            row["right"] = len(lines) > 1 and all(line.startswith(f"client {number},") for line in lines[1:])
        return row


def spread(values: np.ndarray) -> str:
    """Median, 95th percentile, maximum."""
    return ", ".join(f"{value:.3g}" for value in np.percentile(values, [50, 95, 100]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=3, help="of each video")
    parser.add_argument("--weights", default="stage_linear")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
