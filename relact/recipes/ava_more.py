"""More of the papers' experiments on AVA: AMCRNet, IGMN, STC, and the systems that they compare with."""

from relact.recipes.ava import (
    FAIR,
    K400,
    R101_K400,
    R101_K700,
    R101_NL_K600,
    SLOWONLY,
    TRAIN_CSV,
    V21,
    VAL_CSV,
    backbone,
    bank,
    head,
    settings,
)  # fmt: skip
from relact.recipes.layers import STAND_IN, Experiment, Layer

# AMCRNet (IJCAI 2023)
_AMC_DATA = (
    Layer("Sec. 4: AVA v2.2; released code: all 80 classes, keyframes one frame later (MMAction2)",
          settings("data", source="ava_official", labels="ava", shift=1)),
    Layer("Sec. 4.1: ACAR-Net's detector; released code and MMAction2: its boxes from 0.9 on, else the best, with the "
          "actions of the annotated box that they overlap by 0.9", {
        **settings("data.train_boxes", file=FAIR.format("train"), score=0.9, best=True, labels="overlap", overlap=0.9,
                   background=False),
        **settings("data.val_boxes", file=FAIR.format("val"), score=0.9, best=True),
    }),
)  # fmt: skip
AMC_SCHEDULE = (
    Layer("Sec. 4.1: SGD, batch 8, rate 0.02, 10 epochs, a tenth at 7 and 9, warm-up of 3, batch norms frozen", {
        **settings("optim", kind="sgd", lr=0.02, lr_batch=8, schedule="step", milestones=(7.0, 9.0), warmup_epochs=3.0),
        **settings("train", batch_size=8, epochs=10, freeze_bn=True),
    }),
    Layer("not in the paper: momentum, weight decay, clipping, start of the warm-up of MMAction2's AVA configurations",
          settings("optim", momentum=0.9, weight_decay=1e-5, clip_norm=40.0, warmup_start=0.1)),
    Layer("released code: each frame from itself and the one before it", {"transform.frame_jitter": 1}),
    Layer("Sec. 4.1: shorter side 256", {"transform.short_side": 256}),
    Layer("training code: sigmoids", {"loss.kind": "bce"}),
)  # fmt: skip
_AMC_4X16 = backbone("Table 1: SlowFast R50 4x16, Kinetics-400", "slowfast_r50_4x16_mm",
                     "slowfast_r50_4x16_k400_mmaction2")  # fmt: skip
AMC_8X8 = backbone("Table 1: SlowFast R50 8x8, Kinetics-400", "slowfast_r50_8x8_mm", "slowfast_r50_8x8_k400_mmaction2")
_AMC_R101 = backbone(f"Table 1: SlowFast R101 8x8 as MMAction2 has it, {STAND_IN}", "slowfast_r101_8x8_mm",
                     "slowfast_r101_8x8_k400_mmaction2")  # fmt: skip
_SLOW_4X16 = backbone("Sec. 4.4: SlowOnly R50 4x16, Kinetics-400", "slowonly_r50_4x16",
                      "slowonly_r50_4x16_k400_pyslowfast")  # fmt: skip
_ONLINE = bank("Sec. 4.4, Table 2f: the bank is kept by training", "online")
_amc = Experiment("amcrnet_r50", "AMCRNet, SlowFast R50 8x8", (
    *_AMC_DATA, AMC_8X8, *AMC_SCHEDULE,
    head("Sec. 4.1, Table 1: HRFB; released code: dropout 0.45", "amcrnet:full", dropout=0.45), _ONLINE,
))  # fmt: skip
_SLIM = head("Sec. 4.2: 4 layers, multiplier 1; released code: dropout 0.45", "amcrnet:slim", dropout=0.45)
_PLAIN = bank("Sec. 4.4: no bank in this comparison", "none")
_amc_slow = _amc.varied(
    "amcrnet_slowonly", "AMCRNet without a bank on SlowOnly R50", _SLOW_4X16,
    head("Sec. 4.4: no bank in this comparison", "amcrnet:no_bank", dropout=0.45), _PLAIN,
)  # fmt: skip


def _ablation(name: str, summary: str, variant: str, place: str) -> Experiment:
    return _amc_slow.varied(name, summary, head(place, variant, dropout=0.45))


