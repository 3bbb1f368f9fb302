"""Video at its own clock: frames in display order, each decoded once and converted only when asked for.

Two ways in: `FrameStream` reads a source from its beginning to its end without seeking, `read_clip` picks
frames out of a file. Both see the same frames, times and pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, dropwhile, islice, pairwise
from pathlib import Path
from types import TracebackType

import av
import numpy as np
import torch

from relact.data.ahead import ReadAhead, stamped
from relact.data.sampling import Clock, Floats, Ints, Picture, Size, nearest
from relact.data.source import Converter, Source, VideoInfo
from relact.errors import InputError, at

HEAD_FRAMES = 16
"""Frames looked at before the first is handed out, to see whether the timestamps advance."""

ROOM = 64
"""Decoded frames of a live source that wait while the last ones are worked on: two seconds, 200 MB of full HD."""


class Frame:
    """A decoded frame: `index` in display order, `time_s` since the first, `pts` in the stream's units.

    `arrived` is when it was decoded, in seconds of `time.perf_counter`.
    """

    __slots__ = ("_convert", "_full_size", "_picture", "_rgb", "arrived", "index", "pts", "time_s")

    def __init__(
        self,
        picture: av.VideoFrame,
        index: int,
        time_s: float,
        convert: Converter,
        full_size: Size,
        arrived: float,
    ) -> None:
        self.arrived = arrived
        self.index = index
        self.time_s = time_s
        self.pts: int | None = picture.pts
        self._picture = picture
        self._convert = convert
        self._full_size = full_size
        self._rgb: dict[Size, Picture] = {}

    def rgb(self, size: Size | None = None) -> Picture:
        """`[H, W, 3]` at `size` = (width, height) or the video's own; converted once a size, then shared."""
        size = size or self._full_size
        if size not in self._rgb:
            self._rgb[size] = self._convert(self._picture, size)
        return self._rgb[size]


class FrameStream:
    """The frames of a file, a URL, a device or a pipe, once, in the order of display; nothing is sought.

    `threads` decode and convert: 0 lets FFmpeg choose, 1 is right for data workers. A broken packet is
    skipped; where the source breaks off, iteration ends and `warning` says how much was covered. A live source is
    read by a thread of its own, at its own pace.

    Raises: InputError for what cannot be opened, holds no video, or yields no frame at all.
    """

    def __init__(self, path: str | Path, *, threads: int = 0) -> None:
        self._source = Source(path, threads)
        self._convert = Converter(threads)
        self.live = self._source.live
        """whether it comes once, at its own pace"""
        pictures = stamped(self._source.pictures())
        self._ahead = ReadAhead(pictures, ROOM) if self.live else None
        self._pictures: Iterator[tuple[av.VideoFrame, float]] = self._ahead or pictures
        self._head = list(islice(self._pictures, HEAD_FRAMES))
        if not self._head:
            self.close()
            raise InputError(f"{at(path)}: no frame could be decoded; is the file damaged or encrypted?")
        first = [picture for picture, _ in self._head]
        self.info: VideoInfo = self._source.info(first[0])
        self._by_dts = faults([p.dts for p in first]) < faults([p.pts for p in first])
        self._clock = Clock(self.info.time_base, self._source.nominal_step())

    def __enter__(self) -> "FrameStream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Releases the file; frames that were handed out stay usable."""
        if self._ahead is None or self._ahead.close():
            self._source.close()

    def stop(self) -> None:
        """A live source ends with the frames so far; the handler of a signal may call it."""
        if self._ahead is not None:
            self._ahead.stop()

    @property
    def hurried(self) -> int:
        """How often frames of a live source came faster than they were taken, so that the source had to wait."""
        return 0 if self._ahead is None else self._ahead.full

    def __iter__(self) -> Iterator[Frame]:
        head, self._head = self._head, []
        for index, (picture, arrived) in enumerate(chain(head, self._pictures)):
            time_s = self._clock.tick(picture.dts if self._by_dts else picture.pts)
            yield Frame(picture, index, time_s, self._convert, self.info.size, arrived)

    @property
    def regular(self) -> bool:
        """Whether each frame so far had a pts beyond the one before it, so that its pts names it."""
        return not self._by_dts and not self._clock.faults

    @property
    def decoded_s(self) -> float:
        """Seconds covered by the frames handed out so far, the last one's duration included."""
        return 0.0 if self._clock.last is None else self._clock.last + self._clock.step

    @property
    def warning(self) -> str | None:
        """After the last frame: what is missing, if anything is."""
        covered, announced = self.decoded_s, self.info.announced_s
        if announced is not None and covered < announced - max(0.5, 2 * self._clock.step):
            told = f"decoded {covered:.1f} s of {announced:.1f} s"
        elif self._source.damage:
            told = f"decoded {covered:.1f} s, then the video breaks off ({self._source.damage})"
        else:
            return None
        return f"{told}; results cover {covered:.1f} s"


def probe(path: str | Path) -> VideoInfo:
    """What the source is, from its header and its first picture.

    Raises: InputError as FrameStream does.
    """
    source = Source(path, threads=1)
    try:
        first = next(source.pictures(), None)
        if first is None:
            raise InputError(f"{at(path)}: no frame could be decoded; is the file damaged or encrypted?")
        return source.info(first)
    finally:
        source.close()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VideoIndex:
    """The frames of a file in display order: what random access needs. 16 bytes a frame; can be pickled."""

    info: VideoInfo
    times: Floats
    """seconds since the first frame, strictly ascending: [N]"""
    pts: Ints
    """timestamps that name the frames, strictly ascending: [N]; or [0]: frames can only be counted"""


