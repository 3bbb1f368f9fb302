"""Labels of other tools into our folder, and ours out to CVAT."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from relact.data.ava import AvaData
from relact.data.convert import Keyframing, Rows, sample
from relact.data.decode import video_index
from relact.data.folder import LABELS, TRUTH, check_complete, write_folder
from relact.data.sampling import nearest
from relact.errors import InputError
from relact.interop.annotations.cvat_write import VideoPeople, labels_json, write_cvat
from relact.interop.annotations.naming import Naming
from relact.interop.annotations.readers import ReadOptions, Tool, read_annotations
from relact.interop.faults import Faults
from relact.interop.files import atomic_path
from relact.labels import LabelMap
from relact.video.tables import read_actions


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What became of an annotation."""

    folder: str
    videos: int
    keyframes: int
    """with people or without"""
    empty: int
    """of them without"""
    people: int
    """different ones; those without an id count once a keyframe"""
    rows: int
    """(person, keyframe)"""
    examples: dict[str, int]
    """of each action"""
    skipped: int
    skipped_first: tuple[str, ...]
    ignored: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def convert(
    tool: Tool,
    inputs: Sequence[Path],
    videos: Path,
    out: Path,
    *,
    options: ReadOptions | None = None,
    naming: Naming | None = None,
    keyframing: Keyframing | None = None,
    labels: str | None = None,
    copy: bool = False,
    overwrite: bool = False,
    skip_bad: bool = False,
) -> Conversion:
    """Reads `inputs`, samples them at keyframes and writes `out` (videos/, groundtruth.csv, labels.csv).

    `labels` (a file, or a shipped map's name) fixes the ids of the actions. Raises InputError at the first fault,
    unless `skip_bad` leaves faulty parts out and counts them; and where nobody does anything.
    """
    faults = Faults(skip=skip_bad)
    label_map = None if labels is None else LabelMap.load(labels)
    found = read_annotations(tool, inputs, options or ReadOptions(), faults)
    rows = sample(found, videos, naming=naming, keyframing=keyframing, labels=label_map)
    if not len(rows.video):
        reasons = [f"{count} {what}" for what, count in faults.ignored.items()] + faults.skipped[:3]
        raise InputError(
            f"{inputs[0]}: nobody does anything in it at any keyframe"
            + (f" (left out: {'; '.join(reasons)})" if reasons else "")
            + "; expected boxes with actions (docs/tutorials/own-data.md says where they are looked for)"
        )
    write_folder(rows, out, copy=copy, overwrite=overwrite)
    return _conversion(rows, out, faults)


def _conversion(rows: Rows, out: Path, faults: Faults) -> Conversion:
    keyframes = set(zip(rows.video, rows.second.tolist(), strict=True))
    known = {(video, person) for video, person in zip(rows.video, rows.person.tolist(), strict=True) if person >= 0}
    examples = {label.name: 0 for label in rows.labels}
    name = {label.id: label.name for label in rows.labels}
    for actions in rows.actions:
        for action in actions:
            examples[name[rows.ids[action]]] += 1
    return Conversion(
        folder=str(out), videos=len(rows.files), keyframes=len(keyframes) + len(rows.empty), empty=len(rows.empty),
        people=len(known) + int((rows.person < 0).sum()), rows=len(rows.video), examples=examples,
        skipped=faults.count, skipped_first=tuple(faults.skipped), ignored=dict(faults.ignored),
    )  # fmt: skip


