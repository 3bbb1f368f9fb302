import dataclasses

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from relact import create_model
from relact.head import Interface
from relact.heads import lfb
from relact.types import Actors, Memory, Scene
from tests.heads.scenes import INTERFACE, built, scene, scene_for

SMALL: dict[str, object] = {"width": 6, "radius": 2, "future": 1, "max_per_tick": 3}


def dead(config: lfb.Config) -> str:
    """A key's bias moves all scores of a row alike."""
    return r"layers\.\d+\.phi\.bias"


def small(variant: str, **change: object) -> lfb.Config:
    return dataclasses.replace(lfb.VARIANTS[variant], **{**SMALL, **change})


def close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def memory_of(features: Tensor) -> Memory:
    """One clip's rows, all of its own second."""
    number = len(features)
    return Memory(
        features=features[None],
        dt=torch.zeros(1, number, dtype=torch.long),
        track=torch.arange(number)[None],
        tag=torch.ones(1, number),
        mask=torch.ones(1, number, dtype=torch.bool),
    )


@pytest.mark.parametrize(
    ("variant", "published"),
    [("lfb", 4_404_304), ("sto", 4_404_304), ("lfb3", 4_404_304 + 4 * (512 * 512 + 512)), ("mmaction", 4_406_352)],
)
def test_parameters_with_2048_channels_and_80_classes(variant: str, published: int):
    """4.40 M (spec): two reductions, two layers, and the classifier over 2048 + 512 channels with its bias."""
    with torch.device("meta"):
        slow = Interface(channels={"slow": 2048}, frames={"slow": 8}, num_classes=80)
        head = lfb.VARIANTS[variant].build(slow)
        classifier = nn.Linear(head.out_dim, 80, bias=lfb.VARIANTS[variant].classifier_bias)
    assert sum(p.numel() for part in (head, classifier) for p in part.parameters()) == published


def test_the_model_reads_a_minute():
    with torch.device("meta"):
        head = create_model("lfb", backbone="slowfast_r50_8x8").head
    spec = head.memory
    assert spec is not None
    assert (spec.radius, spec.future, spec.max_per_tick, spec.dim, spec.include_current) == (30, 29, 5, 2304, True)


def test_over_the_current_actors_it_is_sto():
    long, short = built(small("lfb")), built(small("sto"))
    short.load_state_dict(long.state_dict())
    whole = scene((3,))
    with_bank = dataclasses.replace(whole, memory=memory_of(whole.rois.amax(dim=(2, 3))))
    close(long(with_bank).features, short(whole).features)


def test_sto_teaches_the_actors_that_are_gathered():
    head, whole = built(small("sto")), scene((2, 1))
    whole.rois.requires_grad_(True)
    head(whole).features[0, -1].backward()  # of the first actor, what was gathered
    assert whole.rois.grad is not None
    assert whole.rois.grad[1].any()
    assert not whole.rois.grad[2].any()


def test_a_bank_teaches_nobody():
    head = built(small("lfb"))
    whole = scene_for(head, (2,))
    whole.rois.requires_grad_(True)
    relations = head(whole)
    relations.features[0, -1].backward()
    assert whole.rois.grad is not None
    assert not whole.rois.grad[1].any()
    assert relations.store is not None
    assert torch.equal(relations.store, whole.rois.detach().amax(dim=(2, 3)))
    assert built(small("sto"))(scene((2,))).store is None


@pytest.mark.parametrize("variant", lfb.VARIANTS)
def test_at_the_start_the_bank_has_no_effect(variant: str):
    head = small(variant).build(INTERFACE).double().eval()
    whole = scene_for(head, (3,))
    people = whole.rois.amax(dim=(2, 3))
    close(head(whole).features, torch.cat([people, head.reduce_query(people)], dim=1))


def test_without_zero_init_the_bank_has_an_effect_at_once():
    head = small("lfb", zero_init=False).build(INTERFACE).double().eval()
    whole = scene_for(head, (3,))
    assert not torch.equal(head(whole).features, head(dataclasses.replace(whole, memory=None)).features)


def without_memory(whole: Scene) -> Scene:
    return dataclasses.replace(whole, memory=None)


def test_an_empty_bank_leaves_the_query_as_it_is():
    head = built(small("mmaction"))
    whole = scene_for(head, (2, 1, 2))  # the third clip's is empty
    people = whole.rois.amax(dim=(2, 3))
    query = torch.cat([people, head.reduce_query(people)], dim=1)
    close(head(whole).features[3:], query[3:])
    close(head(without_memory(whole)).features, query)
    assert not torch.allclose(head(whole).features[:3], query[:3])


def test_a_full_bank_has_no_empty_slots():
    full = {"max_per_tick": 2}
    masked, padded = built(small("lfb", **full)), built(small("padded", **full))
    whole = scene_for(masked, (3,))
    close(padded(whole).features, masked(whole).features)


def test_empty_slots_as_released_are_zeros_before_the_reduction():
    masked, padded = built(small("lfb")), built(small("padded"))
    whole = scene_for(masked, (2,))
    memory = whole.memory
    assert memory is not None
    stored = memory.features[0][memory.mask[0]]
    filled = torch.cat([stored, stored.new_zeros(3 * 4 - len(stored), stored.shape[1])])
    close(padded(whole).features, masked(dataclasses.replace(whole, memory=memory_of(filled))).features)


def test_when_somebody_was_seen_says_nothing():
    head = built(small("lfb"))
    whole = scene_for(head, (2,))
    assert whole.memory is not None
    moved = dataclasses.replace(whole.memory, dt=-whole.memory.dt)
    assert torch.equal(head(dataclasses.replace(whole, memory=moved)).features, head(whole).features)


def test_one_actor_attends_to_itself_alone():
    maps = built(small("sto"))(scene((1, 2))).maps
    assert set(maps) == {"bank_0", "bank_1"}
    assert maps["bank_0"][0, 0].tolist() == [1, 0]
    assert torch.allclose(maps["bank_1"][1].sum(dim=1), torch.ones(2, dtype=torch.float64))


def test_sto_of_one_clip_is_blind_to_the_others():
    head, whole = built(small("sto")), scene((2, 3))
    alone = dataclasses.replace(
        whole,
        maps={name: pathway[:1] for name, pathway in whole.maps.items()},
        pooled=whole.pooled[:1],
        valid=whole.valid[:1],
        frame=whole.frame[:1],
        actors=Actors.of([whole.actors.boxes[:2]]),
        rois=whole.rois[:2],
        roi_boxes=whole.roi_boxes[:2],
        objects=None,
        object_rois=None,
        labels=None,
    )
    close(head(alone).features, head(whole).features[:2])


def test_empty_slots_without_a_memory_are_refused():
    with pytest.raises(ValueError, match=r"mask_padding=False: bank='current' has no empty slots"):
        lfb.Config(bank="current", mask_padding=False).build(INTERFACE)


def test_no_layers_are_refused():
    with pytest.raises(ValidationError, match=r"(?s)layers.*greater than or equal to 1"):
        lfb.Config(layers=0)
