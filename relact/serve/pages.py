"""What a person looks at: the pages, the report of a job, its video."""

import base64
import re
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, HTTPException, Request
from pydantic import StringConstraints
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)

from relact.serve.api import Owner, Serving, find
from relact.serve.deliver import MEDIA, named_page, stem
from relact.serve.guard import COOKIE, SESSION_S, Guard, Tokens, client_of
from relact.serve.store import Job

REPORT, ANNOTATED, COPY = "report.html", "annotated.mp4", "video.mp4"

REPORT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; media-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Over the report, whose own policy, in the page, allows its one script and style by their hashes."""

_ASSETS = {
    "page.css": ("text/css; charset=utf-8", ("common.css", "page.css")),
    "index.js": ("text/javascript; charset=utf-8", ("common.js", "index.js")),
    "docs.js": ("text/javascript; charset=utf-8", ("common.js", "docs.js")),
    "theme.js": ("text/javascript; charset=utf-8", ("common.js", "theme.js")),
}
"""name → type and the parts that it is joined of; `common.*` is the report's"""
_FORM_BYTES = 4096

READ = ["GET", "HEAD"]

router = APIRouter(include_in_schema=False)

FileName = Annotated[str, StringConstraints(pattern=r"^[a-z]+\.[a-z0-9]+$", max_length=20)]


@cache
def asset(name: str) -> str:
    """A part of the pages."""
    folder = "viz/report/web" if name.startswith("common.") else "serve/web"
    return resources.files("relact").joinpath(folder, name).read_text(encoding="utf-8")


@cache
def page(name: str) -> str:
    """A whole page: its own parts in the frame that all of them have; a part that it lacks is empty."""
    texts = re.split(r"<!--(title|heading|tools|root|script|main)-->", asset(name))
    parts = dict(zip(texts[1::2], texts[2::2], strict=True))
    for part in ("title", "heading", "root", "script"):
        parts[part] = parts.get(part, "").strip()
    return re.sub(r"<!--(\w+)-->", lambda place: parts.get(place[1], ""), asset("frame.html"))


@router.api_route("/", methods=READ)
async def index(owner: Owner) -> Response:
    """Drop a video, see the jobs."""
    return HTMLResponse(page("index.html"))


@router.api_route("/docs", methods=READ)
async def docs(owner: Owner) -> Response:
    """The API, read from openapi.json without any network."""
    return HTMLResponse(page("docs.html"))


@router.api_route("/assets/{name}", methods=READ)
async def assets(name: FileName) -> Response:
    """Styles and scripts."""
    if name not in _ASSETS:
        raise HTTPException(404, "there is no such file")
    kind, parts = _ASSETS[name]
    return Response("".join(map(asset, parts)), media_type=kind, headers={"Cache-Control": "no-cache"})


@router.api_route("/healthz", methods=READ)
async def health() -> Response:
    """Whether the server answers, for whoever watches over it."""
    return PlainTextResponse("ok\n")


@router.api_route("/videos/{job}/result/{name}", methods=READ)
async def result_file(job: str, name: FileName, service: Serving, owner: Owner) -> Response:
    """The report, and the videos that it may show."""
    found = find(service, owner, job)
    path = service.file(found, "result", name)
    if name not in (REPORT, ANNOTATED, COPY) or found.work.state != "done" or not path.is_file():
        raise HTTPException(404, "there is no such file")
    if name != REPORT:
        return _video(path)
    headers = {"Content-Security-Policy": REPORT_POLICY}
    return StreamingResponse(named_page(path, stem(found.name)), media_type=MEDIA[".html"], headers=headers)


@router.api_route("/videos/{job}/poster", methods=READ)
async def poster(job: str, service: Serving, owner: Owner) -> Response:
    """A picture of the video."""
    found = find(service, owner, job)
    data = (found.work.outcome or {}).get("poster")
    if not data:
        raise HTTPException(404, "there is no picture")
    kind, _, text = str(data).removeprefix("data:").partition(";base64,")
    assert kind == "image/jpeg"
    return Response(base64.b64decode(text), media_type=kind, headers={"Cache-Control": "private, max-age=3600"})


@router.api_route("/videos/{job}/{name}", methods=READ)
async def video(job: str, name: FileName, service: Serving, owner: Owner) -> Response:
    """The video itself, a part at a time where the player seeks."""
    found: Job = find(service, owner, job)
    path = service.pool.video(found.work)
    if name != path.name or not path.is_file():
        raise HTTPException(404, "there is no such file")
    return _video(path)


def _video(path: Path) -> Response:
    media = MEDIA.get(path.suffix, "application/octet-stream")
    headers = {"Cache-Control": "private, no-cache", "Content-Security-Policy": "default-src 'none'; sandbox"}
    return FileResponse(path, media_type=media, headers=headers)


def login_page(why: str = "") -> str:
    """The page on which a token is given; `why` is ours, not a user's."""
    return page("login.html").replace("<!--why-->", f'<p class="problem" role="alert">{why}</p>' if why else "")


def login_routes(tokens: Tokens, guard: Callable[[], Guard]) -> APIRouter:
    """The page that turns a token into a cookie, and its end."""
    login = APIRouter(include_in_schema=False)

    @login.get("/login")
    async def show() -> Response:
        return HTMLResponse(login_page())

    @login.post("/login")
    async def enter(request: Request) -> Response:
        client = client_of(request.scope)
        if guard().too_many(client):
            return HTMLResponse(login_page("Too many wrong tokens. Wait a minute."), 429, {"Retry-After": "60"})
        token = await _token(request)
        if tokens.owner(token) is None:
            guard().wrong_token(client)
            return HTMLResponse(login_page("This token is not known."), 401)
        answer = RedirectResponse("./", 303)
        answer.set_cookie(
            COOKIE, tokens.session(token), max_age=SESSION_S, httponly=True, samesite="strict",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return answer

    @login.post("/logout")
    async def leave() -> Response:
        answer = RedirectResponse("login", 303)
        answer.delete_cookie(COOKIE)
        answer.headers["Clear-Site-Data"] = '"cache"'
        return answer

    return login


async def _token(request: Request) -> str:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_BYTES:
            return ""
    return parse_qs(body.decode("latin-1")).get("token", [""])[0].strip()
