"""Reads a whole folder of labels and says what is wrong, where, and what would be ignored; and counts what is there.

The training reader (`AvaData`) stops at the first fault, so that nobody trains on half a set without knowing; with
`skip_bad` it leaves out what it cannot use, and says how much. `check` goes on, and `write_good` writes a ground truth
without the faulty rows, boxes without area and persons with two boxes among them, which training takes as they are.
"""

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from relact.data.check_rows import Bools, Finding, Findings, Floats, Ints, TruthRows, read_truth, write_rows
from relact.data.decode import FrameStream, VideoIndex, video_index
from relact.data.folder import LABELS, TRUTH, VIDEOS, check_complete
from relact.data.places import VIDEO_SUFFIXES
from relact.data.sampling import Size
from relact.errors import InputError, at
from relact.interop.ava_csv import read_excluded
from relact.labels import SHIPPED, LabelMap

_JUMP_S, _JUMP, _FAR = 1.5, 2.0, 0.25
"""Within so many seconds a person who leaves their box and moves by more than two diagonals of the smaller one, and by
a quarter of the picture, may be somebody else."""


class Seen(NamedTuple):
    """What was found of a video's file."""

    seconds: float
    """from the first frame to the last"""
    size: Size
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What is in the set, faulty rows left out; those of missing videos count."""

    videos: int
    seconds: float
    """of video, those with labels"""
    keyframes: int
    empty_keyframes: int
    people: int
    """different ids, by video; people without an id are not counted"""
    boxes: int
    """(person, keyframe)"""
    boxes_without_id: int
    most_people: int
    """in one keyframe"""
    examples: dict[str, int]
    """boxes of each action"""
    together: list[tuple[str, str, int]]
    """pairs of actions that one person does at once, most often first"""
    sizes: dict[str, int]
    """pictures' sizes → videos"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCheck:
    """What was found."""

    folder: str
    statistics: Statistics
    findings: list[Finding]
    problems: int
    warnings: int
    rows: TruthRows
    labels: LabelMap | None
    files: dict[str, Path]
    """of the videos that can be read"""

    def to_json(self) -> dict[str, Any]:
        """Without the rows."""
        return {
            "folder": self.folder,
            "problems": self.problems,
            "warnings": self.warnings,
            "findings": [asdict(finding) for finding in self.findings],
            "statistics": asdict(self.statistics),
        }


def check(
    root: Path,
    *,
    truth: str = TRUTH,
    labels: str = LABELS,
    videos: str = VIDEOS,
    exclude: str | None = None,
    start: float = 0.0,
    decode: bool = False,
    write_good: Path | None = None,
) -> SetCheck:
    """Checks a folder; the arguments mean what they mean to AvaData.

    `decode` decodes every video to its end, which finds damage in the middle. `write_good` is a file to write the good
    rows to. Raises InputError for a folder that cannot be used at all: not there, half written, no ground truth, or no
    good row in it.
    """
    check_complete(root)
    found = Findings()
    rows = read_truth(root / truth, found)
    if not len(rows):
        first = next((example for finding in found.all for example in finding.examples), "it is empty")
        raise InputError(f"{root / truth}: no row in it that can be read ({first})")
    label_map = _labels(root, labels, found)
    files, indices = _videos(root / videos, rows, found, decode)
    check_actions(rows, label_map, labels, found)
    lengths = {name: float(index.times[-1]) for name, index in indices.items()}
    _check_seconds(rows, lengths, start, found)
    check_people(rows, found)
    if exclude is not None:
        check_excluded(rows, root / exclude, found)
    seen = {name: Seen(lengths[name], index.info.size, len(index.times)) for name, index in indices.items()}
    statistics = statistics_of(rows, label_map, seen)
    for name in (name for name, count in statistics.examples.items() if not count):
        found.add("warning", "classes without an example", f"{labels}: {name}")
    if write_good is not None:
        write_rows(rows, root / truth, write_good)
    return SetCheck(
        folder=str(root), statistics=statistics, findings=found.all, problems=found.count("problem"),
        warnings=found.count("warning"), rows=rows, labels=label_map, files=files,
    )  # fmt: skip


