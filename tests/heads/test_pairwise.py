import dataclasses
import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from relact import create_model
from relact.head import Interface
from relact.heads import pairwise
from relact.nn.roi import ACAR, MMACTION2, RoIConfig
from relact.types import Actors, Memory, Scene
from tests.heads.scenes import INTERFACE, built, one_clip, scene, scene_for

SMALL: dict[str, object] = {"reduce": 6, "width": 8, "hidden": 10, "radius": 2, "max_per_tick": 3, "max_people": 4}


def dead(config: pairwise.Config) -> str:
    """A key's bias moves all scores of a row alike."""
    return r".*\.key\.bias" if config.method == "aia" else "(?!)"


def small(variant: str, **change: object) -> pairwise.Config:
    return dataclasses.replace(pairwise.VARIANTS[variant], **{**SMALL, **change})


def close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("change", "published"),
    [
        ({}, 38_555_136),
        ({"structure": "dense_serial"}, 38_569_472),
        ({"structure": "parallel"}, 45_902_336),
        ({"blocks": "POPO"}, 27_548_160),
        ({"blocks": "PMPM"}, 27_798_016),
    ],
    ids=["serial", "dense_serial", "parallel", "POPO", "PMPM"],
)
def test_parameters_of_the_interaction_aggregation(change: dict[str, str], published: int):
    """AlphAction's modules: the four reductions and the blocks, without the fully connected layers behind them."""
    with torch.device("meta"):
        model = create_model("pairwise", backbone="slowfast_r50_8x8", settings={"method": "aia", **change})
    head = model.head
    assert isinstance(head, pairwise.Aia)
    assert count(head.reduce_query) + count(head.reduce_keys) + count(head.chains) == published
    assert count(head) == published + 2304 * 1024 + 1024 + 1024 * 1024 + 1024


def test_parameters_of_acrn():
    """The scale of ACAR-Net's encoder with 60 classes, 6.35 M; MMAction2's with 81, 58.6 M."""
    with torch.device("meta"):
        model = create_model("pairwise", backbone="slowfast_r50_8x8", num_classes=60)
        wide = Interface(channels={"slow": 2048, "fast": 256}, frames={"slow": 8, "fast": 32}, num_classes=81)
        mmaction = pairwise.VARIANTS["acrn_mmaction"].build(wide)
    assert count(model.head) + count(model.classifier) == 6_352_896
    assert count(mmaction) + mmaction.out_dim * 81 + 81 == 58_588_497


def test_boxes_are_read_as_each_system_does():
    read = {name: pairwise.VARIANTS[name].roi for name in ("acrn", "acrn_mmaction", "aia_serial")}
    assert read == {"acrn": ACAR, "acrn_mmaction": MMACTION2, "aia_serial": RoIConfig(aligned=False)}


@pytest.mark.parametrize("variant", ["acrn", "acrn_mmaction"])
def test_in_acrn_other_actors_change_nothing(variant: str):
    head, whole = built(small(variant)), scene((3,))
    one = Actors.of([whole.actors.boxes[:1]])
    alone = dataclasses.replace(whole, actors=one, rois=whole.rois[:1], roi_boxes=one.boxes, labels=None)
    close(head(alone).features, head(whole).features[:1])


@pytest.mark.parametrize("structure", ["serial", "dense_serial", "parallel"])
def test_at_the_start_memory_people_and_things_have_no_effect(structure: str):
    head = small("aia_serial", structure=structure).build(INTERFACE).double().eval()
    whole = scene_for(head, (3,))
    assert whole.memory is not None
    changed = dataclasses.replace(whole.memory, features=whole.memory.features + 1)
    assert torch.equal(head(dataclasses.replace(whole, memory=changed)).features, head(whole).features)
    fewer = dataclasses.replace(whole, objects=None, object_rois=None)
    assert torch.equal(head(fewer).features, head(whole).features)


def test_a_block_without_keys_is_the_identity():
    block = pairwise.Interaction(4, 4, 0, 0.0).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    x, actors = torch.randn(3, 4, dtype=torch.float64), Actors.of([torch.zeros(2, 4), torch.zeros(1, 4)])
    rows = torch.randn(2, 5, 4, dtype=torch.float64)
    got, attention = block(x, pairwise.Keys(rows[:, :0], rows[:, :0, 0]), actors)
    assert torch.equal(got, x)
    assert attention.shape == (2, 2, 0)
    got, attention = block(x, pairwise.Keys(rows, torch.tensor([[0.0] * 5, [1, 0, 0, 0, 0]])), actors)
    assert torch.equal(got[:2], x[:2])
    assert not torch.equal(got[2], x[2])
    assert not attention[0].any()
    assert attention[1, 0].tolist() == [1, 0, 0, 0, 0]


