"""Frame-mAP and video-mAP of the public evaluations: on real annotation, and as slow loops on random scenes."""

import json
from pathlib import Path

import numpy as np
import pytest
import tube_oracle as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from relact.interop.unpickle import restricted_load
from relact.labels import Label, LabelMap
from relact.metrics.ap_rules import FRAME_RULES, TUBE_RULES, TubeRules
from relact.metrics.frame_rows import FrameRows, read_truth
from relact.metrics.frames import evaluate_frames, label_map
from relact.metrics.tube_linking import LINK_RULES, link_boxes, trimmed
from relact.metrics.tubes import Tubes, build
from relact.metrics.video_map import THRESHOLDS, video_ap
from relact.metrics.videos import from_ids

FRAMES = {
    "act": "ACT/MOC",
    "3d-retinanet": "3D-RetinaNet (ACT but no +1)",
    "road": "gurkirt realtime",
    "multisports": "HIT/MultiSports",
    "yowo": "YOWO (annotated frames only)",
}
TUBES = {
    "ACT/MOC (nms 0.3)": TUBE_RULES["act"],
    "3D-RetinaNet = ACT without tube NMS": TUBE_RULES["3d-retinanet"],
    "HIT/MultiSports nms0.3": TUBE_RULES["multisports"],
    "ACT but VOC-AP": TubeRules(matching="next best", area="envelope", last_pixel=True, nms=0.3),
    "HIT/MultiSports no nms": TubeRules(
        matching="best only", area="envelope", last_pixel=False, nms=None, duration="difference"
    ),
}


@pytest.fixture
def mini(shared_data: Path, tmp_path: Path):
    """Made-up detections of 72 test videos: the archive, its expected figures, the array's file, the list of videos."""
    folder = shared_data / "ucf24" / "synth_mini"
    archive = np.load(folder / "mini_seed11.npz")
    np.save(tmp_path / "detections.npy", archive["frame_dets"])
    (tmp_path / "videos.txt").write_text("\n".join(archive["videos"].tolist()))
    expected = json.loads((folder / "expected.json").read_text())
    return archive, expected, tmp_path / "detections.npy", tmp_path / "videos.txt"


@pytest.mark.parametrize("rules", FRAMES)
def test_frames_of_real_annotation(shared_data, mini, rules):
    _, expected, detections, split = mini
    annotation = shared_data / "ucf24" / "annotations" / "pyannot.pkl"
    report = evaluate_frames(detections, annotation, rules=rules, split=split)
    official = expected[f"frame@0.5 {FRAMES[rules]}"]
    assert report.mAP * 100 == pytest.approx(official["mAP"], abs=1e-9)
    assert [result.ap * 100 for result in report.classes] == pytest.approx(official["ap"], abs=1e-9)


def test_every_rule_is_held_against_its_figures():
    assert FRAMES.keys() == FRAME_RULES.keys()
    assert [name for name, rules in TUBE_RULES.items() if rules not in TUBES.values()] == ["road"]  # below, as loops


@pytest.mark.parametrize("key", TUBES)
def test_tubes_of_real_annotation(shared_data, mini, key):
    archive, expected, _, split = mini
    truth, _ = read_truth(shared_data / "ucf24" / "annotations" / "pyannot.pkl", label_map("ucf24"), split)
    tubes = from_ids(truth, truth.action - 1, "")
    meta, rows = archive["tube_meta"], archive["tube_rows"].astype(np.float64)
    of = np.repeat(np.arange(len(meta)), meta[:, 4].astype(np.int64))
    frame = rows[:, 0].astype(np.int64) - 1
    found = build(of, *meta[of, :2].astype(np.int64).T, frame, rows[:, 1:], meta[of, 2])
    result = video_ap(tubes, found, num_classes=24, rules=TUBES[key])
    official = expected[f"video {key}"]
    for k, threshold in enumerate(result.thresholds):
        assert result.ap[k] * 100 == pytest.approx(official["ap"][f"{threshold:.2f}"], abs=1e-9)
        assert result.mean(threshold) * 100 == pytest.approx(official["mAP"][f"{threshold:.2f}"], abs=1e-9)
    assert result.mean_over() * 100 == pytest.approx(official["mAP"]["0.5:0.95"], abs=1e-9)


