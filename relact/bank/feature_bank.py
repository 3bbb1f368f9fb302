"""Feature banks on disk: a folder with a file a video and a manifest that says who made them (docs/architecture.md).

`BankWriter` fills one, and goes on where a crash has stopped it; `FeatureBank` reads a finished one.
"""

import dataclasses
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from relact.bank.rows import Ints, Rows
from relact.bank.video_file import Header, VideoFile, VideoWriter, stem
from relact.bank.window import Candidates, Timeline, assemble, choose, to_view
from relact.errors import InputError
from relact.head import MemorySpec
from relact.interop.files import atomic_path
from relact.types import Keyframe, Memory, View

MANIFEST, FORMAT = "bank.json", 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Producer:
    """Who made the rows."""

    head: str
    """its name, such as `acar`"""
    recipe: str
    """sha256 of the recipe"""
    weights: str
    """sha256 of the weights"""
    data: str = ""
    """sha256 of the keyframes and boxes that it looked at"""

    def __str__(self) -> str:
        data = f", keyframes and boxes {self.data[:12]}" if self.data else ""
        return f"head {self.head}, recipe {self.recipe[:12]}, weights {self.weights[:12]}{data}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All of bank.json."""

    producer: Producer
    dim: int
    grid: tuple[int, int] | None = None
    """(rows, columns) where a row is a map"""
    dtype: str = "float16"
    sealed: bool = False
    videos: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    """video → its file's name, rows, and the crc32 of its header"""

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """InputError where there is none, or one that cannot be read."""
        path = folder / MANIFEST
        try:
            text = path.read_text(encoding="utf-8")
            values = json.loads(text)
            if values.pop("format") != FORMAT:
                raise InputError(f"{path}: a bank of another version of relact; build it again")
            del values["crc32"]
            values["producer"] = Producer(**values["producer"])
            values["grid"] = None if values["grid"] is None else tuple(values["grid"])
            manifest = cls(**values)
            if manifest.text() != text:
                raise InputError(
                    f"{path}: its checksum does not fit: damaged, or changed by hand; build the bank again"
                )
        except InputError:
            raise
        except FileNotFoundError:
            raise InputError(
                f"{folder}: no feature bank there (no {MANIFEST}); make one with: relact bank build"
            ) from None
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}: not a manifest of a feature bank ({error})") from None
        return manifest

    def text(self) -> str:
        """JSON, with the crc32 of everything else in it."""
        values = {"format": FORMAT, **dataclasses.asdict(self)}
        crc = zlib.crc32(json.dumps(values).encode())
        return json.dumps({**values, "crc32": f"{crc:08x}"}, indent=1) + "\n"

    def write(self, folder: Path) -> None:
        """Whole or not at all."""
        with atomic_path(folder / MANIFEST) as temporary:
            temporary.write_text(self.text(), encoding="utf-8")

    def check(self, folder: Path, *, producer: Producer | None, dim: int | None, grid: tuple[int, int] | None) -> None:
        """InputError, which names both, where the reader expects another producer or rows of another shape."""
        if producer is not None and producer != self.producer:
            raise InputError(
                f"{folder}: made by {self.producer}; expected {producer}: build it again, or give the other"
            )
        if dim is not None and (dim, grid) != (self.dim, self.grid):
            raise InputError(
                f"{folder}: rows of {_shape(self.dim, self.grid)}, made by head {self.producer.head}; "
                f"this head reads {_shape(dim, grid)}"
            )


def _shape(dim: int, grid: tuple[int, int] | None) -> str:
    if grid is None:
        return f"{dim} channels"
    return f"{dim // (grid[0] * grid[1])} channels x {grid[0]} x {grid[1]}"


class BankWriter:
    """Fills a bank, video by video and tick by tick. Videos that an earlier run has sealed are left as they are."""

    def __init__(self, folder: Path, *, producer: Producer, dim: int, grid: tuple[int, int] | None = None) -> None:
        """Raises InputError where the folder holds a bank of another producer or shape."""
        self.folder = folder
        if (folder / MANIFEST).is_file():
            self._manifest = Manifest.read(folder)
            self._manifest.check(folder, producer=producer, dim=dim, grid=grid)
            return
        if any(folder.glob("*.journal")):
            raise InputError(f"{folder}: unfinished videos of a bank without its {MANIFEST}; empty the folder")
        self._manifest = Manifest(producer=producer, dim=dim, grid=grid)
        self._manifest.write(folder)

    def done(self, video: str) -> bool:
        """Whether the video is sealed. Raises InputError where its file is another bank's, or another video's."""
        return self._header(video) is not None

    def video(self, video: str) -> VideoWriter:
        """Its writer, behind the last tick of an earlier run. Raises InputError for a sealed one."""
        if self.done(video):
            raise InputError(f"{self._path(video)}: {video} is finished; delete the file to make it again")
        return VideoWriter(self.folder, video, self._manifest.dim)

    def seal(self, writer: VideoWriter) -> None:
        """Ends a video."""
        writer.seal({"producer": self._producer()})

    def finish(self, videos: Sequence[str]) -> None:
        """Writes the manifest of a bank that holds these videos. Raises InputError for one that is not sealed."""
        entries = {}
        for video in sorted(videos):
            path, header = self._path(video), self._header(video)
            if header is None:
                raise InputError(f"{self.folder}: {video} is not finished; run the same relact bank build again")
            entries[video] = {"file": path.name, "rows": header.shape[0], "crc32": header.crc32}
            path.with_name(f"{stem(video)}.journal").unlink(missing_ok=True)  # of a crash right behind the sealing
        dataclasses.replace(self._manifest, sealed=True, videos=entries).write(self.folder)

    def _path(self, video: str) -> Path:
        return self.folder / f"{stem(video)}.safetensors"

    def _producer(self) -> str:
        return json.dumps(dataclasses.asdict(self._manifest.producer))

    def _header(self, video: str) -> Header | None:
        """Of a sealed video; None where it is not sealed."""
        path = self._path(video)
        if not path.is_file():
            return None
        header = Header.read(path)
        found = header.notes["video"], header.notes.get("producer"), header.shape[1]
        if found != (video, self._producer(), self._manifest.dim):
            raise InputError(
                f"{path}: holds {found[0]}, {found[2]} channels, made by {found[1]}; expected {video}, "
                f"{self._manifest.dim} channels, made by {self._producer()}: delete it"
            )
        return header


