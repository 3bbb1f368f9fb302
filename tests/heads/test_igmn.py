import dataclasses
import math

import pytest
import torch
from torch import Tensor

from relact.head import Interface, MemorySpec
from relact.heads import igmn
from relact.nn.dual_attention import Surroundings, overlap
from relact.types import Actors, Scene
from tests.heads.scenes import INTERFACE, built, scene, scene_for

SMALL: dict[str, object] = {"width": 8, "radius": 5, "memory_width": 5, "hidden": 6, "out": 7}

AVA = Interface(
    channels={"slow": 2048, "fast": 256}, frames={"slow": 4, "fast": 32}, num_classes=80, exclusive=tuple(range(14))
)


def small(**change: object) -> igmn.Igmn:
    head = built(dataclasses.replace(igmn.Config(), **(SMALL | change)))
    assert isinstance(head, igmn.Igmn)
    return head


def size(module: torch.nn.Module | None) -> int:
    return 0 if module is None else sum(p.numel() for p in module.parameters())


def meta(config: igmn.Config, interface: Interface = AVA) -> igmn.Igmn:
    with torch.device("meta"):
        return config.build(interface)


def test_parameters_are_those_of_the_sizes():
    head = meta(igmn.Config())
    attention = head.attention
    assert attention is not None
    assert size(head.graph) + size(head.leave) == 36_209_920
    assert size(attention.reduce) == 524_800
    assert size(attention.hidden) + size(attention.map) == 2_889_730
    assert size(attention.project) == 6_497_280
    assert size(attention.classify) == 372_372
    assert size(head) + 1024 * 80 + 80 == 48_936_422
    narrow = meta(igmn.Config(width=512))
    assert size(narrow.graph) + size(narrow.leave) == 10_241_792


@pytest.mark.parametrize(
    ("variant", "parameters"),
    [
        ("igmn", 48_808_724), ("hgnn1", 17_639_740), ("hgnn2", 28_135_740), ("hgnn3", 38_631_740),
        ("hgnn_s1", 15_540_540), ("hgnn_s2", 23_937_340), ("hgnn_s3", 32_334_140), ("frozen", 38_631_740),
        ("gcn", 35_479_868), ("semantic", 47_231_272), ("identity", 47_231_272), ("no_cls", 48_543_550),
        ("no_prior", 48_808_724), ("no_aux", 48_543_550),
    ],
)  # fmt: skip
def test_parameters_of_the_variants(variant: str, parameters: int):
    """With the classifier of 60 classes, 13 of them poses."""
    sixty = dataclasses.replace(AVA, num_classes=60, exclusive=tuple(range(13)))
    assert size(meta(igmn.VARIANTS[variant], sixty)) + 1024 * 60 + 60 == parameters


def test_every_variant_of_table_1_has_a_name():
    assert set(igmn.VARIANTS) == {
        "igmn", "hgnn1", "hgnn2", "hgnn3", "hgnn_s1", "hgnn_s2", "hgnn_s3", "frozen", "gcn", "semantic", "identity",
        "no_cls", "no_prior", "no_aux",
    }  # fmt: skip
    assert igmn.Config().roi.expand == 1.25
    assert igmn.Config().roi.expand_train == 1.5
    assert small().memory == MemorySpec(
        radius=5, dim=32, include_current=False, max_per_tick=5, identity=True, discount=True
    )


def silence(head: igmn.Igmn) -> None:
    with torch.no_grad():
        for layer in head.graph.layers:
            silent = [layer.intra.out, layer.inter.out, *([] if layer.temporal is None else [layer.temporal])]
            for parameter in (p for module in silent for p in module.parameters()):
                parameter.zero_()


def test_without_messages_the_graph_is_two_projections():
    head = small(attention="none")
    silence(head)
    whole = scene_for(head, (2, 0, 3))
    expected = head.leave(head.graph.enter(whole.rois.flatten(2).amax(2)))
    torch.testing.assert_close(head(whole).features, head.fuse(expected).relu(), rtol=1e-12, atol=1e-12)


