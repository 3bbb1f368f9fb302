"""The pieces of the training engine: shares of a batch, a step in parts, averages, recomputed blocks, logs."""

import copy
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from relact import Actors, create_model
from relact.data.collate import ShapeBatches, Share
from relact.losses import LossConfig
from relact.model import ActionDetector
from relact.train.checkpoint import seed_step
from relact.train.ema import WeightAverage
from relact.train.log import TrainLog
from relact.train.loop import freeze_statistics
from relact.train.optim import OptimConfig, optimiser
from relact.train.recompute import blocks, recomputed
from relact.train.step import Objective, compiled, train_step
from relact.types import Batch, Keyframe

PEOPLE = (3, 0, 1, 2)
"""of the clips of the test's batch"""


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13])
@pytest.mark.parametrize(("ranks", "accumulate"), [(1, 1), (2, 1), (1, 3), (3, 2)])
def test_shares_are_the_batch_in_order(count: int, ranks: int, accumulate: int):
    batch = list(range(100, 100 + count))
    shares = [Share(rank=rank, ranks=ranks, accumulate=accumulate).of(batch) for rank in range(ranks)]
    parts = [part for share in shares for part in share]
    assert [len(share) for share in shares] == [accumulate] * ranks
    assert [index for part in parts for index in part] == batch
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_filled_share_is_never_empty():
    parts = [part for rank in range(4) for part in Share(rank=rank, ranks=4, fill=True).of([7, 8, 9])]
    assert parts == [[7], [8], [9], [7]]
    assert Share(rank=1, ranks=2, fill=True).of([1, 2, 3, 4]) == [[3, 4]]


def test_every_rank_sees_its_part_of_the_same_batches_from_any_step_on():
    whole = ShapeBatches([1.0] * 11, 4, shuffle=True, seed=2)
    ranks = [ShapeBatches([1.0] * 11, 4, shuffle=True, seed=2, share=Share(rank=r, ranks=2)) for r in (0, 1)]
    for epoch in (0, 1):
        for sampler in (whole, *ranks):
            sampler.epoch, sampler.first = epoch, 0
        assert [a + b for a, b in zip(*ranks, strict=True)] == list(whole)
        late = list(whole)[2:]
        whole.first = 2
        assert list(whole) == late
        assert len(whole) == 1
        assert whole.steps == 3


def make_model() -> ActionDetector:
    torch.manual_seed(0)
    model = create_model("linear", backbone="slowfast_debug", num_classes=60, settings={"dropout": 0.0})
    model.train()
    freeze_statistics(model.backbone.modules())
    return model


def make_batch(people: tuple[int, ...] = PEOPLE) -> Batch:
    random = torch.Generator().manual_seed(1)
    corners = [torch.rand(count, 2, generator=random) * 30 for count in people]
    actors = Actors.of([torch.cat([corner, corner + 20], dim=1) for corner in corners])
    return Batch(
        keys=tuple(Keyframe("v", tick) for tick in range(len(people))),
        frames=torch.randint(0, 256, (len(people), 3, 8, 48, 64), generator=random, dtype=torch.uint8),
        valid=torch.tensor([[48, 64]] * len(people)),
        actors=actors,
        labels=(torch.rand(len(actors), 60, generator=random) < 0.1).float(),
    )


def part(batch: Batch, clips: slice) -> Batch:
    """Some of its clips."""
    rows = batch.actors.rows_of(clips)
    return replace(
        batch, keys=batch.keys[clips], frames=batch.frames[clips], valid=batch.valid[clips],
        actors=batch.actors.of_clips(clips), labels=batch.labels[rows],
    )  # fmt: skip


def gradients(model: ActionDetector) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def stepped(parts: list[Batch | None], kind: str = "ava") -> tuple[float, dict[str, torch.Tensor]]:
    model = make_model()
    objective = Objective(model, loss=LossConfig(kind=kind), dtype=torch.float32)  # type: ignore[arg-type]
    loss = train_step(objective, parts, optimiser(model, OptimConfig()))
    return loss, gradients(model)


@pytest.mark.parametrize("cuts", [(2,), (1, 2), (1, 1, 3)])
def test_a_step_in_parts_has_the_gradient_of_the_whole(cuts: tuple[int, ...]):
    """Clips have 3, 0, 1 and 2 people: the plain mean of the parts would be another; None is an empty part."""
    batch, ends = make_batch(), [0, *cuts, len(PEOPLE)]
    clips = [slice(a, b) for a, b in itertools.pairwise(ends)]
    parts = [part(batch, some) if some.start < some.stop else None for some in clips]
    whole, expected = stepped([batch])
    loss, got = stepped(parts)
    assert loss == pytest.approx(whole, rel=1e-6)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-4, atol=1e-7, msg=name)


def test_rows_that_count_decide_the_weight_under_cross_entropy():
    """Detected people without truth are left out of its mean, and so of the weight of a part."""
    batch = make_batch()
    labels = torch.zeros_like(batch.labels)
    labels[[0, 3, 4], [1, 2, 3]] = 1
    batch = replace(batch, labels=labels)
    whole, expected = stepped([batch], "cross_entropy")
    loss, got = stepped([part(batch, slice(0, 2)), part(batch, slice(2, 4))], "cross_entropy")
    assert loss == pytest.approx(whole, rel=1e-6)
    torch.testing.assert_close(got["classifier.weight"], expected["classifier.weight"], rtol=1e-4, atol=1e-7)


def test_a_step_without_anybody_has_loss_zero():
    loss, got = stepped([make_batch((0, 0))])
    assert loss == 0
    assert all(not value.any() for value in got.values())
    loss, got = stepped([None])
    assert loss == 0
    assert set(got) == {"classifier.weight"}


