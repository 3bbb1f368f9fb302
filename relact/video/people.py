"""Person detectors: torchvision's, or any function of the user's with the same signature."""

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torchvision.models import WeightsEnum
from torchvision.models.detection import (
    FasterRCNN_MobileNet_V3_Large_320_FPN_Weights,
    FasterRCNN_MobileNet_V3_Large_FPN_Weights,
    FasterRCNN_ResNet50_FPN_V2_Weights,
    fasterrcnn_mobilenet_v3_large_320_fpn,
    fasterrcnn_mobilenet_v3_large_fpn,
    fasterrcnn_resnet50_fpn_v2,
)

from relact.data.sampling import Picture
from relact.errors import InputError
from relact.interop.fetch import fetch_url
from relact.video.small_detector import load_small_detector
from relact.weights import DETECTOR

Floats = npt.NDArray[np.float32]
Found = tuple[Floats, Floats]

PERSON = 1
"""COCO's class in torchvision's detectors."""


class Detector(Protocol):
    """Finds the people in pictures, uint8 RGB `[H, W, 3]`, of any sizes.

    For each picture: boxes `[N, 4]` float32 as x1, y1, x2, y2 in its pixels, and scores `[N]` float32; N may
    be 0.
    """

    def __call__(self, pictures: Sequence[Picture]) -> list[Found]:
        """One pair of boxes and scores a picture, in order."""


@dataclass(frozen=True, slots=True)
class _Published:
    build: Callable[..., nn.Module]
    weights: WeightsEnum


PUBLISHED = {
    "fasterrcnn_resnet50_fpn_v2": _Published(fasterrcnn_resnet50_fpn_v2, FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1),
    "fasterrcnn_mobilenet_v3_large_fpn": _Published(
        fasterrcnn_mobilenet_v3_large_fpn, FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1
    ),
    "fasterrcnn_mobilenet_v3_large_320_fpn": _Published(
        fasterrcnn_mobilenet_v3_large_320_fpn, FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1
    ),
}
"""torchvision's detectors by name; box mAP on COCO 46.7, 32.8 and 22.8."""


def preset(device: torch.device) -> str:
    """The detector of `auto`: the best one on a GPU; on a CPU one that costs an eighth, since it dominates
    there.
    """
    return "fasterrcnn_resnet50_fpn_v2" if device.type == "cuda" else "fasterrcnn_mobilenet_v3_large_fpn"


def load_detector(name: str, device: torch.device, score_threshold: float = 0.05) -> Detector:
    """`auto`, a name of `PUBLISHED`, `stage` (which ships), a `.safetensors` of the small detector, `file.py:find`."""
    if ":" in name:
        return own_detector(name)
    if name == "stage" or name.endswith(".safetensors"):
        name = str(DETECTOR) if name == "stage" else name
        return TorchvisionDetector(load_small_detector(name, score_threshold), device)
    return torchvision_detector(name, device, score_threshold)


def torchvision_detector(
    name: str = "auto", device: torch.device | None = None, score_threshold: float = 0.05
) -> "TorchvisionDetector":
    """A published detector; its weights are fetched once into torch's cache.

    Raises InputError for an unknown name, and, where the weights are neither there nor to be had, with one
    line that says which file to put where.
    """
    device = device or torch.device("cpu")
    name = preset(device) if name == "auto" else name
    if name not in PUBLISHED:
        known = ", ".join(["auto", *PUBLISHED])
        raise InputError(f"no person detector {name!r}; expected {known}, a .safetensors file, or file.py:function")
    published = PUBLISHED[name]
    ensure_weights(published.weights)
    model = published.build(weights=published.weights, box_score_thresh=score_threshold)
    return TorchvisionDetector(model, device)


