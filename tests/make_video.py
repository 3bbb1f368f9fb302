"""Little videos for the tests, whose frames carry their own number: 12 bits as black and white blocks."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 12
TICKS = 90_000


def numbered(number: int, width: int = 96, height: int = 64) -> np.ndarray:
    """The number's bits in three rows of four blocks; part of the top edge is red, so it has an up."""
    picture = np.full((height, width, 3), 128, np.uint8)
    bits = (number >> np.arange(BITS)) & 1
    for bit, (row, column) in zip(bits, np.ndindex(3, 4), strict=True):
        top, left = row * height // 3, column * width // 4
        picture[top : (row + 1) * height // 3, left : (column + 1) * width // 4] = 255 * bit
    picture[: height // 12, : width // 2] = (255, 0, 0)
    return picture


def number_of(picture: np.ndarray) -> int:
    """The number that an upright picture carries, at any size."""
    height, width, _ = picture.shape
    rows = [(2 * row + 1) * height // 6 for row in range(3)]
    columns = [(2 * column + 1) * width // 8 for column in range(4)]
    bits = [picture[row, column].mean() > 128 for row in rows for column in columns]
    return sum(1 << bit for bit, on in enumerate(bits) if on)


def make_video(
    path: Path,
    *,
    times: Sequence[float] | None = None,
    frames: int = 60,
    rate: int = 30,
    size: tuple[int, int] = (96, 64),
    codec: str = "libx264",
    container: str | None = None,
    pix_fmt: str = "yuv420p",
    rotation: int = 0,
    options: dict[str, str] | None = None,
    file_options: dict[str, str] | None = None,
    ticks: int = TICKS,
    sound: bool = False,
) -> Path:
    """Numbered frames at `times` seconds, or `frames` of them at `rate`; `rotation` is metadata only."""
    times = [number / rate for number in range(frames)] if times is None else times
    with av.open(str(path), "w", format=container, options=file_options or {}) as output:
        stream = output.add_stream(codec, rate=rate, options=options or {"g": "12"})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.time_base = Fraction(1, ticks)
        if rotation:
            stream.set_display_rotation(rotation)
        track = output.add_stream("aac", rate=16_000) if sound else None
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(numbered(number, *size), format="rgb24")
            frame.pts, frame.time_base = round(time * ticks), Fraction(1, ticks)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
        if track:
            _silence(output, track, 2.0)
    return path


def make_sound(path: Path) -> Path:
    """A file of sound only."""
    with av.open(str(path), "w") as output:
        _silence(output, output.add_stream("aac", rate=16_000), 1.0)
    return path


def cut(path: Path, to: Path, share: float) -> Path:
    """The first part of a file, as an interrupted download leaves it."""
    content = path.read_bytes()
    to.write_bytes(content[: int(len(content) * share)])
    return to


def _silence(output: av.container.OutputContainer, track: av.AudioStream, seconds: float) -> None:
    for start in range(0, int(seconds * 16_000), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16_000, start
        output.mux(track.encode(frame))
    output.mux(track.encode())
