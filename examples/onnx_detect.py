"""Who does what in a video, with an exported detector: onnxruntime, numpy and PyAV alone, no torch and no relact.

    relact export runs/x --out model.onnx
    python examples/onnx_detect.py model.onnx street.mp4 people.csv > actions.csv

`people.csv` says where people are, from any detector and tracker: a line with the names of the columns, then rows of
time_s, x1, y1, x2, y2 in [0, 1] of the frame, and maybe score and person_id. A keyframe is every second; its people are
those whose time is within a tenth of a second of it. Frames are resized to the size that the file was exported for.
Phone videos that are stored turned must be turned before. A head with memory is given the seconds before, not after.
"""

import csv
import json
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidProtobuf

THRESHOLD = 0.05
"""Actions below it are not printed."""


def main(model: str, video: str, people: str) -> None:
    """Prints a csv: time_s, person_id, x1, y1, x2, y2, action_id, action, score."""
    if missing := [path for path in (model, video, people) if not Path(path).is_file()]:
        sys.exit(f"no such file: {', '.join(missing)}")
    found = read_people(people)
    try:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    except InvalidProtobuf:
        sys.exit(f"{model}: expected an ONNX file")
    about = session.get_modelmeta().custom_metadata_map
    if "relact" not in about:
        sys.exit(f"{model}: expected a file that relact export wrote; this one says nothing of clips and labels")
    notes = json.loads(about["relact"])
    memory = Memory(notes["memory"]) if notes["memory"] else None
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["time_s", "person_id", "x1", "y1", "x2", "y2", "action_id", "action", "score"])
    for second, frames in clips(video, notes["clip"]):
        here = found[np.abs(found["time_s"] - second) < 0.1]
        values = inputs(notes, frames, here)
        if memory is not None:
            values |= memory.of(second, "memory_track" in notes["inputs"])
        scores, *rows = session.run(None, values)
        if memory is not None and rows:
            memory.keep(second, rows[0], here)
            if notes["memory"]["include_current"]:  # this second's own rows are part of what it remembers
                scores = session.run(None, values | memory.of(second, "memory_track" in notes["inputs"]))[0]
        for person, row in zip(here, scores, strict=True):
            for k in np.flatnonzero(row >= THRESHOLD):
                label = notes["labels"][k]
                box = [round(float(person[name]), 4) for name in ("x1", "y1", "x2", "y2")]
                out.writerow([second, person["person_id"], *box, label["id"], label["name"], round(float(row[k]), 4)])


