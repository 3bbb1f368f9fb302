"""The child's side of `relact.serve.child`: orders from standard input, answers to what was standard output."""

import json
import os
import sys
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import IO, Any

Line = dict[str, Any]


class Lines:
    """Takes over standard input and output; what else the process prints goes to standard error.

    When standard input ends, whoever started the process is gone, and it ends at once, whatever it is doing.
    """

    def __init__(self) -> None:
        self._out: IO[str] = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._orders: SimpleQueue[Line] = SimpleQueue()
        self._lock = threading.Lock()
        threading.Thread(target=self._read, name="orders", daemon=True).start()

    def orders(self) -> Iterator[Line]:
        """What is asked, one after the other, for as long as somebody may ask."""
        while True:
            yield self._orders.get()

    def say(self, line: Line) -> None:
        """One line, at once; any thread may."""
        with self._lock:
            try:
                print(json.dumps(line), file=self._out, flush=True)
            except BrokenPipeError:
                os._exit(1)

    def _read(self) -> None:
        for line in sys.stdin:
            self._orders.put(json.loads(line))
        os._exit(0)
