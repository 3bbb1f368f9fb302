"""Pictures of relations: heat lies where its weights are, in both kinds of file, and each head is read as it is."""

import io
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from relact.errors import InputError
from relact.head import HeadConfig, RelationHead
from relact.heads import acar, amcrnet, igmn, lfb, linear, mrsn, pairwise, stc
from relact.run.look_maps import GraphLayer, Seen, listen, sections_of
from relact.types import Relations, Scene
from relact.viz.canvas import SCALE, width_of
from relact.viz.heat import WHOLE, heat_colours, overlay, shares_of
from relact.viz.relation_parts import Bar, Heat, Heats, Lane, Node, Strip, Timeline
from relact.viz.relations import MARGIN, WIDTH, RelationPicture, percent, scale_of, ticks
from tests.heads.scenes import STRIDE, built, scene_for

SMALL: dict[str, HeadConfig] = {
    "acar": acar.Config(width=8, reduce=8),
    "acar_bank": acar.Config(width=8, reduce=8, window=2),
    "acar_actor_first": replace(acar.VARIANTS["actor_first"], width=8, reduce=8),
    "amcrnet": amcrnet.Config(width=16, depth=1, heads=2, history="none", min_size=1),
    "mrsn": mrsn.Config(width=16, heads=2, grid=4),
    "stc": stc.Config(d_model=16, heads=2, ffn=16),
    "lfb": lfb.Config(width=8, radius=3, future=2, max_per_tick=2),
    "sto": lfb.Config(width=8, bank="current"),
    "aia": replace(pairwise.VARIANTS["aia_map"], reduce=8, hidden=8, radius=2),
    "igmn": igmn.Config(width=8, memory_width=8, hidden=8, out=8, radius=3),
}


class Spot(RelationHead):
    """Looks at one cell only."""

    def __init__(self, row: int, column: int) -> None:
        super().__init__()
        self.out_dim, self.at = 4, (row, column)

    def forward(self, scene: Scene) -> Relations:
        grid = torch.zeros(len(scene.actors), *scene.pooled.shape[2:])
        grid[:, self.at[0], self.at[1]] = 1
        return Relations(features=torch.zeros(len(scene.actors), 4), maps={"spot": grid})


def seen(head: RelationHead, scene: Scene, row: int = 0) -> Seen:
    heard: list[GraphLayer] = []
    head.explain = True
    handles = listen(head, heard)
    with torch.inference_mode():
        relations = head(scene)
    for handle in handles:
        handle.remove()
    frames = [np.full((40, 56, 3), k, np.uint8) for k in range(4)]
    return Seen(
        head=head, scene=scene, relations=relations, row=row, people=tuple(range(len(scene.actors))), second=10.0,
        every=1.0, frames=frames, frame_times=10 + np.arange(4) / 4, portrait=lambda person, second: None,
        graph=tuple(heard),
    )  # fmt: skip


def shown(*sections: Heats | Strip | Timeline, people: tuple[int, ...] = (1, 2)) -> RelationPicture:
    boxes = np.array([[0.1, 0.2, 0.3, 0.9], [0.5, 0.2, 0.7, 0.9]])[: len(people)]
    return RelationPicture(
        title="A head", note="a.mp4 <&> 'b'", keyframe=np.full((90, 160, 3), 90, np.uint8), people=people, boxes=boxes,
        person=1, actions=(("talk <to> & fro", 0.75), ("stand", 0.5)), sections=sections,
    )  # fmt: skip


def lightest(picture: np.ndarray) -> tuple[float, float]:
    """(x, y) in [0, 1] of the middle of what is lightest."""
    light = picture.astype(np.float64).sum(axis=2)
    y, x = np.nonzero(light >= light.max() - 1e-9)
    return (x.mean() + 0.5) / light.shape[1], (y.mean() + 0.5) / light.shape[0]


@pytest.mark.parametrize("cells", [True, False])
@pytest.mark.parametrize("place", [(0, 0), (2, 3), (4, 6)])
def test_one_hot_cell_of_a_made_up_head_lights_its_place_in_the_frame(cells: bool, place: tuple[int, int]):
    head = Spot(*place)
    [section] = sections_of(seen(head, scene_for(head, (2,))))
    assert isinstance(section, Heats)
    [heat] = section.heats
    frame = np.full((5 * STRIDE, 7 * STRIDE, 3), 100, np.uint8)
    drawn = overlay(frame, shares_of(heat.values, 0, 1), heat.extent, WHOLE, cells=cells)
    x, y = lightest(drawn)
    assert int(y * 5) == place[0]
    assert int(x * 7) == place[1]
    hot = drawn[place[0] * STRIDE + 8, place[1] * STRIDE + 8].astype(int)
    assert hot.sum() > 2 * drawn[2 * STRIDE + 8, 0 if place[1] else -1].astype(int).sum()