def test_at_the_start_attention_passes_nothing_on():
    torch.manual_seed(0)
    head = dataclasses.replace(igmn.VARIANTS["hgnn_s3"], **SMALL).build(INTERFACE).double().eval()
    whole = scene_for(head, (2,))
    alone = head(dataclasses.replace(whole, memory=None)).features
    assert torch.equal(head(whole).features, alone)


def test_gaps_are_bridged_only_where_there_are_some():
    whole = scene_for(small(), (2, 1))
    torch.testing.assert_close(small(max_gap=1000)(whole).features, small()(whole).features, rtol=1e-12, atol=1e-12)
    memory = whole.memory
    assert memory is not None
    gappy = dataclasses.replace(whole, memory=dataclasses.replace(memory, mask=memory.mask & (memory.dt != 1)))
    assert not torch.allclose(small(max_gap=2)(gappy).features, small()(gappy).features)


def test_names_of_identities_do_not_matter():
    head = small()
    whole = scene_for(head, (2, 3))
    assert whole.memory is not None
    renamed = dataclasses.replace(
        whole,
        actors=dataclasses.replace(whole.actors, track=whole.actors.track * 10**12 + 7),
        memory=dataclasses.replace(whole.memory, track=whole.memory.track * 10**12 + 7),
    )
    torch.testing.assert_close(head(renamed).features, head(whole).features, rtol=1e-12, atol=1e-12)


def test_who_is_who_matters_and_so_does_the_direction_of_time():
    head = small()
    whole = scene_for(head, (2,))
    memory, features = whole.memory, head(whole).features
    assert memory is not None
    swapped = dataclasses.replace(whole, memory=dataclasses.replace(memory, track=(1 - memory.track) * memory.mask))
    assert not torch.allclose(head(swapped).features, features)
    backwards = dataclasses.replace(whole, memory=dataclasses.replace(memory, dt=-memory.dt))
    assert not torch.allclose(head(backwards).features, features)
    for layer in head.graph.layers:
        layer.temporal.later.load_state_dict(layer.temporal.earlier.state_dict())
    torch.testing.assert_close(head(backwards).features, head(whole).features, rtol=1e-12, atol=1e-12)


def test_without_identities_ids_do_not_matter():
    head = built(dataclasses.replace(igmn.VARIANTS["hgnn_s3"], **SMALL))
    whole = scene_for(head, (2, 1))
    assert whole.memory is not None
    unknown = dataclasses.replace(
        whole,
        actors=dataclasses.replace(whole.actors, track=torch.full_like(whole.actors.track, -1)),
        memory=dataclasses.replace(whole.memory, track=torch.full_like(whole.memory.track, -1)),
    )
    torch.testing.assert_close(head(unknown).features, head(whole).features, rtol=1e-12, atol=1e-12)


def test_one_layer_never_thins():
    whole = scene_for(small(layers=1), (2,))
    same = small(layers=1, downsample=False)(whole).features
    assert torch.equal(small(layers=1)(whole).features, same)


def test_a_layer_that_no_memory_survives_to_gets_no_gradient_from_it():
    """But takes part in the graph all the same: distributed training meets no unused parameter."""
    head = small(radius=3)
    head(scene_for(head, (2,))).features.sum().backward()
    last = head.graph.layers[2]
    for module in (last.temporal, last.inter):
        assert all(p.grad is not None and not p.grad.any() for p in module.parameters())
    assert any(p.grad.any() for p in last.intra.parameters())


def test_frozen_memory_stays_what_it_was():
    memory_rows: dict[bool, list[Tensor]] = {}
    for frozen in (True, False):
        head = small(frozen=frozen, attention="none", downsample=False)
        kept: list[Tensor] = memory_rows.setdefault(frozen, [])
        for layer in head.graph.layers:
            layer.register_forward_hook(lambda _, given, out, kept=kept: kept.append((out - given[0])[given[1].memory]))
        head(scene_for(head, (2, 1)))
    assert not any(change.any() for change in memory_rows[True])
    assert all(change.any() for change in memory_rows[False])


