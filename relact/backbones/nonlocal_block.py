"""The non-local block (Wang et al., CVPR 2018) in the two forms for which weights are published.

Keys of a padded batch are masked; queries on padding yield values that nobody reads.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from relact.nn.padding import Padding

Pool = tuple[int, int, int]


class NonLocal(nn.Module):
    """x + BN(out(attention(theta(x), phi(x), g(x)))) over all cells of all frames.

    softmax: embedded Gaussian with 1 / sqrt(inner); otherwise the dot product divided by the number of keys.
    pool: max-pooling of keys and values, before their convolutions (PySlowFast) or after (`pool_last`, MMAction2).
    """

    def __init__(
        self, channels: int, *, stride: int, softmax: bool, pool: Pool, pool_last: bool, out_bias: bool
    ) -> None:
        super().__init__()
        inner = channels // 2
        self.stride = stride
        self.softmax = softmax
        self.pool = pool
        self.pool_last = pool_last
        self.theta = nn.Conv3d(channels, inner, 1)
        self.phi = nn.Conv3d(channels, inner, 1)
        self.g = nn.Conv3d(channels, inner, 1)
        self.out = nn.Conv3d(inner, channels, 1, bias=out_bias)
        self.bn = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor, padding: Padding | None = None) -> Tensor:
        query, keys, values = self.theta(x), *self._keys_and_values(x)
        mixed = self._attend(query, keys, values, padding)
        return x + self.bn(self.out(mixed))

    def _keys_and_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.pool_last:
            return functional.max_pool3d(self.phi(x), self.pool), functional.max_pool3d(self.g(x), self.pool)
        pooled = functional.max_pool3d(x, self.pool)
        return self.phi(pooled), self.g(pooled)

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor, padding: Padding | None) -> Tensor:
        """Queries [B, D, T, h, w] over keys and values [B, D, T', h', w'], batched as matrices."""
        real = None if padding is None else self._real_keys(keys, padding)
        if self.softmax:
            mixed = functional.scaled_dot_product_attention(
                _rows(query), _rows(keys), _rows(values), None if real is None else real[:, None]
            )
            return _map_like(mixed, query)
        values, count = _rows(values), keys[0, 0].numel()
        if real is None:
            scale: float | Tensor = 1 / count
        else:
            scale = real.sum(1).double().reciprocal().to(values.dtype)[:, None, None]
            values = values.masked_fill(~real[:, :, None], 0)
        # Without a softmax (q k') v = q (k' v), which needs a matrix of channels squared, not of cells squared.
        context = torch.bmm(_rows(keys).transpose(1, 2), values * scale)
        return _map_like(torch.bmm(_rows(query), context), query)

    def _real_keys(self, keys: Tensor, padding: Padding) -> Tensor:
        """True for the real keys [B, T' h' w']: pooling drops an odd last row, so real cells are rounded down."""
        height, width = keys.shape[-2:]
        pooled = padding.cells(self.stride) // torch.tensor(self.pool[1:])
        real = torch.arange(height) < pooled[:, :1], torch.arange(width) < pooled[:, 1:]
        both = real[0][:, None, :, None] & real[1][:, None, None, :]
        return both.expand(-1, keys.shape[2], -1, -1).flatten(1).to(keys.device, non_blocking=True)


def _rows(x: Tensor) -> Tensor:
    """[B, D, T, h, w] as [B, T h w, D]."""
    return x.flatten(2).transpose(1, 2)


def _map_like(rows: Tensor, like: Tensor) -> Tensor:
    return rows.transpose(1, 2).reshape(like.shape)
