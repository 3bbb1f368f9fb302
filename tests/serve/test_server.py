"""The server as its clients meet it: a process of its own, with a worker that only pretends to judge."""

import signal
import socket
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from relact.errors import InputError
from relact.serve.server import alone, is_loopback, listen, with_token
from relact.serve.settings import ServeConfig
from tests.make_server import Server, other

TOKEN, OTHER = "a-token-of-the-first", "a-token-of-the-second"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def server(tmp_path: Path):
    with Server(tmp_path / "s") as running:
        yield running


def test_a_video_is_sent_judged_fetched_and_removed(server: Server, video: Path):
    sent = server.send(video, "street <b>.mp4", every="0.5")
    assert sent.status_code == 201, sent.text
    job = sent.json()
    assert sent.headers["location"] == f"/api/v1/videos/{job['id']}"
    assert (job["name"], job["seconds"], job["width"], job["height"]) == ("street <b>.mp4", 3.0, 288, 96)
    done = server.wait(job["id"])
    assert (done["state"], done["result"]["people"], done["error"]) == ("done", 2, None)
    assert server.orders[0]["settings"] == {"every": 0.5, "threshold": 0.05, "box_threshold": 0.5}
    with server.client() as client:
        base = f"/api/v1/videos/{job['id']}"
        table = client.get(f"{base}/actions.csv")
        assert table.text.splitlines()[1] == "street <b>,0.000000"
        assert 'filename="street__b_.actions.csv"' in table.headers["content-disposition"]
        assert client.get(f"{base}/actions.json").json()["video"] == "street <b>.mp4".removesuffix(".mp4")
        assert client.get(f"{base}/actions.parquet").status_code == 404
        assert client.get(f"{base}/run.json").status_code == 422
        page = client.get(f"/videos/{job['id']}/result/report.html")
        assert "street \\u003cb\\u003e" in page.text
        assert "form-action 'none'" in page.headers["content-security-policy"]
        assert client.get("/api/v1/videos").json()["videos"] == [done]
        assert client.delete(base).status_code == 204
        assert client.delete(base).status_code == 404
        assert client.get(base).status_code == 404
    assert list((server.folder / "works").iterdir()) == []


def test_the_video_comes_in_the_parts_that_a_player_asks_for(server: Server, video: Path):
    job = server.send(video).json()["id"]
    address, content = f"{server.url}/videos/{job}/upload.mp4", video.read_bytes()
    whole, part = httpx.get(address), httpx.get(address, headers={"Range": "bytes=100-199"})
    assert (whole.status_code, part.status_code) == (200, 206)
    assert whole.content == content
    assert part.content == content[100:200]
    assert part.headers["content-range"] == f"bytes 100-199/{len(content)}"
    assert whole.headers["content-type"] == "video/mp4"
    assert httpx.get(address, headers={"Range": f"bytes={len(content)}-"}).status_code == 416


def test_the_same_video_is_judged_once_and_keeps_each_name(server: Server, video: Path):
    (server.control / "hold").touch()
    jobs = [server.send(video, name).json() for name in ("a.mp4", "b.mp4")]
    third = server.send(video, "c.mp4", every="2").json()
    assert [job["shared"] for job in [*jobs, third]] == [False, True, False]
    (server.control / "hold").unlink()
    for job in [*jobs, third]:
        assert server.wait(job["id"])["state"] == "done"
    assert len(server.orders) == 2
    late = server.send(video, "d.mp4").json()
    assert (late["state"], late["shared"]) == ("done", True)
    tables = [httpx.get(f"{server.url}/api/v1/videos/{job['id']}/actions.csv").text for job in [*jobs, late]]
    assert [table.splitlines()[1].split(",")[0] for table in tables] == ["a", "b", "d"]
    for job in (jobs[0], jobs[1]):
        assert httpx.delete(f"{server.url}/api/v1/videos/{job['id']}").status_code == 204
    assert httpx.get(f"{server.url}/api/v1/videos/{late['id']}/actions.csv").status_code == 200