def test_tick_embeddings_are_zero_at_first():
    head = small(tick_embedding=True)
    whole = scene_for(head, (2,))
    got = head(whole).features
    plain = small(attention="dual")
    plain.load_state_dict({k: v for k, v in head.state_dict().items() if "when" not in k})
    assert not torch.allclose(plain(whole).features, got)
    for layer in head.graph.layers:
        torch.nn.init.zeros_(layer.inter.when.weight)
    assert torch.equal(plain(whole).features, head(whole).features)
    fresh = dataclasses.replace(igmn.Config(), **SMALL, tick_embedding=True).build(INTERFACE)
    assert not any(p.any() for name, p in fresh.named_parameters() if "when" in name)


PAIR = torch.tensor([[0, 0, 4, 4], [2, 0, 6, 4]], dtype=torch.float64)


def pair(cells: int, dtype: torch.dtype = torch.float64) -> Scene:
    """The two overlapping people of the hand-computed examples."""
    whole = scene((2,), dtype=dtype)
    actors = Actors.of([PAIR.to(dtype)], track=[torch.arange(2)])
    return looked_at(whole, actors, cells)


def looked_at(whole: Scene, actors: Actors, cells: int = 7) -> Scene:
    """The scene with these people, their boxes read as they are, with so many cells a side."""
    rois = whole.rois[:, :, :cells, :cells]
    return dataclasses.replace(whole, actors=actors, roi_boxes=actors.boxes, rois=rois, objects=None, object_rois=None)


def test_geometry_by_hand():
    near = Surroundings.of(pair(2), torch.float64)
    assert near.points[0].tolist() == [[[1, 1], [3, 1]], [[1, 3], [3, 3]]]
    column, row, own, interfering = igmn.geometry(near, circular=False)[0]
    assert column.tolist() == [[0.25, 0.75], [0.25, 0.75]]
    assert row.tolist() == [[0.25, 0.25], [0.75, 0.75]]
    torch.testing.assert_close(own * 180, torch.tensor([[-135, -45], [135, 45]]).double())
    torch.testing.assert_close(interfering * 180, torch.tensor([[0, -135], [0, 135]]).double(), rtol=1e-5, atol=0)
    assert near.covered[0, 1].tolist() == [[False, True], [False, True]]
    assert not near.covered[0, 0].any()


def test_a_circular_mean_does_not_break_at_the_back():
    """One person sees the cell at 170, the other at -170 degrees: the mean is 180, not 0."""
    offset = math.tan(math.radians(10))
    boxes = torch.tensor([[-0.5, -0.5, 0.5, 0.5], [-1, offset - 2, 3, offset + 2], [-1, -offset - 2, 3, -offset + 2]])
    actors = Actors.of([boxes.double()])
    near = Surroundings.of(looked_at(scene((3,)), actors, 1), torch.float64)
    assert abs(float(igmn.geometry(near, circular=False)[0, 3])) < 1e-6
    assert abs(float(igmn.geometry(near, circular=True)[0, 3])) == pytest.approx(1)


def test_a_mirrored_clip_has_mirrored_geometry():
    boxes = torch.tensor([[3.0, 5.0, 47.0, 66.0], [30.0, 20.0, 70.0, 50.0]], dtype=torch.float64)
    mirrored = torch.stack([80 - boxes[:, 2], boxes[:, 1], 80 - boxes[:, 0], boxes[:, 3]], dim=1)
    found = []
    for each in (boxes, mirrored):
        near = Surroundings.of(looked_at(scene((2,)), Actors.of([each])), torch.float64)
        found.append(igmn.geometry(near, circular=False))
    (column, row, own, of_others), flipped = found[0].unbind(1), found[1].flip(3).unbind(1)
    torch.testing.assert_close(flipped[0], 1 - column)
    torch.testing.assert_close(flipped[1], row)
    centre = torch.zeros(7, 7, dtype=torch.bool)
    centre[3, 3] = True  # its angle is 0 both times, by definition

    def turned(angle: Tensor) -> Tensor:
        return torch.remainder(1 - angle + 1, 2) - 1

    same = (turned(own) - flipped[2] + 1).remainder(2) - 1  # -pi and pi are one angle
    assert same[:, ~centre].abs().max() < 1e-12
    covered = of_others != 0
    differ = ((turned(of_others) - flipped[3])[covered] + 1).remainder(2) - 1
    assert differ.abs().max() < 1e-5


