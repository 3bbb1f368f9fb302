"""Backbones: sizes as published, padding that nothing leaks through, every preset, folding, preparation."""

import platform
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import roi_align

from relact import backbones
from relact.backbones import Backbone
from relact.backbones.fused import FusedBottleneck
from relact.backbones.nonlocal_block import NonLocal
from relact.backbones.prepared import prepare_for_inference
from relact.backbones.resnet3d import NONLOCAL_FORMS
from relact.backbones.slowfast import SlowFast, slow_indices
from relact.errors import InputError
from relact.nn.fold import fold_batch_norms
from relact.nn.padding import Padding, cells, extend_edges, mask, zero_padding, zero_padding_

# The published sizes (ACAR-Net and SlowFast specifications), by hand.
PARAMETERS = {
    "slowonly_r50_4x16": 31_634_496,
    "slowonly_r50_8x8": 31_634_496,
    "slowonly_r50_16x4": 31_634_496,
    "slowonly_r101_8x8": 59_539_520,
    "slowfast_r50_4x16": 33_558_216,
    "slowfast_r50_8x8": 33_644_488,
    "slowfast_r50_8x4": 33_644_488,
    "slowfast_r101_8x8_50_50": 52_852_808,
    "slowfast_r101_16x8_50_50": 52_852_808,
    "slowfast_r101_8x8": 61_904_968,
    "slowfast_r101_8x8_acar": 61_904_040,
    "slowfast_r50_8x8_acar": 33_644_488,
    "slowfast_r50_8x8_mm": 33_643_560,
    "slowfast_r50_4x16_mm": 33_557_288,
    "slowfast_r101_8x8_mm": 61_990_312,
    "slowfast_r101_nl_8x8": 59_158_088,
    "slowfast_r101_nl_16x8": 59_158_088,
}
RESNETS = [name for name in backbones.available() if name.startswith("slow")]
TORCHVISION = [name for name in backbones.available() if not name.startswith("slow")]

NONLOCAL = ((), (0,), (0,), ())
NARROW = {
    "slowonly": backbones.config("slowonly_debug"),
    "slowonly classification": replace(backbones.config("slowonly_debug"), s5_stride=2, s5_dilation=1),
    "slowfast": replace(backbones.config("slowfast_debug"), num_frames=8),
    "slowfast mm": replace(
        backbones.config("slowfast_debug"), num_frames=8, fusion_norm=False, slow_index="stride", s5_dilation=1
    ),
    "dot product": replace(backbones.config("slowfast_debug"), num_frames=8, nonlocal_after=NONLOCAL),
    "embedded gaussian": replace(
        backbones.config("slowonly_debug"), nonlocal_after=NONLOCAL, nonlocal_form="embedded_gaussian"
    ),
}