def _labels(root: Path, labels: str, found: Findings) -> LabelMap | None:
    path = root / labels
    if path.is_file() and path.suffix == ".csv":
        _check_label_lines(path, found)
    try:
        return LabelMap.load(path if path.is_file() or labels not in SHIPPED else labels)
    except InputError as error:
        found.add(
            "problem", "labels that cannot be read", str(error) if str(path) in str(error) else f"{path}: {error}"
        )
    except UnicodeDecodeError as error:
        found.add("problem", "labels that cannot be read", f"{path}: is not UTF-8 text ({error.reason})")
    return None


def _check_label_lines(path: Path, found: Findings) -> None:
    """Ids and names that come twice, with their lines."""
    ids: dict[str, int] = {}
    names: dict[str, int] = {}
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        for row in reader:
            if len(row) < 2 or not row[0].strip().isdigit():
                continue
            line, name = reader.line_num, row[1].strip()
            if not name:
                found.add("problem", "labels without a name", f"{at(path, line)}: id {row[0]}")
            if (key := str(int(row[0]))) in ids:
                found.add("problem", "label ids that come twice", f"{at(path, line)}: id {key}, as in line {ids[key]}")
            elif name and name.casefold() in names:
                first = names[name.casefold()]
                found.add("warning", "label names that come twice", f"{at(path, line)}: {name!r}, as in line {first}")
            ids.setdefault(key, line)
            names.setdefault(name.casefold(), line)


def _videos(
    folder: Path, rows: TruthRows, found: Findings, decode: bool
) -> tuple[dict[str, Path], dict[str, VideoIndex]]:
    """Files and indices of the videos that can be read; rows of the others are not good."""
    known: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in VIDEO_SUFFIXES:
            if path.stem in known:
                found.add(
                    "warning", "videos of one name", f"{path}: {known[path.stem].name} is there too; it is not read"
                )
            known[path.stem] = path
    if not folder.is_dir():
        found.add("problem", "no folder of videos", f"{folder}: no such folder; put the videos there")
    indices: dict[str, VideoIndex] = {}
    for code, name in enumerate(rows.videos):
        file = known.get(name)
        if file is None:
            _mark_video(rows, code, "missing videos", _missing(name, known, folder), found)
            continue
        index = index_of(rows, code, file, found, decode)
        if index is not None:
            indices[name] = index
    others = [str(known[name]) for name in known if name not in rows.videos]
    if others:
        found.add("ignored", "videos without labels", *others)
    return {name: known[name] for name in indices}, indices


def index_of(rows: TruthRows, code: int, file: Path, found: Findings, decode: bool) -> VideoIndex | None:
    """Of a video that can be read; None, and its rows marked, for another."""
    try:
        index = video_index(file)
        cut = _cut(file, index, decode)
    except InputError as error:
        _mark_video(rows, code, "videos that cannot be read", str(error), found)
        return None
    if cut:
        found.add("problem", "videos that are cut off or damaged", f"{file}: {cut}")
    return index


def _missing(name: str, known: dict[str, Path], folder: Path) -> str:
    stem = Path(name).stem
    hint = f"; it has {known[stem].name}: write the name without the suffix" if stem in known else ""
    return f"{folder}: no video {name!r}{hint}"


def _mark_video(rows: TruthRows, code: int, kind: str, message: str, found: Findings) -> None:
    mine = rows.video == code
    found.add("problem", kind, f"{message} ({int(mine.sum())} rows)")
    rows.absent |= mine


def _cut(path: Path, index: VideoIndex, decode: bool) -> str | None:
    """What is missing of a video, or None."""
    if decode:
        with FrameStream(path, threads=1) as stream:
            for _ in stream:
                pass
            return stream.warning
    announced, last = index.info.announced_s, float(index.times[-1])
    step = float(np.median(np.diff(index.times))) if len(index.times) > 1 else 0.0
    if announced is not None and last + step < announced - max(0.5, 2 * step):
        return f"has frames for {last + step:.1f} s of {announced:.1f} s"
    return None