AMCRNET = (
    _amc,
    _amc.varied("amcrnet_slim_r50", "AMCRNet-slim, SlowFast R50 8x8", _SLIM),
    _amc.varied("amcrnet_r50_4x16", "AMCRNet, SlowFast R50 4x16", _AMC_4X16),
    _amc.varied("amcrnet_slim_r50_4x16", "AMCRNet-slim, SlowFast R50 4x16", _AMC_4X16, _SLIM),
    _amc.varied("amcrnet_slim_r101", "AMCRNet-slim, SlowFast R101 8x8", _AMC_R101, _SLIM),
    _amc_slow,
    _amc_slow.varied("amcrnet_baseline", "AMCRNet's baseline: SlowOnly R50, linear",
                     head("Sec. 4.4: a one-layer classifier", "linear", dropout=0.5)),
    _amc_slow.varied("amcrnet_acrn", "AMCRNet's baseline with ACRN", head("Table 2a", "pairwise:acrn")),
    _amc_slow.varied("amcrnet_aia", "AMCRNet's baseline with AIA", head("Table 2a: serial, no bank",
                     "pairwise:aia_no_memory")),
    _amc_slow.varied("amcrnet_hr2o", "AMCRNet's baseline with HR2O", head("Table 2a", "acar:r50")),
    _ablation("amcrnet_depth1", "BHOI of one layer", "amcrnet:depth1", "Table 2b"),
    _ablation("amcrnet_depth2", "BHOI of two layers", "amcrnet:depth2", "Table 2b"),
    _ablation("amcrnet_depth4", "BHOI of four layers", "amcrnet:depth4", "Table 2b"),
    _ablation("amcrnet_depth8", "BHOI of eight layers", "amcrnet:depth8", "Table 2b"),
    _ablation("amcrnet_no_pooling", "every cell a context token", "amcrnet:no_pooling", "Table 2c, read as the grid"),
    _ablation("amcrnet_kernel3", "context pooled by 3", "amcrnet:kernel3", "Table 2c"),
    _ablation("amcrnet_kernel5", "context pooled by 5", "amcrnet:kernel5", "Table 2c"),
    _ablation("amcrnet_kernel7", "context pooled by 7", "amcrnet:kernel7", "Table 2c"),
    _ablation("amcrnet_no_position", "no positions", "amcrnet:no_position", "Table 2d"),
    _ablation("amcrnet_learned_position", "learned positions", "amcrnet:learned_position", "Table 2d"),
    _ablation("amcrnet_sine_position", "sine positions", "amcrnet:sine_position", "Table 2d"),
    _amc_slow.varied("amcrnet_lfb", "LFB's bank, 15 s, in AMCRNet's setting", head("Table 2e: W = 7", "lfb", radius=7,
                     future=7), bank("Table 2e: LFB; the baseline fills it", "offline", "linear")),
    _amc_slow.varied("amcrnet_acfb", "ACAR-Net's bank, 15 s, in AMCRNet's setting", head("Table 2e: W = 7", "acar:bank",
                     window=7), bank("Table 2e: ACFB", "offline")),
    _amc_slow.varied("amcrnet_hrfb", "AMCRNet with HRFB on SlowOnly R50", head("Table 2e", "amcrnet:full",
                     dropout=0.45), _ONLINE),
    _amc_slow.varied("amcrnet_hrafb", "AMCRNet with HR-AFB on SlowOnly R50", head("Table 2e", "amcrnet:hrafb",
                     dropout=0.45), _ONLINE),
    _amc_slow.varied("amcrnet_hrfb_offline", "AMCRNet with HRFB, filled by a frozen network", head("Table 2f",
                     "amcrnet:full", dropout=0.45), bank("Table 2f: offline", "offline")),
)  # fmt: skip

# IGMN (MM 2021) and AIA (ECCV 2020), whose code it continues
_AIA_DATA = (
    Layer("Sec. 4.1: AVA v2.2; AlphAction: all 80 classes", settings("data", source="ava_official", labels="ava")),
    Layer("Sec. 4.1: annotated boxes in training, in tests those of AIA's detector above 0.8",
          settings("data.val_boxes", file=VAL_CSV, score=0.8)),
    Layer("Sec. 4.1: boxes moved at random; by how much: AlphAction", {"transform.box_jitter": (0.2, 0.1, 0.1, 0.05)}),
    Layer("Sec. 4.1: shorter side 256", {"transform.short_side": 256}),
    Layer("AlphAction: batch statistics frozen", {"train.freeze_bn": True}),
)  # fmt: skip
_IGMN_R50 = backbone(f"Sec. 4.1: SlowFast R50 4x16, {STAND_IN}", "slowfast_r50_4x16",
                     "slowfast_r50_4x16_k400_pyslowfast")  # fmt: skip
