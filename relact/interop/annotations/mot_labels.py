"""MOT's text files with who is where, and a csv with who does what from when to when.

MOT: `frame,id,left,top,width,height,conf,…`; frame, left and top count from 1. The video bears the name of the file, or
of the folder above `gt/gt.txt`. Actions: a header `person,action` with `start,end` (seconds) or `start_frame,end_frame`
(from 1, as in MOT), both included, and `video` where several files are read together.
"""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from relact.errors import InputError, at
from relact.interop.annotations.pictures import Pictures
from relact.interop.annotations.tracks import Annotations, Floats, Kind, number
from relact.interop.box_table import bare_name
from relact.interop.faults import Faults

if TYPE_CHECKING:
    import _csv

_EXPECTED = "frame,id,left,top,width,height,conf,…"
_SECONDS, _FRAMES = ("start", "end"), ("start_frame", "end_frame")


class Actions:
    """Who does what from when to when, of one video or of several."""

    def __init__(self, path: Path, faults: Faults) -> None:
        """Raises InputError for a missing file or header, or adds to `faults`, naming the line."""
        self.path = path
        self.by_person: dict[tuple[str, str], list[tuple[float, float, str, str]]] = {}
        """(video or "", person) → first and last instant, action, place"""
        if not path.is_file():
            raise InputError(f"{path}: no such file; expected a csv with the header person,action,start,end")
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                self._read(csv.reader(file), faults)
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path}: is not a csv file ({error}); expected person,action,start,end") from error

    def _read(self, reader: "_csv.Reader", faults: Faults) -> None:
        header = [cell.strip() for cell in next(reader, [])]
        self.in_frames = all(name in header for name in _FRAMES)
        if not {"person", "action"} <= set(header) or not (self.in_frames or set(_SECONDS) <= set(header)):
            raise InputError(
                f"{at(self.path, 1)}: header {','.join(header)!r}; expected person,action,start,end (seconds) or "
                "person,action,start_frame,end_frame"
            )
        times = _FRAMES if self.in_frames else _SECONDS
        for cells in reader:
            where = at(self.path, reader.line_num)
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                faults.add(f"{where}: {len(cells)} columns; expected {len(header)} as in the header")
                continue
            row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
            start, end = (number(row[name], name, where, faults) for name in times)
            if start is None or end is None or not row["action"]:
                if not row["action"]:
                    faults.add(f"{where}: no action; expected its name")
                continue
            if end < start:
                faults.add(f"{where}: {times[1]} {end:g} < {times[0]} {start:g}")
                continue
            base = 1 if self.in_frames else 0
            key = (bare_name(row.get("video", "")), row["person"])
            self.by_person.setdefault(key, []).append((start - base, end - base, row["action"], where))


def read(path: Path, actions: Actions, fps: float | None, faults: Faults) -> Annotations:
    """The boxes of one MOT file, with what each person does then.

    `fps` is the file's frames a second: where they are not the video's, and to join actions told in seconds.
    Raises InputError, or adds to `faults`, naming the line.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected MOT's text file")
    if not actions.in_frames and fps is None:
        raise InputError(f"{actions.path}: actions in seconds, boxes in frames: give --fps, or start_frame,end_frame")
    video = path.parent.parent.name if path.parent.name in ("gt", "det") else path.stem
    frames, people, boxes, lines = _rows(path, faults)
    instants = frames if fps is None else frames / fps
    notes: list[list[tuple[str, str]]] = [[] for _ in range(len(frames))]
    order = np.lexsort((frames, people))
    known = set[str]()
    for rows in np.split(order, np.flatnonzero(np.diff(people[order])) + 1) if len(order) else ():
        who = f"{people[rows[0]]:g}"
        known.add(who)
        clock = frames[rows] if actions.in_frames else instants[rows]
        for name in dict.fromkeys((video, "")):
            for start, end, action, _ in actions.by_person.get((name, who), []):
                first, last = np.searchsorted(clock, start, side="left"), np.searchsorted(clock, end, side="right")
                for k in rows[first:last].tolist():
                    notes[k].append((action, "true"))
    for (name, who), spans in actions.by_person.items():
        if name == video and who not in known:
            faults.add(f"{spans[0][3]}: person {who} has no box in {path}")
    pictures = Pictures("frames" if fps is None else "seconds", faults)
    for k in np.argsort(instants, kind="stable").tolist():
        where = at(path, int(lines[k]))
        if pictures.picture(video, float(instants[k]), None, where):
            pictures.box(
                video, float(instants[k]), boxes[k].tolist(), label="person", who=f"{people[k]:g}",
                notes=dict.fromkeys(notes[k]), where=where,
            )  # fmt: skip
    kinds: dict[str, Kind] = {span[2]: "checkbox" for spans in actions.by_person.values() for span in spans}
    return pictures.annotations(kinds, (), {})


def _rows(path: Path, faults: Faults) -> tuple[Floats, Floats, Floats, Floats]:
    """Frames from 0, ids, boxes as corners in pixels from 0, lines. Ground truth's rows flagged 0 are left out."""
    values: list[list[float]] = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not a text file ({error.reason}); expected {_EXPECTED}") from error
    for line, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        cells = text.strip().rstrip(",").split("," if "," in text else None)
        where = at(path, line)
        if len(cells) < 6:
            cut = "; is the file cut off?" if line == len(lines) else ""
            faults.add(f"{where}: {len(cells)} columns; expected {_EXPECTED}{cut}")
            continue
        found = [number(cell, name, where, faults) for cell, name in zip(cells, _EXPECTED.split(","), strict=False)]
        row = [value for value in found if value is not None]
        if len(row) < len(found):
            continue
        if row[0] < 1 or row[0] != int(row[0]):
            faults.add(f"{where}: frame {row[0]:g}; expected a whole number from 1")
            continue
        if len(cells) >= 9 and row[6] == 0:
            faults.ignore("rows that MOT's ground truth says not to count")
            continue
        left, top = row[2] - 1, row[3] - 1
        values.append([row[0] - 1, row[1], left, top, left + row[4], top + row[5], line])
    table = np.array(values).reshape(-1, 7)
    return table[:, 0], table[:, 1], table[:, 2:6], table[:, 6]
