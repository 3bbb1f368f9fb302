"""Where the cells of a box lie among the people of its clip: angles, cover, overlap (IGMN, Sec. 3.3).

Letters: A actors, N actors of the fullest clip, S cells of a RoI per side.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from relact.types import Actors, Scene


def around(rows: Shaped[Tensor, "A ..."], actors: Actors) -> Shaped[Tensor, "A N ..."]:
    """For each actor the rows of everyone in its clip, itself included; zeros behind the last."""
    return actors.pad(rows)[0].index_select(0, actors.clip)


def others(actors: Actors) -> Bool[Tensor, "A N"]:
    """Which of `around`'s rows are people, and not the actor itself."""
    number = torch.arange(len(actors), device=actors.clip.device)
    padded, real = actors.pad(number)
    return real.index_select(0, actors.clip) & (padded.index_select(0, actors.clip) != number[:, None])


def cell_centres(boxes: Float[Tensor, "A 4"], size: int) -> Float[Tensor, "A S S 2"]:
    """(x, y) of the centre of every cell of a box, rows first; in the boxes' units."""
    step = (torch.arange(size, dtype=boxes.dtype, device=boxes.device) + 0.5) / size
    x, y = (boxes[:, :2, None] + step * (boxes[:, 2:] - boxes[:, :2])[:, :, None]).unbind(1)
    return torch.stack([x[:, None, :].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], dim=-1)


def polar_angle(points: Float[Tensor, "*#B S S 2"], boxes: Float[Tensor, "*#B 4"]) -> Float[Tensor, "*_B S S"]:
    """Of points as seen from the centres of boxes, in (-pi, pi]; 0 in the very centre. In pixels."""
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    offset = points - centre[..., None, None, :]
    # the cells of the middle row lie on the line where the angle jumps from pi to -pi: rounding must not choose
    x, y = offset.masked_fill(offset.abs() < 1e-3, 0.0).unbind(-1)
    return torch.atan2(y, x)


def inside(points: Float[Tensor, "*#B S S 2"], boxes: Float[Tensor, "*#B 4"]) -> Bool[Tensor, "*_B S S"]:
    """Whether points lie in boxes, edges included."""
    low, high = boxes[..., None, None, :2], boxes[..., None, None, 2:]
    return ((points >= low) & (points <= high)).all(dim=-1)


def overlap(a: Float[Tensor, "*#B 4"], b: Float[Tensor, "*#B 4"]) -> Float[Tensor, "*_B"]:
    """Intersection over union, box by box; 0 for two empty boxes."""
    size = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    common = size.prod(dim=-1)
    union = _area(a) + _area(b) - common
    return common / union.clamp(min=torch.finfo(union.dtype).tiny)


def _area(boxes: Float[Tensor, "*B 4"]) -> Float[Tensor, "*B"]:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The cells of every actor's RoI, and the boxes (not grown) of the actor and of everyone in its clip."""

    points: Float[Tensor, "A S S 2"]
    boxes: Float[Tensor, "A 4"]
    around: Float[Tensor, "A N 4"]
    covered: Bool[Tensor, "A N S S"]
    """by whom, the actor itself left out"""

    @classmethod
    def of(cls, scene: Scene, dtype: torch.dtype) -> "Surroundings":
        """Of a scene, computed in `dtype`."""
        boxes = scene.actors.boxes.to(dtype)
        points = cell_centres(scene.roi_boxes.to(dtype), scene.rois.shape[-1])
        near = around(boxes, scene.actors)
        covered = inside(points[:, None], near) & others(scene.actors)[:, :, None, None]
        return cls(points=points, boxes=boxes, around=near, covered=covered)
