"""What is wrong in a file: the first fault stops the reading, or all are skipped and counted."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from relact.errors import InputError

SHOWN = 10
"""So many of the skipped faults are kept to be shown."""


class Faults:
    """Collects what a reader meets. Strict (`skip=False`): the first fault raises InputError."""

    def __init__(self, *, skip: bool = False) -> None:
        self.skip = skip
        self.skipped: list[str] = []
        """the first SHOWN messages"""
        self.count = 0
        self.ignored: dict[str, int] = {}
        """what is left out on purpose, by kind: nothing is wrong with it"""

    def add(self, message: str) -> None:
        """A fault: what was expected, what came, where. Raises InputError unless faults are skipped."""
        if not self.skip:
            raise InputError(message)
        self.count += 1
        if len(self.skipped) < SHOWN:
            self.skipped.append(message)

    def add_rows(self, bad: npt.NDArray[np.bool_], say: Callable[[int], str]) -> None:
        """A fault in each row that is `bad [R]`; `say` makes the message of a row, only for those that are shown."""
        rows = np.flatnonzero(bad).tolist()
        shown = rows[: max(SHOWN - len(self.skipped), 1)]
        for row in shown:
            self.add(say(row))
        self.count += len(rows) - len(shown)

    def join(self, others: "Faults") -> None:
        """Adds what another reading has skipped."""
        self.count += others.count
        self.skipped += others.skipped[: SHOWN - len(self.skipped)]

    def ignore(self, kind: str, count: int = 1) -> None:
        """Something that the format may hold and the data set has no place for."""
        if count:
            self.ignored[kind] = self.ignored.get(kind, 0) + count
