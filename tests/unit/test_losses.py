import math

import pytest
import torch
from torch.autograd import gradcheck

from relact.errors import InputError
from relact.labels import LabelMap
from relact.losses import LossConfig, action_loss, scores, softmax_bce

AVA = LossConfig()


def official(logits: torch.Tensor, targets: torch.Tensor, poses: int) -> torch.Tensor:
    """ACAR-Net's loss as released: probabilities, then BCE with the logarithm clamped at -100."""
    p = torch.cat([logits[:, :poses].softmax(1), logits[:, poses:].sigmoid()], dim=1).clamp(0, 1)
    return torch.nn.functional.binary_cross_entropy(p, targets)


def test_equal_to_the_released_loss_where_that_is_finite():
    logits, targets = torch.randn(7, 60, dtype=torch.float64) * 4, (torch.rand(7, 60) < 0.1).double()
    ours = action_loss(logits.float(), targets.float(), exclusive=range(13), config=AVA)
    assert float(ours) == pytest.approx(float(official(logits, targets, 13)), rel=1e-5)


def test_softmax_bce_by_hand():
    logits = torch.tensor([[math.log(3.0), 0.0]])  # p = .75, .25
    got = softmax_bce(logits, torch.tensor([[1.0, 0.0]]))
    assert got.tolist() == [[pytest.approx(-math.log(0.75)), pytest.approx(-math.log(0.75))]]


def test_a_certain_and_wrong_answer_keeps_a_finite_loss_and_gradient():
    logits = torch.tensor([[200.0, -200.0, 0.0]], requires_grad=True)
    loss = softmax_bce(logits, torch.tensor([[0.0, 1.0, 0.0]])).sum()
    loss.backward()
    assert loss.item() == pytest.approx(200 + 400, rel=1e-5)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 0] > 0.9


def test_softmax_bce_gradients():
    targets = (torch.rand(3, 5) < 0.4).double()
    assert gradcheck(lambda z: softmax_bce(z, targets), torch.randn(3, 5, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize("kind", ["ava", "bce", "focal", "cross_entropy"])
def test_a_batch_without_actors_costs_nothing_and_has_a_gradient(kind: str):
    logits = torch.zeros(0, 4, requires_grad=True)
    loss = action_loss(logits, torch.zeros(0, 4), exclusive=(0, 1), config=LossConfig(kind=kind))
    loss.backward()
    assert float(loss) == 0
    assert logits.grad is not None


def test_focal_with_gamma_0_is_bce():
    logits, targets = torch.randn(4, 6), (torch.rand(4, 6) < 0.3).float()
    focal = action_loss(logits, targets, exclusive=(), config=LossConfig(kind="focal", gamma=0))
    bce = action_loss(logits, targets, exclusive=(), config=LossConfig(kind="bce"))
    assert float(focal) == pytest.approx(float(bce))


def test_focal_by_hand():
    got = action_loss(torch.zeros(1, 1), torch.ones(1, 1), exclusive=(), config=LossConfig(kind="focal", gamma=2))
    assert float(got) == pytest.approx(0.25 * math.log(2))


def test_cross_entropy_leaves_out_people_without_truth_and_refuses_two_actions():
    logits, config = torch.tensor([[0.0, 0.0], [5.0, 0.0]]), LossConfig(kind="cross_entropy")
    got = action_loss(logits, torch.tensor([[1.0, 0.0], [0.0, 0.0]]), exclusive=(0, 1), config=config)
    assert float(got) == pytest.approx(math.log(2))
    with pytest.raises(InputError, match="one action a person"):
        action_loss(logits, torch.tensor([[1.0, 1.0], [0.0, 0.0]]), exclusive=(0, 1), config=config)


def test_scores_are_a_softmax_on_poses_and_sigmoids_elsewhere():
    got = scores(torch.tensor([[math.log(3.0), 0.0, 0.0]]), exclusive=(0, 1))
    assert got.tolist() == [[pytest.approx(0.75), pytest.approx(0.25), pytest.approx(0.5)]]


def test_which_actions_exclude_each_other():
    ava, ucf = LabelMap.load("ava60"), LabelMap.load("ucf24")
    assert AVA.exclusive(ava) == tuple(range(13))
    assert AVA.exclusive(ucf) == ()
    assert LossConfig(kind="bce").exclusive(ava) == ()
    assert LossConfig(kind="cross_entropy").exclusive(ucf) == tuple(range(24))
