import dataclasses

import pytest
import torch
from torch import Tensor, nn

from relact.head import Interface
from relact.heads import mrsn
from relact.nn.roi import RoIConfig
from relact.types import Actors, Memory, Scene
from tests.heads.scenes import INTERFACE, built, scene, scene_for

SMALL: dict[str, object] = {
    "width": 8, "ffn": 12, "heads": 2, "grid": 4, "patch": 2, "window": 1, "bank_width": 12, "hidden": 6,
}  # fmt: skip
SLOWFAST = Interface(channels={"slow": 2048, "fast": 256}, frames={"slow": 8, "fast": 32}, num_classes=60)


def dead(config: mrsn.Config) -> str:
    """Softmax ignores what moves all scores of a query alike (a key's bias), and is 1 over one key (RSE's `own`)."""
    own = r"|mrse\.\d+\.rse\.\d+\.attention_x\.(query|key)\.weight|mrse\.\d+\.rse\.\d+\.attention_x\.query\.bias"
    return r".*\.key\.bias" + (own if config.rse_keys == "own" else "")


def small(**changes: object) -> mrsn.Mrsn:
    head = built(mrsn.Config(**{**SMALL, **changes}))
    assert isinstance(head, mrsn.Mrsn)
    return head


def close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


def boxes_in(frame: tuple[int, int], *boxes: tuple[float, float, float, float]) -> Scene:
    """A clip of this (height, width) with boxes given in [0, 1] of it."""
    height, width = frame
    of_clip = torch.tensor(boxes, dtype=torch.float64) * torch.tensor([width, height, width, height])
    return dataclasses.replace(scene((0,)), actors=Actors.of([of_clip]), frame=torch.tensor([frame]))


@pytest.mark.parametrize("frame", [(256, 341), (80, 113)])
def test_an_actor_stands_where_its_boxs_centre_is(frame: tuple[int, int]):
    """Eq. 3 as corrected, by hand: centres (.25, .55), (.75, .5), (.95, .95), then the corners, then outside."""
    at = boxes_in(
        frame, (0.1, 0.2, 0.4, 0.9), (0.5, 0, 1, 1), (0.9, 0.9, 1, 1), (0, 0, 0, 0), (1, 1, 1, 1), (-0.5, 1, 0, 1.5)
    )
    assert mrsn.places(at, 8).tolist() == [34, 38, 63, 0, 63, 56]


def test_places_are_those_of_the_frame_before_padding():
    both = dataclasses.replace(
        scene((0, 0)),
        actors=Actors.of([torch.tensor([[40.0, 40, 60, 60]])] * 2),
        frame=torch.tensor([[80, 112], [80, 56]]),
    )
    assert mrsn.places(both, 8).tolist() == [5 * 8 + 3, 5 * 8 + 7]


def test_the_norm_stands_on_the_branch_by_hand():
    """X = (1, 3), a sub-layer that gives (2, 4), whose norm is (-1, 1): (0, 4)."""
    block = mrsn.Encoder(2, 2, 1).double()
    with torch.no_grad():
        block.out.weight.copy_(torch.eye(2))
        block.out.bias.zero_()
        block.ffn.norm.weight.zero_()
        block.norm.eps = 0.0
    close(block.finish(tensor(1, 3), tensor(2, 4)), tensor(0, 4))
    close(block.ffn(tensor(0, 4)), tensor(0, 4))


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 15_194_172),
        ({"consensus": "long"}, 15_194_172 + 6_331_392),
        ({"consensus": "long", "distance": "absolute"}, 15_194_172 + 6_331_392 - 10 * 1536),
        ({"rse_keys": "clip"}, 15_194_172),
        ({"share_pos": True}, 15_194_172 - 64 * 512),
        ({"rse": 0}, 10_988_604),
        ({"aare": 0, "rse": 0}, 8_590_908),
        ({"acre": 0, "rse": 0}, 3_609_148),
        ({"stack": 2}, 15_194_172 + 8_411_136),
        ({"ffn": 2048}, 19_392_572),
        ({"width": 1024}, 38_741_564),
        ({"width": 1024, "ffn": 2048}, 47_134_268),
        ({"width": 1024, "ffn": 4096}, 63_919_676),
        ({"roi_pool": "flatten"}, 71_817_276),
    ],
    ids=str,
)
def test_parameters(changes: dict[str, object], expected: int):
    """With the classifier for 60 classes, as in the paper's "half of ACAR", which has 25,229,312."""
    with torch.device("meta"):
        head = mrsn.Config(**changes).build(SLOWFAST)
        classifier = nn.Linear(head.out_dim, 60)
    assert sum(p.numel() for module in (head, classifier) for p in module.parameters()) == expected


