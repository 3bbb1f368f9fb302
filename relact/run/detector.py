"""`relact detector train`: the small person detector, on boxes of one's own or of Stage."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from relact.data.decode import probe, read_clip
from relact.data.places import VIDEO_SUFFIXES
from relact.errors import InputError
from relact.interop.box_files import read_boxes
from relact.interop.box_table import VideoBoxes
from relact.nn.memory import keep_freed_memory
from relact.train.checkpoint import seed_everything
from relact.video.small_detector import SHORT_SIDE, save_small_detector, small_detector, train_detector

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Frames `[F, 3, H, W]` in uint8 of one size, and the boxes `[N, 4]` of each in its pixels."""

    frames: Tensor
    boxes: list[Tensor]


def train_people(
    videos: Path,
    boxes: Path,
    out: Path,
    *,
    frames: int = 12,
    steps: int = 600,
    batch: int = 8,
    seed: int = 0,
    first: int | None = None,
    say: Say = print,
) -> None:
    """Trains on `frames` random instants of each video (of the `first` ones) that `boxes` knows; writes `out`.

    Raises InputError where no video is known, or a box file cannot be read.
    """
    keep_freed_memory()
    seed_everything(seed)
    random = np.random.default_rng(seed)
    found = (
        sorted(path for path in videos.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES) if videos.is_dir() else []
    )
    if not found:
        raise InputError(f"{videos}: no videos there")
    table = read_boxes(boxes, expect_ids=True)
    parts = [pictures_of(path, table.for_video(path.name, *probe(path).size), frames, random) for path in found[:first]]
    total = sum(len(part.boxes) for part in parts)
    say(f"{total} pictures of {len(parts)} videos, {sum(len(b) for part in parts for b in part.boxes)} people")
    model = small_detector()
    losses = []
    for step, loss in enumerate(train_detector(model, _batches(parts, batch, random), steps=steps), start=1):
        losses.append(loss)
        if step % 100 == 0 or step == steps:
            say(f"step {step} of {steps}: loss {np.mean(losses[-100:]):.3f}")
    save_small_detector(model, out)
    say(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


def pictures_of(path: Path, boxes: VideoBoxes, frames: int, random: np.random.Generator) -> Pictures:
    """Some instants of a video that its boxes know."""
    chosen = np.sort(random.permutation(len(boxes.instants))[:frames])
    clock = "times" if boxes.clock == "seconds" else "frames"
    clip = read_clip(path, **{clock: boxes.instants[chosen]}, short_side=SHORT_SIDE)  # type: ignore[arg-type]
    size = torch.tensor([clip.shape[3], clip.shape[2]] * 2)
    of_frames = [torch.from_numpy(boxes.boxes[boxes.start[k] : boxes.start[k + 1]]).float() * size for k in chosen]
    return Pictures(frames=clip.permute(1, 0, 2, 3).contiguous(), boxes=of_frames)


def _batches(
    parts: list[Pictures], batch: int, random: np.random.Generator
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """For ever, reshuffled when all have been seen; half of them mirrored."""
    places = [(part, frame) for part in range(len(parts)) for frame in range(len(parts[part].boxes))]
    while True:
        order = random.permutation(len(places))
        for start in range(0, len(order) - batch + 1, batch):
            chosen = [places[index] for index in order[start : start + batch]]
            shown = [
                _mirrored(parts[part].frames[frame], parts[part].boxes[frame], bool(random.random() < 0.5))
                for part, frame in chosen
            ]
            yield [picture for picture, _ in shown], [boxes for _, boxes in shown]
        if len(order) < batch:
            raise InputError(f"{len(order)} pictures are fewer than a batch of {batch}; give more videos or frames")


def _mirrored(picture: Tensor, boxes: Tensor, mirror: bool) -> tuple[Tensor, Tensor]:
    """A picture in 0..1 and its boxes that show at least a pixel."""
    height, width = picture.shape[1:]
    boxes = boxes.clamp(min=0).minimum(torch.tensor([width, height, width, height]))
    boxes = boxes[(boxes[:, 2:] - boxes[:, :2] >= 1).all(dim=1)]
    picture = picture.float() / 255
    if not mirror:
        return picture, boxes
    return picture.flip(2), torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
