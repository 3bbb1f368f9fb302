"""J-HMDB-21 as ACT published it: JHMDB-GT.pkl with three splits, videos or frames, every frame a keyframe."""

from typing import Literal

from pydantic.dataclasses import dataclass

from relact.config import STRICT
from relact.data.samples import Sample
from relact.data.tubes import TubeData
from relact.errors import InputError
from relact.interop.faults import Faults
from relact.interop.ucf24 import listed_labels, listed_videos, read_annotation
from relact.interop.unpickle import restricted_load
from relact.labels import Label, LabelMap

ANNOTATION = "JHMDB-GT.pkl of ACT (Kalogeiton et al., ICCV 2017)"
VIDEOS = "the videos of J-HMDB, CLASS/VIDEO.avi, from the data set's own page; or ACT's frames with data.frames=Frames"
FRAMES = "CLASS/VIDEO/00001.png …, as ACT published them"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class JHMDBData(TubeData):
    """A folder with JHMDB-GT.pkl, and the videos or frames anywhere below it."""

    source: Literal["jhmdb"] = "jhmdb"
    root: str = "jhmdb"
    annotation: str = "JHMDB-GT.pkl"
    split: Literal[1, 2, 3, "all"] = 1
    """of ACT's three; papers report the first or the mean of all three; all: train and judge on every video there"""

    def label_map(self) -> LabelMap:
        """The 21 actions, as the annotation lists them. Raises InputError where it is not there."""
        names = listed_labels(self.annotation_file, self._content())
        return LabelMap(Label(id=k, name=name) for k, name in enumerate(names, start=1))

    def samples(self, split: Literal["train", "val"], faults: Faults | None = None) -> list[Sample]:
        """Keyframes of the videos of a split that are in the folder. Raises InputError where there is none.

        Faults are those of the annotation's reader and of `keyframes`; they stop or are left out as `skip_bad` says.
        `faults` collects them instead of one of its own.
        """
        faults = Faults(skip=self.skip_bad) if faults is None else faults
        content = self._content()
        tubes = read_annotation(self.annotation_file, content, faults)
        files, chosen = self.files(tubes), self._chosen(content, split)
        files = {code: path for code, path in files.items() if chosen is None or tubes.videos[code] in chosen}
        if not files:
            raise InputError(
                f"{self.root}: no video of the {split} split {self.split} is here; data.split=all takes all"
            )
        return self.keyframes(tubes, files, self.label_map(), faults, test=split == "val")

    def _content(self) -> dict[str, object]:
        self.check_places("J-HMDB-21", ANNOTATION, VIDEOS, FRAMES)
        content = restricted_load(self.annotation_file)
        if not isinstance(content, dict) or not {"gttubes", "labels", "train_videos", "test_videos"} <= content.keys():
            raise InputError(f"{self.annotation_file}: not an annotation of J-HMDB; expected {ANNOTATION}")
        return content

    def _chosen(self, content: dict[str, object], split: str) -> set[str] | None:
        if self.split == "all":
            return None
        lists = listed_videos(self.annotation_file, content, "train_videos" if split == "train" else "test_videos")
        if len(lists) < self.split:
            raise InputError(
                f"{self.annotation_file}: has {len(lists)} splits; data.split={self.split} is not among them"
            )
        return set(lists[self.split - 1])
