"""How often a client may do something: a bucket of permits each, which fills again in a minute."""

import time
from collections import OrderedDict

_MOST_CLIENTS = 10_000


class Rates:
    """At most `per_minute` in a burst, and as many a minute in the long run; 0: no limit."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str, *, now: float | None = None) -> float:
        """Takes a permit: 0.0; or the seconds until there is one."""
        if not self._per_minute:
            return 0.0
        left, now = self._left(client, now)
        if left < 1:
            return (1 - left) * 60 / self._per_minute
        self._buckets[client] = (left - 1, now)
        self._buckets.move_to_end(client)
        while len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0

    def spent(self, client: str, *, now: float | None = None) -> bool:
        """Whether there is no permit left; takes none."""
        return bool(self._per_minute) and self._left(client, now)[0] < 1

    def _left(self, client: str, now: float | None) -> tuple[float, float]:
        now = time.monotonic() if now is None else now
        left, since = self._buckets.get(client, (float(self._per_minute), now))
        return min(float(self._per_minute), left + (now - since) * self._per_minute / 60), now
