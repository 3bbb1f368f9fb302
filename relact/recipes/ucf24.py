"""UCF101-24: a small trial, and the experiments of the papers."""

from relact import backbones
from relact.data.transforms import TransformConfig
from relact.data.ucf24 import UCF24Data
from relact.heads import linear
from relact.losses import LossConfig
from relact.recipe import Recipe
from relact.recipes.ava import K400, backbone, head, settings
from relact.recipes.layers import Experiment, Layer
from relact.train.loop import TrainConfig
from relact.train.optim import OptimConfig


def ucf24_small() -> Recipe:
    """A narrow SlowFast on a folder of UCF101-24 clips, trained and judged on the same ones: does the chain learn?"""
    return Recipe(
        name="ucf24_small",
        data=UCF24Data(root="ucf24", frame_step=5, split="all"),
        backbone=backbones.config("slowfast_debug"),
        head=linear.Config(dropout=0.0),
        loss=LossConfig(kind="cross_entropy"),
        transform=TransformConfig(short_side=112, flip=0.5),
        optim=OptimConfig(kind="adamw", lr=2e-3, weight_decay=1e-4, warmup_epochs=1, clip_norm=5.0),
        train=TrainConfig(epochs=6, batch_size=8, workers=1),
    )


BASELINE = Experiment("ucf24_slowfast_r50", "SlowFast R50 8x4, linear, on UCF101-24", (
    Layer("ACAR-Net Sec. 5: split 1; every tenth frame, with which its 5.4k steps of 32 are about five epochs of the "
          "34k keyframes", settings("data", source="ucf24", frame_step=10)),
    backbone("ACAR-Net Sec. 5: SlowFast R50 8x4 on 32 consecutive frames, Kinetics-400", "slowfast_r50_8x4", K400),
    Layer("ACAR-Net Sec. 5: rate 0.002, 5.4k steps, a tenth at 4.9k and 5.1k, warm-up in the first quarter", {
        **settings("optim", kind="sgd", lr=0.002, lr_batch=32, schedule="step", milestones=(4.54, 4.72),
                   warmup_epochs=1.25, warmup_start=0.125),
        "train.epochs": 5,
    }),
    Layer("ACAR-Net Sec. 5: the rest as on AVA", {
        **settings("optim", momentum=0.9, weight_decay=1e-7),
        **settings("train", batch_size=32, freeze_bn=True), "transform.short_side": 256, "transform.box_jitter": 0.075,
    }),
    Layer("one action a person; the paper does not say", {"loss.kind": "cross_entropy"}),
    head("ACAR-Net Sec. 4.2: a one-layer classifier", "linear", dropout=0.0, classifier_bias=False),
))  # fmt: skip
"""in tests the papers take YOWO's boxes (data.val_boxes); without them, annotated ones"""

UCF24 = (
    BASELINE,
    BASELINE.varied("ucf24_acar_r50", "ACAR-Net without its bank on UCF101-24",
                    head("ACAR-Net Sec. 5, Table 5: without ACFB", "acar:r50")),
    BASELINE.varied("ucf24_aia_r50", "AIA without memory on UCF101-24",
                    head("as ACAR-Net's Table 1a has it; AIA's own schedule is not given here",
                         "pairwise:aia_no_memory")),
    BASELINE.varied("ucf24_mrsn_r50", "MRSN, short-term consensus, on UCF101-24",
                    head("MRSN Sec. 4.3: the videos are short, so no bank", "mrsn:mrsn_s"),
                    Layer("MRSN Sec. 4.2: batch 16, 5 epochs, a tenth at 4.8 and 4.9; the rate is ACAR-Net's",
                          {"train.batch_size": 16, "train.epochs": 5, "optim.milestones": (4.8, 4.9)})),
    BASELINE.varied("ucf24_amcrnet_r50", "AMCRNet without a bank on UCF101-24",
                    head("AMCRNet Sec. 4.3; no bank is mentioned; released code: dropout 0.45", "amcrnet:no_bank",
                         dropout=0.45),
                    Layer("AMCRNet Sec. 4.3: 10 epochs, rate 0.006, a tenth at 7 and 9, warm-up of 3; batch of AVA", {
                        **settings("train", batch_size=8, epochs=10),
                        **settings("optim", lr=0.006, lr_batch=8, milestones=(7.0, 9.0), warmup_epochs=3.0,
                                   warmup_start=0.1),
                    })),
)  # fmt: skip