def test_a_window_shows_its_part_of_the_heat():
    frame = np.full((50, 70, 3), 100, np.uint8)
    shares = np.zeros((5, 7))
    shares[1, 2] = 1
    drawn = overlay(frame, shares, WHOLE, (1 / 7, 0.0, 5 / 7, 3 / 5), cells=True)
    assert lightest(drawn) == pytest.approx(((2.5 - 1) / 4, 1.5 / 3), abs=0.01)


@pytest.mark.parametrize(("name", "hot"), [("acar", (2, 3)), ("stc", (1, 4)), ("stc", (4, 6)), ("mrsn", (3, 5))])
def test_what_changes_in_a_cell_changes_the_heat_there(name: str, hot: tuple[int, int]):
    """Only one cell of the backbone's map differs: the weights must differ around the same place of the frame."""
    head = built(replace(SMALL[name], downsample="none") if name == "acar" else SMALL[name])
    scene = scene_for(head, (3,))
    other = replace(scene, maps={k: v.clone() for k, v in scene.maps.items()}, pooled=scene.pooled.clone())
    for x in (*other.maps.values(), other.pooled):
        x[..., hot[0], hot[1]] += 4
    heats = []
    for one in (scene, other):
        [section] = [part for part in sections_of(seen(head, one)) if isinstance(part, Heats)]
        heats.append(section.heats[0])
    change = np.abs(heats[1].values - heats[0].values)
    change = change / change.max()
    drawn = overlay(np.zeros((100, 140, 3), np.uint8), change, heats[0].extent, WHOLE, cells=False)
    x, y = lightest(drawn)
    rows, columns = heats[0].values.shape
    assert abs(x - (hot[1] + 0.5) / 7) <= 1 / 7 + 0.5 / columns
    assert abs(y - (hot[0] + 0.5) / 5) <= 1 / 5 + 0.5 / rows


@pytest.mark.parametrize("name", SMALL)
def test_every_head_with_weights_is_read_and_drawn(name: str):
    head = built(SMALL[name])
    sections = sections_of(seen(head, scene_for(head, (3,)), row=1))
    for section in sections:
        if isinstance(section, Strip):
            assert len(section.bars) in (3, 4)
            assert sum(bar.weight for bar in section.bars) <= 1 + 1e-6
        elif isinstance(section, Timeline):
            assert 0 < sum(node.weight or 0 for node in section.nodes) <= 1 + 1e-6
    picture = replace(shown(*sections, people=(1,)), keyframe=np.zeros((80, 112, 3), np.uint8))
    assert Image.open(io.BytesIO(picture.png())).size[0] == SCALE * 1120
    ET.fromstring(picture.svg())


def test_acar_shows_each_other_person_and_the_shares_add_up():
    head = built(SMALL["acar"])
    what = seen(head, scene_for(head, (3,)), row=1)
    [section] = sections_of(what)
    assert isinstance(section, Heats)
    assert {heat.related for heat in section.heats} == {0, 2}
    own = what.map("relations_1" if "relations_1" in what.relations.maps else "relations_0")[0][:, :, 1, 1]
    assert np.allclose(sum(heat.values for heat in section.heats) + own, 1)


def test_amcrnets_tokens_lie_as_the_context_made_them():
    head = built(SMALL["amcrnet"])
    what = seen(head, scene_for(head, (2,)))
    places, people = sections_of(what)
    assert isinstance(places, Heats)
    assert isinstance(people, Strip)
    assert [heat.values.shape for heat in places.heats] == [(2, 2), (1, 1), (1, 1)]
    total = sum(heat.values.sum() for heat in places.heats) + sum(bar.weight for bar in people.bars)
    assert total == pytest.approx(1)


def test_igmns_graph_is_what_its_layers_heard():
    head = built(SMALL["igmn"])
    maps, *layers = sections_of(seen(head, scene_for(head, (2,)), row=1))
    assert isinstance(maps, Heats)
    assert len(layers) == 2  # of three ticks on a side the third layer would keep none
    first, second = layers[0], layers[1]
    assert isinstance(first, Timeline)
    assert isinstance(second, Timeline)
    assert first.home is not None
    assert first.nodes[first.home].second == 10
    assert first.lanes[first.nodes[first.home].lane].chosen
    assert sum(node.weight or 0 for node in first.nodes) == pytest.approx(1)
    assert {node.second for node in first.nodes} == {float(second) for second in range(7, 14)}
    assert {node.second for node in second.nodes} == {8.0, 10.0, 12.0}


def test_a_head_without_weights_is_refused_and_the_others_are_named():
    head = built(linear.Config())
    with pytest.raises(InputError, match=r"head linear leaves no weights .* expected one of acar, amcrnet"):
        sections_of(seen(head, scene_for(head, (2,))))


