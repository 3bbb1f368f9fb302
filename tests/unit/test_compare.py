"""Two results side by side: protocols first, classes by their difference, and the picture."""

import json
from pathlib import Path

import pytest
from PIL import Image

from relact.errors import InputError
from relact.metrics.compare import compare_results
from relact.metrics.compare_plot import BETTER, WORSE, _marks, draw
from relact.metrics.links import LinksReport


def result(path: Path, aps: dict[int, float | None], mean: float, **protocol: object) -> Path:
    """A result of AVA's evaluation, in short."""
    classes = [
        {
            "id": k,
            "name": f"action {k}",
            "group": "pose" if k < 3 else "object",
            "ap": ap,
            "truths": 5,
            "predictions": 9,
        }
        for k, ap in aps.items()
    ]
    stamp = {"protocol": "AVA frame-mAP", "cap": 50, "classes": 60, "groundtruth": "a/val.csv", "predictions": "p.csv"}
    content = {
        "mAP": mean, "ap_by_group": {"pose": mean, "object": None},
        "ap_by_class": {str(k): ap for k, ap in aps.items()},
        "classes": classes, "protocol": stamp | protocol,
    }  # fmt: skip
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    a = result(tmp_path / "a.json", {1: 0.5, 2: 0.2, 3: None, 4: 0.1}, 0.4)
    b = result(
        tmp_path / "b.json", {1: 0.6, 2: 0.9, 3: 0.5, 4: 0.05}, 0.5, cap=0, classes=80, groundtruth="b/val.csv", extra=1
    )
    return a, b


def test_protocols_come_first_and_classes_by_their_difference(pair):
    found = compare_results(*pair)
    assert found.protocol == {"cap": (50, 0), "classes": (60, 80), "extra": ("not recorded", 1)}
    assert [(entry.name, entry.gain) for entry in found.means] == [("mAP", pytest.approx(0.1))]
    assert [entry.name for entry in found.classes] == ["action 2", "action 1", "action 4", "action 3"]
    assert [entry.gain for entry in found.classes] == [
        pytest.approx(0.7),
        pytest.approx(0.1),
        pytest.approx(-0.05),
        None,
    ]
    assert [(entry.name, entry.a, entry.b) for entry in found.groups] == [("pose", 0.4, 0.5), ("object", None, None)]
    content = json.loads(found.to_json())
    assert content["protocol_differences"]["cap"] == [50, 0]
    assert content["classes"][0]["gain"] == pytest.approx(0.7)
    assert content["classes"][0]["truths"] == [5, 5]


def test_the_same_result_differs_in_nothing(pair):
    found = compare_results(pair[0], pair[0])
    assert found.protocol == {}
    assert {entry.gain for entry in found.classes} == {0, None}


def test_results_of_older_versions_have_no_names(pair, tmp_path: Path):
    content = json.loads(pair[0].read_text())
    del content["classes"]
    old = tmp_path / "old.json"
    old.write_text(json.dumps(content))
    assert [entry.name for entry in compare_results(old, old).classes] == [
        "action 1",
        "action 2",
        "action 4",
        "action 3",
    ]
    assert compare_results(old, pair[1]).classes[0].truths == (None, 5)


def test_tubes_are_compared_at_a_threshold(pair, tmp_path: Path):
    def tubes(name: str, low: float, high: float) -> Path:
        entry = {"id": 1, "name": "run", "group": "action", "truths": 2, "ap": {"0.2": low, "0.5": high}}
        path = tmp_path / name
        maps = {"0.2": low, "0.5": high}
        path.write_text(json.dumps({"video_mAP": maps, "classes": [entry], "protocol": {"linking": name}}))
        return path

    a, b = tubes("c.json", 0.5, 0.25), tubes("d.json", 0.75, 0.125)
    assert [entry.gain for entry in compare_results(a, b).means] == [0.25, -0.125]
    assert compare_results(a, b).classes[0].gain == -0.125
    assert compare_results(a, b, threshold="0.2").classes[0].gain == 0.25
    assert compare_results(a, b).groups[0].gain == -0.125
    with pytest.raises(InputError, match=r"c\.json: no IoU 0\.3 in it; there are 0\.2, 0\.5"):
        compare_results(a, b, threshold="0.3")
    with pytest.raises(InputError, match=r"a\.json is AVA frame-mAP, .*c\.json is video-mAP: these are two measures"):
        compare_results(pair[0], a)


