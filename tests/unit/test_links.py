"""Links of one box file judged by another, counted by hand; and what cannot be judged."""

import json
from pathlib import Path

import numpy as np
import pytest

from relact.errors import InputError
from relact.interop.linking import LinkConfig
from relact.metrics.identity import Tracks
from relact.metrics.links import LinkCounts, evaluate_links, judge_links

Row = tuple[float, float, int]  # second, left, id


def ava(path: Path, rows: list[Row], video: str = "v") -> Path:
    """An AVA csv of boxes 0.1 wide and high."""
    lines = [f"{video},{second:g},{left:.3f},0.1,{left + 0.1:.3f},0.2,12,{person}\n" for second, left, person in rows]
    path.write_text("".join(lines))
    return path


def both(folder: Path, truth: list[Row], found: list[Row], **options: float) -> LinkCounts:
    return evaluate_links(ava(folder / "p.csv", found), ava(folder / "t.csv", truth), **options).total


TRUTH: list[Row] = [(t, left, who) for t in (1, 2, 3) for left, who in ((0.1, 5), (0.5, 6))]


def test_perfect_ids_under_other_names(tmp_path: Path) -> None:
    counts = both(tmp_path, TRUTH, [(t, left, 40 - who) for t, left, who in TRUTH])
    assert (counts.precision, counts.recall, counts.idf1, counts.switches) == (1, 1, 1, 0)
    assert (counts.predicted, counts.true, counts.matched) == (4, 4, 6)


def test_two_people_swapped_in_the_last_second(tmp_path: Path) -> None:
    found = [(t, left, who if t < 3 else 11 - who) for t, left, who in TRUTH]
    counts = both(tmp_path, TRUTH, found)
    assert (counts.predicted, counts.right, counts.true, counts.found) == (4, 2, 4, 2)
    assert counts.switches == 2
    assert counts.idf1 == pytest.approx(8 / 12)  # 4 of 6 boxes in the best pairing


def test_a_missed_box_costs_the_links_that_touch_it(tmp_path: Path) -> None:
    """The id goes on behind the gap: right for those who were seen, two true links are missed."""
    found = [row for row in TRUTH if row != (2, 0.1, 5)]
    counts = both(tmp_path, TRUTH, found)
    assert (counts.predicted, counts.right) == (3, 3)
    assert (counts.true, counts.found) == (4, 2)


def test_a_false_box_in_a_track_costs_the_links_that_touch_it(tmp_path: Path) -> None:
    """Person 5 is not there at 2; the predicted track goes through a box of nobody."""
    truth = [row for row in TRUTH if row != (2, 0.1, 5)]
    found = [(2, 0.8, 5) if row == (2, 0.1, 5) else row for row in TRUTH]
    counts = both(tmp_path, truth, found)
    assert (counts.predicted, counts.right) == (4, 2)
    assert (counts.true, counts.found) == (3, 3)  # over the gap it is one id before and after


def test_a_track_of_nobody_is_wrong(tmp_path: Path) -> None:
    counts = both(tmp_path, TRUTH, [*TRUTH, (1, 0.8, 9), (2, 0.8, 9)])
    assert (counts.predicted, counts.right, counts.recall) == (5, 4, 1)


def test_an_id_that_comes_back_to_its_person_skips_a_link(tmp_path: Path) -> None:
    """5, 9, 5: the link from the first to the last jumps over a sight of the same person."""
    truth: list[Row] = [(1, 0.1, 1), (2, 0.1, 1), (3, 0.1, 1)]
    counts = both(tmp_path, truth, [(1, 0.1, 5), (2, 0.1, 9), (3, 0.1, 5)])
    assert (counts.predicted, counts.right, counts.true, counts.found) == (1, 0, 2, 0)


def test_links_over_more_than_the_gap_count_on_neither_side(tmp_path: Path) -> None:
    rows: list[Row] = [(1, 0.1, 1), (2, 0.1, 1), (4, 0.1, 1), (9, 0.1, 1)]
    assert both(tmp_path, rows, rows).true == 3
    assert both(tmp_path, rows, rows, max_gap=1).true == 1
    gapped = both(tmp_path, rows, rows, max_gap=2)
    assert (gapped.true, gapped.predicted, gapped.precision, gapped.recall) == (2, 2, 1, 1)


def test_a_box_is_its_person_from_the_least_overlap_on(tmp_path: Path) -> None:
    truth: list[Row] = [(1, 0.1, 1), (2, 0.1, 1)]
    near: list[Row] = [(1, 0.14, 1), (2, 0.14, 1)]  # IoU 6/14
    assert both(tmp_path, truth, near).recall == 0
    assert both(tmp_path, truth, near, min_iou=0.4).recall == 1


