"""A pipe that is filled faster than the machine judges: one frame is then the nearest to several samples."""

from types import SimpleNamespace

import numpy as np

from relact.data.windows import SampledFrame
from relact.serve.live_source import LATE_S, LivePeople, Skipped


def test_a_frame_is_looked_at_told_and_counted_once():
    told, skipped, age = [], Skipped(), {0.0: 0.0, 1.6: 0.0, 3.2: 2 * LATE_S, 4.8: 0.0}

    def find(pictures):
        return [(np.array([[20.0, 10, 60, 90]]), np.array([0.9])) for _ in pictures]

    people = LivePeople(
        find, SimpleNamespace(age=age.get), lambda second, found: told.append((second, found.ids.tolist())),
        hz=10, every=1, threshold=0.5, ahead=0.5, skipped=skipped,
    )  # fmt: skip
    for frame_s in (0.0, 0.0, 1.6, 1.6, 3.2, 3.2, 3.2, 4.8):
        people.see(
            SampledFrame(time_s=frame_s, index=0, frame_s=frame_s, pts=0, picture=np.zeros((100, 200, 3), np.uint8))
        )
    assert [second for second, _ in told] == [0.0, 1.6, 4.8]
    assert all(len(ids) == 1 for _, ids in told)
    assert skipped.pictures == 1
