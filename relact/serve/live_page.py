"""The page of `relact live`: pictures as they come (MJPEG), figures below, on the loopback only."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from relact.serve.guard import Guard, Tokens
from relact.serve.live import LiveRun, Say
from relact.serve.live_view import LiveView
from relact.serve.pages import asset, page
from relact.serve.server import Uvicorn, address, listen, on_signals, web_server

HOST = "127.0.0.1"
_BOUNDARY = "relact-picture"
_POLL_S = 0.008
_WATCH_S = 0.1


def live_application(view: LiveView, title: str) -> Guard:
    """The web application of a view."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/")
    async def index() -> Response:
        return HTMLResponse(page("live.html"))

    @app.get("/assets/page.css")
    async def style() -> Response:
        return Response(asset("common.css") + asset("page.css"), media_type="text/css; charset=utf-8")

    @app.get("/assets/live.js")
    async def script() -> Response:
        return Response(asset("common.js") + asset("live.js"), media_type="text/javascript; charset=utf-8")

    @app.get("/state")
    async def state() -> Response:
        now = view.state()
        return JSONResponse({"source": title, "text": now.text(), "over": view.over})

    @app.get("/pictures")
    async def pictures() -> Response:
        return StreamingResponse(_parts(view), media_type=f"multipart/x-mixed-replace; boundary={_BOUNDARY}")

    return Guard(app, tokens=Tokens(()))


async def _parts(view: LiveView) -> AsyncIterator[bytes]:
    """The newest picture, again and again; a slow reader misses those in between."""
    number = 0
    while not view.over:
        newest = view.jpeg(number)
        if newest is None:
            await asyncio.sleep(_POLL_S)
            continue
        number, jpeg = newest
        head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
        yield head.encode() + jpeg + b"\r\n"
    yield f"--{_BOUNDARY}--\r\n".encode()


async def run_page(run: LiveRun, port: int, say: Say) -> None:
    """Shows a run until its source ends, or SIGINT or SIGTERM comes. Raises InputError for a port that is taken."""
    with contextlib.closing(listen(HOST, port)) as listener:
        server = web_server(live_application(run.view, run.name))
        run.start()
        with on_signals(run.stop):
            say(f"open {address(listener, HOST)} (Ctrl-C ends it)")
            ending = asyncio.create_task(_end(run, server))
            await server.serve(sockets=[listener])
            await ending


async def _end(run: LiveRun, server: Uvicorn) -> None:
    while run.running:
        await asyncio.sleep(_WATCH_S)
    server.should_exit = True
