"""On a GPU the model says what it says on a CPU. Run by `make test-all` where there is a GPU."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

import relact
from relact import Actors, create_model, heads
from relact.run.detection import prepare
from relact.video.pipeline import DetectConfig
from tests.heads.scenes import past

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]


def test_a_padded_batch_gives_the_same_scores_on_both():
    model = create_model("linear", backbone="slowfast_debug", num_classes=60).eval()
    frames = torch.randint(0, 256, (2, 3, model.clip.num_frames, 96, 128), dtype=torch.uint8)
    boxes = [torch.tensor([[4.0, 4.0, 60.0, 70.0]]), torch.tensor([[9.0, 0.0, 99.0, 64.0], [0.0, 0.0, 40.0, 64.0]])]
    actors, valid = Actors.of(boxes), torch.tensor([[96, 128], [64, 100]])
    on_cpu = model(frames, actors, valid=valid).scores
    on_gpu = copy.deepcopy(model).to("cuda")
    got = on_gpu(frames.to("cuda"), actors.to("cuda"), valid=valid).scores.cpu()
    torch.testing.assert_close(got, on_cpu, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("head", heads.available())
def test_every_head_says_and_learns_the_same_on_both(head: str):
    """With memory and things, clips of two sizes, one without people; fp32 forward and backward."""
    torch.manual_seed(0)
    model = create_model(head, backbone="slowfast_debug", num_classes=60).eval()
    frames = torch.randint(0, 256, (3, 3, model.clip.num_frames, 96, 128), dtype=torch.uint8)
    boxes = [torch.rand(count, 2) * 40 for count in (2, 3, 0)]
    actors = Actors.of(
        [torch.cat([corner, corner + 40], dim=1) for corner in boxes], track=[torch.arange(len(b)) for b in boxes]
    )
    valid = torch.tensor([[96, 128], [80, 100], [96, 128]])
    memory = None if model.head.memory is None else past(model.head.memory, 3, dtype=torch.float32)
    results = []
    for device in ("cpu", "cuda"):
        twin = copy.deepcopy(model).to(device)
        people = actors.to(device)
        output = twin(
            frames.to(device), people, valid=valid, memory=None if memory is None else memory.to(device), objects=people
        )
        output.logits.square().sum().backward()
        gradient = [p.grad.cpu() for p in twin.head.parameters() if p.grad is not None]
        results.append((output.scores.detach().cpu(), gradient))
    torch.testing.assert_close(results[1][0], results[0][0], atol=5e-3, rtol=5e-3)
    assert [g.shape for g in results[1][1]] == [g.shape for g in results[0][1]]
    assert all(torch.isfinite(g).all() for g in results[1][1])


def test_detect_in_bf16_on_a_gpu_is_close_to_fp32_on_a_cpu(play: Path, weights: Path):
    video, boxes = play / "videos" / "stage_3_0000.mp4", play / "people.csv"
    single = list(
        relact.detect(video, model=relact.load_model(weights), boxes=boxes, config=DetectConfig(precision="fp32"))
    )
    model = prepare(relact.load_model(weights, device="cuda"), "bf16")
    half = list(relact.detect(video, model=model, boxes=boxes, config=DetectConfig(precision="bf16")))
    for a, b in zip(single, half, strict=True):
        np.testing.assert_allclose(a.scores, b.scores, atol=0.05)
