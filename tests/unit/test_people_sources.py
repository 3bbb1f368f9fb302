"""Where the people of a keyframe come from."""

import numpy as np
import pytest

from relact.data.windows import KeyframeWindow, SampledFrame
from relact.errors import InputError
from relact.interop.box_files import read_boxes
from relact.video.sources import DetectedPeople, FiledPeople

PICTURE = np.zeros((100, 200, 3), np.uint8)


def window(tick: int, time_s: float) -> KeyframeWindow:
    frames = np.zeros((4, 8, 8, 3), np.uint8)
    return KeyframeWindow(tick=tick, time_s=time_s, index=round(time_s * 25), frame_s=time_s, pts=0, frames=frames)


def sample(time_s: float) -> SampledFrame:
    return SampledFrame(time_s=time_s, index=0, frame_s=time_s, pts=0, picture=PICTURE)


def filed(text: str, tmp_path, threshold: float = 0.5) -> FiledPeople:
    (tmp_path / "b.csv").write_text(text)
    boxes = read_boxes(tmp_path / "b.csv").for_video("v.mp4", 200, 100)
    return FiledPeople(boxes, boxes.instants, width=200, height=100, threshold=threshold)


def test_a_detectors_boxes_are_kept_by_score_and_followed():
    found = (np.array([[20.0, 10, 60, 90], [100, 10, 140, 90]]), np.array([0.9, 0.2]))
    source = DetectedPeople(lambda pictures: [found for _ in pictures], hz=5, every=1, threshold=0.5)
    for tick in range(6):
        source.see(sample(tick / 5))
    people = source.at(window(1, 1.0))
    np.testing.assert_allclose(people.boxes, [[0.1, 0.1, 0.3, 0.9]])
    assert people.ids.tolist() == [1]
    assert source.warning(1.2, boxes=1) is None
    assert "scored 0.90" in (source.warning(1.2, boxes=0) or "")


def test_a_frame_that_several_samples_fall_on_is_seen_once():
    """As of a video with a gap, or with fewer frames than samples."""
    calls = []

    def find(pictures):
        calls.append(len(pictures))
        return [(np.array([[20.0, 10, 60, 90]]), np.array([0.9])) for _ in pictures]

    source = DetectedPeople(find, hz=5, every=1, threshold=0.5)
    for tick, frame_s in enumerate([0.0, 0.0, 0.5, 0.5, 0.5, 1.0]):
        source.see(SampledFrame(time_s=tick / 5, index=0, frame_s=frame_s, pts=0, picture=PICTURE))
    assert calls == [1, 1, 1]
    assert [second for second, _ in source.seen] == [0.0, 0.5, 1.0]
    assert source.at(window(1, 1.0)).ids.tolist() == [1]


def test_a_dense_file_is_tracked_although_nobody_shows_it_pictures(tmp_path):
    lines = [f"{t / 5:.1f},{0.1 + t * 0.01:.2f},0.1,{0.3 + t * 0.01:.2f},0.9,0.9" for t in range(11)]
    source = filed("time_s,x1,y1,x2,y2,score\n" + "\n".join(lines) + "\n", tmp_path)
    assert source.sample_every == pytest.approx(0.2)
    assert source.at(window(1, 1.0)).ids.tolist() == [1]
    assert source.at(window(2, 2.0)).ids.tolist() == [1]
    assert [second for second, _ in source.seen] == pytest.approx([t / 5 for t in range(11)])


def test_a_sparse_file_is_left_to_the_linker(tmp_path):
    source = filed("time_s,x1,y1,x2,y2\n0,0.1,0.1,0.3,0.9\n1,0.1,0.1,0.3,0.9\n", tmp_path)
    assert source.sample_every is None
    assert source.at(window(1, 1.0)).ids.tolist() == [-1]


def test_ids_of_the_file_are_kept_and_must_be_complete(tmp_path):
    header = "time_s,x1,y1,x2,y2,person_id\n"
    source = filed(header + "0,0.1,0.1,0.3,0.9,42\n", tmp_path)
    assert source.at(window(0, 0.0)).ids.tolist() == [42]
    with pytest.raises(InputError, match="give all or none"):
        filed(header + "0,0.1,0.1,0.3,0.9,42\n1,0.1,0.1,0.3,0.9,\n", tmp_path)


def test_boxes_past_the_end_are_told(tmp_path):
    source = filed("time_s,x1,y1,x2,y2\n902,0.1,0.1,0.3,0.9\n", tmp_path)
    assert "1 of 1 instants with boxes lie past the end" in (source.warning(12.0, boxes=0) or "")
