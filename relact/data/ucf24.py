"""UCF101-24: video files with the published tube annotation; keyframes are counted in frames."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from relact.config import STRICT
from relact.data.ava import VIDEO_SUFFIXES
from relact.data.samples import Sample, people_of_keyframe
from relact.errors import InputError
from relact.interop.ucf24 import PICTURE, UcfTubes, read_annotation
from relact.labels import LabelMap
from relact.types import Keyframe


@dataclass(frozen=True, kw_only=True, config=STRICT)
class UCF24Data:
    """A folder with videos anywhere below it (`v_Basketball_g01_c01.avi`, any container) and the annotation."""

    source: Literal["ucf24"] = "ucf24"
    root: str = "ucf24"
    annotation: str = "annotations/pyannot.pkl"
    """below root: pyannot.pkl or UCF101v2-GT.pkl"""
    test_list: str = "annotations/testlist01.txt"
    """below root: one `Class/video` a line; the other videos are for training"""
    split: Literal["official", "all"] = "official"
    """official: by test_list; all: train and judge on every video there (shows that the chain learns, no more)"""
    frame_step: int = Field(default=1, ge=1)
    """take every n-th annotated frame as a keyframe"""
    cap: int = Field(default=0, ge=0)
    """best rows a keyframe that the metric counts; 0 = all, as in this data set's protocol"""

    @property
    def rate(self) -> None:
        """Windows are laid out in the video's own frames."""
        return None

    @property
    def judges_training(self) -> bool:
        """Whether validation sees the training clips: then its result says nothing about others."""
        return self.split == "all"

    def label_map(self) -> LabelMap:
        """The 24 actions, in alphabetical order."""
        return LabelMap.load("ucf24")

    def samples(self, split: Literal["train", "val"]) -> list[Sample]:
        """Keyframes of the videos of a split that are in the folder. Raises InputError where there is none."""
        root = Path(self.root)
        tubes = read_annotation(root / self.annotation)
        files = self._files(root, tubes, split)
        return [sample for code, path in files.items() for sample in self._keyframes(tubes, code, path)]

    def _files(self, root: Path, tubes: UcfTubes, split: str) -> dict[int, Path]:
        """Index of the video in the annotation → its file."""
        found = {path.stem: path for path in sorted(root.rglob("*")) if path.suffix.lower() in VIDEO_SUFFIXES}
        files = {
            code: found[name.split("/")[-1]] for code, name in enumerate(tubes.videos) if name.split("/")[-1] in found
        }
        if not files:
            raise InputError(
                f"{root}: none of the {len(tubes.videos)} annotated videos is below it, such as {tubes.videos[0]}.avi"
            )
        if self.split == "all":
            return files
        test = self._test_videos(root / self.test_list)
        chosen = {code: path for code, path in files.items() if (tubes.videos[code] in test) == (split == "val")}
        if not chosen:
            raise InputError(
                f"{root}: no video of the {split} split is here; data.split=all takes every video for both"
            )
        return chosen

    def _test_videos(self, path: Path) -> set[str]:
        if not path.is_file():
            raise InputError(f"{path}: no such list of test videos; give data.test_list, or data.split=all")
        return {line.split()[0].removesuffix(".avi") for line in path.read_text().splitlines() if line.strip()}

    def _keyframes(self, tubes: UcfTubes, code: int, path: Path) -> Iterator[Sample]:
        rows = np.flatnonzero(tubes.video == code)
        rows = rows[np.argsort(tubes.frame[rows], kind="stable")]
        boxes = (tubes.boxes[rows] / np.array([*PICTURE, *PICTURE])).clip(0, 1)
        frames, starts = np.unique(tubes.frame[rows], return_index=True)
        num_classes = len(self.label_map())
        for frame, part in list(zip(frames.tolist(), np.split(np.arange(len(rows)), starts[1:]), strict=True))[
            :: self.frame_step
        ]:
            people = people_of_keyframe(boxes[part], tubes.label[rows[part]] - 1, tubes.tube[rows[part]], num_classes)
            yield Sample(
                key=Keyframe(tubes.videos[code], frame + 1),  # this data set counts frames from 1
                stamp=frame + 1.0,
                path=path,
                boxes=people[0],
                labels=people[1],
                person=people[2],
                frame=frame,
            )
