"""The workers, one a device: each takes from the queue, and is started anew when it dies."""

import asyncio
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from relact.errors import InputError
from relact.serve.child import Child, ChildDied
from relact.serve.store import Store, Work

log = logging.getLogger("relact.serve")

_SWEEP_S = 60.0
_AGAIN_S = 30.0
"""Before a worker that could not be started is tried again."""


class Pool:
    """Runs the works of a store. `commands` start the workers, see `relact.serve.worker` for what they say."""

    def __init__(self, store: Store, folder: Path, commands: Sequence[Sequence[str]], *, keep_hours: float) -> None:
        self._store = store
        self._folder = folder / "works"
        self._children = [Child(command) for command in commands]
        self._keep_s = keep_hours * 3600
        self._news = asyncio.Event()
        self._running: dict[str, Child] = {}
        self._dropped: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self.progress: dict[str, dict[str, Any]] = {}
        """of the running works: seconds of the video and keyframes so far"""
        self.facts: list[Mapping[str, Any]] = []
        """what each worker said of itself"""

    async def start(self) -> None:
        """Starts the workers and goes on with what an earlier server left. InputError where one cannot start."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self.facts = await asyncio.gather(*map(_ready, self._children))
        except InputError:
            await self._stop_children()
            raise
        waiting = self._store.recover(str(self.facts[0]["key"]))
        await self.sweep()
        if waiting:
            log.info("%d videos wait from before", waiting)
        self._tasks = [asyncio.create_task(self._work(child)) for child in self._children]
        self._tasks.append(asyncio.create_task(self._sweep_for_ever()))

    async def close(self) -> None:
        """Stops the workers; what they were at waits for the next server, which goes on from there."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stop_children()

    def wake(self) -> None:
        """There is work."""
        self._news.set()

    def place(self, work: str) -> Path:
        """The folder of a work: its video and `result/`."""
        return self._folder / work

    def video(self, work: Work) -> Path:
        """The video of a work."""
        return self.place(work.id) / f"upload{work.video.suffix}"

    def result(self, work: Work) -> Path:
        """The folder that detect writes."""
        return self.place(work.id) / "result"

    async def drop(self, work: str) -> None:
        """Nobody claims this work any more: it is stopped where it runs, and its files go."""
        child = self._running.get(work)
        if child is not None:
            self._dropped.add(work)
            child.kill()  # its task removes the files, when nobody writes them any more
            return
        await asyncio.to_thread(shutil.rmtree, self.place(work), ignore_errors=True)

    async def sweep(self) -> None:
        """Removes what is too old, and folders that no work claims."""
        if self._keep_s:
            for work in self._store.expire(time.time() - self._keep_s):
                log.info("removed %s after its time", work)
        folders = await asyncio.to_thread(lambda: list(self._folder.iterdir()))
        known = self._store.works() | self._running.keys()  # asked later: a folder is there before its work
        for folder in folders:
            if folder.name not in known:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            await self.sweep()

    async def _stop_children(self) -> None:
        await asyncio.gather(*(child.stop() for child in self._children))

    async def _work(self, child: Child) -> None:
        while True:
            while not child.running:
                await self._restart(child)
            self._news.clear()
            work = self._store.take()
            if work is None:
                await self._news.wait()
            else:
                await self._do(child, work)

    async def _restart(self, child: Child) -> None:
        await child.stop()
        try:
            await _ready(child)
        except InputError as error:
            log.error("a worker cannot be started, tried again in %g s: %s", _AGAIN_S, error)
            await asyncio.sleep(_AGAIN_S)

    async def _do(self, child: Child, work: Work) -> None:
        self._running[work.id] = child
        order = {
            "video": str(self.video(work).resolve()),
            "folder": str(self.result(work).resolve()),
            "settings": work.settings,
        }
        try:
            async for line in child.ask(order):
                if "progress" in line:
                    self.progress[work.id] = line["progress"]
                elif "done" in line:
                    self._store.finish(work.id, line["done"])
                elif "failed" in line:
                    self._store.fail(work.id, line["failed"])
        except ChildDied as died:
            if work.id not in self._dropped:
                log.error("a worker died at %s: %s", work.id, died)
                self._store.fail(work.id, f"the worker stopped in the middle of this video ({died}); upload it again")
        except asyncio.CancelledError:
            self._store.put_back(work.id)
            raise
        finally:
            self._running.pop(work.id, None)
            self.progress.pop(work.id, None)
        if work.id in self._dropped or self._store.work(work.id) is None:
            self._dropped.discard(work.id)
            await child.stop()
            await asyncio.to_thread(shutil.rmtree, self.place(work.id), ignore_errors=True)


async def _ready(child: Child) -> Mapping[str, Any]:
    """What a worker says of itself when it can work. Raises InputError."""
    try:
        line = await child.start()
    except ChildDied as died:
        raise InputError(f"a worker ended before it could work ({died}); what it said is above") from died
    if "refused" in line:
        await child.stop()
        raise InputError(line["refused"])
    return dict(line["ready"])
