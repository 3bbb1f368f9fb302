"""`relact detect` again and again, each time killed at a random moment, until it is let through; prints what happened.

A process of its own: it imports everything once and forks for each run, before torch has any thread.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from relact.cli import app
from relact.run import detect_files  # noqa: F401 - imported before forking, or each run would wait for torch
from relact.viz import draw  # noqa: F401


def one(words: list[str], seconds: float | None) -> bool:
    """Runs the command; True where it ended by itself before `seconds` had passed."""
    child = os.fork()
    if not child:
        try:
            app(words, standalone_mode=False)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    until = time.monotonic() + (seconds or 600)
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0, f"the run ended with {status}"
            return True
        time.sleep(0.005)
    assert seconds, "the run hangs"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def main(folder: Path, kills: int, seed: int, words: list[str]) -> None:
    """A run that is left alone, then one that is killed `kills` times; both under `folder`."""
    began = time.monotonic()
    assert one([*words, "-o", str(folder / "whole")], None)
    alone, chance = time.monotonic() - began, random.Random(seed)
    print(json.dumps({"alone_s": round(alone, 2)}), flush=True)
    killed = 0
    while killed < kills:
        wait = chance.uniform(0.05, 1.1) * alone
        if one([*words, "-o", str(folder / "killed")], wait):
            print(json.dumps({"done": True}), flush=True)
            continue
        killed += 1
        [journal] = [*folder.glob("killed/*/.resume/journal.bin"), Path()][:1]
        size = journal.stat().st_size if journal.is_file() else 0
        print(json.dumps({"killed_after_s": round(wait, 3), "journal_bytes": size}), flush=True)
    assert one([*words, "-o", str(folder / "killed")], None)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
