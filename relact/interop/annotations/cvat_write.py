"""People, boxes and actions of a video as CVAT's XML 1.1 "for video", to be corrected there and read back.

One label `person` with a checkbox for each action. The label is to exist in the CVAT task before the file is uploaded:
`labels_json` is what the task's raw label editor takes.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import numpy.typing as npt

from relact.interop.files import atomic_path

LABEL = "person"


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoPeople:
    """The people of one video at its keyframes: R rows, each person of each keyframe once."""

    file: str
    """the video's file name"""
    width: int
    height: int
    num_frames: int
    step: float
    """frames from keyframe to keyframe: a person who is not at the next one is gone half way to it"""
    frame: npt.NDArray[np.int64]
    person: npt.NDArray[np.int64]
    boxes_px: npt.NDArray[np.float64]
    actions: tuple[frozenset[str], ...]


def write_cvat(path: Path, people: VideoPeople, actions: Sequence[str]) -> None:
    """Writes the tracks of `people`, with checkboxes for `actions`; appears whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(_lines(people, actions))


def labels_json(actions: Sequence[str]) -> str:
    """The label and its checkboxes, as CVAT's raw label editor takes them."""
    attributes = [
        {"name": name, "mutable": True, "input_type": "checkbox", "default_value": "false", "values": ["false"]}
        for name in actions
    ]
    return json.dumps([{"name": LABEL, "type": "rectangle", "attributes": attributes}], indent=1, ensure_ascii=False)


def _lines(people: VideoPeople, actions: Sequence[str]) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta><task>\n'
    yield f"<name>{escape(Path(people.file).stem)}</name><size>{people.num_frames}</size><mode>interpolation</mode>\n"
    yield f"<start_frame>0</start_frame><stop_frame>{people.num_frames - 1}</stop_frame><frame_filter></frame_filter>\n"
    yield f"<labels><label><name>{LABEL}</name><type>rectangle</type><attributes>\n"
    for name in actions:
        yield (
            f"<attribute><name>{escape(name)}</name><mutable>True</mutable><input_type>checkbox</input_type>"
            "<default_value>false</default_value><values>false</values></attribute>\n"
        )
    yield "</attributes></label></labels>\n"
    yield f"<original_size><width>{people.width}</width><height>{people.height}</height></original_size>\n"
    yield f"<source>{escape(people.file)}</source>\n</task></meta>\n"
    order = np.lexsort((people.frame, people.person))
    changes = np.flatnonzero(np.diff(people.person[order])) + 1
    for number, rows in enumerate(np.split(order, changes) if len(order) else ()):
        yield f'<track id="{number}" label="{LABEL}" source="auto">\n'
        yield from _track(people, rows.tolist(), actions)
        yield "</track>\n"
    yield "</annotations>\n"


def _track(people: VideoPeople, rows: list[int], actions: Sequence[str]) -> Iterator[str]:
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        frame = int(people.frame[row])
        yield _box(people, row, frame, actions, outside=False)
        gone = frame + max(1, round(people.step / 2))
        away = following is None or people.frame[following] - frame > 1.5 * people.step
        if away and gone < people.num_frames:
            yield _box(people, row, gone, actions, outside=True)


def _box(people: VideoPeople, row: int, frame: int, actions: Sequence[str], *, outside: bool) -> str:
    x1, y1, x2, y2 = people.boxes_px[row].tolist()
    done = people.actions[row]
    notes = "".join(
        f"<attribute name={quoteattr(name)}>{'true' if name in done else 'false'}</attribute>" for name in actions
    )
    return (
        f'<box frame="{frame}" keyframe="1" outside="{int(outside)}" occluded="0" xtl="{x1:.2f}" ytl="{y1:.2f}" '
        f'xbr="{x2:.2f}" ybr="{y2:.2f}" z_order="0">{notes}</box>\n'
    )
