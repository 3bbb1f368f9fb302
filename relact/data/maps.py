"""Maps of a frozen backbone on disk: computed once, read by every head that is trained on it."""

import json
import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from relact.errors import InputError
from relact.interop.files import atomic_path
from relact.types import Keyframe

Maps = dict[str, Tensor]


class MapStore:
    """A folder of shards, each a file of halves (`.bin`) and an index (`.json`, written last); keyed by keyframe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._where: dict[Keyframe, tuple[str, dict[str, tuple[int, tuple[int, ...]]]]] = {}
        self._files: dict[str, npt.NDArray[np.float16]] = {}
        for index in sorted(folder.glob("*.json")):
            self._read(index)

    def _read(self, index: Path) -> None:
        try:
            rows = json.loads(index.read_text(encoding="utf-8"))
            for video, tick, places in rows:
                entry = {name: (int(offset), tuple(shape)) for name, offset, shape in places}
                self._where[Keyframe(video, tick)] = index.stem, entry
        except (ValueError, TypeError) as error:
            raise InputError(f"{index}: not an index of maps ({error}); remove {self.folder}") from error

    def __contains__(self, key: Keyframe) -> bool:
        return key in self._where

    def __getitem__(self, key: Keyframe) -> Maps:
        """{pathway: `[C, T, h, w]`} in half precision."""
        shard, places = self._where[key]
        if shard not in self._files:  # opened where it is read: each worker maps the file itself
            self._files[shard] = np.memmap(self.folder / f"{shard}.bin", np.float16, "r")
        values = self._files[shard]
        return {
            name: torch.from_numpy(np.array(values[offset : offset + int(np.prod(shape))]).reshape(shape))
            for name, (offset, shape) in places.items()
        }

    def add(self, maps: Iterable[tuple[Keyframe, Maps]]) -> None:
        """One more shard. It counts when it is whole: an interrupted one is not seen, and written anew."""
        self.folder.mkdir(parents=True, exist_ok=True)
        shard, offset = uuid.uuid4().hex, 0
        rows: list[tuple[str, int, list[tuple[str, int, list[int]]]]] = []
        data = self.folder / f"{shard}.bin"
        try:
            with data.open("wb") as file:
                for key, of_key in maps:
                    places = []
                    for name, value in of_key.items():
                        places.append((name, offset, list(value.shape)))
                        file.write(value.to(torch.float16).contiguous().numpy().tobytes())
                        offset += value.numel()
                    rows.append((key.video, key.tick, places))
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            data.unlink(missing_ok=True)
            raise
        index = self.folder / f"{shard}.json"
        with atomic_path(index) as temporary:
            temporary.write_text(json.dumps(rows), encoding="utf-8")
        self._read(index)


def stack(maps: Sequence[Maps]) -> Maps:
    """{pathway: `[B, C, T, h, w]`}, zeros right and below of smaller ones."""
    together = {}
    for name, first in maps[0].items():
        height, width = (max(one[name].shape[side] for one in maps) for side in (2, 3))
        together[name] = first.new_zeros(len(maps), *first.shape[:2], height, width)
        for slot, one in zip(together[name], maps, strict=True):
            slot[..., : one[name].shape[2], : one[name].shape[3]] = one[name]
    return together