class FeatureBank:
    """A finished bank: the index of all rows in memory, their features memory-mapped."""

    def __init__(self, folder: Path, manifest: Manifest, files: Sequence[VideoFile]) -> None:
        self.folder = folder
        self.manifest = manifest
        self._code = {file.notes["video"]: code for code, file in enumerate(files)}
        self._rows = rows = [file.rows for file in files]
        counts = np.array([len(file.rows) for file in files], np.int64)
        begins: list[int] = (np.cumsum(counts) - counts).tolist()
        self._sources = [(part.features, begin) for part, begin in zip(rows, begins, strict=True)]
        tick = np.concatenate([np.zeros(0, np.int64), *(part.tick for part in rows)])
        self._track = np.concatenate([np.zeros(0, np.int64), *(part.track for part in rows)])
        self._tag = np.concatenate([np.zeros(0, np.float32), *(part.tag for part in rows)])
        self._times = Timeline(np.repeat(np.arange(len(files)), counts), tick)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        producer: Producer | None = None,
        spec: MemorySpec | None = None,
        verify: bool = True,
    ) -> "FeatureBank":
        """A sealed bank of this producer, fit for a head with this `spec`.

        `verify` reads every byte once and compares checksums; without it only sizes, headers and indices are checked.
        Raises InputError for one that is unfinished, damaged, or made by others, and says what is wrong with what.
        """
        folder = Path(folder)
        manifest = Manifest.read(folder)
        if not manifest.sealed:
            raise InputError(f"{folder}: this bank is not finished; run the same relact bank build again, it goes on")
        manifest.check(
            folder, producer=producer, dim=None if spec is None else spec.dim, grid=None if spec is None else spec.grid
        )
        files = []
        for video, entry in manifest.videos.items():
            path = folder / entry["file"]
            file = VideoFile.open(path, verify=verify, header_crc=entry["crc32"])
            if file.notes["video"] != video:
                raise InputError(f"{path}: holds {file.notes['video']}, expected {video}; build it again")
            files.append(file)
        return cls(folder, manifest, files)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.folder, self.manifest)

    def __len__(self) -> int:
        return len(self._times.tick)

    @property
    def videos(self) -> list[str]:
        """Names, sorted."""
        return list(self._code)

    @property
    def nbytes(self) -> int:
        """Of all features on disk."""
        return sum(rows.features.nbytes for rows in self._rows)

    def window(
        self,
        keys: Sequence[Keyframe],
        spec: MemorySpec,
        *,
        tracks: Sequence[Ints] | None = None,
        views: Sequence[View] | None = None,
    ) -> Memory:
        """The rows within reach of each keyframe, padded and masked; features in half precision.

        `tracks` are the ids of each clip's people, for heads that want those first; `views` say how clips were cut and
        mirrored, for rows that are maps. Raises InputError for a keyframe of a video that the bank does not have, and
        for a `spec` of other rows.
        """
        self.manifest.check(self.folder, producer=None, dim=spec.dim, grid=spec.grid)
        videos = [self._code_of(key.video, key.tick) for key in keys]
        now = np.array([key.tick for key in keys], np.int64)
        row, clip = self._times.within(np.array(videos, np.int64), now, spec)
        candidates = Candidates(
            clip=clip, row=row, dt=self._times.tick[row] - now[clip], track=self._track[row], tag=self._tag[row]
        )

        memory = assemble(choose(candidates, spec, tracks), [self._sources[code] for code in videos], spec)
        return memory if views is None else to_view(memory, spec, views)

    def rows(self, video: str) -> Rows:
        """All rows of a video, as they lie on disk; their features are mapped. Raises InputError for an unknown one."""
        return self._rows[self._code_of(video)]

    def require(self, videos: Sequence[str], what: str) -> None:
        """InputError that names videos which `what` needs and the bank does not have."""
        missing = sorted(set(videos) - set(self._code))
        if missing:
            raise InputError(
                f"{self.folder}: has no rows of {len(missing)} of the {len(set(videos))} videos of {what}, "
                f"such as {missing[0]}; it was built from another set: build one from this"
            )

    def _code_of(self, video: str, tick: int | None = None) -> int:
        if video not in self._code:
            asked = "" if tick is None else f" (asked at tick {tick})"
            raise InputError(f"{self.folder}: has no video {video}{asked}; built from another set?")
        return self._code[video]


def _reopen(folder: Path, manifest: Manifest) -> FeatureBank:
    """In a worker process, which need not read everything again."""
    bank = FeatureBank.open(folder, verify=False)
    if bank.manifest != manifest:
        raise InputError(f"{folder}: this bank has been replaced while it was in use")
    return bank