def test_two_measures_are_refused_with_what_can_be_compared(pair, tmp_path: Path):
    frames = result(tmp_path / "frames.json", {1: 0.5}, 0.5, protocol="frame-mAP")
    for a, b, measures in (
        (pair[0], frames, r"a\.json is AVA frame-mAP, .*frames\.json is frame-mAP"),
        (frames, pair[1], r"frames\.json is frame-mAP, .*b\.json is AVA frame-mAP"),
    ):
        with pytest.raises(
            InputError, match=measures + ": these are two measures.*what can be compared are two"
        ) as caught:
            compare_results(a, b)
        assert "\n" not in str(caught.value)  # one sentence
    content = json.loads(frames.read_text())
    del content["protocol"]["protocol"]  # of an older version: nobody knows
    frames.write_text(json.dumps(content))
    assert compare_results(pair[0], frames).classes[0].a is not None


def test_two_data_sets_and_followed_people_are_refused(pair, tmp_path: Path):
    content = json.loads(pair[0].read_text())
    for entry in content["classes"]:
        entry["name"] = f"sport {entry['id']}"  # the same ids
    other = tmp_path / "other.json"
    other.write_text(json.dumps(content))
    with pytest.raises(
        InputError, match=r"no action in common \('action 1' …, 'sport 1' …\): results of two data sets"
    ):
        compare_results(pair[0], other)
    content["classes"][0]["name"] = "action 1"
    other.write_text(json.dumps(content))
    assert compare_results(pair[0], other).classes
    links = tmp_path / "links.json"
    links.write_text(LinksReport(videos={}, protocol={}, warnings=()).to_json())
    with pytest.raises(InputError, match=r"links\.json: says how well people are followed .*what can be compared"):
        compare_results(links, pair[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "expected a result of `relact evaluate --json`"),
        ('{"mAP": 1}', "expected a result of"),
        ('{"mAP": 1, "protocol": {}}', "broken result (KeyError"),
        ('{"mAP": 1, "protocol": {}, "ap_by_class": {"x": 1}}', "broken result (ValueError"),
    ],
)
def test_other_files_are_refused(pair, tmp_path: Path, content, message):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError) as error:
        compare_results(pair[0], tmp_path / "x.json")
    assert "x.json: " in str(error.value)
    assert message in str(error.value)
    with pytest.raises(InputError, match=r"gone\.json: cannot be read"):
        compare_results(tmp_path / "gone.json", pair[0])


def test_the_picture_has_a_bar_for_each_class_as_long_as_its_difference(pair, tmp_path: Path):
    draw(compare_results(*pair), tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.format == "PNG"
        pixels = list(image.convert("RGB").getdata())
        width = image.width
    longest = {colour: _longest_run(pixels, width, colour) for colour in (BETTER, WORSE)}
    assert longest[BETTER] / longest[WORSE] == pytest.approx(0.7 / 0.05, rel=0.1)
    with pytest.raises(InputError, match=r"plot\.jpg: the plot is a picture; expected a name ending in \.png"):
        draw(compare_results(*pair), tmp_path / "plot.jpg")


def _longest_run(pixels: list[tuple[int, int, int]], width: int, colour: tuple[int, int, int]) -> int:
    rows = [pixels[k : k + width] for k in range(0, len(pixels), width)]
    return max(row.count(colour) for row in rows)


def test_a_picture_of_nothing_is_refused(tmp_path: Path):
    a, b = (result(tmp_path / name, {1: ap}, 0.1) for name, ap in (("a.json", None), ("b.json", 0.5)))
    with pytest.raises(InputError, match="nothing to draw: no class has ground truth in both"):
        draw(compare_results(a, b), tmp_path / "plot.png")


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [(-0.05, 0.7, [0, 0.2, 0.4, 0.6]), (0, 0.012, [0, 0.005, 0.01]), (-3.0, 1.0, [-3, -2, -1, 0, 1])],
)
def test_marks_are_round(low, high, marks):
    assert _marks(low, high) == pytest.approx(marks)
