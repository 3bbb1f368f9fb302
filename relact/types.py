"""The values that travel from video to detections (docs/architecture.md, "The values that travel").

Shape letters: B clips, A actors in the batch, N actors of the fullest clip, T frames, H W pixels of a clip, h w cells
of a map, C channels, S cells of a RoI per side, M memory slots, E memory channels, D features of a head, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor

Boxes = TypeVar("Boxes", Tensor, npt.NDArray[np.floating])


class Keyframe(NamedTuple):
    """Joins clips, bank rows, detections and metrics: a video and a tick (AVA: a second; UCF101-24: a frame)."""

    video: str
    tick: int


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How a frame became a clip: resized, cropped, flipped. The only place where the units of boxes change.

    The frame is resized to `width` x `height`, a window of `clip_width` x `clip_height` is cut at (`left`, `top`), and
    mirrored if `flip`.
    """

    width: int
    height: int
    clip_width: int
    clip_height: int
    left: int = 0
    top: int = 0
    flip: bool = False

    @classmethod
    def whole(cls, width: int, height: int) -> "View":
        """The frame resized to `width` x `height`, nothing cut off."""
        return cls(width=width, height=height, clip_width=width, clip_height=height)

    def to_clip(self, boxes: Boxes) -> Boxes:
        """`[..., 4]` in [0, 1] of the frame → pixels of the clip; boxes may reach outside of a crop."""
        x1 = boxes[..., 0] * self.width - self.left
        y1 = boxes[..., 1] * self.height - self.top
        x2 = boxes[..., 2] * self.width - self.left
        y2 = boxes[..., 3] * self.height - self.top
        if self.flip:
            x1, x2 = self.clip_width - x2, self.clip_width - x1
        return _stack(boxes, x1, y1, x2, y2)

    def to_frame(self, boxes: Boxes) -> Boxes:
        """`[..., 4]` in pixels of the clip → [0, 1] of the frame: the inverse of `to_clip`."""
        x1, y1, x2, y2 = boxes[..., 0], boxes[..., 1], boxes[..., 2], boxes[..., 3]
        if self.flip:
            x1, x2 = self.clip_width - x2, self.clip_width - x1
        x1, x2 = (x1 + self.left) / self.width, (x2 + self.left) / self.width
        y1, y2 = (y1 + self.top) / self.height, (y2 + self.top) / self.height
        return _stack(boxes, x1, y1, x2, y2)


