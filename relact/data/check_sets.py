"""Checks a data set of a recipe, in its own layout: what training and tests read of each split, and the annotation.

Each split is read by the data set's own reader, so what is counted is what is learnt from and judged by. The reader
stops at the first fault: that is told, what is left of the split is counted, and the annotation is gone through to the
end, with the checks of a folder of one's own.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from relact.data.ava import AvaData
from relact.data.ava_kinetics import AvaKineticsData
from relact.data.ava_official import INCLUDED, AvaOfficialData
from relact.data.check import Seen, Statistics, check_actions, check_excluded, check_people, index_of, statistics_of
from relact.data.check_rows import Finding, Findings, TruthRows, check_numbers, read_truth
from relact.data.extracted import frame_folder
from relact.data.jhmdb import JHMDBData
from relact.data.samples import Sample
from relact.data.ucf24 import UCF24Data
from relact.errors import InputError
from relact.interop.faults import Faults
from relact.interop.ucf24 import PICTURE, UcfTubes, read_annotation
from relact.interop.unpickle import restricted_load
from relact.labels import LabelMap

DataSet = AvaData | AvaOfficialData | AvaKineticsData | UCF24Data | JHMDBData
Split = Literal["train", "val"]
SPLITS: tuple[Split, Split] = "train", "val"
_FRAME_S = 1 / 30
"""of extracted frames, where the data set counts frames"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitsCheck:
    """What was found; `splits` has those of which something can be read, one for both where they are the same."""

    folder: str
    splits: dict[str, Statistics]
    findings: list[Finding]
    problems: int
    warnings: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def check_splits(data: DataSet, *, decode: bool = False) -> SplitsCheck:
    """Both splits of a data set; `decode` decodes every video to its end.

    Raises InputError where neither split can be read, as `data.samples` does: with the files that are not there.
    """
    found, labels = Findings(), data.label_map()
    read: dict[str, list[Sample]] = {}
    refused: dict[str, InputError] = {}
    for split in SPLITS[:1] if data.judges_training else SPLITS:
        title: str = "train and val" if data.judges_training else split
        try:
            read[title] = data.samples(split)
        except InputError as error:
            refused[title] = error
            with suppress(InputError):  # what is left of it is counted
                read[title] = data.samples(split, Faults(skip=True))
    if not read:
        raise next(iter(refused.values()))
    for title, refusal in refused.items():
        found.add("problem", "splits that training or testing stops at", f"{title}: {refusal}")
    _check_annotation(data, labels, [sample for samples in read.values() for sample in samples], found)
    files: dict[Path, Seen | None] = {}
    splits: dict[str, Statistics] = {}
    for title, samples in read.items():
        rows = _rows_of(samples, f"{data.root} ({title})", labels)
        seen = _look(rows, samples, files, found, decode, data.rate)
        splits[title] = statistics_of(rows, labels, seen)
    trained = splits.get("train", splits.get("train and val"))
    for name in [name for name, count in trained.examples.items() if not count] if trained is not None else ():
        found.add("warning", "classes without a training example", name)
    return SplitsCheck(
        folder=data.root, splits=splits, findings=found.all, problems=found.count("problem"),
        warnings=found.count("warning"),
    )  # fmt: skip


def _check_annotation(data: DataSet, labels: LabelMap, samples: Sequence[Sample], found: Findings) -> None:
    """Everything that is wrong in the annotation files, and the videos that they name and that are not there."""
    if isinstance(data, UCF24Data | JHMDBData):
        path = data.annotation_file
        faults = Faults(skip=True)
        tubes = read_annotation(path, restricted_load(path), faults)
        if faults.count:
            found.add("problem", "broken tubes", *faults.skipped, count=faults.count)
        rows = _rows_of_tubes(tubes, str(path))
        check_numbers(rows, found)
        check_people(rows, found)
        there = data.files(tubes)
        _tell_missing([name for code, name in enumerate(tubes.videos) if code not in there], path, found)
        return
    known = {sample.key.video for sample in samples}
    files: dict[Path, Path | None] = {}
    for split in SPLITS:
        for path, out in data.annotation_files(split):
            files.setdefault(path, out)  # of one file for both splits, what training excludes
    for path, out in files.items():
        if not path.is_file():  # told by the split that cannot be read
            continue
        rows = read_truth(path, found)
        check_actions(rows, labels, data.labels, found)
        check_people(rows, found)
        if isinstance(data, AvaKineticsData) and data.missing == "skip" and path.name.startswith("kinetics"):
            _tell_missing([name for name in rows.videos if name not in known], path, found)
        elif not isinstance(data, AvaData):
            _check_included(rows, out is not None, found)
        if out is not None and out.is_file():
            check_excluded(rows, out, found)


def _check_included(rows: TruthRows, of_ava: bool, found: Findings) -> None:
    second = rows.values[:, 0]
    outside = rows.good & of_ava & ((second < INCLUDED[0]) | (second > INCLUDED[1]))

    def say(row: int) -> str:
        return f"second {second[row]:g}; expected {INCLUDED[0]} to {INCLUDED[1]}"

    rows.mark(outside, "rows of seconds that AVA does not use", found, say, "ignored")


