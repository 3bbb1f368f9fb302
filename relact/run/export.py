"""A trained detector as one file that runs without relact: torch.export's .pt2, or ONNX; checked when it is written."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from relact import __version__
from relact.data.decode import probe, read_clip, video_index
from relact.data.sampling import frame_window, window_times
from relact.data.stage.play import frames, write_play
from relact.data.stage.skits import SECONDS as SCENE
from relact.errors import InputError
from relact.interop.files import atomic_path
from relact.model import ActionDetector, ClipSpec
from relact.run.export_files import check_name, open_file, write
from relact.run.export_trace import Inputs, as_source, inputs_of, trace
from relact.run.models import load_model

Pixels = Literal["uint8", "normalised"]

TOLERANCE = 1e-4
"""a score of the file may differ from the model's by no more"""
CROWDS = (0, 1, 5, 25)
"""how many people a file is checked with"""
CLIPS = 2
DRAWN_RATE = 15
"""frames a second of clips that are drawn"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A file that was written, and how far it is from the model that it was made from."""

    path: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    difference: float
    """the largest of all scores that were compared"""
    people: tuple[int, ...]
    """in the clips that were compared"""


def export(
    weights: str | Path | ActionDetector,
    out: str | Path,
    *,
    people: int | None = None,
    size: tuple[int, int] | None = None,
    pixels: Pixels = "uint8",
    video: str | Path | None = None,
) -> Exported:
    """Writes the whole detector, `weights` as `load_model` takes them (or a model on the CPU), to `out`.

    `out` ends in .onnx or .pt2. `people`: None = any number; else exactly so many. `size` is (width, height) of the
    frames that it will take: by default the model's short side in the shape of `video`, or 16:9. The file is compared
    with the model on clips of `video` (or made ones), and is only there when no score differs by more than 1e-4.

    Raises InputError for what cannot be exported, and for a file that failed the comparison (it is removed).
    """
    target = Path(out)
    check_name(target)
    if people is not None and people < 1:
        raise InputError(f"people={people}: expected at least 1, or None for any number")
    model = weights if isinstance(weights, ActionDetector) else load_model(weights)
    width, height = size or _size(model.clip, video)
    _check_size(model, width, height)
    inputs = inputs_of(model, (height, width), people=people, normalised=pixels == "normalised")
    program = trace(model, inputs)
    outputs = ["scores", "rows"][: len(program.graph_signature.user_outputs)]
    clips = list(_clips(model.clip, (height, width), video))
    with atomic_path(target) as temporary:
        write(program, temporary, notes_of(model, inputs, str(weights), outputs), outputs)
        difference, crowds = compare(model, inputs, temporary, clips)
        if not difference <= TOLERANCE:
            raise InputError(
                f"{target}: removed, as its scores differ from the model's by {difference:.2g}, expected at most "
                f"{TOLERANCE:g}; please report it with the head and the backbone"
            )
    return Exported(
        path=target, inputs=tuple(inputs.names), outputs=tuple(outputs), difference=difference, people=crowds
    )


def compare(model: ActionDetector, inputs: Inputs, path: Path, clips: list[Tensor]) -> tuple[float, tuple[int, ...]]:
    """The largest difference of any score of the file at `path` from the model's, and the crowds it was seen with."""
    run = open_file(path)
    generator = torch.Generator().manual_seed(1)
    crowds = CROWDS if inputs.people is None else (inputs.people,) * CLIPS
    worst = 0.0
    for number, count in enumerate(crowds):
        values = inputs.make(count, inputs.least_slots + 3 * number, generator, clips[number % len(clips)])
        expected = as_source(model, inputs, values)
        for got, wanted in zip(run(values), expected, strict=True):
            if got.shape != wanted.shape:
                raise InputError(f"{path}: gives {list(got.shape)} for {count} people, expected {list(wanted.shape)}")
            # NaN is no agreement
            off = (got - wanted).abs().nan_to_num(torch.inf).max().item() if got.numel() else 0.0
            worst = max(worst, off)
    return worst, crowds


