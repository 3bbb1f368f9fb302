"""Heads with memory on little plays, each with the bank of its paper: does the chain learn?

Offline (LFB, ACFB, LRB): a network without memory is trained and frozen, fills the bank, and the head reads it. Online
(AIA, IGMN): training itself keeps the bank. HRFB and HR-AFB can be both: `--set memory.mode=online`.
"""

from dataclasses import replace

from relact import heads
from relact.recipe import Recipe
from relact.recipes.debug import debug
from relact.train.memory import MemoryConfig


def _with(name: str, head: str, memory: MemoryConfig) -> Recipe:
    base = debug()
    return replace(base, name=name, head=heads.preset(head), memory=memory, optim=replace(base.optim, lr=5e-4))


def debug_lfb() -> Recipe:
    """LFB's bank, 60 s of pooled RoI features, five people each; made by the linear baseline."""
    return _with("debug_lfb", "lfb", MemoryConfig(mode="offline"))


def debug_acfb() -> Recipe:
    """ACAR-Net's Actor-Context Feature Bank, 21 s of first-order maps; made by ACAR-Net without it."""
    return _with("debug_acfb", "acar:bank", MemoryConfig(mode="offline"))


def debug_hrfb() -> Recipe:
    """AMCRNet's HRFB, 15 s of BHOI's rows; made by AMCRNet without a bank."""
    return _with("debug_hrfb", "amcrnet:slim", MemoryConfig(mode="offline"))


def debug_hrafb() -> Recipe:
    """AMCRNet's HR-AFB: HRFB, and beside it the movement features with a history encoder of their own."""
    return _with("debug_hrafb", "amcrnet:slim_hrafb", MemoryConfig(mode="offline"))


def debug_lrb() -> Recipe:
    """MRSN's Long-term Relation Bank, 21 s; made by MRSN with the short-term consensus."""
    return _with("debug_lrb", "mrsn:mrsn_l", MemoryConfig(mode="offline"))


def debug_igmn() -> Recipe:
    """IGMN's memory, 60 s of five people each, those of the clip first; kept by training."""
    return _with("debug_igmn", "igmn", MemoryConfig(mode="online"))


def debug_aia() -> Recipe:
    """AIA's memory pool, 61 s of five people each; kept by training."""
    return _with("debug_aia", "pairwise:aia_serial", MemoryConfig(mode="online"))
