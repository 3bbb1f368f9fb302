"""What AMCRNet (IJCAI 2023) does to whole maps: fusing the pathways, giving cells their positions, pooling context.

Modules of positions take the real (rows, columns) of each clip and the size of the batch's map, and give `[1, D, h, w]`
where all clips share their positions, else `[B, D, h, w]`. Cells beyond a clip's own size are unspecified.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from relact.nn.padding import mask
from relact.nn.pool import adaptive_average, stretch

CANVAS = 64
"""cells per side of the noise, which repeats beyond: more than the 39 that PosNet sees, and 1024 pixels at stride 16"""
_WIDTHS = (2, 2, 2, 2, 4, 16)


def is_full(valid: Int[Tensor, "B 2"], height: int, width: int) -> bool:
    """Whether every clip fills the map; on the host, so nothing waits."""
    return bool((valid == torch.tensor([height, width])).all())


def real_cells(
    valid: Int[Tensor, "B 2"], frames: int, height: int, width: int, device: torch.device
) -> Int[Tensor, " R"] | None:
    """Where the real cells of `[B, frames, h, w]` lie once flattened; None where all are real."""
    if is_full(valid, height, width):
        return None
    real = mask(valid, height, width)[:, 0].expand(-1, frames, -1, -1)
    return real.flatten().nonzero()[:, 0].to(device, non_blocking=True)


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, ReLU. Padded cells enter no statistic and come out as zero."""

    def __init__(self, conv: nn.Conv2d | nn.Conv3d, bn: nn.BatchNorm2d | nn.BatchNorm3d) -> None:
        super().__init__()
        self.conv = conv
        self.bn = bn
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(
        self, x: Float[Tensor, "B _C ... h w"], cells: Int[Tensor, " R"] | None
    ) -> Float[Tensor, "B _D ... h w"]:
        x = self.conv(x)
        if cells is None:
            return self.bn(x).relu()
        channels, num_clips = x.shape[1], x.shape[0]
        rows = x.transpose(0, 1).flatten(1).index_select(1, cells)
        rows = self.bn(rows.view(1, channels, -1, *[1] * (x.ndim - 3))).relu().view(channels, -1)
        spread = rows.new_zeros(channels, x.numel() // channels).index_copy(1, cells, rows)
        return spread.view(channels, num_clips, *x.shape[2:]).transpose(0, 1)


def _conv3(in_dim: int, out_dim: int, dilation: int = 1) -> ConvNorm:
    conv = nn.Conv2d(in_dim, out_dim, 3, padding=dilation, dilation=dilation, bias=False)
    return ConvNorm(conv, nn.BatchNorm2d(out_dim))


class PosNet(nn.Module):
    """Noise → positions: narrow convolutions whose zero padding tells every cell how far the borders are.

    `noise` is a canvas drawn once from U(1, 10), the same in every process; a new one per forward in training
    (`resample`) and maybe in test, as the released code does.
    """

    noise: Tensor

    def __init__(self, width: int, *, resample: bool, resample_in_test: bool) -> None:
        super().__init__()
        self.resample = resample
        self.resample_in_test = resample_in_test
        blocks = [(_conv3(i, o), _conv3(o, o, 2)) for i, o in zip((1, *_WIDTHS[:-1]), _WIDTHS, strict=True)]
        self.layers = nn.ModuleList([*(conv for block in blocks for conv in block), _conv3(_WIDTHS[-1], width)])
        canvas = np.random.default_rng(0).uniform(1, 10, (1, 1, CANVAS, CANVAS))
        self.register_buffer("noise", torch.tensor(canvas, dtype=torch.float32), persistent=False)
        self._settle()

    def forward(
        self, valid: Int[Tensor, "B 2"], height: int, width: int, noise: Float[Tensor, "1 1 H W"] | None = None
    ) -> Float[Tensor, "P D h w"]:
        x = self._canvas() if noise is None else noise.to(self.noise)
        x = x.repeat(1, 1, -(-height // x.shape[2]), -(-width // x.shape[3]))[:, :, :height, :width]
        cells = real_cells(valid, 1, height, width, x.device)
        if cells is not None:  # each clip has borders of its own
            x = x * mask(valid, height, width)[:, 0].to(x, non_blocking=True)
        for layer in self.layers:
            x = layer(x, cells)
        return x

    def _canvas(self) -> Tensor:
        drawn = self.resample if self.training else self.resample_in_test
        return torch.empty_like(self.noise).uniform_(1, 10) if drawn else self.noise

    @torch.no_grad()
    def _settle(self) -> None:
        """Batch norms begin with the statistics of the canvas: with others, two ReLUs a layer soon let nothing pass."""
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        usual = norms[0].momentum
        for norm in norms:
            norm.momentum = 1.0
        x = self.noise
        for layer in self.layers:
            x = layer(x, None)
        for norm in norms:
            norm.momentum = usual


class LearnedPosition(nn.Module):
    """A table of `side` x `side` vectors, stretched bilinearly over each clip's map (edges as `F.interpolate`)."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(width, side, side))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, valid: Int[Tensor, "B 2"], height: int, width: int) -> Float[Tensor, "P D h w"]:
        sizes = torch.tensor([[height, width]]) if is_full(valid, height, width) else valid
        table = self.table.expand(len(sizes), 1, *self.table.shape)
        side = torch.tensor([self.table.shape[1:]] * len(sizes))
        return stretch(table, side, sizes, (height, width))[:, 0]


class SinePosition(nn.Module):
    """Sines and cosines of the row in the first half of the channels, of the column in the second; no parameters."""

    exponent: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("exponent", torch.arange(width // 4) / (width // 4), persistent=False)

    def forward(self, valid: Int[Tensor, "B 2"], height: int, width: int) -> Float[Tensor, "1 D h w"]:
        angles = torch.arange(max(height, width), device=self.exponent.device)[:, None] / 10000.0**self.exponent
        waves = torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1).T  # [D / 2, cells]: sin, cos, sin, ...
        rows = waves[:, :height, None].expand(-1, -1, width)
        columns = waves[:, None, :width].expand(-1, height, -1)
        return torch.cat([rows, columns])[None]


class Fusion(nn.Module):
    """The pathways' maps → one map: fast frames folded into channels, time pooled to 2, a product per cell."""

    def __init__(self, channels: Mapping[str, int], frames: Mapping[str, int], width: int) -> None:
        super().__init__()
        both = set(channels) == {"slow", "fast"} and frames["fast"] % frames["slow"] == 0
        if not both and len(channels) != 1:
            raise ValueError(
                "backbone: amcrnet fuses one map, or a slow and a fast one whose frames are a multiple of the slow's "
                f"(8 and 32, 4 and 32); got {', '.join(f'{n} with {frames[n]} frames' for n in channels)}; choose "
                "another backbone (`relact backbones`)"
            )
        self.main = "slow" if both else next(iter(channels))
        self.fold = frames["fast"] // frames["slow"] if both else 0
        in_dim = channels[self.main] + self.fold * channels.get("fast", 0)
        self.reduce = ConvNorm(nn.Conv3d(in_dim, width // 2, 1, bias=False), nn.BatchNorm3d(width // 2))

    def forward(
        self, maps: Mapping[str, Float[Tensor, "B _C _T h w"]], valid: Int[Tensor, "B 2"]
    ) -> Float[Tensor, "B D h w"]:
        pooled = _halves(maps[self.main])
        if self.fold:
            # folding and pooling commute: frame 0 of every r is averaged with other frames 0 alone
            fast = maps["fast"]
            folded = _halves(fast.view(*fast.shape[:2], -1, self.fold, *fast.shape[3:]))  # [B, C, 2, r, h, w]
            pooled = torch.cat([pooled, folded.permute(0, 3, 1, 2, 4, 5).flatten(1, 2)], dim=1)
        reduced = self.reduce(pooled, real_cells(valid, 2, pooled.shape[3], pooled.shape[4], pooled.device))
        return reduced.flatten(1, 2)  # channel c of step t becomes 2 c + t


def _halves(x: Float[Tensor, "B C T ..."]) -> Float[Tensor, "B C 2 ..."]:
    """Torch's adaptive average pooling of the frames to 2."""
    frames = x.shape[2]
    return torch.stack([x[:, :, : (frames + 1) // 2].mean(dim=2), x[:, :, frames // 2 :].mean(dim=2)], dim=2)


class Context(nn.Module):
    """Multi-scale context: the real part of each clip's map, averaged to grids (no parameters)."""

    def __init__(self, kernels: tuple[int, ...], min_size: int, grid: bool) -> None:
        super().__init__()
        self.kernels = kernels
        self.min_size = min_size
        self.grid = grid

    def forward(
        self, x: Float[Tensor, "B D h w"], valid: Int[Tensor, "B 2"]
    ) -> tuple[Float[Tensor, "B M D"], Bool[Tensor, "B M"]]:
        """Tokens, row by row, kernel after kernel, and which of them a clip has, on the host."""
        grids, sizes = [], []
        for kernel in self.kernels:
            sizes.append((valid.double() / kernel).round().long().clamp(min=self.min_size))  # half to even
            grids.append(adaptive_average(x, valid, sizes[-1]))
        if self.grid:
            sizes.append(valid)
            grids.append(x)
        tokens = [x.new_zeros(len(x), x.shape[1], 0), *(grid.flatten(2) for grid in grids)]
        real = [mask(size, grid.shape[2], grid.shape[3]).flatten(1) for size, grid in zip(sizes, grids, strict=True)]
        nothing = torch.zeros(len(x), 0, dtype=torch.bool)
        return torch.cat(tokens, dim=2).transpose(1, 2), torch.cat([nothing, *real], dim=1)
