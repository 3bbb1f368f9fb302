import dataclasses

import pytest
import torch
from pydantic import ValidationError

from relact import create_model
from relact.head import Interface
from relact.heads import stc
from relact.types import Actors, Scene
from tests.heads.scenes import INTERFACE, built, one_clip, scene

SMALL: dict[str, object] = {"heads": 2, "ffn": 12, "hidden": 5}
"""not d_model, where `unprojected` differs from the default"""

variants = pytest.mark.parametrize(
    "config", [dataclasses.replace(config, **SMALL) for config in stc.VARIANTS.values()], ids=stc.VARIANTS
)


def small(**settings: object) -> stc.Config:
    return stc.Config(**{**SMALL, "d_model": 8, **settings})


def close(got: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def with_actors(whole: Scene, rows: list[int]) -> Scene:
    """The one clip of this scene with some of its people."""
    actors = Actors.of([whole.actors.boxes[rows]])
    return dataclasses.replace(
        whole, actors=actors, rois=whole.rois[rows], roi_boxes=actors.boxes, labels=None, objects=None, object_rois=None
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 8_969_296),
        ({"query": "pooled"}, 8_969_296),
        ({"context": "spatial"}, 5_816_400),
        ({"context": "spatial", "query": "pooled"}, 5_816_400),
        ({"d_model": None}, 56_265_552),
    ],
    ids=str,
)
def test_parameters(settings: dict[str, object], expected: int):
    """Spec, section 3: 8.97 M with two blocks, 5.82 M with one, 56.3 M without projections."""
    with torch.device("meta"):
        model = create_model("stc", backbone="slowfast_r50_8x8", num_classes=80, settings=settings)
    assert sum(p.numel() for part in (model.head, model.classifier) for p in part.parameters()) == expected


def test_the_default_is_the_best_row_and_ends_in_the_wide_layer():
    assert next(iter(stc.VARIANTS.values())) == stc.Config()
    interface = Interface(channels={"slow": 2048, "fast": 256}, frames={"slow": 8, "fast": 32}, num_classes=60)
    with torch.device("meta"):
        assert stc.Config().build(interface).out_dim == 512
        assert stc.Config(hidden=100).build(interface).out_dim == 100
        assert stc.Config(d_model=None).build(interface).out_dim == 2304


@variants
def test_other_actors_change_nothing(config: stc.Config):
    head, whole = built(config), scene((4,))
    everyone = head(whole).features
    close(head(with_actors(whole, [1])).features, everyone[[1]])
    close(head(with_actors(whole, [3, 0])).features, everyone[[3, 0]])


@variants
def test_the_order_of_places_says_nothing(config: stc.Config):
    head, whole = built(config), scene((3,))
    order = torch.randperm(35, generator=torch.Generator().manual_seed(0))

    def shuffled(x: torch.Tensor) -> torch.Tensor:
        return x.flatten(-2)[..., order].view(x.shape)

    maps = {name: shuffled(pathway) for name, pathway in whole.maps.items()}
    mixed = dataclasses.replace(whole, pooled=shuffled(whole.pooled), maps=maps)
    close(head(mixed).features, head(whole).features)


@variants
def test_the_order_of_fast_frames_says_nothing_but_what_they_hold_does(config: stc.Config):
    head, whole = built(config), scene((3,))
    fast = whole.maps["fast"]
    mixed = dataclasses.replace(whole, maps={**whole.maps, "fast": fast[:, :, [2, 0, 3, 1]]})
    close(head(mixed).features, head(whole).features)
    other = dataclasses.replace(whole, maps={**whole.maps, "fast": fast * torch.arange(4)[:, None, None]})
    assert torch.equal(head(other).features, head(whole).features) == (config.context == "spatial")


def test_the_order_of_an_actors_cells_says_nothing():
    head, whole = built(small()), scene((3,))
    order = torch.randperm(49, generator=torch.Generator().manual_seed(0))
    mixed = dataclasses.replace(whole, rois=whole.rois.flatten(2)[:, :, order].view(whole.rois.shape))
    close(head(mixed).features, head(whole).features)


