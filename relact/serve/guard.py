"""Who may pass: tokens, the names by which the server is addressed, other web sites; and what every answer forbids."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relact.serve.rates import Rates
from relact.serve.settings import LOOPBACK

COOKIE = "relact"
SESSION_S = 30 * 86400
OWNER = "relact.owner"
"""where the guard leaves the user's name in a request's scope"""
EVERYBODY = "everybody"
"""the user of a server without tokens"""

OPEN, OPEN_BELOW = ("/login", "/healthz"), "/assets/"
"""what needs no token"""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # without any, browsers send forms with the origin "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
_SAFE = ("GET", "HEAD", "OPTIONS")
_WRONG_A_MINUTE = 20
_DRAIN_BYTES, _DRAIN_S = 1 << 28, 10.0
"""of a request that is refused: so much more is taken from it, for the answer to arrive"""


class Tokens:
    """The users' tokens. Only their digests are compared, all of them, in constant time."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._known = [(hashlib.sha256(token.encode()).digest(), token) for token in tokens]

    def __bool__(self) -> bool:
        return bool(self._known)

    def owner(self, token: str) -> str | None:
        """The user of a token: a name that tells nothing about it."""
        given, found = hashlib.sha256(token.encode()).digest(), None
        for digest, known in self._known:
            if hmac.compare_digest(given, digest):
                found = _owner(known)
        return found

    def session(self, token: str, *, now: float | None = None) -> str:
        """The cookie of whoever logged in with a token that is known."""
        until = str(int((time.time() if now is None else now) + SESSION_S))
        return f"{until}.{_sign(token, until)}"

    def owner_of_session(self, cookie: str, *, now: float | None = None) -> str | None:
        """The user of a cookie that is genuine and not over."""
        until, _, signature = cookie.partition(".")
        found = None
        for _, known in self._known:
            if hmac.compare_digest(_sign(known, until).encode(), signature.encode()):
                found = _owner(known)
        fresh = until.isdecimal() and len(until) < 12 and int(until) > (time.time() if now is None else now)
        return found if fresh else None


def _owner(token: str) -> str:
    return hashlib.sha256(b"relact user " + token.encode()).hexdigest()[:32]


def _sign(token: str, until: str) -> str:
    return hmac.new(token.encode(), b"relact session " + until.encode(), hashlib.sha256).hexdigest()


class _Body:
    """What a client sends. A connection closed before all of it is read is reset, and the answer is lost with it."""

    def __init__(self, receive: Receive, *, waits: bool) -> None:
        """`waits`: the client sends nothing before it is asked to (`Expect: 100-continue`); reading is asking."""
        self._receive, self._over, self._waits = receive, False, waits

    async def receive(self) -> Message:
        """See ASGI."""
        self._waits = False
        message = await self._receive()
        self._over = message["type"] == "http.disconnect" or not message.get("more_body")
        return message

    async def drain(self) -> None:
        """Reads the rest and drops it, within bounds: whoever still sends then is cut off."""
        if self._waits:
            return
        left = _DRAIN_BYTES
        try:
            async with asyncio.timeout(_DRAIN_S):
                while not self._over and left > 0:
                    left -= len((await self.receive()).get("body", b""))
        except TimeoutError:
            return


class Guard:
    """Around the application: refuses who may not, and adds the headers that every answer has.

    Without tokens whoever reaches the server is let in, but only under the loopback's names (or `hosts`): a web site
    that makes its own name point here (DNS rebinding) is not. What changes something is never taken from another site.
    """

    def __init__(
        self, app: ASGIApp, *, tokens: Tokens, hosts: Sequence[str] = (), login: Callable[[str], str] | None = None
    ) -> None:
        """`login` makes the page on which a token is given, with a sentence on it."""
        self._app, self._tokens, self._login = app, tokens, login
        self._hosts = {*LOOPBACK, *(host.lower() for host in hosts)}
        self._wrong = Rates(_WRONG_A_MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        headers = Headers(scope=scope)
        body = _Body(receive, waits=headers.get("expect", "").lower() == "100-continue")

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    given.setdefault(name, value)
            elif scope["method"] not in _SAFE and not message.get("more_body"):
                await send({**message, "more_body": True})
                await body.drain()
                message = {"type": "http.response.body"}
            await send(message)

        refusal = self._refusal(scope, headers)
        await (self._app if refusal is None else refusal)(scope, body.receive, with_headers)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        if not self._tokens and _host(headers.get("host", "")) not in self._hosts:
            return _say(421, "this server is not known by that name; start it with --allow-host NAME")
        if scope["method"] not in _SAFE and _from_elsewhere(headers):
            return _say(403, "another web site asked for this; it is not done")
        if not self._tokens:
            scope[OWNER] = EVERYBODY
            return None
        if scope["path"] in OPEN or scope["path"].startswith(OPEN_BELOW):
            return None
        return self._unknown(scope, headers)

    def _unknown(self, scope: Scope, headers: Headers) -> Response | None:
        client, given = client_of(scope), _given(headers)
        if given and self._wrong.spent(client):
            return _say(429, "too many wrong tokens; wait a minute", {"Retry-After": "60"})
        scheme, value = given or ("", "")
        owner = self._tokens.owner(value) if scheme == "bearer" else self._tokens.owner_of_session(value)
        if owner is not None:
            scope[OWNER] = owner
            return None
        if scheme == "bearer":
            self._wrong.wait(client)
        if self._login is not None and "text/html" in headers.get("accept", "") and scope["method"] == "GET":
            return HTMLResponse(self._login(""), status_code=401)
        why = "this token is not known" if scheme == "bearer" else "a token is needed: Authorization: Bearer TOKEN"
        return _say(401, why, {"WWW-Authenticate": "Bearer"})

    def wrong_token(self, client: str) -> bool:
        """Counts a wrong token of a client; whether it has had too many."""
        return self._wrong.wait(client) > 0

    def too_many(self, client: str) -> bool:
        """Whether a client gave too many wrong tokens of late."""
        return self._wrong.spent(client)


def client_of(scope: Scope) -> str:
    """The address of whoever asks: of a reverse proxy's client, where the proxy is believed."""
    client = scope.get("client")
    return client[0] if client else "unknown"


def _host(header: str) -> str:
    """A Host header without the port: `[::1]:8000` → `::1`."""
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""


def _from_elsewhere(headers: Headers) -> bool:
    """Whether a browser says that another site's page sent this; programs that are no browsers say nothing."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    except ValueError:
        return True


def _given(headers: Headers) -> tuple[str, str] | None:
    """(`bearer` or `cookie`, what is given)."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return "bearer", value.strip()
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return None if cookie is None else ("cookie", cookie.value)


def _say(status: int, why: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        json.dumps({"detail": why}), status, {"Connection": "close", **(headers or {})}, JSONResponse.media_type
    )
