"""Pairs of actors without forming them."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from relact.types import Actors


def mean_relu(place: Float[Tensor, "A d P"], other: Float[Tensor, "A d"], actors: Actors) -> Float[Tensor, "A d P"]:
    """The mean over the actors j of the same clip of relu(place_i + other_j).

    As a function of `place` it is piecewise linear with a knot at each -other_j: behind the sorted knots and their
    sums, a place needs to find its segment only, and no pair of actors is ever formed.
    """
    padded, present = actors.pad(other)
    knots, order = torch.where(present[:, :, None], -padded, torch.inf).sort(dim=1)
    behind = F.pad(padded.gather(1, order).cumsum(dim=1), (0, 0, 1, 0))  # sum of `other` behind the first k knots
    of_actor = [x.transpose(1, 2).contiguous().index_select(0, actors.clip) for x in (knots, behind)]
    passed = torch.searchsorted(of_actor[0].detach(), place.detach())
    total = passed * place + of_actor[1].gather(2, passed)
    return total / present.sum(dim=1).index_select(0, actors.clip)[:, None, None]
