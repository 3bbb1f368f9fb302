"""What every head must do, whatever it is: heads and their variants are found by walking the folder, so none escapes.

A head's own test says with what widths it is small (`SMALL`), and which of its parameters the method proves dead
(`dead(config)`, a pattern).
"""

import dataclasses
import importlib
import re
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from relact import heads
from relact.head import HeadConfig
from tests.heads.scenes import INTERFACE, built, one_clip, scene_for


def configs() -> Iterator[tuple[str, HeadConfig]]:
    for name in heads.available():
        small = importlib.import_module(f"tests.heads.test_{name}").SMALL
        assert heads.config(name)() in heads.variants(name).values(), f"{name}: no name for the default"
        for variant, config in heads.variants(name).items():
            yield f"{name}:{variant}", dataclasses.replace(config, **small)


everyone = pytest.mark.parametrize(
    ("name", "config"), list(configs()), ids=lambda value: value if isinstance(value, str) else ""
)


def close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@everyone
def test_shapes(name: str, config: HeadConfig):
    head = built(config)
    relations = head(scene_for(head, (2, 0, 3)))
    assert relations.features.shape == (5, head.out_dim)
    assert relations.store is None or len(relations.store) == 5
    if head.memory is not None and relations.store is not None:
        assert relations.store.shape[1] == head.memory.dim


@everyone
@pytest.mark.parametrize("counts", [(0,), (0, 0, 0)])
def test_nobody_anywhere_gives_no_rows_and_finite_gradients(name: str, config: HeadConfig, counts: tuple[int, ...]):
    head = built(config)
    relations = head(scene_for(head, counts))
    total = relations.features.sum() + sum(relations.aux.values())
    if total.requires_grad:
        total.backward()
    assert relations.features.shape == (0, head.out_dim)
    assert bool(torch.isfinite(total))
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in head.parameters())


@everyone
def test_a_batch_equals_its_clips_one_at_a_time(name: str, config: HeadConfig):
    head = built(config)
    whole = scene_for(head, (2, 3, 0, 1))
    alone = [head(one_clip(whole, clip)).features for clip in range(4)]
    close(head(whole).features, torch.cat(alone))


@everyone
def test_a_head_that_says_that_it_reads_no_maps_needs_none(name: str, config: HeadConfig):
    head = built(config)
    scene = scene_for(head, (2, 1))
    if head.reads_maps:
        with pytest.raises(KeyError):
            head(dataclasses.replace(scene, maps={}))
    else:
        assert torch.equal(head(dataclasses.replace(scene, maps={})).features, head(scene).features)


@everyone
def test_the_order_of_actors_only_permutes_rows(name: str, config: HeadConfig):
    head = built(config)
    whole = scene_for(head, (4,))
    order = torch.tensor([2, 0, 3, 1])
    actors = dataclasses.replace(whole.actors, boxes=whole.actors.boxes[order], track=whole.actors.track[order])
    assert whole.labels is not None
    shuffled = dataclasses.replace(
        whole,
        actors=actors,
        rois=whole.rois[order],
        roi_boxes=whole.roi_boxes[order],
        labels=whole.labels[order],
    )
    got, expected = head(shuffled), head(whole)
    close(got.features, expected.features[order])
    assert set(got.aux) == set(expected.aux)
    for key, value in expected.aux.items():
        close(got.aux[key], value)


@everyone
def test_nothing_leaks_between_clips(name: str, config: HeadConfig):
    head = built(config)
    whole = scene_for(head, (2, 2))
    tensors = [whole.pooled, *whole.maps.values(), *([] if whole.memory is None else [whole.memory.features])]
    for tensor in (whole.rois, *tensors):
        tensor.requires_grad_(True)
    first = whole.actors.clip == 0
    head(whole).features[first].sum().backward()
    assert whole.rois.grad is None or not whole.rois.grad[~first].any()
    for tensor in tensors:
        assert tensor.grad is None or not tensor.grad[1].any()


@everyone
def test_padding_is_never_read(name: str, config: HeadConfig):
    head = built(config)
    whole = scene_for(head, (2, 2))
    spoilt = dataclasses.replace(
        whole,
        pooled=whole.pooled.clone(),
        maps={name: pathway.clone() for name, pathway in whole.maps.items()},
    )
    for tensor in (spoilt.pooled, *spoilt.maps.values()):
        tensor[1, ..., 5:] = 1e4
    close(head(spoilt).features, head(whole).features)


