"""Video-mAP: tubes by hand, linking, trimming, ids, and the report."""

import json
from pathlib import Path

import numpy as np
import pytest

from relact.errors import InputError
from relact.labels import Label, LabelMap
from relact.metrics.ap_rules import TUBE_RULES, TubeRules
from relact.metrics.frames import evaluate_frames
from relact.metrics.tube_linking import LINK_RULES, best_boxes, link_boxes, trimmed
from relact.metrics.tubes import Tubes, build, suppress, thin_out, tube_iou
from relact.metrics.video_map import video_ap
from relact.metrics.videos import evaluate_videos

ACT, PLAIN = TUBE_RULES["act"], TUBE_RULES["road"]
LABELS = LabelMap([Label(id=1, name="run"), Label(id=2, name="sit", group="pose"), Label(id=3, name="wave")])


def tubes(*entries: tuple[int, int, float, int, int, float]) -> Tubes:
    """Each (video, class, score, first frame, last frame, left side): boxes 10 wide and high, ends inclusive."""
    length = [end - begin + 1 for _, _, _, begin, end, _ in entries]
    of = np.repeat(np.arange(len(entries)), length)
    frame = np.concatenate([np.arange(begin, end + 1) for *_, begin, end, _ in entries])
    video, column, score, _, _, left = (np.array([entry[k] for entry in entries])[of] for k in range(6))
    boxes = np.column_stack([left, np.zeros(len(of)), left + 10, np.full(len(of), 10)])
    return build(of, video.astype(np.int64), column.astype(np.int64), frame, boxes, score)


def overlap(a: Tubes, b: Tubes, rules: TubeRules = PLAIN) -> float:
    return float(tube_iou(a, b, np.array([0]), np.array([0]), rules)[0])


# --- tubes


def test_iou_is_that_of_time_times_the_mean_of_space():
    one = tubes((0, 0, 1, 0, 9, 0))
    assert overlap(one, one) == 1
    assert overlap(one, tubes((0, 0, 1, 5, 14, 0))) == pytest.approx(5 / 15)
    assert overlap(one, tubes((0, 0, 1, 5, 14, 5))) == pytest.approx(5 / 15 * (50 / 150))
    assert overlap(one, tubes((0, 0, 1, 5, 14, 5)), ACT) == pytest.approx(5 / 15 * (6 * 11 / (2 * 121 - 6 * 11)))
    difference = TubeRules(matching="best only", area="envelope", last_pixel=False, nms=None, duration="difference")
    assert overlap(one, tubes((0, 0, 1, 5, 14, 0)), difference) == pytest.approx(4 / 14)


def test_tubes_that_share_a_frame_or_none_do_not_overlap():
    one = tubes((0, 0, 1, 0, 9, 0))
    for first in (9, 10, 40):
        assert overlap(one, tubes((0, 0, 1, first, first + 9, 0)), ACT) == 0
    single = tubes((0, 0, 1, 3, 3, 0))
    assert overlap(single, single, ACT) == 0  # as in ACT's code, where last frames must differ


def test_gaps_are_filled_and_scores_are_of_what_was_seen():
    of, zeros = np.zeros(3, np.int64), np.zeros(3, np.int64)
    boxes = np.array([[0, 0, 10, 10], [30, 0, 40, 10], [40, 0, 50, 10]], float)
    order = [2, 0, 1]
    frame, scores = np.array([1, 4, 5]), np.array([0.2, 0.8, 0.5])
    tube = build(of, zeros, zeros, frame[order], boxes[order], scores[order])
    assert (tube.begin.tolist(), tube.end.tolist()) == ([1], [5])
    assert tube.boxes[:, 0].tolist() == [0, 10, 20, 30, 40]
    assert tube.row_score.tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.5])
    assert tube.score.tolist() == pytest.approx([0.5])
    later = build(of, zeros, zeros, frame[order], boxes[order], scores[order], "next")
    assert later.boxes[:, 0].tolist() == [0, 30, 30, 30, 40]


