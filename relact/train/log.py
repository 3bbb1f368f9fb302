"""What training tells: one JSON line a step in a file, one progress line on the screen."""

import json
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class TrainLog:
    """Writes `log.jsonl` (a resumed run goes on in it) and draws progress; use as a context manager."""

    def __init__(self, path: Path, total_steps: int, *, done: int = 0, quiet: bool = False) -> None:
        self._path = path
        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._progress = Progress(
            BarColumn(bar_width=16),
            TextColumn("{task.completed}/{task.total}  {task.description}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._total = total_steps
        self._done = done
        self._task: TaskID | None = None
        self._file: TextIO | None = None

    def __enter__(self) -> "TrainLog":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a" if self._done else "w", encoding="utf-8")
        self._progress.start()
        self._task = self._progress.add_task("", total=self._total, completed=self._done)
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        if self._file is not None:
            self._file.close()

    def step(self, **values: float | int) -> None:
        """One optimisation step: written, and shown."""
        assert self._file is not None
        assert self._task is not None
        self._write(values)
        shown = f"epoch {values['epoch']:.1f}  loss {values['loss']:.4f}  lr {values['lr']:.2g}"
        self._progress.update(self._task, advance=1, description=shown)

    def epoch(self, number: int, mean_loss: float) -> None:
        """An epoch is over: written, and a line of its own, also where no progress can be drawn."""
        self._write({"epoch": number, "mean_loss": mean_loss})
        self._console.print(f"epoch {number}  mean loss {mean_loss:.4f}")

    def _write(self, values: object) -> None:
        assert self._file is not None
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()
