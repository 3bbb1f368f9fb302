"""UCF101-24: video files with the published tube annotation; keyframes are counted in frames."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from relact.config import STRICT
from relact.data.samples import Sample
from relact.data.tubes import TubeData
from relact.errors import InputError
from relact.interop.faults import Faults
from relact.interop.ucf24 import UcfTubes, listed_videos, read_annotation
from relact.interop.unpickle import restricted_load
from relact.labels import LabelMap

ANNOTATION = "pyannot.pkl of gurkirt/corrected-UCF101-Annots (GitHub), or ACT's UCF101v2-GT.pkl"
VIDEOS = (
    "the videos of UCF101, CLASS/VIDEO.avi, from the data set's own page; or ACT's frames with data.frames=rgb-images"
)
FRAMES = "CLASS/VIDEO/00001.jpg …, as ACT published them (rgb-images)"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class UCF24Data(TubeData):
    """A folder with videos anywhere below it (`v_Basketball_g01_c01.avi`, any container) and the annotation."""

    source: Literal["ucf24"] = "ucf24"
    root: str = "ucf24"
    looked_for: ClassVar[tuple[str, ...]] = (
        "annotations/pyannot.pkl", "annotations/UCF101v2-GT.pkl", "pyannot.pkl", "UCF101v2-GT.pkl"
    )  # fmt: skip
    annotation: str | None = None
    """below root: pyannot.pkl or UCF101v2-GT.pkl; None = the first of the two in `annotations`, then in root itself"""
    test_list: str = "annotations/testlist01.txt"
    """below root: one `Class/video` a line; the other videos are for training. Without it the list in ACT's pickle"""
    split: Literal["official", "all"] = "official"
    """official: by test_list; all: train and judge on every video there (shows that the chain learns, no more)"""

    def label_map(self) -> LabelMap:
        """The 24 actions, in alphabetical order."""
        return LabelMap.load("ucf24")

    def samples(self, split: Literal["train", "val"], faults: Faults | None = None) -> list[Sample]:
        """Keyframes of the videos of a split that are in the folder. Raises InputError where there is none.

        Faults are those of the annotation's reader and of `keyframes`; they stop or are left out as `skip_bad` says.
        `faults` collects them instead of one of its own.
        """
        faults = Faults(skip=self.skip_bad) if faults is None else faults
        self.check_places("UCF101-24", ANNOTATION, VIDEOS, FRAMES)
        annotation = self.annotation_file
        content = restricted_load(annotation)
        tubes = read_annotation(annotation, content, faults)
        files = self._chosen(self.files(tubes), tubes, content, split)
        return self.keyframes(tubes, files, self.label_map(), faults, test=split == "val")

    def _chosen(self, files: dict[int, Path], tubes: UcfTubes, content: object, split: str) -> dict[int, Path]:
        """The files of a split, by the list of test videos, or by the annotation's own."""
        if self.split == "all":
            return files
        root = Path(self.root)
        path = root / self.test_list
        has_own = isinstance(content, dict) and {"gttubes", "test_videos"} <= content.keys()
        own = listed_videos(self.annotation_file, content, "test_videos") if has_own else []
        if path.is_file():
            test = {line.split()[0].removesuffix(".avi") for line in path.read_text().splitlines() if line.strip()}
        elif own:
            test = set(own[0])  # of the first split
        else:
            raise InputError(f"{path}: no such list of test videos; give data.test_list, or data.split=all")
        chosen = {code: file for code, file in files.items() if (tubes.videos[code] in test) == (split == "val")}
        if not chosen:
            raise InputError(
                f"{root}: no video of the {split} split is here; data.split=all takes every video for both"
            )
        return chosen
