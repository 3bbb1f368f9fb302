"""Miniatures of the public data sets in their official layouts, out of generated videos."""

import csv
import pickle
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np

from tests.make_video import make_video

TRAIN_MOVIE, VAL_MOVIE = "AAAAAAAAAAA", "BBBBBBBBBBB"
SECONDS = (902, 903, 904)
LEFT, RIGHT = "0.100,0.200,0.400,0.900", "0.500,0.200,0.900,0.900"


def write(path: Path, lines: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def extract(video: Path, folder: Path, pattern: str) -> None:
    """Every frame as a picture of best quality, numbered from 1, as ffmpeg does."""
    folder.mkdir(parents=True)
    with av.open(str(video)) as container:
        for number, frame in enumerate(container.decode(video=0), start=1):
            frame.to_image().save(folder / (pattern % number), quality=98, subsampling=0)


def make_ava(root: Path, version: str = "2.2", *, frames: str | None = None) -> Path:
    """Two movies cut at second 900: two people stand (12) or sit (11) and talk (79), at 902, 903 and 904.

    Excluded: 904 of training. A detector's boxes: PySlowFast's csv, in training with actions, and MMAction2's pickle.
    """
    (root / "videos").mkdir(parents=True)
    for split, movie in (("train", TRAIN_MOVIE), ("val", VAL_MOVIE)):
        make_video(root / "videos" / f"{movie}.mp4", frames=186)
        if frames is not None:
            extract(root / "videos" / f"{movie}.mp4", root / "frames" / movie, frames)
        rows = [
            f"{movie},{second:04d},{box},{action},{person}"
            for second in SECONDS
            for box, person, actions in ((LEFT, 1, (12, 79)), (RIGHT, 2, (11,)))
            for action in actions
        ]
        notes = root / "annotations"
        write(notes / f"ava_{split}_v{version}.csv", [*rows, f"{movie},1800,{LEFT},12,1"])
        write(notes / f"ava_{split}_excluded_timestamps_v{version}.csv", [f"{TRAIN_MOVIE},0904"])
        found = [
            f"{movie},{second:04d},{box},{action},{score}"
            for second in (*SECONDS, 905)
            for box, action, score in ((LEFT, 12, 0.99), (RIGHT, "", 0.82), ("0.0,0.0,0.1,0.1", "", 0.3))
        ]
        write(notes / f"ava_{split}_predicted_boxes.csv", found[: 3 * len(SECONDS)] if split == "train" else found)
        boxes = [[float(x) for x in box.split(",")] for box in (LEFT, RIGHT)]
        proposals = {f"{movie},{second:04d}": np.array([[*boxes[0], 0.99], [*boxes[1], 0.6]]) for second in SECONDS}
        (notes / f"ava_dense_proposals_{split}.FAIR.recall_93.9.pkl").write_bytes(pickle.dumps(proposals))
    return root


def make_kinetics(root: Path) -> Path:
    """Two videos of training, one of them without people, and one of validation; ten seconds each would be long."""
    (root / "kinetics").mkdir(parents=True)
    for name in ("CCCCCCCCCCC_12_22", "DDDDDDDDDDD_000003_000013", "EEEEEEEEEEE_0_10"):
        make_video(root / "kinetics" / f"{name}.mp4", frames=90)
    notes = root / "annotations"
    write(notes / "kinetics_train_v1.0.csv", [f"CCCCCCCCCCC,13.500000,{LEFT},12", "DDDDDDDDDDD,4.250000"])
    write(notes / "kinetics_val_v1.0.csv", [f"EEEEEEEEEEE,1.016949,{LEFT},12", f"EEEEEEEEEEE,1.016949,{LEFT},79"])
    return root


def tube(first: int, last: int) -> np.ndarray:
    """Rows frame (from 1), x1, y1, x2, y2 in pixels of 320 x 240."""
    frames = np.arange(first, last + 1)
    return np.stack([frames, *(np.full(len(frames), value) for value in (40, 60, 160, 200))], axis=1).astype(np.float32)


def make_tubes(root: Path, annotation: str, labels: list[str], splits: int, *, frames: str | None = None) -> Path:
    """ACT's layout: the pickle, and `Class/video.avi` or frames; two videos of training and one of tests."""
    names = [f"{labels[k]}/v_{labels[k]}_g0{g}_c01" for k, g in ((0, 1), (1, 1), (0, 2))]
    for name in names:
        video = root / f"{name}.avi"
        video.parent.mkdir(parents=True, exist_ok=True)
        make_video(video, frames=24, codec="mpeg4", ticks=30)
        if frames is not None:
            extract(video, root / "frames" / name, frames)
    content = {
        "labels": labels,
        "gttubes": {name: {int(k): [tube(3, 20)]} for name, k in zip(names, (0, 1, 0), strict=True)},
        "nframes": dict.fromkeys(names, 24),
        "train_videos": [names[:2]] * splits,
        "test_videos": [names[2:]] * splits,
        "resolution": dict.fromkeys(names, (240, 320)),
    }
    (root / annotation).parent.mkdir(parents=True, exist_ok=True)
    (root / annotation).write_bytes(pickle.dumps(content))
    with (root / "boxes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "frame", "x1_px", "y1_px", "x2_px", "y2_px", "score"])
        scale = 96 / 320, 64 / 240  # of the file's own picture
        box = [40 * scale[0], 60 * scale[1], 160 * scale[0], 200 * scale[1]]
        writer.writerows([[names[2], frame, *box, 0.9] for frame in range(24)])
    return root
