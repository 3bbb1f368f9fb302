"""Stage: the same seed, the same set; and the soundness of its diagnosis, family by family."""

import csv
import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from relact import backbones, heads
from relact.data.ava import AvaData
from relact.data.decode import read_clip
from relact.data.folder import INCOMPLETE, MANIFEST
from relact.data.stage import FAMILIES, StageConfig, generate
from relact.data.stage.families import ACTIONS, GROUPS
from relact.data.stage.play import CUT, LONG, SHORT, Scene, write_play
from relact.data.stage.script import GAP, HEIGHT, WIDTH, Skit
from relact.data.stage.truth import ACTION_ID, action_rows, keyframes
from relact.data.stage.write import play_of
from relact.errors import InputError
from relact.labels import LabelMap
from relact.model import ActionDetector
from relact.types import Actors

BEFORE, AFTER = 16 / 30, 14 / 30
"""seconds that a clip of the stage recipes sees on either side: 16 frames, 2 ticks of 1/30 s apart"""
FAR = [family for family in FAMILIES if family.far and not family.memory]
REMEMBERED = [family for family in FAMILIES if family.memory]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stage") / "set"
    generate(folder, StageConfig(videos=2, seconds=27, seed=3, validation=0.5, scale=1, rate=10))
    return folder


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def pictures_of(video: Path) -> np.ndarray:
    with av.open(str(video)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def scene_of(skit: Skit) -> Scene:
    return Scene(skit=skit, start=0, first_person=1, seed=(0,), drift=(0.0, 8.0))


def test_the_same_seed_gives_the_same_files_and_another_seed_others(small: Path, tmp_path: Path):
    again, other = tmp_path / "again", tmp_path / "other"
    config = StageConfig(videos=2, seconds=27, seed=3, validation=0.5, scale=1, rate=10)
    generate(again, config, workers=2)
    generate(other, StageConfig(videos=2, seconds=27, seed=4, validation=0.5, scale=1, rate=10))
    for video in sorted(path.name for path in (small / "videos").iterdir()):
        one, two = (pictures_of(folder / "videos" / video) for folder in (small, again))
        assert one.shape == two.shape, video
        assert not np.argwhere((one != two).any(axis=(1, 2, 3))).tolist(), f"{video}: frames that differ"
    manifest = json.loads((small / MANIFEST).read_text())
    assert json.loads((again / MANIFEST).read_text()) == manifest
    assert set(json.loads((other / MANIFEST).read_text())["files"].values()) & set(manifest["files"].values()) == {
        manifest["files"]["labels.csv"],
        manifest["files"]["primitives.csv"],
    }


def test_its_files_are_a_data_set(small: Path):
    data = AvaData(root=str(small), train="train.csv", val="val.csv", exclude="excluded.csv", cap=0)
    train, val = data.samples("train"), data.samples("val")
    assert {sample.key.video for sample in train} == {"stage_3_0000"}
    assert {sample.key.video for sample in val} == {"stage_3_0001"}
    labels = data.label_map()
    assert [label.name for label in labels] == list(ACTIONS)
    poses = [column for column, label in enumerate(labels) if GROUPS[label.name] == "pose"]
    for sample in [*train, *val]:
        assert (sample.labels[:, poses].sum(axis=1) == 1).all(), sample.key
        assert ((sample.boxes >= 0) & (sample.boxes <= 1)).all()
    frames = read_clip(train[0].path, times=[1.0, 2.0], short_side=HEIGHT)
    assert frames.shape == (3, 2, HEIGHT, WIDTH)


def test_labels_are_recoverable_from_the_log_of_events(small: Path):
    events = [json.loads(line) for line in (small / "events.jsonl").read_text().splitlines()]
    cuts = {(video, int(second)) for video, second in rows_of(small / "excluded.csv")}
    truth = {(row[0], int(row[1]), int(row[7]), int(row[6])) for row in rows_of(small / "groundtruth.csv")}
    on_stage = {row[:3] for row in truth}
    replayed = set()
    for event in events:
        for second in range(int(np.ceil(event["start"])), int(np.floor(event["end"])) + 1):
            key = (event["video"], second, event["person"])
            over = event["family"] == "posture of all" and second == event["end"]  # the next one has begun
            known = event["action"] in ACTION_ID and not over
            if known and key in on_stage and (event["video"], second) not in cuts:
                replayed.add((*key, ACTION_ID[event["action"]]))
    assert replayed == truth


def test_the_set_is_whole_only_with_its_manifest(small: Path, tmp_path: Path):
    with pytest.raises(InputError, match="is there already; give a new folder"):
        generate(small, StageConfig(videos=1, seconds=3))
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(InputError, match="is there already"):
        generate(blocked, StageConfig(videos=1, seconds=3))


@pytest.mark.parametrize("wrong", [{"videos": 0}, {"seconds": 0}, {"scale": 0}, {"validation": 1.5}, {"people": 3}])
def test_impossible_settings_are_refused(wrong: dict[str, float]):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        StageConfig(**wrong)


def test_a_full_disk_leaves_no_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("relact.data.stage.write._write_csv", full)
    with pytest.raises(InputError, match=r"the disk is full; without a manifest.json the set is not whole"):
        generate(tmp_path / "set", StageConfig(videos=1, seconds=3, scale=1, rate=8))
    assert not (tmp_path / "set" / MANIFEST).exists()
    assert (tmp_path / "set" / INCOMPLETE).exists()


def test_every_family_is_played_as_often_as_the_others():
    played = [scene.skit.family for number in range(40) for scene in write_play("v", (0, number), 48).scenes]
    short, long = ({name: played.count(name) for name in deck} for deck in (SHORT, LONG))
    assert set(short.values()) == {40}
    assert sum(long.values()) == 80
    assert min(long.values()) >= 12
    longer = [scene.skit.family for number in range(10) for scene in write_play("v", (0, number), 54).scenes]
    assert {name: longer.count(name) for name in SHORT} == {**dict.fromkeys(SHORT, 10), "second order": 30}


@pytest.mark.parametrize("family", FAR, ids=lambda family: family.name)
def test_the_linear_head_has_no_gradient_on_the_evidence(family):
    """What decides lies out of sight of the box: the backbone, RoIAlign and the head together do not see so far."""
    torch.manual_seed(0)
    labels = LabelMap.load("ava60")
    model = ActionDetector.of(
        backbones.config("slowfast_stage"), heads.preset("linear"), labels=labels, exclusive=(), short_side=HEIGHT
    ).eval()
    for seed in range(3):
        scene = scene_of(SHORT[family.name](np.random.default_rng(seed)))
        event = next(event for event in scene.skit.events if event.action in family.actions)
        frames = torch.rand(1, 3, 16, HEIGHT, WIDTH, requires_grad=True)
        box = scene.seen(scene.skit.people[event.person].box(1.0), 1.0)
        out = model(frames, Actors.of([torch.tensor([box])]))
        out.logits.sum().backward()
        seen = frames.grad.abs().sum(dim=(0, 1, 2))
        assert float(seen[:, int(box[0]) : int(box[2])].min(dim=1).values.max()) > 0
        for x1, y1, x2, y2 in evidence(scene, event, 1.0):
            region = seen[max(0, int(y1)) : int(np.ceil(y2)), max(0, int(x1)) : int(np.ceil(x2))]
            assert region.numel()
            assert float(region.max()) == 0, (family.name, seed, box, (x1, y1, x2, y2))


def evidence(scene: Scene, event, time: float) -> list[tuple[float, float, float, float]]:
    """Where the evidence of an event shows while its clip lasts, instruments in hands included."""
    found = []
    for moment in np.linspace(time - BEFORE, time + AFTER, 16):
        dx, dy = scene.camera(moment)
        boxes = [scene.skit.things[index].box(moment) for index in event.things]
        for index in event.people:
            points = scene.skit.people[index].points(moment)
            boxes += [] if points is None else [(*points.min(axis=0), *points.max(axis=0))]
        found += [(x1 - dx, y1 - dy, x2 - dx, y2 - dy) for x1, y1, x2, y2 in boxes]
    return [box for box in found if box[2] > 0 and box[0] < WIDTH]


@pytest.mark.parametrize("family", REMEMBERED, ids=lambda family: family.name)
def test_no_labelled_clip_reaches_into_the_seconds_of_the_evidence(family):
    for seed in range(20):
        skit = LONG[family.name](np.random.default_rng(seed))
        events = [event for event in skit.events if event.action in family.actions]
        assert events
        for event in events:
            assert event.seen is not None
            seconds = [s for s in range(1, skit.seconds) if event.start <= s <= event.end]
            assert len(seconds) >= 3, "memory is not worth a family of two keyframes"
            for second in seconds:
                clip = second - BEFORE, second + AFTER
                assert clip[1] <= event.seen[0] or clip[0] >= event.seen[1], (seed, event, second)


def plays(number: int, seed: int):
    return (play_of(StageConfig(seed=seed), index) for index in range(number))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_classifier_of_the_boxes_is_at_chance(family):
    """Features of the box alone, a random-feature classifier: as good on unseen plays as a coin."""
    ids = [ACTION_ID[action] for action in family.actions]
    rows = [(number, row) for number, play in enumerate(plays(300, 11)) for row in action_rows(play) if row[6] in ids]
    boxes = np.array([[float(value) for value in row[2:6]] for _, row in rows])
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    features = np.column_stack([boxes, width, height, width / height])
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    random = np.random.default_rng(0)
    lifted = np.cos(features @ random.normal(size=(features.shape[1], 150)) + random.uniform(0, 6.3, 150))
    sign = np.array([1.0 if row[6] == ids[0] else -1.0 for _, row in rows])
    train = np.array([number for number, _ in rows]) < 200
    weights = np.linalg.solve(lifted[train].T @ lifted[train] + 30 * np.eye(150), lifted[train].T @ sign[train])
    right = (np.sign(lifted[~train] @ weights) == sign[~train]).mean()
    clips = len({(number, row[1]) for (number, row), kept in zip(rows, ~train, strict=True) if kept})
    assert abs(sign.mean()) < 0.12
    assert right < 0.5 + 3 * 0.5 / np.sqrt(clips / 2), (family.name, right, clips)  # keyframes of a scene say the same


def test_keyframes_stay_clear_of_cuts():
    for play in plays(5, 2):
        cuts = play.cuts()
        for second, scene in keyframes(play):
            assert second not in cuts
            assert scene.start - CUT <= second < scene.start + scene.skit.seconds


def test_the_gap_is_more_than_what_the_backbone_sees_beyond_a_box():
    torch.manual_seed(0)
    model = ActionDetector.of(
        backbones.config("slowfast_stage"), heads.preset("linear"), labels=LabelMap.load("ava60"), exclusive=()
    ).eval()
    reach = 0.0
    for left in range(120, 136, 3):
        frames = torch.rand(1, 3, 16, HEIGHT, WIDTH, requires_grad=True)
        model(frames, Actors.of([torch.tensor([[left, 40.0, left + 18.0, 84.0]])])).logits.sum().backward()
        seen = frames.grad.abs().sum(dim=(0, 1, 2, 3)).nonzero()[:, 0]
        reach = max(reach, float(left - seen.min()), float(seen.max() + 1 - (left + 18)))
    assert 40 < reach < GAP
