import dataclasses

import pytest
import torch
from pydantic import ValidationError

from relact import create_model
from relact.errors import InputError
from relact.heads import config, linear, preset
from relact.types import Actors
from tests.heads.scenes import INTERFACE, built, scene

SMALL: dict[str, object] = {}


def test_it_is_the_maximum_over_each_region():
    whole = scene((2, 0, 1))
    features = linear.Config().build(INTERFACE)(whole).features
    assert torch.equal(features, whole.rois.flatten(2).amax(dim=2))


@pytest.mark.parametrize(
    ("settings", "published"),
    [({}, 184_400), ({"hidden": (1024, 1024), "dropout": 0.2}, 3_491_920)],
    ids=["slowfast", "alphaction"],
)
def test_parameters_of_the_published_baselines(settings: dict[str, object], published: int):
    """Spec, "Baseline heads": 2304 x 80 + 80; 2304 → 1024 → 1024 → 80, each with a bias."""
    with torch.device("meta"):
        model = create_model("linear", backbone="slowfast_r50_8x8", num_classes=80, settings=settings)
    assert sum(p.numel() for part in (model.head, model.classifier) for p in part.parameters()) == published


def test_the_three_layer_predictor_is_alphactions():
    alphaction = preset("linear:alphaction")
    assert isinstance(alphaction, linear.Config)
    assert (alphaction.hidden, alphaction.dropout) == ((1024, 1024), 0.2)
    head = built(dataclasses.replace(alphaction, hidden=(3,)))
    named = dict(head.named_parameters())  # of one layer, to compute by hand: three channels pass, less 1
    with torch.no_grad():
        named["layers.0.weight"].fill_(0).fill_diagonal_(1)
        named["layers.0.bias"].fill_(-1)
    whole = scene((2,))
    highest = whole.rois.flatten(2).amax(dim=2)
    torch.testing.assert_close(head(whole).features, (highest[:, :3] - 1).clamp(min=0))


@pytest.mark.parametrize("variant", linear.VARIANTS.values(), ids=linear.VARIANTS)
def test_what_goes_to_a_bank_is_what_the_box_holds(variant: linear.Config):
    whole = scene((2, 1))
    whole.rois.requires_grad_(True)
    store = built(variant)(whole).store
    assert store is not None
    assert not store.requires_grad
    assert torch.equal(store, whole.rois.detach().flatten(2).amax(dim=2))


@pytest.mark.parametrize("variant", linear.VARIANTS.values(), ids=linear.VARIANTS)
def test_other_actors_change_nothing(variant: linear.Config):
    head, whole = built(variant), scene((3,))
    one = Actors.of([whole.actors.boxes[:1]])
    alone = dataclasses.replace(
        whole, actors=one, rois=whole.rois[:1], roi_boxes=one.boxes, labels=None, objects=None, object_rois=None
    )
    torch.testing.assert_close(head(alone).features, head(whole).features[:1], rtol=1e-12, atol=1e-12)


def test_a_layer_without_channels_is_refused():
    with pytest.raises(ValidationError, match=r"(?s)hidden.*greater than or equal to 1"):
        linear.Config(hidden=(1024, 0))


def test_an_unknown_head_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="did you mean 'linear'"):
        config("linera")
