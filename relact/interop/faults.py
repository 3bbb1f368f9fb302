"""What is wrong in a file: the first fault stops the reading, or all are skipped and counted."""

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

    def ignore(self, kind: str, count: int = 1) -> None:
        """Something that the format may hold and the data set has no place for."""
        if count:
            self.ignored[kind] = self.ignored.get(kind, 0) + count