def test_published_detections_of_moc(shared_data):
    """Two videos, two classes; the tubes are MOC's own."""
    folder = shared_data / "ucf24" / "moc_samples"
    official = json.loads((folder / "expected.json").read_text())
    truth, videos, tubes = _moc_truth(folder)
    rows = np.load(folder / "all_dets.npy").astype(np.float64)
    found = _rows(truth.videos, rows[:, 0], rows[:, 1] - 1, rows[:, 4:], rows[:, 2] + 1, rows[:, 3])
    labels = LabelMap([Label(id=1, name="Basketball"), Label(id=2, name="BasketballDunk")])
    for threshold in ("0.5", "0.6", "0.7", "0.85"):
        report = evaluate_frames(found, truth, labels, iou_threshold=float(threshold))
        assert report.mAP == pytest.approx(
            official["frame_ap mean over (Basketball, BasketballDunk), ACT rule"][threshold]
        )
    found_tubes = _moc_tubes(folder, videos)
    result = video_ap(tubes, found_tubes, num_classes=24, rules=TUBE_RULES["act"], thresholds=(0.2, 0.25, 0.3, 0.5))
    for threshold in result.thresholds:
        assert result.mean(threshold) == pytest.approx(official["video_ap mean, tube NMS 0.3"][f"{threshold:g}"])


def _moc_truth(folder: Path):
    content = restricted_load(folder / "gt_tubes.pkl")
    videos = list(content)
    parts = [
        (v, label, number, np.asarray(tube))
        for v, by_label in enumerate(content.values())
        for label, tubes in by_label.items()
        for number, tube in enumerate(tubes)
    ]
    length = [len(tube) for *_, tube in parts]
    boxes = np.concatenate([tube for *_, tube in parts])
    video, label, number = (np.repeat([part[k] for part in parts], length) for k in range(3))
    truth = _rows(videos, video, boxes[:, 0] - 1, boxes[:, 1:], label + 1, np.ones(len(boxes)), number)
    return truth, videos, from_ids(truth, truth.action - 1, "")


def _moc_tubes(folder: Path, videos: list[str]) -> Tubes:
    parts = []
    for v, name in enumerate(videos):
        content = restricted_load(folder / "tubes" / f"{name}_tubes.pkl")
        parts += [(v, label, np.asarray(tube), score) for label, tubes in content.items() for tube, score in tubes]
    of = np.repeat(np.arange(len(parts)), [len(part[2]) for part in parts])
    rows = np.concatenate([part[2] for part in parts]).astype(np.float64)
    video, label, score = (np.array([part[k] for part in parts])[of] for k in (0, 1, 3))
    return build(of, video, label, rows[:, 0].astype(np.int64) - 1, rows[:, 1:5], score)


def _rows(videos, video, frame, boxes, action, score, track=None) -> FrameRows:
    return FrameRows(
        path="rows", videos=tuple(videos), video=np.asarray(video, np.int64), frame=np.asarray(frame, np.int64),
        boxes=np.asarray(boxes, np.float64).reshape(-1, 4), action=np.asarray(action, np.int64),
        score=np.asarray(score, np.float64),
        track=np.full(len(video), -1) if track is None else np.asarray(track, np.int64),
    )  # fmt: skip


# --- random scenes, small enough for loops and crowded enough for every rule to matter


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    low = rng.integers(0, 5, (count, 2)) * 10.0
    return np.concatenate([low, low + rng.integers(1, 4, (count, 2)) * 10.0 - 1], axis=1)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(0, 60), st.sampled_from([0.2, 0.5]))
