"""Keyframes as lines of JSON, written the moment that they are known: what another program reads from a live stream."""

import json
from typing import IO

import numpy as np

from relact.labels import LabelMap
from relact.types import Detections
from relact.video.progress import Delays
from relact.video.tables import people_json


class LiveLines:
    """One line a keyframe: `{video, time_s, frame, delay_ms, people: [{person_id, box, …, actions: […]}]}`.

    Only actions of a score of `threshold` or more, best first; a person without any stays. `delay_ms` is from the
    decoding of the last frame that the keyframe needed, `delay_of_keyframe_ms` (live sources) from that of its own.
    """

    def __init__(self, file: IO[str], labels: LabelMap, delays: Delays, *, threshold: float, live: bool) -> None:
        self._file, self._labels, self._delays = file, labels, delays
        self._threshold, self._live = threshold, live

    def write(self, detections: Detections) -> None:
        """Write and flush one keyframe."""
        person, action = np.nonzero(detections.scores >= self._threshold)
        order = np.lexsort((-detections.scores[person, action], person))
        line = {
            "video": detections.key.video,
            "time_s": round(detections.time, 6),
            "frame": detections.frame,
            "delay_ms": round(self._delays.last_ms, 1),
            "delay_of_keyframe_ms": round(self._delays.last_of_keyframe_ms, 1) if self._live else None,
            "people": people_json(detections, self._labels, person[order], action[order]),
        }
        print(json.dumps(line, ensure_ascii=False), file=self._file, flush=True)