def test_relaxed_cross_entropy_by_hand():
    whole = pair(2)
    truth = torch.eye(2, dtype=torch.float64)
    said = torch.tensor([[0.8, 0.3], [0.4, 0.6]], dtype=torch.float64)
    assert overlap(PAIR[0], PAIR[1]) == pytest.approx(1 / 3)
    taken = igmn.relaxed(truth, Surroundings.of(whole, torch.float64), whole.actors)
    torch.testing.assert_close(taken, torch.tensor([[1, 1 / 3], [1 / 3, 1]]).double())
    losses = igmn.cross_entropy(said.logit(), truth, taken)
    torch.testing.assert_close(losses, torch.tensor([0.4609, 0.8514]).double(), rtol=0, atol=5e-5)
    assert float(losses.mean()) == pytest.approx(0.6562, abs=5e-5)
    assert float(igmn.cross_entropy(said.logit(), truth, truth).mean()) == pytest.approx(0.8007, abs=5e-5)


def test_priors_by_hand():
    blocked = torch.tensor([[[False, True], [False, True]]])
    idt = torch.tensor([[[0.9, 0.3], [0.6, 0.2]]])
    sem = torch.tensor([[[0.5, 0.8], [0.4, 0.7]]])
    assert float(igmn.identity_prior(idt, blocked)) == pytest.approx(0.0425)
    assert float(igmn.semantic_prior(sem, blocked, 0.1)) == 0
    assert float(igmn.semantic_prior(sem, blocked, 1.0)) == pytest.approx(0.85)
    assert float(igmn.identity_prior(idt, torch.ones_like(blocked))) == 0
    head = small(pool="rois")
    assert head.attention is not None
    f = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    pooled = head.attention.pooled([f], torch.stack([sem, sem * idt], dim=1))
    torch.testing.assert_close(pooled.flatten(), torch.tensor([1.525, 0.5525]))


def alone(head: igmn.Igmn) -> Scene:
    """People who do not meet: in each clip one."""
    return scene_for(head, (1, 1, 1))


def test_nobody_else_means_no_interference():
    head = small()
    whole = alone(head)
    near = Surroundings.of(whole, torch.float64)
    assert not igmn.geometry(near, circular=False)[:, 3].any()
    assert whole.labels is not None
    assert torch.equal(igmn.relaxed(whole.labels, near, whole.actors), whole.labels)
    aux = head(whole).aux
    assert float(aux["prior_sem"].detach()) == 0
    assert float(aux["prior_idt"].detach()) > 0


def test_the_grown_part_of_a_box_is_nobodys_own():
    """It counts as interfered with, but does not by itself make the semantic prior count."""
    head = small()
    whole = alone(head)
    read = whole.actors.boxes.clone()
    read[:, 2] += read[:, 2] - read[:, 0]  # twice as wide to the right
    aux = head(dataclasses.replace(whole, roi_boxes=read)).aux
    assert float(aux["prior_sem"].detach()) == 0
    everywhere = whole.actors.boxes + 1000.0
    assert float(head(dataclasses.replace(whole, roi_boxes=everywhere)).aux["prior_idt"].detach()) == 0


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({}, {"sem", "idt", "prior_sem", "prior_idt"}),
        ({"attention": "semantic"}, {"sem", "prior_sem"}),
        ({"attention": "identity"}, {"idt", "prior_idt"}),
        ({"attention": "none"}, set()),
        ({"losses": ("prior_sem", "prior_idt")}, {"prior_sem", "prior_idt"}),
        ({"losses": ("sem", "idt")}, {"sem", "idt"}),
        ({"losses": ("idt",)}, {"idt"}),
        ({"losses": ()}, set()),
    ],
)
def test_each_loss_can_be_removed(change: dict[str, object], names: set[str]):
    head = small(**change)
    whole = scene_for(head, (2, 3))
    assert set(head(whole).aux) == names
    assert head(dataclasses.replace(whole, labels=None)).aux == {}


