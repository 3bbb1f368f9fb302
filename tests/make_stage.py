"""Little plays of Stage: what tests watch and learn from."""

from pathlib import Path

from relact.data.stage import StageConfig, generate
from relact.data.stage.families import FamilyName


def make_stage(
    folder: Path, *, videos: int = 1, family: FamilyName = "second order", seconds: int = 3, seed: int = 3,
    rate: int = 10,
) -> Path:  # fmt: skip
    """Videos of 288 x 96 pixels, named stage_SEED_0000 and so on, with labels; returns the folder, which must be empty.

    As it is: two people, 1 and 2, at all times, and two keyframes, at seconds 1 and 2, in each video.
    """
    generate(folder, StageConfig(videos=videos, seconds=seconds, families=(family,), seed=seed, rate=rate, scale=1))
    return folder
