import pytest
import torch
from torchvision.ops import roi_align

from relact.nn.padding import cells
from relact.nn.roi import ACAR, MMACTION2, PYSLOWFAST, PYTORCHVIDEO, RoIConfig, average_time, rois
from relact.types import Actors

FRAME = torch.tensor([[96, 120]])  # 6 x 7.5 cells of 16 pixels: 6 x 8


def crop(config: RoIConfig, *, frame: torch.Tensor = FRAME, box: tuple[float, ...] = (8.0, 8.0, 100.0, 90.0)):
    pooled = torch.arange(48.0).view(1, 1, 6, 8)
    actors = Actors.of([torch.tensor([box])])
    return pooled, rois(pooled, actors, frame=frame, valid=cells(frame, 16), stride=16, config=config)


@pytest.mark.parametrize(
    ("config", "aligned", "size"), [(PYSLOWFAST, True, 7), (PYTORCHVIDEO, False, 7), (MMACTION2, True, 8)]
)
def test_published_defaults_divide_by_the_stride(config: RoIConfig, aligned: bool, size: int):
    pooled, got = crop(config)
    expected = roi_align(pooled, [torch.tensor([[8.0, 8.0, 100.0, 90.0]])], size, 1 / 16, -1, aligned)
    assert torch.equal(got, expected)


def test_acar_multiplies_by_the_maps_size_instead():
    pooled, got = crop(ACAR)
    scaled = torch.tensor([[8.0 * 8 / 120, 8.0 / 16, 100.0 * 8 / 120, 90.0 / 16]])
    torch.testing.assert_close(got, roi_align(pooled, [scaled], 7, 1.0, -1, False))


def test_boxes_are_grown_and_then_cut_to_the_frame():
    pooled, got = crop(RoIConfig(expand=2.0), box=(40.0, 40.0, 80.0, 80.0))
    expected = roi_align(pooled, [torch.tensor([[20.0, 20.0, 100.0, 96.0]])], 7, 1 / 16, -1, True)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("config", [PYSLOWFAST, ACAR, RoIConfig(sampling=2)])
def test_padding_beside_a_clip_is_never_read(config: RoIConfig):
    small, large = torch.tensor([[96, 100]]), torch.tensor([[96, 100], [160, 200]])
    one = torch.randn(1, 3, 6, 7)
    padded = torch.full((2, 3, 10, 13), 1e6)
    padded[0, :, :6, :7] = one[0]
    boxes = torch.tensor([[0.0, 0.0, 100.0, 96.0], [60.0, 50.0, 140.0, 130.0]])
    alone = rois(one, Actors.of([boxes]), frame=small, valid=cells(small, 16), stride=16, config=config)
    both = Actors.of([boxes, torch.zeros(0, 4)])
    together = rois(padded, both, frame=large, valid=cells(large, 16), stride=16, config=config)
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("config", [PYSLOWFAST, ACAR, MMACTION2, RoIConfig(sampling=2)])
def test_gradients_are_torchvisions_own(config: RoIConfig):
    generator = torch.Generator().manual_seed(0)
    frame = torch.tensor([[96, 128]]).expand(3, -1)
    pooled = torch.randn(3, 5, 6, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    boxes = [torch.rand(n, 4, generator=generator) * 50 + torch.tensor([0.0, 0.0, 60.0, 40.0]) for n in (2, 0, 3)]
    boxes[0][0] = torch.tensor([0.0, 0.0, 128.0, 96.0])
    actors = Actors.of(boxes)
    got = rois(pooled, actors, frame=frame, valid=cells(frame, 16), stride=16, config=config)
    scaled = torch.cat([actors.clip[:, None], actors.boxes / 16], dim=1).double()
    sampling = config.sampling or -1
    expected = roi_align(pooled, scaled, config.size, 1.0, sampling, config.aligned)
    torch.testing.assert_close(got, expected)
    weights = torch.randn(got.shape, generator=generator, dtype=torch.float64)
    ours, theirs = (torch.autograd.grad((regions * weights).sum(), pooled)[0] for regions in (got, expected))
    assert ours.abs().max() > 0.1
    torch.testing.assert_close(ours, theirs)


def test_no_people_no_regions():
    actors = Actors.of([torch.zeros(0, 4)])
    got = rois(torch.zeros(1, 3, 6, 8), actors, frame=FRAME, valid=cells(FRAME, 16), stride=16, config=RoIConfig())
    assert got.shape == (0, 3, 7, 7)


def test_no_people_no_gradient():
    actors, pooled = Actors.of([torch.zeros(0, 4)]), torch.zeros(1, 3, 6, 8, requires_grad=True)
    rois(pooled, actors, frame=FRAME, valid=cells(FRAME, 16), stride=16, config=RoIConfig()).sum().backward()
    assert pooled.grad is not None
    assert not pooled.grad.any()


def test_time_is_averaged_per_pathway_and_slow_comes_first():
    maps = {"slow": torch.arange(2.0).view(1, 1, 2, 1, 1), "fast": torch.arange(8.0).view(1, 1, 8, 1, 1)}
    assert average_time(maps).flatten().tolist() == [0.5, 3.5]