def test_a_row_that_counts_twice_is_two_rows():
    block = pairwise.Interaction(4, 6, 3, 0.0).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    x, actors = torch.randn(1, 4, dtype=torch.float64), Actors.of([torch.zeros(1, 4)])
    rows, tick = torch.randn(1, 2, 4, dtype=torch.float64), torch.tensor([[0, 2]])
    once, _ = block(x, pairwise.Keys(rows, torch.tensor([[1.0, 2.0]]), tick), actors)
    again = torch.tensor([0, 1, 1])
    close(once, block(x, pairwise.Keys(rows[:, again], torch.ones(1, 3), tick[:, again]), actors)[0])


def test_a_dense_block_begins_with_nearly_all_of_the_latest():
    chain = pairwise.Chain("PPPP", 3, 3, 1, 0.0, dense=True)
    assert [tuple(mix.shape) for mix in chain.mix] == [(2, 3), (3, 3)]
    weights = chain.mix[1].softmax(dim=0)[:, 0].tolist()
    assert weights == pytest.approx([1e-5 / (1 + 2e-5), 1e-5 / (1 + 2e-5), 1 / (1 + 2e-5)], rel=1e-4)
    assert float(chain.mix[0][0, 0].detach()) == pytest.approx(-5 * math.log(10))


def test_a_dense_chain_that_mixes_the_latest_alone_is_serial():
    dense, serial = built(small("aia_dense_serial")), small("aia_serial").build(INTERFACE).double().eval()
    state = dense.state_dict()
    for key in [key for key in state if ".mix." in key]:
        dense.get_parameter(key).data = torch.full_like(state[key], -1e4)
        dense.get_parameter(key).data[-1] = 0
    serial.load_state_dict({key: value for key, value in state.items() if ".mix." not in key})
    whole = scene_for(dense, (3, 2))
    close(dense(whole).features, serial(whole).features)


def test_no_things_is_the_same_however_it_is_said():
    head = built(small("aia_serial"))
    whole = scene_for(head, (3,))
    nothing = dataclasses.replace(whole, objects=None, object_rois=None)
    assert whole.object_rois is not None
    empty = dataclasses.replace(whole, objects=Actors.of([torch.zeros(0, 4)]), object_rois=whole.object_rois[:0])
    close(head(empty).features, head(nothing).features)
    assert not torch.allclose(head(whole).features, head(nothing).features)


def test_things_are_found_on_the_map_where_there_is_no_detector():
    head = built(small("aia_map"))
    whole = scene_for(head, (2,))
    without = dataclasses.replace(whole, objects=None, object_rois=None)
    close(head(without).features, head(whole).features)
    assert head(whole).maps["O1"].shape == (1, 2, 5 * 7)


def with_scores(whole: Scene, scores: list[float]) -> Scene:
    return dataclasses.replace(whole, actors=dataclasses.replace(whole.actors, scores=torch.tensor(scores)))


def test_of_many_people_the_best_scored_are_keys():
    head = built(small("aia_no_memory", max_people=3))
    whole = with_scores(scene((5,)), [0.9, 0.2, 0.8, 0.3, 0.7])
    spoilt = dataclasses.replace(whole, rois=whole.rois.clone())
    spoilt.rois[[1, 3]] += 1
    before, after = head(whole).features, head(spoilt).features
    close(after[[0, 2, 4]], before[[0, 2, 4]])
    assert not torch.allclose(after[1], before[1])
    order = torch.tensor([4, 1, 3, 0, 2])
    shuffled = dataclasses.replace(whole, rois=whole.rois[order])
    shuffled = with_scores(shuffled, whole.actors.scores[order].tolist())
    close(head(shuffled).features, before[order])


def test_of_many_things_the_best_scored_are_keys():
    head = built(small("aia_no_memory", max_objects=1))
    whole = one_clip(scene((2, 2)), 1)
    assert whole.objects is not None
    assert whole.object_rois is not None
    objects = dataclasses.replace(whole.objects, scores=torch.tensor([0.1, 0.9]))
    best = Actors.of([objects.boxes[1:]])
    two, one = (
        dataclasses.replace(whole, objects=objects),
        dataclasses.replace(whole, objects=best, object_rois=whole.object_rois[1:]),
    )
    close(head(two).features, head(one).features)


