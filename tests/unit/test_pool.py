"""Averages of convolutions that are not computed."""

import pytest
import torch
from torch import nn

from relact.nn.padding import masked, real_places
from relact.nn.pool import average, average_convolved


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("rows", [[[4, 6], [4, 6]], [[4, 6], [2, 3]], [[1, 1], [3, 6]]])
def test_the_average_of_a_convolution_is_that_of_its_map(kernel: int, rows: list[list[int]]):
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 5, kernel, padding=kernel // 2, bias=False).double()
    clip = torch.tensor([0, 1, 1])
    x = torch.randn(3, 3, 4, 6, dtype=torch.float64)
    real = real_places(torch.tensor(rows), x, clip)
    x = masked(x, real).requires_grad_()
    got, want = average_convolved(x, conv, real), average(masked(conv(x), real), real)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    along = torch.randn_like(got)
    ours = torch.autograd.grad(got, [x, conv.weight], along)
    theirs = torch.autograd.grad(want, [x, conv.weight], along)
    torch.testing.assert_close(masked(ours[0], real), masked(theirs[0], real), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours[1], theirs[1], rtol=1e-12, atol=1e-12)


def test_nobody_has_no_average():
    conv = nn.Conv2d(3, 5, 3, padding=1, bias=False)
    assert average_convolved(torch.zeros(0, 3, 4, 6), conv, None).shape == (0, 5)


@pytest.mark.parametrize("settings", [{"stride": 2}, {"bias": True}, {"groups": 3}])
def test_another_kind_of_convolution_is_refused(settings: dict[str, int]):
    conv = nn.Conv2d(3, 6, 3, padding=1, **{"bias": False, **settings})
    with pytest.raises(ValueError, match="without bias, stride or groups"):
        average_convolved(torch.zeros(1, 3, 4, 6), conv, None)
