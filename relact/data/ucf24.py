"""UCF101-24: video files with the published tube annotation; keyframes are counted in frames."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from relact.config import STRICT
from relact.data.places import check_files
from relact.data.samples import Protocol, Sample
from relact.data.tubes import files_of, tube_keyframes, with_detections
from relact.errors import InputError
from relact.interop.ucf24 import UcfTubes, read_annotation
from relact.interop.unpickle import restricted_load
from relact.labels import LabelMap

ANNOTATION = "pyannot.pkl of gurkirt/corrected-UCF101-Annots (GitHub), or ACT's UCF101v2-GT.pkl"
VIDEOS = (
    "the videos of UCF101, CLASS/VIDEO.avi, from the data set's own page; or ACT's frames with data.frames=rgb-images"
)
FRAMES = "CLASS/VIDEO/00001.jpg …, as ACT published them (rgb-images)"
BOXES = "a detector's boxes: csv video,frame,x1,y1,x2,y2,score, frames from 0"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class UCF24Data:
    """A folder with videos anywhere below it (`v_Basketball_g01_c01.avi`, any container) and the annotation."""

    source: Literal["ucf24"] = "ucf24"
    root: str = "ucf24"
    annotation: str = "annotations/pyannot.pkl"
    """below root: pyannot.pkl or UCF101v2-GT.pkl"""
    test_list: str = "annotations/testlist01.txt"
    """below root: one `Class/video` a line; the other videos are for training. Without it the list in ACT's pickle"""
    split: Literal["official", "all"] = "official"
    """official: by test_list; all: train and judge on every video there (shows that the chain learns, no more)"""
    videos: str = "."
    """below root: the videos, anywhere below it"""
    frames: str | None = None
    """below root: extracted frames instead of videos, a folder a video (ACT: rgb-images)"""
    frame_step: int = Field(default=1, ge=1)
    """take every n-th annotated frame as a keyframe"""
    val_boxes: str | None = None
    """below root: a detector's boxes for tests (ACAR-Net, MRSN: those of YOWO); None = the annotated ones"""
    val_score: float = Field(default=0.0, ge=0, le=1)
    """least score of such a box (ACAR-Net: all)"""
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

    @property
    def protocol(self) -> Protocol:
        """ACT's frame-mAP, and video-mAP where every frame is looked at."""
        return Protocol(
            measure="frames", cap=self.cap, tubes=self.frame_step == 1, boxes=self.val_boxes or "annotated"
        )  # fmt: skip

    def samples(self, split: Literal["train", "val"]) -> list[Sample]:
        """Keyframes of the videos of a split that are in the folder. Raises InputError where there is none."""
        root, labels = Path(self.root), self.label_map()
        self._check()
        content = restricted_load(root / self.annotation)
        tubes = read_annotation(root / self.annotation, content)
        files = files_of(root / (self.frames or self.videos), tubes, frames=self.frames is not None)
        files = self._chosen(files, tubes, content, split)
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

    def _check(self) -> None:
        root = Path(self.root)
        wanted = {root / self.annotation: ANNOTATION}
        wanted[root / (self.frames or self.videos)] = FRAMES if self.frames else VIDEOS
        if self.val_boxes is not None:
            wanted[root / self.val_boxes] = BOXES
        check_files("UCF101-24", root, wanted, "set data.root, or the settings of data that name them")

    def _chosen(self, files: dict[int, Path], tubes: UcfTubes, content: object, split: str) -> dict[int, Path]:
        """The files of a split, by the list of test videos, or by the annotation's own."""
        if self.split == "all":
            return files
        root = Path(self.root)
        path = root / self.test_list
        own = content.get("test_videos") if isinstance(content, dict) and "gttubes" in content else None
        if path.is_file():
            test = {line.split()[0].removesuffix(".avi") for line in path.read_text().splitlines() if line.strip()}
        elif own:
            test = {str(name) for name in own[0]}  # of the first split
        else:
            raise InputError(f"{path}: no such list of test videos; give data.test_list, or data.split=all")
        chosen = {code: file for code, file in files.items() if (tubes.videos[code] in test) == (split == "val")}
        if not chosen:
            raise InputError(
                f"{root}: no video of the {split} split is here; data.split=all takes every video for both"
            )
        return chosen
