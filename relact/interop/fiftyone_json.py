"""Actions of videos as a folder that FiftyOne imports: `FiftyOneVideoLabelsDataset` (https://docs.voxel51.com).

    manifest.json, data/NAME.mp4 (links to the videos), labels/NAME.json

A person who does two things is two detections on the same box: the label is the action, `confidence` its score and
`index` the person. That is what FiftyOne's filters by label and confidence work on.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from relact.errors import InputError
from relact.interop.files import atomic_path


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoActions:
    """The actions of one video: R rows, one for each person and action of a keyframe."""

    file: Path
    """the video"""
    frame: npt.NDArray[np.int64]
    """from 0"""
    person: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float64]
    """`[R, 4]` in [0, 1] of the frame"""
    action: Sequence[str]
    score: npt.NDArray[np.float64]


def write_fiftyone(folder: Path, videos: Sequence[VideoActions]) -> Path:
    """Writes the folder; the manifest, which names all else, comes last. Returns the manifest's path.

    Raises InputError where two videos have the same name, or a link cannot be made.
    """
    names = [video.file.stem for video in videos]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{folder}: several videos are named {', '.join(twice)}; write them to folders of their own")
    index = []
    for name, video in zip(names, videos, strict=True):
        data, labels = Path("data") / video.file.name, Path("labels") / f"{name}.json"
        with atomic_path(folder / labels) as temporary, temporary.open("w", encoding="utf-8") as file:
            json.dump({"frames": _frames(video)}, file, ensure_ascii=False)
        _link(video.file, folder / data)
        index.append({"data": data.as_posix(), "labels": labels.as_posix()})
    manifest = {"type": "eta.core.datasets.LabeledVideoDataset", "description": "found by relact", "index": index}
    with atomic_path(folder / "manifest.json") as temporary:
        temporary.write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return folder / "manifest.json"


def _frames(video: VideoActions) -> Mapping[str, Any]:
    """Of every frame with people, by its number from 1."""
    frames: dict[str, Any] = {}
    order = np.argsort(video.frame, kind="stable")
    boxes = video.boxes.clip(0, 1).round(6)
    for row in order.tolist():
        number = int(video.frame[row]) + 1
        frame = frames.setdefault(str(number), {"frame_number": number, "objects": {"objects": []}})
        x1, y1, x2, y2 = boxes[row].tolist()
        frame["objects"]["objects"].append(
            {
                "label": video.action[row],
                "index": int(video.person[row]),
                "confidence": round(float(video.score[row]), 6),
                "bounding_box": {"top_left": {"x": x1, "y": y1}, "bottom_right": {"x": x2, "y": y2}},
                "frame_number": number,
            }
        )
    return frames


def _link(video: Path, link: Path) -> None:
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        os.symlink(video.resolve(), link)
    except OSError as error:
        raise InputError(f"{link}: cannot link to {video} ({error.strerror}); expected a name that is free") from error
