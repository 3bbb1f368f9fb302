from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from relact.data.decode import FrameStream
from relact.data.sampling import Clock, frame_window, keyframe_times, nearest, window_offsets, window_times
from relact.data.windows import KeyframeWindow, SampledFrame, WindowSpec, WindowStream
from tests.make_video import make_video, number_of

SIZE = (3, 2)
FOUR_BY_TWO = WindowSpec(num_frames=4, frame_stride=2, fps=10)


@dataclass
class FakeFrame:
    index: int
    time_s: float
    pts: int | None = None
    asked: list[tuple[int, int] | None] = field(default_factory=list)

    def rgb(self, size: tuple[int, int] | None = None) -> np.ndarray:
        self.asked.append(size)
        width, height = size or (8, 6)
        return np.full((height, width, 3), self.index % 251, np.uint8)


def fake(times: list[float]) -> list[FakeFrame]:
    return [FakeFrame(index, time, 100 * index) for index, time in enumerate(times)]


def windows(frames: list[FakeFrame], spec: WindowSpec = FOUR_BY_TWO, every: float = 1.0) -> list[KeyframeWindow]:
    return [e for e in WindowStream(frames, spec, size=SIZE, every=every) if isinstance(e, KeyframeWindow)]


def shown(window: KeyframeWindow) -> list[int]:
    """The numbers of the window's frames."""
    return window.frames[:, 0, 0, 0].tolist()


def test_the_keyframe_is_the_middle_sample() -> None:
    assert window_offsets(4, 2).tolist() == [-4, -2, 0, 2]
    assert window_offsets(1, 2).tolist() == [0]
    offsets = window_offsets(32, 2)  # PySlowFast: range(c - 32, c + 32, 2)
    assert offsets.tolist() == list(range(-32, 32, 2))
    assert offsets[16] == 0


def test_window_times_are_seconds() -> None:
    assert window_times(1.0, 4, 2, fps=10).tolist() == [0.6, 0.8, 1.0, 1.2]


def test_frame_windows_are_clamped() -> None:
    assert frame_window(1, 4, 2, total=3).tolist() == [0, 0, 1, 2]
    assert frame_window(1, 4, 2).tolist() == [0, 0, 1, 3]


def test_nearest_breaks_ties_to_the_earlier_and_clamps() -> None:
    times = np.array([0.0, 0.1, 0.2, 0.5])
    wanted = np.array([-1.0, 0.0, 0.04, 0.06, 0.35, 0.36, 0.5, 9.0])
    assert nearest(times, wanted).tolist() == [0, 0, 0, 1, 2, 3, 3, 3]
    assert nearest(np.array([0.0]), np.array([[-1.0], [2.0]])).tolist() == [[0], [0]]


def test_rounding_does_not_decide_ties() -> None:
    """A stride of 1 at 30 fps on a video of 15 fps: every other wanted time is a tie."""
    times = np.arange(300) * 1001 / 15015
    wanted = np.arange(1, 590) / 30
    assert nearest(times, wanted).tolist() == [number // 2 for number in range(1, 590)]


def test_keyframes_start_with_the_first_frame_and_end_with_the_last() -> None:
    assert keyframe_times(2.0).tolist() == [0, 1, 2]
    assert keyframe_times(1.99).tolist() == [0, 1]
    assert keyframe_times(0.0).tolist() == [0]
    assert keyframe_times(1.1, every=0.5).tolist() == [0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("stamps", "expected", "faults"),
    [
        ([5, 6, 7, 9], [0, 1, 2, 4], 0),
        ([-2, -1, 0], [0, 1, 2], 0),
        ([None, None, None], [0, 1, 2], 3),
        ([0, None, 2, 3], [0, 1, 2, 3], 1),
        ([None, 40, 41], [0, 1, 2], 1),
        ([0, 1, 2, 2, 2, 5], [0, 1, 2, 3, 4, 5], 2),
        ([0, 1, 4, 2, 3, 5, 6, 7, 8], [0, 1, 4, 5, 6, 7, 8, 9, 10], 6),
        ([100, 101, 102, 103, 0, 1, 3], [0, 1, 2, 3, 4, 5, 7], 1),
    ],
    ids=["offset", "negative", "none", "gap", "late", "repeated", "jitter", "restarted"],
)
def test_clock(stamps: list[int | None], expected: list[float], faults: int) -> None:
    clock = Clock(Fraction(1), nominal_step=1.0)
    assert [clock.tick(stamp) for stamp in stamps] == expected
    assert clock.faults == faults


def test_clock_learns_the_typical_step() -> None:
    clock = Clock(Fraction(1, 1000), nominal_step=1 / 25)
    assert [clock.tick(stamp) for stamp in (0, 100, 200, 1000, 1100, None)][-1] == pytest.approx(1.2)
    assert clock.step == pytest.approx(0.1)


def test_clock_is_exact_on_whole_seconds() -> None:
    clock = Clock(Fraction(1, 15360), nominal_step=1 / 30)
    times = [clock.tick(512 * number) for number in range(30 * 600 + 1)]
    assert times[::30] == list(range(601))


def test_windows_at_both_ends_repeat_the_first_and_last_frame() -> None:
    events = windows(fake([n / 10 for n in range(12)]))
    assert [(e.tick, e.time_s, e.index, e.frame_s, e.pts) for e in events] == [
        (0, 0.0, 0, 0.0, 0),
        (1, 1.0, 10, 1.0, 1000),
    ]
    assert [shown(e) for e in events] == [[0, 0, 0, 2], [6, 8, 10, 11]]
    assert events[0].frames.shape == (4, 2, 3, 3)


def test_windows_in_frames() -> None:
    spec = WindowSpec(num_frames=4, frame_stride=2, fps=None)
    events = windows(fake([n / 5 for n in range(13)]), spec)
    assert [shown(e) for e in events] == [[0, 0, 0, 2], [1, 3, 5, 7], [6, 8, 10, 12]]


@pytest.mark.parametrize("fps", [10, None])
def test_no_frames_and_one_frame(fps: float | None) -> None:
    spec = WindowSpec(num_frames=4, frame_stride=2, fps=fps)
    assert windows([], spec) == []
    (only,) = windows(fake([0.0]), spec)
    assert (only.index, shown(only)) == (0, [0, 0, 0, 0])


def test_a_gap_holds_its_keyframes() -> None:
    events = windows(fake([0.0, 0.5, 4.1]))
    assert [(e.tick, shown(e)[2]) for e in events] == [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2)]


