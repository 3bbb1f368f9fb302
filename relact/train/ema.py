"""A moving average of the weights: what is judged and saved where a recipe asks for it."""

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of everything that training changes, the batch norms' statistics included.

    The decay is min(decay, (1 + n) / (10 + n)) at step n, so that the random start is soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
        self.weights: dict[str, Tensor] = {
            name: value.detach().clone()
            for name, value in model.state_dict().items()
            if value.is_floating_point() and name not in frozen
        }

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """After step `step`, counted from 0."""
        live = model.state_dict()
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.weights.values()), [live[name] for name in self.weights], 1 - decay)

    def load(self, weights: dict[str, Tensor]) -> None:
        """The inverse of reading `weights`."""
        for name, value in weights.items():
            self.weights[name].copy_(value)