def read_people(path: str) -> np.ndarray:
    """The rows of the csv, as a numpy table; score 1 and person_id -1 where the file has no such column."""
    kind = [(name, np.float64) for name in ("time_s", "x1", "y1", "x2", "y2", "score")] + [("person_id", np.int64)]
    needed = ("time_s", "x1", "y1", "x2", "y2")
    with open(path, newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        if lacking := [name for name in needed if name not in (table.fieldnames or ())]:
            sys.exit(f"{path} line 1: expected the names of the columns; there is no {', '.join(lacking)}")
        rows = []
        for row in table:
            try:
                numbers = [float(row[name]) for name in needed]
                rows.append((*numbers, float(row.get("score") or 1), int(row.get("person_id") or -1)))
            except (TypeError, ValueError) as error:
                sys.exit(f"{path} line {table.line_num}: expected numbers: {error}")
    return np.array(rows, dtype=kind)


def inputs(notes: dict[str, Any], frames: np.ndarray, people: np.ndarray) -> dict[str, np.ndarray]:
    """What the file wants: uint8 `[T, H, W, 3]` and the people of a keyframe → arrays by name."""
    clip = notes["clip"]
    tensor = np.ascontiguousarray(frames.transpose(3, 0, 1, 2))[None]  # [1, 3, T, H, W]
    if notes["pixels"] == "normalised":
        mean, std = (np.array(notes[name], np.float32).reshape(1, 3, 1, 1, 1) for name in ("mean", "std"))
        tensor = (tensor.astype(np.float32) / 255 - mean) / std
    boxes = np.stack([people["x1"], people["y1"], people["x2"], people["y2"]], axis=1)
    boxes = boxes * [clip["width"], clip["height"], clip["width"], clip["height"]]
    values = {"frames": tensor, "boxes": boxes.astype(np.float32)}
    if "box_scores" in notes["inputs"]:
        values["box_scores"] = people["score"].astype(np.float32)
    if "track" in notes["inputs"]:
        values["track"] = people["person_id"]
    return values


def clips(video: str, clip: dict[str, Any]) -> Iterator[tuple[int, np.ndarray]]:
    """Each second and the frames around it `[T, H, W, 3]`: of each wanted time the nearest frame, held at the ends.

    A window's frames are `frame_stride` ticks apart, of a clock of `rate` a second; its keyframe is in its middle.
    Only the frames of one window are kept, so that a video may be long.
    """
    count, stride, rate = clip["num_frames"], clip["frame_stride"], clip["rate"]
    kept: deque[tuple[float, np.ndarray]] = deque()
    second = 0
    with opened(video) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        offsets = (np.arange(count) - count // 2) * stride / (rate or float(stream.average_rate))
        first = None
        for frame in container.decode(stream):
            first = frame.time if first is None else first
            picture = frame.to_ndarray(
                format="rgb24", width=clip["width"], height=clip["height"], interpolation="BILINEAR"
            )
            kept.append((frame.time - first, picture))
            while kept[-1][0] > second + offsets[-1] + 1 / 15:  # one frame past the window, to know the nearest
                yield second, nearest(kept, second + offsets)
                second += 1
                while len(kept) > 1 and kept[1][0] < second + offsets[0]:
                    kept.popleft()
    while kept and second <= kept[-1][0]:
        yield second, nearest(kept, second + offsets)
        second += 1


def opened(video: str) -> av.container.InputContainer:
    """The video, which has pictures."""
    try:
        container = av.open(video)
    except av.FFmpegError as error:
        sys.exit(f"{video}: expected a video: {error.strerror}")
    if not container.streams.video:
        sys.exit(f"{video}: expected a video; it has no pictures")
    return container


def nearest(kept: deque[tuple[float, np.ndarray]], wanted: np.ndarray) -> np.ndarray:
    """The frames nearest to the wanted times; of two equally near the earlier."""
    times = np.array([time for time, _ in kept])
    return np.stack([kept[k][1] for k in np.abs(times[None] - wanted[:, None]).round(6).argmin(axis=1)])


class Memory:
    """The rows of the seconds before, for a head that looks back."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.past: deque[tuple[int, np.ndarray, np.ndarray]] = deque()

    def of(self, second: int, tracks: bool) -> dict[str, np.ndarray]:
        """The memory at this second, behind as many empty slots as there must be."""
        while self.past and second - self.past[0][0] > self.spec["radius"]:
            self.past.popleft()
        empty = self.spec["least_slots"]
        rows = [np.zeros((empty, self.spec["dim"]), np.float32), *(rows for _, rows, _ in self.past)]
        dt = [np.zeros(empty, np.int64), *(np.full(len(rows), then - second) for then, rows, _ in self.past)]
        values = {"memory": np.concatenate(rows)[None], "memory_dt": np.concatenate(dt).astype(np.int64)[None]}
        values["memory_mask"] = np.arange(values["memory_dt"].shape[1])[None] >= empty
        if tracks:
            ids = [np.full(empty, -1, np.int64), *(ids for _, _, ids in self.past)]
            values["memory_track"] = np.concatenate(ids)[None]
        return values

    def keep(self, second: int, rows: np.ndarray, people: np.ndarray) -> None:
        """Rows of this second's people, no more of them than the head was trained with: the best scored."""
        chosen = np.argsort(-people["score"], kind="stable")[: self.spec["max_per_tick"] or len(rows)]
        self.past.append((second, rows[chosen], people["person_id"][chosen]))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
