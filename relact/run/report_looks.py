"""The pictures of relations that a report shows: which were asked for, and how they are made small."""

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from relact.viz.report import Look

QUALITY = 88
"""of a JPEG: letters stay clean, and a picture takes a fifth of its PNG"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a report is to show of relations."""

    seconds: tuple[float, ...]
    person: int | None = None
    """None = everyone who is there"""
    weights: str | None = None
    """None = those that the result was made with"""


def looks_of(folder: Path, asked: Asked, video: str | Path | None = None) -> tuple[Look, ...]:
    """A picture for each second and person, in order of time; `video` is the film, where it has moved.

    Raises InputError for a second or a person that is not there, and for a head that leaves nothing to draw.
    """
    from relact.run.look import open_looker  # torch: only where pictures are asked for

    looker = open_looker(folder if video is None else video, weights=asked.weights, boxes=video and folder)
    found = []
    for second in sorted(set(asked.seconds)):
        moment, there = looker.keyframe(second)
        people: list[int | None] = [*there] if asked.person is None else [asked.person]
        for person in people or [None]:  # nobody: `picture` says when somebody is there
            picture = looker.picture(second, person)
            found.append(Look(time=moment, person=picture.person, title=picture.title, picture=_jpeg(picture.png())))
    return tuple(found)


def _jpeg(png: bytes) -> bytes:
    """The same picture, smaller."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(out, "JPEG", quality=QUALITY, optimize=True)
    return out.getvalue()
