"""UCF101-24's annotation in its three published forms, each as tubes on frames from 0 in pixels of 320 x 240.

The corrected `pyannot.pkl` counts pixels from 1 in unsigned bytes; `UCF101v2-GT.pkl` and the label text
files count pixels from 0 and frames from 1. All three are the same boxes: x1 = x - 1, x2 = x - 1 + w, frame
= sf + row.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from relact.errors import InputError, at
from relact.interop.unpickle import restricted_load

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PICTURE = (320, 240)
"""Width and height of the pictures that the boxes refer to, whatever the video file was re-encoded to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UcfTubes:
    """R boxes: `video [R]` indexes `videos` ("Class/video"), `frame [R]` from 0, `boxes [R, 4]` x1, y1, x2,
    y2 pixels.

    `tube [R]` counts from 1 in each video (0 in label files, which do not say who is who); `label [R]` is
    the id of the action, from 1. `num_frames [V]` of each video, -1 where the file does not say.
    """

    videos: tuple[str, ...]
    video: Ints
    frame: Ints
    boxes: Floats
    tube: Ints
    label: Ints
    num_frames: Ints

    def __len__(self) -> int:
        return len(self.video)


@dataclass(frozen=True, slots=True)
class _Tube:
    video: int
    number: int
    label: int
    frames: Ints
    boxes: Floats


def is_annotation(content: object) -> bool:
    """Whether a pickle's content is one of the two UCF101-24 layouts."""
    if not isinstance(content, dict) or not content:
        return False
    first = next(iter(content.values()))
    return "gttubes" in content or (isinstance(first, dict) and "annotations" in first)


def read_annotation(path: str | Path, content: object | None = None) -> UcfTubes:
    """`pyannot.pkl` or `UCF101v2-GT.pkl`, told apart by their content. Raises InputError for anything
    else.
    """
    content = restricted_load(path) if content is None else content
    if not is_annotation(content):
        raise InputError(f"{at(path)}: not an annotation of UCF101-24; expected pyannot.pkl or UCF101v2-GT.pkl")
    assert isinstance(content, dict)
    try:
        if "gttubes" in content:
            videos = tuple(str(name) for name in content["gttubes"])
            frames = [int(content["nframes"].get(name, -1)) for name in content["gttubes"]]
            tubes = list(_gt_tubes(content["gttubes"]))
        else:
            videos = tuple(str(name) for name in content)
            frames = [int(entry["numf"]) for entry in content.values()]
            tubes = list(_pyannot_tubes(content, path))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"{at(path)}: broken annotation of UCF101-24 ({type(error).__name__}: {error})") from error
    return _joined(videos, frames, tubes)


def _pyannot_tubes(content: Mapping[Any, Any], path: str | Path) -> Iterator[_Tube]:
    for number, (name, entry) in enumerate(content.items()):
        for k, tube in enumerate(entry["annotations"], start=1):
            # bytes: x + w would wrap round at 256
            x, y, w, h = np.asarray(tube["boxes"]).astype(np.float64).reshape(-1, 4).T
            frames = np.arange(int(tube["sf"]), int(tube["ef"]))
            if len(frames) != len(x):
                raise InputError(
                    f"{at(path)}: {name} tube {k} has {len(x)} boxes for {int(tube['ef']) - int(tube['sf'])} frames; "
                    "expected one box a frame"
                )
            boxes = np.stack([x - 1, y - 1, x - 1 + w, y - 1 + h], axis=1)
            yield _Tube(number, k, int(tube["label"]) + 1, frames, boxes)


def _gt_tubes(tubes_of: Mapping[Any, Any]) -> Iterator[_Tube]:
    for number, by_label in enumerate(tubes_of.values()):
        k = 0
        for label, tubes in by_label.items():
            for tube in tubes:
                k += 1
                rows = np.asarray(tube, np.float64).reshape(-1, 5)
                yield _Tube(number, k, int(label) + 1, rows[:, 0].astype(np.int64) - 1, rows[:, 1:])


def _joined(videos: tuple[str, ...], num_frames: list[int], tubes: list[_Tube]) -> UcfTubes:
    length = np.asarray([len(tube.frames) for tube in tubes], np.int64)

    def spread(values: list[int]) -> Ints:
        return np.repeat(np.asarray(values, np.int64), length)

    return UcfTubes(
        videos=videos,
        video=spread([tube.video for tube in tubes]),
        frame=np.concatenate([np.zeros(0, np.int64), *(tube.frames for tube in tubes)]),
        boxes=np.concatenate([np.zeros((0, 4)), *(tube.boxes for tube in tubes)]),
        tube=spread([tube.number for tube in tubes]),
        label=spread([tube.label for tube in tubes]),
        num_frames=np.asarray(num_frames, np.int64),
    )


def read_label_folder(folder: str | Path) -> UcfTubes:
    """`labels/Class/video/00009.txt`, a line `class x1 y1 x2 y2` a box, class and frame from 1.

    `folder` is `labels` itself or the folder of one video. Raises InputError with file and line of a bad row.
    """
    root = Path(folder)
    files = sorted(root.rglob("*.txt"))
    if not files:
        raise InputError(f"{at(root)}: no label files; expected Class/video/00001.txt …")
    parents = list(dict.fromkeys(file.parent for file in files))
    number = {parent: k for k, parent in enumerate(parents)}
    frames = [_frame_of(file) for file in files]
    rows = [
        (number[file.parent], frame, row)
        for file, frame in zip(files, frames, strict=True)
        for row in _label_rows(file)
    ]
    values = np.asarray([row for _, _, row in rows], np.float64).reshape(-1, 5)
    return UcfTubes(
        videos=tuple("/".join(parent.resolve().parts[-2:]) for parent in parents),
        video=np.asarray([video for video, _, _ in rows], np.int64),
        frame=np.asarray([frame for _, frame, _ in rows], np.int64),
        boxes=values[:, 1:],
        tube=np.zeros(len(rows), np.int64),
        label=values[:, 0].astype(np.int64),
        num_frames=np.full(len(parents), -1),
    )


def _frame_of(file: Path) -> int:
    if not file.stem.isdigit() or int(file.stem) < 1:
        raise InputError(f"{at(file)}: expected the frame's number, from 1, as the file's name")
    return int(file.stem) - 1


def _label_rows(file: Path) -> Iterator[list[float]]:
    for line, text in enumerate(file.read_text().splitlines(), start=1):
        if not text.strip():
            continue
        try:
            row = [float(word) for word in text.split()]
        except ValueError:
            row = []
        if len(row) != 5:
            raise InputError(f"{at(file, line)}: {text!r}; expected 'class x1 y1 x2 y2'")
        yield row
