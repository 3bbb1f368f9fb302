"""From logits to scores, and from logits and truth to a loss.

Some actions exclude each other (AVA's poses: a person sits or stands), the rest do not. `exclusive` is the columns of
the former; their scores are a softmax, the others' sigmoids (ACAR-Net's code; specified by no paper but used by most).
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from relact.config import STRICT
from relact.errors import InputError
from relact.labels import LabelMap


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LossConfig:
    """Which loss, and which actions exclude each other."""

    kind: Literal["ava", "bce", "focal", "cross_entropy"] = "ava"
    """ava: softmax on poses + sigmoid on the rest, BCE on both (ACAR-Net); bce, focal: sigmoids only (PySlowFast,
    MMAction2); cross_entropy: one action a person (UCF101-24)"""
    gamma: float = Field(default=2.0, ge=0)
    """focal: how strongly easy examples are played down"""
    alpha: float | None = Field(default=None, gt=0, lt=1)
    """focal: weight of positives; None = no weighting"""

    def exclusive(self, labels: LabelMap) -> tuple[int, ...]:
        """The columns that share a softmax under this loss."""
        if self.kind == "cross_entropy":
            return tuple(range(len(labels)))
        return labels.exclusive if self.kind == "ava" and len(labels.exclusive) > 1 else ()


def scores(logits: Float[Tensor, "A K"], exclusive: Sequence[int]) -> Float[Tensor, "A K"]:
    """Probabilities, in fp32 or more: softmax over the `exclusive` columns, sigmoid elsewhere."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    result = logits.sigmoid()
    if exclusive:
        columns = torch.tensor(exclusive, device=logits.device)
        result = result.index_copy(1, columns, logits.index_select(1, columns).softmax(dim=1))
    return result


def action_loss(
    logits: Float[Tensor, "A K"],
    targets: Float[Tensor, "A K"],
    *,
    exclusive: Sequence[int],
    config: LossConfig,
) -> Float[Tensor, ""]:
    """Mean over actors (and actions), in fp32 or more; exactly 0, with a gradient, for a batch without actors."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if config.kind == "cross_entropy":
        return _cross_entropy(logits, targets)
    elements = _elements(logits, targets, exclusive, config)
    return elements.sum() / max(elements.numel(), 1)


def _elements(logits: Tensor, targets: Tensor, exclusive: Sequence[int], config: LossConfig) -> Tensor:
    if config.kind == "focal":
        return _focal(logits, targets, config.gamma, config.alpha)
    elements = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    if not exclusive:
        return elements
    columns = torch.tensor(exclusive, device=logits.device)
    pose = softmax_bce(logits.index_select(1, columns), targets.index_select(1, columns))
    return elements.index_copy(1, columns, pose)


def softmax_bce(logits: Float[Tensor, "A P"], targets: Float[Tensor, "A P"]) -> Float[Tensor, "A P"]:
    """BCE of p = softmax(z), elementwise, without ever forming p.

    log p_i = z_i - logsumexp(z) and log(1 - p_i) = logsumexp(z without i) - logsumexp(z), so that a certain and wrong
    answer has a finite loss and gradient, where BCE on probabilities clamps its logarithm at -100.
    """
    total = logits.logsumexp(dim=1, keepdim=True)
    itself = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    others = logits[:, None, :].masked_fill(itself, float("-inf")).logsumexp(dim=2)
    return -(targets * (logits - total) + (1 - targets) * (others - total))


def _focal(logits: Tensor, targets: Tensor, gamma: float, alpha: float | None) -> Tensor:
    """Lin et al., ICCV 2017, Eq. 5: -(1 - p_t)^gamma log p_t, on sigmoids."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p_true = (-cross_entropy).exp()
    weight = 1.0 if alpha is None else alpha * targets + (1 - alpha) * (1 - targets)
    return weight * (1 - p_true) ** gamma * cross_entropy


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Rows without truth (detected boxes) are left out."""
    known = targets.sum(dim=1, keepdim=True)
    if bool((known > 1).any()):
        raise InputError("loss.kind=cross_entropy takes one action a person, but some have several; use loss.kind=bce")
    return -(targets * logits.log_softmax(dim=1)).sum() / known.sum().clamp(min=1)
