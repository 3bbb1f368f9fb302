"""The bank of a video that is being watched: in memory, and only what some later window still reads."""

from collections import deque

import numpy as np

from relact.bank.rows import Ints, Rows, joined
from relact.bank.window import Candidates, assemble, choose, reach
from relact.head import MemorySpec
from relact.types import Memory


class RecentBank:
    """Rows of one video, written tick by tick; windows are read no later than `future` ticks behind.

    Its windows are what a `FeatureBank` with the same rows gives.
    """

    def __init__(self, spec: MemorySpec) -> None:
        self._spec = spec
        self._rows: deque[Rows] = deque()
        self._last: int | None = None

    def write(self, tick: int, rows: Rows) -> None:
        """The people of a tick, ascending; a tick without people need not be written. ValueError otherwise."""
        if self._last is not None and tick <= self._last:
            raise ValueError(f"tick {tick} after tick {self._last}: rows are written in order, once")
        if (rows.tick != tick).any():
            raise ValueError(f"rows of tick {rows.tick.tolist()} at tick {tick}")
        if rows.features.shape[1] != self._spec.dim:
            raise ValueError(f"rows of {rows.features.shape[1]} channels, expected {self._spec.dim}")
        self._last = tick
        if len(rows):
            self._rows.append(rows)
        while self._rows and int(self._rows[0].tick[0]) < tick - sum(reach(self._spec)):
            self._rows.popleft()

    def __len__(self) -> int:
        """Ticks that are kept."""
        return len(self._rows)

    def window(self, tick: int, track: Ints | None = None) -> Memory:
        """The memory of the clip at this tick, a batch of one; `track [N]` are the ids of its people."""
        back, ahead = reach(self._spec)
        parts = [part for part in self._rows if tick - back <= int(part.tick[0]) <= tick + ahead]
        rows = joined(parts) if parts else Rows.none(self._spec.dim)
        every = np.arange(len(rows))
        candidates = Candidates(
            clip=np.zeros(len(rows), np.int64), row=every, dt=rows.tick - tick, track=rows.track, tag=rows.tag
        )
        candidates = choose(candidates, self._spec, None if track is None else [track])
        return assemble(candidates, [(rows.features, 0)], self._spec)
