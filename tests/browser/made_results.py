"""Results as detect writes them, made up: what is in them is known, and no model has to run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from relact.labels import Label, LabelMap
from relact.types import Detections, Keyframe
from relact.video.run_record import Counts, Protocol, RunRecord, Source, fingerprint
from relact.video.segments import Hysteresis, open_segments
from relact.video.tables import open_actions
from relact.viz.report import Film, Found, ReportData, SegmentColumns

LABELS = LabelMap(
    [
        Label(id=11, name="sit", group="pose"),
        Label(id=14, name="walk", group="pose"),
        Label(id=17, name="carry/hold (an object)", group="object"),
        Label(id=80, name="watch (a person)", group="person"),
    ]
)

SIZE = np.array([0.15, 0.24])
"""of everybody's box"""


def moving_people(video: str, seconds: int, people: int = 3, *, labels: LabelMap = LABELS) -> list[Detections]:
    """Keyframes a second apart: people cross the picture, the last one leaves after half of the time."""
    random = np.random.default_rng(4)
    start, scores = random.uniform(0, 0.5, (people, 2)), random.uniform(0.06, 0.99, (seconds, people, len(labels)))
    keyframes = []
    for second in range(seconds):
        here = np.arange(people if second <= seconds // 2 else people - 1)
        corner = start[here] + np.array([0.02, 0.01]) * second * (1 + here[:, None])
        corner = corner.clip(0, 0.75)
        keyframe = Detections(
            key=Keyframe(video, second), time=float(second), frame=25 * second, pts=90_000 * second, width=288,
            height=96, boxes=np.concatenate([corner, corner + SIZE], axis=1).astype(np.float32),
            box_scores=np.full(len(here), 0.9, np.float32), scores=scores[second, here].astype(np.float32),
            person=here + 1, track=here,
        )  # fmt: skip
        keyframes.append(keyframe)
    return keyframes


def write_result(
    folder: Path,
    video: Path,
    detections: Sequence[Detections],
    *,
    name: str,
    seconds: float,
    labels: LabelMap = LABELS,
    kind: str = "csv",
    warnings: tuple[str, ...] = (),
) -> Path:
    """The tables and run.json of these detections in `folder`; labels.csv beside the weights that run.json names."""
    table_file = folder / f"actions.{kind}"
    with (
        open_actions(table_file, labels, video=name) as table,
        open_segments(folder / "segments.csv", labels, Hysteresis(), video=name) as segments,
    ):
        for keyframe in detections:
            table.write(keyframe)
            segments.write(keyframe)
        segments.close(seconds)
    size, head = fingerprint(video) if video.is_file() else (1, "0")
    people = {person for keyframe in detections for person in keyframe.person.tolist()}
    RunRecord(
        protocol=Protocol(
            keyframe_period=1.0, window=8, stride=4, short_side=256, box_source="boxes.csv", box_threshold=0.5,
            action_threshold=0.05, classes=len(labels),
        ),
        weights=None,
        source=Source(
            file=str(video), bytes=size, head_sha256=head, duration=seconds, width=288, height=96, rate=25.0,
            rotation=0, codec="h264",
        ),
        seconds_covered=seconds,
        counts=Counts(
            frames=round(25 * seconds), keyframes=len(detections), people=len(people),
            boxes=sum(len(keyframe.person) for keyframe in detections), segments=segments.count,
        ),
        device="cpu",
        precision="float32",
        timings={},
        warnings=warnings,
    ).write(folder / "run.json")  # fmt: skip
    return folder


def long_report(people: int = 10, seconds: int = 3600, actions: int = 6) -> ReportData:
    """An hour of ten people, each with several actions every second."""
    random = np.random.default_rng(0)
    labels = LabelMap.load("ava")
    person = np.repeat(np.arange(people), seconds)
    keyframe = np.tile(np.arange(seconds), people)
    walk = np.cumsum(random.normal(0, 0.004, (people, seconds, 2)), axis=1).reshape(-1, 2) % 0.7
    mine = np.stack([random.permutation(len(labels))[:20] for _ in range(people)])
    box = np.repeat(np.arange(people * seconds), actions)
    turn = (keyframe[box] // 7 + np.tile(np.arange(actions), people * seconds) * 3) % 20
    scores = -np.sort(-random.uniform(0.05, 1, (people * seconds, actions)), axis=1).reshape(-1)
    count = people * 600
    start = random.uniform(0, seconds - 12, count)
    return ReportData(
        title="an hour of ten people",
        film=Film(src=None, width=1280, height=720, duration=float(seconds), rate=25.0, note="made up: no video"),
        labels=labels,
        times=np.arange(seconds, dtype=np.float64),
        every=1.0,
        found=Found(
            ids=np.arange(1, people + 1), person=person, keyframe=keyframe,
            boxes=np.concatenate([walk, walk + SIZE], axis=1), box_scores=np.full(len(person), 0.9), box=box,
            column=mine[person[box], turn], scores=scores,
        ),
        segments=SegmentColumns(
            person=random.integers(0, people, count), column=random.integers(0, len(labels), count), start=start,
            end=start + random.uniform(1, 12, count), mean=random.uniform(0.35, 1, count),
            peak=random.uniform(0.5, 1, count), count=random.integers(1, 12, count),
        ),
    )  # fmt: skip