def test_losses_follow_their_weight_and_divide_as_the_classifiers_loss_does():
    whole = scene_for(small(), (2, 3))
    half, full = small().double()(whole).aux, small(aux_weight=1.0).double()(whole).aux
    for name, loss in half.items():
        torch.testing.assert_close(2 * loss, full[name])
    head = small(aux_weight=6.0)  # of 6 classes
    assert head.attention is not None
    assert head.attention.weight == 1.0


def test_actions_that_exclude_each_other_have_no_auxiliary_classifier():
    head = small()
    whole = scene_for(head, (2, 3))
    assert head.attention is not None
    assert head.attention.classes.tolist() == [2, 3, 4, 5]
    assert whole.labels is not None
    poses = whole.labels.clone()
    poses[:, :2] = 1 - poses[:, :2]
    changed = head(dataclasses.replace(whole, labels=poses)).aux
    assert all(torch.equal(changed[name], loss) for name, loss in head(whole).aux.items())
    everything = dataclasses.replace(INTERFACE, exclusive=tuple(range(6)))
    only_poses = dataclasses.replace(igmn.Config(), **SMALL).build(everything)
    assert set(only_poses.double()(whole).aux) == {"prior_sem", "prior_idt"}


def test_a_person_without_truth_counts_as_one_who_does_nothing():
    """As in the classifier's own loss."""
    head = small(losses=("idt",), aux_weight=6.0)
    whole = scene_for(head, (2,))
    assert whole.labels is not None
    assert head.attention is not None
    taken: list[Tensor] = []
    head.attention.classify["idt"].register_forward_hook(lambda _, __, out: taken.append(out))
    none = dataclasses.replace(whole, labels=torch.zeros_like(whole.labels))
    loss = head(none).aux["idt"]
    torch.testing.assert_close(loss, torch.nn.functional.softplus(taken[0]).sum() / 2)


def test_what_is_stored_is_what_the_maximum_of_the_box_was():
    head = small()
    whole = scene_for(head, (2, 1))
    relations = head(whole)
    assert relations.store is not None
    assert torch.equal(relations.store, whole.rois.amax((2, 3)))
    assert set(relations.maps) == {"sem", "idt"}
    assert relations.maps["idt"].shape == (3, 7, 7)
    assert not relations.maps["idt"].requires_grad


def test_people_without_identities_are_told_apart_or_refused():
    head = small()
    whole = scene_for(head, (2, 1))
    some, none = torch.tensor([0, -1, -1]), torch.full((3,), -1)
    with_some = dataclasses.replace(whole, actors=dataclasses.replace(whole.actors, track=some))
    assert torch.isfinite(head(with_some).features).all()
    unknown = dataclasses.replace(whole, actors=dataclasses.replace(whole.actors, track=none))
    with pytest.raises(
        ValueError, match=r"actors\.track: igmn follows people .* is -1 .* give Actors\.of\(\.\.\., track="
    ):
        head(unknown)
    head(dataclasses.replace(unknown, memory=None))


def test_two_actors_that_nobody_knows_are_two_people():
    head = small(attention="none")
    whole = scene_for(head, (3,))
    unknown = dataclasses.replace(whole.actors, track=torch.tensor([0, -1, -1]))
    fresh = dataclasses.replace(whole.actors, track=torch.tensor([0, 100, 101]))
    got, expected = (head(dataclasses.replace(whole, actors=actors)).features for actors in (unknown, fresh))
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
