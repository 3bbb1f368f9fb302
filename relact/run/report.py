"""`report`: the page of a result that detect wrote, and the page that lists the results of a folder."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from relact.errors import InputError
from relact.labels import Label, LabelMap
from relact.run.report_film import find_film, pictures_of, poster_of
from relact.run.report_looks import Asked, looks_of
from relact.run.report_truth import judge
from relact.video.segments import SegmentRow, read_segments
from relact.video.tables import FORMATS, Columns, read_actions
from relact.viz.report import Found, ReportData, SegmentColumns, read_summary, write_index, write_page

PAGE, INDEX, RECORD = "report.html", "index.html", "run.json"


def report(
    result: str | Path,
    *,
    truth: str | Path | None = None,
    video: str | Path | None = None,
    labels: str | Path | LabelMap | None = None,
    embed: bool = False,
    asked: Asked | None = None,
) -> list[Path]:
    """Write `report.html` of a folder that detect wrote, or of each such folder in it and an `index.html`.

    `truth` is an AVA csv, shown beside what was found. `video` is the file, where it is no longer where detect read
    it; `embed` puts it into the page. `labels` tells the kinds of actions where the run folder is gone. `asked` adds
    pictures of where the head looked, of one result. Returns the files to look at, the index last.

    Raises InputError for a folder without results, or where they are not whole.
    """
    folder = Path(result)
    if (folder / RECORD).is_file():
        return [report_one(folder, truth=truth, video=video, labels=labels, embed=embed, asked=asked)]
    folders = sorted(path.parent for path in folder.glob(f"*/{RECORD}"))
    if not folders:
        raise InputError(f"{folder}: expected a folder that relact detect wrote ({RECORD}, actions.*), or one of such")
    if video is not None and len(folders) > 1:
        raise InputError(f"--video {video}: {folder} holds {len(folders)} results; give the folder of one")
    if asked is not None and len(folders) > 1:
        raise InputError(f"--relations: {folder} holds {len(folders)} results; give the folder of one")
    pages = [report_one(one, truth=truth, video=video, labels=labels, embed=embed, asked=asked) for one in folders]
    return [*pages, index(folder)]


def report_one(
    folder: Path,
    *,
    truth: str | Path | None = None,
    video: str | Path | None = None,
    labels: str | Path | LabelMap | None = None,
    embed: bool = False,
    asked: Asked | None = None,
) -> Path:
    """Write the report of one result; its path."""
    write_page(folder / PAGE, _gather(folder, truth=truth, video=video, labels=labels, embed=embed, asked=asked))
    return folder / PAGE


def index(folder: Path) -> Path:
    """Write `index.html`, a card for each report in the folders of `folder`; its path."""
    videos = []
    for page in sorted(folder.glob(f"*/{PAGE}")):
        known = read_summary(page)
        if known is not None:
            videos.append({**known, "href": quote(os.fsencode(page.relative_to(folder)))})
    write_index(folder / INDEX, videos)
    return folder / INDEX


def _gather(
    folder: Path,
    *,
    truth: str | Path | None,
    video: str | Path | None,
    labels: str | Path | LabelMap | None,
    embed: bool,
    asked: Asked | None,
) -> ReportData:
    record = _read_record(folder)
    actions = read_actions(_actions_file(folder))
    segments = read_segments(folder / "segments.csv")
    names = set(actions["video"].tolist()) | {row.video for row in segments}
    title = next(iter(names), Path(record["source"]["file"]).stem or "video")
    every = float(record["protocol"]["keyframe_period"])
    named = dict(zip(actions["action_id"].tolist(), actions["action"].tolist(), strict=True))
    named |= {row.action_id: row.action for row in segments}
    known = LabelMap.load(labels) if labels is not None else _labels_of(folder, record)
    times, found, ids = _found(actions)
    film, path = find_film(folder, record, video=video, embed=embed)
    pictures = {} if path is None else pictures_of(path, times, found)
    poster = None if path is None else poster_of(path, times, found)
    warnings, true, true_ids = tuple(record["warnings"]), None, np.zeros(0, np.int64)
    if truth is not None:
        judged = judge(truth, video=title, times=times, every=every, covered=film.duration, found=found)
        times, found, true, true_ids = judged.times, judged.found, judged.truth, judged.action
        warnings += judged.warnings
    shown = _shown(named, known, set(true_ids.tolist()))
    return ReportData(
        title=title,
        film=film,
        labels=shown,
        times=times,
        every=every,
        found=replace(found, column=_columns(ids, shown)),
        segments=_segment_columns(segments, found.ids, shown),
        truth=None if true is None else replace(true, column=_columns(true_ids, shown)),
        pictures=pictures,
        looks=() if asked is None else looks_of(folder, asked, video),
        poster=poster,
        facts=_facts(record),
        warnings=warnings,
    )


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        for part in ("protocol", "source", "counts", "seconds_covered", "warnings", "versions"):
            record[part]
        return dict(record)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a folder that relact detect wrote") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected the run.json that relact detect writes: {error!r}") from error


def _actions_file(folder: Path) -> Path:
    for suffix in FORMATS:
        if (folder / f"actions{suffix}").is_file():
            return folder / f"actions{suffix}"
    raise InputError(f"{folder}: expected one of {', '.join(f'actions{suffix}' for suffix in FORMATS)}, found none")


def _found(actions: Columns) -> tuple[np.ndarray, Found, np.ndarray]:
    """(`[T]` seconds of the keyframes, the people without columns, `[S]` the action ids of their rows)."""
    order = np.lexsort((-actions["score"], actions["time_s"], actions["person_id"]))
    rows = {name: values[order] for name, values in actions.items() if name not in ("video", "action")}
    times, keyframe = np.unique(rows["time_s"].astype(np.float64), return_inverse=True)
    people, person = np.unique(rows["person_id"].astype(np.int64), return_inverse=True)
    where = np.stack([person.reshape(-1), keyframe.reshape(-1)])
    new = np.ones(len(order), np.bool_)
    new[1:] = (where[:, 1:] != where[:, :-1]).any(axis=0)
    found = Found(
        ids=people,
        person=where[0, new],
        keyframe=where[1, new],
        boxes=np.stack([rows[name][new] for name in ("x1", "y1", "x2", "y2")], axis=1).astype(np.float64),
        box_scores=rows["box_score"][new].astype(np.float64),
        box=np.cumsum(new) - 1,
        column=np.zeros(len(order), np.int64),
        scores=rows["score"].astype(np.float64),
    )
    return times, found, rows["action_id"].astype(np.int64)


def _columns(action: np.ndarray, labels: LabelMap) -> np.ndarray:
    """Action ids → columns of a map that holds them all, ascending."""
    return np.searchsorted(np.array(labels.ids, np.int64), action)


def _segment_columns(rows: list[SegmentRow], ids: np.ndarray, labels: LabelMap) -> SegmentColumns:
    known = np.isin([row.person for row in rows], ids)
    kept = [row for row, here in zip(rows, known.tolist(), strict=True) if here]
    return SegmentColumns(
        person=np.searchsorted(ids, np.array([row.person for row in kept], np.int64)),
        column=_columns(np.array([row.action_id for row in kept], np.int64), labels),
        start=np.array([row.start for row in kept], np.float64),
        end=np.array([row.end for row in kept], np.float64),
        mean=np.array([row.mean for row in kept], np.float64),
        peak=np.array([row.peak for row in kept], np.float64),
        count=np.array([row.count for row in kept], np.int64),
    )


def _labels_of(folder: Path, record: dict[str, Any]) -> LabelMap:
    """The actions of the model, with their groups: beside its weights, or AVA's."""
    weights = record.get("weights") or {}
    beside = Path(str(weights.get("path", ""))).parent / "labels.csv"
    return LabelMap.load(beside) if beside.is_file() else LabelMap.load("ava")


