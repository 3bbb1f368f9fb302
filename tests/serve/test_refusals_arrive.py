"""A refusal reaches whoever still sends: a client that reads only when all is sent; pages answer HEAD."""

import http.client
import json
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.make_server import Server

TOKEN = "a-token-of-somebody"
BIG = b"x" * 6_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with Server(tmp_path_factory.mktemp("server"), tokens=[TOKEN], limits={"megabytes": 5, "rate": 0}) as running:
        yield running


def post(server: Server, body: bytes, kind: str, token: str) -> tuple[int, str]:
    """As urllib does it: sends all, then reads; a connection that is reset midway raises."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    headers = {"Content-Type": kind, "Authorization": f"Bearer {token}"}
    connection.request("POST", "/api/v1/videos", body, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())["detail"]


def form(field: str) -> tuple[bytes, str]:
    head = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="v.mp4"\r\n\r\n'
    return head.encode() + BIG + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("field", "token", "status", "why"),
    [
        ("video", TOKEN, 413, "larger than the 5 MB"),
        ("file", TOKEN, 413, "larger than the 5 MB"),
        ("file", "wrong", 401, "not known"),
    ],
)
def test_the_answer_is_not_lost_with_the_connection(server: Server, field: str, token: str, status: int, why: str):
    for _ in range(3):
        found, detail = post(server, *form(field), token)
        assert found == status
        assert why in detail


def test_a_wrong_field_is_named(server: Server):
    body, kind = form("video")
    small = body.replace(BIG, b"x" * 4_000_000)
    for _ in range(3):
        status, detail = post(server, small, kind, TOKEN)
        assert (status, "field 'file'" in detail) == (400, True), detail


def test_what_is_wrong_is_always_one_sentence(server: Server, video: Path):
    job = server.send(video, client=server.client(headers={"Authorization": f"Bearer {TOKEN}"})).json()["id"]
    for table in ("run.json", "nothing"):
        answer = httpx.get(f"{server.url}/api/v1/videos/{job}/{table}", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 422
        assert "expected 'actions.csv'" in answer.json()["detail"]


def test_pages_answer_those_who_ask_for_the_head_alone(server: Server):
    for page in ("/", "/docs", "/healthz", "/assets/page.css"):
        answer = httpx.head(f"{server.url}{page}", headers={"Authorization": f"Bearer {TOKEN}"})
        assert (answer.status_code, answer.content) == (200, b""), page