def test_a_loss_that_is_not_finite_leaves_the_weights_alone():
    model, batch = make_model(), make_batch()
    with torch.no_grad():
        model.classifier.weight[0, 0] = torch.nan
    before = copy.deepcopy(model.state_dict())
    objective = Objective(model, loss=LossConfig(), dtype=torch.float32)
    parts = [part(batch, slice(1, 2)), part(batch, slice(2, 4))]
    with pytest.raises(FloatingPointError, match=r"the loss is nan .* on \[Keyframe\(video='v', tick=2\)"):
        train_step(objective, parts, optimiser(model, OptimConfig()))
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("frozen", [True, False])
def test_recomputed_blocks_give_the_same_gradients_and_statistics(frozen: bool):
    batch, results = make_batch(), []
    for recompute in (False, True):
        model = make_model()
        if not frozen:
            model.train()
        objective = Objective(model, loss=LossConfig(), dtype=torch.float32)
        saved: list[int] = []
        hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda t, saved=saved: saved.append(t.nbytes) or t, lambda t: t
        )
        if recompute:
            with recomputed(model.backbone):
                with hooks:
                    loss, _, _ = objective(batch)
                loss.backward()
            assert not any("forward" in vars(module) for module in model.modules())
        else:
            with hooks:
                loss, _, _ = objective(batch)
            loss.backward()
        results.append((gradients(model), copy.deepcopy(model.state_dict()), sum(saved)))
    (expected, state, much), (got, other, little) = results
    assert little < much / 2
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-5, atol=1e-8, msg=name)
    assert all(torch.equal(value, other[name]) for name, value in state.items())


@pytest.mark.parametrize("name", ["slowfast_debug", "slowonly_r50_4x16", "mvit_v2_s", "swin3d_t", "r3d_18"])
def test_every_backbone_has_blocks_that_hold_almost_all_of_it(name: str):
    from relact import backbones

    with torch.device("meta"):
        backbone = backbones.config(name).build()
    parts = list(blocks(backbone))
    inside = [id(module) for block in parts for module in block.modules()]
    assert len(inside) == len(set(inside)), "blocks must not lie within each other"
    weight = sum(p.numel() for block in parts for p in block.parameters())
    assert len(parts) >= 8
    assert weight > 0.85 * sum(p.numel() for p in backbone.parameters())


def test_the_average_follows_the_weights_and_soon_forgets_the_start():
    model = torch.nn.BatchNorm1d(2)
    model.bias.requires_grad_(False)
    average = WeightAverage(model, decay=0.5)
    assert set(average.weights) == {"weight", "running_mean", "running_var"}
    with torch.no_grad():
        model.weight.fill_(2.0)
    average.update(model, step=0)  # decay (1 + 0) / (10 + 0)
    assert average.weights["weight"].tolist() == pytest.approx([0.1 * 1 + 0.9 * 2] * 2)
    average.update(model, step=1000)
    assert average.weights["weight"].tolist() == pytest.approx([0.5 * 1.9 + 0.5 * 2] * 2)
    assert average.weights["running_var"].tolist() == [1, 1]


def test_what_is_drawn_depends_on_seed_step_and_process():
    drawn = {}
    for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (-1, 0, 0)]:
        seed_step(*key)
        drawn[key] = torch.rand(3).tolist()
    seed_step(0, 0, 0)
    assert torch.rand(3).tolist() == drawn[0, 0, 0]
    assert len(set(map(tuple, drawn.values()))) == len(drawn)


def write_log(folder: Path, done: int, until: int) -> None:
    with TrainLog(folder, epochs=3, steps=2, done=done, kinds=("csv",), quiet=True) as log:
        for step in range(done, until):
            log.step(step=step, epoch=step / 2, loss=0.25 * step, lr=0.1)
            if step % 2:
                log.epoch(step // 2 + 1, 1.0)


@pytest.mark.parametrize(("died", "resumed"), [(3, 0), (3, 2), (4, 2), (4, 3), (5, 4)])
def test_a_log_goes_on_where_the_run_does(died: int, resumed: int, tmp_path: Path):
    write_log(tmp_path / "whole", 0, 6)
    write_log(tmp_path / "killed", 0, died)
    with (tmp_path / "killed" / "log.jsonl").open("a") as file:
        file.write('{"epoch": 1.5, "st')  # killed while it wrote
    write_log(tmp_path / "killed", resumed, 6)
    for name in ("log.jsonl", "log.csv"):
        assert (tmp_path / "killed" / name).read_text() == (tmp_path / "whole" / name).read_text()
    assert len([*map(json.loads, (tmp_path / "whole" / "log.jsonl").open())]) == 6 + 3


def test_tensorboard_gets_the_curve(tmp_path: Path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="an extra")
    with TrainLog(tmp_path, epochs=1, steps=3, kinds=("tensorboard",), quiet=True) as log:
        for step in range(3):
            log.step(step=step, epoch=0, loss=0.5 * step, lr=0.1)
        log.epoch(1, 0.5)
    events = reader.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.value for event in events.Scalars("train/loss")] == [0, 0.5, 1]
    assert [event.step for event in events.Scalars("train/mean_loss")] == [2]


@pytest.mark.slow
def test_a_compiled_backbone_trains_the_same():
    model, batch = make_model(), make_batch()
    expected = stepped([batch])
    objective = Objective(compiled(model), loss=LossConfig(), dtype=torch.float32)
    objective.train()
    freeze_statistics(model.backbone.modules())
    loss = train_step(objective, [batch], optimiser(model, OptimConfig()))
    assert loss == pytest.approx(expected[0], rel=1e-5)
    np.testing.assert_allclose(
        gradients(model)["classifier.weight"].numpy(), expected[1]["classifier.weight"].numpy(), rtol=1e-3, atol=1e-6
    )