def test_ids_are_of_one_video_and_shares_are_of_all_links(tmp_path: Path) -> None:
    """Person 1 of `a` and person 1 of `b` are two; a video with more links weighs more."""
    truth = [
        *((f"a,{t}", 1) for t in (1, 2, 3, 4)),
        *((f"b,{t}", 1) for t in (1, 2)),
        *((f"c,{t}", 2) for t in (1, 2)),
    ]
    text = {
        "t.csv": "".join(f"{key},0.1,0.1,0.2,0.2,12,{who}\n" for key, who in truth),
        "p.csv": "".join(
            f"{key},0.1,0.1,0.2,0.2,12,{who if key[0] == 'a' else int(key[2])}\n" for key, who in truth if key[0] != "c"
        ),
    }
    for name, content in text.items():
        (tmp_path / name).write_text(content + ("d,1,0.1,0.1,0.2,0.2,12,1\n" if name == "p.csv" else ""))
    report = evaluate_links(tmp_path / "p.csv", tmp_path / "t.csv")
    assert list(report.videos) == ["a", "b", "c"]
    assert (report.videos["a"].recall, report.videos["b"].recall) == (1, 0)
    assert report.videos["b"].precision is None  # it links nothing
    assert (report.total.found, report.total.true) == (3, 5)
    assert report.total.precision == 1
    assert "1 of 3 videos have no predictions, such as 'c'" in report.warnings[0]
    assert "1 predicted videos are not in the truth, such as 'd'" in report.warnings[1]


def test_instants_that_the_truth_does_not_list_do_not_count(tmp_path: Path) -> None:
    """Predicted at 5 Hz, judged at 1 Hz; at second 2 the truth says that nobody is there."""
    truth = ava(tmp_path / "t.csv", [(1, 0.1, 1), (3, 0.1, 1)])
    truth.write_text(truth.read_text() + "v,2\n")
    found = ava(tmp_path / "p.csv", [(k / 5, 0.1, 7) for k in range(4, 17)])
    report = evaluate_links(found, truth)
    assert (report.total.predicted_boxes, report.total.matched) == (3, 2)
    assert (report.total.predicted, report.total.right) == (2, 0)  # through the box of nobody at 2
    assert report.total.recall == 1
    assert "10 predicted boxes are at instants that the truth does not list" in report.warnings[0]


def test_boxes_below_the_threshold_are_left_out(tmp_path: Path) -> None:
    truth = ava(tmp_path / "t.csv", TRUTH)
    rows = [f"v,{t},{left},0.1,{left + 0.1:.3f},0.2,{who},{0.9 if who == 5 else 0.3}\n" for t, left, who in TRUTH]
    found = tmp_path / "p.csv"
    found.write_text("video,time_s,x1,y1,x2,y2,person_id,score\n" + "".join(rows))
    assert evaluate_links(found, truth).total.recall == 1
    half = evaluate_links(found, truth, box_threshold=0.5).total
    assert (half.predicted_boxes, half.precision, half.recall) == (3, 1, 0.5)


def test_relinking_ignores_the_ids_of_the_file(tmp_path: Path) -> None:
    """By overlap alone, person 1 walks on (IoU 8/12), person 2 jumps and is lost, and a gap of 2 is a choice."""
    truth: list[Row] = [(1, 0.1, 1), (2, 0.12, 1), (4, 0.12, 1), (1, 0.5, 2), (2, 0.8, 2), (3, 0.3, 3)]
    path = ava(tmp_path / "t.csv", truth)
    near = evaluate_links(path, path, relink=LinkConfig()).total
    assert (near.predicted, near.right, near.true) == (1, 1, 3)
    far = evaluate_links(path, path, relink=LinkConfig(max_gap=2)).total
    assert (far.predicted, far.right, far.true) == (2, 2, 3)


MOT = "1,3,{left},11,10,10,1\n2,3,{left},11,10,10,1\n4,3,{left},11,10,10,1\n"


def test_frames_and_pixels_meet_seconds_and_fractions(tmp_path: Path) -> None:
    """MOT counts from 1: frame 4 at 2 fps is second 1.5, left 11 is pixel 10 of 100."""
    found = tmp_path / "p.txt"
    found.write_text(MOT.format(left=11))
    truth = ava(tmp_path / "t.csv", [(0, 0.1, 1), (0.5, 0.1, 1), (1.5, 0.1, 1)])
    counts = evaluate_links(found, truth, fps=2, picture=(100, 100)).total
    assert (counts.precision, counts.recall, counts.matched) == (1, 1, 3)
    for options, message in (
        ({"picture": (100, 100)}, r"p\.txt counts frames and .*t\.csv seconds; add --fps"),
        ({"fps": 2.0}, r"p\.txt has pixels and .*t\.csv fractions of the picture; add --picture"),
    ):
        with pytest.raises(InputError, match=message):
            evaluate_links(found, truth, **options)


