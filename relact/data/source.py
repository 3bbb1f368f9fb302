"""Opening what FFmpeg can open, decoding it packet by packet, and turning pictures upright into RGB.

Colours: swscale converts to RGB by the matrix and range that the stream declares, and by BT.601 limited
range where it declares none, whatever its size. That is what the `ffmpeg` program did when the frames of the
public data sets were extracted. Sample aspect ratios are left alone: boxes are in stored pixels.
"""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from relact.data.sampling import Picture, Size
from relact.errors import InputError, at

MAX_BAD_PACKETS = 25
"""So many undecodable packets in a row end the decoding; fewer are skipped."""
TIMEOUT_S = 30.0
"""A server that sends nothing for so long is gone."""
CAMERA = re.compile(r"/dev/video\d+$")
_WEB = ("http", "https")


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """What a source says of itself. `rate` and `announced_s` are claims of the header, not measurements."""

    path: str
    width: int
    """as shown: after rotation"""
    height: int
    rotation: int
    """degrees counterclockwise by which the stored picture is turned to be shown: 0, 90, 180, 270"""
    codec: str
    rate: float | None
    announced_s: float | None
    time_base: Fraction

    @property
    def size(self) -> Size:
        """Width and height as shown."""
        return self.width, self.height

    def resized(self, short_side: int | None) -> Size:
        """Width and height with the short side at `short_side`, the long one rounded down; None: as it is."""
        if short_side is None:
            return self.size
        other = max(self.size) * short_side // min(self.size)
        return (short_side, other) if self.width <= self.height else (other, short_side)


class Source:
    """An opened video: its decoded pictures in the order of display, each once.

    A packet that cannot be decoded is skipped; a run of them, or a source that breaks off, ends the pictures
    and is named in `damage`.
    """

    def __init__(self, path: str | Path, threads: int) -> None:
        self.path = str(path)
        self._threads = threads
        self._open()

    def _open(self) -> None:
        self.damage = ""
        self.container = open_container(self.path)
        self.stream = video_stream(self.container, self.path)
        self.live = is_live(self.path) or (_scheme(self.path) in _WEB and self._announced_s() is None)
        self.stream.thread_type = "SLICE" if self.live else "AUTO"  # threads by frames hold back a frame each
        self.stream.codec_context.thread_count = self._threads

    def close(self) -> None:
        """Releases the file; pictures that were handed out stay usable."""
        self.container.close()

    def pictures(self) -> Iterator[av.VideoFrame]:
        """Decoded pictures from the current position on."""
        bad = 0
        for packet in self.packets():
            try:
                pictures = self.stream.codec_context.decode(packet)
            except av.FFmpegError as error:
                bad += 1
                if bad <= MAX_BAD_PACKETS:
                    continue
                self.damage = reason(error)
                return
            bad = 0
            yield from pictures

    def pictures_from(self, pts: int) -> Iterator[av.VideoFrame]:
        """Pictures from a key frame near `pts` on, normally the last one before it; none if unseekable."""
        try:
            self.container.seek(pts, stream=self.stream)
        except (av.FFmpegError, OSError):
            return
        yield from self.pictures()

    def rewind(self) -> None:
        """Back to the very beginning, by opening the source again: not every container can seek there."""
        self.container.close()
        self._open()

    def packets(self) -> Iterator["av.Packet[VideoStream] | None"]:
        """Packets from the current position on; an empty one or None, which flush the decoder, end them."""
        try:
            yield from self.container.demux(self.stream)  # the last one is empty and flushes the decoder
        except av.FFmpegError as error:
            self.damage = reason(error)
            yield None

    def info(self, first: av.VideoFrame) -> VideoInfo:
        """Facts that need a decoded picture, because only it knows its rotation and true size."""
        turns = quarter_turns(first)
        width, height = (first.height, first.width) if turns % 2 else (first.width, first.height)
        rate = self.stream.average_rate
        return VideoInfo(
            path=self.path,
            width=width,
            height=height,
            rotation=90 * turns,
            codec=self.stream.codec_context.name,
            rate=float(rate) if rate else None,
            announced_s=self._announced_s(),
            time_base=first.time_base or Fraction(1, 90_000),
        )

    def _announced_s(self) -> float | None:
        if self.stream.duration is not None and self.stream.time_base is not None:
            return float(self.stream.duration * self.stream.time_base)
        tagged = self.stream.metadata.get("DURATION", "").split(":")  # Matroska: where the stream ends, h:m:s
        if len(tagged) == 3:
            hours, minutes, seconds = map(float, tagged)
            return 3600 * hours + 60 * minutes + seconds
        if self.container.duration is None or len(self.container.streams) > 1:  # the longest stream's
            return None
        return self.container.duration / av.time_base

    def nominal_step(self) -> float:
        """Seconds between frames by the header: used only until timestamps tell better."""
        claims = (self.stream.guessed_rate, self.stream.average_rate)
        rates = [rate for rate in claims if rate and 1 <= rate <= 240]
        return float(1 / rates[0]) if rates else 1 / 25