def _shown(named: dict[int, str], known: LabelMap, true: set[int]) -> LabelMap:
    """The actions that the tables or the truth name; a group only where the known map means the same by the id."""
    by_id = {label.id: label for label in known}
    same = all(by_id[action].name == name for action, name in named.items() if action in by_id)
    labels = []
    for action in sorted(named.keys() | true):
        name = named.get(action, by_id[action].name if same and action in by_id else f"action {action}")
        group = by_id[action].group if action in by_id and by_id[action].name == name else "action"
        labels.append(Label(id=action, name=name, group=group))
    return LabelMap(labels)


def _facts(record: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """What the numbers depend on, for the foot of the page; of files the names only, for pages are shared."""
    protocol, source, weights = record["protocol"], record["source"], record.get("weights")
    rate = protocol.get("detection_rate")
    facts = {
        "Video": f"{Path(source['file']).name} ({source['codec']}, {source['width']} × {source['height']})",
        "Model": f"{Path(weights['recipe']).name} (sha256 {weights['sha256'][:12]}…)" if weights else "random weights",
        "People": f"{Path(protocol['box_source']).name}, least score {protocol['box_threshold']:g}"
        + (f", {rate:g} times a second" if rate else ""),
        "Keyframes": f"every {protocol['keyframe_period']:g} s, {record['counts']['keyframes']} of them",
        "Actions": f"{protocol['classes']}, from a score of {protocol['action_threshold']:g}",
        "Computed": f"{record.get('precision', '?')} on {record.get('device', '?')}",
        "Versions": ", ".join(f"{name} {record['versions'].get(name, '?')}" for name in ("relact", "torch", "av")),
    }
    return tuple(facts.items())
