"""Adaptive average pooling of maps whose real part differs from clip to clip, without a loop over clips."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def adaptive_average(
    x: Float[Tensor, "B C h w"], valid: Int[Tensor, "B 2"], size: tuple[int, int] | Int[Tensor, "B 2"]
) -> Float[Tensor, "B C _H _W"]:
    """Torch's adaptive average pooling of each clip's real (rows, columns) to `size`.

    Where `size` differs by clip the result is as large as the largest, zero beyond each clip's own. `valid` and `size`
    are on the host. Average pooling is a product along each axis, so a batch is two of them.
    """
    wanted = torch.tensor([size] * len(x)).reshape(-1, 2) if isinstance(size, tuple) else size
    rows = _weights(valid[:, 0], wanted[:, 0], x.shape[2]).to(x, non_blocking=True)
    columns = _weights(valid[:, 1], wanted[:, 1], x.shape[3]).to(x, non_blocking=True)
    return torch.einsum("bih,bchw,bjw->bcij", rows, x, columns)


def _weights(valid: Int[Tensor, " B"], size: Int[Tensor, " B"], length: int) -> Float[Tensor, "B _S length"]:
    """Row i of clip b averages cells floor(i n / s) up to ceil((i + 1) n / s), of n real cells and s rows."""
    i = torch.arange(int(size.max()) if len(size) else 0)
    n, s = valid[:, None], size[:, None].clamp(min=1)
    first, last = i * n // s, -(-(i + 1) * n // s)
    cell = torch.arange(length)
    inside = (cell >= first[..., None]) & (cell < last[..., None]) & (i < size[:, None])[..., None]
    return inside.double() / (last - first).clamp(min=1)[..., None]


def stretch(
    x: Float[Tensor, "B M C h w"], source: Int[Tensor, "B 2"], target: Int[Tensor, "B 2"], size: tuple[int, int]
) -> Float[Tensor, "B M C _H _W"]:
    """Bilinear resizing of each clip's `source` (rows, columns) to its `target`, zero beyond it in maps of `size`.

    Maps that already have their target's size are left as they are. `source` and `target` are on the host.
    """
    if torch.equal(source, target) and x.shape[-2:] == size:
        return x
    rows = _interpolation(source[:, 0], target[:, 0], x.shape[-2], size[0]).to(x, non_blocking=True)
    columns = _interpolation(source[:, 1], target[:, 1], x.shape[-1], size[1]).to(x, non_blocking=True)
    return torch.einsum("bih,bmchw,bjw->bmcij", rows, x, columns)


def _interpolation(
    source: Int[Tensor, " B"], target: Int[Tensor, " B"], length: int, size: int
) -> Float[Tensor, "B size length"]:
    """Row i of clip b reads at (i + 1/2) source / target - 1/2, between two cells; rows beyond the target read none."""
    n, s = source[:, None].double(), target[:, None].double()
    at = ((torch.arange(size) + 0.5) * n / s - 0.5).clamp(min=0).minimum(n - 1)
    weight = (1 - (at[..., None] - torch.arange(length)).abs()).clamp(min=0)
    return weight * (torch.arange(size) < target[:, None])[..., None]
