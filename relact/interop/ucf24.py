"""UCF101-24's annotation in its three published forms, each as tubes on frames from 0 in pixels of 320 x 240.

The corrected `pyannot.pkl` counts pixels from 1 in unsigned bytes; `UCF101v2-GT.pkl` and the label text
files count pixels from 0 and frames from 1. All three are the same boxes: x1 = x - 1, x2 = x - 1 + w, frame
= sf + row.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from relact.errors import InputError, at
from relact.interop.faults import Faults
from relact.interop.unpickle import restricted_load

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PICTURE = (320, 240)
"""Width and height of the pictures that the boxes refer to, whatever the video file was re-encoded to."""
PYANNOT_LABELS = 24
"""`pyannot.pkl` lists no names: these are UCF101-24's, 0 to 23."""
_LARGEST = 2**31


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

    def without(self, videos: Collection[int]) -> "UcfTubes":
        """The other videos alone."""
        left = np.array([code not in videos for code in range(len(self.videos))], np.bool_)
        rows = left[self.video]
        return UcfTubes(
            videos=tuple(name for name, kept in zip(self.videos, left.tolist(), strict=True) if kept),
            video=(np.cumsum(left) - 1)[self.video[rows]],
            frame=self.frame[rows],
            boxes=self.boxes[rows],
            tube=self.tube[rows],
            label=self.label[rows],
            num_frames=self.num_frames[left],
        )


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


def read_annotation(path: str | Path, content: object | None = None, faults: Faults | None = None) -> UcfTubes:
    """`pyannot.pkl`, `UCF101v2-GT.pkl` or another pickle of its layout (J-HMDB's, MultiSports'), told apart by their
    content.

    Raises InputError for anything else, and, naming video and tube, for boxes that are not finite or inverted, frames
    before the first, and labels that the file does not list. With `faults` that skip, each broken tube is one, and its
    video is left out whole: whoever is in that tube would else be nobody, and finding them be judged wrong.
    """
    faults = Faults() if faults is None else faults
    content = restricted_load(path) if content is None else content
    if not is_annotation(content):
        raise InputError(f"{at(path)}: not an annotation of UCF101-24; expected pyannot.pkl or UCF101v2-GT.pkl")
    assert isinstance(content, dict)
    act = "gttubes" in content
    what = "ACT's layout (UCF101v2-GT.pkl, JHMDB-GT.pkl)" if act else "UCF101-24 (pyannot.pkl)"
    try:
        entries = list((content["gttubes"] if act else content).items())
        length_of = content["nframes"].get if act else None
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(_broken(path, what, error)) from error
    if not entries:
        raise InputError(f"{at(path)}: has no video; expected an annotation of {what}; fetch it again")
    frames: list[int] = []
    tubes: list[_Tube] = []
    broken: set[int] = set()
    for number, (name, entry) in enumerate(entries):
        try:
            frames.append(_whole(length_of(name, -1) if length_of is not None else entry["numf"]))
            tubes += list((_gt_tubes if act else _pyannot_tubes)(number, name, entry, path))
        except _BROKEN as error:
            faults.add(str(error) if isinstance(error, InputError) else _broken(path, f"{what}: {name}", error))
            frames[number:] = [-1]
            broken.add(number)
    found = _joined(tuple(str(name) for name, _ in entries), frames, tubes)
    labels = _labels_of(path, content) if act else PYANNOT_LABELS
    broken |= _broken_videos(path, found, labels, first=1 if act else 0, faults=faults)
    if len(broken) == len(entries):
        raise InputError(f"{at(path)}: each of its {len(entries)} videos is broken, such as {faults.skipped[0]}")
    return found if not broken else found.without(broken)


_BROKEN = (KeyError, TypeError, AttributeError, IndexError, ValueError, OverflowError)  # InputError is a ValueError


def _broken(path: str | Path, what: str, error: Exception) -> str:
    return f"{at(path)}: broken annotation of {what} ({type(error).__name__}: {error}); fetch it again"


