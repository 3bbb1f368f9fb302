"""SlowFast and SlowOnly against a reference written from the papers' and code bases' description, layer by layer.

Plain functions on a state dictionary: SlowFast Networks (arXiv 1812.03982), Table 1 and Sec. 3.4, in the detection form
(res5 without stride, dilation 2). No module of ours is used.
"""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from relact import backbones

State = Mapping[str, Tensor]


def norm(state: State, name: str, x: Tensor) -> Tensor:
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return F.batch_norm(x, mean, variance, state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-5)


def convolve(state: State, conv: str, bn: str | None, x: Tensor, *, stride: int = 1, dilation: int = 1) -> Tensor:
    """Kernel from the weights; as much padding as keeps the size at stride 1."""
    weight = state[f"{conv}.weight"]
    time, space = weight.shape[2] // 2, weight.shape[3] // 2 * dilation
    out = F.conv3d(x, weight, None, (1, stride, stride), (time, space, space), (1, dilation, dilation))
    return out if bn is None else norm(state, bn, out)


def stem(state: State, way: str, x: Tensor) -> Tensor:
    x = convolve(state, f"{way}.s1.conv", f"{way}.s1.bn", x, stride=2).relu()
    return F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))


def stage(state: State, way: str, number: int, x: Tensor, *, dilation: int) -> Tensor:
    block = 0
    while f"{way}.s{number}.{block}.conv_a.weight" in state:
        at = f"{way}.s{number}.{block}"
        stride = 2 if block == 0 and number in (3, 4) else 1
        spread = dilation if number == 5 else 1
        y = convolve(state, f"{at}.conv_a", f"{at}.bn_a", x).relu()
        y = convolve(state, f"{at}.conv_b", f"{at}.bn_b", y, stride=stride, dilation=spread).relu()
        y = convolve(state, f"{at}.conv_c", f"{at}.bn_c", y)
        if f"{at}.shortcut.conv.weight" in state:
            x = convolve(state, f"{at}.shortcut.conv", f"{at}.shortcut.bn", x, stride=stride)
        x, block = (x + y).relu(), block + 1
    return x


def fuse(state: State, number: int, slow: Tensor, fast: Tensor, alpha: int) -> Tensor:
    weight = state[f"fuse.s{number}.conv.weight"]
    lateral = F.conv3d(fast, weight, None, (alpha, 1, 1), (weight.shape[2] // 2, 0, 0))
    if f"fuse.s{number}.bn.weight" in state:
        lateral = norm(state, f"fuse.s{number}.bn", lateral).relu()
    return torch.cat([slow, lateral], dim=1)


def slowfast(state: State, frames: Tensor, *, alpha: int, index: str, dilation: int) -> dict[str, Tensor]:
    length = frames.shape[2]
    full_span = torch.linspace(0, length - 1, length // alpha).long()
    chosen = full_span if index == "linspace" else torch.arange(0, length, alpha)
    slow, fast = stem(state, "slow", frames[:, :, chosen]), stem(state, "fast", frames)
    for number in (2, 3, 4, 5):
        slow = fuse(state, number - 1, slow, fast, alpha)
        slow = stage(state, "slow", number, slow, dilation=dilation)
        fast = stage(state, "fast", number, fast, dilation=dilation)
    return {"slow": slow, "fast": fast}


def randomised(config: backbones.BackboneConfig) -> backbones.Backbone:
    """In evaluation mode, with batch statistics that matter."""
    net = config.build().double().eval()
    for name, value in net.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif value.is_floating_point() and ("bn" in name or name.endswith("running_mean")):
            value.normal_(0.5 if name.endswith("weight") else 0.0, 0.3)
    return net


SLOWFAST = replace(backbones.config("slowfast_debug"), depths=(1, 2, 1, 2))


@pytest.mark.parametrize(
    ("config", "index", "dilation"),
    [
        (SLOWFAST, "linspace", 2),
        (replace(SLOWFAST, alpha=8, fusion_kernel=5), "linspace", 2),
        (replace(SLOWFAST, fusion_norm=False, slow_index="stride"), "stride", 2),
        (replace(SLOWFAST, fusion_norm=False, slow_index="stride", s5_dilation=1), "stride", 1),
        (replace(SLOWFAST, depths=(1, 1, 3, 1), s4_temporal_blocks=1), "linspace", 2),
    ],
    ids=["pyslowfast", "4x16", "acar_r101", "mmaction2", "50_50"],
)
def test_slowfast_is_the_described_network(config, index: str, dilation: int):
    net = randomised(config)
    frames = torch.randn(2, 3, config.num_frames, 70, 83, dtype=torch.float64)
    expected = slowfast(net.state_dict(), frames, alpha=config.alpha, index=index, dilation=dilation)
    got = net(frames)
    for name, maps in expected.items():
        torch.testing.assert_close(got[name], maps, rtol=1e-10, atol=1e-10)


def test_slowonly_is_the_slow_pathway_alone():
    config = backbones.config("slowonly_debug")
    net = randomised(config)
    state, x = net.state_dict(), torch.randn(1, 3, config.num_frames, 64, 75, dtype=torch.float64)
    expected = stem(state, "slow", x)
    for number in (2, 3, 4, 5):
        expected = stage(state, "slow", number, expected, dilation=2)
    torch.testing.assert_close(net(x)["slow"], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "slow_kernels", "fast_kernels"),
    [("slowfast_r50_8x8", (1, 1, 3, 3), (3, 3, 3, 3)), ("slowonly_r50_4x16", (1, 1, 3, 3), None)],
)
def test_temporal_kernels_are_those_of_table_1(name: str, slow_kernels, fast_kernels):
    with torch.device("meta"):
        state = backbones.config(name).build().state_dict()

    def kernels(way: str) -> tuple[int, ...]:
        return tuple(state[f"{way}.s{stage}.0.conv_a.weight"].shape[2] for stage in (2, 3, 4, 5))

    assert kernels("slow") == slow_kernels
    assert state["slow.s1.conv.weight"].shape[2:] == (1, 7, 7)
    if fast_kernels is not None:
        assert kernels("fast") == fast_kernels
        assert state["fast.s1.conv.weight"].shape == (8, 3, 5, 7, 7)


def test_the_slow_pathway_sees_the_frames_of_the_specification():
    """T = 32, alpha = 4: 0, 4, 8, 13, 17, 22, 26, 31 by the full span; every fourth otherwise."""
    for index, expected in (("linspace", [0, 4, 8, 13, 17, 22, 26, 31]), ("stride", list(range(0, 32, 4)))):
        config = replace(SLOWFAST, num_frames=32, slow_index=index)
        net = config.build().eval()
        seen: list[Tensor] = []
        net.slow.s1.register_forward_pre_hook(lambda module, args, seen=seen: seen.append(args[0]))
        ramp = torch.arange(32.0).view(1, 1, 32, 1, 1).expand(1, 3, 32, 32, 32)
        net(ramp)
        assert seen[0][0, 0, :, 0, 0].tolist() == expected
