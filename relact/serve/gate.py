"""The one process that looks at uploads, and how long it may take for a file."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from relact.serve.child import Child, ChildDied

_LONGEST_S = 60.0


class Refused(Exception):
    """An upload that is not taken: an HTTP status and a sentence for the user."""

    def __init__(self, status: int, why: str, *, after: float | None = None) -> None:
        super().__init__(why)
        self.status, self.why = status, why
        self.after = after
        """seconds until it may be tried again"""


class Gate:
    """Asks `relact.serve.inspector` about files, one at a time; a file that crashes or holds it up is refused."""

    def __init__(self) -> None:
        self._child = Child([sys.executable, "-m", "relact.serve.inspector"])
        self._turn = asyncio.Lock()

    async def look(self, path: Path, seconds: float) -> dict[str, Any]:
        """`{suffix, seconds, width, height, codec}`. Raises Refused."""
        async with self._turn:
            try:
                if not self._child.running:
                    await self._child.start()
                return await asyncio.wait_for(self._ask(path, seconds), _LONGEST_S)
            except (ChildDied, TimeoutError) as error:
                await self._child.stop(grace=0)
                raise Refused(415, "this file cannot be read as a video: it is damaged, or made to do harm") from error
            except asyncio.CancelledError:
                await self._child.stop(grace=0)  # its answer would be taken for the next one's
                raise

    async def close(self) -> None:
        """Nothing more is asked."""
        await self._child.stop()

    async def _ask(self, path: Path, seconds: float) -> dict[str, Any]:
        async for line in self._child.ask({"path": str(path), "seconds": seconds}):
            if "failed" in line:
                raise Refused(415, line["failed"])
            return dict(line["done"])
        raise ChildDied("no answer")
