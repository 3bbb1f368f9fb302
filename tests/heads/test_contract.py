"""What every head must do, whatever it is: found by walking the folder, so that none escapes."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from relact import heads
from relact.head import HeadConfig, RelationHead
from relact.types import Actors, Memory, Scene

CHANNELS = {"slow": 24, "fast": 8}


def configs() -> Iterator[tuple[str, HeadConfig]]:
    for name in heads.available():
        yield name, heads.config(name)()


everyone = pytest.mark.parametrize(
    ("name", "config"), list(configs()), ids=lambda value: value if isinstance(value, str) else ""
)


def scene(
    counts: tuple[int, ...],
    *,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    memory: Memory | None = None,
) -> Scene:
    """A random scene whose second clip is narrower than the first: its padding is zero."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).relu().to(dtype)

    valid = torch.tensor([[5, 7 if clip != 1 else 5] for clip in range(len(counts))]).reshape(-1, 2)
    maps = {name: random(len(counts), channels, 4, 5, 7) for name, channels in CHANNELS.items()}
    for clip, (rows, columns) in enumerate(valid.tolist()):
        for pathway in maps.values():
            pathway[clip, :, :, rows:] = 0
            pathway[clip, :, :, :, columns:] = 0
    corners = [random(count, 2, 2) * 20 for count in counts]
    boxes = [torch.cat([c[:, 0], c[:, 0] + c[:, 1] + 8], dim=1).to(torch.float32).clamp(max=80) for c in corners]
    return Scene(
        maps=maps,
        pooled=torch.cat([pathway.mean(2) for pathway in maps.values()], dim=1),
        valid=valid,
        actors=Actors.of(boxes, track=[torch.arange(count) for count in counts]),
        rois=random(sum(counts), sum(CHANNELS.values()), 7, 7),
        memory=memory,
    )


def built(config: HeadConfig, dtype: torch.dtype = torch.float64) -> RelationHead:
    """In evaluation mode, with every parameter away from zero so that no branch is silent."""
    torch.manual_seed(1)
    head = config.build(CHANNELS).double().eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return head.to(dtype)


def one_clip(whole: Scene, clip: int) -> Scene:
    chosen = whole.actors.clip == clip
    count = whole.actors.counts[clip]
    actors = Actors.of([whole.actors.boxes[chosen]], track=[whole.actors.track[chosen]])
    assert actors.counts == (count,)
    return dataclasses.replace(
        whole,
        maps={name: pathway[clip : clip + 1] for name, pathway in whole.maps.items()},
        pooled=whole.pooled[clip : clip + 1],
        valid=whole.valid[clip : clip + 1],
        actors=actors,
        rois=whole.rois[chosen],
    )


@everyone
def test_shapes(name: str, config: HeadConfig):
    head = built(config)
    relations = head(scene((2, 0, 3)))
    assert relations.features.shape == (5, head.out_dim)
    assert relations.store is None or len(relations.store) == 5


@everyone
@pytest.mark.parametrize("counts", [(0,), (0, 0, 0)])
def test_nobody_anywhere_gives_no_rows_and_finite_gradients(name: str, config: HeadConfig, counts: tuple[int, ...]):
    head = built(config)
    relations = head(scene(counts))
    total = relations.features.sum() + sum(relations.aux.values())
    if total.requires_grad:
        total.backward()
    assert relations.features.shape[0] == 0
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in head.parameters())


@everyone
def test_a_batch_equals_its_clips_one_at_a_time(name: str, config: HeadConfig):
    head, whole = built(config), scene((2, 3, 0, 1))
    alone = [head(one_clip(whole, clip)).features for clip in range(4)]
    torch.testing.assert_close(head(whole).features, torch.cat(alone), rtol=1e-9, atol=1e-9)


@everyone
def test_the_order_of_actors_only_permutes_rows(name: str, config: HeadConfig):
    head, whole = built(config), scene((4,))
    order = torch.tensor([2, 0, 3, 1])
    shuffled = dataclasses.replace(
        whole,
        actors=Actors.of([whole.actors.boxes[order]], track=[whole.actors.track[order]]),
        rois=whole.rois[order],
    )
    torch.testing.assert_close(head(shuffled).features, head(whole).features[order], rtol=1e-9, atol=1e-9)


@everyone
def test_nothing_leaks_between_clips(name: str, config: HeadConfig):
    head, whole = built(config), scene((2, 2))
    for tensor in (whole.rois, whole.pooled, *whole.maps.values()):
        tensor.requires_grad_(True)
    first = whole.actors.clip == 0
    head(whole).features[first].sum().backward()
    assert whole.rois.grad is None or not whole.rois.grad[~first].any()
    for tensor in (whole.pooled, *whole.maps.values()):
        assert tensor.grad is None or not tensor.grad[1].any()


@everyone
def test_padding_is_never_read(name: str, config: HeadConfig):
    head, whole = built(config), scene((2, 2))
    spoilt = dataclasses.replace(
        whole,
        pooled=whole.pooled.clone(),
        maps={name: pathway.clone() for name, pathway in whole.maps.items()},
    )
    for tensor in (spoilt.pooled, *spoilt.maps.values()):
        tensor[1, ..., 5:] = 1e4
    torch.testing.assert_close(head(spoilt).features, head(whole).features, rtol=1e-9, atol=1e-9)


@everyone
def test_inputs_are_left_unchanged(name: str, config: HeadConfig):
    whole, twin = scene((2, 1)), scene((2, 1))
    built(config)(whole)
    assert torch.equal(whole.rois, twin.rois)
    assert torch.equal(whole.pooled, twin.pooled)
    assert torch.equal(whole.actors.boxes, twin.actors.boxes)
    assert all(torch.equal(whole.maps[name], twin.maps[name]) for name in CHANNELS)


@everyone
def test_every_parameter_learns(name: str, config: HeadConfig):
    head = built(config)
    features = head(scene((3, 2))).features
    if not list(head.parameters()):
        assert not features.requires_grad  # nothing to learn before the classifier
        return
    (features * torch.randn_like(features)).sum().backward()
    assert [key for key, p in head.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@everyone
def test_fp32_is_close_to_fp64_and_bf16_runs(name: str, config: HeadConfig):
    head = built(config)
    exact = head(scene((2, 3))).features
    single = built(config, torch.float32)(scene((2, 3), dtype=torch.float32)).features
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = built(config, torch.float32)(scene((2, 3), dtype=torch.float32)).features
    assert torch.isfinite(half).all()


@everyone
def test_a_head_is_built_from_its_config_alone(name: str, config: HeadConfig):
    assert heads.name_of(config) == name
    assert type(config) is heads.config(name)
    assert config.build({"main": 16}).out_dim > 0
