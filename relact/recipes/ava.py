"""The papers' experiments on AVA v2.1 and v2.2: who sees which boxes, on what backbone, for how long."""

from typing import Any

from relact.recipes.layers import Experiment, Layer

K400 = "slowfast_r50_8x8_k400_pyslowfast"
TRAIN_CSV, VAL_CSV = "annotations/ava_train_predicted_boxes.csv", "annotations/ava_val_predicted_boxes.csv"
FAIR = "annotations/ava_dense_proposals_{}.FAIR.recall_93.9.pkl"


def settings(prefix: str, **values: Any) -> dict[str, Any]:
    """Settings of one group."""
    return {f"{prefix}.{name}": value for name, value in values.items()}


def backbone(source: str, preset: str, weights: str) -> Layer:
    """A backbone, and the weights that it starts from."""
    return Layer(source, {"backbone": preset, "train.init": weights})


def head(source: str, variant: str, **values: Any) -> Layer:
    """A head by name, and settings of it."""
    return Layer(source, {"head": variant, **settings("head", **values)})


def bank(source: str, mode: str, producer: str = "auto") -> Layer:
    """Where a head's memory comes from."""
    return Layer(source, settings("memory", mode=mode, producer=producer))


V21 = Layer("the table's data set", {"data.version": "2.1"})

# ACAR-Net (CVPR 2021)
ACAR_DATA = (
    Layer("Sec. 4: AVA v2.2, the 60 classes of the metric", settings("data", source="ava_official", labels="ava60")),
    Layer("Sec. 4.1 and the released annotation: annotated boxes, and those of LFB's detector from 0.9 on",
          settings("data.train_boxes", file=TRAIN_CSV, score=0.9)),
    Layer("Sec. 4.1: boxes that score more than 0.85", settings("data.val_boxes", file=VAL_CSV, score=0.85)),
)  # fmt: skip
ACAR_R50 = backbone("Sec. 4.1: SlowFast R50 8x8, Kinetics-400, of SlowFast's repository", "slowfast_r50_8x8_acar", K400)
ACAR_SCHEDULE = (
    Layer("Sec. 4.1: SGD, Nesterov 0.9, batch 32, rate 0.064, weight decay 1e-7", {
        **settings("optim", kind="sgd", lr=0.064, lr_batch=32, momentum=0.9, weight_decay=1e-7), "train.batch_size": 32,
    }),
    Layer("released code: 6 epochs of about 5.8k steps, a tenth at 5.6 and 5.8, warm-up from 0.008 in the first "
          "(Sec. 4.1: 35k steps, 33k, 34k, 6k)", {
        "train.epochs": 6, **settings("optim", schedule="step", milestones=(5.6, 5.8), warmup_epochs=1.0,
                                      warmup_start=0.125),
    }),
    Layer("released code: batch statistics frozen, boxes moved by up to 0.075, mirrored by half",
          {"train.freeze_bn": True, "transform.box_jitter": 0.075, "transform.flip": 0.5}),
    Layer("Sec. 4.1: shorter side 256", {"transform.short_side": 256}),
    Layer("Sec. 4.1: softmax on poses, sigmoid on the rest, cross-entropy of each", {"loss.kind": "ava"}),
)  # fmt: skip
R101_SCHEDULE = Layer(
    "released code of the R101: 5 epochs, a tenth at 4.6 and 4.8", {"train.epochs": 5, "optim.milestones": (4.6, 4.8)}
)
ACAR_ROI = Layer("released code: boxes read by map over frame, not aligned",
                 {"roi": {"aligned": False, "grid": "map"}})  # fmt: skip
_OFFLINE = bank("Sec. 3.3: a first network without the bank, frozen, fills it", "offline")

_acar = Experiment("acar_r50", "ACAR-Net, SlowFast R50 8x8", (
    *ACAR_DATA, ACAR_R50, head("Sec. 3.2, Table 1: HR2O of two layers", "acar:r50"), *ACAR_SCHEDULE,
))  # fmt: skip
_acar_bank = _acar.varied("acar_r50_acfb", "ACAR-Net with the Actor-Context Feature Bank, 21 s",
                          head("Sec. 4.2: 2w + 1 = 21 s", "acar:bank"), _OFFLINE)  # fmt: skip
R101_K700 = backbone(
    "Table 3: SlowFast R101 8x8, Kinetics-700; ACAR-Net's own weights, by hand (relact weights list)",
    "slowfast_r101_8x8_acar", "slowfast_r101_8x8_k700_acar",
)  # fmt: skip
R101_NL_K600 = backbone("Table 3 and SlowFast's repository: SlowFast R101 with non-local blocks, Kinetics-600",
                        "slowfast_r101_nl_8x8", "slowfast_r101_nl_8x8_k600_pyslowfast")  # fmt: skip
R101_K400 = backbone("Table 2: SlowFast R101 8x8, Kinetics-400; PyTorchVideo's weights", "slowfast_r101_8x8",
                     "slowfast_r101_8x8_k400_pytorchvideo")  # fmt: skip
ACAR_R101_HEAD = head(
    "released code of the R101: one layer that ends in 1x1; Sec. 4.2: bank of 21 s", "acar:r101", window=10
)