def test_an_actor_of_one_colour_is_the_same_pooled_or_in_cells():
    whole = scene((2, 1))
    plain = dataclasses.replace(whole, rois=whole.rois[:, :, :1, :1].expand(whole.rois.shape))
    close(built(small()).forward(plain).features, built(small(query="pooled")).forward(plain).features)


def test_space_is_averaged_over_real_cells_only():
    """A narrow clip (5 of 7 columns) is what it is alone, in a map of its own size."""
    head, whole = built(small()), scene((0, 2))
    cut = {name: pathway[1:, ..., :5] for name, pathway in whole.maps.items()}
    own = with_actors(whole, [0, 1])
    own = dataclasses.replace(own, maps=cut, pooled=whole.pooled[1:, ..., :5], valid=own.valid[1:], frame=own.frame[1:])
    close(head(own).features, head(whole).features)


def test_blocks_are_normalised_after_the_sum():
    """(1, 3) + (2, 4) = (3, 7) → (-1, 1); a feed forward layer of nothing leaves it. (MRSN would give (0, 4).)"""
    block = stc.CrossAttention(2, 2, 1, 3, 0.0).double().eval()
    with torch.no_grad():
        for parameter in (block.query, block.key_value, block.out, block.contract):
            parameter.weight.zero_()
            parameter.bias.zero_()
        block.out.bias.copy_(torch.tensor([2.0, 4.0]))
    tokens, known = torch.tensor([[[1.0, 3.0]]]).double(), torch.randn(1, 5, 2).double()
    groups = stc.Groups(Actors.of([torch.zeros(1, 4)]), None)
    got, _ = block(tokens, known, groups, None, explain=False)
    torch.testing.assert_close(got, torch.tensor([[[-1.0, 1.0]]]).double(), rtol=0, atol=1e-4)


def test_attention_can_be_seen():
    whole = scene((2, 1, 0))
    head = built(small())
    assert head(whole).maps == {}
    head.explain = True
    maps = head(whole).maps
    assert {name: tuple(x.shape) for name, x in maps.items()} == {"cells": (3, 49, 5, 7), "frames": (3, 49, 4)}
    torch.testing.assert_close(maps["cells"].sum(dim=(2, 3)), torch.ones(3, 49).double())
    torch.testing.assert_close(maps["frames"].sum(dim=2), torch.ones(3, 49).double())
    assert not maps["cells"][2, :, :, 5:].any()  # the second clip has five columns
    assert maps["cells"][2, :, :, :5].all()


@variants
def test_a_crowd_beside_a_lonely_actor_is_what_it_is_alone(config: stc.Config):
    """A crowd is cut into groups that ask the same keys: here 9 people, four at a time."""
    head, whole = built(config), scene((1, 9, 0))
    head.explain = True
    together = head(whole)
    alone = [head(one_clip(whole, clip)) for clip in range(3)]
    close(together.features, torch.cat([relations.features for relations in alone]))
    for name, attention in together.maps.items():
        close(attention, torch.cat([relations.maps[name] for relations in alone]))


def test_a_backbone_without_a_fast_pathway_gives_places_only():
    slow_only = Interface(channels={"main": 16}, frames={"main": 2}, num_classes=6)
    with pytest.raises(ValueError, match=r"context: .*fast pathway.*gives main; .*context='spatial'"):
        stc.Config().build(slow_only)
    head = built(small(context="spatial"), interface=slow_only)
    assert head(scene((2, 0, 1), interface=slow_only)).features.shape == (3, 5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"heads": 7}, r"heads: stc needs a divisor of 8 \(d_model\), got 7"),
        ({"heads": 7, "d_model": None}, r"heads: stc needs a divisor of 32 \(the backbone's channels, .*\), got 7"),
    ],
    ids=["d_model", "backbone"],
)
def test_heads_must_divide_the_width(settings: dict[str, object], said: str):
    with pytest.raises(ValueError, match=said):
        small(**settings).build(INTERFACE)


@pytest.mark.parametrize("field", ["d_model", "heads", "ffn", "hidden"])
def test_widths_are_positive(field: str):
    with pytest.raises(ValidationError, match=rf"(?s){field}.*greater than or equal to 1"):
        stc.Config(**{field: 0})
