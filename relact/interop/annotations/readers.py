"""All readers under one function: what annotation tools write, by the tool's name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field
from pydantic.dataclasses import dataclass

from relact.config import STRICT
from relact.errors import InputError
from relact.interop.annotations import coco_video, cvat, label_studio, mot_labels, via
from relact.interop.annotations.pictures import FrameRule
from relact.interop.annotations.tracks import Annotations, joined
from relact.interop.faults import Faults

Tool = Literal["cvat", "via", "coco", "mot", "labelstudio"]
_PATTERNS: dict[str, tuple[str, ...]] = {
    "cvat": ("*.xml", "*.zip"),
    "via": ("*.json", "*.zip"),
    "coco": ("*.json", "*.zip"),
    "mot": ("*/gt/gt.txt", "*.txt"),
    "labelstudio": ("*.json", "*.zip"),
}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReadOptions:
    """What files leave open."""

    first_frame: int = Field(default=0, ge=0)
    """the number of the first frame, where pictures are named by numbers"""
    fps: float | None = Field(default=None, gt=0)
    """frames a second of the annotation, where they are not the video's own"""
    person: str | None = None
    """the attribute that says who (VIA's temporal segments need it at once)"""
    actions: str | None = None
    """MOT: the csv with who does what"""


def read_annotations(tool: Tool, inputs: Sequence[Path], options: ReadOptions, faults: Faults) -> Annotations:
    """The annotation of one or several files, or of all files of the tool's kind in a folder.

    Raises InputError for what cannot be read at all; adds to `faults` what can be left out.
    """
    if tool == "mot" and options.actions is None:
        raise InputError("mot: the boxes do not say what people do; give --actions with a csv person,action,start,end")
    if tool != "mot" and options.actions is not None:
        raise InputError(f"--actions is for mot; {tool} files say what people do")
    files = [file for path in inputs for file in _files(path, tool)]
    rule = FrameRule(first=options.first_frame, fps=options.fps)
    actions = mot_labels.Actions(Path(options.actions), faults) if options.actions is not None else None
    parts: list[Annotations] = []
    for file in files:
        if tool == "cvat":
            parts.append(cvat.read(file, rule, faults))
        elif tool == "via":
            parts.append(via.read(file, rule, faults, options.person))
        elif tool == "coco":
            parts.append(coco_video.read(file, rule, faults))
        elif tool == "labelstudio":
            parts.append(label_studio.read(file, options.fps, faults))
        else:
            assert actions is not None
            parts.append(mot_labels.read(file, actions, options.fps, faults))
    return joined(parts)


def _files(path: Path, tool: Tool) -> list[Path]:
    assert tool in get_args(Tool)
    if not path.is_dir():
        return [path]
    found = next((files for pattern in _PATTERNS[tool] if (files := sorted(path.glob(pattern)))), [])
    if not found:
        raise InputError(f"{path}: expected {' or '.join(_PATTERNS[tool])} in this folder")
    return found
