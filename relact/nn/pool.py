"""Averages over maps whose real part differs from clip to clip, and their resizing, without a loop over clips."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


def average(x: Float[Tensor, "A C h w"], real: Bool[Tensor, "A 1 h w"] | None) -> Float[Tensor, "A C"]:
    """The mean over real places (None: all of them) of maps that are zero elsewhere."""
    return x.sum(dim=(2, 3)) / (x.shape[2] * x.shape[3] if real is None else real.sum(dim=(2, 3)))


def average_convolved(
    x: Float[Tensor, "A C h w"], conv: nn.Conv2d, real: Bool[Tensor, "A 1 h w"] | None
) -> Float[Tensor, "A D"]:
    """The mean over real places of `conv(x)`, which is not computed; x is zero elsewhere, `conv` keeps the size.

    A convolution is linear: its mean is a product of its weights with sums of x over the places that each tap meets.
    """
    if conv.bias is not None or conv.stride != (1, 1) or conv.groups != 1:
        raise ValueError(f"a convolution without bias, stride or groups is averaged, got {conv}")
    kernel = conv.kernel_size[0]
    places = x.new_ones(1, 1, *x.shape[2:]) if real is None else real.to(x.dtype)
    met = F.unfold(places, kernel, padding=kernel // 2).flip(1)  # tap t meets p where p - t is real
    sums = (met @ x.permute(0, 2, 3, 1).flatten(1, 2)).transpose(1, 2).flatten(1)
    return F.linear(sums, conv.weight.flatten(1)) / places.sum(dim=(2, 3))


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