def test_frames_and_pixels_on_both_sides_need_neither_rate_nor_size(tmp_path: Path) -> None:
    found, truth = tmp_path / "p.txt", tmp_path / "t.txt"
    found.write_text(MOT.format(left=51))
    truth.write_text(MOT.format(left=52))
    assert evaluate_links(found, truth).total.recall == 1
    with pytest.raises(InputError, match=r"count frames, the gap is in seconds; add --fps"):
        evaluate_links(found, truth, max_gap=1)
    gapped = evaluate_links(found, truth, max_gap=1 / 3, fps=3).total
    assert gapped.true == 1  # frames 1 to 2; 2 to 4 is two thirds of a second


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("", r"p\.csv: no boxes in it"),
        ("v,1,0.1,0.1,0.2,0.2,12,0.5\n", r"p\.csv: no person ids; .* add --relink"),
        ("v,1,0.1,0.1,0.2,0.2,12\n", r"p\.csv: no person ids"),
        ("v,1,0.1,0.1,0.2,0.2,12,3\nv,2,0.1,0.1,0.2,0.2,12\n", r"p\.csv line 2: no person id, but other boxes have"),
        (
            "v,1,0.1,0.1,0.2,0.2,12,3\nv,1,0.5,0.1,0.6,0.2,12,3\n",
            r"p\.csv line 2: person 3 has another box at 1 \(.*p\.csv line 1\)",
        ),
        ("w,1,0.1,0.1,0.2,0.2,12,3\n", r"no video in common: 'w' and 'v'"),
        ("v,91,0.1,0.1,0.2,0.2,12,3\n", r"no instant is in both: .*p\.csv has seconds 91 to 91, .* 1 to 3"),
    ],
)
def test_what_cannot_be_judged_is_said(tmp_path: Path, found: str, message: str) -> None:
    truth = ava(tmp_path / "t.csv", TRUTH)
    (tmp_path / "p.csv").write_text(found)
    with pytest.raises(InputError, match=message):
        evaluate_links(tmp_path / "p.csv", truth)


def test_the_truth_needs_ids_even_where_predictions_do_not(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("v,1,0.1,0.1,0.2,0.2,12\n")
    with pytest.raises(InputError, match=r"t\.csv: no person ids; .*the truth needs them"):
        evaluate_links(path, path, relink=LinkConfig())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_iou": 0.0}, "least overlap 0"),
        ({"min_iou": float("nan")}, "least overlap nan"),
        ({"max_gap": 0.0}, "gap 0; expected seconds"),
        ({"fps": -1.0}, "fps -1"),
    ],
)
def test_options_that_mean_nothing(tmp_path: Path, options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        both(tmp_path, TRUTH, TRUTH, **options)


def test_the_report_as_json(tmp_path: Path) -> None:
    path = ava(tmp_path / "t.csv", TRUTH)
    content = json.loads(evaluate_links(path, path, max_gap=2).to_json())
    assert content["total"]["precision"] == content["videos"]["v"]["recall"] == 1
    assert content["protocol"]["max_gap_s"] == 2
    assert content["protocol"]["ids"] == "of the predictions"


def test_no_boxes_at_all_have_no_shares() -> None:
    none = Tracks(tick=np.zeros(0, np.int64), boxes=np.zeros((0, 4)), ids=np.zeros(0, np.int64))
    counts = judge_links(none, none)
    assert (counts.precision, counts.recall, counts.idf1, counts.matched) == (None, None, None, 0)


def test_the_linker_on_avas_own_ids(shared_data: Path) -> None:
    """At 1 Hz, overlap alone; counted once with `link_scores` on the file's rows by benchmarks/tracking.py as well."""
    path = shared_data / "ava" / "annotations" / "ava_val_v2.1_8videos.csv"
    own = evaluate_links(path, path).total
    assert (own.precision, own.recall, own.idf1, own.true) == (1, 1, 1, 8486)
    linked = evaluate_links(path, path, relink=LinkConfig()).total
    assert linked.precision == pytest.approx(0.857, abs=0.001)
    assert linked.recall == pytest.approx(0.911, abs=0.001)