def test_suppression_is_greedy():
    """0 beats 1, 1 would beat 2: 2 stays, for 1 is gone."""
    assert suppress(np.array([0, 1]), np.array([1, 2]), 3).tolist() == [True, False, True]
    chain = tubes((0, 0, 0.9, 0, 9, 0), (0, 0, 0.8, 0, 9, 4), (0, 0, 0.7, 0, 9, 8), (0, 1, 0.1, 0, 9, 0))
    assert thin_out(chain, ACT).score.tolist() == pytest.approx([0.9, 0.7, 0.1])
    assert len(thin_out(chain, PLAIN)) == 4


def test_taken_tubes_leave_the_next_best():
    truth = tubes((0, 0, 1, 0, 9, 0), (0, 0, 1, 0, 9, 4))
    found = tubes((0, 0, 0.9, 0, 9, 1), (0, 0, 0.8, 0, 9, 1.5))
    for matching, ap in (("next best", 1.0), ("best only", 0.5)):
        rules = TubeRules(matching=matching, area="envelope", last_pixel=False, nms=None)
        result = video_ap(truth, found, num_classes=2, rules=rules, thresholds=(0.5, 0.95))
        assert result.ap[:, 0].tolist() == [ap, 0]
        assert np.isnan(result.ap[:, 1]).all()
        assert result.mean(0.5) == ap
        assert result.mean_over((0.5, 0.95)) == ap / 2
    other_video = video_ap(truth, tubes((1, 0, 1, 0, 9, 0)), num_classes=2, rules=PLAIN, thresholds=(0.2,))
    assert other_video.mean(0.2) == 0
    nothing = video_ap(truth, found.take(np.zeros(0, np.int64)), num_classes=2, rules=ACT, thresholds=(0.2,))
    assert nothing.mean(0.2) == 0


# --- linking and trimming


def linked(frames, lefts, scores, name="act", **options) -> Tubes:
    count = len(frames)
    left = np.asarray(lefts, np.float64)
    boxes = np.column_stack([left, np.zeros(count), left + 9, np.full(count, 9)])
    zeros = np.zeros(count, np.int64)
    return link_boxes(
        video=zeros, column=zeros, frame=np.asarray(frames), boxes=boxes, scores=np.asarray(scores, np.float64),
        rules=LINK_RULES[name], **options,
    )  # fmt: skip


def test_the_gap_that_a_tube_survives():
    """ACT: the fifth frame after the last still links. ROAD: the third."""
    for name, step in (("act", 5), ("road", 3)):
        whole = [*range(20), *range(19 + step, 40)]
        assert [t.tolist() for t in (_ends(linked(whole, [0] * len(whole), [0.5] * len(whole), name)))] == [[0], [39]]
        cut = [*range(20), *range(20 + step, 40)]
        assert _ends(linked(cut, [0] * len(cut), [0.5] * len(cut), name))[0].tolist() == [0, 20 + step]


def _ends(found: Tubes) -> tuple[np.ndarray, np.ndarray]:
    return np.sort(found.begin), np.sort(found.end)


def test_the_better_tube_chooses_first_and_takes_the_best_score():
    """At frame 15 the tubes at 0 and 6 both reach the box at 3: the one with the better mean has it."""
    frames = [*np.repeat(np.arange(15), 2), 15, 15]
    lefts = [*[0, 6] * 15, 3, 40]
    found = linked(frames, lefts, [*[0.6, 0.5] * 15, 0.9, 0.2])
    best = int(found.score.argmax())
    assert (found.begin[best], found.end[best]) == (0, 15)
    assert found.score[best] == pytest.approx((15 * 0.6 + 0.9) / 16)
    assert len(found) == 2  # the box at 40 is too short a tube


def test_short_and_unlikely_tubes_are_dropped():
    assert len(linked(range(14), [0] * 14, [0.5] * 14)) == 0
    assert len(linked(range(15), [0] * 15, [0.5] * 15)) == 1
    assert len(linked(range(15), [0] * 15, [0.001] * 15)) == 0
    assert len(linked(range(9), [0] * 9, [0.5] * 9, "road")) == 0
    assert len(linked(range(10), [0] * 10, [0.5] * 10, "road")) == 1
    assert len(linked([], [], [])) == 0