def test_parameters_of_the_parts():
    with torch.device("meta"):
        head = mrsn.Config(consensus="long").build(SLOWFAST)
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in head.named_children()}
    tables = head.actor_mark.numel() + head.patch_places.numel() + head.actor_places.numel()
    assert counts == {
        "embed_actor": 1_180_160, "embed_patch": 4_719_104, "mrse": 2 * 2_102_784 + 4_205_568, "mlp": 786_944,
        "long": 6_331_392,
    }  # fmt: skip
    assert tables == 66_048


def test_own_and_clip_keys_share_a_layout():
    assert list(small().state_dict()) == list(small(rse_keys="clip").state_dict())


def test_without_supports_both_relations_stand_side_by_side():
    both, context, others = small(rse=0), small(aare=0, rse=0), small(acre=0, rse=0)
    for part in (context, others):
        known = {name: value for name, value in both.state_dict().items() if name in part.state_dict()}
        part.load_state_dict({**known, "mlp.weight": part.mlp.weight})
    whole = scene((2, 0, 3))
    stored = [head(whole).store for head in (both, context, others)]
    assert all(rows is not None for rows in stored)
    close(stored[0], torch.cat(stored[1:], dim=1))
    assert [rows.shape[1] for rows in stored] == [24, 16, 8]


