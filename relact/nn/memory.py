"""Memory of maps: what is freed is kept in the process, and what is cheap to compute again is not kept for backward."""

import ctypes
import platform
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

# malloc.h of glibc
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_KEPT_BYTES, _GROWTH_BYTES = 2**31 - 1, 64 * 2**20


def keep_freed_memory() -> bool:
    """Tells glibc not to hand freed memory back to the system; False where the C library is another.

    The maps of a video net are tens of megabytes, and glibc maps and unmaps such blocks one by one: every layer then
    begins with page faults, a tenth of the time of a forward pass in bf16. The process' size stays at its peak
    instead (up to 2 GB of free memory is kept). For programs whose main work is such a net on a CPU; a library should
    not decide this on import.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    # one heap for all threads: each decoding thread's own would grow by 2 kB a frame, and never shrink
    options = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _KEPT_BYTES), (_M_TOP_PAD, _GROWTH_BYTES), (_M_ARENA_MAX, 1))
    return all([ctypes.CDLL(None).mallopt(option, value) for option, value in options])


def keep_convolutions(compute: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """`compute(*inputs)` without dropout, of which only convolutions' results are kept for the backward pass."""
    if not torch.is_grad_enabled():
        return compute(*inputs)
    kept = partial(create_selective_checkpoint_contexts, [torch.ops.aten.convolution.default])
    result: Tensor = checkpoint(compute, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=kept)
    return result
