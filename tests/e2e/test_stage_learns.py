"""Training end to end: on the backbone that ships, a relation head learns in minutes what a linear one cannot."""

from pathlib import Path

import pytest

from relact.data.stage import StageConfig, generate
from relact.data.stage.families import FAMILIES
from relact.data.stage.truth import ACTION_ID
from relact.metrics.pairs import pair_accuracy
from relact.recipe import override
from relact.recipes import load
from relact.run import train
from relact.weights import run_folder

FAMILY = next(family for family in FAMILIES if family.name == "direction")


@pytest.mark.slow
def test_a_relation_head_tells_the_direction_of_time_and_the_linear_head_does_not(tmp_path: Path):
    """960 people of 240 scenes are judged; those of a scene err together, so chance strays by 0.03."""
    generate(tmp_path / "stage", StageConfig(videos=60, validation=0.25, seed=40, families=("direction",)), workers=2)
    accuracy = {head: trained(head, tmp_path) for head in ("linear", "stc")}
    assert abs(accuracy["linear"] - 0.5) < 0.12, accuracy
    assert accuracy["stc"] > accuracy["linear"] + 0.25, accuracy


def trained(head: str, folder: Path) -> float:
    """Pair accuracy of a head after some 500 steps, all alike but for the head."""
    settings = {
        "data.root": str(folder / "stage"), "train.init": str(run_folder(f"stage_{head}")),
        "train.maps": str(folder / "maps"), "train.epochs": "6",
    }  # fmt: skip
    run = folder / head
    train(override(load(f"stage_{head}"), settings), run, quiet=True, say=lambda text: None)
    pair = ACTION_ID[FAMILY.actions[0]], ACTION_ID[FAMILY.actions[1]]
    [found] = pair_accuracy(run / "groundtruth.csv", run / "predictions.csv", [pair])
    assert found.accuracy is not None
    print(f"{head}: {found.accuracy:.3f} of {found.people} people")
    return found.accuracy
