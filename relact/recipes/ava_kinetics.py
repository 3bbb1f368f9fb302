"""ACAR-Net on AVA-Kinetics."""

from relact.recipes.ava import (
    ACAR_R101_HEAD,
    ACAR_ROI,
    ACAR_SCHEDULE,
    R101_K700,
    R101_SCHEDULE,
    TRAIN_CSV,
    VAL_CSV,
    bank,
    head,
    settings,
)
from relact.recipes.layers import Experiment, Layer

_DATA = Layer(
    "Sec. 4: AVA-Kinetics, the 60 classes of the metric, both parts; boxes as on AVA (a detector's on Kinetics: a "
    "setting, data.val_boxes.file)",
    {
        "data.source": "ava_kinetics",
        **settings("data.ava.train_boxes", file=TRAIN_CSV, score=0.9),
        **settings("data.ava.val_boxes", file=VAL_CSV, score=0.85),
    },
)
_acar = Experiment("ava_kinetics_acar_r101", "ACAR-Net R101 on AVA-Kinetics", (
    _DATA, R101_K700, ACAR_R101_HEAD, *ACAR_SCHEDULE, R101_SCHEDULE,
    head("released model of AVA-Kinetics: without the bank", "acar:r101"),
    bank("Kinetics' videos have one annotated moment each", "none"),
))  # fmt: skip
AVA_KINETICS = (
    _acar,
    _acar.varied("ava_kinetics_slowfast_r101", "SlowFast R101 on AVA-Kinetics",
                 head("Table 4: the baseline; released code: no bias", "linear", dropout=0.0, classifier_bias=False),
                 ACAR_ROI),
    _acar.varied("ava_kinetics_acar_r101_views", "ACAR-Net R101 on AVA-Kinetics, 3 scales and mirrored",
                 Layer("Table 4: 3 scales and flips; which three is not said, these are ours",
                       settings("transform", test_short_sides=(224, 256, 320), test_flip=True))),
)  # fmt: skip
