import dataclasses

import pytest
import torch
from torch import Tensor

from relact import create_model
from relact.head import Interface
from relact.heads import amcrnet
from relact.nn.posnet import CANVAS, Context, PosNet
from relact.types import Memory, Scene
from tests.heads.scenes import INTERFACE, built, one_clip, scene, scene_for

SMALL: dict[str, object] = {"width": 16, "heads": 2, "radius": 2, "table": 3}


def small(**change: object) -> amcrnet.Amcrnet:
    head = built(amcrnet.Config(**{**SMALL, **change}))
    assert isinstance(head, amcrnet.Amcrnet)
    return head


def close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


def count(backbone: str, variant: str, **settings: object) -> int:
    with torch.device("meta"):
        model = create_model(f"amcrnet:{variant}", backbone=backbone, num_classes=81, settings=settings)
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("backbone", "variant", "total"),
    [
        ("slowfast_r50_8x8_mm", "slim", 73_260_559),
        ("slowfast_r50_8x8_mm", "full", 148_807_183),
        ("slowfast_r50_4x16_mm", "slim", 73_698_575),
        ("slowfast_r50_4x16_mm", "full", 149_245_199),
        ("slowfast_r101_8x8_mm", "slim", 101_607_311),
        ("slowfast_r50_8x8_mm", "slim_no_bank", 60_647_951),
        ("slowfast_r50_8x8_mm", "no_bank", 111_012_367),
        ("slowfast_r50_8x8_mm", "slim_hrafb", 85_940_751),
        ("slowfast_r50_8x8_mm", "hrafb", 186_669_583),
        ("slowonly_r50_4x16_mm", "slim", 70_727_207),
    ],
)
def test_parameters_of_the_published_models(backbone: str, variant: str, total: int):
    assert count(backbone, variant) == total


@pytest.mark.parametrize(
    ("backbone", "variant", "millions"),
    [
        ("slowfast_r50_8x8_mm", "slim", 73.2),
        ("slowfast_r50_8x8_mm", "full", 148),
        ("slowfast_r50_4x16_mm", "slim", 73.4),
        ("slowfast_r50_4x16_mm", "full", 149),
        ("slowfast_r101_8x8_mm", "slim", 101.7),
    ],
)
def test_parameters_are_near_those_of_table_1(backbone: str, variant: str, millions: float):
    assert count(backbone, variant) / 1e6 == pytest.approx(millions, rel=6e-3)


def test_parameters_of_each_part():
    interface = Interface(channels={"slow": 2048, "fast": 256}, frames={"slow": 8, "fast": 32}, num_classes=81)
    with torch.device("meta"):
        head = amcrnet.Config().build(interface)
    parts = {name: sum(p.numel() for p in module.parameters()) for name, module in head.named_children()}
    assert parts == {
        "fusion": 1_573_888, "position": 152_982, "context": 0, "bhoi": 75_558_912, "history": 37_779_456
    }  # fmt: skip
    assert head.temporal_embed.shape == (15, 1024)


def test_weights_begin_as_the_released_code_begins():
    torch.manual_seed(0)
    head = amcrnet.Config(**{**SMALL, "width": 64}).build(INTERFACE)
    block = head.bhoi.blocks[0]
    assert float(block.fc1.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert not block.fc1.bias.any()
    assert not head.temporal_embed.any()
    fan_out = head.fusion.reduce.conv.weight.shape[0]
    assert float(head.fusion.reduce.conv.weight.detach().std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)


# Fusion


@pytest.mark.parametrize(("slow", "fast"), [(2, 8), (3, 6), (5, 5), (1, 4)])
def test_fusion_is_frame_major_before_and_channel_major_after(slow: int, fast: int):
    interface = Interface(channels={"slow": 3, "fast": 2}, frames={"slow": slow, "fast": fast}, num_classes=6)
    head = built(amcrnet.Config(**SMALL), interface=interface)
    whole = scene((1,), interface=interface)
    got = head.fusion(whole.maps, whole.valid)[0]
    r = fast // slow
    rows = [whole.maps["slow"][0, c] for c in range(3)]
    rows += [
        torch.stack([whole.maps["fast"][0, c, t * r + j] for t in range(slow)]) for j in range(r) for c in range(2)
    ]
    pooled = torch.nn.functional.adaptive_avg_pool3d(torch.stack(rows)[None], (2, 5, 7))[0]
    weight, norm = head.fusion.reduce.conv.weight[:, :, 0, 0, 0], head.fusion.reduce.bn
    for t in range(2):
        for c in range(8):
            value = sum(weight[c, i] * pooled[i, t] for i in range(len(rows)))
            value = value * norm.weight[c] / (1 + norm.eps) ** 0.5 + norm.bias[c]
            close(got[2 * c + t], value.relu())


@pytest.mark.parametrize("name", ["main", "slow"])
def test_one_pathway_is_enough(name: str):
    interface = Interface(channels={name: 6}, frames={name: 4}, num_classes=6)
    head = built(amcrnet.Config(**SMALL), interface=interface)
    whole = scene((2, 1), interface=interface, memory=head.memory)
    assert head(whole).features.shape == (3, 16)
    assert head.fusion.reduce.conv.weight.shape == (8, 6, 1, 1, 1)


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ({"slow": 3, "fast": 8}, "slow with 3 frames, fast with 8 frames"),
        ({"left": 2, "right": 4}, "left with 2 frames"),
    ],
)
def test_maps_that_cannot_be_fused_are_said(frames: dict[str, int], said: str):
    interface = Interface(channels=dict.fromkeys(frames, 4), frames=frames, num_classes=6)
    with pytest.raises(ValueError, match=rf"(?s)backbone: .*multiple.*{said}.*choose another"):
        amcrnet.Config(**SMALL).build(interface)


