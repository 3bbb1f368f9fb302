import pytest
import torch

from relact import create_model
from relact.errors import InputError
from relact.heads import config, linear
from tests.heads.scenes import INTERFACE, scene

SMALL: dict[str, object] = {}


def test_it_is_the_maximum_over_each_region():
    whole = scene((2, 0, 1))
    features = linear.Config().build(INTERFACE)(whole).features
    assert torch.equal(features, whole.rois.flatten(2).amax(dim=2))


def test_parameters_of_the_published_baseline():
    """Spec, "Baseline heads": 2304 x 80 + 80."""
    with torch.device("meta"):
        model = create_model("linear", backbone="slowfast_r50_8x8", num_classes=80)
    assert (
        sum(p.numel() for p in model.classifier.parameters()) + sum(p.numel() for p in model.head.parameters())
        == 184_400
    )


def test_an_unknown_head_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="did you mean 'linear'"):
        config("linera")