def test_a_frame_keeps_its_ten_best_boxes_apart():
    lefts = np.array([*np.arange(12) * 20.0, 1, 2])
    boxes = np.column_stack([lefts, np.zeros(14), lefts + 9, np.full(14, 9)])
    scores = np.array([*np.linspace(0.9, 0.1, 12), 0.95, 0.05])
    zeros = np.zeros(14, np.int64)
    kept = best_boxes(zeros, zeros, boxes, scores, LINK_RULES["act"])
    assert np.flatnonzero(kept).tolist() == [*range(1, 10), 12]  # 12 beats 0 and 13; ten are left


def test_trimming_cuts_where_the_action_is_unlikely():
    scores = [0.1] * 10 + [0.9] * 20 + [0.4] * 2 + [0.9] * 20 + [0.1] * 10
    whole = linked(range(62), [0] * 62, scores, "road")
    assert (whole.begin.tolist(), whole.end.tolist()) == ([0], [61])
    assert whole.score[0] == pytest.approx(0.9)  # of the 40 best frames
    cut = linked(range(62), [0] * 62, scores, "road", trim=3.0)
    assert (cut.begin.tolist(), cut.end.tolist()) == ([10], [51])  # the dip is cheaper than two changes
    parts = linked(range(62), [0] * 62, scores, "road", trim=0.1)
    assert (parts.begin.tolist(), parts.end.tolist()) == ([10, 32], [29, 51])
    nothing = linked(range(62), [0] * 62, [0.2] * 62, "road", trim=3.0)
    assert len(nothing) == 0
    with pytest.raises(InputError, match="trimming cost -1: expected 0 or more"):
        trimmed(whole, -1)
    with pytest.raises(InputError, match=r"scores from 2 to 2: .* expected probabilities"):
        linked(range(20), [0] * 20, [2.0] * 20, "road", trim=3.0)


# --- files


def table(path: Path, rows: list[tuple], last: str) -> Path:
    lines = [",".join(map(str, row)) for row in rows]
    path.write_text("\n".join([f"video,frame,x1,y1,x2,y2,action,person{last}", *lines]) + "\n")
    return path


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """In v one runs for 30 frames, sits after a pause; in w another waves; every frame is labelled."""
    rows = [("v", t, 10, 10, 60, 90, "run", 1) for t in range(30)]
    rows += [("v", t, 10, 10, 60, 90, "sit", 1) for t in [*range(30, 45), *range(60, 75)]]
    rows += [("w", t, 100, 10, 160, 90, "wave", 1) for t in range(20)]
    return table(tmp_path / "truth.csv", rows, "")


def test_ids_are_tubes_cut_where_the_action_pauses(truth, tmp_path: Path):
    report = evaluate_videos(truth_with_scores(truth, tmp_path), truth, LABELS, linking="ids")
    assert report.counts["groundtruth_tubes"] == report.counts["predicted_tubes"] == 4
    assert report.maps == {"0.2": 1.0, "0.5": 1.0, "0.75": 1.0, "0.5:0.95": 1.0}
    content = json.loads(report.to_json())
    assert content["protocol"]["linking"] == "ids"
    assert content["protocol"]["tube_nms"] == 0.3
    assert content["classes"][1]["ap"] == {"0.2": 1.0, "0.5": 1.0, "0.75": 1.0, "0.5:0.95": 1.0}
    assert content["classes"][1]["truths"] == 2


def truth_with_scores(truth: Path, tmp_path: Path) -> Path:
    lines = truth.read_text().splitlines()
    scores = ["score", *[f"{1 - k / 1000:.3f}" for k in range(len(lines) - 1)]]
    path = tmp_path / "predictions.csv"
    path.write_text("".join(f"{line},{score}\n" for line, score in zip(lines, scores, strict=True)))
    return path


def test_rows_at_one_a_second_are_tubes_too(truth, tmp_path: Path):
    """The steps of 5 and 6 frames are both usual: nothing is cut, and the gaps are filled."""
    rows = [("v", t, 10, 10, 60, 90, "run", 1, 0.9) for t in (0, 5, 10, 15, 21, 26)]
    found = table(tmp_path / "p.csv", rows, ",score")
    report = evaluate_videos(found, truth, LABELS, linking="ids")
    assert report.counts["predicted_tubes"] == 1
    assert report.classes[0]["ap"] == {"0.2": 1.0, "0.5": 1.0, "0.75": 1.0, "0.5:0.95": 0.9}  # 27 / 30