def test_names_never_reach_the_file_system(server: Server, video: Path):
    names = ["../../x", "/etc/passwd", "..\\..\\x.mp4", "CON", "x" * 3000, ""]
    for number, name in enumerate(names):
        job = server.send(other(video, number), name).json()
        assert job["name"] == (name[:200] or "video")
        assert server.wait(job["id"])["state"] == "done"
    files = {path.relative_to(server.folder).as_posix() for path in server.folder.rglob("*") if path.is_file()}
    works = [order["folder"].split("/")[-2] for order in server.orders]
    result = ("upload.mp4", "result/actions.csv", "result/actions.json", "result/report.html")
    queue = {"queue.sqlite", "queue.sqlite-shm", "queue.sqlite-wal", "control/log", "lock"}
    assert files - queue == {f"works/{work}/{file}" for work in works for file in result}


def test_each_bad_upload_has_its_answer_and_the_server_goes_on(tmp_path: Path, video: Path):
    with Server(tmp_path / "s", limits={"megabytes": 0.2, "seconds": 2.0}) as server:
        long = server.send(video)
        assert (long.status_code, long.json()["detail"]) == (
            415, "it lasts longer than the 0:02 that this server takes"
        )  # fmt: skip
        text = server.send(b"no video" * 100)
        assert text.status_code == 415
        assert "not a video" in text.json()["detail"]
        large = server.send(bytes(300_000))
        assert (large.status_code, large.json()["detail"]) == (
            413, "the video is larger than the 0.2 MB that this server takes"
        )  # fmt: skip
        wrong = [server.send(b"x", every=every) for every in ("0.01", "soon")]
        assert [answer.status_code for answer in wrong] == [422, 422]
        assert "every: input should be" in wrong[0].json()["detail"]
        assert server.send(b"x", colour="red").json()["detail"].startswith("colour: no such setting; there are every")
        assert httpx.post(f"{server.url}/api/v1/videos", content=b"x").status_code == 415
        assert httpx.get(f"{server.url}/api/v1/videos").json() == {"videos": []}
        assert list((server.folder / "uploads").iterdir()) == []