def lively(net: Backbone) -> Backbone:
    """Batch norms with weights, biases and statistics of their own, so that every branch counts."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.2, 0.7)
            nn.init.normal_(module.bias, std=0.5)
            nn.init.normal_(module.running_mean, std=0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return net.eval()


def pad_together(clips: list[Tensor], fill: float = 0.0) -> tuple[Tensor, Tensor]:
    sizes = [clip.shape[-2:] for clip in clips]
    height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
    padded = [
        functional.pad(clip, (0, width - w, 0, height - h), value=fill)
        for clip, (h, w) in zip(clips, sizes, strict=True)
    ]
    return torch.stack(padded), torch.tensor(sizes)


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_parameter_counts_are_the_published_ones(name: str, count: int) -> None:
    with torch.device("meta"):
        net = backbones.config(name).build()
    assert sum(parameter.numel() for parameter in net.parameters()) == count


def test_nonlocal_blocks_of_r101_have_their_published_size() -> None:
    with torch.device("meta"):
        net = backbones.config("slowfast_r101_nl_8x8").build()
    blocks = {name: module for name, module in net.named_modules() if isinstance(module, NonLocal)}
    assert list(blocks) == ["slow.s4.6.nl", "slow.s4.13.nl", "slow.s4.20.nl"]
    assert sum(p.numel() for block in blocks.values() for p in block.parameters()) == 6_305_280


@pytest.mark.parametrize("name", RESNETS)
def test_maps_of_every_preset(name: str) -> None:
    config = backbones.config(name)
    with torch.device("meta"):
        net = config.build()
        maps = net(torch.empty(2, 3, config.num_frames, 100, 130))
    assert {key: x.shape[1] for key, x in maps.items()} == net.channels
    assert list(maps) == list(net.channels)
    for x in maps.values():
        assert x.shape[-2:] == (7, 9)  # ceil(100 / 16), ceil(130 / 16)


def test_slowfast_frames_per_pathway() -> None:
    for name, slow, fast in (
        ("slowfast_r50_8x8", 8, 32),
        ("slowfast_r50_4x16", 4, 32),
        ("slowfast_r101_nl_16x8", 16, 64),
    ):
        config = backbones.config(name)
        with torch.device("meta"):
            maps = config.build()(torch.empty(1, 3, config.num_frames, 64, 64))
        assert (maps["slow"].shape[2], maps["fast"].shape[2]) == (slow, fast)
        assert (maps["slow"].shape[1], maps["fast"].shape[1]) == (2048, 256)


def test_slow_frames() -> None:
    assert slow_indices(32, 4, "linspace") == [0, 4, 8, 13, 17, 22, 26, 31]
    assert slow_indices(32, 4, "stride") == [0, 4, 8, 12, 16, 20, 24, 28]
    assert slow_indices(32, 8, "linspace") == [0, 10, 20, 31]


@pytest.mark.parametrize("frames", [16, 32, 64])
@pytest.mark.parametrize("alpha", [4, 8])
def test_slow_frames_are_those_of_torch_linspace(frames: int, alpha: int) -> None:
    assert slow_indices(frames, alpha, "linspace") == torch.linspace(0, frames - 1, frames // alpha).long().tolist()


def test_slow_frames_keep_channels_last() -> None:
    net = backbones.config("slowfast_debug").build()
    assert isinstance(net, SlowFast)
    frames = torch.rand(2, 3, 16, 8, 8).to(memory_format=torch.channels_last_3d)
    slow = net.slow_frames(frames)
    assert slow.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(slow, frames[:, :, [0, 5, 10, 15]], rtol=0, atol=0)


def test_maps_keep_channels_last() -> None:
    net = backbones.config("slowfast_debug").build().eval().to(memory_format=torch.channels_last_3d)
    frames = torch.rand(2, 3, 16, 64, 64).to(memory_format=torch.channels_last_3d)
    threads = torch.get_num_threads()
    torch.set_num_threads(max(2, threads))  # on one thread torch takes other kernels, which do not
    try:
        maps = net(frames)
    finally:
        torch.set_num_threads(threads)
    for x in maps.values():
        assert x.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("kind", NARROW)
def test_a_batch_of_unequal_clips_equals_each_clip_alone(kind: str) -> None:
    config = NARROW[kind]
    net = lively(config.build()).double()
    clips = [torch.randn(3, config.num_frames, *size).double() for size in ((70, 45), (33, 80))]
    frames, valid = pad_together(clips, fill=3.0)  # the padding may hold anything
    with torch.no_grad():
        together = net(frames, valid)
        blind = net(frames)
        for index, clip in enumerate(clips):
            for name, alone in net(clip[None]).items():
                rows, columns = cells(valid, net.stride)[index].tolist()
                assert alone.shape[-2:] == (rows, columns)
                close = together[name][index, ..., :rows, :columns]
                assert (close - alone[0]).abs().max() <= 1e-12 * alone.abs().max()
                leaky = blind[name][index, ..., :rows, :columns]
                assert (leaky - alone[0]).abs().max() > 1e-9 * alone.abs().max()  # masking matters


def test_full_frames_are_never_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(padding: Padding, stride: int) -> Tensor:
        raise AssertionError("masked")

    monkeypatch.setattr(Padding, "padded", fail)
    net = backbones.config("slowfast_debug").build().eval()
    frames = torch.rand(2, 3, 16, 64, 48)
    assert net(frames, torch.tensor([[64, 48], [64, 48]]))["slow"].shape[-2:] == (4, 3)


@pytest.mark.parametrize("kind", ["slowfast", "dot product", "embedded gaussian"])
def test_gradients_of_a_padded_batch_equal_those_of_clips_alone(kind: str) -> None:
    config = NARROW[kind]
    net = lively(config.build()).double()
    clips = [torch.randn(3, config.num_frames, *size).double() for size in ((64, 50), (48, 80))]
    frames, valid = pad_together(clips)
    frames.requires_grad_(True)
    before = frames.detach().clone()
    maps = net(frames, valid)
    real = mask(cells(valid, net.stride), *maps["slow"].shape[-2:])
    sum(((x * real) ** 2).sum() for x in maps.values()).backward()
    together = [parameter.grad.clone() for parameter in net.parameters()]
    torch.testing.assert_close(frames.detach(), before, rtol=0, atol=0)
    net.zero_grad()
    for clip in clips:
        sum((x**2).sum() for x in net(clip[None]).values()).backward()
    for (name, parameter), grad in zip(net.named_parameters(), together, strict=True):
        scale = parameter.grad.abs().max().clamp(min=1e-4)  # keys' biases have none
        assert (grad - parameter.grad).abs().max() <= 1e-9 * scale, name


@pytest.mark.parametrize("form", NONLOCAL_FORMS)
def test_nonlocal_block_against_the_equation(form: str) -> None:
    settings = NONLOCAL_FORMS[form]
    block = NonLocal(4, stride=8, **settings._asdict()).double().eval()
    nn.init.normal_(block.bn.weight)
    x = torch.randn(2, 4, 4, 5, 6).double()
    pooled = functional.max_pool3d(x, settings.pool)
    keys, values = (block.phi(pooled), block.g(pooled))
    if settings.pool_last:
        keys, values = (functional.max_pool3d(conv(x), settings.pool) for conv in (block.phi, block.g))
    affinity = torch.einsum("bdn,bdm->bnm", block.theta(x).flatten(2), keys.flatten(2))
    count = keys[0, 0].numel()
    weights = (affinity / 2**0.5).softmax(-1) if settings.softmax else affinity / count
    mixed = torch.einsum("bnm,bdm->bdn", weights, values.flatten(2)).reshape(2, 2, 4, 5, 6)
    torch.testing.assert_close(block(x), x + block.bn(block.out(mixed)))


def test_fresh_nonlocal_blocks_change_nothing() -> None:
    net = replace(backbones.config("slowonly_debug"), nonlocal_after=NONLOCAL).build().eval()
    blocks = [module for module in net.modules() if isinstance(module, NonLocal)]
    x = torch.randn(1, blocks[0].bn.num_features, 4, 6, 6)
    torch.testing.assert_close(blocks[0](x), x)


@pytest.mark.parametrize("name", ["slowfast_debug", "slowonly_r50_nl", "slowonly_debug"])
def test_all_parameters_learn(name: str) -> None:
    config = replace(backbones.config(name), width=8, depths=(1, 3, 5, 1))
    net = lively(config.build()).train()
    sum((x**2).mean() for x in net(torch.randn(2, 3, config.num_frames, 64, 64)).values()).backward()
    dead = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # Biases of keys shift every softmax score of a query alike; what batch norm follows needs no bias.
    assert not [name for name in dead if not name.endswith(("phi.bias", "out.bias", "g.bias"))]


@pytest.mark.parametrize("kind", NARROW)
def test_folding_batch_norms(kind: str) -> None:
    config = NARROW[kind]
    net = lively(config.build())
    folded = fold_batch_norms(net)
    frames = torch.randn(1, 3, config.num_frames, 64, 80)
    assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm3d)]
    assert [m for m in net.modules() if isinstance(m, nn.BatchNorm3d)]
    with torch.no_grad():
        for name, x in net(frames).items():
            assert (folded(frames)[name] - x).norm() <= 1e-5 * x.norm()


@pytest.mark.parametrize("kind", NARROW)
def test_prepared_backbones(kind: str) -> None:
    config = NARROW[kind]
    net = lively(config.build())
    before = {name: value.clone() for name, value in net.state_dict().items()}
    clips = [torch.randn(3, config.num_frames, *size) for size in ((96, 77), (64, 112))]
    frames, valid = pad_together(clips)
    exact, bf16 = prepare_for_inference(net, "fp32"), prepare_for_inference(net, "bf16")
    assert any(isinstance(module, FusedBottleneck) for module in exact.modules())
    assert not [p for p in bf16.parameters() if p.dtype != torch.bfloat16]
    assert (exact.channels, exact.stride) == (net.channels, net.stride)
    with torch.no_grad():
        plain, real = net(frames, valid), mask(cells(valid, net.stride), -(-96 // net.stride), -(-112 // net.stride))
    for name, x in plain.items():
        x = x * real
        assert (exact(frames, valid)[name] * real - x).norm() <= 1e-5 * x.norm()
        rough = bf16(frames, valid)[name]
        assert rough.dtype == torch.float32
        # The dot product's cubic form magnifies bf16's rounding.
        assert (rough * real - x).norm() <= (0.2 if kind == "dot product" else 0.02) * x.norm()
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["r3d_18", "swin3d_t", "mvit_v2_s"])
def test_torchvision_nets_over_unequal_clips(name: str) -> None:
    config = backbones.config(name)
    net = config.build().eval()
    clips = [torch.randn(3, 2, *size) for size in ((64, 33), (40, 70))]
    frames, valid = pad_together(clips, fill=2.0)
    with torch.no_grad():
        (together,) = net(frames, valid).values()
        assert together.shape[1] == net.channels["main"]
        assert together.shape[-2:] == (-(-64 // net.stride), -(-70 // net.stride))
        for index, clip in enumerate(clips):
            alone = net(clip[None])["main"][0]
            torch.testing.assert_close(together[index, ..., : alone.shape[-2], : alone.shape[-1]], alone)


@pytest.mark.slow
def test_mvit_maps_are_torchvisions_own_at_its_own_size() -> None:
    from torchvision.models.video import mvit_v2_s

    theirs, ours = mvit_v2_s().eval(), backbones.config("mvit_v2_s").build().eval()
    state = {f"net.{name}": value for name, value in theirs.state_dict().items() if not name.startswith("head.")}
    ours.load_state_dict(state)
    tokens: list[Tensor] = []
    theirs.norm.register_forward_hook(lambda module, inputs, output: tokens.append(output))
    frames = torch.randn(1, 3, 16, 224, 224)
    with torch.no_grad():
        theirs(frames)
        x = ours(frames)["main"]
    assert x.shape == (1, 768, 8, 7, 7)
    torch.testing.assert_close(x.flatten(2).transpose(1, 2), tokens[0][:, 1:], rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["r3d_18", "swin3d_t"])
def test_prepared_torchvision_nets(name: str) -> None:
    net = backbones.config(name).build().eval()
    frames = torch.randn(1, 3, 8, 64, 64)
    with torch.no_grad():
        x = net(frames)["main"]
        assert (prepare_for_inference(net, "fp32")(frames)["main"] - x).norm() <= 1e-4 * x.norm()
        assert (prepare_for_inference(net, "bf16")(frames)["main"] - x).norm() <= 0.03 * x.norm()


@pytest.mark.parametrize("name", backbones.available())
def test_configurations_survive_json(name: str) -> None:
    config = backbones.config(name)
    assert backbones.from_dict(backbones.to_dict(config)) == config


def test_torchvision_presets_normalise_as_torchvision_says() -> None:
    from torchvision.models import get_model_weights

    for name in TORCHVISION:
        transforms = next(iter(get_model_weights(name))).transforms()
        config = backbones.config(name)
        assert list(config.mean) == pytest.approx(transforms.mean, abs=1e-6)
        assert list(config.std) == pytest.approx(transforms.std, abs=1e-6)


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="'slowfast_r50_8x8'"):
        backbones.config("slowfast_r50_8x9")
    with pytest.raises(InputError, match="slowfast, slowonly, torchvision"):
        backbones.from_dict({"family": "slow"})


@given(size=st.integers(1, 500), stride=st.sampled_from([1, 2, 4, 8, 16, 32]))
@settings(deadline=None)
def test_cells_are_halved_and_rounded_up_again_and_again(size: int, stride: int) -> None:
    expected, by = size, 1
    while by < stride:
        expected, by = (expected + 1) // 2, by * 2
    assert cells(torch.tensor([[size, size]]), stride).tolist() == [[expected, expected]]


def test_masks_and_zeros() -> None:
    frames, valid = torch.ones(2, 1, 1, 4, 4), torch.tensor([[4, 2], [3, 4]])
    padding = Padding.of(frames, valid)
    assert padding is not None
    expected = torch.tensor([[[1, 1, 0, 0]] * 4, [[1, 1, 1, 1]] * 3 + [[0, 0, 0, 0]]]).float()
    torch.testing.assert_close(zero_padding(frames, padding, 1)[:, 0, 0], expected)
    assert frames.min() == 1
    zero_padding_(frames, padding, 1)
    torch.testing.assert_close(frames[:, 0, 0], expected)
    assert padding.padded(2)[:, 0, 0].tolist() == [[[False, True], [False, True]], [[False, False], [False, False]]]
    assert Padding.of(frames, None) is None
    assert Padding.of(frames, torch.tensor([[4, 4], [4, 4]])) is None


def test_roi_align_over_extended_edges_equals_the_clips_own_map() -> None:
    x = torch.randn(1, 3, 4, 5)
    padded = functional.pad(x, (0, 3, 0, 2), value=9.0)
    extended = extend_edges(padded, torch.tensor([[4, 5]]))
    torch.testing.assert_close(extended[..., :4, :5], x, rtol=0, atol=0)
    boxes = [torch.tensor([[0.0, 0.0, 80.0, 64.0], [50.0, 40.0, 80.0, 64.0]])]
    for aligned in (True, False):
        alone, together = (roi_align(m, boxes, 7, 1 / 16, -1, aligned) for m in (x, extended))
        torch.testing.assert_close(together, alone)
    clip = extend_edges(padded[:, :, None], torch.tensor([[4, 5]]))
    torch.testing.assert_close(clip[:, :, 0], extended, rtol=0, atol=0)


def test_freed_memory_is_kept_where_the_c_library_can() -> None:
    call = "from relact.nn.memory import keep_freed_memory; print(keep_freed_memory(), bytes(10**8)[-1])"
    answer = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, check=True).stdout
    assert answer.split() == [str(platform.libc_ver()[0] == "glibc"), "0"]
