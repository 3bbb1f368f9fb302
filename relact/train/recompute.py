"""Activation checkpointing: a backbone's blocks keep their inputs only, and are run again in the backward pass."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@contextmanager
def recomputed(backbone: nn.Module) -> Iterator[None]:
    """Within, every block of the backbone trades a second forward pass for the memory of its activations.

    Gradients are the same; statistics of batch norms are taken in the first pass alone.
    """
    parts = list(blocks(backbone))
    for block in parts:
        contexts = partial(_contexts, block)
        vars(block)["forward"] = partial(checkpoint, block.forward, use_reentrant=False, context_fn=contexts)
    try:
        yield
    finally:
        for block in parts:
            del vars(block)["forward"]


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost modules of several layers that hold no list of such modules."""
    for child in module.children():
        if next(child.children(), None) is None:
            continue
        if any(map(_lists_blocks, child.modules())):
            yield from blocks(child)
        elif isinstance(child, nn.ModuleList | nn.ModuleDict):
            continue  # of single layers, which whoever owns it calls
        else:
            yield child


def _lists_blocks(module: nn.Module) -> bool:
    return isinstance(module, CONTAINERS) and any(next(c.children(), None) is not None for c in module.children())


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _without_tracking(block)


@contextmanager
def _without_tracking(block: nn.Module) -> Iterator[None]:
    """Batch norms in training use the statistics of the batch, as they do, and leave the running ones alone."""
    norms = [m for m in block.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, tracked) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, tracked