def test_samples_come_before_the_windows_that_need_them() -> None:
    frames = fake([n / 10 for n in range(31)])
    events = list(WindowStream(frames, FOUR_BY_TWO, size=SIZE, sample_every=0.5))
    assert [(type(e).__name__[0], e.time_s) for e in events] == [
        ("S", 0.0), ("K", 0.0), ("S", 0.5), ("S", 1.0), ("K", 1.0), ("S", 1.5),
        ("S", 2.0), ("K", 2.0), ("S", 2.5), ("S", 3.0), ("K", 3.0),
    ]  # fmt: skip
    samples = [e for e in events if isinstance(e, SampledFrame)]
    assert [e.index for e in samples] == [0, 5, 10, 15, 20, 25, 30]
    assert samples[0].picture.shape == (6, 8, 3)


def test_only_wanted_frames_are_converted() -> None:
    frames = fake([n / 10 for n in range(31)])
    list(WindowStream(frames, WindowSpec(num_frames=4, frame_stride=1, fps=10), size=SIZE))
    asked = [frame.index for frame in frames if frame.asked]
    # the window of keyframe 3.0 ends early; that of 4.0 would begin at 3.8
    assert asked == [0, 1, 8, 9, 10, 11, 18, 19, 20, 21, 28, 29, 30]


@pytest.mark.parametrize("fps", [10, None])
def test_a_live_source_is_answered_at_once(fps: float | None) -> None:
    """The window of second 1 wants 1.2 s last: it comes with that frame, not with the next."""
    taken: list[int] = []

    def live() -> Iterator[FakeFrame]:
        for frame in fake([n / 10 for n in range(100)]):
            taken.append(frame.index)
            yield frame

    spec = WindowSpec(num_frames=4, frame_stride=2, fps=fps)
    reached = [taken[-1] for _ in WindowStream(live(), spec, size=SIZE)]
    assert reached[:3] == [2, 12, 22]


@pytest.mark.parametrize("fps", [30, None])
def test_memory_is_bounded(fps: float | None) -> None:
    """100,000 frames: pictures are alive only while a pending window may take them."""
    alive, most = 0, 0

    class Counted(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            alive -= self.base is None

    class Frame(FakeFrame):
        def rgb(self, size: tuple[int, int] | None = None) -> np.ndarray:
            nonlocal alive, most
            picture = np.ndarray.__new__(Counted, (2, 3, 3), np.uint8)
            alive += 1
            most = max(most, alive)
            return picture

    frames = (Frame(number, number / 30) for number in range(100_000))
    spec = WindowSpec(num_frames=32, frame_stride=2, fps=fps)
    events = sum(1 for _ in WindowStream(frames, spec, size=SIZE, sample_every=0.2))
    assert events == 3334 + 5 * 3333 + 2
    assert most < 110
    assert alive == 0


def test_a_real_stream(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", frames=70)
    with FrameStream(path) as stream:
        size = stream.info.resized(32)
        events = list(WindowStream(stream, WindowSpec(), size=size, sample_every=0.5))
    keyframes = [e for e in events if isinstance(e, KeyframeWindow)]
    assert [e.index for e in keyframes] == [0, 30, 60]
    assert keyframes[1].frames.shape == (32, 32, 48, 3)
    assert [number_of(p) for p in keyframes[1].frames] == frame_window(30, 32, 2, 70).tolist()
    assert [number_of(p) for p in keyframes[2].frames] == frame_window(60, 32, 2, 70).tolist()
    assert [number_of(e.picture) for e in events if isinstance(e, SampledFrame)] == [0, 15, 30, 45, 60]
