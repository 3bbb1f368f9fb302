"""`relact demo`: the whole way on generated videos, with nothing downloaded."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from relact.data.ava import AvaData
from relact.data.toy import generate
from relact.metrics.ava import evaluate as evaluate_ava
from relact.metrics.ava_report import AvaReport
from relact.recipe import Recipe
from relact.run.detection import detect_files
from relact.run.training import train
from relact.video.pipeline import DetectConfig


def demo(recipe: Recipe, out: Path, *, epochs: int | None = None, say: Callable[[str], None] = print) -> AvaReport:
    """Makes videos, trains on them, detects in a new one and draws it. Returns how the detections were judged."""
    learnt, unseen = out / "train", out / "new"
    say("generating videos: four scenes to learn from, one that is seen for the first time")
    generate(learnt, videos=4, people=3, seconds=16, seed=7)
    generate(unseen, videos=1, people=4, seconds=12, seed=8)
    recipe = dataclasses.replace(
        recipe,
        data=AvaData(root=str(learnt), cap=0),
        train=dataclasses.replace(recipe.train, epochs=epochs or recipe.train.epochs),
    )
    say("training on the four scenes")
    train(recipe, out / "run", say=say)
    say("detecting in the new one")
    [result] = detect_files(
        [str(path) for path in sorted((unseen / "videos").iterdir())],
        weights=out / "run",
        out=out / "detections",
        boxes=unseen / "boxes.csv",
        config=DetectConfig(threshold=0.2),
        say=say,
    )
    if result.error is not None:
        raise result.error
    report = evaluate_ava(
        predictions=result.folder / "ava.csv",
        groundtruth=unseen / "groundtruth.csv",
        labels=unseen / "labels.csv",
    )
    say(f"judged on the new scene: frame-mAP@0.5 {report.mAP:.3f}")
    say(f"look at {result.folder / 'annotated.mp4'} and {result.folder / 'actions.csv'}")
    return report