def index_by_decoding(path: str | Path, threads: int = 1) -> VideoIndex:
    """The index of any file, exact by definition; takes as long as decoding the whole file.

    Raises: InputError as FrameStream does.
    """
    with FrameStream(path, threads=threads) as stream:
        frames = [(frame.time_s, frame.pts) for frame in stream]
        times = np.array([time for time, _ in frames])
        pts = [stamp for _, stamp in frames if stamp is not None] if stream.regular else []
        return VideoIndex(info=stream.info, times=times, pts=np.array(pts, dtype=np.int64))


def index_by_packets(path: str | Path) -> VideoIndex | None:
    """The index from the packets' timestamps: reads the file, decodes only its beginning.

    None where the timestamps may not be the frames': other containers than MP4 and Matroska, missing or
    repeated timestamps, or a beginning that decodes otherwise.

    Raises: InputError as FrameStream does.
    """
    with FrameStream(path, threads=1) as stream:
        info, head = stream.info, [frame.pts for frame in islice(stream, HEAD_FRAMES)]
    stamps = _packet_stamps(path)
    pts = np.sort(np.array([stamp for stamp in stamps if stamp is not None], dtype=np.int64))
    plain = len(pts) == len(stamps) and (np.diff(pts) > 0).all() and head == pts[:HEAD_FRAMES].tolist()
    if not plain:
        return None
    return VideoIndex(info=info, times=(pts - pts[0]) * info.time_base.numerator / info.time_base.denominator, pts=pts)


def _packet_stamps(path: str | Path) -> list[int | None]:
    source = Source(path, threads=1)
    try:
        if source.container.format.name.split(",")[0] not in ("mov", "matroska"):
            return []
        return [packet.pts for packet in source.packets() if packet and packet.size and not packet.is_discard]
    finally:
        source.close()


def video_index(path: str | Path) -> VideoIndex:
    """The index of a file, from its packets where they can be trusted; kept while the file stays the same.

    Raises: InputError as FrameStream does.
    """
    if not Path(path).is_file():  # an address; or nothing, which opening it will say
        return _index(str(path), 0, 0)
    status = Path(path).stat()
    return _index(str(path), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1024)
def _index(path: str, modified: int, size: int) -> VideoIndex:
    return index_by_packets(path) or index_by_decoding(path)


def read_clip(
    path: str | Path,
    *,
    times: Floats | None = None,
    frames: Ints | None = None,
    short_side: int | None = None,
    index: VideoIndex | None = None,
    threads: int = 1,
) -> torch.Tensor:
    """The frames of a file that are nearest to `times` (seconds), or numbered `frames`: uint8 `[3, T, H, W]`.

    Wanted in any order; what lies outside the video is clamped to it. Decoding starts at the key frame before
    the first wanted frame where the file allows it; choice and pixels equal those of a FrameStream. Memory is
    laid out `[T, H, W, 3]`. `index` is `video_index(path)` when not given.

    Raises: InputError as FrameStream does.
    """
    assert (times is None) != (frames is None), "give either times or frames"
    index = index or video_index(path)
    for trusted in (index, None):
        exact = trusted or index_by_decoding(path, threads)  # the packets promised what the decoder drops
        wanted = nearest(exact.times, np.asarray(times)) if times is not None else np.asarray(frames)
        pictures = _read(path, exact, wanted.clip(0, len(exact.times) - 1), short_side, threads)
        if pictures is not None:
            return torch.from_numpy(pictures).permute(3, 0, 1, 2)
    raise InputError(f"{at(path)}: decodes differently each time; is it being written to?")


def _read(path: str | Path, index: VideoIndex, wanted: Ints, short_side: int | None, threads: int) -> Picture | None:
    """The wanted frames `[T, H, W, 3]`, or None where the file does not decode as the index says."""
    source = Source(path, threads)
    try:
        ways = [_from_start(source)]
        if len(index.pts) and wanted.min() > HEAD_FRAMES:
            ways.insert(0, _from_key_frame(source, index.pts, int(wanted.min())))
        filled = (_fill(way, index, wanted, index.info.resized(short_side), Converter(threads)) for way in ways)
        return next((pictures for pictures in filled if pictures is not None), None)
    finally:
        source.close()


def _fill(
    numbered: Iterator[tuple[int, av.VideoFrame]],
    index: VideoIndex,
    wanted: Ints,
    size: Size,
    convert: Converter,
) -> Picture | None:
    out = np.empty((len(wanted), size[1], size[0], 3), np.uint8)
    last = wanted.max()
    for number, picture in numbered:
        if len(index.pts) and (number >= len(index.pts) or picture.pts != index.pts[number]):
            return None
        slots = np.flatnonzero(wanted == number)
        if len(slots):
            out[slots] = convert(picture, size)
        if number == last:
            return out
    return None


def _from_start(source: Source) -> Iterator[tuple[int, av.VideoFrame]]:
    source.rewind()
    yield from enumerate(source.pictures())


def _from_key_frame(source: Source, pts: Ints, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
    """Pictures and their numbers from a key frame at or before frame `first` on; none where seeking fails."""
    target = first
    while target > HEAD_FRAMES:
        pictures = dropwhile(lambda picture: not picture.key_frame, source.pictures_from(int(pts[target])))
        landed = next(pictures, None)
        if landed is None or landed.pts is None:
            return
        number = int(np.searchsorted(pts, landed.pts))
        if number <= first:
            yield from enumerate(chain([landed], pictures), start=number)
            return
        target //= 2  # some containers seek by decoding time and land late


def faults(stamps: list[int | None]) -> int:
    """How many timestamps are missing or do not exceed the one before."""
    known = [stamp for stamp in stamps if stamp is not None]
    return len(stamps) - len(known) + sum(later <= earlier for earlier, later in pairwise(known))