class Converter:
    """Turns decoded pictures into RGB arrays of a wanted size, in one pass of swscale, upright."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._reformatters: dict[Size, VideoReformatter] = {}  # each keeps its scaler's tables

    def __call__(self, picture: av.VideoFrame, size: Size) -> Picture:
        """`[height, width, 3]` for `size` = (width, height) as shown."""
        turns = quarter_turns(picture)
        width, height = size[::-1] if turns % 2 else size
        reformatter = self._reformatters.setdefault(size, VideoReformatter())
        rgb = reformatter.reformat(
            picture, width, height, "rgb24", interpolation=Interpolation.BILINEAR, threads=self._threads
        )
        return np.ascontiguousarray(np.rot90(rgb.to_ndarray(), turns))


def is_live(path: str | Path) -> bool:
    """Whether a source comes once, at its own pace: standard input (`-`), a pipe, a camera, an address.

    Of what a web server sends only the header tells; `Source.live` knows.
    """
    scheme = _scheme(str(path))
    if scheme:
        return scheme not in ("file", *_WEB)
    if str(path) == "-":
        return True
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def _scheme(path: str) -> str:
    scheme, colon, _ = path.partition("://")
    return scheme.lower() if colon and scheme.isalnum() else ""


def _opened(path: str) -> InputContainer:
    if path == "-":
        return av.open("pipe:0")
    if _scheme(path):
        options = {"rtsp_transport": "tcp"} if _scheme(path) == "rtsp" else {}
        return av.open(path, options=options, timeout=TIMEOUT_S)
    if CAMERA.match(path) and is_live(path):
        if "v4l2" not in {name for names in av.formats_available for name in names.split(",")}:
            raise InputError(
                f"{at(path)}: this PyAV was built without cameras (v4l2); send it through a pipe: "
                f"ffmpeg -f v4l2 -i {path} -preset ultrafast -tune zerolatency -f mpegts - | relact detect - …"
            )
        return av.open(path, format="v4l2")
    return av.open(path)


def open_container(path: str) -> InputContainer:
    """Opens any source that FFmpeg knows; every refusal is one InputError."""
    try:
        container = _opened(path)
    except av.FileNotFoundError as error:
        raise InputError(f"{at(path)}: no such file") from error
    except av.IsADirectoryError as error:
        raise InputError(f"{at(path)}: is a folder; expected a video file") from error
    except av.InvalidDataError as error:
        if Path(path).is_file() and not Path(path).stat().st_size:
            raise InputError(f"{at(path)}: is empty (0 bytes)") from error
        raise InputError(f"{at(path)}: is not a video, or was cut off or damaged where its header should be") from error
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{at(path)}: cannot be opened ({reason(error)})") from error
    if container.format.name == "tty":  # FFmpeg would play a text file as a terminal's screen
        container.close()
        raise InputError(f"{at(path)}: is a text file; expected a video")
    return container


def video_stream(container: InputContainer, path: str) -> VideoStream:
    """The main video stream; the cover picture of a song is none."""
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if moving:
        best = container.streams.best("video")
        return best if isinstance(best, VideoStream) and best in moving else moving[0]
    audio = [s.codec_context.name for s in container.streams.audio]
    container.close()
    raise InputError(f"{at(path)}: " + (f"contains only audio ({audio[0]})" if audio else "contains no video"))


def quarter_turns(picture: av.VideoFrame) -> int:
    """Counterclockwise quarter turns that set the picture upright: 0 to 3."""
    return round(picture.rotation / 90) % 4


def reason(error: Exception) -> str:
    """FFmpeg's own words, without its numbers and file names."""
    return getattr(error, "strerror", None) or str(error)
