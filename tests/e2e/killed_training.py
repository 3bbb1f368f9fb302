"""`relact train` killed at random moments and started again with `--resume`, life after life; prints what happened.

A process of its own: it imports everything once and forks for each run (`killed_runs`).
"""

import hashlib
import json
import random
import shutil
import sys
import time
from pathlib import Path

from killed_runs import one

from relact.run import training  # noqa: F401 - imported before forking, or each run would wait for torch


def story(folder: Path, kills: int, seed: int, words: list[str]) -> None:
    """A run that is left alone, then runs that are killed, `kills` times in all; each that ends is told with its hash.

    A run that has ended begins anew in an empty folder, so that kills come at all of its moments.
    """
    began = time.monotonic()
    assert one([*words, "-o", str(folder / "whole")], None)
    alone, chance = time.monotonic() - began, random.Random(seed)
    tell(event="alone", seconds=round(alone, 2), result=result(folder / "whole"))
    killed, run = 0, folder / "killed"
    while killed < kills:
        wait = chance.uniform(0.0, 0.9) * alone
        if one([*words, "--resume", "-o", str(run)], wait):
            tell(event="ended", result=result(run))
            shutil.rmtree(run)
            continue
        killed += 1
        left = sorted(path.name for path in run.iterdir()) if run.is_dir() else []
        tell(event="killed", seconds=round(wait, 3), left=left)
    assert one([*words, "--resume", "-o", str(run)], None)
    tell(event="ended", result=result(run))


def result(run: Path) -> dict[str, str]:
    """Hashes of what a run is for, and the names of all that it leaves."""
    files = ("model.safetensors", "log.jsonl", "predictions.csv")
    hashes = {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in files}
    return {**hashes, "names": " ".join(sorted(path.name for path in run.iterdir()))}


def tell(**event: object) -> None:
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    story(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
