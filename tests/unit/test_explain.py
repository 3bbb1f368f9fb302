"""A metric that explains a zero: each fault is made and found, and a result without faults is left in peace."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from relact.labels import LabelMap
from relact.metrics.ava import evaluate
from relact.metrics.explain import Explanation, explain
from relact.metrics.explain_side import Side
from relact.metrics.frames import evaluate_frames

LABELS = LabelMap.load("ava60")
VIDEOS = ("vid_01", "vid_02", "vid_10")


def scene() -> tuple[Side, Side]:
    """Three videos of 30 seconds, people who walk and change what they do; predictions near them, some wrong."""
    rng = np.random.default_rng(3)
    video, second, person = (grid.ravel() for grid in np.meshgrid(range(3), range(902, 932), range(3), indexing="ij"))
    ids = np.array(LABELS.ids)
    left = 0.05 + 0.3 * person + 0.05 * ((second * 7 + 3 * person) % 6)
    boxes = np.column_stack([left, np.full(len(left), 0.3), left + 0.12, np.full(len(left), 0.8)])
    action = ids[(person * 11 + second * 5 + video * 3) % len(ids)]
    truth = Side(
        path="truth.csv", videos=VIDEOS, video=video, instant=second.astype(float), boxes=boxes, action=action,
        score=np.ones(len(video)),
    )  # fmt: skip
    right = rng.random(len(video)) < 0.7
    found = replace(
        truth, path="found.csv", boxes=(boxes + rng.normal(0, 0.005, boxes.shape)).clip(0, 1),
        action=np.where(right, action, rng.choice(ids, len(action))), score=rng.uniform(0.1, 0.9, len(action)),
    )  # fmt: skip
    return truth, found


def moved(boxes: np.ndarray, factor: float) -> np.ndarray:
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * factor
    return np.column_stack([centre - half, centre + half])


FAULTS: dict[str, tuple[Callable[[Side, Side], Side], str, str]] = {
    "another suffix": (
        lambda truth, found: replace(found, videos=tuple(f"{name}.mp4" for name in VIDEOS)),
        "video names",
        '270 of 270 prediction rows name videos that the labels lack, and would meet them without folder and suffix: '
        'labels have "vid_01", predictions "vid_01.mp4"; write the labels\' names',
    ),
    "another case": (
        lambda truth, found: replace(found, videos=("VID_01", "Vid_02", "VID_10")), "video names", "in lower case",
    ),
    "unpadded names": (
        lambda truth, found: replace(found, videos=("vid_1", "vid_2", "vid_10")), "video names",
        'without the zeros before numbers: labels have "vid_01", predictions "vid_1"',
    ),
    "other videos": (
        lambda truth, found: replace(found, videos=("a", "b", "c")), "videos",
        'labels have "vid_01", "vid_02" and 1 more, predictions "a", "b" and 1 more; are these two files of one set?',
    ),
    "a second late": (
        lambda truth, found: replace(found, instant=found.instant + 1), "times", "-1 second makes it",
    ),
    "a second early": (
        lambda truth, found: replace(found, instant=found.instant - 1), "times", "+1 second makes it",
    ),
    "from the start of the clip": (
        lambda truth, found: replace(found, instant=found.instant - 902), "times",
        "0.0% of the predictions lie at keyframes that the labels list; +902 seconds makes it 100.0%: labels have "
        "seconds 902 to 931, predictions seconds 0 to 29",
    ),
    "fractions of a second": (
        lambda truth, found: replace(found, instant=found.instant + 0.01 * (found.video + 1)), "times",
        "rounding to whole seconds makes it",
    ),
    "frames for seconds": (
        lambda truth, found: replace(found, instant=found.instant * 30), "times",
        "predictions seconds 27060 to 27930; are both in seconds from the start of the video?",
    ),
    "pixels": (
        lambda truth, found: replace(found, boxes=found.boxes * [640, 360, 640, 360]), "units",
        "the predictions look like pixels, the others like fractions",
    ),
    "too small": (lambda truth, found: replace(found, boxes=moved(found.boxes, 0.4)), "box size", "too small, 0.1"),
    "too large": (lambda truth, found: replace(found, boxes=moved(found.boxes, 2.5)), "box size", "too large, 6."),
    "y before x": (
        lambda truth, found: replace(found, boxes=found.boxes[:, [1, 0, 3, 2]]), "box order",
        "read as y1,x1,y2,x2 it would be 100.0%",
    ),
    "width and height": (
        lambda truth, found: replace(
            found, boxes=np.column_stack([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]])
        ),
        "box order", "read as x,y,width,height it would be 100.0%",
    ),
    "elsewhere": (
        lambda truth, found: replace(found, boxes=found.boxes + np.array([0, 0.4, 0, 0.4])), "box recall",
        "0.0% of the labelled boxes have a predicted box with an IoU of 0.5",
    ),
    "few classes": (
        lambda truth, found: replace(found, action=np.where(found.action <= 30, found.action, 12)),
        "never predicted", "labelled actions are never predicted",
    ),
    "unlabelled classes": (
        lambda truth, found: replace(found, action=np.full(len(found), 2)), "no truth", "2 (not in the map)",
    ),
    "no order": (
        lambda truth, found: replace(found, score=np.full(len(found), 0.5)), "scores",
        "all 270 scores looked at are 0.5",
    ),
    "logits": (
        lambda truth, found: replace(found, score=found.score - 12), "scores", "write probabilities, not logits",
    ),
    "nothing": (lambda truth, found: found.take(np.zeros(0, np.int64)), "no predictions", "no predictions in it"),
}  # fmt: skip


def _next(action: np.ndarray, step: int) -> np.ndarray:
    return (np.searchsorted(np.array(LABELS.ids), action) + step) % len(LABELS)


CONSECUTIVE = LabelMap(replace(label, id=k) for k, label in enumerate(LABELS, start=1))


def judged(change: Callable[[Side, Side], Side]) -> Explanation:
    truth, found = scene()
    return explain(truth, change(truth, found), LABELS)


def test_a_healthy_result_is_left_in_peace():
    explanation = judged(lambda truth, found: found)
    assert explanation.findings == ()
    assert explanation.box_recall == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_alone(fault):
    """One finding, of its kind, with its numbers; predictions without labels leave labels without predictions."""
    change, kind, text = FAULTS[fault]
    findings = judged(change).findings
    kinds = [finding.kind for finding in findings]
    assert kinds == (["never predicted", kind] if fault == "unlabelled classes" else [kind])
    assert text in next(finding.text for finding in findings if finding.kind == kind)


@pytest.mark.parametrize("step", [1, -1])
def test_ids_that_are_one_off_are_found(step):
    """With ids without holes, as in one's own labels."""
    truth, found = scene()
    truth = replace(truth, action=_next(truth.action, 1) + 1)
    found = replace(found, action=_next(found.action, 1) + 1 + step)
    (finding,) = [f for f in explain(truth, found, CONSECUTIVE).findings if f.kind == "ids"]
    assert f"with ids {-step:+d} " in finding.text
    assert "is meant; ids count from 1" in finding.text


