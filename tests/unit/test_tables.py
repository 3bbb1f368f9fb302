"""The tables of detect: exact text, all formats equal, nothing half-written, errors that say where."""

import builtins
import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relact.errors import InputError
from relact.labels import Label, LabelMap
from relact.types import Detections, Keyframe
from relact.video.run_record import Counts, Protocol, RunRecord, Source, Weights, fingerprint
from relact.video.tables import KINDS, Table, open_actions, open_ava, read_actions

LABELS = LabelMap(
    [
        Label(id=11, name="sit", group="pose"),
        Label(id=79, name="talk to (e.g., self, a person)", group="person"),
        Label(id=2, name="crawl", group="pose", evaluated=False),
    ]
)


def detections(
    time: float = 902.0,
    boxes: Any = ((0.25, 0.5, 0.5, 1.0),),
    scores: Any = ((0.9, 0.04, 0.3),),
    video: str = "street",
) -> Detections:
    return Detections(
        key=Keyframe(video, round(time)),
        time=time,
        frame=27060,
        pts=13854720,
        width=640,
        height=360,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        box_scores=np.full(len(boxes), 0.75, np.float32),
        scores=np.array(scores, np.float32).reshape(-1, 3),
        person=np.arange(1, len(boxes) + 1),
        track=np.arange(len(boxes)),
    )


def write(path: Path, *keyframes: Detections, threshold: float = 0.05) -> Path:
    with open_actions(path, LABELS, video="street", threshold=threshold) as table:
        for keyframe in keyframes:
            table.write(keyframe)
    return path


def test_csv_text(tmp_path: Path) -> None:
    text = write(tmp_path / "actions.csv", detections()).read_text()
    person = (
        "street,902.000000,27060,13854720,1,160.00,180.00,320.00,360.00,0.250000,0.500000,0.500000,1.000000,0.750000"
    )
    assert text.splitlines() == [",".join(KINDS), f"{person},11,sit,0.900000", f"{person},2,crawl,0.300000"]


def test_a_person_below_the_threshold_keeps_the_best_action(tmp_path: Path) -> None:
    path = write(tmp_path / "actions.csv", detections(scores=((0.01, 0.04, 0.02),)))
    assert read_actions(path)["action_id"].tolist() == [79]


def test_names_that_need_quotes_survive(tmp_path: Path) -> None:
    path = write(tmp_path / "actions.csv", detections(video='a "b", 100%.mp4', scores=((0, 0.9, 0),)))
    rows = list(csv.DictReader(path.open(newline="")))
    assert [(row["video"], row["action"]) for row in rows] == [('a "b", 100%.mp4', "talk to (e.g., self, a person)")]
    assert read_actions(path)["video"].tolist() == ['a "b", 100%.mp4']


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_formats_agree_and_come_back(tmp_path: Path, suffix: str) -> None:
    two = ((0.25, 0.5, 0.5, 1.0), (0.125, 0.0, 0.375, 0.5))
    path = write(
        tmp_path / f"deep/actions{suffix}",
        detections(901.5, two, ((0.9, 0.5, 0), (0.1, 0.2, 0.3))),
        detections(boxes=(), scores=()),
    )
    columns = read_actions(path)
    assert list(columns) == list(KINDS)
    assert columns["person_id"].tolist() == [1, 1, 2, 2, 2]
    assert columns["action"].tolist() == [
        "sit",
        "talk to (e.g., self, a person)",
        "crawl",
        "talk to (e.g., self, a person)",
        "sit",
    ]
    assert columns["time_s"].tolist() == [901.5] * 5
    assert columns["pts"].tolist() == [13854720] * 5
    np.testing.assert_allclose(columns["score"], [0.9, 0.5, 0.3, 0.2, 0.1], atol=1e-6)
    np.testing.assert_allclose(
        [columns[c][2] for c in ("x1_px", "y1_px", "x2_px", "y2_px")], [80, 0, 240, 180], atol=1e-2
    )
    np.testing.assert_allclose([columns[c][2] for c in ("x1", "y1", "x2", "y2")], [0.125, 0, 0.375, 0.5], atol=1e-6)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_no_keyframes_and_nobody_are_a_table_without_rows(tmp_path: Path, suffix: str) -> None:
    for keyframes in ((), (detections(boxes=(), scores=()),)):
        assert len(read_actions(write(tmp_path / f"actions{suffix}", *keyframes))["score"]) == 0


