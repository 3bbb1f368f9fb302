"""`relact demo`: a play that nobody has seen, detected, judged and drawn with what ships; nothing is downloaded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from relact.data.folder import MANIFEST
from relact.data.stage import FAMILIES, StageConfig, generate
from relact.data.stage.families import ACTIONS
from relact.errors import InputError
from relact.metrics.ava import evaluate as evaluate_ava
from relact.metrics.ava_report import AvaReport
from relact.run.detection import detect_files
from relact.run.report import report
from relact.video.pipeline import DetectConfig
from relact.weights import run_folder, shipped

BEST = "stage_amcrnet"
"""the shipped model that does best on the judged plays (docs/stage.md)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What came out: where it is, and how it was judged."""

    folder: Path
    page: Path
    report: AvaReport


def demo(out: Path, *, model: str = BEST, seed: int = 7, seconds: int = 48, say: Callable[[str], None] = print) -> Demo:
    """Writes a new play, finds and follows its people, says what they do, and judges that against the script.

    `model` is a shipped model or a run folder of a stage recipe; those that ship were trained on seed 1 alone. Raises
    InputError for anything else.
    """
    if run_folder(model) is None:
        raise InputError(f"--model {model}: expected a run folder, or one of {', '.join(shipped())}")
    play = out / f"play_{seed}_{seconds}"
    if not (play / MANIFEST).is_file():
        say(f"a new play: seed {seed}, {seconds} s")
        generate(play, StageConfig(videos=1, seconds=seconds, seed=seed, validation=0))
    video = next((play / "videos").iterdir())
    [result] = detect_files(
        [str(video)], weights=model, out=out / "found", detector="stage",
        config=DetectConfig(threshold=0.2, formats=("csv", "json")), say=say,
    )  # fmt: skip
    if result.error is not None:
        raise result.error
    judged = evaluate_ava(
        predictions=result.folder / "ava.csv", groundtruth=play / "groundtruth.csv", labels=play / "labels.csv",
        exclude=play / "excluded.csv", cap=0,
    )  # fmt: skip
    [page] = report(result.folder, truth=play / "groundtruth.csv")
    return Demo(folder=result.folder, page=page, report=judged)


def family_rows(judged: AvaReport) -> list[tuple[str, str, str]]:
    """(family, actions, AP) of what was played, for the screen."""
    ids = {name: number for number, name in enumerate(ACTIONS, start=1)}
    rows: list[tuple[str, str, str]] = []
    for family in FAMILIES:
        ap = [judged.ap_by_class.get(ids[action]) for action in family.actions]
        known = [value for value in ap if value is not None]
        if known:
            rows.append((family.name, " / ".join(family.actions), f"{sum(known) / len(known):.2f}"))
    return rows
