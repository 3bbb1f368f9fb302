"""The picture page of a labelled set: its check, and keyframes of each action, drawn."""

from pathlib import Path

import numpy as np

from relact.data.check import SetCheck
from relact.data.decode import read_clip
from relact.labels import LabelMap
from relact.viz.data_page import DataPage, Shown, write_data_page
from relact.viz.draw import Picture, draw, short_names

PER_ACTION = 4
_SHORT_SIDE = 260
_Key = tuple[int, int]


def write_page(path: Path, checked: SetCheck, *, start: float = 0.0, per_action: int = PER_ACTION) -> None:
    """Writes the page; `start` is the annotation's second of a file's first frame."""
    statistics = checked.statistics
    drawn: dict[_Key, Shown] = {}
    labels = checked.labels
    examples: list[tuple[str, int, list[Shown]]] = []
    for k, (name, count) in enumerate(statistics.examples.items()):
        chosen = _chosen(checked, labels[k].id, per_action) if labels is not None else []
        for key in chosen:
            if key not in drawn and labels is not None:
                drawn[key] = _shown(checked, key, labels, start)
        examples.append((name, count, [drawn[key] for key in chosen]))
    sizes = ", ".join(f"{count} of {size}" for size, count in statistics.sizes.items())
    facts = [
        ("videos", f"{statistics.videos} ({sizes})"),
        ("seconds of video", f"{statistics.seconds:.1f}"),
        ("keyframes", f"{statistics.keyframes}, {statistics.empty_keyframes} of them without people"),
        ("people", f"{statistics.people} with an id; at most {statistics.most_people} in a keyframe"),
        ("boxes", f"{statistics.boxes}, {statistics.boxes_without_id} of them without an id"),
        ("problems, warnings", f"{checked.problems}, {checked.warnings}"),
    ]
    findings = [(found.severity, found.kind, found.count, found.examples) for found in checked.findings]
    write_data_page(
        path,
        DataPage(
            title=f"Labels of {Path(checked.folder).resolve().name}", facts=facts, findings=findings,
            examples=examples, together=statistics.together,
        ),
    )  # fmt: skip


def _chosen(checked: SetCheck, action: int, count: int) -> list[_Key]:
    """Keyframes (video, microseconds) with the action, spread evenly over the set, of videos that can be read."""
    rows = checked.rows
    readable = np.array([name in checked.files for name in rows.videos], np.bool_)[rows.video]
    keys = np.column_stack([rows.video, rows.microseconds])[rows.people & readable & (rows.values[:, 5] == action)]
    keys = np.unique(keys, axis=0)
    if not len(keys):
        return []
    take = np.unique(np.linspace(0, len(keys) - 1, min(count, len(keys))).round().astype(np.int64))
    return [(int(keys[k, 0]), int(keys[k, 1])) for k in take.tolist()]


def _shown(checked: SetCheck, key: _Key, labels: LabelMap, start: float) -> Shown:
    """The keyframe with all its people, each with all their actions."""
    rows = checked.rows
    video, micro = key
    mine = np.flatnonzero(rows.people & (rows.video == video) & (rows.microseconds == micro))
    people, group = np.unique(rows.values[mine][:, [1, 2, 3, 4, 6]], axis=0, return_inverse=True)
    names = dict(zip(labels.ids, short_names(labels), strict=True))
    lines: list[list[tuple[str, float]]] = [[] for _ in people]
    for k, action in zip(group.reshape(-1).tolist(), rows.values[mine, 5].tolist(), strict=True):
        if int(action) in names:
            lines[k].append((names[int(action)], 1.0))
    second, name = micro / 1e6, rows.videos[video]
    frame = read_clip(checked.files[name], times=np.array([second - start]), short_side=_SHORT_SIDE)
    picture: Picture = np.ascontiguousarray(frame[:, 0].permute(1, 2, 0).numpy())
    height, width, _ = picture.shape
    ids = [int(person) if person >= 0 else k for k, person in enumerate(people[:, 4].tolist())]
    painted = draw(picture, people[:, :4] * [width, height, width, height], ids, lines)
    return Shown(picture=painted, caption=f"{name}, second {second:g}")