def test_json_document(tmp_path: Path) -> None:
    document = json.loads(write(tmp_path / "actions.json", detections(), detections(903.0, (), ())).read_text())
    assert document["video"] == "street"
    assert document["labels"][0] == {"id": 11, "name": "sit", "group": "pose"}
    assert document["keyframes"][0]["people"] == [
        {
            "person_id": 1,
            "box": [0.25, 0.5, 0.5, 1.0],
            "box_px": [160.0, 180.0, 320.0, 360.0],
            "box_score": 0.75,
            "actions": [{"id": 11, "name": "sit", "score": 0.9}, {"id": 2, "name": "crawl", "score": 0.3}],
        }
    ]
    assert document["keyframes"][1] == {
        "time_s": 903.0, "frame": 27060, "pts": 13854720, "width": 640, "height": 360, "people": [],
    }  # fmt: skip


def test_ava_has_every_evaluated_action_at_whole_seconds(tmp_path: Path) -> None:
    with open_ava(tmp_path / "ava.csv", LABELS) as table:
        table.write(detections(902.02, scores=((0.9, 1.25e-7, 0.3),)))
        table.write(detections(5.0, (), ()))
    box = "street,0902,0.250000,0.500000,0.500000,1.000000"
    assert (tmp_path / "ava.csv").read_text() == f"{box},11,0.9\n{box},79,1.25e-07\n"


def test_ava_keyframes_between_seconds_and_threshold(tmp_path: Path) -> None:
    with open_ava(tmp_path / "ava.csv", LABELS, every=0.5, threshold=0.5) as table:
        table.write(detections(902.49, scores=((0.9, 0.1, 0.9),)))
    assert (tmp_path / "ava.csv").read_text() == "street,902.500000,0.250000,0.500000,0.500000,1.000000,11,0.9\n"


def fail_after_one(table: Table) -> None:
    table.write(detections())
    raise RuntimeError


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_a_failure_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(RuntimeError), open_actions(tmp_path / f"a{suffix}", LABELS, video="street") as table:
        fail_after_one(table)
    assert list(tmp_path.iterdir()) == []


def test_scores_of_the_caller_are_not_written_to(tmp_path: Path) -> None:
    given = detections()
    before = given.scores.copy()
    write(tmp_path / "actions.csv", given)
    np.testing.assert_array_equal(given.scores, before)


def test_unknown_suffix_and_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"ending in \.csv, \.parquet, \.json"):
        write(tmp_path / "actions.xlsx")
    found = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r'pip install "relact\[parquet\]"'):
        write(tmp_path / "actions.parquet")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("street,1.0,3", "line 3: expected 17 columns as in the header, got 3"),
        ("street,soon" + ",1" * 15, "line 3: expected float in column time_s, got 'soon'"),
        ("street,1.0,1.5" + ",1" * 14, "line 3: expected int in column frame, got '1.5'"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "actions.csv", detections(scores=((0.9, 0, 0),)))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(InputError, match=message):
        read_actions(path)


def test_not_a_table_of_ours(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "a.json").write_text('{"keyframes": [{}], "video": "v"}')
    with pytest.raises(InputError, match=r"a\.csv line 1: expected the header"):
        read_actions(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"a\.json: expected the actions\.json"):
        read_actions(tmp_path / "a.json")
    with pytest.raises(InputError, match="no such file"):
        read_actions(tmp_path / "b.csv")


def record(path: Path, timings: Mapping[str, float]) -> RunRecord:
    size, digest = fingerprint(path)
    return RunRecord(
        protocol=Protocol(
            keyframe_period=1.0, window=64, stride=2.0, short_side=256, box_source="boxes.csv",
            box_threshold=0.8, action_threshold=0.05, classes=60,
        ),
        weights=Weights.of(path, "ava_r50"),
        source=Source(
            file=str(path), bytes=size, head_sha256=digest, duration=60.0, width=360, height=640, rate=29.97,
            rotation=90, codec="h264",
        ),
        seconds_covered=41.2,
        counts=Counts(frames=1235, keyframes=41, boxes=80, people=3, segments=5),
        device="cpu",
        precision="bf16",
        timings=dict(timings),
        warnings=("decoded 41.2 s of 60.0 s",),
    )  # fmt: skip


def test_run_record(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"abc")
    record(tmp_path / "v.mp4", {"decode": 1.5}).write(tmp_path / "run.json")
    run = json.loads((tmp_path / "run.json").read_text())
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (run["source"]["bytes"], run["source"]["head_sha256"], run["weights"]["sha256"]) == (3, abc, abc)
    assert run["protocol"]["people_cap"] is None
    assert run["warnings"] == ["decoded 41.2 s of 60.0 s"]
    assert {"relact", "torch", "torchvision", "av", "python"} <= run["versions"].keys()


def test_run_record_refuses_what_json_cannot_say(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"abc")
    with pytest.raises(ValueError, match="JSON"):
        record(tmp_path / "v.mp4", {"decode": float("nan")}).write(tmp_path / "run.json")
    assert not (tmp_path / "run.json").exists()
