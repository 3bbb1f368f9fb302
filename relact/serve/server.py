"""The application put together, and run until it is told to stop."""

import asyncio
import contextlib
import fcntl
import ipaddress
import json
import logging
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp

from relact import __version__
from relact.errors import InputError
from relact.serve import api, pages
from relact.serve.gate import Refused
from relact.serve.guard import Guard, Tokens
from relact.serve.pool import Pool
from relact.serve.service import Service
from relact.serve.settings import LOOPBACK, ServeConfig
from relact.serve.store import Store

Say = Callable[[str], None]

_GRACE_S = 8
"""How long requests in progress may take to end when the server stops."""
_CONNECTIONS = 1000
_TOKEN_BYTES = 24


def application(service: Service) -> ASGIApp:
    """The web application of a service, behind its guard."""
    app = FastAPI(
        title="relact",
        version=__version__,
        description="Who does what in a video, second by second. Send a video, wait, fetch what was found.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    app.state.service = service
    config, tokens = service.config, Tokens(service.config.tokens)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return JSONResponse({"detail": error.why}, error.status, api.refusal_headers(error))

    @app.exception_handler(RequestValidationError)
    async def wrong(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [(".".join(map(str, one["loc"][1:])), one["msg"]) for one in error.errors()]
        texts = [f"{where}: {why.replace('Input should be', 'expected')}" for where, why in faults]
        return JSONResponse({"detail": "; ".join(texts)}, 422)

    app.include_router(api.router)
    app.include_router(pages.login_routes(tokens, lambda: guard))
    app.include_router(pages.router)
    guard = Guard(app, tokens=tokens, hosts=config.hosts, login=pages.login_page)
    return guard


class Uvicorn(uvicorn.Server):
    """Uvicorn without its signals: who runs it has more to end than it knows of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


def web_server(app: ASGIApp, proxy: str | None = None) -> Uvicorn:
    """The server of an application; `proxy` is believed when it says who its clients are."""
    return Uvicorn(
        uvicorn.Config(
            app,
            log_level="warning",
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=proxy is not None,
            forwarded_allow_ips=proxy,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=_GRACE_S,
            timeout_keep_alive=15,
        )
    )


async def run(config: ServeConfig, say: Say, commands: Sequence[Sequence[str]] | None = None) -> None:
    """Serves until SIGINT or SIGTERM. `commands` start other workers than relact's own.

    Raises InputError for weights that are not there, and for an address that cannot be had.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("relact.serve").setLevel(logging.INFO)
    given, config = config.tokens, with_token(config)
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(contextlib.closing(listen(config.host, config.port)))
        opened.enter_context(alone(config.folder))
        store = opened.enter_context(contextlib.closing(Store(config.folder / "queue.sqlite")))
        pool = Pool(store, config.folder, commands or worker_commands(config), keep_hours=config.limits.keep_hours)
        try:
            say("loading the model …")
            await pool.start()
            service = Service(config, store, pool)
            server = web_server(application(service), config.proxy)
            with on_signals(lambda: setattr(server, "should_exit", True)):
                _announce(config, listener, pool, say)
                if not given and config.tokens:
                    say(f"token {config.tokens[0]}")
                await server.serve(sockets=[listener])
            await service.close()
            say("stopping; what is not done goes on with the next start")
        finally:
            await pool.close()


def worker_commands(config: ServeConfig) -> list[list[str]]:
    """How the workers are started, one a device."""
    program = [sys.executable, "-m", "relact.serve.worker"]
    return [[*program, json.dumps(config.worker_order(device))] for device in config.devices]


def with_token(config: ServeConfig) -> ServeConfig:
    """The configuration with a new token, where one is needed and none is given. InputError for a weak one."""
    for token in config.tokens:
        if len(token) < 12 or not token.isascii() or not token.isprintable() or " " in token:
            raise InputError("--token: expected at least 12 letters, digits and signs, without blanks")
    if config.tokens or is_loopback(config.host):
        return config
    return replace(config, tokens=(secrets.token_urlsafe(_TOKEN_BYTES),))


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """An open socket at an address. Raises InputError where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        why = error.strerror if isinstance(error, OSError) else "expected a port from 0 to 65535"
        raise InputError(f"--host {host} --port {port}: cannot listen there ({why}); choose another") from error
    listener.listen(1024)
    return listener


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While it lasts, no other server uses the folder, which only its owner may read. InputError where one does."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise InputError(f"--folder {folder}: cannot be written ({error.strerror}); choose another") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"--folder {folder}: another relact serve uses it; choose another") from error
        yield


def address(listener: socket.socket, host: str) -> str:
    """Where a browser finds it."""
    port = listener.getsockname()[1]
    shown = socket.gethostname() if host in ("0.0.0.0", "::") else host
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


@contextlib.contextmanager
def on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """While it lasts, SIGINT and SIGTERM call this instead; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, numbers = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _announce(config: ServeConfig, listener: socket.socket, pool: Pool, say: Say) -> None:
    devices = ", ".join(str(facts["device"]) for facts in pool.facts)
    say(f"{pool.facts[0]['model']} on {devices}; queue and results in {config.folder}")
    where = address(listener, config.host)
    say(f"open {where}")
    if not is_loopback(config.host):
        say(
            "others on this network can reach it: their uploads and the token are not encrypted without a reverse proxy"
        )


def serve(config: ServeConfig, say: Say) -> None:
    """`relact serve`."""
    asyncio.run(run(config, say))
