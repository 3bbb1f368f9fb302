"""The video of a report: found again, made playable where browsers cannot, and small pictures out of it."""

import io
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import numpy as np
from PIL import Image

from relact.data.decode import FrameStream, probe, read_clip, video_index
from relact.data.encode import VideoWriter
from relact.errors import InputError
from relact.interop.box_match import overlapping
from relact.video.annotate import NOMINAL_RATE
from relact.video.run_record import fingerprint
from relact.viz.report import Film, Found

ANNOTATED, COPY = "annotated.mp4", "video.mp4"
MAX_SHORT_SIDE = 720
"""pixels of a copy made for browsers"""
FACE = (96, 128)
"""width and height of a person's picture, pixels"""
POSTER_WIDTH = 480
MAX_PICTURES = 200
"""People with a picture, those seen the longest: each costs a jump into the video."""

_PLAYED = {"mov": ("h264", "av1", "vp9"), "webm": ("vp8", "vp9", "av1")}
_PLAIN = ("yuv420p", "yuvj420p")


def find_film(
    folder: Path, record: dict[str, Any], *, video: str | Path | None, embed: bool
) -> tuple[Film, Path | None]:
    """How the page reaches the video, and the file of it that pictures may be read from.

    That is `video`, or the one that run.json names, if it is still the same; a copy of it in H.264 where browsers
    cannot play it; else annotated.mp4. Raises InputError for a `video` that cannot be read, or nothing to embed.
    """
    source = record["source"]
    facts = {
        "width": source["width"],
        "height": source["height"],
        "duration": float(record["seconds_covered"]),
        "rate": source["rate"],
    }
    path = _given(video) if video is not None else _found_again(folder, source)
    drawn = path is None and (folder / ANNOTATED).is_file()
    if drawn:
        path = folder / ANNOTATED
    elif path is not None and not browsers_play(path):
        path = _playable_copy(path, folder / COPY)
    if path is None:
        if embed:
            raise InputError(f"{folder}: no video to put into the page: {source['file']} is not there; give --video")
        note = f"The video is not here ({Path(source['file']).name}). Boxes and timeline work without it."
        return Film(src=None, note=note, **facts), None
    address = quote(os.fsencode(os.path.relpath(path, folder)))
    start = _start(path)
    return Film(src=None if embed else address, embed=path if embed else None, drawn=drawn, start=start, **facts), path


def browsers_play(path: Path) -> bool:
    """Whether today's browsers play a file without help: what is in it, and in which container."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        names = container.format.name.split(",")
        kind = "webm" if "webm" in names and path.suffix.lower() == ".webm" else names[0]
        context = stream.codec_context
        return context.codec.canonical_name in _PLAYED.get(kind, ()) and context.pix_fmt in _PLAIN


def pictures_of(path: Path, times: np.ndarray, found: Found) -> dict[int, bytes]:
    """A JPEG of each person where they are large, sure and by themselves; of those seen the longest."""
    if not len(found.person):
        return {}
    width, height = found.boxes[:, 2] - found.boxes[:, 0], found.boxes[:, 3] - found.boxes[:, 1]
    a, b, overlap = overlapping(found.keyframe, found.boxes, found.keyframe, found.boxes, 0.02)
    others = np.bincount(a[a != b], weights=overlap[a != b], minlength=len(width))
    worth = width * height * (0.1 + found.box_scores) / (1 + 4 * others)
    best = np.lexsort((-worth, found.person))
    rows = best[np.searchsorted(found.person[best], np.arange(len(found.ids)))]
    longest = np.argsort(-np.bincount(found.person, minlength=len(found.ids)), kind="stable")[:MAX_PICTURES]
    rows = rows[longest]
    pictures = {}
    for keyframe in np.unique(found.keyframe[rows]).tolist():
        frame = _frame(path, times[keyframe])
        for row in rows[found.keyframe[rows] == keyframe].tolist():
            pictures[int(found.ids[found.person[row]])] = _face(frame, found.boxes[row])
    return pictures


def poster_of(path: Path, times: np.ndarray, found: Found) -> bytes:
    """A JPEG of the video at the keyframe that shows the most people."""
    crowd = np.bincount(found.keyframe, minlength=len(times))
    frame = _frame(path, times[crowd.argmax()] if len(times) else 0.0)
    frame.thumbnail((POSTER_WIDTH, POSTER_WIDTH), Image.Resampling.LANCZOS)
    return _jpeg(frame)


def _frame(path: Path, time: float) -> Image.Image:
    clip = read_clip(path, times=np.array([time]), index=video_index(path))
    return Image.fromarray(clip[:, 0].permute(1, 2, 0).numpy())


def _face(frame: Image.Image, box: np.ndarray) -> bytes:
    """The upper part of a box in the shape of a portrait."""
    x1, y1, x2, y2 = box * [frame.width, frame.height, frame.width, frame.height]
    wide = max((x2 - x1) * 1.1, 8.0)
    high = min(wide * FACE[1] / FACE[0], max(y2 - y1, 8.0) * 1.1)
    middle, top = (x1 + x2) / 2, max(0.0, y1 - 0.04 * (y2 - y1))
    wide = high * FACE[0] / FACE[1]
    left = min(max(0.0, middle - wide / 2), max(0.0, frame.width - wide))
    part = (left, top, min(left + wide, frame.width), min(top + high, frame.height))
    return _jpeg(frame.resize(FACE, Image.Resampling.LANCZOS, box=part))


def _jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=78, optimize=True)
    return file.getvalue()


def _given(video: str | Path) -> Path:
    path = Path(video)
    if not path.is_file():
        raise InputError(f"--video {path}: no such file; expected the video that the result is of")
    probe(path)
    return path


def _found_again(folder: Path, source: dict[str, Any]) -> Path | None:
    """Where detect read it, or beside the result, if it is still the file that detect read."""
    if source["head_sha256"] is None:
        return None
    name = Path(source["file"])
    for path in (name, folder / name.name, folder.parent / name.name):
        if path.is_file() and fingerprint(path) == (source["bytes"], source["head_sha256"]):
            return path
    return None


def _playable_copy(path: Path, copy: Path) -> Path:
    """The video once more in H.264, without sound; one that is younger than the video is taken as it is."""
    if copy.is_file() and copy.stat().st_mtime_ns >= path.stat().st_mtime_ns:
        return copy
    with FrameStream(path) as stream:
        width, height = stream.info.resized(min(MAX_SHORT_SIDE, *stream.info.size))
        with VideoWriter(copy, width, height, stream.info.rate or NOMINAL_RATE) as writer:
            for frame in stream:
                writer.write(frame.rgb((width, height)), frame.time_s)
    return copy


def _start(path: Path) -> float:
    """The first picture's time on a player's clock, which is the container's own: seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.start_time is None or stream.time_base is None:
            return 0.0
        return max(0.0, round(float(stream.start_time * stream.time_base), 6))
