"""Attention over padded rows: the two ways in which it is computed are one."""

import pytest
import torch

from relact.nn import attention
from relact.nn.attention import attend


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("masked", [False, True])
def test_products_in_training_give_what_the_fused_kernel_gives(heads: int, masked: bool, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randn(3, n, 32, generator=generator) for n in (5, 7, 7)]
    keys = torch.rand(3, 7, generator=generator) < 0.6
    keys[1] = False  # a sequence without any key

    def run(dtype: torch.dtype) -> list[torch.Tensor]:
        q, k, v = (x.detach().clone().to(dtype).requires_grad_() for x in rows)
        out = attend(q, k, v, heads=heads, keys=keys if masked else None)
        out.float().square().sum().backward()
        return [x.detach().float() for x in (out, q.grad, k.grad, v.grad)]

    exact = run(torch.float32)
    plain = run(torch.bfloat16)
    monkeypatch.setattr(attention, "SCORES_TO_KEEP", -1)
    fused = run(torch.bfloat16)
    assert any(not torch.equal(a, b) for a, b in zip(plain, fused, strict=True)), "one way was run twice"
    for ours, theirs, truth in zip(plain, fused, exact, strict=True):
        bound = 2 * (theirs - truth).abs().max() + 0.01 * truth.abs().max()
        assert (ours - truth).abs().max() <= bound
        assert ours.isfinite().all()
    if masked:
        assert not plain[0][1].any()
        assert not plain[3][~keys].any()