def _stack(like: Boxes, *coordinates: Boxes) -> Boxes:
    if isinstance(like, Tensor):
        return torch.stack(coordinates, dim=-1)
    return np.stack(coordinates, axis=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One item of a data set: the frames around a keyframe and its people; N may be 0."""

    key: Keyframe
    frames: UInt8[Tensor, "3 T H W"]
    view: View
    boxes: Float[Tensor, "N 4"]
    """pixels of the clip"""
    labels: Float[Tensor, "N K"]
    """multi-hot; all zero for a detected box without truth"""
    scores: Float[Tensor, " N"]
    track: Int[Tensor, " N"]
    maps: dict[str, Float[Tensor, "_C _T _h _w"]] | None = None
    """what a frozen backbone made of its frames; these then have T = 0"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actors:
    """The people of a batch, one row each, sorted by clip; clips without people keep their place in `counts`.

    `counts` stays on the host, so that padding and splitting never wait for the device.
    """

    boxes: Float[Tensor, "A 4"]
    """pixels of the clip"""
    clip: Int[Tensor, " A"]
    """index of each actor's clip, ascending"""
    counts: tuple[int, ...]
    scores: Float[Tensor, " A"]
    track: Int[Tensor, " A"]

    @classmethod
    def of(
        cls,
        boxes: Sequence[Float[Tensor, "_ 4"]],
        *,
        scores: Sequence[Float[Tensor, " _"]] | None = None,
        track: Sequence[Int[Tensor, " _"]] | None = None,
    ) -> "Actors":
        """From one tensor of boxes per clip (pixels, x1 y1 x2 y2); `[0, 4]` for a clip without people."""
        counts = tuple(len(b) for b in boxes)
        flat = torch.cat(list(boxes)) if boxes else torch.zeros(0, 4)
        clip = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts, dtype=torch.long))
        return cls(
            boxes=flat,
            clip=clip.to(flat.device, non_blocking=True),
            counts=counts,
            scores=torch.cat(list(scores)) if scores else flat.new_ones(len(flat)),
            track=torch.cat(list(track)) if track else clip.new_full((len(flat),), -1).to(flat.device),
        )

    def __len__(self) -> int:
        return len(self.boxes)

    def to(self, device: torch.device | str) -> "Actors":
        """The same actors with their tensors on `device`."""
        return Actors(
            boxes=self.boxes.to(device, non_blocking=True),
            clip=self.clip.to(device, non_blocking=True),
            counts=self.counts,
            scores=self.scores.to(device, non_blocking=True),
            track=self.track.to(device, non_blocking=True),
        )

    def pad(self, rows: Shaped[Tensor, "A ..."]) -> tuple[Shaped[Tensor, "B N ..."], Bool[Tensor, "B N"]]:
        """One row per actor → `[B, N, ...]`, zeros behind the last actor of a clip, and where the rows are real."""
        assert len(rows) == len(self), f"{len(rows)} rows for {len(self)} actors"
        num_clips, most = len(self.counts), max(self.counts, default=0)
        if num_clips * most == len(self):  # nothing to pad, and nothing to copy
            return rows.view(num_clips, most, *rows.shape[1:]), self.clip.new_ones(num_clips, most, dtype=torch.bool)
        slot = self._slots(most, rows.device)
        padded = rows.new_zeros((num_clips * most, *rows.shape[1:])).index_copy(0, slot, rows)
        real = torch.zeros(num_clips * most, dtype=torch.bool, device=rows.device).index_fill(0, slot, True)
        return padded.view(num_clips, most, *rows.shape[1:]), real.view(num_clips, most)

    def unpad(self, padded: Shaped[Tensor, "B N ..."]) -> Shaped[Tensor, "A ..."]:
        """The inverse of `pad`: the real rows, in the actors' order."""
        assert padded.shape[:2] == (len(self.counts), max(self.counts, default=0)), padded.shape
        if padded.shape[0] * padded.shape[1] == len(self):
            return padded.flatten(0, 1)
        return padded.flatten(0, 1).index_select(0, self._slots(padded.shape[1], padded.device))

    def groups(self, at_most: int) -> list[slice]:
        """Runs of clips with no more actors than this together, or of one clip."""
        starts, together = [0], 0
        for clip, count in enumerate(self.counts):
            if together + count > at_most and clip > starts[-1]:
                starts, together = [*starts, clip], 0
            together += count
        return [slice(a, b) for a, b in zip(starts, [*starts[1:], len(self.counts)], strict=True)]

    def rows_of(self, clips: slice) -> slice:
        """The actors of a run of clips."""
        first, last, _ = clips.indices(len(self.counts))
        return slice(sum(self.counts[:first]), sum(self.counts[:last]))

    def of_clips(self, clips: slice) -> "Actors":
        """The actors of a run of clips, which then begin at 0."""
        first, last, _ = clips.indices(len(self.counts))
        rows = self.rows_of(clips)
        return Actors(
            boxes=self.boxes[rows],
            clip=self.clip[rows] - first,
            counts=self.counts[first:last],
            scores=self.scores[rows],
            track=self.track[rows],
        )

    def rois(self) -> Float[Tensor, "A 5"]:
        """Rows of (clip index, x1, y1, x2, y2), as torchvision's RoIAlign takes them."""
        return torch.cat([self.clip.to(self.boxes.dtype)[:, None], self.boxes], dim=1)

    def _slots(self, most: int, device: torch.device) -> Int[Tensor, " A"]:
        """Each actor's row in the flattened padded batch; made on the host, so that nothing waits."""
        counts = torch.tensor(self.counts, dtype=torch.long)
        gap = torch.arange(len(counts)) * most - (
            counts.cumsum(0) - counts
        )  # from a clip's first row to its first slot
        slots = torch.arange(len(self)) + gap.repeat_interleave(counts)
        return slots.to(device, non_blocking=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a feature bank gives a batch: M slots per clip, most of them maybe empty (`mask` False)."""

    features: Float[Tensor, "B M E"]
    dt: Int[Tensor, "B M"]
    """ticks from the keyframe, negative in the past"""
    track: Int[Tensor, "B M"]
    tag: Float[Tensor, "B M"]
    """what the writer noted, such as its loss (IGMN, Sec. 3.2)"""
    mask: Bool[Tensor, "B M"]

    def full(self) -> "Memory":
        """In full precision: banks keep halves."""
        return replace(self, features=self.features.float())

    def to(self, device: torch.device | str) -> "Memory":
        """The same memory on `device`."""
        return Memory(
            features=self.features.to(device, non_blocking=True),
            dt=self.dt.to(device, non_blocking=True),
            track=self.track.to(device, non_blocking=True),
            tag=self.tag.to(device, non_blocking=True),
            mask=self.mask.to(device, non_blocking=True),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Clips stacked: frames padded right and below to the largest clip."""

    keys: tuple[Keyframe, ...]
    frames: UInt8[Tensor, "B 3 T H W"]
    valid: Int[Tensor, "B 2"]
    """(height, width) of each clip before padding; on the host"""
    actors: Actors
    labels: Float[Tensor, "A K"]
    views: tuple[View, ...] = ()
    """how each clip was cut from its frames"""
    memory: Memory | None = None
    maps: dict[str, Float[Tensor, "B _C _T _h _w"]] | None = None
    """what a frozen backbone made of the frames, which then have T = 0"""

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on `device`; `valid` stays on the host."""
        return Batch(
            keys=self.keys,
            frames=self.frames.to(device, non_blocking=True),
            valid=self.valid,
            actors=self.actors.to(device),
            labels=self.labels.to(device, non_blocking=True),
            views=self.views,
            memory=None if self.memory is None else self.memory.to(device),
            maps=None if self.maps is None else {k: v.to(device, non_blocking=True) for k, v in self.maps.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a head sees of a batch: the backbone's maps, the people in them, and maybe the past."""

    maps: dict[str, Float[Tensor, "B _C _T _h _w"]]
    """one per pathway (`slow`, `fast`, or `main`), each with its own channels and frames; zero where padded"""
    pooled: Float[Tensor, "B C h w"]
    """the maps averaged over time, pathways concatenated slow first"""
    valid: Int[Tensor, "B 2"]
    """(rows, columns) of each clip's map that are real; on the host"""
    actors: Actors
    rois: Float[Tensor, "A _C S S"]
    """RoIAlign of `pooled`; without channels for a head that does not read it"""
    roi_boxes: Float[Tensor, "A 4"]
    """the boxes that `rois` were read with: `actors.boxes`, maybe grown, cut to the frame"""
    frame: Int[Tensor, "B 2"]
    """(height, width) in pixels of each clip before padding; on the host"""
    stride: int
    """pixels per cell"""
    padded: tuple[int, int] | None = None
    """(height, width) in pixels of the batch, where padding was taken for picture"""
    memory: Memory | None = None
    objects: Actors | None = None
    """things that a detector found (AIA)"""
    object_rois: Float[Tensor, "O C S S"] | None = None
    labels: Float[Tensor, "A K"] | None = None
    """truth, in training: for the losses that a head adds (`Relations.aux`)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relations:
    """What a head makes of a scene."""

    features: Float[Tensor, "A D"]
    store: Float[Tensor, "A E"] | None = None
    """one row per actor for the feature bank"""
    aux: dict[str, Float[Tensor, ""]] = field(default_factory=dict)
    """auxiliary losses by name"""
    maps: dict[str, Tensor] = field(default_factory=dict)
    """attention and the like, for pictures"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """What relact says about one keyframe: numpy, one row per person; N may be 0."""

    key: Keyframe
    time: float
    """seconds from the first frame"""
    frame: int
    """0-based index of the keyframe in the video"""
    pts: int
    """the container's own timestamp of that frame"""
    width: int
    height: int
    boxes: Float[np.ndarray, "N 4"]
    """[0, 1] of the upright frame"""
    box_scores: Float[np.ndarray, " N"]
    scores: Float[np.ndarray, "N K"]
    person: Int[np.ndarray, " N"]
    """ids from 1, for outputs"""
    track: Int[np.ndarray, " N"]
    """ids of the tracker or of the box file, -1 where unknown"""
