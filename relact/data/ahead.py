"""Pictures of a live source, taken as they come: a camera does not wait until the last second has been judged."""

import time
from collections.abc import Iterable, Iterator
from queue import Empty, Full, Queue
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar("T")

POLL_S = 0.1
"""How long a wait lasts before it looks whether it was called off."""


def stamped(items: Iterable[T]) -> Iterator[tuple[T, float]]:
    """Each item and when it came, in seconds of `time.perf_counter`."""
    for item in items:
        yield item, time.perf_counter()


class ReadAhead(Generic[T]):
    """The same items, read by a thread of its own, at most `room` of them before they are asked for."""

    def __init__(self, items: Iterator[T], room: int) -> None:
        self._items = items
        self._queue: Queue[T | BaseException | None] = Queue(room)
        self._stopped = False
        self.full = 0
        """how often the source had to wait because there was no room"""
        self._thread = Thread(target=self._read, name="read ahead", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        while not self._stopped:
            try:
                item = self._queue.get(timeout=POLL_S)
            except Empty:
                continue
            if isinstance(item, BaseException):
                self._stopped = True
                raise item
            if item is None:
                break
            return item
        self._stopped = True
        raise StopIteration

    def stop(self) -> None:
        """The next item is the end. Takes no lock, so that the handler of a signal may call it."""
        self._stopped = True

    def close(self) -> bool:
        """Ends the thread; False where it is still inside the source, which must then be left alone."""
        self._stopped = True
        self._thread.join(timeout=10 * POLL_S)
        return not self._thread.is_alive()

    def _read(self) -> None:
        end: BaseException | None = None
        try:
            for item in self._items:
                self._put(item)
                if self._stopped:
                    return
        except BaseException as error:  # whoever reads shall see it
            end = error
        self._put(end)

    def _put(self, item: T | BaseException | None) -> None:
        self.full += self._queue.full()
        while not self._stopped:
            try:
                return self._queue.put(item, timeout=POLL_S)
            except Full:
                continue