def test_predicted_ids_may_miss_a_few_frames_and_true_ones_may_not(truth, tmp_path: Path):
    frames = [t for t in range(30) if t not in (5, 6, 7, 8, 20)]
    holed = table(tmp_path / "p.csv", [("v", t, 10, 10, 60, 90, "run", 1, 0.9) for t in frames], ",score")
    assert evaluate_videos(holed, truth, LABELS, linking="ids").counts["predicted_tubes"] == 1
    assert evaluate_videos(holed, holed, LABELS, linking="ids").counts["groundtruth_tubes"] == 3


@pytest.mark.parametrize("linking", ["act", "road"])
def test_boxes_are_linked_and_ids_that_are_not_used_are_said(truth, tmp_path: Path, linking):
    report = evaluate_videos(truth_with_scores(truth, tmp_path), truth, LABELS, linking=linking)
    assert report.maps["0.75"] == 1
    assert report.warnings == ("the predictions carry ids, which linking does not use; --linking ids does",)
    trimmed_report = evaluate_videos(truth_with_scores(truth, tmp_path), truth, LABELS, linking=linking, trim=3.0)
    assert trimmed_report.maps["0.75"] == 1
    assert trimmed_report.protocol["trim_cost"] == 3


def test_mistakes_are_one_clear_error(truth, tmp_path: Path):
    found = truth_with_scores(truth, tmp_path)
    with pytest.raises(InputError, match="linking 'actt': expected one of act, road, or ids"):
        evaluate_videos(found, truth, LABELS, linking="actt")
    with pytest.raises(InputError, match="rules 'yowo': for tubes there are act, "):
        evaluate_videos(found, truth, LABELS, rules="yowo")
    nobody = tmp_path / "nobody.csv"
    nobody.write_text("video,frame,x1,y1,x2,y2,action,score\nv,0,0,0,9,9,run,0.5\n")
    with pytest.raises(InputError, match=r"nobody\.csv: it has no ids of people or tubes; link its boxes"):
        evaluate_videos(nobody, truth, LABELS, linking="ids")
    with pytest.raises(InputError, match=r"nobody\.csv: it has no ids of people or tubes; the truth of video-mAP"):
        evaluate_videos(found, nobody, LABELS)
    twice = table(tmp_path / "twice.csv", [("v", 4, 0, 0, 9, 9, "run", 3)] * 2, "")
    with pytest.raises(InputError, match=r"twice\.csv: id 3 has two boxes of action 1 on frame 4 of v"):
        evaluate_videos(found, twice, LABELS)


def test_no_tubes_are_said_and_a_zero_explains_itself(truth, tmp_path: Path):
    sparse = table(tmp_path / "p.csv", [("v.mp4", t, 10, 10, 60, 90, "run", 1, 0.9) for t in (0, 10, 20)], ",score")
    report = evaluate_videos(sparse, truth, LABELS)
    assert "3 boxes made no tube that is long and sure enough by act's rules" in report.warnings[-1]
    assert report.explanation is not None
    assert report.explanation.box_recall == 1


@pytest.mark.parametrize("name", ["header.csv", "empty.csv", "array.npy"])
@pytest.mark.parametrize(
    "options", [{}, {"linking": "ids"}, {"linking": "road", "trim": 3.0}, {"rules": "multisports"}]
)
def test_no_predictions_are_a_zero_that_says_so(truth, tmp_path: Path, name, options):
    (tmp_path / "header.csv").write_text("video,frame,x1,y1,x2,y2,action,score\n")
    (tmp_path / "empty.csv").write_text("")
    np.save(tmp_path / "array.npy", np.zeros((0, 8)))
    report = evaluate_videos(tmp_path / name, truth, LABELS, **options)
    assert report.maps == {"0.2": 0, "0.5": 0, "0.75": 0, "0.5:0.95": 0}
    assert report.warnings == (f"{tmp_path / name}: no predictions in it",)
    assert [finding.kind for finding in report.explanation.findings] == ["no predictions"]
    if not options:
        frames = evaluate_frames(tmp_path / name, truth, LABELS, errors=True)
        assert frames.mAP == 0
        assert frames.errors.counts["missed person"] == frames.counts["groundtruth_boxes"] == 80