def listed_videos(path: str | Path, content: Any, key: str) -> list[list[str]]:
    """The videos of each split, `train_videos` or `test_videos` of an annotation in ACT's layout.

    Raises InputError where that is not a list of lists of names.
    """
    lists = content.get(key)
    splits: Any = lists if isinstance(lists, (list, tuple)) else [None]
    named = (isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names) for names in splits)
    if not all(named):
        raise InputError(f"{at(path)}: {key} is {_short(lists)}; expected a list of 'Class/video' for each split")
    return [list(names) for names in splits]


def listed_labels(path: str | Path, content: Mapping[Any, Any]) -> list[str]:
    """The names of the actions, `labels` of an annotation in ACT's layout. Raises InputError for anything but a list
    of names.
    """
    names = content.get("labels")
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"{at(path)}: labels is {_short(names)}; expected a list of the actions' names")
    return list(names)


def _labels_of(path: str | Path, content: Mapping[Any, Any]) -> int | None:
    return len(listed_labels(path, content)) if "labels" in content else None


def _pyannot_tubes(number: int, name: Any, entry: Mapping[Any, Any], path: str | Path) -> Iterator[_Tube]:
    for k, tube in enumerate(entry["annotations"], start=1):
        place = f"{at(path)}: {name} tube {k}"
        # bytes: x + w would wrap round at 256
        x, y, w, h = _rows(tube["boxes"], 4, f"{place}: boxes", "x, y, w, h").T
        first, end = _whole(tube["sf"]), _whole(tube["ef"])
        if end - first != len(x):
            raise InputError(f"{place} has {len(x)} boxes for {end - first} frames; expected one box a frame")
        boxes = np.stack([x - 1, y - 1, x - 1 + w, y - 1 + h], axis=1)
        yield _Tube(number, k, _whole(tube["label"]) + 1, np.arange(first, end), boxes)


def _gt_tubes(number: int, name: Any, by_label: Mapping[Any, Any], path: str | Path) -> Iterator[_Tube]:
    k = 0
    for label, tubes in by_label.items():
        for tube in tubes:
            k += 1
            place = f"{at(path)}: {name} tube {k}"
            rows = _rows(tube, 5, place, "frame, x1, y1, x2, y2")
            frame = rows[:, 0]
            wrong = ~((np.abs(frame) < _LARGEST) & (frame == np.floor(frame)))
            if wrong.any():
                row = int(wrong.argmax())
                raise InputError(f"{place} row {row + 1}: frame {frame[row]:g}; expected a whole number, from 1")
            yield _Tube(number, k, _whole(label) + 1, frame.astype(np.int64) - 1, rows[:, 1:])


def _rows(value: object, width: int, place: str, expected: str) -> Floats:
    """Numbers `[R, width]`. Raises InputError for another shape, and for text."""
    try:
        rows = np.asarray(value)
    except ValueError:  # rows of several lengths
        rows = np.asarray(None)
    if rows.size == 0 and rows.dtype.kind in "fiu":
        return np.zeros((0, width))
    if rows.dtype.kind not in "fiu" or rows.ndim != 2 or rows.shape[1] != width:
        got = f"shape {list(rows.shape)}" if rows.dtype.kind in "fiu" else f"no numbers ({_short(value)})"
        raise InputError(f"{place}: {got}; expected numbers [N, {width}]: {expected}")
    return rows.astype(np.float64)


def _whole(value: Any) -> int:
    """Raises ValueError, TypeError or OverflowError for what is not a whole number below 2^31."""
    if isinstance(value, (str, bytes)) or int(value) != value or abs(int(value)) >= _LARGEST:
        raise ValueError(f"{_short(value)} is not a whole number")
    return int(value)


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


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