ACAR = (
    _acar,
    _acar_bank,
    _acar.varied("acar_baseline", "ACAR-Net's baseline: a linear classifier of boxes",
                 head("Sec. 4.2: a one-layer classifier; released code: no bias", "linear", dropout=0.0,
                      classifier_bias=False), ACAR_ROI),
    _acar.varied("acar_sto", "ACAR-Net's baseline with STO", head("Sec. 4.2, LFB's operator on the clip", "lfb:sto"),
                 ACAR_ROI),
    _acar.varied("acar_acrn", "ACAR-Net's baseline with ACRN", head("Sec. 4.2", "pairwise:acrn"), ACAR_ROI),
    _acar.varied("acar_aia", "ACAR-Net's baseline with AIA, without memory",
                 head("Sec. 4.2: AIA without memory", "pairwise:aia_no_memory"), ACAR_ROI),
    _acar.varied("acar_average", "HR2O as an average", head("Table 1c, Avg", "acar:average")),
    _acar.varied("acar_relation_network", "HR2O as a relation network", head("Table 1c, RN", "acar:relation_network")),
    _acar.varied("acar_actor_first", "actors related before they meet the context",
                 head("Table 1d", "acar:actor_first")),
    _acar.varied("acar_depth1", "HR2O of one layer", head("Table 1e", "acar:depth1")),
    _acar.varied("acar_depth3", "HR2O of three layers", head("Table 1e", "acar:depth3")),
    _acar.varied("acar_lfb", "LFB's bank of pooled features", head("Table 1f; 21 s as for ACFB", "lfb", radius=10,
                 future=10), ACAR_ROI, bank("LFB: the baseline, frozen, fills the bank", "offline", "linear")),
    _acar_bank.varied("acar_r50_acfb_ava21", "ACAR-Net with its bank on AVA v2.1", V21),
    _acar_bank.varied("acar_r101_acfb_ava21", "ACAR-Net R101 with its bank on AVA v2.1", V21, R101_K400,
                      ACAR_R101_HEAD, R101_SCHEDULE),
    _acar_bank.varied("acar_r101_nl_acfb", "ACAR-Net on R101 with non-local blocks", R101_NL_K600, ACAR_R101_HEAD,
                      R101_SCHEDULE),
    _acar_bank.varied("acar_r101_acfb", "ACAR-Net R101 with its bank", R101_K700, ACAR_R101_HEAD, R101_SCHEDULE),
)  # fmt: skip

# MRSN (ICASSP 2023)
_MRSN_BOXES = (
    Layer("Sec. 4.2: annotated boxes, and detected ones that overlap one by more than 0.75, with its actions",
          settings("data.train_boxes", labels="overlap", overlap=0.75, background=False, score=0.0)),
)  # fmt: skip
MRSN_SCHEDULE = (
    Layer("Sec. 4.2: SGD, batch 16, rate 0.04, momentum 0.9, weight decay 1e-7, 6 epochs, a tenth at 5.6 and 5.8", {
        **settings("optim", kind="sgd", lr=0.04, lr_batch=16, momentum=0.9, weight_decay=1e-7, schedule="step",
                   milestones=(5.6, 5.8)), "train.batch_size": 16, "train.epochs": 6,
    }),
    Layer("Sec. 4.2: linear warm-up; its length as ACAR-Net's, which it follows",
          settings("optim", warmup_epochs=1.0, warmup_start=0.125)),
)  # fmt: skip
SLOWONLY = backbone("Sec. 4.2 and the baseline's figure: SlowOnly R50 4x16, Kinetics-400", "slowonly_r50_4x16",
                    "slowonly_r50_4x16_k400_pyslowfast")  # fmt: skip
MRSN_R50 = backbone("Sec. 4.2: SlowFast R50 8x8, Kinetics-400", "slowfast_r50_8x8", K400)
_LRB = (head("Sec. 3.2.2, 4.2: 10 s before and after", "mrsn:mrsn_l"),
        bank("Sec. 3.2.2: MRSN with the short-term consensus, frozen, fills the bank", "offline"))  # fmt: skip
_mrsn = Experiment("mrsn_s_r50", "MRSN, short-term consensus, SlowFast R50", (
    *ACAR_DATA, *_MRSN_BOXES, MRSN_R50, head("Sec. 3, 4.2", "mrsn:mrsn_s"), *ACAR_SCHEDULE[2:], *MRSN_SCHEDULE,
))  # fmt: skip
_mrsn_slow = _mrsn.varied("mrsn_slowonly", "MRSN on SlowOnly R50", SLOWONLY)

MRSN = (
    _mrsn,
    _mrsn.varied("mrsn_l_r50", "MRSN with the Long-term Relation Bank, SlowFast R50", *_LRB),
    _mrsn.varied("mrsn_s_r101", "MRSN, SlowFast R101", R101_K700),
    _mrsn.varied("mrsn_l_r101", "MRSN with its bank, SlowFast R101", R101_K700, *_LRB),
    _mrsn.varied("mrsn_s_r50_ava21", "MRSN on AVA v2.1", V21),
    _mrsn.varied("mrsn_l_r50_ava21", "MRSN with its bank on AVA v2.1", V21, *_LRB),
    _mrsn_slow,
    _mrsn_slow.varied("mrsn_baseline", "MRSN's baseline: SlowOnly R50, linear",
                      head("Table 4: no component", "linear", dropout=0.0)),
    _mrsn_slow.varied("mrsn_acre", "MRSN's actor-context encoder alone", head("Table 4", "mrsn:acre")),
    _mrsn_slow.varied("mrsn_aare", "MRSN's actor-actor encoder alone", head("Table 4", "mrsn:aare")),
    _mrsn_slow.varied("mrsn_no_rse", "MRSN without the relation support encoder", head("Table 4", "mrsn:no_rse")),
    _mrsn_slow.varied("mrsn_slowonly_lrb", "MRSN with its bank on SlowOnly R50", *_LRB),
)  # fmt: skip
