"""J-HMDB-21 as ACT published it: JHMDB-GT.pkl with three splits, videos or frames, every frame a keyframe."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from relact.config import STRICT
from relact.data.places import check_files
from relact.data.samples import Protocol, Sample
from relact.data.tubes import files_of, tube_keyframes, with_detections
from relact.errors import InputError
from relact.interop.ucf24 import read_annotation
from relact.interop.unpickle import restricted_load
from relact.labels import Label, LabelMap

ANNOTATION = "JHMDB-GT.pkl of ACT (Kalogeiton et al., ICCV 2017)"
VIDEOS = "the videos of J-HMDB, CLASS/VIDEO.avi, from the data set's own page; or ACT's frames with data.frames=Frames"
FRAMES = "CLASS/VIDEO/00001.png …, as ACT published them"
BOXES = "a detector's boxes: csv video,frame,x1,y1,x2,y2,score, frames from 0"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class JHMDBData:
    """A folder with JHMDB-GT.pkl, and the videos or frames anywhere below it."""

    source: Literal["jhmdb"] = "jhmdb"
    root: str = "jhmdb"
    annotation: str = "JHMDB-GT.pkl"
    """below root"""
    split: Literal[1, 2, 3, "all"] = 1
    """of ACT's three; papers report the first or the mean of all three; all: train and judge on every video there"""
    videos: str = "."
    """below root: the videos, anywhere below it"""
    frames: str | None = None
    """below root: extracted frames instead of videos, a folder a video (ACT: Frames)"""
    frame_step: int = Field(default=1, ge=1)
    """take every n-th annotated frame as a keyframe"""
    val_boxes: str | None = None
    """below root: a detector's boxes for tests; None = the annotated ones"""
    val_score: float = Field(default=0.0, ge=0, le=1)
    """least score of such a box"""
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

    @property
    def protocol(self) -> Protocol:
        """ACT's frame-mAP, and video-mAP where every frame is looked at."""
        return Protocol(
            measure="frames", cap=self.cap, tubes=self.frame_step == 1, boxes=self.val_boxes or "annotated"
        )  # fmt: skip

    def label_map(self) -> LabelMap:
        """The 21 actions, as the annotation lists them. Raises InputError where it is not there."""
        content = self._content()
        return LabelMap(Label(id=k, name=str(name)) for k, name in enumerate(content["labels"], start=1))

    def samples(self, split: Literal["train", "val"]) -> list[Sample]:
        """Keyframes of the videos of a split that are in the folder. Raises InputError where there is none."""
        root, content, labels = Path(self.root), self._content(), self.label_map()
        tubes = read_annotation(root / self.annotation, content)
        files = files_of(root / (self.frames or self.videos), tubes, frames=self.frames is not None)
        chosen = self._chosen(content, split)
        files = {code: path for code, path in files.items() if chosen is None or tubes.videos[code] in chosen}
        if not files:
            raise InputError(f"{root}: no video of the {split} split {self.split} is here; data.split=all takes all")
        samples = [
            sample
            for code, path in files.items()
            for sample in tube_keyframes(tubes, code, path, labels, self.frame_step)
        ]
        if split == "val" and self.val_boxes is not None:
            named = {tubes.videos[code]: path for code, path in files.items()}
            samples = with_detections(
                samples, root / self.val_boxes, named, self.val_score, self.frame_step, len(labels)
            )  # fmt: skip
        return samples

    def _content(self) -> dict[str, list[object]]:
        root = Path(self.root)
        wanted = {root / self.annotation: ANNOTATION}
        wanted[root / (self.frames or self.videos)] = FRAMES if self.frames else VIDEOS
        if self.val_boxes is not None:
            wanted[root / self.val_boxes] = BOXES
        check_files("J-HMDB-21", root, wanted, "set data.root, or the settings of data that name them")
        content = restricted_load(root / self.annotation)
        if not isinstance(content, dict) or not {"gttubes", "labels", "train_videos", "test_videos"} <= content.keys():
            raise InputError(f"{root / self.annotation}: not an annotation of J-HMDB; expected {ANNOTATION}")
        return content

    def _chosen(self, content: dict[str, list[object]], split: str) -> set[str] | None:
        if self.split == "all":
            return None
        lists = content["train_videos" if split == "train" else "test_videos"]
        if len(lists) < self.split:
            raise InputError(f"{self.annotation}: has {len(lists)} splits; data.split={self.split} is not among them")
        names = lists[self.split - 1]
        assert isinstance(names, list)
        return {str(name) for name in names}
