"""run.json: what a run of detect did, with what, on what: enough to repeat it and to compare runs fairly."""

import dataclasses
import hashlib
import json
import platform
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from relact.interop.files import atomic_path, sha256_of

FORMAT = 1
"""Raised when a field changes its meaning."""

_HEAD = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """The choices that change the numbers; times in seconds."""

    keyframe_period: float
    window: int
    """frames of a clip"""
    stride: float
    """frames of the model's rate between two frames of a clip"""
    short_side: int
    """pixels"""
    box_source: str
    """a detector's name, or the box file"""
    box_threshold: float
    action_threshold: float
    classes: int
    """actions that the model scores: 60 or 80 for AVA"""
    detection_rate: float | None = None
    """person detections a second; None with a box file"""
    people_cap: int | None = None
    """most people kept in a keyframe; None: all"""
    frame_rate: float | None = None
    """the rate to which window and stride refer; None: the video's own"""
    memory: tuple[int, int] | None = None
    """keyframes back and ahead that the head's memory holds; None for a head without"""
    causal: bool = False
    """nothing after a keyframe's own clip was used"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A weights file and where its network's layout came from."""

    path: str
    sha256: str
    recipe: str

    @classmethod
    def of(cls, path: Path, recipe: str) -> "Weights":
        """Fingerprint a file of weights; reads all of it."""
        return cls(path=str(path), sha256=sha256_of(path), recipe=recipe)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The video; its size is the upright frame's, `head_sha256` is of the first MiB (cheap on long files)."""

    file: str
    bytes: int | None
    head_sha256: str | None
    """None, like `bytes`, for a stream"""
    duration: float | None
    """seconds, as the container announces"""
    width: int
    height: int
    rate: float | None
    """frames a second, on average"""
    rotation: int
    """degrees by which frames were turned to stand upright"""
    codec: str


def fingerprint(path: Path) -> tuple[int, str]:
    """(size in bytes, sha256 of the first MiB) of a file."""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.sha256(file.read(_HEAD)).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What the outputs hold."""

    frames: int
    keyframes: int
    boxes: int
    people: int
    segments: int


def versions() -> dict[str, str]:
    """Versions of what decides the numbers, without importing any of it."""
    packages = ("relact", "torch", "torchvision", "av", "numpy", "pillow")
    return {name: _version(name) for name in packages} | {
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """All of run.json. `seconds_covered` falls short of `source.duration` where the video broke off."""

    protocol: Protocol
    weights: Weights | None
    """None: random weights"""
    source: Source
    seconds_covered: float
    counts: Counts
    device: str
    precision: str
    timings: dict[str, float]
    """wall seconds by stage"""
    delay: dict[str, Any] = field(default_factory=dict)
    """of the keyframes, from the decoding of the last frame that each needed to its being given out"""
    producer: Weights | None = None
    """the model that wrote the rows of the memory; None: the same"""
    resumed_keyframes: int = 0
    """taken from a run that was interrupted"""
    outputs: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=versions)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as they stand in the file."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    def write(self, path: Path) -> None:
        """Write run.json, whole or not at all. ValueError for a number that is not finite: our mistake."""
        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
        with atomic_path(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
