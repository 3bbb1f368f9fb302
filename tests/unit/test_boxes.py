import numpy as np

from relact import boxes as b

UNIT = np.array([[0.0, 0.0, 1.0, 1.0]])


def test_iou_by_hand():
    a, c = np.array([0.0, 0, 4, 4]), np.array([2.0, 0, 6, 4])
    assert b.iou(a, c) == 8 / 24
    assert b.pairwise_iou(np.stack([a, c]), np.stack([a, c])).tolist() == [[1, 1 / 3], [1 / 3, 1]]


def test_empty_boxes_overlap_nothing():
    nothing = np.array([[0.5, 0.5, 0.5, 0.5]])
    assert b.area(nothing).tolist() == [0]
    assert b.iou(nothing, nothing).tolist() == [0]
    assert b.pairwise_iou(np.zeros((0, 4)), UNIT).shape == (0, 1)


def test_clip_scale_expand_flip():
    assert b.clip(np.array([[-1.0, 2, 11, 12]]), 10, 8).tolist() == [[0, 2, 10, 8]]
    assert b.scale(UNIT / 2, 10, 20).tolist() == [[0, 0, 5, 10]]
    assert b.expand(np.array([[1.0, 1, 3, 5]]), 1.5).tolist() == [[0.5, 0, 3.5, 6]]
    assert b.flip(np.array([[1.0, 0, 3, 2]]), 10).tolist() == [[7, 0, 9, 2]]