def export_cvat(source: Path, out: Path, *, labels: str | None = None, threshold: float = 0.5) -> list[Path]:
    """The people of a folder that `relact detect` wrote, or of a folder of labels, as CVAT's XML; the files written.

    `out` is a file for one video, a folder for several. Actions of a score from `threshold` on are ticked. `labels`
    gives the checkboxes; without it they are the actions that occur (detect) or the folder's own (labels). Beside the
    files lies `cvat_labels.json`, for CVAT's raw label editor. Raises InputError for a folder that is neither.
    """
    folders = [source] if (source / "run.json").is_file() else sorted(p.parent for p in source.glob("*/run.json"))
    if folders:
        videos = [_detected(folder, threshold) for folder in folders]
        used = {action for video in videos for actions in video.actions for action in actions}
        names = list(LabelMap.load(labels).names) if labels is not None else sorted(used)
        missing = sorted(used - set(names))
        if missing:
            raise InputError(f"{labels}: lacks {len(missing)} actions of {source}, such as {', '.join(missing[:5])}")
    elif (source / TRUTH).is_file():
        check_complete(source)
        data = AvaData(root=str(source), labels=labels or LABELS)
        names, videos = list(data.label_map().names), _labelled(data)
    else:
        raise InputError(f"{source}: expected a folder that relact detect wrote (run.json), or one with {TRUTH}")
    if out.suffix == ".xml" and len(videos) == 1:
        targets = [out]
    elif out.suffix == ".xml":
        raise InputError(f"{out}: {len(videos)} videos; give a folder for their XML files")
    else:
        targets = [out / f"{Path(video.file).stem}.xml" for video in videos]
    for target, video in zip(targets, videos, strict=True):
        write_cvat(target, video, names)
    with atomic_path(targets[0].parent / "cvat_labels.json") as temporary:
        temporary.write_text(labels_json(names) + "\n", encoding="utf-8")
    return targets


def _detected(folder: Path, threshold: float) -> VideoPeople:
    tables = [folder / name for name in ("actions.csv", "actions.parquet", "actions.json")]
    path = next((table for table in tables if table.is_file()), tables[0])
    columns = read_actions(path)
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        source, frames = record["source"], int(record["counts"]["frames"])
        width, height, covered = int(source["width"]), int(source["height"]), float(record["seconds_covered"])
        every, file = float(record["protocol"]["keyframe_period"]), Path(str(source["file"])).name
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / 'run.json'}: expected the record that relact detect writes: {error!r}") from error
    keys = np.stack([columns["frame"], columns["person_id"]], axis=1)
    rows, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    actions: list[set[str]] = [set() for _ in rows]
    done = columns["score"] >= threshold
    for k, name in zip(group.reshape(-1)[done].tolist(), columns["action"][done].tolist(), strict=True):
        actions[k].add(name)
    corners = [columns[name][first] for name in ("x1", "y1", "x2", "y2")]
    return VideoPeople(
        file=file, width=width, height=height, num_frames=frames, step=every * frames / max(covered, 1e-9),
        frame=rows[:, 0].astype(np.int64), person=rows[:, 1].astype(np.int64),
        boxes_px=np.stack(corners, axis=1) * [width, height, width, height], actions=tuple(map(frozenset, actions)),
    )  # fmt: skip


def _labelled(data: AvaData) -> list[VideoPeople]:
    names = np.array(data.label_map().names, dtype=object)
    of_video: dict[Path, list[Any]] = {}
    for sample_ in data.samples("val"):
        of_video.setdefault(sample_.path, []).append(sample_)
    videos = []
    for path, samples in of_video.items():
        index = video_index(path)
        width, height = index.info.size
        seconds = np.array([sample_.time for sample_ in samples])
        frames = nearest(index.times, seconds)
        counts = [len(sample_.boxes) for sample_ in samples]
        steps = np.diff(np.unique(frames))
        boxes = np.concatenate([sample_.boxes for sample_ in samples]).astype(np.float64)
        person = np.concatenate([sample_.person for sample_ in samples])
        alone = np.cumsum(person < 0) + max(int(person.max(initial=0)), 0)  # nobody knows: a track each
        hot = np.concatenate([sample_.labels for sample_ in samples]) > 0
        videos.append(
            VideoPeople(
                file=path.name, width=width, height=height, num_frames=len(index.times),
                step=float(np.median(steps)) if len(steps) else float(len(index.times)),
                frame=np.repeat(frames, counts), person=np.where(person < 0, alone, person),
                boxes_px=boxes * [width, height, width, height],
                actions=tuple(frozenset(names[row].tolist()) for row in hot),
            )
        )  # fmt: skip
    return videos