def test_colours_get_lighter_in_even_steps():
    srgb = heat_colours(np.linspace(0, 1, 9)).astype(np.float64) / 255
    light = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    luminance = light @ [0.2126, 0.7152, 0.0722]
    lightness = np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)
    steps = np.diff(lightness)
    assert steps.min() > 0.6 * steps.mean()
    assert steps.max() < 1.4 * steps.mean()


def test_a_scale_does_not_make_noise_look_like_weight():
    assert scale_of([np.array([[0.5, 0.501]])]) == (0.0, 0.501)
    assert scale_of([np.array([[0.1]]), np.array([[0.4]])]) == (0.1, 0.4)


def test_numbers_are_short():
    assert [percent(x) for x in (0, 1e-7, 0.00037, 0.041, 0.5, 1)] == ["0%", "<0.001%", "0.037%", "4.1%", "50%", "100%"]
    assert ticks(7, 13) == [7, 8, 9, 10, 11, 12, 13]
    assert ticks(5, 5) == [5]
    assert len(ticks(0, 3600)) <= 13


def test_the_svg_has_boxes_and_words_as_vectors_and_hostile_ones_are_text():
    heat = Heat(title="<script>x</script>\x00", values=np.eye(3), extent=WHOLE, related=2, cells=True)
    lanes = (Lane(name="person 1", chosen=True), Lane(name="person 2"))
    nodes = (
        Node(lane=0, second=3, weight=None), Node(lane=1, second=2, weight=0.4), Node(lane=1, second=4, weight=0.0),
        Node(lane=0, second=2, weight=0.6, kept=False),
    )  # fmt: skip
    picture = shown(
        Heats(title="t", note="n", heats=(heat,)),
        Strip(title="s", note="n", bars=(Bar(name="a", weight=0.2, picture=np.zeros((9, 4, 3), np.uint8)),)),
        Timeline(title="g", note="n", lanes=lanes, nodes=nodes, now=3, links=((3, 0),), home=0),
    )
    root = ET.fromstring(picture.svg())
    space = "{http://www.w3.org/2000/svg}"
    words = [text.text for text in root.iter(f"{space}text")]
    assert "talk <to> & fro" in words
    assert "<script>x</script>" in words
    assert not list(root.iter(f"{space}script"))
    assert sum(rect.get("stroke") == "#56b4e9" for rect in root.iter(f"{space}rect")) == 2
    assert len(list(root.iter(f"{space}image"))) == 4
    assert len(list(root.iter(f"{space}circle"))) == 4
    png = Image.open(io.BytesIO(picture.png()))
    assert png.size == (SCALE * int(root.get("width", 0)), SCALE * int(root.get("height", 0)))


def test_ids_of_people_close_together_do_not_cover_each_other():
    picture = replace(shown(), boxes=np.array([[0.4, 0.5, 0.45, 0.9], [0.405, 0.5, 0.455, 0.9]]))
    root = ET.fromstring(picture.svg())
    ids = [text for text in root.iter() if text.text in ("1", "2")]
    at = {text.text: (float(text.get("x", 0)), float(text.get("y", 0))) for text in ids}
    assert abs(at["1"][0] - at["2"][0]) >= 14 or abs(at["1"][1] - at["2"][1]) >= 16


def test_other_kinds_of_file_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"ending in \.png or \.svg"):
        shown().write(str(tmp_path / "a.jpg"))
    shown().write(str(tmp_path / "a.PNG"))
    assert Image.open(tmp_path / "a.PNG").format == "PNG"


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("window", [WHOLE, (0.1, 0.2, 0.3, 0.9), (0.1, 0.2, 0.3, 0.4)])
def test_a_row_of_maps_fills_the_sheet_and_nothing_leaves_it(number: int, window: tuple[float, float, float, float]):
    """Few narrow maps have their note and scale beside them; no words end outside the margin."""
    heats = tuple(Heat(title=f"map {k}", values=np.eye(3), extent=WHOLE, window=window) for k in range(number))
    section = Heats(title="Where", note="how much each of many words of a long note counts " * 3, heats=heats)
    words = ET.fromstring(shown(section).svg()).iter("{http://www.w3.org/2000/svg}text")
    ends = []
    for text in words:
        x, size = float(text.attrib["x"]), int(float(text.attrib["font-size"]))
        wide = width_of(text.text or "", size)
        ends.append(x + {"end": 0, "middle": wide / 2}.get(text.attrib.get("text-anchor", ""), wide))
    assert max(ends) <= WIDTH - MARGIN + 1
    image = np.asarray(Image.open(io.BytesIO(shown(section).png())).convert("L"))
    below = image[-round(image.shape[0] * 0.45) :, : -MARGIN * SCALE]
    right = np.nonzero((below < 200).any(axis=0))[0].max() / SCALE
    assert right > 0.85 * (WIDTH - MARGIN), "the right side is not empty"