class TorchvisionDetector:
    """Any detector of torchvision's that was trained on COCO's classes, for persons only."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self._model = model.to(device).eval()
        self._device = device

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[Picture]) -> list[Found]:
        """See `Detector`."""
        images = [self._image(picture) for picture in pictures]
        return [_persons(output) for output in self._model(images)] if images else []

    def _image(self, picture: Picture) -> torch.Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).to(self._device)
        return pixels.permute(2, 0, 1).float() / 255


def _persons(output: dict[str, torch.Tensor]) -> Found:
    chosen = output["labels"] == PERSON
    return output["boxes"][chosen].float().cpu().numpy(), output["scores"][chosen].float().cpu().numpy()


def ensure_weights(weights: WeightsEnum) -> Path:
    """The file of published weights in torch's own cache, where torchvision looks for it, fetched if need be.

    Raises InputError for no network and for a damaged file: which file to put where, or what to do instead.
    """
    folder, file = Path(torch.hub.get_dir()) / "checkpoints", weights.url.rsplit("/", 1)[1]
    try:
        return fetch_url(weights.url, file, folder=folder)
    except InputError as error:
        megabytes = round(weights.meta["_file_size"])
        raise InputError(
            f"No weights for person detector ({megabytes} MB): {error}; or pass --boxes boxes.csv"
        ) from error


def own_detector(spec: str) -> Detector:
    """A user's function, from `file.py:function` or `package.module:function`, what it returns checked.

    Raises InputError for a file or function that is not there, and later for boxes of a wrong shape.
    """
    where, _, function = spec.rpartition(":")
    module = _module_of(where, spec)
    found = vars(module).get(function)
    if not callable(found):
        names = ", ".join(name for name, value in vars(module).items() if callable(value) and name[0] != "_")
        raise InputError(f"--detector {spec}: no function {function!r} in {where}; it has {names or 'none'}")
    return CheckedDetector(found, spec)


def _module_of(where: str, spec: str) -> ModuleType:
    path = Path(where)
    if path.suffix != ".py":
        try:
            return importlib.import_module(where)
        except ModuleNotFoundError as error:
            raise InputError(f"--detector {spec}: {error}; expected file.py:function or module:function") from error
    if not path.is_file():
        raise InputError(f"--detector {spec}: no file {path}")
    plan = importlib.util.spec_from_file_location(path.stem, path)
    assert plan is not None
    assert plan.loader is not None
    module = importlib.util.module_from_spec(plan)
    plan.loader.exec_module(module)
    return module


class CheckedDetector:
    """A foreign detector whose answers are checked: as many as pictures, boxes `[N, 4]`, scores `[N]`,
    finite.
    """

    def __init__(self, detector: Callable[[Sequence[Picture]], object], name: str) -> None:
        self._detector = detector
        self._name = name

    def __call__(self, pictures: Sequence[Picture]) -> list[Found]:
        """See `Detector`."""
        answers = self._detector(pictures)
        if not isinstance(answers, Sequence) or len(answers) != len(pictures):
            raise InputError(
                f"--detector {self._name}: expected a list of {len(pictures)} (boxes, scores), one a picture; "
                f"got {type(answers).__name__}"
            )
        return [self._checked(answer) for answer in answers]

    def _checked(self, answer: object) -> Found:
        try:
            boxes, scores = (np.asarray(part, np.float32) for part in answer)  # type: ignore[attr-defined]
        except (TypeError, ValueError) as error:
            raise InputError(f"--detector {self._name}: expected (boxes, scores) of a picture ({error})") from error
        boxes = boxes.reshape(-1, 4) if boxes.size == 0 else boxes
        if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != (len(boxes),):
            raise InputError(
                f"--detector {self._name}: boxes {list(boxes.shape)} and scores {list(scores.shape)}; "
                "expected [N, 4] and [N]"
            )
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise InputError(f"--detector {self._name}: a box or score is not a finite number")
        if (boxes[:, 2:] < boxes[:, :2]).any():
            raise InputError(f"--detector {self._name}: a box has x2 < x1 or y2 < y1; expected x1, y1, x2, y2")
        return boxes, scores