@pytest.mark.parametrize("change", [{"width": 18, "heads": 4}, {"width": 6, "heads": 2, "position": "sine"}])
def test_a_width_that_does_not_divide_is_said(change: dict[str, object]):
    with pytest.raises(ValueError, match=rf"width: .*heads={change['heads']}.*got {change['width']}"):
        amcrnet.Config(**change).build(INTERFACE)


def test_statistics_in_training_are_of_real_cells_alone():
    head = small().train()
    whole = scene_for(head, (1, 1))
    head(whole)
    spoilt = {name: pathway.clone() for name, pathway in whole.maps.items()}
    for pathway in spoilt.values():
        pathway[1, ..., 5:] = float("nan")
    other = small().train()
    other(dataclasses.replace(whole, maps=spoilt))
    close(other.fusion.reduce.bn.running_mean, head.fusion.reduce.bn.running_mean)
    assert bool(other.fusion.reduce.bn.running_var.isfinite().all())


# Positions


def cropped(whole: Scene, clip: int) -> Scene:
    """The clip alone, in maps of its own size."""
    alone = one_clip(whole, clip)
    rows, columns = alone.valid[0].tolist()
    maps = {name: pathway[..., :rows, :columns] for name, pathway in alone.maps.items()}
    return dataclasses.replace(alone, maps=maps, pooled=alone.pooled[..., :rows, :columns])


@pytest.mark.parametrize("position", ["posnet", "none", "learned", "sine"])
def test_a_clip_in_its_own_map_gives_what_it_gives_in_a_larger_one(position: str):
    head = small(position=position)
    whole = scene_for(head, (2, 3))
    alone = [head(cropped(whole, clip)).features for clip in range(2)]
    close(head(whole).features, torch.cat(alone))


def test_posnet_sees_19_cells_on_every_side():
    net = PosNet(4, resample=False, resample_in_test=False).double().eval()
    with torch.no_grad():
        for layer in net.layers:
            layer.conv.weight.abs_()
            layer.bn.bias.fill_(1)
            layer.bn.running_mean.zero_()
    noise = torch.ones(1, 1, 50, 50, dtype=torch.float64)
    valid, changed = torch.tensor([[50, 50]]), noise.clone()
    changed[0, 0, 24, 24] += 1e6
    moved = (net(valid, 50, 50, changed) - net(valid, 50, 50, noise)).abs().sum(dim=(0, 1)) > 0
    rows = moved.any(dim=1).nonzero()[:, 0]
    assert (int(rows.min()), int(rows.max())) == (24 - 19, 24 + 19)


def test_noise_is_the_same_in_every_process_and_repeats_beyond_its_canvas():
    net = PosNet(4, resample=True, resample_in_test=False).eval()
    assert torch.equal(net.noise, PosNet(4, resample=False, resample_in_test=False).noise)
    assert 1 <= float(net.noise.min()) < 1.1
    assert 9.9 < float(net.noise.max()) <= 10
    assert "noise" not in net.state_dict()
    large, valid = CANVAS + 8, torch.tensor([[CANVAS + 8, CANVAS + 8]])
    far = net(valid, large, large)[:, :, :40, :40]
    near = net(torch.tensor([[60, 60]]), 60, 60)[:, :, :40, :40]
    torch.testing.assert_close(far, near)


