"""The drawn layer: where plates go, how boxes move between keyframes, what is painted."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relact.errors import InputError
from relact.labels import LabelMap
from relact.types import Detections, Keyframe
from relact.viz.draw import Painter, Sighting, annotate, draw, interpolate_tracks, short_names, sighting
from relact.viz.layout import Layouter, Placements, face_zones, grid, layout
from relact.viz.palette import colour, ink
from relact.viz.plates import Plates

WIDTH, HEIGHT = 320, 240
LINES = (("stand", 0.91), ("talk to (a person)", 0.71), ("watch (a person)", 0.4))


@st.composite
def crowds(draw_: st.DrawFn) -> npt.NDArray[np.float64]:
    corner = st.floats(0, 1, width=32)
    rows = draw_(st.lists(st.tuples(corner, corner, st.floats(0.03, 1), st.floats(0.05, 1)), max_size=12))
    boxes = np.array(rows).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes.clip(0, 1) * [WIDTH, HEIGHT, WIDTH, HEIGHT]


SIZES = np.array([[130, 46], [110, 32], [90, 18], [16, 18]])


def rectangles(placements: Placements, sizes: Sequence[npt.NDArray[np.int64]]) -> dict[int, npt.NDArray[np.int64]]:
    found = {}
    for i, p in enumerate(placements):
        if p is not None:
            found[i] = np.array([p.x, p.y, *(np.array([p.x, p.y]) + sizes[i][p.size])])
    return found


def overlap(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> bool:
    return bool((a[:2] < b[2:]).all() and (b[:2] < a[2:]).all())


def check(placements: Placements, boxes: npt.NDArray[np.float64], sizes: Sequence[npt.NDArray[np.int64]]) -> None:
    """What `layout` promises."""
    plates = rectangles(placements, sizes)
    for rect in plates.values():
        assert rect[0] >= 0
        assert rect[1] >= 0
        assert rect[2] <= WIDTH
        assert rect[3] <= HEIGHT
    assert not any(overlap(a, b) for a, b in itertools.combinations(plates.values(), 2))
    faces = face_zones(boxes)
    for i, rect in plates.items():
        if any(overlap(rect, face) for face in faces):
            assert placements[i].size == len(sizes[i]) - 1  # type: ignore[union-attr]
            others = [*faces, *(plate for j, plate in plates.items() if j != i)]
            for size in sizes[i]:
                slots = [np.concatenate([corner, corner + size]) for corner in grid(size, WIDTH, HEIGHT)]
                assert all(any(overlap(slot, other) for other in others) for slot in slots)


@settings(max_examples=60, deadline=None)
@given(crowds())
def test_layout_keeps_its_promises(boxes: npt.NDArray[np.float64]) -> None:
    sizes = [SIZES] * len(boxes)
    placements = layout(boxes, sizes, WIDTH, HEIGHT)
    assert len(placements) == len(boxes)
    check(placements, boxes, sizes)


@settings(max_examples=30, deadline=None)
@given(crowds(), st.integers(0, 2**16))
def test_layouter_keeps_them_while_people_move(boxes: npt.NDArray[np.float64], seed: int) -> None:
    random, layouter = np.random.default_rng(seed), Layouter()
    for _ in range(4):
        placements = layouter.place(range(len(boxes)), boxes, [SIZES] * len(boxes), WIDTH, HEIGHT)
        plates = rectangles(placements, [SIZES] * len(boxes))
        assert not any(overlap(a, b) for a, b in itertools.combinations(plates.values(), 2))
        for i, rect in plates.items():
            on_face = any(overlap(rect, face) for face in face_zones(boxes))
            assert not on_face or placements[i].size == len(SIZES) - 1  # type: ignore[union-attr]
        boxes = boxes + random.normal(0, 4, (len(boxes), 1))
        boxes = boxes.clip(0, [WIDTH, HEIGHT, WIDTH, HEIGHT])


def test_one_person_has_all_lines_above_the_box() -> None:
    (placement,) = layout(np.array([[100, 100, 180, 230]]), [SIZES], WIDTH, HEIGHT)
    assert placement is not None
    assert (placement.size, placement.leader, placement.x, placement.y + 46 < 100) == (0, False, 100, True)


def test_at_the_top_of_the_picture_the_plate_goes_elsewhere() -> None:
    boxes = np.array([[100.0, 0, 180, 150]])
    (placement,) = layout(boxes, [SIZES], WIDTH, HEIGHT)
    assert placement is not None
    assert placement.size == 0
    check([placement], boxes, [SIZES])


def test_ten_people_shoulder_to_shoulder_all_have_a_line() -> None:
    left = np.arange(10) * 30.0
    boxes = np.stack([left, np.full(10, 60.0), left + 50, np.full(10, 235.0)], axis=1)
    placements = layout(boxes, [SIZES] * 10, WIDTH, HEIGHT)
    check(placements, boxes, [SIZES] * 10)
    assert all(p is not None and p.size <= 2 for p in placements)


def test_a_face_that_fills_the_picture_leaves_the_lower_part() -> None:
    boxes = np.array([[0.0, 0, WIDTH, HEIGHT]])
    (placement,) = layout(boxes, [SIZES], WIDTH, HEIGHT)
    assert placement is not None
    assert placement.y >= HEIGHT / 3


def test_a_plate_larger_than_the_picture_is_left_out() -> None:
    assert layout(np.array([[0.0, 0, 8, 8]]), [SIZES], 10, 10) == [None]
    assert Layouter().place([1], np.array([[0.0, 0, 8, 8]]), [SIZES], 10, 10) == [None]


def test_plates_ride_on_their_boxes() -> None:
    layouter = Layouter()
    offsets = set()
    for step in range(20):
        boxes = np.array([[40.0 + step / 2, 80, 90 + step / 2, 230], [220, 90, 270, 230]])
        for placement, box in zip(layouter.place([4, 9], boxes, [SIZES] * 2, WIDTH, HEIGHT), boxes, strict=True):
            assert placement is not None
            offsets.add((round(placement.x - box[0] + 0.25), placement.y - box[1], placement.slot))
    assert len(offsets) == 2


def at(time: float, boxes: dict[int, Sequence[float]], name: str = "stand") -> Sighting:
    return Sighting(
        time=time,
        ids=tuple(boxes),
        boxes=np.array(list(boxes.values()), np.float64).reshape(-1, 4),
        lines=tuple(((name, 0.5),) for _ in boxes),
    )


SEEN = [at(1.0, {3: [0, 0, 10, 10]}, "sit"), at(2.0, {}), at(3.0, {3: [20, 0, 30, 10], 1: [5, 5, 9, 9]})]


def test_boxes_move_in_straight_lines_and_texts_are_the_nearest() -> None:
    now = interpolate_tracks(SEEN, 1.5, max_gap=2.0, hold=0.5)
    assert now.ids == (3,)
    np.testing.assert_allclose(now.boxes, [[5, 0, 15, 10]])
    assert now.lines == ((("sit", 0.5),),)
    assert interpolate_tracks(SEEN, 2.5, max_gap=2.0, hold=0.5).lines == ((("stand", 0.5),),) * 2


def test_past_the_gap_a_box_waits_and_goes() -> None:
    assert interpolate_tracks(SEEN, 1.4, max_gap=1.0, hold=0.5).boxes.tolist() == [[0, 0, 10, 10]]
    assert interpolate_tracks(SEEN, 2.0, max_gap=1.0, hold=0.5).ids == ()
    assert interpolate_tracks(SEEN, 0.6, max_gap=1.0, hold=0.5).ids == (3,)
    assert interpolate_tracks(SEEN, 9.0, max_gap=1.0, hold=0.5).boxes.shape == (0, 4)


def test_annotate_reads_ahead_no_further_than_the_gap() -> None:
    read = []

    def sightings() -> Iterator[Sighting]:
        for second in range(100):
            read.append(second)
            yield at(float(second), {1: [10 + second, 60, 60 + second, 200]})

    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    drawn = list(annotate([(black, t / 4) for t in range(8)], sightings(), Painter(), max_gap=1.5, hold=0.5))
    assert [time for _, time in drawn] == [t / 4 for t in range(8)]
    assert all(picture.any() for picture, _ in drawn)
    assert not black.any()
    assert max(read) <= 4


def test_draw_paints_box_and_plate_and_leaves_the_argument() -> None:
    picture = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    out = draw(picture, np.array([[100.0, 100, 180, 230]]), [1], [LINES])
    assert (picture == 128).all()
    assert out[150, 100].tolist() == list(colour(1))
    assert (out[60:98, 100:200] != 128).mean() > 0.9
    assert (out[104:226, 104:176] == 128).all()


def test_nobody_is_drawn_as_the_picture() -> None:
    picture = np.full((HEIGHT, WIDTH, 3), 9, np.uint8)
    assert (draw(picture, np.zeros((0, 4)), [], []) == picture).all()


@pytest.mark.parametrize("size", [(240, 320), (16, 16), (2, 2), (1080, 1920)])
def test_any_picture_and_any_box_can_be_drawn(size: tuple[int, int]) -> None:
    height, width = size
    picture = np.zeros((height, width, 3), np.uint8)
    boxes = np.array([[-5.0, -5, 1.5 * width, 2 * height], [1, 1, 1, 1], [width - 1, 0, width + 9, 3], [0, 0, 9, 9]])
    lines = [LINES, (), (("é" * 80, 1.0),), (("中", 0.0), ("", 0.004))]
    assert draw(picture, boxes, [1, 22, 333, 4444], lines).shape == picture.shape


def test_plate_sizes_shrink_line_by_line() -> None:
    sizes = Plates(640, 360).sizes(1, LINES)
    assert len(sizes) == 4
    assert (np.diff(sizes, axis=0) <= 0).all()
    assert sizes[-1, 1] == sizes[-2, 1]


def test_a_font_that_is_none_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.ttf: expected a TrueType or OpenType font"):
        Plates(640, 360, f"{tmp_path}/nothing.ttf")


def test_colours_never_run_out_and_neighbours_differ() -> None:
    colours = np.array([colour(person) for person in range(1, 200)])
    assert len({tuple(c) for c in colours.tolist()}) > 150
    near = [np.linalg.norm(colours[i + 1 : i + 8] - colours[i], axis=1).min() for i in range(190)]
    assert min(near) > 30
    assert colour(0) == colour(0)
    assert ink((255, 255, 255)) == (0, 0, 0)
    assert ink((20, 20, 60)) == (255, 255, 255)


def test_the_first_colours_are_apart_for_a_deuteranope() -> None:
    # Machado, Oliveira, Fernandes (2009), deuteranopia, severity 1, on linear RGB
    sight = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]])
    linear = (np.array([colour(person) for person in range(1, 8)]) / 255) ** 2.2
    seen = (linear @ sight.T).clip(0, 1) ** (1 / 2.2) * 255
    apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)]
    assert min(apart) > 25


def test_short_names() -> None:
    short = dict(zip(LabelMap.load("ava").names, short_names(LabelMap.load("ava")), strict=True))
    assert short["talk to (e.g., self, a person, a group)"] == "talk to"
    assert short["watch (e.g., TV)"] == "watch (TV)"
    assert short["watch (a person)"] == "watch (a person)"
    assert len(set(short.values())) == 80


def test_sighting_keeps_the_top_actions_above_the_threshold() -> None:
    detections = Detections(
        key=Keyframe("v", 1),
        time=1.0,
        frame=30,
        pts=0,
        width=200,
        height=100,
        boxes=np.array([[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]], np.float32),
        box_scores=np.ones(2, np.float32),
        scores=np.array([[0.5, 0.9, 0.1, 0.7], [0.1, 0.2, 0.1, 0.0]], np.float32),
        person=np.array([5, 2]),
        track=np.array([0, 1]),
    )
    found = sighting(detections, ("a", "b", "c", "d"), top=2)
    np.testing.assert_allclose(found.boxes, [[20, 20, 60, 40], [0, 0, 200, 100]], atol=1e-4)
    assert found.ids == (5, 2)
    assert [[name for name, _ in lines] for lines in found.lines] == [["b", "d"], []]
