"""What training with memory adds to a step: rows read before it, rows written after it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from relact.bank import FeatureBank, OnlineBank, Rows
from relact.bank.online import Update, discounted
from relact.bank.window import to_view
from relact.config import STRICT
from relact.data.samples import Sample
from relact.head import MemorySpec, RelationHead
from relact.train.exchange import gather_rows
from relact.types import Actors, Batch, Keyframe


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MemoryConfig:
    """Where the memory of a head comes from, in training and in tests."""

    mode: Literal["none", "offline", "online"] = "none"
    """none: a head sees its clip alone; offline: a bank that a frozen network has filled (LFB, ACAR-Net, MRSN);
    online: rows of earlier visits, written in the training loop (AIA, AMCRNet, IGMN)"""
    producer: str = "auto"
    """offline: the head of the frozen network, such as `linear` or `acar:r101`; auto = this head without its bank"""
    producer_run: str | None = None
    """offline: a run folder of a network that is trained already; None = it is trained first, by the same recipe"""
    update: Update = "overwrite"
    """online: a new visit replaces the rows of the last one, or (`lower_loss`) only if its loss is lower"""
    every: int = Field(default=1, ge=1)
    """ticks of the data set in one of the memory: 1 where keyframes are seconds, 25 where they are frames at 25 Hz"""


def moment(key: Keyframe, every: int) -> Keyframe:
    """Where a keyframe lies in a bank of one tick in `every`."""
    return key if every == 1 else Keyframe(key.video, key.tick // every)


class OfflineMemory:
    """Adds a bank's rows to a batch, in the process that takes it: workers would have to send them, 80 MB of maps."""

    def __init__(self, bank: FeatureBank, spec: MemorySpec, every: int = 1) -> None:
        self._bank = bank
        self._spec = spec
        self._every = every

    def read(self, batch: Batch) -> Batch:
        """The batch with what the bank has for it."""
        keys = [moment(key, self._every) for key in batch.keys]
        tracks = split(batch.actors.track, batch.actors)
        return replace(batch, memory=self._bank.window(keys, self._spec, tracks=tracks, views=batch.views))


class OnlineMemory:
    """The bank of a training run, read before the forward pass and written after the optimiser's step (IGMN, Sec. 3.2).

    With several processes each writes what all have seen, in the order of their ranks, so all have the same bank.
    """

    def __init__(self, samples: Sequence[Sample], head: RelationHead, config: MemoryConfig) -> None:
        assert head.memory is not None
        self._spec = head.memory
        self._every = config.every
        people: dict[Keyframe, int] = {}
        for sample in samples:
            key = moment(sample.key, config.every)
            people[key] = max(people.get(key, 0), len(sample.boxes))
        self.bank = OnlineBank(list(people), list(people.values()), dim=self._spec.dim, update=config.update)
        self._current: Tensor | None = getattr(head, "current_loss", None)
        self.last_loss = 0.0

    def read(self, batch: Batch) -> Batch:
        """The batch with what the bank has for it, weighted by how the loss has changed since (AIA, Sec. 3.4)."""
        memory = self.bank.window(
            [moment(key, self._every) for key in batch.keys], self._spec, tracks=split(batch.actors.track, batch.actors)
        )
        memory = to_view(memory, self._spec, batch.views)
        if self._spec.discount:
            memory = discounted(memory, self.last_loss)
        if self._current is not None:  # AMCRNet weights the rows itself
            self._current.fill_(self.last_loss)
        return replace(batch, memory=memory)

    def write(self, seen: Sequence[tuple[Batch, Tensor]], loss: float) -> None:
        """After the step: the rows of the actors of its parts, and as their tag its loss, that of all processes."""
        rows = [
            row
            for batch, store in seen
            for row in rows_of(batch.keys, batch.actors, store, tag=loss, every=self._every)
        ]
        for key, written, tag in gather_rows([(key, part, loss) for key, part in rows]):
            self.bank.write(key, written, tag)
        self.last_loss = loss


def rows_of(
    keys: Sequence[Keyframe], actors: Actors, store: Tensor, *, tag: float = 1.0, every: int = 1
) -> list[tuple[Keyframe, Rows]]:
    """The rows of each clip of a batch, as a bank keeps them. Boxes are pixels of the clip: they only fix the order."""
    parts = zip(
        keys,
        split(store.float(), actors),
        split(actors.boxes, actors),
        split(actors.track, actors),
        split(actors.scores, actors),
        strict=True,
    )
    return [
        (
            moment(key, every),
            Rows.of(moment(key, every).tick, features, boxes=boxes, track=track, score=score, tag=tag),
        )
        for key, features, boxes, track, score in parts
    ]


def split(values: Tensor, actors: Actors) -> list[npt.NDArray[Any]]:
    """One array a clip, on the host."""
    return np.split(values.detach().cpu().numpy(), np.cumsum(actors.counts)[:-1]) if actors.counts else []