_IGMN_R101 = backbone("Table 2: SlowFast R101 8x8, Kinetics-700; ACAR-Net's weights, by hand", "slowfast_r101_8x8_acar",
                      "slowfast_r101_8x8_k700_acar")  # fmt: skip
_STEPS = "at about 185k keyframes an epoch"
_IGMN_SCHEDULE = (
    Layer("Sec. 4.1: SGD, batch 12, rate 0.003, weight decay 0.0005, momentum 0.9", {
        **settings("optim", kind="sgd", lr=0.003, lr_batch=12, weight_decay=0.0005, momentum=0.9, schedule="step"),
        "train.batch_size": 12,
    }),
    Layer(f"Sec. 4.1: 140k steps, a tenth at 93k and 120k, {_STEPS}; AlphAction: 2k of warm-up from a quarter", {
        "train.epochs": 9, **settings("optim", milestones=(5.98, 7.71), warmup_epochs=0.13, warmup_start=0.25),
    }),
    Layer("Sec. 4.1: softmax on poses", {"loss.kind": "ava"}),
    Layer("Sec. 4.1: boxes grown by up to 1.5 in training, by 1.25 in tests",
          {"roi": {"expand": 1.25, "expand_train": 1.5}}),
    Layer("our stand-in for the tracker of Zhang et al.: people linked by overlap", {"data.link": True}),
)  # fmt: skip
_igmn = Experiment("igmn_r50", "IGMN, SlowFast R50 4x16", (
    *_AIA_DATA, _IGMN_R50, *_IGMN_SCHEDULE, head("Sec. 3, 4.1: 30 s before and after", "igmn"),
    bank("Sec. 4.1: asynchronous memory update", "online"),
))  # fmt: skip


def _igmn_part(name: str, summary: str, variant: str, place: str) -> Experiment:
    return _igmn.varied(name, summary, head(place, f"igmn:{variant}"))


IGMN = (
    _igmn,
    _igmn.varied("igmn_r101", "IGMN, SlowFast R101 8x8", _IGMN_R101),
    _igmn.varied("igmn_r50_ava21", "IGMN on AVA v2.1", V21),
    _igmn.varied("igmn_baseline", "IGMN's baseline: AlphAction's classifier", head("Table 1b, AlphAction",
                 "linear:alphaction"), bank("the baseline has none", "none")),
    *(_igmn_part(f"igmn_hgnn{n}", f"HGNN of {n} layer(s)", f"hgnn{n}", "Table 1a") for n in (1, 2, 3)),
    *(_igmn_part(f"igmn_hgnn_s{n}", f"HGNN-s of {n} layer(s)", f"hgnn_s{n}", "Table 1a") for n in (1, 2, 3)),
    _igmn_part("igmn_frozen", "HGNN whose memory nodes stay as they are", "frozen", "Table 1b"),
    _igmn_part("igmn_gcn", "HGNN with graph convolutions", "gcn", "Table 1c"),
    _igmn_part("igmn_semantic", "HGNN with semantic attention alone", "semantic", "Table 1d"),
    _igmn_part("igmn_identity", "HGNN with identity attention alone", "identity", "Table 1d"),
    _igmn_part("igmn_no_cls", "IGMN without the losses of classification", "no_cls", "Table 1e"),
    _igmn_part("igmn_no_prior", "IGMN without the losses of the spatial prior", "no_prior", "Table 1e"),
    _igmn_part("igmn_no_aux", "IGMN without any loss of its own", "no_aux", "Table 1e"),
    _igmn.varied("igmn_expand100", "IGMN, boxes as they are in tests", Layer("Table 1f", {"roi.expand": 1.0})),
    _igmn.varied("igmn_expand150", "IGMN, boxes grown by 1.5 in tests", Layer("Table 1f", {"roi.expand": 1.5})),
)  # fmt: skip

