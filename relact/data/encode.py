"""Video that plays everywhere: H.264 in MP4, written through PyAV."""

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Colorspace, ColorRange
from av.video.stream import VideoStream

from relact.errors import InputError, at
from relact.interop.files import atomic_path

TIME_BASE = Fraction(1, 90_000)
BT709 = 1
"""code of ITU-T H.273: what players assume for HD; said in the file, so that no player has to assume it"""


class VideoWriter:
    """Writes RGB pictures, each at its own time; odd sizes are padded by a row or column. A context manager.

    The file appears under its name when the block ends without an error, and not at all when it does not, or
    when nothing was written. `fps` is nominal: it guides the encoder and is how long the last picture lasts.

    Raises: InputError where the file cannot be written or FFmpeg came without libx264.
    """

    def __init__(self, path: str | Path, width: int, height: int, fps: float) -> None:
        if "libx264" not in av.codecs_available:
            raise InputError(f"{at(path)}: cannot be written: this PyAV has no libx264; install PyAV's own wheel")
        self._path = Path(path)
        self._size = (width, height)
        self._fps = Fraction(fps).limit_denominator(1001)
        self._cleanup = ExitStack()
        self._last_pts: int | None = None

    def __enter__(self) -> "VideoWriter":
        with ExitStack() as opened:  # kept only when all of it went well
            temporary = opened.enter_context(atomic_path(self._path))
            try:
                self._container = av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"})
            except OSError as error:
                raise InputError(f"{at(self._path)}: cannot be written ({error.strerror})") from error
            self._stream = self._add_stream()
            self._cleanup = opened.pop_all()
        return self

    def _add_stream(self) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=self._fps, options={"preset": "veryfast"})
        stream.width, stream.height = (side + side % 2 for side in self._size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = TIME_BASE
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = ColorRange.MPEG
        return stream