def test_frames_as_loops(seed, num_truths, num_detections, threshold):
    rng = np.random.default_rng(seed)
    sides = [
        _rows(
            ("a", "b"), rng.integers(0, 2, n), rng.integers(0, 2, n), random_boxes(rng, n), rng.integers(1, 3, n),
            rng.permutation(n) / 100,
        )
        for n in (num_truths, num_detections)
    ]  # fmt: skip
    truth, found = sides
    labels = LabelMap([Label(id=1, name="a"), Label(id=2, name="b")])
    report = evaluate_frames(found, truth, labels, iou_threshold=threshold)
    for action, ap in report.ap_by_class.items():
        truths: dict[tuple[int, int], list[np.ndarray]] = {}
        for row in np.flatnonzero(truth.action == action):
            truths.setdefault((truth.video[row], truth.frame[row]), []).append(truth.boxes[row])
        detections = [
            ((found.video[row], found.frame[row]), found.score[row], found.boxes[row])
            for row in np.flatnonzero(found.action == action)
        ]
        if truths:
            assert ap == pytest.approx(oracle.walk(detections, truths, oracle.iou, threshold), abs=1e-12)
        else:
            assert ap is None


def random_tubes(rng: np.random.Generator, count: int) -> list[tuple[int, int, float, np.ndarray]]:
    """(video, class, score, [K, 5]); corners move, lengths from one frame."""
    tubes = []
    for score in rng.permutation(count) / 100:
        length, begin = int(rng.integers(1, 12)), int(rng.integers(0, 8))
        boxes = random_boxes(rng, 1) + np.arange(length)[:, None] * rng.integers(-2, 3)
        rows = np.column_stack([begin + np.arange(length), boxes])
        tubes.append((int(rng.integers(2)), int(rng.integers(2)), score, rows))
    return tubes


def as_tubes(tubes: list[tuple[int, int, float, np.ndarray]]) -> Tubes:
    of = np.repeat(np.arange(len(tubes)), [len(rows) for *_, rows in tubes])
    rows = np.concatenate([np.zeros((0, 5)), *(rows for *_, rows in tubes)])
    video, column, score = (np.array([tube[k] for tube in tubes])[of] for k in range(3))
    return build(of, video.astype(np.int64), column.astype(np.int64), rows[:, 0].astype(np.int64), rows[:, 1:], score)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 20))
def test_tubes_as_loops(seed, num_truths, num_detections):
    rng = np.random.default_rng(seed)
    truth, found = random_tubes(rng, num_truths), random_tubes(rng, num_detections)
    result = video_ap(as_tubes(truth), as_tubes(found), num_classes=2, rules=TUBE_RULES["act"], thresholds=THRESHOLDS)
    for column in range(2):
        truths: dict[int, list[np.ndarray]] = {}
        for video, k, _, rows in truth:
            if k == column:
                truths.setdefault(video, []).append(rows)
        detections = []
        for video in range(2):
            ours = [tube for tube in found if tube[:2] == (video, column)]
            kept = oracle.nms([tube[3] for tube in ours], [tube[2] for tube in ours], oracle.iou3dt, 0.3)
            detections += [(video, ours[k][2], ours[k][3]) for k in sorted(kept)]
        for row, threshold in enumerate(THRESHOLDS):
            if truths:
                expected = oracle.walk(detections, truths, oracle.iou3dt, threshold)
                assert result.ap[row, column] == pytest.approx(expected, abs=1e-12)
            else:
                assert np.isnan(result.ap[row, column])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 45), st.sampled_from(["act", "road"]))
