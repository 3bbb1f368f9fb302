"""The bank that training itself fills: what a clip's people looked like when the clip was last seen (AIA, Sec. 3.4)."""

import hashlib
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor

from relact.bank.rows import Halves, Ints, Rows
from relact.bank.window import Candidates, Timeline, assemble, choose, ranges, to_view
from relact.errors import InputError
from relact.head import MemorySpec
from relact.interop.files import atomic_path
from relact.types import Keyframe, Memory, View

Update = Literal["overwrite", "lower_loss"]


class OnlineBank:
    """Rows of the keyframes of a training set, read before a step and written after it. Empty at first, which is legal.

    Room is kept for as many people as each keyframe has. `update`: a new visit overwrites the last one (released code
    of AMCRNet, AIA), or only if its loss is lower (AMCRNet, Sec. 3.4).
    """

    def __init__(
        self, keys: Sequence[Keyframe], people: Sequence[int], *, dim: int, update: Update = "overwrite"
    ) -> None:
        """`people`: the most rows that each keyframe can get. Raises InputError for a keyframe given twice."""
        order = sorted(range(len(keys)), key=keys.__getitem__)
        self._keys = [keys[i] for i in order]
        self._entry = {key: entry for entry, key in enumerate(self._keys)}
        if len(self._entry) < len(keys):
            twice = next(a for a, b in zip(self._keys[:-1], self._keys[1:], strict=True) if a == b)
            raise InputError(f"{twice.video}, tick {twice.tick}: this keyframe is in the set twice")
        self._dim = dim
        self._update = update
        room = np.array([people[i] for i in order], np.int64)
        self._begins = np.concatenate([[0], np.cumsum(room)])
        codes = {video: code for code, video in enumerate(sorted({key.video for key in self._keys}))}
        self._codes = codes
        video = np.array([codes[key.video] for key in self._keys], np.int64)
        self._times = Timeline(video, np.array([key.tick for key in self._keys], np.int64))
        self._count = np.zeros(len(room), np.int64)
        self._loss = np.full(len(room), np.inf, np.float32)
        self._features: Halves = np.zeros((int(room.sum()), dim), np.float16)
        self._track = np.full(int(room.sum()), -1, np.int64)

    def __len__(self) -> int:
        return int(self._count.sum())

    def write(self, key: Keyframe, rows: Rows, loss: float) -> None:
        """The people of a keyframe as this step saw them. Raises InputError for one that is not in the set."""
        entry = self._entry.get(key)
        if entry is None:
            raise InputError(f"{key.video}, tick {key.tick}: not a keyframe of the set that this bank is for")
        begin, end = int(self._begins[entry]), int(self._begins[entry + 1])
        if len(rows) > end - begin:
            raise InputError(f"{key.video}, tick {key.tick}: {len(rows)} people, expected at most {end - begin}")
        if rows.features.shape[1] != self._dim:
            raise InputError(
                f"{key.video}, tick {key.tick}: rows of {rows.features.shape[1]} channels, expected {self._dim}"
            )
        if self._update == "lower_loss" and loss >= self._loss[entry]:
            return
        self._features[begin : begin + len(rows)] = rows.features
        self._track[begin : begin + len(rows)] = rows.track
        self._count[entry], self._loss[entry] = len(rows), loss

    def window(
        self,
        keys: Sequence[Keyframe],
        spec: MemorySpec,
        *,
        tracks: Sequence[Ints] | None = None,
        views: Sequence[View] | None = None,
    ) -> Memory:
        """As `FeatureBank.window`; `Memory.tag` is the loss of the visit that wrote the row."""
        if spec.dim != self._dim:
            raise InputError(f"the bank of this training has rows of {self._dim} channels, this head reads {spec.dim}")
        unknown = [key for key in keys if key.video not in self._codes]
        if unknown:
            raise InputError(
                f"{unknown[0].video}, tick {unknown[0].tick}: not a video of the set that this bank is for"
            )
        now = np.array([key.tick for key in keys], np.int64)
        video = np.array([self._codes[key.video] for key in keys], np.int64)
        entry, clip = self._times.within(video, now, spec)
        row, of = ranges(self._begins[entry], self._begins[entry] + self._count[entry])
        candidates = Candidates(
            clip=clip[of], row=row, dt=self._times.tick[entry[of]] - now[clip[of]], track=self._track[row],
            tag=self._loss[entry[of]],
        )  # fmt: skip
        memory = assemble(choose(candidates, spec, tracks), [(self._features, 0)] * len(keys), spec)
        return memory if views is None else to_view(memory, spec, views)

    def save(self, path: Path) -> None:
        """All rows, to go on from."""
        rows, _ = ranges(self._begins[:-1], self._begins[:-1] + self._count)
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "count": self._count, "loss": self._loss, "features": self._features[rows], "track": self._track[rows],
        }  # fmt: skip
        with atomic_path(path) as temporary:
            save_file({**arrays, "set": self._set(), "crc32": _crc32(arrays)}, temporary)

    def load(self, path: Path) -> None:
        """The inverse of `save`, for the same keyframes. Raises InputError otherwise, and for a damaged file."""
        try:
            arrays = load_file(path)
            of, check = arrays.pop("set"), arrays.pop("crc32")
        except (OSError, SafetensorError, KeyError) as error:
            raise InputError(f"{path}: not a saved bank of a training run ({error})") from None
        if not np.array_equal(check, _crc32(arrays)):
            raise InputError(f"{path}: its checksum does not fit: a damaged file; go on from an earlier one")
        width = arrays["features"].shape[1]
        if width != self._dim or not np.array_equal(of, self._set()):
            raise InputError(
                f"{path}: a bank of {len(arrays['count'])} keyframes and {width} channels; expected that of this "
                f"training's {len(self._count)} keyframes, with the same people, and rows of {self._dim}"
            )
        self._count, self._loss = arrays["count"], arrays["loss"]
        rows, _ = ranges(self._begins[:-1], self._begins[:-1] + self._count)
        self._features[rows], self._track[rows] = arrays["features"], arrays["track"]

    def _set(self) -> npt.NDArray[np.uint8]:
        """A hash of the keyframes and the room of each."""
        text = json.dumps([self._keys, self._begins.tolist()])
        return np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)


def _crc32(arrays: dict[str, np.ndarray[Any, Any]]) -> npt.NDArray[np.int64]:
    """One for all, with their names, types and shapes."""
    crc = 0
    for name, values in sorted(arrays.items()):
        crc = zlib.crc32(f"{name} {values.dtype} {values.shape}".encode(), crc)
        crc = zlib.crc32(np.ascontiguousarray(values).data, crc)
    return np.array([crc])


def discounted(memory: Memory, current: float) -> Memory:
    """Rows times min(a, 1 / a), a = their loss over today's (AIA, Sec. 3.4); unchanged while that is unknown (0)."""
    if current <= 0:
        return memory
    ratio: Tensor = memory.tag.clamp(min=1e-12) / current
    weight = torch.where(memory.mask, torch.minimum(ratio, 1 / ratio), 1)
    features = memory.features * weight[:, :, None].to(memory.features.dtype)
    return Memory(features=features, dt=memory.dt, track=memory.track, tag=memory.tag, mask=memory.mask)