def _tell_missing(names: list[str], path: Path, found: Findings) -> None:
    if names:
        found.add("warning", "videos that are missing, and left out", *(f"{path}: {name}" for name in names))


def _rows_of_tubes(tubes: UcfTubes, path: str) -> TruthRows:
    """The annotated boxes as they are, in fractions of the picture; times are frames from 1."""
    boxes = tubes.boxes / np.array([*PICTURE, *PICTURE])
    values = np.column_stack([tubes.frame + 1, boxes, tubes.label, tubes.tube]).astype(np.float64)
    return _truth_rows(path, tubes.videos, tubes.video, values, np.full(len(tubes), 8))


def _rows_of(samples: Sequence[Sample], path: str, labels: LabelMap) -> TruthRows:
    """A row a person and action, action 0 for a person who does none of them; a row for a keyframe without people.

    Of keyframes with a detector's people to be judged, the annotated ones.
    """
    samples = [sample for sample in samples if sample.listed]
    codes: dict[str, int] = {}
    ids = np.array(labels.ids, np.int64)
    video: list[np.ndarray] = [np.zeros(0, np.int64)]
    values: list[np.ndarray] = [np.zeros((0, 7))]
    columns: list[np.ndarray] = [np.zeros(0, np.int64)]
    for sample in samples:
        truth = sample.truth or sample
        nothing = ~truth.labels.any(axis=1) if len(truth.labels) else np.zeros(0, np.bool_)
        who, action = np.nonzero(truth.labels)
        who = np.concatenate([who, np.flatnonzero(nothing)])
        actions = np.concatenate([ids[action], np.zeros(int(nothing.sum()), np.int64)])
        people = len(who)
        rows = np.column_stack([np.full(people, sample.stamp), truth.boxes[who], actions, truth.person[who]])
        values.append(rows if people else np.array([[sample.stamp, 0, 0, 0, 0, -1, -1]], np.float64))
        columns.append(np.full(max(people, 1), 8 if people else 2))
        video.append(np.full(max(people, 1), codes.setdefault(sample.key.video, len(codes))))
    return _truth_rows(path, tuple(codes), np.concatenate(video), np.concatenate(values), np.concatenate(columns))


def _truth_rows(
    path: str, videos: tuple[str, ...], video: np.ndarray, values: np.ndarray, columns: np.ndarray
) -> TruthRows:
    count = len(values)
    return TruthRows(
        path=path, videos=videos, video=video, values=values, columns=columns, lines=np.zeros(count, np.int64),
        good=np.ones(count, np.bool_), absent=np.zeros(count, np.bool_),
    )  # fmt: skip


def _look(
    rows: TruthRows, samples: Sequence[Sample], files: dict[Path, Seen | None], found: Findings, decode: bool,
    rate: float | None,
) -> dict[str, Seen]:  # fmt: skip
    """What is known of each video; those that cannot be read, and keyframes beyond the end, are told.

    `files`: those that were looked at before. A video in several files (AVA-Kinetics) has their seconds together.
    """
    codes = {name: code for code, name in enumerate(rows.videos)}
    of_video: dict[str, list[Seen]] = {}
    for path, name in dict.fromkeys((sample.path, sample.key.video) for sample in samples if sample.listed):
        if path not in files:
            files[path] = _seen(path, codes[name], rows, found, decode, rate)
        if (seen := files[path]) is not None:
            of_video.setdefault(name, []).append(seen)
    for sample in samples:
        seen = files.get(sample.path)
        if sample.listed and seen is not None:
            _check_end(sample, seen, found)
    return {name: Seen(sum(one.seconds for one in parts), parts[0].size, sum(one.frames for one in parts))
            for name, parts in of_video.items()}  # fmt: skip


def _seen(
    path: Path, code: int, rows: TruthRows, found: Findings, decode: bool, rate: float | None
) -> Seen | None:  # fmt: skip
    if path.is_dir():
        try:
            folder = frame_folder(path)
        except InputError as error:
            found.add("problem", "videos that cannot be read", str(error))
            return None
        frames = len(folder.files)
        return Seen((frames - 1) / rate if rate else (frames - 1) * _FRAME_S, (folder.width, folder.height), frames)
    index = index_of(rows, code, path, found, decode)
    return None if index is None else Seen(float(index.times[-1]), index.info.size, len(index.times))


def _check_end(sample: Sample, seen: Seen, found: Findings) -> None:
    """A frame beyond the end is clamped to the last one: up to a second is a warning, as for seconds."""
    step = seen.seconds / (seen.frames - 1) if seen.frames > 1 else _FRAME_S
    if sample.frame is not None:
        over = (sample.frame - (seen.frames - 1)) * step
        told = f"{sample.key.video}: frame {sample.stamp:g} of {seen.frames}"
    else:
        over = (sample.time or 0.0) - seen.seconds
        told = f"{sample.key.video}: second {sample.stamp:g}, {sample.time or 0.0:.1f} s into {seen.seconds:.1f} s"
    if over > 1:
        found.add("problem", "keyframes beyond the end of their video", f"{sample.path}: {told}")
    elif over > (0.05 if sample.frame is None else 0.5 * step):
        kind = "keyframes a little beyond the end (the last frame stands for them)"
        found.add("warning", kind, f"{sample.path}: {told}")