def test_linking_as_loops(seed, num_frames, name):
    """A few people who wander, vanish and cross; both classes are linked at once, the loops take them one by one."""
    rng = np.random.default_rng(seed)
    scenes = {column: random_scene(rng, num_frames) for column in range(2)}
    rows = [
        (column, frame, *box)
        for column, frames in scenes.items()
        for frame, boxes in enumerate(frames)
        for box in boxes
    ]
    table = np.array(rows, np.float64).reshape(-1, 7)
    column, frame = table[:, :2].astype(np.int64).T
    tubes = link_boxes(
        video=np.zeros(len(rows), np.int64), column=column, frame=frame, boxes=table[:, 2:6], scores=table[:, 6],
        rules=LINK_RULES[name],
    )  # fmt: skip
    wanted = [
        (k, score, np.array(tube)) for k, frames in scenes.items()
        for score, tube in (oracle.act_tubes if name == "act" else oracle.road_tubes)(frames)
    ]  # fmt: skip
    assert len(tubes) == len(wanted)
    ours = sorted(
        (int(tubes.column[n]), int(tubes.begin[n]), int(tubes.end[n]), round(float(tubes.score[n]), 9),
         tubes.boxes[tubes.start[n] : tubes.start[n + 1]].round(6).tolist())
        for n in range(len(tubes))
    )  # fmt: skip
    theirs = sorted(
        (k, int(tube[0, 0]), int(tube[-1, 0]), round(float(score), 9), tube[:, 1:5].round(6).tolist())
        for k, score, tube in wanted
    )
    assert ours == theirs


def random_scene(rng: np.random.Generator, num_frames: int) -> list[list[tuple[float, ...]]]:
    people = [(rng.uniform(0, 60, 2), rng.uniform(-2, 2, 2)) for _ in range(4)]
    frames = []
    for _ in range(num_frames):
        boxes = []
        for place, speed in people:
            place += speed
            if rng.random() < 0.7:
                corner = place + rng.normal(0, 2, 2)
                boxes.append((*corner, *(corner + 25), float(rng.random())))
        boxes += [(*c, *(c + 20), float(rng.random()) / 2) for c in rng.uniform(0, 80, (int(rng.integers(0, 3)), 2))]
        frames.append(boxes)
    return frames


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 16), min_size=1, max_size=9), min_size=1, max_size=4), st.sampled_from([0, 0.5, 3])
)
def test_trimming_finds_the_best_labelling(tracks, cost):
    """Of each track the parts that stay on are worth as much as the best of all labellings."""
    of = np.repeat(np.arange(len(tracks)), [len(track) for track in tracks])
    frame = np.concatenate([np.arange(len(track)) for track in tracks])
    scores = np.concatenate([np.array(track) / 16 for track in tracks])
    tubes = build(of, of, np.zeros(len(of), np.int64), frame, np.ones((len(of), 4)), scores)
    parts = trimmed(tubes, cost)
    for n, track in enumerate(tracks):
        labels = np.zeros(len(track), np.bool_)
        for k in np.flatnonzero(parts.video == n):
            labels[parts.begin[k] : parts.end[k] + 1] = True
            assert parts.score[k] == pytest.approx(np.mean(np.array(track)[parts.begin[k] : parts.end[k] + 1]) / 16)
        best, value = oracle.best_labelling([score / 16 for score in track], cost)
        assert value(labels.tolist()) == pytest.approx(best)


def test_multisports_own_figures(shared_data):
    """Boxes of 1280 x 720; the truth is MultiSports' pickle, of the layout of UCF101v2-GT."""
    folder = shared_data / "samples_mmaction2"
    official = json.loads((folder / "expected.json").read_text())[
        "eval_multisports official MultiSports frameAP (percent)"
    ]
    files = folder / "eval_multisports"
    names = restricted_load(files / "gt.pkl")["labels"]
    labels = LabelMap(Label(id=k, name=name) for k, name in enumerate(names, start=1))
    archive = np.load(files / "frame_dets.npz")
    rows = archive["frame_dets"]
    turned = rows.copy()
    turned[[172, 176]] = rows[[176, 172]]  # of equal scores, the only ones whose order moves a figure
    assert rows[172, 3] == rows[176, 3]
    for threshold, figure in official.items():
        reached = []
        for order in (rows, turned):
            found = _rows(
                archive["videos"].tolist(), order[:, 0], order[:, 1] - 1, order[:, 4:], order[:, 2] + 1, order[:, 3]
            )
            rules = {"rules": "multisports", "iou_threshold": float(threshold)}
            reached.append(evaluate_frames(found, files / "gt.pkl", labels, **rules).mAP * 100)
        assert figure == pytest.approx(reached[1], abs=1e-6)
        assert reached[0] == pytest.approx(figure, abs=0.1)
