"""annotated.mp4: a second pass over the video that draws what the first one found."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from relact.data.decode import FrameStream
from relact.data.encode import VideoWriter
from relact.video.sources import People
from relact.viz.draw import Painter, Sighting, annotate

NOMINAL_RATE = 25.0
"""frames a second where the container announces none"""


def draw_video(source: str | Path, target: Path, sightings: Sequence[Sighting], *, every: float) -> None:
    """The video at its own size and times, H.264, with boxes, ids and actions. `every` = seconds between keyframes."""
    with FrameStream(source) as stream:
        info = stream.info
        with VideoWriter(target, info.width, info.height, info.rate or NOMINAL_RATE) as writer:
            step = float(np.median(np.diff([s.time for s in sightings]))) if len(sightings) > 1 else every
            pictures = annotate(_pictures(stream), sightings, Painter(), max_gap=2.5 * every, hold=0.5 * step)
            for picture, time in pictures:
                writer.write(picture, time)


def _pictures(stream: FrameStream) -> Iterator[tuple[np.ndarray, float]]:
    for frame in stream:
        yield frame.rgb(), frame.time_s


def between(
    seen: Iterable[tuple[float, People]], keyframes: Sequence[Sighting], *, width: int, height: int
) -> list[Sighting]:
    """The keyframes, and between them every instant at which people were followed, `width` x `height` pixels.

    An instant shows the actions of the nearest keyframe; boxes so follow people who do not move in straight lines.
    People that were linked at keyframes only (ids of -1 in between) are drawn from keyframes only.
    """
    times = np.array([keyframe.time for keyframe in keyframes])
    followed = list(keyframes)
    for second, people in seen if len(keyframes) else ():
        if (people.ids < 0).any():
            return list(keyframes)
        near = keyframes[int(np.abs(times - second).argmin())]
        texts = dict(zip(near.ids, near.lines, strict=True))
        ids = tuple(people.ids.tolist())
        boxes = people.boxes.astype(np.float64) * [width, height, width, height]
        if second != near.time:
            lines = tuple(texts.get(person, ()) for person in ids)
            followed.append(Sighting(time=second, ids=ids, boxes=boxes, lines=lines))
    return sorted(followed, key=lambda sight: sight.time)
