"""A network camera: a small RTSP server sends a video's packets in real time, and `relact` reads them."""

import base64
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from relact.data.decode import FrameStream
from tests.make_video import make_video, number_of

RATE, SECONDS = 10, 6


class Camera(threading.Thread):
    """Answers one client as RFC 2326 says; RTP goes through the same connection (interleaved), as `relact` asks."""

    def __init__(self, video: Path) -> None:
        super().__init__(daemon=True)
        self._video = video
        self._door = socket.create_server(("127.0.0.1", 0))
        self._door.settimeout(60)
        self.port = self._door.getsockname()[1]
        self.asked: list[str] = []

    def run(self) -> None:
        line, _ = self._door.accept()
        with line, line.makefile("rb") as words:
            while request := words.readline().decode().strip():
                method, headers = request.split()[0], {}
                while header := words.readline().decode().strip():
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                self.asked.append(f"{method} {headers.get('transport', '')}".strip())
                line.sendall(self._answer(method, headers["cseq"]))
                if method == "PLAY":
                    self._play(line)
                    return

    def _answer(self, method: str, number: str) -> bytes:
        lines, body = ["RTSP/1.0 200 OK", f"CSeq: {number}"], ""
        if method == "OPTIONS":
            lines.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
        if method == "DESCRIBE":
            body = self._description()
            lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        if method == "SETUP":
            lines += ["Session: 1", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"]
        if method == "PLAY":
            lines.append("Session: 1")
        return ("\r\n".join([*lines, "", ""]) + body).encode()

    def _description(self) -> str:
        """SDP, with the parameter sets of the file's header."""
        with av.open(str(self._video)) as source:
            header = source.streams.video[0].codec_context.extradata
        assert header is not None
        sets, place = [], 6  # avcC: a byte of count before the picture parameter sets, two of length before each
        for _ in range(2):
            length = int.from_bytes(header[place : place + 2], "big")
            sets.append(base64.b64encode(header[place + 2 : place + 2 + length]).decode())
            place += 3 + length
        return (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=yard\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
            f"a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1; sprop-parameter-sets={','.join(sets)}\r\n"
            "a=control:streamid=0\r\n"
        )

    def _play(self, line: socket.socket) -> None:
        """FFmpeg makes the RTP packets, to a port of our own; they are passed on with their channel and length."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own, av.open(str(self._video)) as source:
            own.bind(("127.0.0.1", 0))
            address = f"rtp://127.0.0.1:{own.getsockname()[1]}?rtcpport={own.getsockname()[1]}"
            own.setblocking(False)
            with av.open(address, "w", format="rtp") as packer:
                stream, began = packer.add_stream_from_template(source.streams.video[0]), time.monotonic()
                for packet in source.demux(source.streams.video[0]):
                    if packet.dts is None or packet.time_base is None:
                        continue
                    time.sleep(max(0.0, began + float(packet.dts * packet.time_base) - time.monotonic()))
                    packet.stream = stream
                    packer.mux(packet)
                    self._pass_on(own, line)

    @staticmethod
    def _pass_on(own: socket.socket, line: socket.socket) -> None:
        while True:
            try:
                data = own.recv(65536)
            except BlockingIOError:
                return
            control = 192 <= data[1] <= 223  # RTCP, RFC 5761
            line.sendall(b"$" + bytes([int(control)]) + len(data).to_bytes(2, "big") + data)


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[Camera]:
    camera = Camera(make_video(tmp_path / "yard.mp4", frames=RATE * SECONDS, rate=RATE, options={"bf": "0"}))
    camera.start()
    yield camera
    camera.join(30)


def test_every_picture_of_a_network_camera_is_read_once(camera: Camera):
    began = time.monotonic()
    with FrameStream(f"rtsp://127.0.0.1:{camera.port}/yard") as stream:
        assert stream.live
        frames = [(number_of(frame.rgb()), frame.time_s) for frame in stream]
    assert time.monotonic() - began > SECONDS - 1, "it comes at its own pace"
    assert [number for number, _ in frames] == list(range(RATE * SECONDS))
    assert [round(time_s * RATE) for _, time_s in frames] == list(range(RATE * SECONDS))
    assert [words.split()[0] for words in camera.asked] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    assert "RTP/AVP/TCP" in camera.asked[2], "through the connection: UDP loses packets"
