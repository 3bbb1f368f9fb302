"""A process that is asked in lines of JSON and answers in lines of JSON: the other side is `relact.serve.lines`."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

Line = dict[str, Any]

_LONGEST_LINE = 1 << 24
_GRACE_S = 5.0


class ChildDied(Exception):
    """The process ended in the middle of an answer; the text says how."""


class Child:
    """One such process; started anew as often as its owner likes."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        """Whether it is there to be asked."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> Line:
        """Starts it and waits for its first line. Raises ChildDied where it ends before that."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
            start_new_session=True,  # Ctrl-C is for the server, which tells its children
        )
        return await self._line()

    async def ask(self, order: Mapping[str, Any]) -> AsyncIterator[Line]:
        """The lines of its answer; `done` or `failed` is in the last one. Raises ChildDied."""
        if self._process is None or self._process.stdin is None:
            raise ChildDied("it is not running")
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ChildDied(await self._how()) from error
        while True:
            line = await self._line()
            yield line
            if "done" in line or "failed" in line:
                return

    async def stop(self, grace: float = _GRACE_S) -> None:
        """Ends it: politely, and after `grace` seconds not."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), grace)
        except TimeoutError:
            process.kill()
            await process.wait()

    def kill(self) -> None:
        """Ends it at once; whoever waits for its answer gets ChildDied."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _line(self) -> Line:
        assert self._process is not None
        assert self._process.stdout is not None
        text = await self._process.stdout.readline()
        if not text.endswith(b"\n"):
            raise ChildDied(await self._how())
        return dict(json.loads(text))

    async def _how(self) -> str:
        if self._process is None:
            return "it was stopped"
        code = await self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit status {code}"
