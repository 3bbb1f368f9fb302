"""Every head on Stage, alike but for the head: one frozen backbone, one schedule, one seed (docs/stage.md).

`relact bench stage` trains `stage_warmup` once, and then all others on its maps.
"""

from collections.abc import Callable
from dataclasses import replace

from relact import backbones
from relact.data.ava import AvaData
from relact.data.transforms import TransformConfig
from relact.head import HeadConfig
from relact.heads import acar, amcrnet, igmn, lfb, linear, mrsn, pairwise, stc
from relact.losses import LossConfig
from relact.recipe import Recipe
from relact.train.loop import TrainConfig
from relact.train.memory import MemoryConfig
from relact.train.optim import OptimConfig

WIDTH = 128
"""channels inside all heads"""
TICKS = 10
"""seconds of memory on either side: a long skit has twelve"""


def stage_warmup() -> Recipe:
    """Stage: the backbone of all stage recipes; learns what a box itself shows, of people and things, no relation."""
    return Recipe(
        name="stage_warmup",
        data=AvaData(
            root="stage", train="primitives_train.csv", val="primitives_val.csv", labels="primitives.csv", cap=0
        ),
        backbone=backbones.config("slowfast_stage"),
        head=linear.Config(dropout=0.0),
        loss=LossConfig(kind="bce"),
        transform=TransformConfig(short_side=96, flip=0.0),
        optim=OptimConfig(kind="adamw", lr=2e-3, weight_decay=1e-2, warmup_epochs=0.1, clip_norm=5.0),
        train=TrainConfig(epochs=2, batch_size=8, workers=1, precision="auto"),
    )


_linear = linear.Config(dropout=0.0)
_acar = acar.Config(reduce=WIDTH, width=WIDTH, depth=1, grid=(2, 8))
_amcrnet = replace(
    amcrnet.VARIANTS["slim_no_bank"], dropout=0.1, width=WIDTH, depth=2, history_depth=1, heads=4, radius=TICKS
)
_mrsn = mrsn.Config(width=WIDTH, ffn=2 * WIDTH, heads=4, hidden=WIDTH, bank_width=WIDTH, window=TICKS)
_igmn = igmn.Config(width=WIDTH, memory_width=WIDTH, hidden=WIDTH, out=WIDTH, radius=TICKS)
_stc = stc.Config(dropout=0.1, d_model=WIDTH, heads=4, ffn=2 * WIDTH)
_lfb = lfb.Config(dropout=0.1, width=WIDTH, radius=TICKS, future=TICKS)
_aia = replace(
    pairwise.VARIANTS["aia_map"], reduce=WIDTH, hidden=WIDTH, radius=TICKS, relation_dropout=0.1, dropout=0.1
)

HEADS: dict[str, tuple[HeadConfig, str, str]] = {
    "linear": (_linear, "none", "the baseline: what the box itself shows"),
    "linear_mlp": (linear.Config(dropout=0.1, hidden=(WIDTH, WIDTH)), "none", "AlphAction's predictor"),
    "acrn": (pairwise.Config(reduce=WIDTH, width=WIDTH), "none", "actor and context, first order"),
    "sto": (replace(_lfb, bank="current"), "none", "actors of the clip, without context"),
    "acar": (_acar, "none", "ACAR-Net: relations of relations"),
    "acar_average": (replace(_acar, operator="average"), "none", "ACAR-Net's Table 1: first order, averaged"),
    "amcrnet": (_amcrnet, "none", "AMCRNet without a bank"),
    "amcrnet_no_context": (replace(_amcrnet, kernels=()), "none", "AMCRNet's actors alone"),
    "mrsn": (_mrsn, "none", "MRSN, short-term consensus"),
    "mrsn_acre": (replace(_mrsn, aare=0, rse=0), "none", "MRSN's actor-context encoder alone"),
    "mrsn_aare": (replace(_mrsn, acre=0, rse=0), "none", "MRSN's actor-actor encoder alone"),
    "mrsn_no_rse": (replace(_mrsn, rse=0), "none", "MRSN without the support of one relation by the other"),
    "stc": (_stc, "none", "STC: places, then frames"),
    "stc_spatial": (replace(_stc, context="spatial"), "none", "STC's places alone"),
    "lfb": (_lfb, "offline", "LFB's bank of pooled features"),
    "acar_bank": (replace(_acar, window=TICKS), "offline", "ACAR-Net with its bank of maps"),
    "amcrnet_hrfb": (replace(_amcrnet, history="hrfb"), "offline", "AMCRNet with HRFB"),
    "mrsn_long": (replace(_mrsn, consensus="long"), "offline", "MRSN, long-term consensus"),
    "igmn": (_igmn, "online", "IGMN: graph memory over tracks, dual attention"),
    "igmn_no_identity": (
        replace(_igmn, attention="none", temporal="none", downsample=False), "online", "IGMN's graph, no identities",
    ),
    "aia": (_aia, "online", "AIA, its memory, and the map for things"),
}  # fmt: skip
"""By the recipe's name behind `stage_`: the head, where its memory comes from, and what it is there for."""


def stage(name: str) -> Recipe:
    """A head's recipe on the maps of `stage_warmup`."""
    head, memory, _ = HEADS[name]
    return replace(
        stage_warmup(),
        name=f"stage_{name}",
        data=AvaData(root="stage", train="train.csv", val="val.csv", cap=0),
        head=head,
        loss=LossConfig(kind="ava"),
        optim=OptimConfig(kind="adamw", lr=1e-3, weight_decay=1e-2, warmup_epochs=0.3, clip_norm=5.0),
        train=TrainConfig(
            epochs=10, batch_size=16, workers=0, precision="auto", freeze_backbone=True, init="runs/stage/warmup",
            maps="runs/stage/maps",
        ),
        memory=MemoryConfig(mode=memory),  # type: ignore[arg-type]
    )  # fmt: skip


def _named(name: str) -> Callable[[], Recipe]:
    def recipe() -> Recipe:
        return stage(name)

    recipe.__name__, recipe.__doc__ = f"stage_{name}", f"Stage: {HEADS[name][2]}."
    return recipe


STAGE: tuple[Callable[[], Recipe], ...] = (stage_warmup, *(_named(name) for name in HEADS))