def check_actions(rows: TruthRows, labels: LabelMap | None, name: str, found: Findings) -> None:
    """Actions that the label map does not have."""
    if labels is None:
        return
    action = rows.values[:, 5]
    unknown = rows.people & ~np.isin(action, labels.ids)
    if labels == LabelMap.load("ava60"):
        of_80 = unknown & np.isin(action, LabelMap.load("ava").ids)
        rows.mark(
            of_80, "actions of AVA's 80 that are not evaluated", found, lambda r: f"action {action[r]:g}", "ignored"
        )
        unknown &= ~of_80
    ids = f"{len(labels)} ids in {min(labels.ids)} to {max(labels.ids)}"
    rows.mark(
        unknown, "unknown actions", found, lambda r: f"action {action[r]:g}; {name} has {ids}", "problem"
    )  # fmt: skip


def _check_seconds(rows: TruthRows, lengths: dict[str, float], start: float, found: Findings) -> None:
    """As the training reader has it: up to a second past the end is clamped, more is refused."""
    length = np.array([lengths.get(name, np.inf) for name in rows.videos])[rows.video]
    second = rows.values[:, 0] - start

    def say(row: int) -> str:
        return (
            f"second {rows.values[row, 0]:g}; {rows.videos[rows.video[row]]} has {start:g} to {start + length[row]:.1f}"
        )

    early = rows.good & (second < 0)
    rows.mark(early, "seconds before the beginning (data.start)", found, say, "problem")
    rows.mark(rows.good & (second > length + 1), "seconds beyond the end", found, say, "problem")
    close = rows.good & (second > length + 0.05) & (second <= length + 1)
    rows.mark(close, "seconds a little beyond the end (the last frame stands for them)", found, say, "warning")


def check_people(rows: TruthRows, found: Findings) -> None:
    """Rows that come twice, ids that come twice in a keyframe, keyframes with and without people, jumps."""
    micro = rows.microseconds
    keys = np.column_stack([rows.video, micro, rows.values[:, 1:7]]).astype(np.float64)
    again = _repeated(keys, rows.good)
    rows.mark(again, "rows that come twice", found, lambda row: "the same as a row before it", "warning")
    named = rows.people & (rows.values[:, 6] >= 0)
    boxes = _first_rows(np.column_stack([rows.video, micro, rows.values[:, [1, 2, 3, 4, 6]]]), rows.people)
    mine = boxes & named
    twice = _repeated(np.column_stack([rows.video, micro, rows.values[:, 6]]), mine)

    def who(row: int) -> str:
        return f"person {rows.values[row, 6]:g} of {rows.videos[rows.video[row]]} at {rows.values[row, 0]:g}"

    rows.mark(twice, "persons with two boxes at one keyframe", found, who, "problem")
    shared = _repeated(np.column_stack([rows.video, micro, rows.values[:, 1:5]]), boxes & rows.good)
    rows.mark(shared, "boxes of two persons at one keyframe", found, who, "warning")
    nobody = rows.good & (rows.columns == 2)
    taken = np.unique(np.column_stack([rows.video, micro])[rows.people], axis=0)
    both = nobody & _among(np.column_stack([rows.video, micro]), taken)
    rows.mark(both, "keyframes with and without people", found, lambda row: "other rows have people then", "warning")
    _check_jumps(rows, mine & rows.good, micro, found, who)


def _check_jumps(rows: TruthRows, mine: Bools, micro: Ints, found: Findings, who: Any) -> None:
    index = np.flatnonzero(mine)
    index = index[np.lexsort((micro[index], rows.values[index, 6], rows.video[index]))]
    if len(index) < 2:
        return
    before, after = index[:-1], index[1:]
    same = (rows.video[before] == rows.video[after]) & (rows.values[before, 6] == rows.values[after, 6])
    near = micro[after] - micro[before] <= _JUMP_S * 1e6
    boxes: Floats = rows.values[:, 1:5]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    diagonal = np.linalg.norm(boxes[:, 2:] - boxes[:, :2], axis=1)
    moved = np.linalg.norm(centre[after] - centre[before], axis=1)
    overlap = np.minimum(boxes[before, 2:], boxes[after, 2:]) > np.maximum(boxes[before, :2], boxes[after, :2])
    far = (moved > _JUMP * np.minimum(diagonal[before], diagonal[after])) & (moved > _FAR)
    jumps = same & near & far & ~overlap.all(axis=1)
    bad = np.zeros(len(rows), np.bool_)
    bad[after[jumps]] = True
    rows.mark(bad, "persons who jump", found, lambda row: f"{who(row)}: far from the keyframe before", "warning")


