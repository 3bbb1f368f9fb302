"""The server with relact's own worker and the model that ships: results are delivered, a killed server goes on."""

import json
import signal
import sqlite3
import time
from pathlib import Path

import httpx
import pytest

from relact.data.stage.families import ACTIONS
from tests.make_server import Server, other
from tests.make_stage import make_stage

SECONDS = 300
"""for what takes a moment, but not on a machine that is busy"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with Server(tmp_path_factory.mktemp("worker"), real=True) as running:
        yield running


def test_what_is_found_is_delivered_under_the_name_that_was_given(server: Server, video: Path):
    facts = httpx.get(f"{server.url}/api/v1/server").json()
    assert (facts["model"], facts["actions"], facts["devices"]) == ("stage_linear", len(ACTIONS), ["cpu"])
    job = server.send(video, "a, b.mov", every="0.5").json()
    done = server.wait(job["id"], seconds=SECONDS)
    assert (done["state"], done["result"]["keyframes"]) == ("done", 6), done
    base = f"{server.url}/api/v1/videos/{job['id']}"
    rows = httpx.get(f"{base}/actions.csv").text.splitlines()
    assert len(rows) > 1
    assert all(row.startswith('"a, b",') for row in rows[1:])
    assert httpx.get(f"{base}/actions.json").json()["video"] == "a, b"
    assert {row.split('",')[0] for row in httpx.get(f"{base}/ava.csv").text.splitlines()} == {'"a, b'}
    page = httpx.get(f"{server.url}/videos/{job['id']}/result/report.html")
    assert page.text.count('"title":"a, b"') == 2
    assert "../upload.mp4" in page.text
    assert httpx.get(f"{server.url}/videos/{job['id']}/poster").content[:2] == b"\xff\xd8"
    assert httpx.get(f"{server.url}/videos/{job['id']}/result/run.json").status_code == 404


def test_parquet_carries_the_name_too(server: Server, video: Path, tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    job = server.send(video, "c.mp4").json()["id"]
    assert server.wait(job, seconds=SECONDS)["state"] == "done"
    (tmp_path / "x.parquet").write_bytes(httpx.get(f"{server.url}/api/v1/videos/{job}/actions.parquet").content)
    table = parquet.read_table(tmp_path / "x.parquet").to_pydict()
    assert set(table["video"]) == {"c"}
    assert len(table["score"]) > 0


def test_a_video_that_was_cut_off_gives_what_was_there(server: Server, video: Path):
    whole = video.read_bytes()
    job = server.send(whole[: 2 * len(whole) // 3]).json()
    done = server.wait(job["id"], seconds=SECONDS)
    assert done["state"] == "done"
    assert any("results cover" in warning for warning in done["result"]["warnings"])
    assert str(server.folder) not in json.dumps(done)


@pytest.mark.slow
def test_a_killed_server_goes_on_where_it_was(tmp_path: Path):
    video = make_stage(tmp_path / "long", seconds=39) / "videos" / "stage_3_0000.mp4"
    with Server(tmp_path / "s", real=True) as server:
        sent = server.send(video, every="0.2").json()["id"]
        until = time.monotonic() + SECONDS
        while ((server.state(sent)["progress"] or {}).get("keyframes") or 0) < 8:
            assert time.monotonic() < until
            time.sleep(0.1)
        server.stop(signal.SIGKILL)
        server.start()
        done = server.wait(sent, seconds=SECONDS)
        assert (done["state"], done["result"]["keyframes"]) == ("done", 195)
        with sqlite3.connect(server.folder / "queue.sqlite") as db:
            [(outcome,)] = db.execute("select outcome from works")
        assert json.loads(outcome)["resumed"] >= 8


def test_the_same_video_with_other_settings_is_judged_anew(server: Server, video: Path):
    jobs = [server.send(other(video, 7), every=every).json()["id"] for every in ("1", "3")]
    keyframes = [server.wait(job, seconds=SECONDS)["result"]["keyframes"] for job in jobs]
    assert keyframes == [3, 1]
