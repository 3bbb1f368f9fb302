"""Which cells of a padded batch are real, at every stride of a network.

Frames of unequal size share a batch by being padded with zeros on the right and at the bottom. A convolution that
sees anything but zeros there lets one clip's result depend on its neighbours (and on bias and batch norm), so every
layer that looks sideways gets its padding zeroed first. Letters: B clips, C channels, T frames, h w cells.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def cells(valid: Tensor, stride: int) -> Tensor:
    """Real rows and columns [B, 2] of a map with this stride: the size in pixels divided, rounded up."""
    return -(-valid // stride)


def mask(real: Tensor, height: int, width: int) -> Tensor:
    """True on the real cells: [B, 1, 1, height, width] from `real` = rows and columns [B, 2]."""
    rows = torch.arange(height, device=real.device) < real[:, :1]
    columns = torch.arange(width, device=real.device) < real[:, 1:]
    return (rows[:, None, None, :, None]) & (columns[:, None, None, None, :])


def extend_edges(x: Tensor, real: Tensor) -> Tensor:
    """A copy whose padding repeats the last real row and column, which is what RoIAlign assumes beyond a map's edge.

    x [B, C, T, h, w] or [B, C, h, w]; real [B, 2]. With it, RoIAlign over a padded map reads what it reads over the
    clip's own map (for boxes inside the frame).
    """
    height, width = x.shape[-2:]
    rows = torch.minimum(torch.arange(height), real[:, :1].cpu() - 1).to(x.device)
    columns = torch.minimum(torch.arange(width), real[:, 1:].cpu() - 1).to(x.device)
    lead = (-1,) + (1,) * (x.ndim - 3)
    x = x.gather(-2, rows.view(*lead, height, 1).expand(x.shape))
    return x.gather(-1, columns.view(*lead, 1, width).expand(x.shape))


def real_places(rows: Tensor, maps: Tensor, clip: Tensor) -> Tensor | None:
    """Which places of the actors' `maps` `[A, C, h, w]` are real: `[A, 1, h, w]`, from (rows, columns) per clip.

    None where all of them are: `rows` are on the host, so that is known without waiting. `clip` is each actor's.
    """
    size = maps.shape[-2:]
    if bool((rows == torch.tensor(size)).all()):
        return None
    return mask(rows, size[0], size[1])[:, :, 0].to(clip.device, non_blocking=True).index_select(0, clip)


def masked(x: Tensor, real: Tensor | None) -> Tensor:
    """Zero where not real; x itself where all is."""
    return x if real is None else x.masked_fill(~real, 0)


def real_group_norm(x: Tensor, real: Tensor | None, norm: nn.GroupNorm) -> Tensor:
    """GroupNorm with one group over `[A, h, w, d]` whose statistics leave out what is not real (`[A, 1, h, w]`)."""
    weight, bias = norm.weight.to(x.dtype), norm.bias.to(x.dtype)
    if real is None:
        return F.layer_norm(x, x.shape[1:], weight.expand(x.shape[1:]), bias.expand(x.shape[1:]), norm.eps)
    real = real.permute(0, 2, 3, 1)
    count = real.sum(dim=(1, 2, 3), keepdim=True) * x.shape[3]
    mean = (x * real).sum(dim=(1, 2, 3), keepdim=True) / count
    variance = ((x - mean) ** 2 * real).sum(dim=(1, 2, 3), keepdim=True) / count
    return (x - mean) * (variance + norm.eps).rsqrt() * weight + bias


class Padding:
    """The padding of one batch, asked for by stride; its masks are made once per stride, without a device sync."""

    def __init__(self, valid: Tensor, height: int, width: int, device: torch.device) -> None:
        self.valid = valid
        self.height = height
        self.width = width
        self.device = device
        self._padded: dict[int, Tensor] = {}

    @classmethod
    def of(cls, frames: Tensor, valid: Tensor | None) -> "Padding | None":
        """The padding of frames [B, 3, T, H, W] with real sizes `valid` [B, 2] on the host; None if there is none."""
        height, width = frames.shape[-2:]
        if valid is None or all(size == [height, width] for size in valid.tolist()):
            return None
        return cls(valid.cpu(), height, width, frames.device)

    def cells(self, stride: int) -> Tensor:
        """Real rows and columns [B, 2] at a stride, on the host."""
        return cells(self.valid, stride)

    def padded(self, stride: int) -> Tensor:
        """True on the padded cells [B, 1, 1, h, w] of a stride, on the frames' device."""
        if stride not in self._padded:
            height, width = -(-self.height // stride), -(-self.width // stride)
            real = mask(self.cells(stride), height, width)
            self._padded[stride] = real.logical_not_().to(self.device, non_blocking=True)
        return self._padded[stride]


def zero_padding(x: Tensor, padding: Padding | None, stride: int) -> Tensor:
    """X [B, C, T, h, w] with zeros on its padding; x itself where nothing is padded."""
    return x if padding is None else x.masked_fill(padding.padded(stride), 0)


def zero_padding_(x: Tensor, padding: Padding | None, stride: int) -> Tensor:
    """The same in place, for a map that nobody else holds and that autograd has not saved (a batch norm's output)."""
    return x if padding is None else x.masked_fill_(padding.padded(stride), 0)