def check_excluded(rows: TruthRows, path: Path, found: Findings) -> None:
    """Rows of keyframes that the file of excluded timestamps names."""
    excluded = read_excluded(path)
    code = {name: k for k, name in enumerate(rows.videos)}
    keys = [(code.get(excluded.videos[v], -1), m) for v, m in zip(excluded.video, excluded.microseconds, strict=True)]
    out = rows.good & _among(np.column_stack([rows.video, rows.microseconds]), np.array(keys, np.int64).reshape(-1, 2))
    rows.mark(out, "rows of excluded keyframes", found, lambda row: f"second {rows.values[row, 0]:g}", "ignored")


def _first_rows(keys: Floats | Ints, among: Bools) -> Bools:
    """The first of the rows of each key."""
    chosen = np.flatnonzero(among)
    first = np.zeros(len(among), np.bool_)
    if len(chosen):
        first[chosen[np.unique(keys[chosen], axis=0, return_index=True)[1]]] = True
    return first


def _repeated(keys: Floats | Ints, among: Bools) -> Bools:
    """Those of the rows whose key an earlier one has."""
    return among & ~_first_rows(keys, among)


def _among(keys: Ints, wanted: Ints) -> Bools:
    """Whether each key is one of the wanted ones."""
    if not len(wanted):
        return np.zeros(len(keys), np.bool_)
    _, group = np.unique(np.concatenate([keys, wanted]), axis=0, return_inverse=True)
    return np.isin(group.reshape(-1)[: len(keys)], group.reshape(-1)[len(keys) :])


def statistics_of(rows: TruthRows, labels: LabelMap | None, seen: Mapping[str, Seen]) -> Statistics:
    """What the good rows hold; `seen`: what is known of the videos that can be read, by name."""
    micro, people = rows.microseconds, rows.people
    names = {label.id: label.name for label in labels} if labels is not None else {}
    keys = np.column_stack([rows.video, micro, rows.values[:, [1, 2, 3, 4, 6]]])[people]
    boxes, group = np.unique(keys, axis=0, return_inverse=True)
    actions = rows.values[people, 5].astype(np.int64)
    pairs = np.unique(np.column_stack([group.reshape(-1), actions]), axis=0).astype(np.int64)
    ids, counts = np.unique(pairs[:, 1], return_counts=True)
    of_id = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    shown = names or {action: str(action) for action in of_id}
    per_keyframe = np.unique(boxes[:, :2], axis=0, return_counts=True)[1]
    all_keyframes = len(np.unique(np.column_stack([rows.video, micro])[rows.good], axis=0))
    with_id = boxes[boxes[:, 6] >= 0]
    used = {rows.videos[k] for k in np.unique(rows.video[rows.good]).tolist()}
    sizes: dict[str, int] = {}
    for name in used & seen.keys():
        width, height = seen[name].size
        sizes[f"{width}x{height}"] = sizes.get(f"{width}x{height}", 0) + 1
    return Statistics(
        videos=len(used),
        seconds=round(sum(seen[name].seconds for name in used & seen.keys()), 3),
        keyframes=all_keyframes,
        empty_keyframes=all_keyframes - len(per_keyframe),
        people=len(np.unique(with_id[:, [0, 6]], axis=0)),
        boxes=len(boxes),
        boxes_without_id=len(boxes) - len(with_id),
        most_people=int(per_keyframe.max(initial=0)),
        examples={name: of_id.get(action, 0) for action, name in shown.items()},
        together=_together(pairs, len(boxes), shown),
        sizes=dict(sorted(sizes.items(), key=lambda item: -item[1])),
    )


def _together(pairs: Ints, num_boxes: int, names: dict[int, str]) -> list[tuple[str, str, int]]:
    ids = np.array(sorted(names), np.int64)
    hot = np.zeros((num_boxes, len(ids)), np.float32)
    known = np.isin(pairs[:, 1], ids)
    hot[pairs[known, 0], np.searchsorted(ids, pairs[known, 1])] = 1
    counts = np.triu(hot.T @ hot, 1).astype(np.int64)
    first, second = np.nonzero(counts)
    order = np.argsort(-counts[first, second], kind="stable")
    return [
        (names[int(ids[a])], names[int(ids[b])], int(counts[a, b]))
        for a, b in zip(first[order].tolist(), second[order].tolist(), strict=True)
    ]