def test_too_large_a_video_is_refused_before_it_is_sent(tmp_path: Path):
    with Server(tmp_path / "s", limits={"megabytes": 1.0}) as server, socket.create_connection(
        ("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=10
    ) as line:  # fmt: skip
        line.sendall(
            b"POST /api/v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\nExpect: 100-continue\r\n\r\n"
        )
        answer = b""
        while piece := line.recv(4096):  # until the server hangs up
            answer += piece
        assert answer.startswith(b"HTTP/1.1 413 "), "nor is it asked to send: no 100 Continue"


def test_an_upload_that_breaks_off_leaves_nothing(server: Server, video: Path):
    port = int(server.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(
            b"POST /api/v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
            b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + bytes(1000)
        )
        until = time.monotonic() + 10
        while not list((server.folder / "uploads").iterdir()):
            assert time.monotonic() < until
    while list((server.folder / "uploads").iterdir()):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert server.send(video).status_code == 201


def test_a_worker_that_dies_costs_one_job(server: Server, video: Path):
    (server.control / "crash").touch()
    job = server.send(other(video, 1)).json()
    state = server.wait(job["id"])
    assert state["state"] == "failed"
    assert "signal 9" in state["error"]
    (server.control / "crash").unlink()
    (server.control / "fail").touch()
    job = server.send(other(video, 2)).json()
    assert server.wait(job["id"])["error"] == "nobody could be judged"
    assert "nobody could" in httpx.get(f"{server.url}/api/v1/videos/{job['id']}/actions.csv").json()["detail"]
    (server.control / "fail").unlink()
    again = server.send(other(video, 2)).json()
    assert server.wait(again["id"])["state"] == "done"


def test_a_running_job_is_cancelled_and_the_next_begins(server: Server, video: Path):
    (server.control / "hold").touch()
    first, second = (server.send(other(video, number)).json() for number in (1, 2))
    running = server.wait(first["id"], "running")
    until = time.monotonic() + 10
    while server.state(first["id"])["progress"] is None:
        assert time.monotonic() < until
    assert running["error"] is None
    assert server.state(second["id"])["ahead"] == 0
    assert httpx.get(f"{server.url}/api/v1/videos/{first['id']}/actions.csv").status_code == 409
    assert httpx.delete(f"{server.url}/api/v1/videos/{first['id']}").status_code == 204
    server.wait(second["id"], "running")
    (server.control / "hold").unlink()
    assert server.wait(second["id"])["state"] == "done"
    work = Path(server.orders[0]["folder"]).parent
    while work.exists():
        assert time.monotonic() < until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_queue_survives_the_server(server: Server, video: Path, number: int):
    (server.control / "hold").touch()
    jobs = [server.send(other(video, k), f"{k}.mp4").json() for k in range(3)]
    server.wait(jobs[0]["id"], "running")
    status = server.stop(number)
    assert status == (-9 if number == signal.SIGKILL else 0), server.said
    (server.control / "hold").unlink()
    server.start()
    for k, job in enumerate(jobs):
        state = server.wait(job["id"])
        assert (state["state"], state["name"]) == ("done", f"{k}.mp4")
    folders = [order["folder"] for order in server.orders]
    assert folders[0] == folders[1], "what ran goes on in its folder"
    assert len(set(folders)) == 3


def test_fifty_clients_at_once_lose_nothing(server: Server, video: Path):
    with ThreadPoolExecutor(50) as clients:
        answers = list(clients.map(lambda k: server.send(other(video, k), f"{k}.mp4"), range(50)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 50
    for k, answer in enumerate(answers):
        state = server.wait(answer.json()["id"])
        assert (state["state"], state["name"]) == ("done", f"{k}.mp4")


def test_too_many_are_told_to_wait(tmp_path: Path, video: Path):
    with Server(tmp_path / "s", limits={"queue": 2, "rate": 4}) as server:
        (server.control / "hold").touch()
        server.wait(server.send(other(video, 0)).json()["id"], "running")
        answers = [server.send(other(video, k)) for k in range(1, 6)]
        assert [answer.status_code for answer in answers] == [201, 201, 503, 429, 429]
        assert int(answers[2].headers["retry-after"]) == 60
        assert 1 <= int(answers[3].headers["retry-after"]) <= 15
        assert "2 videos wait already" in answers[2].json()["detail"]


@pytest.mark.parametrize(("proxy", "statuses"), [("127.0.0.1", [201, 201, 429]), (None, [201, 429, 429])])
def test_only_a_known_proxy_says_who_the_clients_are(
    tmp_path: Path, video: Path, proxy: str | None, statuses: list[int]
):
    with Server(tmp_path / "s", limits={"rate": 1}, proxy=proxy) as server:
        answers = []
        for number, client in enumerate(("10.0.0.1", "10.0.0.2", "10.0.0.2")):
            with server.client(headers={"X-Forwarded-For": client}) as through:
                answers.append(server.send(other(video, number), client=through).status_code)
    assert answers == statuses


def test_results_go_after_their_time(tmp_path: Path, video: Path):
    with Server(tmp_path / "s", limits={"keep_hours": 1.0}) as server:
        jobs = [server.send(other(video, k)).json()["id"] for k in range(2)]
        assert [server.wait(job)["state"] for job in jobs] == ["done", "done"]
        server.stop()
        with sqlite3.connect(server.folder / "queue.sqlite") as db:
            db.execute("update jobs set created = created - 4000 where id = ?", (jobs[0],))
            db.execute("update works set finished = finished - 4000 where id = (select work from jobs where id = ?)",
                       (jobs[0],))  # fmt: skip
        (server.folder / "works" / "nobodys").mkdir()
        server.start()
        assert [job["id"] for job in httpx.get(f"{server.url}/api/v1/videos").json()["videos"]] == [jobs[1]]
        assert len(list((server.folder / "works").iterdir())) == 1


def test_a_token_keeps_users_apart(tmp_path: Path, video: Path):
    with Server(tmp_path / "s", tokens=[TOKEN, OTHER]) as server, server.client() as stranger:
        assert server.send(video, client=stranger).status_code == 401
        for path in ("/", "/docs", "/api/v1/videos", "/api/v1/openapi.json", "/api/v1/server", "/videos/x/poster"):
            assert stranger.get(path).status_code == 401, path
        assert "Log in" in stranger.get("/", headers={"Accept": "text/html"}).text
        assert stranger.get("/healthz").text == "ok\n"
        with server.client(headers=BEARER) as mine, server.client() as yours:
            job = server.send(video, client=mine).json()["id"]
            assert server.wait(job, headers=BEARER)["state"] == "done"
            entered = yours.post("/login", data={"token": OTHER})
            assert entered.status_code == 303
            cookie = entered.headers["set-cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=strict" in cookie
            assert OTHER not in cookie
            assert yours.get("/").status_code == 200
            assert yours.get("/api/v1/videos").json() == {"videos": []}
            for path in ("", "/actions.csv"):
                assert yours.get(f"/api/v1/videos/{job}{path}").status_code == 404
            for path in ("result/report.html", "upload.mp4", "poster"):
                assert yours.get(f"/videos/{job}/{path}").status_code == 404
            assert yours.delete(f"/api/v1/videos/{job}").status_code == 404
            assert yours.delete(f"/api/v1/videos/{job}", headers={"Origin": "http://evil.example"}).status_code == 403
            assert yours.post("/logout").status_code == 303
            assert yours.get("/api/v1/videos").status_code == 401
        assert stranger.post("/login", data={"token": "a guess"}).status_code == 401
        assert stranger.post("/login", content=b"token=" + bytes(9000)).status_code == 401


def test_other_names_and_sites_are_refused(server: Server, video: Path):
    assert httpx.get(server.url, headers={"Host": "evil.example"}).status_code == 421
    with server.client(headers={"Origin": "http://evil.example"}) as site:
        assert server.send(video, client=site).status_code == 403
    with server.client(headers={"Origin": server.url}) as page:
        assert server.send(video, client=page).status_code == 201


def test_the_api_describes_itself_without_any_network(server: Server):
    with server.client() as client:
        spec = client.get("/api/v1/openapi.json").json()
        assert set(spec["paths"]) == {
            "/api/v1/videos", "/api/v1/videos/{job}", "/api/v1/videos/{job}/{table}", "/api/v1/server"
        }  # fmt: skip
        form = spec["paths"]["/api/v1/videos"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        assert set(form["properties"]) == {"file", "every", "threshold", "box_threshold"}
        pages = [client.get(path).text for path in ("/", "/docs", "/login")]
        assets = [client.get(f"/assets/{name}") for name in ("page.css", "index.js", "docs.js", "theme.js")]
        assert {asset.status_code for asset in assets} == {200}
        for text in [*pages, *(asset.text for asset in assets)]:
            assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
            assert "https://" not in text
        assert client.get("/assets/server.py").status_code == 404
        assert client.get("/assets/..%2f..%2fsettings.py").status_code in (404, 422)


def test_weights_that_are_not_there_end_the_command(tmp_path: Path):
    from typer.testing import CliRunner

    from relact.cli import app

    result = CliRunner().invoke(app, ["serve", "-w", "no/such/run", "--port", "0", "-o", str(tmp_path)])
    assert isinstance(result.exception, InputError)
    assert "no such run folder" in str(result.exception)


def test_an_address_that_is_taken_is_said():
    with listen("127.0.0.1", 0) as taken, pytest.raises(InputError, match="cannot listen there"):
        listen("127.0.0.1", taken.getsockname()[1])


def test_two_servers_do_not_share_a_folder(tmp_path: Path):
    with alone(tmp_path / "s"), pytest.raises(InputError, match="another relact serve uses it"), alone(tmp_path / "s"):
        pass
    assert (tmp_path / "s").stat().st_mode & 0o077 == 0
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"), alone(tmp_path / "file"):
        pass


def test_a_token_is_made_where_others_can_reach_the_server(tmp_path: Path):
    def tokens(host: str, *given: str) -> tuple[str, ...]:
        return with_token(ServeConfig(weights="x", folder=tmp_path, host=host, tokens=given)).tokens

    assert tokens("127.0.0.1") == tokens("::1") == tokens("localhost") == ()
    assert tokens("127.0.0.1", TOKEN) == (TOKEN,)
    assert len(tokens("0.0.0.0")[0]) >= 32
    assert tokens("0.0.0.0") != tokens("0.0.0.0")
    assert [is_loopback(host) for host in ("127.8.8.8", "10.0.0.1", "example.org")] == [True, False, False]
    with pytest.raises(InputError, match="at least 12"):
        tokens("0.0.0.0", "short")


def test_without_its_extra_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    import sys

    from typer.testing import CliRunner

    from relact.cli import app

    monkeypatch.setitem(sys.modules, "fastapi", None)
    for name in [name for name in sys.modules if name.startswith("relact.serve.")]:
        monkeypatch.delitem(sys.modules, name)
    result = CliRunner().invoke(app, ["serve", "-w", "x"])
    assert isinstance(result.exception, InputError)
    assert "pip install 'relact[serve]'" in str(result.exception)
