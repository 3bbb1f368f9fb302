"""Person detectors: conversion of pictures and outputs, weights that are not there, functions of the user's."""

import hashlib
import io
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

from relact.errors import InputError
from relact.video import people
from relact.video.people import CheckedDetector, TorchvisionDetector, load_detector, own_detector, preset

CPU = torch.device("cpu")


class Recorder(torch.nn.Module):
    """Stands for a torchvision detector: keeps its input, answers with fixed boxes of two classes."""

    def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        self.images = images
        boxes = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [0.0, 0.0, 9.0, 9.0]])
        return [{"boxes": boxes, "labels": torch.tensor([1, 3, 1]), "scores": torch.tensor([0.9, 0.8, 0.1])}] * len(
            images
        )


def test_pictures_become_unit_images_and_only_persons_come_back() -> None:
    model = Recorder()
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[1, 2] = (255, 0, 51)
    [(boxes, scores)] = TorchvisionDetector(model, CPU)([picture])
    assert model.images[0].shape == (3, 4, 6)
    torch.testing.assert_close(model.images[0][:, 1, 2], torch.tensor([1.0, 0.0, 0.2]))
    np.testing.assert_array_equal(boxes, [[1, 2, 3, 4], [0, 0, 9, 9]])
    np.testing.assert_allclose(scores, [0.9, 0.1])
    assert boxes.dtype == scores.dtype == np.float32


def test_no_pictures_is_no_answer() -> None:
    assert TorchvisionDetector(Recorder(), CPU)([]) == []


def test_a_real_detector_with_random_weights_runs_on_pictures_of_two_sizes() -> None:
    model = fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, rpn_pre_nms_top_n_test=50, rpn_post_nms_top_n_test=20, box_score_thresh=0.0
    )
    answers = TorchvisionDetector(model, CPU)([np.zeros((90, 120, 3), np.uint8), np.full((64, 64, 3), 200, np.uint8)])
    assert len(answers) == 2
    for boxes, scores in answers:
        assert boxes.shape == (len(scores), 4)


def test_presets_differ_by_device() -> None:
    assert preset(CPU) == "fasterrcnn_mobilenet_v3_large_fpn"
    assert preset(torch.device("cuda")) == "fasterrcnn_resnet50_fpn_v2"
    assert {preset(CPU), preset(torch.device("cuda"))} <= set(people.PUBLISHED)


def test_offline_one_line_says_which_file_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(url: str, timeout: float) -> None:
        raise URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(InputError) as caught:
        load_detector("auto", CPU)
    text = str(caught.value)
    assert "\n" not in text
    for part in (
        "74 MB",
        "mobilenet_v3_large_fpn-fb6a3cc7.pth",
        "put fasterrcnn_mobilenet_v3_large_fpn",
        str(tmp_path / "checkpoints"),
        "--boxes",
    ):
        assert part in text
    assert list(tmp_path.rglob("*.pth")) == []


def published(content: bytes, digest: str) -> SimpleNamespace:
    return SimpleNamespace(url=f"https://example.org/net-{digest}.pth", meta={"_file_size": 1.0})


def test_weights_are_fetched_once_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"weights"
    digest = hashlib.sha256(content).hexdigest()[:8]
    calls = []

    def answer(url: str, timeout: float) -> io.BytesIO:
        calls.append(url)
        response = io.BytesIO(content)
        response.headers = {}  # type: ignore[attr-defined]
        return response

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    path = people.ensure_weights(published(content, digest))
    assert path.read_bytes() == content
    assert people.ensure_weights(published(content, digest)) == path
    assert len(calls) == 1
    path.write_bytes(b"weigh")
    with pytest.raises(InputError, match="damaged"):
        people.ensure_weights(published(content, digest))
    with pytest.raises(InputError, match="begins with"):
        people.ensure_weights(published(content, "00000000"))
    assert path.name in {file.name for file in path.parent.iterdir()}


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no person detector 'yolo'.*fasterrcnn_resnet50_fpn_v2.*file.py:function"):
        load_detector("yolo", CPU)


def test_a_function_in_a_file_serves(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def detect(pictures):\n    return [([[0, 0, p.shape[1], p.shape[0]]], [0.5]) for p in pictures]\n")
    [(boxes, scores)] = load_detector(f"{file}:detect", CPU)([np.zeros((4, 6, 3), np.uint8)])
    np.testing.assert_array_equal(boxes, [[0, 0, 6, 4]])
    assert scores.dtype == np.float32
    with pytest.raises(InputError, match=r"no function 'find' in .*mine.py; it has detect"):
        own_detector(f"{file}:find")
    with pytest.raises(InputError, match="no file"):
        own_detector(f"{tmp_path / 'other.py'}:detect")
    with pytest.raises(InputError, match="No module named"):
        own_detector("no_such_package_here:detect")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([], "expected a list of 1"),
        (None, "expected a list of 1"),
        ([3], "expected .boxes, scores."),
        ([([[0, 0, 1]], [1.0])], r"boxes \[1, 3\]"),
        ([([[0, 0, 1, 1]], [1.0, 2.0])], r"scores \[2\]"),
        ([([[0, 0, float("nan"), 1]], [1.0])], "finite"),
        ([([[2, 0, 1, 1]], [1.0])], "x2 < x1"),
    ],
)
def test_a_foreign_answer_of_a_wrong_shape_is_named(answer: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        CheckedDetector(lambda pictures: answer, "mine:detect")([np.zeros((4, 6, 3), np.uint8)])


def test_a_foreign_detector_may_find_nobody() -> None:
    [(boxes, scores)] = CheckedDetector(lambda pictures: [([], [])], "mine:detect")([np.zeros((4, 6, 3), np.uint8)])
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)