def test_an_untrained_posnet_is_not_silent_in_evaluation():
    for seed in range(5):
        torch.manual_seed(seed)
        net = PosNet(32, resample=True, resample_in_test=False).eval()
        positions = net(torch.tensor([[16, 22]]), 16, 22).detach()
        assert float((positions > 0).float().mean()) > 0.3
        assert float(positions.std()) > 0.3


def test_noise_is_drawn_in_training_fixed_in_evaluation_and_may_be_given():
    head = small()
    whole = scene_for(head, (2,))
    assert isinstance(head.position, PosNet)
    close(head(whole).features, head(whole).features)
    close(head(whole, noise=head.position.noise).features, head(whole).features)
    assert not torch.allclose(head(whole, noise=torch.ones(1, 1, 5, 7)).features, head(whole).features)
    released = small(resample_in_test=True)
    assert not torch.allclose(released(whole).features, released(whole).features)
    for noise, same in (("resample", False), ("fixed", True)):
        trained = small(noise=noise, drop_path=0.0).train()
        assert torch.allclose(trained(whole).features, trained(whole).features) is same


def test_noise_without_posnet_is_said():
    head = small(position="sine")
    with pytest.raises(ValueError, match="noise: only position='posnet'"):
        head(scene_for(head, (1,)), noise=torch.ones(1, 1, 5, 7))


def test_the_learned_table_is_stretched_as_interpolate_does():
    head = small(position="learned")
    table = head.position.table
    expected = torch.nn.functional.interpolate(table[None], size=(5, 7), mode="bilinear", align_corners=False)
    close(head.position(torch.tensor([[5, 7]]), 5, 7), expected)
    both = head.position(torch.tensor([[5, 7], [4, 2]]), 5, 7)
    smaller = torch.nn.functional.interpolate(table[None], size=(4, 2), mode="bilinear", align_corners=False)
    close(both[0], expected[0])
    close(both[1, :, :4, :2], smaller[0])


# Context


@pytest.mark.parametrize(
    ("size", "tokens"),
    [((16, 16), 25 + 9 + 4), ((16, 22), 35 + 12 + 6), ((16, 29), 50 + 18 + 8), ((3, 3), 2), ((1, 1), 0)],
)
def test_numbers_of_tokens(size: tuple[int, int], tokens: int):
    real = Context((3, 5, 7), 0, False)(torch.zeros(1, 2, *size), torch.tensor([size]))[1]
    assert int(real.sum()) == tokens
    assert int(Context((3, 5, 7), 1, False)(torch.zeros(1, 2, *size), torch.tensor([size]))[1].sum()) >= 3
    assert int(Context((), 0, True)(torch.zeros(1, 2, *size), torch.tensor([size]))[1].sum()) == size[0] * size[1]


def test_tokens_are_those_of_torchs_pooling_row_by_row():
    x = torch.randn(2, 3, 16, 22, dtype=torch.float64)
    valid = torch.tensor([[16, 22], [10, 18]])
    tokens, real = Context((3, 5, 7), 0, False)(x, valid)
    for clip, (rows, columns) in enumerate(valid.tolist()):
        own = x[clip, :, :rows, :columns]
        pooled = [
            torch.nn.functional.adaptive_avg_pool2d(own, (round(rows / k), round(columns / k))).flatten(1)
            for k in (3, 5, 7)
        ]
        close(tokens[clip][real[clip]].T, torch.cat(pooled, dim=1))


def test_half_a_cell_is_rounded_to_even():
    real = Context((2,), 0, False)(torch.zeros(1, 1, 5, 7), torch.tensor([[5, 7]]))[1]
    assert int(real.sum()) == 2 * 4


def test_maps_without_any_context_leave_the_actors_to_each_other():
    head = small(history="none")
    whole = scene_for(head, (2,))
    tiny = dataclasses.replace(
        whole, maps={n: m[..., :1, :1] for n, m in whole.maps.items()}, valid=torch.tensor([[1, 1]])
    )
    assert head.context(torch.zeros(1, 16, 1, 1), tiny.valid)[0].shape == (1, 0, 16)
    assert head(tiny).features.shape == (2, 16)


def test_what_actors_attend_to_is_there_to_be_drawn():
    head = small()
    whole = scene_for(head, (2, 3))
    assert head(whole).maps == {}
    head.explain = True
    attention = head(whole).maps["context"]
    assert attention.shape == (2, 3, 3 + 6)  # 3 actors, and 2 x 2 + 1 + 1 cells
    close(attention.sum(dim=2), torch.ones(2, 3, dtype=torch.float64))
    assert not attention[0, :, 2].any()  # the first clip has no third actor


# History