def test_pixels_of_another_picture_are_found():
    truth, found = scene()
    truth = replace(truth, boxes=truth.boxes * [320, 240, 320, 240])
    found = replace(found, boxes=found.boxes * [1280, 720, 1280, 720], picture=(320, 240))
    (finding,) = explain(truth, found, LABELS).findings
    assert finding.kind == "picture"
    assert "the labels' picture is 320 x 240" in finding.text


def test_two_faults_are_two_findings():
    truth, found = scene()
    found = replace(found, videos=tuple(f"{name}.avi" for name in VIDEOS), instant=found.instant - 902)
    found = replace(found, boxes=moved(found.boxes, 0.4))
    assert [finding.kind for finding in explain(truth, found, LABELS).findings] == ["video names", "times", "box size"]


def test_everything_excluded_is_said():
    truth, found = scene()
    for share, kinds in ((1.0, ["excluded"]), (0.6, ["excluded"]), (0.4, [])):
        excluded = np.arange(len(truth)) < share * len(truth)
        findings = explain(truth, found, LABELS, excluded=excluded).findings
        assert [finding.kind for finding in findings] == kinds
    assert (
        "is the list of excluded timestamps of another split?"
        in explain(truth, found, LABELS, excluded=np.ones(len(truth), np.bool_)).findings[0].text
    )