@everyone
def test_masked_memory_is_never_read_and_its_order_says_nothing(name: str, config: HeadConfig):
    head = built(config)
    whole = scene_for(head, (2, 2, 1))
    memory = whole.memory
    if memory is None:
        assert head.memory is None
        return
    expected = head(whole).features
    spoilt = dataclasses.replace(
        memory,
        features=memory.features.masked_fill(~memory.mask[..., None], 1e4),
        dt=memory.dt.masked_fill(~memory.mask, 1),
        track=memory.track.masked_fill(~memory.mask, 0),
        tag=memory.tag.masked_fill(~memory.mask, 1e4),
    )
    close(head(dataclasses.replace(whole, memory=spoilt)).features, expected)
    order = torch.randperm(memory.mask.shape[1], generator=torch.Generator().manual_seed(3))
    shuffled = {f.name: getattr(memory, f.name)[:, order] for f in dataclasses.fields(memory)}
    close(head(dataclasses.replace(whole, memory=dataclasses.replace(memory, **shuffled))).features, expected)


@everyone
def test_an_empty_memory_is_no_memory(name: str, config: HeadConfig):
    head = built(config)
    whole = scene_for(head, (2, 0, 1))
    if whole.memory is None:
        assert head.memory is None
        return
    none = head(dataclasses.replace(whole, memory=None)).features
    empty = {f.name: getattr(whole.memory, f.name)[:, :0] for f in dataclasses.fields(whole.memory)}
    close(head(dataclasses.replace(whole, memory=dataclasses.replace(whole.memory, **empty))).features, none)
    masked = dataclasses.replace(whole.memory, mask=torch.zeros_like(whole.memory.mask))
    close(head(dataclasses.replace(whole, memory=masked)).features, none)


@everyone
def test_memory_matters_and_what_is_stored_has_no_graph(name: str, config: HeadConfig):
    head = built(config)
    whole = scene_for(head, (2, 1))
    relations = head(whole)
    assert relations.store is None or not relations.store.requires_grad
    if whole.memory is not None:
        without = head(dataclasses.replace(whole, memory=None)).features
        assert not torch.allclose(relations.features, without)


@everyone
def test_a_memory_of_another_width_is_refused(name: str, config: HeadConfig):
    head = built(config)
    whole = scene_for(head, (2,))
    if whole.memory is None:
        assert head.memory is None
        return
    narrow = dataclasses.replace(whole.memory, features=whole.memory.features[..., :-1])
    assert head.memory is not None
    with pytest.raises(ValueError, match=rf"(?s)memory.*{head.memory.dim}.*{head.memory.dim - 1}"):
        head(dataclasses.replace(whole, memory=narrow))


@everyone
def test_inputs_are_left_unchanged(name: str, config: HeadConfig):
    head = built(config)
    whole, twin = scene_for(head, (2, 1)), scene_for(head, (2, 1))
    head(whole)
    assert torch.equal(whole.rois, twin.rois)
    assert torch.equal(whole.pooled, twin.pooled)
    assert torch.equal(whole.actors.boxes, twin.actors.boxes)
    assert all(torch.equal(whole.maps[name], twin.maps[name]) for name in whole.maps)
    if whole.memory is not None and twin.memory is not None:
        assert torch.equal(whole.memory.features, twin.memory.features)


@everyone
def test_every_parameter_learns(name: str, config: HeadConfig):
    head = built(config)
    relations = head(scene_for(head, (3, 2)))
    total = (relations.features * torch.randn_like(relations.features)).sum() + sum(relations.aux.values())
    if not list(head.parameters()):
        assert not total.requires_grad  # nothing to learn before the classifier
        return
    total.backward()
    tests = importlib.import_module(f"tests.heads.test_{heads.name_of(config)}")
    dead = re.compile(tests.dead(config)) if hasattr(tests, "dead") else re.compile("(?!)")
    # beyond rounding: a key's bias moves every score of a row alike, and its gradient is zero but for that
    silent = {key for key, p in head.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-13}
    assert {key for key in silent if not dead.fullmatch(key)} == set()
    assert {key for key in dict(head.named_parameters()) if dead.fullmatch(key)} <= silent


@everyone
def test_fp32_is_close_to_fp64_and_bf16_runs(name: str, config: HeadConfig):
    exact_head, single_head = built(config), built(config, torch.float32)
    exact = exact_head(scene_for(exact_head, (2, 3))).features
    whole = scene_for(single_head, (2, 3), dtype=torch.float32)
    single = single_head(whole).features
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = single_head(whole).features
    assert torch.isfinite(half).all()


@everyone
def test_training_mode_runs_and_the_same_seed_gives_the_same(name: str, config: HeadConfig):
    head = built(config).train()
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        results.append(head(scene_for(head, (2, 0, 3))).features)
    assert torch.isfinite(results[0]).all()
    assert torch.equal(results[0], results[1])


@everyone
def test_a_head_is_built_from_its_config_alone(name: str, config: HeadConfig):
    assert name.startswith(f"{heads.name_of(config)}:")
    assert type(config) is heads.config(heads.name_of(config))
    assert config.build(INTERFACE).out_dim > 0
