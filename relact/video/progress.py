"""How far a pass over a video is, what it costs, and how late its results come."""

import time
from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from relact.data.source import VideoInfo


class Delays:
    """How long after its frames each keyframe was given out; 16 bytes a keyframe."""

    def __init__(self) -> None:
        self._after_frames = array("d")
        self._after_keyframe = array("d")

    def emitted(self, came: float, ready: float) -> None:
        """A keyframe is given out now; `came` and `ready` are when its own and the last frame needed were decoded."""
        now = time.perf_counter()
        self._after_frames.append(now - ready)
        self._after_keyframe.append(now - came)

    @property
    def last_ms(self) -> float:
        """Of the last keyframe, from the arrival of the last frame that it needed."""
        return 1000 * self._after_frames[-1]

    @property
    def last_of_keyframe_ms(self) -> float:
        """Of the last keyframe, from its own arrival."""
        return 1000 * self._after_keyframe[-1]

    def to_json(self, *, live: bool) -> dict[str, Any]:
        """Median, 95th percentile and maximum, milliseconds; from the keyframe itself only of a live source."""
        return {
            "keyframes": len(self._after_frames),
            "after_last_frame_ms": _spread(self._after_frames),
            "after_keyframe_ms": _spread(self._after_keyframe) if live else None,
        }


def _spread(seconds: "array[float]") -> dict[str, float] | None:
    if not seconds:
        return None
    middle, high, most = np.percentile(np.asarray(seconds) * 1000, [50, 95, 100]).round(1).tolist()
    return {"median": middle, "p95": high, "max": most}


@dataclass(slots=True)
class Progress:
    """What a pass has done so far, for the progress line and run.json."""

    info: VideoInfo | None = None
    frames: int = 0
    keyframes: int = 0
    boxes: int = 0
    covered: float = 0.0
    """seconds"""
    warnings: list[str] = field(default_factory=list)
    cut_off: str | None = None
    """what is missing, where the source broke off"""
    resumed: int = 0
    """keyframes that an interrupted run had judged"""
    delays: Delays = field(default_factory=Delays)
    seconds: dict[str, float] = field(default_factory=dict)
    """spent per stage"""

    def spend(self, stage: str, since: float) -> float:
        """Adds the time since `since` to a stage; returns now."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - since
        return now