def test_many_predictions_are_thinned_out_and_the_answer_is_the_same():
    truth, found = scene()
    many = found.take(np.repeat(np.arange(len(found)), 500))
    many = replace(many, boxes=many.boxes + np.random.default_rng(0).normal(0, 0.001, many.boxes.shape))
    assert explain(truth, many, LABELS).findings == ()
    small = replace(many, boxes=moved(many.boxes, 0.4))
    assert [finding.kind for finding in explain(truth, small, LABELS).findings] == ["box size"]


# --- through the evaluations


@pytest.fixture
def ava_files(tmp_path: Path):
    def write(video: str = "v", shift: int = 0) -> tuple[Path, Path]:
        truth, found = tmp_path / "t.csv", tmp_path / "p.csv"
        truth.write_text("".join(f"v,{t:04d},0.1,0.1,0.4,0.9,{12 if t % 2 else 80},1\n" for t in range(902, 932)))
        rows = (f"{video},{t + shift},0.1,0.1,0.4,0.9,{12 if t % 2 else 80},0.{t % 90 + 10}\n" for t in range(902, 932))
        found.write_text("".join(rows))
        return found, truth

    return write


def test_ava_explains_itself_below_a_hundredth_or_when_asked(ava_files):
    assert evaluate(*ava_files()).explanation is None  # seconds with zeros before them are the same seconds
    asked = evaluate(*ava_files(), explain=True)
    assert asked.explanation == Explanation(findings=(), box_recall=1.0)
    assert asked.to_dict()["explanation"] == {"findings": [], "box_recall": 1.0}
    zero = evaluate(*ava_files("v.mp4"))
    assert zero.mAP == 0
    assert [finding.kind for finding in zero.explanation.findings] == ["video names"]
    assert evaluate(*ava_files("v.mp4"), explain=False).explanation is None
    late = evaluate(*ava_files(shift=1))
    assert [finding.kind for finding in late.explanation.findings] == ["times"]


def test_frames_explain_themselves_too(tmp_path: Path):
    header = "video,frame,x1,y1,x2,y2,action,score\n"
    rows = [(t, 40 + 2 * t, 50, 120 + 2 * t, 200) for t in range(40)]
    truth, found = tmp_path / "t.csv", tmp_path / "p.csv"
    truth.write_text(header + "".join(f"Class/v,{t},{a},{b},{c},{d},3,1\n" for t, a, b, c, d in rows))
    found.write_text(header + "".join(f"v.avi,{t},{a},{b},{c},{d},2,0.{t + 10}\n" for t, a, b, c, d in rows))
    report = evaluate_frames(found, truth)
    kinds = [finding.kind for finding in report.explanation.findings]
    assert kinds == ["never predicted", "no truth", "ids"]  # the names met without folder and suffix
    found.write_text(found.read_text().replace("v.avi", "other"))
    report = evaluate_frames(found, truth)
    assert "videos" in [finding.kind for finding in report.explanation.findings]
    assert "no prediction is of a judged video" in report.warnings[0]


def test_real_predictions_are_left_in_peace(shared_data: Path):
    """Published detections of one video, and made-up ones of eight: whole keyframes, 50 rows, 80 actions."""
    ava = shared_data / "ava"
    for found, truth in (
        ("preds/amcrnet_1j20qq1JyX4.csv", "preds/gt_1j20qq1JyX4.csv"),
        ("synth8/det.csv.gz", "annotations/ava_val_v2.1_8videos.csv"),
    ):
        explanation = evaluate(ava / found, ava / truth, explain=True).explanation
        assert explanation.findings == ()
        assert explanation.box_recall > 0.85
