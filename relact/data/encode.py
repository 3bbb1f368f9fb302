"""Video that plays everywhere: H.264 in MP4, written through PyAV."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
import numpy.typing as npt
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from relact.errors import InputError, at
from relact.interop.files import atomic_path

SEEK_SECONDS = 1
"""A key frame at least this often: jumping to a second, or reading a clip, then decodes little."""
TIME_BASE = Fraction(1, 90_000)
_EXACT = Interpolation.ACCURATE_RND | Interpolation.BITEXACT


class VideoWriter:
    """Writes RGB pictures, each at its own time; a context manager.

    Odd sizes are padded by a row or a column. The file appears under its name when the block ends, and not at
    all when the block fails. `fps` is nominal: it guides the encoder and says how long the last picture
    lasts. Colours are BT.709, limited range, and the file says so. No sound is written. `exact` has the same
    pictures give the same bytes, whatever the processor and its number of cores: on one thread, so more slowly.

    Raises: InputError where the file cannot be written or FFmpeg came without libx264.
    """

    def __init__(self, path: str | Path, width: int, height: int, fps: float, *, exact: bool = False) -> None:
        if "libx264" not in av.codecs_available:
            raise InputError(f"{at(path)}: cannot be written: this PyAV lacks libx264; PyAV's own wheels have it")
        self._path = Path(path)
        self._shape = (height, width, 3)
        self._fps = Fraction(fps).limit_denominator(1001)
        self._exact, self._reformatter = exact, VideoReformatter()
        self._scaling = Interpolation.BILINEAR | (_EXACT if exact else Interpolation(0))
        self._last_pts, self._last_time = -1, -math.inf
        self._writing = self._open()

    def __enter__(self) -> "VideoWriter":
        self._container, self._stream = self._writing.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writing.__exit__(kind, error, trace)

    def write(self, rgb: npt.NDArray[np.uint8], time_s: float) -> None:
        """One picture `[H, W, 3]`; times start at 0 or later and ascend."""
        assert rgb.shape == self._shape, f"expected a picture of shape {self._shape}, got {rgb.shape}"
        assert time_s > self._last_time, f"times must ascend: {time_s} s came after {self._last_time} s"
        pts = max(round(time_s / TIME_BASE), self._last_pts + 1)  # two in one tick: joined files have such pictures
        self._last_time, self._last_pts = time_s, pts
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(even(rgb), format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=self._scaling,
            threads=int(self._exact),  # 0: as many as there are cores
        )
        frame.pts, frame.time_base = pts, TIME_BASE
        frame.duration = round(1 / self._fps / TIME_BASE)
        self._container.mux(self._stream.encode(frame))

    @contextmanager
    def _open(self) -> Iterator[tuple[OutputContainer, VideoStream]]:
        with atomic_path(self._path) as temporary:
            try:
                container = av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"})
            except OSError as error:
                raise InputError(f"{at(self._path)}: cannot be written ({error.strerror})") from error
            with container:
                stream = self._add_stream(container)
                yield container, stream
                assert self._last_pts >= 0, f"{self._path}: no picture was written"
                container.mux(stream.encode())

    def _add_stream(self, container: OutputContainer) -> VideoStream:
        # without B frames MP4's durations are those between pictures; with them a variable rate ends too early
        options = {"preset": "veryfast", "bf": "0", "g": str(max(1, round(SEEK_SECONDS * self._fps)))}
        if self._exact:
            options["x264-params"] = "threads=1:cpu-independent=1"
        stream = container.add_stream("libx264", rate=self._fps, options=options)
        height, width, _ = self._shape
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = TIME_BASE
        context.colorspace = context.color_primaries = context.color_trc = Colorspace.ITU709
        context.color_range = ColorRange.MPEG
        return stream


def even(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The picture with its last row and column repeated where their number is odd, as 4:2:0 needs."""
    height, width, _ = rgb.shape
    if height % 2 or width % 2:
        rgb = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(rgb)
