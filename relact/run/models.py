"""Models by name and from run folders; predictions judged."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from relact import backbones, heads
from relact.backbones.pretrained import load_published
from relact.errors import InputError
from relact.head import HeadConfig
from relact.heads import acar, linear
from relact.interop.catalog import published
from relact.labels import Label, LabelMap
from relact.losses import LossConfig
from relact.metrics.ava import evaluate as evaluate_ava
from relact.metrics.ava_report import AvaReport
from relact.model import ActionDetector
from relact.nn.roi import MMACTION2, PYSLOWFAST, PYTORCHVIDEO, RoIConfig
from relact.recipe import build_model, read
from relact.train.checkpoint import WEIGHTS, load_weights
from relact.weights import fetch, find, run_folder


def create_model(
    head: str = "linear",
    *,
    backbone: str = "slowfast_r50_8x8",
    num_classes: int | None = None,
    labels: LabelMap | str | None = None,
    roi: RoIConfig | None = None,
    loss: LossConfig | None = None,
    settings: Mapping[str, Any] | None = None,
) -> ActionDetector:
    """A model with random weights: `create_model("linear", backbone="slowfast_r50_8x8", num_classes=60)`.

    `head` may name a variant (`acar:r101`, see `relact heads`); `settings` are fields of its Config. Without `labels`,
    60 and 80 classes are AVA's, 24 UCF101-24's. `loss` decides which actions share a softmax: AVA's poses by default,
    none with `LossConfig(kind="bce")` (PySlowFast).
    """
    known = LabelMap.load(labels) if labels is not None else labels_for(60 if num_classes is None else num_classes)
    if num_classes is not None and num_classes != len(known):
        raise InputError(f"num_classes={num_classes}, but the label map has {len(known)} actions; give one of the two")
    return ActionDetector.of(
        backbones.config(backbone),
        _head(head, settings or {}),
        roi=roi,
        labels=known,
        exclusive=(loss or LossConfig()).exclusive(known),
    )


def _head(name: str, settings: Mapping[str, Any]) -> HeadConfig:
    """A head's settings: of its name (`acar`, `acar:r101`), with some of them changed."""
    preset = heads.preset(name)
    return type(preset)(**{**{f.name: getattr(preset, f.name) for f in dataclasses.fields(preset)}, **settings})


def labels_for(num_classes: int) -> LabelMap:
    """The actions that this many classes stand for: AVA's 60 or 80, UCF101-24's, else numbered ones."""
    shipped = {60: "ava60", 80: "ava", 24: "ucf24"}
    if num_classes in shipped:
        return LabelMap.load(shipped[num_classes])
    if num_classes < 1:
        raise InputError(f"num_classes={num_classes}: expected at least 1")
    return LabelMap(Label(id=k, name=f"action {k}") for k in range(1, num_classes + 1))


ROI_OF_LAYOUT = {
    "pyslowfast": PYSLOWFAST,
    "pyslowfast_caffe2": PYTORCHVIDEO,  # PySlowFast aligns its RoIs only in models that it trained itself
    "pytorchvideo": PYTORCHVIDEO,
    "mmaction2": MMACTION2,
}
"""How the published detectors with a linear head read boxes off their maps, by the layout of their files."""


def load_model(weights: str | Path, *, device: torch.device | str = "cpu") -> ActionDetector:
    """A trained model, ready to detect.

    `weights` is a run folder (`model.safetensors`, `recipe.json`, `labels.csv`), the name of a model that ships, such
    as `stage_acar`, or that of a published detector (`relact weights list`), which is fetched if need be.
    """
    folder = run_folder(weights)
    if folder is None:
        return _published_model(str(weights)).to(device).eval()
    recipe = read(folder / "recipe.json")
    model = build_model(recipe, LabelMap.load(folder / "labels.csv"))
    model.remembers = recipe.memory.mode != "none"
    load_weights(folder, model)
    model.foreign_rows = (folder / PRODUCER).is_dir()
    return model.to(device).eval()


PRODUCER = "producer"
"""The folder, within that of a run, of the frozen model that wrote the bank which the run was trained with."""


def load_producer(weights: str | Path, *, device: torch.device | str = "cpu") -> ActionDetector | None:
    """The model that writes the rows that the model of a run folder reads; None where that is the model itself.

    It is a run folder `producer/` within the run's. Raises InputError where it looks at other clips than the model.
    """
    folder = Path(weights) / PRODUCER
    if not folder.is_dir():
        return None
    producer, model = load_model(folder, device=device), read(Path(weights) / "recipe.json")
    clip = model.backbone.num_frames, model.backbone.frame_stride, model.transform.short_side, model.data.rate
    its = producer.clip
    if (its.num_frames, its.frame_stride, its.short_side, its.rate) != clip:
        raise InputError(
            f"{folder}: looks at clips of {its.num_frames} frames, {its.frame_stride} apart, short side "
            f"{its.short_side}, at a rate of {its.rate}; the model that reads its rows at {clip}; expected the same"
        )
    return producer


def weights_file(weights: str | Path) -> Path:
    """The file that holds the tensors of a run folder or of a published detector."""
    folder = run_folder(weights)
    return fetch(str(weights)) if folder is None else folder / WEIGHTS


def _published_model(name: str) -> ActionDetector:
    """A published detector of AVA's actions, with the conventions of its code base."""
    known = {entry.name for entry in published()}
    if name not in known:
        raise InputError(
            f"{name}: no such run folder (`relact train --out` writes one), nor published weights of that name"
        )
    entry = find(name)
    if entry.kind != "detector" or entry.preset is None:
        raise InputError(
            f"{name}: is good for {entry.good_for}, not a detector of actions; train with train.init={name}"
        )
    head: HeadConfig
    if entry.layout == "acar":
        head = acar.VARIANTS["r101"] if "r101" in entry.preset else acar.Config()
        roi, labels, loss = head.roi, LabelMap.load("ava60"), LossConfig()
    else:
        head, roi, labels = linear.Config(), ROI_OF_LAYOUT[entry.layout], LabelMap.load("ava")
        loss = LossConfig(kind="bce")  # sigmoids throughout
    model = ActionDetector.of(
        backbones.config(entry.preset), head, roi=roi, labels=labels, exclusive=loss.exclusive(labels)
    )
    report = load_published(model, fetch(name), entry.layout)
    if report.missing or report.mismatched:
        raise InputError(f"{name}: the file is not the detector that it should be: {report}")
    return model


def evaluate(
    protocol: str = "ava",
    *,
    predictions: str | Path,
    groundtruth: str | Path,
    labels: LabelMap | str | Path = "ava60",
    exclude: str | Path | None = None,
    cap: int = 50,
) -> AvaReport:
    """Judge a predictions file by a protocol (`ava`: frame-mAP at IoU 0.5, equal to the official evaluator)."""
    if protocol != "ava":
        raise InputError(f"no protocol named {protocol!r}: there is ava")
    return evaluate_ava(predictions=predictions, groundtruth=groundtruth, labels=labels, exclude=exclude, cap=cap)