def _broken_videos(
    path: str | Path, tubes: UcfTubes, num_labels: int | None, first: int, faults: Faults
) -> set[int]:  # fmt: skip
    """Codes of videos with a box that cannot be; a fault a tube, naming its first. `first`: the number that the file
    gives to a video's first frame.
    """
    last_label = _LARGEST if num_labels is None else num_labels
    outside = tubes.frame < 0  # beyond the end is told by `relact data check`: training takes the last frame
    no_label = (tubes.label < 1) | (tubes.label > last_label)
    bad = outside | no_label | _bad_boxes(tubes.boxes)
    if not bad.any():
        return set()

    def say(row: int) -> str:
        place = f"{at(path)}: {tubes.videos[tubes.video[row]]} tube {tubes.tube[row]} frame {tubes.frame[row] + first}"
        if outside[row]:
            return f"{place}: no such frame; expected {first} or more"
        if no_label[row]:
            last = " or more" if num_labels is None else f" to {num_labels - 1}, one of the file's {num_labels} actions"
            return f"{place}: label {tubes.label[row] - 1}; expected 0{last}"
        return f"{place}: {_say_box(tubes.boxes[row])}"

    rows = np.flatnonzero(bad)
    firsts = np.zeros(len(tubes), np.bool_)
    firsts[rows[np.unique(np.stack([tubes.video[rows], tubes.tube[rows]]), axis=1, return_index=True)[1]]] = True
    faults.add_rows(firsts, say)
    return set(tubes.video[rows].tolist())


def _bad_boxes(boxes: Floats) -> npt.NDArray[np.bool_]:
    return np.asarray(~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:] < boxes[:, :2]).any(axis=1), np.bool_)


def _say_box(box: Floats) -> str:
    text = "(" + ", ".join(f"{value:g}" for value in box) + ")"
    fault = "has x2 < x1 or y2 < y1" if np.isfinite(box).all() else "is not four finite numbers"
    return f"box {text} {fault}; expected x1, y1, x2, y2"


def read_label_folder(folder: str | Path, faults: Faults | None = None) -> UcfTubes:
    """`labels/Class/video/00009.txt`, a line `class x1 y1 x2 y2` a box, class and frame from 1.

    `folder` is `labels` itself or the folder of one video. Raises InputError with file and line of a bad row,
    unless `faults` skip these.
    """
    faults = Faults() if faults is None else faults
    root = Path(folder)
    files = sorted(root.rglob("*.txt"))
    if not files:
        raise InputError(f"{at(root)}: no label files; expected Class/video/00001.txt …")
    parents = list(dict.fromkeys(file.parent for file in files))
    number = {parent: k for k, parent in enumerate(parents)}
    frames = [_frame_of(file) for file in files]
    rows = [(k, line, row) for k, file in enumerate(files) for line, row in _label_rows(file, faults)]
    values = np.asarray([row for _, _, row in rows], np.float64).reshape(-1, 5)
    label, boxes = values[:, 0], values[:, 1:]
    no_label = ~((label >= 1) & (label < _LARGEST) & (label == np.floor(label)))
    bad = no_label | _bad_boxes(boxes)

    def say(row: int) -> str:
        wrong = f"class {label[row]:g}; expected a whole number, from 1" if no_label[row] else _say_box(boxes[row])
        return f"{at(files[rows[row][0]], rows[row][1])}: {wrong}"

    faults.add_rows(bad, say)
    good = ~bad
    return UcfTubes(
        videos=tuple("/".join(parent.resolve().parts[-2:]) for parent in parents),
        video=np.asarray([number[files[k].parent] for k, _, _ in rows], np.int64)[good],
        frame=np.asarray([frames[k] for k, _, _ in rows], np.int64)[good],
        boxes=boxes[good],
        tube=np.zeros(int(good.sum()), np.int64),
        label=label[good].astype(np.int64),
        num_frames=np.full(len(parents), -1),
    )


def _frame_of(file: Path) -> int:
    if not file.stem.isdigit() or int(file.stem) < 1:
        raise InputError(f"{at(file)}: expected the frame's number, from 1, as the file's name")
    return int(file.stem) - 1


def _label_rows(file: Path, faults: Faults) -> Iterator[tuple[int, list[float]]]:
    for line, text in enumerate(file.read_text().splitlines(), start=1):
        if not text.strip():
            continue
        try:
            row = [float(word) for word in text.split()]
        except ValueError:
            row = []
        if len(row) != 5:
            faults.add(f"{at(file, line)}: {text!r}; expected 'class x1 y1 x2 y2'")
            continue
        yield line, row