def notes_of(model: ActionDetector, inputs: Inputs, weights: str, outputs: list[str]) -> dict[str, Any]:
    """What someone who has only the file must know."""
    height, width = inputs.size
    memory = None
    if inputs.memory is not None:
        memory = {
            **asdict(inputs.memory),
            "least_slots": inputs.least_slots,
            "rows": "another model's" if model.foreign_rows else "its own",
        }
    return {
        "version": __version__,
        "weights": weights,
        "head": type(model.head).__name__.lower(),
        "labels": [{"id": label.id, "name": label.name, "group": label.group} for label in model.labels],
        "exclusive": list(model.exclusive),
        "clip": {**asdict(model.clip), "width": width, "height": height},
        "pixels": "normalised" if inputs.normalised else "uint8",
        "mean": model.mean.flatten().tolist(),
        "std": model.std.flatten().tolist(),
        "people": "dynamic" if inputs.people is None else inputs.people,
        "memory": memory,
        "inputs": {name: MEANING[name] for name in inputs.names},
        "outputs": {name: MEANING[name] for name in outputs},
    }


MEANING = {
    "frames": "[1, 3, T, H, W] RGB: 0..255 as uint8, or floats (x / 255 - mean) / std, as `pixels` says",
    "boxes": "[people, 4] x1 y1 x2 y2 in pixels of the resized frames",
    "box_scores": "[people] of the person detector",
    "track": "[people] ids of a tracker, -1 where unknown",
    "memory": "[1, slots, E] rows that earlier (and later) clips of the video gave",
    "memory_dt": "[1, slots] ticks from the keyframe, negative in the past",
    "memory_mask": "[1, slots] True where a slot holds a row; no fewer slots than `least_slots`, empty ones are fine",
    "memory_track": "[1, slots] ids of the people that the rows are of",
    "scores": "[people, K] probabilities, in the order of `labels`",
    "rows": "[people, E] to be kept for the memory of other clips",
}


def _size(clip: ClipSpec, video: str | Path | None) -> tuple[int, int]:
    """(width, height) of frames as detection resizes them."""
    if video is not None:
        return probe(video).resized(clip.short_side)
    return clip.short_side * 16 // 9, clip.short_side


def _check_size(model: ActionDetector, width: int, height: int) -> None:
    least = 3 * model.backbone.stride
    if min(width, height) < least:
        raise InputError(f"size {width}x{height}: expected at least {least} pixels a side, for maps of 3 x 3 cells")


def _clips(clip: ClipSpec, size: tuple[int, int], video: str | Path | None) -> Iterator[Tensor]:
    """uint8 `[1, 3, T, H, W]` of a video, or of drawn people."""
    clips = _drawn_clips(clip) if video is None else _video_clips(clip, video)
    for pictures in clips:
        resized = F.interpolate(pictures.transpose(0, 1).float(), size, mode="bilinear", antialias=True)
        yield resized.round().clamp(0, 255).to(torch.uint8).transpose(0, 1)[None].contiguous()


def _video_clips(clip: ClipSpec, video: str | Path) -> Iterator[Tensor]:
    index = video_index(video)
    for number in range(CLIPS):
        centre = (number + 1) * len(index.times) // (CLIPS + 1)
        if clip.rate is None:
            frames = frame_window(centre, clip.num_frames, clip.frame_stride, len(index.times))
            yield read_clip(video, frames=frames, short_side=clip.short_side, index=index)
        else:
            times = window_times(float(index.times[centre]), clip.num_frames, clip.frame_stride, clip.rate)
            yield read_clip(video, times=times, short_side=clip.short_side, index=index)


def _drawn_clips(clip: ClipSpec) -> Iterator[Tensor]:
    for seed in range(CLIPS):
        play = write_play("drawn", (seed,), SCENE * ceil(clip.num_frames / (SCENE * DRAWN_RATE)))
        pictures = [picture for _, picture in islice(frames(play, DRAWN_RATE, 1), clip.num_frames)]
        yield torch.from_numpy(np.stack(pictures)).permute(3, 0, 1, 2)
