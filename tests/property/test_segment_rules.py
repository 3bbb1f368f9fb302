"""Segments against their definition, on streams that hypothesis makes."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from relact.types import Detections, Keyframe
from relact.video.segments import Hysteresis, segments

ids = st.integers(1, 4)
scores = st.sampled_from([0.0, 0.2, 0.34, 0.35, 0.4, 0.49, 0.5, 0.8, 1.0])
people = st.dictionaries(ids, st.tuples(scores, scores), max_size=4)
rules = st.builds(Hysteresis, max_gap=st.integers(0, 3))
steps = st.sampled_from([0.5, 1.0, 1.1, 2.5])


@st.composite
def videos(draw: st.DrawFn) -> list[Detections]:
    keyframes = draw(st.lists(st.tuples(steps, people), max_size=15))
    times = np.cumsum([step for step, _ in keyframes]) if keyframes else []
    return [keyframe(float(t), who) for t, (_, who) in zip(times, keyframes, strict=True)]


def keyframe(time: float, who: dict[int, tuple[float, float]]) -> Detections:
    count = len(who)
    return Detections(
        key=Keyframe("v", 0),
        time=time,
        frame=0,
        pts=0,
        width=8,
        height=8,
        boxes=np.zeros((count, 4), np.float32),
        box_scores=np.zeros(count, np.float32),
        scores=np.array(list(who.values()), np.float64).reshape(count, 2),
        person=np.array(list(who), np.int64),
        track=np.array(list(who), np.int64),
    )


@given(videos(), rules)
def test_segments(stream: list[Detections], rule: Hysteresis) -> None:
    end = stream[-1].time + 0.25 if stream else 0.0
    found = list(segments(stream, rule, num_classes=2, end=end))
    assert all(0 <= s.start < s.end <= end for s in found)
    for person in range(1, 5):
        for column in range(2):
            mine = [s for s in found if (s.person, s.column) == (person, column)]
            assert all(a.end <= b.start for a, b in itertools.pairwise(mine))
            seen = {d.time: d.scores[d.person.tolist().index(person), column] for d in stream if person in d.person}
            inside = {t: s for s in mine for t in seen if s.start <= t < s.end}
            assert all(t in inside for t, score in seen.items() if score >= rule.high)
            assert all(seen[t] >= rule.low for t in inside)
            for s in mine:
                held = [seen[t] for t, segment in inside.items() if segment is s]
                assert (s.count, s.peak) == (len(held), max(held))
                assert np.isclose(s.mean, np.mean(held))
                missing = [person not in d.person for d in stream if s.start <= d.time < s.end]
                assert longest_run(missing) <= rule.max_gap


def longest_run(flags: list[bool]) -> int:
    longest = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest
