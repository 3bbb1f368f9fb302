"""Where the cells of a box lie."""

import torch

from relact.nn.dual_attention import cell_centres, polar_angle


def test_cell_centres_are_columns_then_rows():
    centres = cell_centres(torch.tensor([[0.0, 10.0, 4.0, 30.0]]), 2)
    assert centres[0, 0].tolist() == [[1, 15], [3, 15]]
    assert centres[0, 1].tolist() == [[1, 25], [3, 25]]


def test_angles_of_the_middle_row_and_column_do_not_hang_on_rounding():
    """Seen from its own centre, a box's middle row lies at 180 and at 0 degrees, whatever the precision."""
    generator = torch.Generator().manual_seed(0)
    corner, extent = torch.rand(500, 2, generator=generator) * 300, torch.rand(500, 2, generator=generator) * 100 + 7
    boxes = torch.cat([corner, corner + extent], dim=1)
    for dtype in (torch.float32, torch.float64):
        angle = polar_angle(cell_centres(boxes.to(dtype), 7), boxes.to(dtype)) / torch.pi
        assert torch.equal(angle[:, 3].float(), torch.tensor([1.0, 1, 1, 0, 0, 0, 0]).expand(500, -1))
        assert torch.equal(angle[:, :, 3].float(), torch.tensor([-0.5, -0.5, -0.5, 0, 0.5, 0.5, 0.5]).expand(500, -1))
