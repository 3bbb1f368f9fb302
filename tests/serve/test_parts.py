"""The parts of the server by themselves: rates, tokens, the guard, the queue, forms, names on their way out."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from relact.serve import upload
from relact.serve.deliver import Table, attachment, named_page, named_table, stem
from relact.serve.gate import Gate, Refused
from relact.serve.guard import OWNER, Guard, Tokens
from relact.serve.pages import page
from relact.serve.rates import Rates
from relact.serve.store import MAX_ATTEMPTS, Job, Store, Video
from tests.make_video import make_video

TOKEN, OTHER = "a-token-of-the-first", "a-token-of-the-second"
SETTINGS: dict[str, Any] = {"every": 1.0}


def test_a_bucket_empties_and_fills_again():
    rates = Rates(2)
    assert [rates.wait("a", now=0.0), rates.wait("a", now=0.0)] == [0, 0]
    assert rates.wait("a", now=0.0) == pytest.approx(30)
    assert rates.wait("b", now=0.0) == 0
    assert rates.wait("a", now=31.0) == 0
    assert rates.wait("a", now=31.0) > 0
    assert [Rates(0).wait("a") for _ in range(100)] == [0] * 100


def test_a_token_is_its_users_and_a_cookie_is_signed_with_it():
    tokens = Tokens((TOKEN, OTHER))
    assert tokens.owner(TOKEN) != tokens.owner(OTHER) is not None
    assert tokens.owner(TOKEN + " ") is None
    assert tokens.owner("") is None
    cookie = tokens.session(TOKEN, now=0.0)
    assert TOKEN not in cookie
    assert tokens.owner_of_session(cookie, now=1.0) == tokens.owner(TOKEN)
    assert tokens.owner_of_session(cookie, now=40 * 86400.0) is None
    until, _, signature = cookie.partition(".")
    for forged in (f"{int(until) + 1}.{signature}", f"{until}.{'0' * 64}", f"{until}.", signature, "", "é.é", "9" * 99):
        assert tokens.owner_of_session(forged, now=1.0) is None
    assert Tokens((OTHER,)).owner_of_session(cookie, now=1.0) is None


def guarded(*tokens: str, hosts: tuple[str, ...] = (), base: str = "http://127.0.0.1:8000") -> TestClient:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse(str(scope.get(OWNER)))(scope, receive, send)

    return TestClient(Guard(app, tokens=Tokens(tokens), hosts=hosts), base_url=base)


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:1", 200), ("localhost", 200), ("[::1]:80", 200), ("LOCALHOST", 200), ("evil.example", 421),
     ("127.0.0.1.evil.example", 421), ("localhost:x@evil.example", 421), ("", 421), ("videos.example", 200)],
)  # fmt: skip
def test_without_a_token_only_known_names_are_answered(host: str, status: int):
    client = guarded(hosts=("videos.example",))
    assert client.get("/", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 200), ({"Origin": "http://127.0.0.1:8000"}, 200), ({"Origin": "http://evil.example"}, 403),
     ({"Origin": "null"}, 403), ({"Origin": "http://127.0.0.1:9999"}, 403), ({"Sec-Fetch-Site": "cross-site"}, 403),
     ({"Sec-Fetch-Site": "same-site"}, 403), ({"Sec-Fetch-Site": "same-origin"}, 200)],
)  # fmt: skip
def test_other_web_sites_change_nothing(headers: dict[str, str], status: int):
    assert guarded().post("/", headers=headers).status_code == status
    with_token = {**headers, "Authorization": f"Bearer {TOKEN}"}
    assert guarded(TOKEN).post("/", headers=with_token).status_code == status


def test_a_token_is_asked_for_and_guesses_are_counted():
    client = guarded(TOKEN, OTHER, base="http://videos.example")
    assert client.get("/").status_code == 401
    first = client.get("/", headers={"Authorization": f"Bearer {TOKEN}"})
    second = client.get("/", headers={"Authorization": f"bearer  {OTHER}"})
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.text != second.text
    assert "frame-ancestors 'none'" in first.headers["content-security-policy"]
    assert first.headers["x-content-type-options"] == "nosniff"
    assert client.get("/login").status_code == 200
    assert client.get("/loginx", headers={"Cookie": "relact=1.2"}).status_code == 401
    guesses = [client.get("/", headers={"Authorization": f"Bearer {k}"}).status_code for k in range(30)]
    assert set(guesses) == {401, 429}
    assert guesses.index(429) <= 20
    assert client.get("/", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 429


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "q" / "queue.sqlite")
    made.recover("model")
    return made


def add(store: Store, content: str, owner: str = "me", name: str = "a.mp4", every: float = 1.0) -> Job:
    video = Video(sha256=content, bytes=1, suffix=".mp4", seconds=3.0, width=4, height=2)
    known = len(store.works())
    return store.add(owner, name, video, {"every": every}, f"work {known} {content}")


def test_the_queue_keeps_its_order_and_its_owners(store: Store):
    jobs = [add(store, content) for content in "abc"]
    assert [job.ahead for job in store.jobs("me")] == [2, 1, 0]
    first = store.take()
    assert first is not None
    assert first.id == jobs[0].work.id
    store.finish(first.id, {"people": 2})
    assert store.job("me", jobs[0].id).work.outcome == {"people": 2}
    assert store.jobs("you") == []
    with pytest.raises(KeyError):
        store.job("you", jobs[0].id)
    with pytest.raises(KeyError):
        store.remove("you", jobs[0].id)
    assert store.remove("me", jobs[1].id) == jobs[1].work.id
    assert store.waiting() == 1


def test_a_video_is_done_once_for_each_setting(store: Store):
    mine, yours = add(store, "a", name="mine"), add(store, "a", owner="you", name="yours")
    assert mine.work.id == yours.work.id
    assert (mine.name, yours.name, mine.shared, yours.shared) == ("mine", "yours", False, True)
    assert add(store, "a", every=0.5).work.id != mine.work.id
    assert store.remove("me", mine.id) is None, "the other's claim stands"
    assert store.remove("you", yours.id) == mine.work.id


def test_what_failed_is_tried_again_when_it_is_sent_again(store: Store):
    job = add(store, "a")
    assert store.take() is not None
    store.fail(job.work.id, "torn")
    assert store.job("me", job.id).work.error == "torn"
    again = add(store, "a")
    assert again.work.id == job.work.id
    assert (again.work.state, again.work.error, again.work.finished) == ("waiting", None, None)


def test_a_new_server_goes_on_with_what_ran_and_gives_up_on_what_ends_it(store: Store, tmp_path: Path):
    job = add(store, "a")
    for _ in range(MAX_ATTEMPTS):
        assert store.recover("another model") == 1
        assert store.take() is not None
    assert store.known("a", SETTINGS) is not None, "it waits for the model that is there now"
    store.put_back(job.work.id)
    assert store.recover("another model") == 1, "a server that is stopped well is no attempt"
    assert store.take() is not None
    assert store.recover("another model") == 0
    state = store.job("me", job.id).work
    assert state.state == "failed"
    assert "not tried again" in str(state.error)


def test_results_of_another_model_serve_nobody(store: Store):
    job = add(store, "a")
    assert store.take() is not None
    store.finish(job.work.id, {})
    store.recover("another model")
    assert store.known("a", SETTINGS) is None
    assert add(store, "a").work.id != job.work.id


def test_old_jobs_go_and_those_that_wait_stay(store: Store):
    done, waits = add(store, "a"), add(store, "b")
    assert store.take() is not None
    store.finish(done.work.id, {})
    assert store.expire(time.time() - 10) == []
    assert store.expire(time.time() + 10) == [done.work.id]
    assert [job.id for job in store.jobs("me")] == [waits.id]


def test_what_is_no_queue_is_said(tmp_path: Path):
    from relact.errors import InputError

    (tmp_path / "queue.sqlite").write_text("not a database, but long enough to be read as one" * 20)
    with pytest.raises(InputError, match="cannot be used as the queue"):
        Store(tmp_path / "queue.sqlite")


def form(*parts: tuple[str, bytes], boundary: str = "cut", end: bool = True) -> bytes:
    head = b"".join(
        f"--{boundary}\r\nContent-Disposition: form-data; {about}\r\n\r\n".encode() + body + b"\r\n"
        for about, body in parts
    )
    return head + (f"--{boundary}--\r\n".encode() if end else b"")


FILE = 'name="file"; filename="a.mp4"'


def received(
    body: bytes, path: Path, *, most: int = 1000, kind: str = "multipart/form-data; boundary=cut", piece: int = 7
):
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), piece):
            yield body[start : start + piece]

    return asyncio.run(upload.receive(chunks(), kind, None, path, most=most))


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_a_form_is_read_in_any_pieces(tmp_path: Path, piece: int):
    content = bytes(range(256)) * 3 + b"\r\n--cu"
    got = received(form(('name="every"', b"0.5"), (FILE, content)), tmp_path / "x", piece=piece)
    assert (tmp_path / "x").read_bytes() == content
    assert (got.name, got.bytes, got.fields) == ("a.mp4", len(content), {"every": "0.5"})
    import hashlib

    assert got.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (form((FILE, b"x" * 1001)), "multipart/form-data; boundary=cut", 413),
        (form((FILE, b"x"), end=False), "multipart/form-data; boundary=cut", 400),
        (form((FILE, b"x"))[:-9], "multipart/form-data; boundary=cut", 400),
        (form((FILE, b"")), "multipart/form-data; boundary=cut", 415),
        (form(('name="every"', b"1")), "multipart/form-data; boundary=cut", 400),
        (form((FILE, b"x"), (FILE, b"y")), "multipart/form-data; boundary=cut", 400),
        (form(('name="every"', b"1" * 2000), (FILE, b"x")), "multipart/form-data; boundary=cut", 400),
        (form(*[('name="every"', b"1")] * 20), "multipart/form-data; boundary=cut", 400),
        (b"nothing of the kind", "multipart/form-data; boundary=cut", 400),
        (b"", "multipart/form-data; boundary=cut", 400),
        (b"x", "multipart/form-data", 415),
        (b"x", "multipart/form-data; boundary=" + "x" * 300, 400),
        (b"x", "application/octet-stream", 415),
        (b"x", "", 415),
    ],
)
def test_what_is_no_form_with_a_video_is_refused(tmp_path: Path, body: bytes, kind: str, status: int):
    with pytest.raises(Refused) as refused:
        received(body, tmp_path / "x", kind=kind)
    assert refused.value.status == status


def test_a_client_that_stops_sending_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(upload, "_SLOW_S", 0.05)

    async def chunks() -> AsyncIterator[bytes]:
        yield form((FILE, b"x"), end=False)
        await asyncio.sleep(60)

    with pytest.raises(Refused, match="nothing came"):
        asyncio.run(upload.receive(chunks(), "multipart/form-data; boundary=cut", None, tmp_path / "x", most=10))


def test_names_are_text():
    assert upload.clean_name("../../x") == "../../x"
    assert upload.clean_name("a\0b\r\n\u202e.mp4") == "ab.mp4"
    assert upload.clean_name("\n") == "video"
    assert upload.clean_name("%22a%22%0D%0A 100%25") == '"a" 100%25'
    assert len(upload.clean_name("x" * 5000)) == 200
    assert [stem(name) for name in ("../../x", "C:\\films\\a.b.mp4", "", "..")] == ["x", "a.b", "video", ".."]
    told = attachment('é"; filename="evil.exe\r\nX: y', Table.ACTIONS_CSV)
    assert "\r" not in told
    assert told.count('"') == 2


def test_tables_carry_the_readers_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("relact.serve.deliver._CHUNK", 5)
    name = 'a "b", <upload,>'
    (tmp_path / "actions.csv").write_text("video,x\nupload,1\nupload,upload\nuploads,2\n")
    text = b"".join(named_table(tmp_path / "actions.csv", name)).decode()
    assert text == 'video,x\n"a ""b"", <upload,>",1\n"a ""b"", <upload,>",upload\nuploads,2\n'
    (tmp_path / "ava.csv").write_text("upload,1\n")
    assert b"".join(named_table(tmp_path / "ava.csv", "b")) == b"b,1\n"
    (tmp_path / "ava.csv").write_text("")
    assert b"".join(named_table(tmp_path / "ava.csv", "b")) == b""
    (tmp_path / "actions.json").write_text('{"video": "upload", "labels": []}')
    assert json.loads(b"".join(named_table(tmp_path / "actions.json", name)))["video"] == name
    (tmp_path / "report.html").write_text('<p>{"format":1,"title":"upload"}</p>{"title":"upload","x":1}')
    page = b"".join(named_page(tmp_path / "report.html", "</p><script>&")).decode()
    assert page.count('"title":"\\u003c/p\\u003e\\u003cscript\\u003e\\u0026"') == 2


def looked_at(path: Path, seconds: float = 60.0) -> dict[str, Any]:
    async def look() -> dict[str, Any]:
        gate = Gate()
        try:
            return await gate.look(path, seconds)
        finally:
            await gate.close()

    return asyncio.run(look())


def test_the_gate_goes_by_the_content(video: Path, tmp_path: Path):
    named = tmp_path / "song.txt"
    named.write_bytes(video.read_bytes())
    facts = looked_at(named)
    assert facts == {"suffix": ".mp4", "seconds": 3.0, "width": 288, "height": 96, "codec": "h264"}
    with pytest.raises(Refused, match="longer than the 0:02"):
        looked_at(named, 2.0)


def hostile(tmp_path: Path, video: Path, kind: str) -> bytes:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(video.read_bytes())
    return {
        "text": b"just some words\n" * 50,
        "picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:3,\n{secret.as_uri()}\n#EXT-X-ENDLIST\n".encode(),
        "concat": f"ffconcat version 1.0\nfile '{secret}'\n".encode(),
        "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        "half": make_video(tmp_path / "half.mp4").read_bytes()[:-500],
        "header only": video.read_bytes()[:40],
    }[kind]


@pytest.mark.parametrize("kind", ["text", "picture", "playlist", "concat", "sdp", "half", "header only"])
def test_what_is_no_video_of_its_own_is_refused(tmp_path: Path, video: Path, kind: str):
    path = tmp_path / "x"
    path.write_bytes(hostile(tmp_path, video, kind))
    with pytest.raises(Refused) as refused:
        looked_at(path)
    assert refused.value.status == 415
    assert str(tmp_path) not in refused.value.why


@pytest.mark.parametrize("name", ["index.html", "docs.html", "live.html", "login.html"])
def test_a_page_has_all_its_parts_in_the_frame_of_all(name: str):
    text = page(name)
    for part in ("<!doctype html>", "<title>relact", "<h1", 'id="theme"', "<main>", "<script src=", "</html>"):
        assert text.count(part) == 1, part
    assert re.findall("<!--.*?-->", text) == (["<!--why-->"] if name == "login.html" else [])
    folder = "/assets/" if name == "login.html" else "assets/"  # it answers at any address
    assert re.findall(r'(?:href|src)="(\S*assets/)', text) == [folder, folder]
