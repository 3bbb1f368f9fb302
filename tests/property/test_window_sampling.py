"""Choosing frames one by one, as they come, equals choosing them with all times known."""

from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from relact.data.sampling import frame_window, keyframe_times, nearest, window_times
from relact.data.windows import KeyframeWindow, SampledFrame, WindowSpec, WindowStream

steps = st.one_of(st.floats(1e-7, 3.0), st.sampled_from([1 / 30, 0.04, 0.1, 0.5, 1.0, 2.0]))
clocks = st.lists(steps, max_size=60).map(lambda gaps: np.concatenate([[0.0], np.cumsum(gaps)]))
periods = st.sampled_from([0.25, 0.3, 1.0, 1 / 3, 2.0])


@dataclass
class NumberedFrame:
    index: int
    time_s: float
    pts: int | None = None
    converted: int = field(default=0)

    def rgb(self, size: tuple[int, int] | None = None) -> np.ndarray:
        self.converted += 1
        return np.full((1, 1, 3), self.index, np.uint8)


@settings(max_examples=150, deadline=None)
@given(times=clocks, num_frames=st.integers(1, 9), stride=st.integers(1, 4), every=periods)
def test_windows_equal_nearest(times: np.ndarray, num_frames: int, stride: int, every: float) -> None:
    frames = [NumberedFrame(index, float(time)) for index, time in enumerate(times)]
    spec = WindowSpec(num_frames=num_frames, frame_stride=stride, fps=10)
    events = list(WindowStream(frames, spec, size=(1, 1), every=every, sample_every=0.2))
    windows = [event for event in events if isinstance(event, KeyframeWindow)]
    keyframes = keyframe_times(times[-1], every)
    assert [(w.tick, w.time_s) for w in windows] == list(enumerate(keyframes))
    for window in windows:
        expected = nearest(times, window_times(window.time_s, num_frames, stride, fps=10))
        assert window.frames[:, 0, 0, 0].tolist() == expected.tolist()
        assert window.index == expected[num_frames // 2]
    samples = [event for event in events if isinstance(event, SampledFrame)]
    assert [s.time_s for s in samples] == keyframe_times(times[-1], 0.2).tolist()
    assert [s.index for s in samples] == nearest(times, np.array([s.time_s for s in samples])).tolist()


@settings(max_examples=100, deadline=None)
@given(times=clocks, num_frames=st.integers(1, 9), stride=st.integers(1, 4), every=periods)
def test_counted_windows_equal_frame_window(times: np.ndarray, num_frames: int, stride: int, every: float) -> None:
    frames = [NumberedFrame(index, float(time)) for index, time in enumerate(times)]
    spec = WindowSpec(num_frames=num_frames, frame_stride=stride, fps=None)
    windows = list(WindowStream(frames, spec, size=(1, 1), every=every))
    centres = nearest(times, keyframe_times(times[-1], every))
    assert [w.index for w in windows] == centres.tolist()
    for window, centre in zip(windows, centres, strict=True):
        expected = frame_window(int(centre), num_frames, stride, len(times))
        assert window.frames[:, 0, 0, 0].tolist() == expected.tolist()


@given(times=clocks, wanted=st.floats(-2, 200))
def test_nearest_is_nearest(times: np.ndarray, wanted: float) -> None:
    chosen = nearest(times, np.array([wanted]))[0]
    assert abs(times[chosen] - wanted) <= np.abs(times - wanted).min() + 2e-6
