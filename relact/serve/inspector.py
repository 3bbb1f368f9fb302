"""Looks at uploaded files in a process of its own, by their content: is it a video, how long, how large.

    python -m relact.serve.inspector          {"path": …, "seconds": …} → {"done": {…}} or {"failed": "…"}

FFmpeg also reads lists of other files and addresses (playlists, concat scripts), which would let a stranger read this
machine's files and its network: only the containers below are opened, and nothing but the file itself.
"""

from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from relact.data.source import MAX_BAD_PACKETS, quarter_turns, reason, video_stream
from relact.errors import InputError
from relact.serve.lines import Lines

CONTAINERS = {
    "mov": ".mp4", "matroska": ".mkv", "avi": ".avi", "mpegts": ".ts", "mpeg": ".mpg", "mpegvideo": ".mpg",
    "flv": ".flv", "asf": ".wmv", "ogg": ".ogv", "mxf": ".mxf", "nut": ".nut", "ivf": ".ivf", "gif": ".gif",
    "h264": ".h264", "hevc": ".hevc", "m4v": ".m4v", "dv": ".dv", "yuv4mpegpipe": ".y4m",
}  # fmt: skip
"""FFmpeg's containers that hold a video and refer to nothing outside, with the suffix of the stored file."""

MAX_PIXELS = 7680 * 4320
"""of a picture: 8K; a small file may unpack to any size"""
MAX_RATE = 240.0
"""frames a second, on average: what counts is the work, and a clock can lie"""

_WEB_CODECS = ("vp8", "vp9", "av1")


def inspect(path: str | Path, seconds: float) -> dict[str, Any]:
    """`{suffix, seconds, width, height, codec}` of a file that lasts `seconds` at most; reads all of its packets.

    Raises InputError, without the file's name, for what is no video, is too long, or too large a picture.
    """
    try:
        container = av.open(str(path), options={"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"})
    except (av.FFmpegError, OSError) as error:
        raise InputError("this is not a video, or it was cut off or damaged where its header should be") from error
    with container:
        stream = video_stream(container, "the file")
        # closed by video_stream where there is none
        first = _first_picture(container, stream)
        width, height = (first.height, first.width) if quarter_turns(first) % 2 else (first.width, first.height)
        if width * height > MAX_PIXELS:
            raise InputError(f"its pictures have {width} x {height} pixels; expected at most 7680 x 4320")
        lasts = _duration(container, stream, seconds)
        codec = stream.codec_context.name
        suffix = CONTAINERS[container.format.name.split(",")[0]]
        suffix = ".webm" if suffix == ".mkv" and codec.removeprefix("lib").startswith(_WEB_CODECS) else suffix
        return {"suffix": suffix, "seconds": round(lasts, 3), "width": width, "height": height, "codec": codec}


def _first_picture(container: InputContainer, stream: VideoStream) -> av.VideoFrame:
    if stream.codec_context is None:
        raise InputError("its video is in a format that this server cannot decode")
    size = stream.codec_context.width * stream.codec_context.height
    if size > MAX_PIXELS:
        raise InputError(
            f"its pictures have {stream.codec_context.width} x {stream.codec_context.height} pixels; "
            "expected at most 7680 x 4320"
        )
    bad = 0
    try:
        for packet in container.demux(stream):
            try:
                for picture in packet.decode():
                    return picture
            except av.FFmpegError:
                bad += 1
                if bad > MAX_BAD_PACKETS:
                    break
    except av.FFmpegError as error:
        raise InputError(f"no frame of it could be decoded ({reason(error)})") from error
    raise InputError("no frame of it could be decoded; is it damaged, cut off or encrypted?")


def _duration(container: InputContainer, stream: VideoStream, most: float) -> float:
    """Seconds from the first packet to the end of the last, by their own times or, without any, by their number."""
    container.seek(0)
    first: float | None = None
    span, packets = 0.0, 0
    nominal = float(stream.guessed_rate or stream.average_rate or 25)
    try:
        for packet in container.demux(stream):
            packets += bool(packet.size)
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is not None and packet.time_base is not None:
                now = float(stamp * packet.time_base)
                first = now if first is None else min(first, now)
                span = max(span, now - first + float((packet.duration or 0) * packet.time_base))
            if max(span, packets / max(nominal, MAX_RATE)) > most:
                raise InputError(f"it lasts longer than the {clock(most)} that this server takes")
    except av.FFmpegError:
        pass  # torn: what was there counts, and the result will say how much that was
    return span or packets / nominal


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def main() -> None:
    """Answers until nobody asks any more."""
    lines = Lines()
    lines.say({"ready": True})
    for order in lines.orders():
        try:
            lines.say({"done": inspect(order["path"], order["seconds"])})
        except InputError as error:
            lines.say({"failed": str(error).removeprefix("the file: ")})


if __name__ == "__main__":
    main()
