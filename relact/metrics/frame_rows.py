"""Boxes with actions on numbered frames, truth or predictions, from the files that UCF101-24 and J-HMDB come in.

annotation   pyannot.pkl, UCF101v2-GT.pkl, JHMDB-GT.pkl; the folder of label text files
csv          with header: video,frame,x1,y1,x2,y2 (or x1_px …), action or action_id, [score], [person or person_id];
             frames from 0; also actions.csv of `relact detect`
ava          without header, as `relact test` writes it: video,frame,x1,y1,x2,y2,action,score; frames from 1
array        .npy or .pkl of ACT's and MOC's frame_detections: [N, 8] video index, frame from 1, action from 0, score,
             box in pixels; the index counts the judged videos in order
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from relact.errors import InputError, at
from relact.interop.ava_csv import AvaTable, read_ava_csv
from relact.interop.ucf24 import PICTURE, UcfTubes, is_annotation, listed_videos, read_annotation, read_label_folder
from relact.interop.unpickle import restricted_load
from relact.labels import LabelMap
from relact.metrics.ap_rules import Bools, Floats, Ints
from relact.metrics.headed_csv import read_columns

Units = Literal["unit", "pixel"]
SPLIT = "testlist01.txt"
"""The list of UCF101-24's test videos, looked for beside the annotation."""
_LARGEST_UNIT = 1.5
"""Boxes of a file that leaves its units open are fractions of the picture if no coordinate is larger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRows:
    """R boxes: `video [R]` indexes `videos`, `frame [R]` from 0, `boxes [R, 4]` in pixels of the judged picture,
    `action [R]` the id, `score [R]` (1 where the file has none), `track [R]` (-1 where it has none).

    `units` is what the file held.
    """

    path: str
    videos: tuple[str, ...]
    video: Ints
    frame: Ints
    boxes: Floats
    action: Ints
    score: Floats
    track: Ints
    units: Units = "pixel"

    def __len__(self) -> int:
        return len(self.video)

    def take(self, rows: Ints | Bools) -> "FrameRows":
        """Some of the rows; all videos stay."""
        return replace(
            self, video=self.video[rows], frame=self.frame[rows], boxes=self.boxes[rows], action=self.action[rows],
            score=self.score[rows], track=self.track[rows],
        )  # fmt: skip


def read_truth(
    path: str | Path, labels: LabelMap, split: str | Path | None = None, picture: tuple[int, int] = PICTURE
) -> tuple[FrameRows, str]:
    """Ground truth, and what chose its videos: the file `split` (a `Class/video` a line), else the pickle's own list of
    test videos, else `testlist01.txt` beside it, else all.

    Raises InputError for a file that cannot be read, and for a list none of whose videos is annotated.
    """
    source = Path(path)
    content = restricted_load(source) if source.suffix.lower() in (".pkl", ".pickle") else None
    if content is not None and not is_annotation(content):
        raise InputError(f"{at(source)}: not an annotation; expected pyannot.pkl, UCF101v2-GT.pkl or JHMDB-GT.pkl")
    if content is not None:
        rows = _of_tubes(source, read_annotation(source, content))
    elif source.is_dir():
        rows = _of_tubes(source, read_label_folder(source))
    else:
        rows = _read_csv(source, labels, "groundtruth", None, picture)
    chosen, origin = _chosen(source, content, split)
    if chosen is None:
        return rows, origin
    number = {name: k for k, name in enumerate(rows.videos)}
    kept = [number[name] for name in chosen if name in number]  # in the list's order, which arrays count by
    if not kept:
        raise InputError(f"{origin}: none of its {len(chosen)} videos is in {path}, which has {rows.videos[0]!r} …")
    code = np.full(len(rows.videos), -1)
    code[kept] = np.arange(len(kept))
    code = code[rows.video]
    videos = tuple(rows.videos[k] for k in kept)
    return replace(rows.take(code >= 0), videos=videos, video=code[code >= 0]), origin


def read_detections(
    path: str | Path,
    labels: LabelMap,
    videos: Sequence[str],
    *,
    units: Units | None = None,
    picture: tuple[int, int] = PICTURE,
) -> FrameRows:
    """Predictions of any of the formats above. `units`: what csv boxes are in; None: told by their size. `picture`:
    width and height that fractions are multiplied with; `videos`: the judged ones, which arrays refer to.

    Raises InputError with file and line for what cannot be read.
    """
    source = Path(path)
    if source.suffix.lower() in (".npy", ".pkl", ".pickle"):
        return _read_array(source, labels, videos)
    return _read_csv(source, labels, "predictions", units, picture)


def _of_tubes(path: Path, tubes: UcfTubes) -> FrameRows:
    return FrameRows(
        path=str(path), videos=tubes.videos, video=tubes.video, frame=tubes.frame, boxes=tubes.boxes,
        action=tubes.label, score=np.ones(len(tubes)), track=np.where(tubes.tube > 0, tubes.tube, -1),
    )  # fmt: skip


def _chosen(path: Path, content: object, split: str | Path | None) -> tuple[list[str] | None, str]:
    beside = path.parent / SPLIT
    has_own = split is None and isinstance(content, dict) and "test_videos" in content
    if own := listed_videos(path, content, "test_videos") if has_own else []:
        return list(dict.fromkeys(own[0])), "test videos of split 1 in the annotation"
    if split is None and (content is None or not beside.is_file()):
        return None, "all annotated videos"
    listed = Path(split or beside)
    if not listed.is_file():
        raise InputError(f"{at(listed)}: no such list of videos; expected a `Class/video` a line")
    names = [line.split()[0] for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
    return list(dict.fromkeys(name.removesuffix(".avi") for name in names)), str(listed)


def _read_csv(
    path: Path, labels: LabelMap, kind: Literal["groundtruth", "predictions"], units: Units | None,
    picture: tuple[int, int],
) -> FrameRows:  # fmt: skip
    columns = read_columns(path)
    if columns is None:
        return _of_ava(read_ava_csv(path, kind, "pixel"), units, picture)
    boxes, told = columns.boxes(units)
    return FrameRows(
        path=str(path),
        videos=columns.videos,
        video=columns.video,
        frame=columns.frames(),
        boxes=_in_pixels(boxes, told, picture),
        action=columns.actions(labels),
        score=columns.scores(required=kind == "predictions"),
        track=columns.tracks(),
        units=told,
    )


def _of_ava(table: AvaTable, units: Units | None, picture: tuple[int, int]) -> FrameRows:
    """AVA's columns with a frame's number, from 1, as the time."""
    time = table.microseconds
    if len(time) and ((time % 1_000_000 != 0) | (time == 0)).any():
        row = int(((time % 1_000_000 != 0) | (time == 0)).argmax())
        raise InputError(f"{table.where(row)}: {time[row] / 1e6:g}; expected the number of a frame, from 1")
    told = units or told_units(table.boxes)
    return FrameRows(
        path=table.path,
        videos=table.videos,
        video=table.video,
        frame=time // 1_000_000 - 1,
        boxes=_in_pixels(table.boxes, told, picture),
        action=table.action,
        score=np.ones(len(table)) if table.score is None else table.score,
        track=np.full(len(table), -1) if table.person is None else table.person,
        units=told,
    )


def told_units(boxes: Floats) -> Units:
    """What boxes are in, by their size."""
    return "unit" if boxes.max(initial=0) <= _LARGEST_UNIT else "pixel"


def _in_pixels(boxes: Floats, units: Units, picture: tuple[int, int]) -> Floats:
    return boxes * np.array([*picture, *picture]) if units == "unit" else boxes


def _read_array(path: Path, labels: LabelMap, videos: Sequence[str]) -> FrameRows:
    try:
        content = np.load(path, allow_pickle=False) if path.suffix.lower() == ".npy" else restricted_load(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{at(path)}: cannot be read as an array ({error})") from error
    if not isinstance(content, np.ndarray) or content.ndim != 2 or content.shape[1] != 8:
        got = f"shape {content.shape}" if isinstance(content, np.ndarray) else type(content).__name__
        raise InputError(
            f"{at(path)}: {got}; expected ACT's frame detections, [N, 8]: video, frame, action, score, box"
        )
    rows = content.astype(np.float64)
    video, frame, column = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64), rows[:, 2].astype(np.int64)
    bad = ~np.isfinite(rows).all(axis=1) | (video < 0) | (video >= len(videos)) | (frame < 1)
    bad |= (column < 0) | (column >= len(labels))
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"{at(path)} row {row}: {rows[row].tolist()}; expected a video of {len(videos)}, a frame from 1, an action "
            f"of {len(labels)}, finite numbers"
        )
    return FrameRows(
        path=str(path), videos=tuple(videos), video=video, frame=frame - 1, boxes=rows[:, 4:],
        action=np.array(labels.ids)[column], score=rows[:, 3], track=np.full(len(rows), -1),
    )  # fmt: skip
