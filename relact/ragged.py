"""Operators over ragged rows: segments are rows that share a clip (`Actors.clip`); empty ones are normal."""

from jaxtyping import Float, Int
from torch import Tensor


def segment_sum(rows: Float[Tensor, "A ..."], segment: Int[Tensor, " A"], num_segments: int) -> Float[Tensor, "B ..."]:
    """Sum of the rows of each segment; 0 for an empty one."""
    return rows.new_zeros((num_segments, *rows.shape[1:])).index_add(0, segment, rows)


def segment_mean(rows: Float[Tensor, "A ..."], segment: Int[Tensor, " A"], num_segments: int) -> Float[Tensor, "B ..."]:
    """Mean of the rows of each segment; 0 for an empty one."""
    count = segment_sum(rows.new_ones(len(rows), *[1] * (rows.ndim - 1)), segment, num_segments).clamp(min=1)
    return segment_sum(rows, segment, num_segments) / count


def segment_max(rows: Float[Tensor, "A ..."], segment: Int[Tensor, " A"], num_segments: int) -> Float[Tensor, "B ..."]:
    """Largest value of each segment, elementwise; 0 for an empty one."""
    index = segment.view(-1, *[1] * (rows.ndim - 1)).expand_as(rows)
    start = rows.new_zeros((num_segments, *rows.shape[1:]))
    return start.scatter_reduce(0, index, rows, reduce="amax", include_self=False)


def segment_softmax(
    logits: Float[Tensor, "A ..."], segment: Int[Tensor, " A"], num_segments: int
) -> Float[Tensor, "A ..."]:
    """Softmax over the rows of each segment, elementwise: the rows of one segment add up to 1."""
    peak = segment_max(logits.detach(), segment, num_segments).index_select(0, segment)
    weight = (logits - peak).exp()
    return weight / segment_sum(weight, segment, num_segments).index_select(0, segment)