def silence(module: nn.Module) -> None:
    """Every sub-layer's output and every norm's shift to zero."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.LayerNorm):
                part.bias.zero_()
            if isinstance(part, mrsn.FeedForward):
                part.layers[2].weight.zero_()
                part.layers[2].bias.zero_()
            if isinstance(part, mrsn.Encoder | mrsn.CrossAttention):
                part.out.weight.zero_()
                part.out.bias.zero_()


def test_a_block_whose_sublayers_are_silent_is_the_identity():
    head = small()
    silence(head)
    whole = scene((2, 3))
    token = head.token(whole)
    sequences, others = head.context(token, whole).sequences(whole.actors), head.others(token, whole)
    x, y = head.mrse[0](head.context(token, whole), others, whole.actors)
    close(x, sequences)
    close(y, others)


def test_the_first_layer_is_the_attention_over_whole_sequences():
    head = small()
    whole = scene((2, 0, 3))
    tokens = head.context(head.token(whole), whole)
    block = head.mrse[0].acre[0]
    close(block(tokens, whole.actors), block(tokens.sequences(whole.actors), whole.actors))


def test_the_first_layer_withstands_large_scores():
    block = mrsn.Acre(8, 8, 2).double()
    tokens = mrsn.Shared(torch.randn(3, 8).double() * 300, torch.randn(2, 4, 8).double() * 300)
    actors = Actors.of([torch.zeros(1, 4), torch.zeros(2, 4)])
    close(block(tokens, actors), block(tokens.sequences(actors), actors))


def test_the_clips_keys_are_an_actors_own_where_it_is_alone():
    own, clip = small(), small(rse_keys="clip")
    clip.load_state_dict(own.state_dict())
    alone = scene((1, 1))
    close(clip(alone).features, own(alone).features)
    crowd = scene((2,))
    assert not torch.allclose(clip(crowd).features, own(crowd).features)


def test_the_long_consensus_with_a_silent_norm_is_the_short_one():
    head, short = small(consensus="long"), small()
    with torch.no_grad():
        head.long.norm.weight.zero_()
        head.long.norm.bias.zero_()
    short.load_state_dict({k: v for k, v in head.state_dict().items() if not k.startswith("long.")})
    whole = scene_for(head, (2, 3))
    close(head(whole).features, short(whole).features)


def test_what_the_short_model_stores_is_what_the_long_one_reads():
    short, head = small(), small(consensus="long")
    assert head.memory is not None
    assert (head.memory.radius, head.memory.include_current, head.memory.max_per_tick) == (1, True, None)
    whole = scene_for(head, (2, 1))
    stored = [model(whole).store for model in (short, head)]
    assert all(rows is not None and rows.shape == (3, head.memory.dim) for rows in stored)
    short.load_state_dict({k: v for k, v in head.state_dict().items() if not k.startswith("long.")})
    close(short(whole).store, stored[1])
    assert mrsn.Config(consensus="long").build(INTERFACE).memory.radius == 10


def remembered(head: mrsn.Mrsn, dt: list[int], order: list[int] | None = None) -> Tensor:
    """Features with a bank of three rows, at these ticks."""
    whole = scene_for(head, (2,))
    features = torch.randn(1, 3, 24, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    memory = Memory(
        features=features[:, order or [0, 1, 2]],
        dt=torch.tensor([dt]),
        track=torch.zeros(1, 3, dtype=torch.long),
        tag=torch.ones(1, 3),
        mask=torch.ones(1, 3, dtype=torch.bool),
    )
    return head(dataclasses.replace(whole, memory=memory)).features


def test_order_within_a_second_says_nothing_but_seconds_do():
    head = small(consensus="long")
    before = remembered(head, [-1, -1, 1])
    close(remembered(head, [-1, -1, 1], order=[1, 0, 2]), before)
    assert not torch.allclose(remembered(head, [-1, -1, 1], order=[2, 1, 0]), before)
    assert not torch.allclose(remembered(head, [1, 1, -1]), before)


def test_the_past_mirrors_the_future_where_distances_are_absolute():
    head = small(consensus="long", distance="absolute")
    close(remembered(head, [-1, 0, 1]), remembered(head, [1, 0, -1]))
    assert not torch.allclose(remembered(head, [0, 0, 1]), remembered(head, [-1, 0, 1]))


def test_without_distances_no_order_matters():
    head = small(consensus="long")
    with torch.no_grad():
        head.long.distances.zero_()
    close(remembered(head, [-1, 0, 1], order=[2, 0, 1]), remembered(head, [0, 1, -1]))


def test_one_actor_among_nobody_asks_nothing_of_others():
    """Key biases, and for a single actor all queries and keys of AARE, have no gradient."""
    head = small()
    head(scene((1,))).features.square().sum().backward()
    others, context = head.mrse[0].aare[0].qkv, head.mrse[0].acre[0].qkv
    assert others.weight.grad[:16].abs().max() < 1e-13
    assert others.bias.grad[:16].abs().max() < 1e-13
    assert others.weight.grad[16:].abs().max() > 1e-6
    assert context.bias.grad[8:16].abs().max() < 1e-13
    assert context.bias.grad[:8].abs().max() > 1e-9


def test_only_the_places_where_someone_stands_learn():
    head = small()
    whole = scene((3, 2))
    head(whole).features.square().sum().backward()
    learned = set(head.actor_places.grad.abs().amax(dim=1).nonzero().flatten().tolist())
    assert learned == set(mrsn.places(whole, 2).tolist())


def test_where_an_actor_stands_matters_to_the_others():
    head = small(acre=0, rse=0)
    whole = scene((2,))
    near, far = (
        dataclasses.replace(whole, actors=dataclasses.replace(whole.actors, boxes=torch.tensor([[0, 0, 9, 9], box])))
        for box in ([0.0, 0, 8, 8], [60.0, 60, 99, 80])
    )
    assert not torch.allclose(head(near).features[0], head(far).features[0])


def test_pictures_are_distributions():
    head = small()
    assert head(scene((2, 0, 3))).maps == {}
    head.explain = True
    maps = head(scene((2, 0, 3))).maps
    assert maps["context"].shape == (5, 2, 2)
    assert bool((maps["context"].sum(dim=(1, 2)) < 1).all())  # the rest is what the actor keeps for itself
    close(maps["actors"].sum(dim=2), torch.tensor([[1, 1, 1]] * 3) * torch.tensor([[1.0], [0], [1]]).double())
    assert not maps["actors"][0, :, 2:].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 9}, "heads: must divide width 9, got 2; choose"),
        ({"bank_width": 9, "consensus": "long"}, "heads: must divide bank_width 9, got 2; choose"),
        ({"patch": 3}, "patch: must divide grid 4, got 3; choose"),
        ({"acre": 0, "aare": 0, "rse": 0}, "acre, aare: mrsn needs one of them, got 0.*`linear`"),
        ({"aare": 0}, "rse: goes between two encoders, got acre=1, aare=0; .* set rse=0"),
        ({"acre": 0, "rse": 0, "share_pos": True}, "share_pos: goes between .* got acre=0, aare=1; .* share_pos=False"),
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_told(changes: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        mrsn.Config(**{**SMALL, **changes}).build(INTERFACE)


def test_a_width_of_the_bank_that_nobody_reads_is_not_judged():
    assert mrsn.Config(width=12, heads=3).build(INTERFACE).memory is None


def test_flat_rois_are_as_large_as_the_settings_say():
    eight = dataclasses.replace(INTERFACE, roi=RoIConfig(size=8))
    whole = scene((2,))
    head = mrsn.Config(**SMALL, roi_pool="flatten").build(eight).double()
    assert head(dataclasses.replace(whole, rois=whole.rois.new_ones(2, 32, 8, 8), object_rois=None)).features.shape == (
        2,
        6,
    )
