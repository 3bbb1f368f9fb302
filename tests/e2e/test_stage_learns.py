"""Training end to end: on the backbone that ships, ACAR-Net learns in minutes a relation that a linear head cannot."""

from pathlib import Path

import pytest

from relact.data.stage import FAMILIES, StageConfig, generate
from relact.data.stage.truth import ACTION_ID
from relact.metrics.pairs import pair_accuracy
from relact.recipe import override
from relact.recipes import load
from relact.run import train
from relact.weights import run_folder

FAMILY = next(family for family in FAMILIES if family.name == "second order")


@pytest.mark.slow
def test_acar_tells_the_second_order_and_the_linear_head_does_not(tmp_path: Path):
    """Passengers of 320 unseen scenes are judged, twice each: chance strays by 0.03."""
    plays = StageConfig(videos=100, validation=0.2, seed=40, scale=1, families=("second order",))
    generate(tmp_path / "stage", plays, workers=2)
    accuracy = {head: trained(head, epochs, tmp_path) for head, epochs in {"linear": 2, "acar": 16}.items()}
    assert abs(accuracy["linear"] - 0.5) < 0.12, accuracy
    assert accuracy["acar"] > accuracy["linear"] + 0.25, accuracy


def trained(head: str, epochs: int, folder: Path) -> float:
    """Pair accuracy of a head on unseen plays; all is alike but for the head, and how long it is given."""
    settings = {
        "data.root": str(folder / "stage"), "train.init": str(run_folder("stage_linear")),
        "train.maps": str(folder / "maps"), "train.epochs": str(epochs),
    }  # fmt: skip
    run = folder / head
    train(override(load(f"stage_{head}"), settings), run, quiet=True, say=lambda text: None)
    pair = ACTION_ID[FAMILY.actions[0]], ACTION_ID[FAMILY.actions[1]]
    [found] = pair_accuracy(run / "groundtruth.csv", run / "predictions.csv", [pair])
    assert found.accuracy is not None
    print(f"{head}: {found.accuracy:.3f} of {found.people} people")
    return found.accuracy