def test_the_memory_knows_its_seconds():
    head = built(small("aia_no_objects"))
    whole = scene_for(head, (2,))
    assert whole.memory is not None
    swapped = dataclasses.replace(whole.memory, dt=-whole.memory.dt)
    assert not torch.allclose(
        head(dataclasses.replace(whole, memory=swapped)).features, head(whole).features, rtol=1e-9, atol=1e-12
    )


def test_where_no_slot_is_empty_masking_changes_nothing():
    full = {"max_people": 3, "max_objects": 1, "max_per_tick": 2}
    masked, padded = built(small("aia_serial", **full)), built(small("aia_padded", **full))
    whole = scene_for(masked, (3,))
    close(padded(whole).features, masked(whole).features)
    fewer = scene_for(masked, (2,))
    assert not torch.allclose(padded(fewer).features, masked(fewer).features)


def test_empty_slots_of_released_aia_are_zeros_after_the_reduction_but_before_it_in_the_memory():
    head = built(small("aia_padded", max_objects=3))
    assert isinstance(head, pairwise.Aia)
    whole = scene_for(head, (2,))
    people, memory = whole.rois.amax(dim=(2, 3)), whole.memory
    assert memory is not None
    rows, times, _ = head._keys("P", people, whole)
    assert times.tolist() == [[1, 1, 2]]
    assert not rows[0, 2].any()
    assert head._keys("O", people, whole).times.tolist() == [[1, 2]]
    rows, times, tick = head._keys("M", people, whole)
    assert tick is not None
    assert times[0].tolist() == [*[1] * 10, 0, 0, 0, *[1] * 5]  # two a tick, three slots that the bank left empty
    assert tick[0, 13:].tolist() == [0, 1, 2, 3, 4]
    close(rows[0, 13:], head.reduce_keys["M"].get_parameter("bias").expand(5, -1))


def test_what_goes_to_the_bank_is_what_the_box_holds():
    head = built(small("aia_serial"))
    whole = scene_for(head, (2, 1))
    whole.rois.requires_grad_(True)
    store = head(whole).store
    assert store is not None
    assert torch.equal(store, whole.rois.detach().amax(dim=(2, 3)))
    assert built(small("aia_no_memory"))(scene((2,))).store is None


def test_statistics_of_training_leave_padding_out():
    head = built(small("acrn_mmaction")).train()
    assert isinstance(head, pairwise.AcrnMmaction)
    whole = scene((2, 3))
    spoilt = dataclasses.replace(whole, pooled=whole.pooled.clone())
    spoilt.pooled[1, ..., 5:] = 1e4
    start = {key: value.clone() for key, value in head.state_dict().items()}
    expected, seen = head(whole).features, dict(head.named_buffers())["convs.0.bn.running_var"].clone()
    head.load_state_dict(start)
    close(head(spoilt).features, expected)
    close(dict(head.named_buffers())["convs.0.bn.running_var"], seen)


def test_statistics_of_training_are_those_of_torch_where_nothing_is_padded():
    block = pairwise.Convolution(3, 4, 1).double().train()
    twin = pairwise.Convolution(3, 4, 1).double().train()
    twin.load_state_dict(block.state_dict())
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    everywhere = torch.ones(2, 1, 5, 7, dtype=torch.bool)
    close(block(x, everywhere), twin(x, None))
    for name in ("running_mean", "running_var"):
        close(block.bn.get_buffer(name), twin.bn.get_buffer(name))


def test_a_batch_without_people_teaches_no_statistics():
    head = built(small("acrn_mmaction")).train()
    before = {key: value.clone() for key, value in head.named_buffers() if "running" in key}
    head(scene((0, 0)))
    assert all(torch.equal(value, before[key]) for key, value in head.named_buffers() if "running" in key)


def test_a_map_that_is_too_small_is_said():
    tiny = dataclasses.replace(scene((1,)), valid=torch.tensor([[2, 7]]))
    with pytest.raises(ValueError, match=r"acrn needs maps of at least 3 x 3 cells, got \[2, 7\]"):
        built(small("acrn"))(tiny)


def test_blocks_that_there_are_not_are_refused():
    with pytest.raises(ValidationError, match=r"(?s)blocks.*\[POM\]"):
        pairwise.Config(method="aia", blocks="PXP")


def test_memory_may_be_missing():
    head = built(small("aia_parallel"))
    whole = scene_for(head, (2, 0, 1))
    assert isinstance(whole.memory, Memory)
    assert torch.isfinite(head(dataclasses.replace(whole, memory=None)).features).all()
