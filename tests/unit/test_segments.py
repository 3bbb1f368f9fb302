"""Segments by hand: hysteresis, gaps, the ends of the video, and the file."""

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from relact.errors import InputError
from relact.labels import Label, LabelMap
from relact.types import Detections, Keyframe
from relact.video.segments import Hysteresis, Segment, open_segments, read_segments, segments

LABELS = LabelMap([Label(id=12, name="stand"), Label(id=79, name="talk to (e.g., self, a person)")])


def keyframe(time: float, people: dict[int, Sequence[float]], num_classes: int = 1) -> Detections:
    count, num_classes = len(people), max([num_classes, *map(len, people.values())])
    return Detections(
        key=Keyframe("v", round(time)),
        time=time,
        frame=round(time * 30),
        pts=0,
        width=64,
        height=48,
        boxes=np.zeros((count, 4), np.float32),
        box_scores=np.ones(count, np.float32),
        scores=np.array(list(people.values()), np.float32).reshape(count, num_classes),
        person=np.array(list(people), np.int64),
        track=np.array(list(people), np.int64),
    )


def one_person(scores: Sequence[float | None], rule: Hysteresis, end: float | None = None) -> list[Segment]:
    """Scores of one action at seconds 0, 1, …; None: the person is not there."""
    stream = [keyframe(float(t), {} if score is None else {7: [score]}) for t, score in enumerate(scores)]
    return list(segments(stream, rule, num_classes=1, end=len(scores) - 1 if end is None else end))


def spans(found: Sequence[Segment]) -> list[tuple[float, float]]:
    return [(s.start, s.end) for s in found]


def test_opens_high_stays_while_low_ends_below() -> None:
    found = one_person([0.4, 0.6, 0.4, 0.36, 0.3, 0.4, 0.1], Hysteresis())
    assert spans(found) == [(0.5, 3.5)]
    assert (found[0].person, found[0].column, found[0].count) == (7, 0, 3)
    assert found[0].mean == pytest.approx((0.6 + 0.4 + 0.36) / 3)
    assert found[0].peak == pytest.approx(0.6)


def test_is_cut_to_the_video() -> None:
    assert spans(one_person([0.9, 0.9], Hysteresis(), end=1.2)) == [(0.0, 1.2)]


def test_missing_keyframes_are_bridged_up_to_the_gap() -> None:
    scores = [0.9, None, None, 0.9, None, None, None, 0.9]
    assert spans(one_person(scores, Hysteresis(max_gap=2))) == [(0.0, 3.5), (6.5, 7.0)]
    assert spans(one_person(scores, Hysteresis(max_gap=0))) == [(0.0, 0.5), (2.5, 3.5), (6.5, 7.0)]


def test_a_gap_does_not_outlive_a_low_score() -> None:
    assert spans(one_person([0.9, None, 0.2, 0.9], Hysteresis(max_gap=5))) == [(0.0, 0.5), (2.5, 3.0)]


def test_after_a_bridged_gap_low_is_enough() -> None:
    assert spans(one_person([0.9, None, 0.4], Hysteresis())) == [(0.0, 2.0)]
    assert spans(one_person([0.9, None, None, 0.4], Hysteresis())) == [(0.0, 0.5)]


def test_short_ones_are_dropped() -> None:
    assert spans(one_person([0.1, 0.9, 0.1, 0.9, 0.9, 0.1], Hysteresis(min_seconds=2))) == [(2.5, 4.5)]


def test_people_and_actions_are_apart() -> None:
    stream = [
        keyframe(0.0, {2: [0.9, 0.1]}),
        keyframe(1.0, {5: [0.1, 0.8], 2: [0.9, 0.6]}),
        keyframe(2.0, {5: [0.7, 0.1]}),
    ]
    found = segments(stream, Hysteresis(max_gap=0), num_classes=2, end=3.0)
    expected = [(2, 0, 0.0, 1.5), (2, 1, 0.5, 1.5), (5, 0, 1.5, 2.5), (5, 1, 0.5, 1.5)]
    assert sorted((s.person, s.column, s.start, s.end) for s in found) == expected


def test_keyframes_closer_than_the_period_share_the_time_between() -> None:
    stream = [keyframe(t, {1: [s]}) for t, s in ((1.0, 0.9), (1.4, 0.1), (1.8, 0.9))]
    found = spans(list(segments(stream, Hysteresis(), num_classes=1)))
    np.testing.assert_allclose(found, [(0.5, 1.2), (1.6, 2.3)])


def test_nobody() -> None:
    assert list(segments([], Hysteresis(), num_classes=3)) == []
    assert list(segments([keyframe(0.0, {})], Hysteresis(), num_classes=1)) == []


def test_bad_rules_say_what_was_expected() -> None:
    with pytest.raises(InputError, match=r"0 < low <= high, got low 0\.6 and high 0\.5"):
        Hysteresis(low=0.6)
    with pytest.raises(InputError, match="every > 0"):
        Hysteresis(every=0)


def test_file(tmp_path: Path) -> None:
    with open_segments(tmp_path / "segments.csv", LABELS, Hysteresis(), video="a,b.mp4") as table:
        table.write(keyframe(0.0, {1: [0.9, 0.1]}))
        table.write(keyframe(1.0, {1: [0.1, 0.75]}))
        table.close(1.25)
    assert table.count == 2
    assert (tmp_path / "segments.csv").read_text().splitlines() == [
        "video,person_id,action_id,action,start_s,end_s,mean_score,peak_score,keyframes",
        '"a,b.mp4",1,12,stand,0.000,0.500,0.9000,0.9000,1',
        '"a,b.mp4",1,79,"talk to (e.g., self, a person)",0.500,1.250,0.7500,0.7500,1',
    ]


def test_file_that_fails_is_not_there(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="shape"),
        open_segments(tmp_path / "s.csv", LABELS, Hysteresis(), video="v") as table,
    ):
        table.write(keyframe(0.0, {1: []}))
    assert list(tmp_path.iterdir()) == []


def test_file_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "segments.csv"
    with open_segments(path, LABELS, Hysteresis(), video="a,b.mp4") as table:
        table.write(keyframe(0.0, {1: [0.1, 0.75]}))
    talk = "talk to (e.g., self, a person)"
    (row,) = read_segments(path)
    assert astuple(row) == ("a,b.mp4", 1, 79, talk, 0.0, 0.5, 0.75, 0.75, 1)
    path.write_text(path.read_text() + "a,1,2\n")
    with pytest.raises(InputError, match=r"segments\.csv line 3: expected video,person_id,.* got 'a,1,2'"):
        read_segments(path)
    path.write_text("video\n")
    with pytest.raises(InputError, match="line 1: expected the header"):
        read_segments(path)
    with pytest.raises(InputError, match="no such file"):
        read_segments(tmp_path / "none.csv")