_aia = Experiment("aia_r50", "AIA, dense serial, SlowFast R50 4x16", (
    *_AIA_DATA, _IGMN_R50, head("AIA: dense serial, memory of 61 s", "pairwise:aia_dense_serial"),
    bank("AIA: asynchronous memory update", "online"),
    Layer(f"AlphAction: SGD, batch 16, rate 4e-4, decay 1e-7; 110k steps, a tenth at 70k and 90k, {_STEPS}; its rate "
          "for the head is ten times that, here all have one", {
        **settings("optim", kind="sgd", lr=4e-4, lr_batch=16, momentum=0.9, weight_decay=1e-7, schedule="step",
                   milestones=(5.73, 7.36), warmup_epochs=0.13, warmup_start=0.25),
        "train.batch_size": 16, "train.epochs": 9,
    }),
    Layer("AlphAction: focal loss, gamma 2 (here on sigmoids; its poses have a softmax)", {"loss.kind": "focal"}),
))  # fmt: skip
AIA = (
    _aia,
    _aia.varied("aia_r50_ava21", "AIA on AVA v2.1", V21),
    _aia.varied("aia_r101", "AIA, SlowFast R101 8x8", _IGMN_R101),
)

# STC, and SlowFast itself
_PSF_DATA = (
    Layer("AVA v2.2; PySlowFast: all 80 classes, no cap in the metric",
          settings("data", source="ava_official", labels="ava", cap=0)),
    Layer("Sec. 4.1 and SlowFast: annotated boxes and detected ones from 0.8 on", {
        **settings("data.train_boxes", file=TRAIN_CSV, score=0.8),
        **settings("data.val_boxes", file=VAL_CSV, score=0.8),
    }),
)  # fmt: skip
_PSF_SCHEDULE = (
    Layer("PySlowFast's SLOWFAST_32x2_R50_SHORT: batch 64, rate 0.1, 20 epochs, a tenth at 10 and 15, warm-up of 5 "
          "from 1.25e-4, decay 1e-7", {
        **settings("optim", kind="sgd", lr=0.1, lr_batch=64, momentum=0.9, weight_decay=1e-7, schedule="step",
                   milestones=(10.0, 15.0), warmup_epochs=5.0, warmup_start=0.00125),
        **settings("train", batch_size=64, epochs=20),
    }),
    Layer("PySlowFast: shorter side 256 to 320 by its inverse, 224 cut out at random, mirrored by half; Sec. 4.1",
          settings("transform", short_side=256, train_short_side=(256, 320), short_side_draw="inverse", crop=224,
                   flip=0.5)),
    Layer("PySlowFast: sigmoids", {"loss.kind": "bce"}),
)  # fmt: skip
_PSF_R50 = backbone("Sec. 4.1: SlowFast R50 8x8 without non-local blocks, Kinetics-400", "slowfast_r50_8x8", K400)
_LINEAR = head("SlowFast: one layer, dropout 0.5", "linear:slowfast", dropout=0.5)
_slowfast = Experiment("slowfast_r50", "SlowFast R50 8x8, linear (STC's baseline)", (
    *_PSF_DATA, _PSF_R50, _LINEAR, *_PSF_SCHEDULE,
))  # fmt: skip


def _stc(name: str, summary: str, variant: str, place: str) -> Experiment:
    return _slowfast.varied(name, summary, head(f"{place}; PySlowFast: dropout 0.5", f"stc:{variant}"))


STC = (
    _stc("stc_r50", "STC: cells of slow frames, then fast frames", "spatiotemporal", "Sec. 3, Table 1"),
    _stc("stc_pooled", "STC, each actor one token", "spatiotemporal_pooled", "Table 1"),
    _stc("stc_spatial", "STC's places alone", "spatial", "Table 1"),
    _stc("stc_spatial_pooled", "STC's places alone, each actor one token", "spatial_pooled", "Table 1"),
)
SLOWFAST = (
    _slowfast,
    _slowfast.varied("slowfast_r50_ava21", "SlowFast R50 8x8 on AVA v2.1", V21),
    _slowfast.varied("slowfast_r50_4x16_ava21", "SlowFast R50 4x16 on AVA v2.1", V21, backbone(
        "IGMN's Table 2: SlowFast R50 4x16, Kinetics-400", "slowfast_r50_4x16", "slowfast_r50_4x16_k400_pyslowfast")),
    _slowfast.varied("slowfast_r101_ava21", "SlowFast R101 8x8 on AVA v2.1", V21, R101_K400),
    _slowfast.varied("slowfast_r101", "SlowFast R101 8x8", R101_K400),
    _slowfast.varied("slowfast_r101_k700", "SlowFast R101 8x8, Kinetics-700", R101_K700),
    _slowfast.varied("slowfast_r101_nl", "SlowFast R101 8x8 with non-local blocks", R101_NL_K600),
    _slowfast.varied("slowonly_r50", "SlowOnly R50 4x16, linear", SLOWONLY),
)  # fmt: skip