def test_without_memory_the_actors_meet_in_the_history_alone():
    head = small()
    whole = scene_for(head, (1,))
    alone = head(dataclasses.replace(whole, memory=None))
    assert alone.store is not None
    row = alone.store + head.temporal_embed[2]
    for block in head.history[0].blocks:
        row = row + block.proj(block.qkv(block.attn_norm(row))[:, 32:])  # one key: its value is all there is
        row = row + block.fc2(torch.nn.functional.gelu(block.fc1(block.mlp_norm(row))))
    close(alone.features, row)


def test_the_second_is_known_by_its_embedding():
    head = small()
    whole = scene_for(head, (2,))
    assert whole.memory is not None
    moved = dataclasses.replace(whole, memory=dataclasses.replace(whole.memory, dt=-whole.memory.dt))
    assert not torch.allclose(head(moved).features, head(whole).features)
    with torch.no_grad():
        head.temporal_embed.zero_()
    close(head(moved).features, head(whole).features)


def with_zero_rows(memory: Memory, radius: int) -> Memory:
    """The paper's zero vectors, written out: one row for each second that a clip has nothing of."""
    ticks = [tick for tick in range(-radius, radius + 1) if tick]
    seen = [set(memory.dt[clip][memory.mask[clip]].tolist()) for clip in range(len(memory.mask))]
    absent = torch.tensor([[tick not in clip for tick in ticks] for clip in seen])
    count, slots = len(seen), len(ticks)
    return Memory(
        features=torch.cat([memory.features, memory.features.new_zeros(count, slots, memory.features.shape[2])], dim=1),
        dt=torch.cat([memory.dt, torch.tensor([ticks] * count)], dim=1),
        track=torch.cat([memory.track, torch.full((count, slots), -1)], dim=1),
        tag=torch.cat([memory.tag, torch.ones(count, slots)], dim=1),
        mask=torch.cat([memory.mask, absent], dim=1),
    )


@pytest.mark.parametrize("history", ["hrfb", "hrafb"])
def test_zero_vectors_stand_for_missing_seconds(history: str):
    zero, skip = small(missing="zero", history=history), small(history=history)
    whole = scene_for(zero, (2, 1, 3))
    assert whole.memory is not None
    written = dataclasses.replace(whole, memory=with_zero_rows(whole.memory, 2))
    close(zero(whole).features, skip(written).features)
    assert not torch.allclose(zero(whole).features, skip(whole).features)


def test_in_training_the_banks_rows_are_weighted_by_the_ratio_of_losses():
    head = small(drop_path=0.0, noise="fixed").train()
    whole = scene_for(head, (2,))
    assert whole.memory is not None
    now = 0.8
    ratio = torch.minimum(whole.memory.tag / now, now / whole.memory.tag)
    assert bool((ratio < 1).any())
    scaled = dataclasses.replace(whole.memory, features=whole.memory.features * ratio[..., None])
    plain = small(drop_path=0.0, noise="fixed", weight="none").train()
    close(head(whole).features, plain(whole).features)  # no loss is known yet
    head.current_loss.fill_(now)
    close(head(whole).features, plain(dataclasses.replace(whole, memory=scaled)).features)
    close(head.eval()(whole).features, plain.eval()(whole).features)
    assert "current_loss" not in head.state_dict()


def test_two_branches_keep_actions_and_relations_apart():
    head = small(history="hrafb")
    whole = scene_for(head, (2, 1))
    assert whole.memory is not None
    relations = head(whole)
    assert head.memory is not None
    assert head.memory.dim == head.out_dim == 32
    movement = whole.memory.features.clone()
    movement[..., 16:] = movement[..., 16:].flip(2)
    other = head(dataclasses.replace(whole, memory=dataclasses.replace(whole.memory, features=movement)))
    close(other.features[:, :16], relations.features[:, :16])
    assert not torch.allclose(other.features[:, 16:], relations.features[:, 16:])
    assert relations.store is not None
    placed = head(whole, noise=torch.ones(1, 1, 5, 7)).store
    assert placed is not None
    close(placed[:, 16:], relations.store[:, 16:])  # movement features know no position


def test_an_update_is_dropped_for_a_whole_sequence():
    head = small(drop_path=0.5, depth=1, history="none", position="none").train()
    whole = scene_for(head, (3, 3, 3, 3))
    torch.manual_seed(2)
    rows = torch.randn(12, 16, dtype=torch.float64)
    block = head.bhoi.blocks[0]
    update = block._drop(rows, whole.actors.clip, 4).view(4, 3, 16)
    dropped = (update == 0).all(dim=2)
    assert 0 < int(dropped.sum()) < 12
    assert torch.equal(dropped.any(dim=1), dropped.all(dim=1))
    close(update[~dropped], rows.view(4, 3, 16)[~dropped] * 2)
