"""What training tells: a line a step in files, one progress line on the screen."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from relact.errors import InputError
from relact.interop.files import atomic_path

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LogKind = Literal["csv", "tensorboard"]
COLUMNS = ("step", "epoch", "loss", "lr")
Step = dict[str, float | int]


class Writer(Protocol):
    """One of the forms in which a log is kept."""

    def step(self, values: Step) -> None:
        """One step: the values of `COLUMNS`."""

    def epoch(self, number: int, mean_loss: float) -> None:
        """The epoch of this number, from 1, is over."""

    def close(self) -> None:
        """Nothing more comes."""


class TrainLog:
    """Writes `log.jsonl` and what else is asked for, and draws progress; use as a context manager.

    A resumed run goes on behind the steps that it has `done`: what a killed one told of later steps is taken back.
    """

    def __init__(
        self,
        folder: Path,
        *,
        epochs: int,
        steps: int,
        done: int = 0,
        kinds: Sequence[LogKind] = (),
        quiet: bool = False,
    ) -> None:
        """`steps` are those of an epoch, `done` those of all epochs."""
        self._folder = folder
        self._kinds = kinds
        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._progress = Progress(
            BarColumn(bar_width=16),
            TextColumn("{task.completed}/{task.total}  {task.description}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._steps, self._total = steps, epochs * steps
        self._done = done
        self._task: TaskID | None = None
        self._writers: list[Writer] = []

    def __enter__(self) -> "TrainLog":
        self._folder.mkdir(parents=True, exist_ok=True)
        self._writers = [_JsonLines(self._folder / "log.jsonl", self._done, self._done // max(self._steps, 1))]
        if "csv" in self._kinds:
            self._writers.append(_Csv(self._folder / "log.csv", self._done))
        if "tensorboard" in self._kinds:
            self._writers.append(_TensorBoard(self._folder / "tensorboard", self._done, self._steps))
        self._progress.start()
        self._task = self._progress.add_task("", total=self._total, completed=self._done)
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        for writer in self._writers:
            writer.close()

    def step(self, *, step: int, epoch: float, loss: float, lr: float) -> None:
        """One optimisation step: written, and shown."""
        assert self._task is not None
        for writer in self._writers:
            writer.step({"epoch": epoch, "step": step, "loss": loss, "lr": lr})
        self._progress.update(self._task, advance=1, description=f"epoch {epoch:.1f}  loss {loss:.4f}  lr {lr:.2g}")

    def epoch(self, number: int, mean_loss: float) -> None:
        """An epoch is over: written, and a line of its own, also where no progress can be drawn."""
        for writer in self._writers:
            writer.epoch(number, mean_loss)
        self._console.print(f"epoch {number}  mean loss {mean_loss:.4f}")


def check(kinds: Sequence[LogKind]) -> None:
    """Before anything long. Raises InputError for a kind that needs a package which is not here."""
    if "tensorboard" in kinds:
        _summary_writer()


class _JsonLines:
    """An object a step, and one an epoch."""

    def __init__(self, path: Path, done: int, epochs: int) -> None:
        self._file = _reopened(path, lambda line: _is_kept(line, done, epochs))

    def step(self, values: Step) -> None:
        self._write(values)

    def epoch(self, number: int, mean_loss: float) -> None:
        self._write({"epoch": number, "mean_loss": mean_loss})

    def close(self) -> None:
        self._file.close()

    def _write(self, values: Step) -> None:
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()


class _Csv:
    """A row a step."""

    def __init__(self, path: Path, done: int) -> None:
        self._file = _reopened(path, lambda line: line.split(",")[0].isdigit() and int(line.split(",")[0]) < done)
        self._rows = csv.writer(self._file, lineterminator="\n")
        if not self._file.tell():
            self._rows.writerow(COLUMNS)

    def step(self, values: Step) -> None:
        self._rows.writerow([values[column] for column in COLUMNS])
        self._file.flush()

    def epoch(self, number: int, mean_loss: float) -> None:
        pass

    def close(self) -> None:
        self._file.close()


class _TensorBoard:
    """Curves over the steps."""

    def __init__(self, folder: Path, done: int, steps: int) -> None:
        self._writer = _summary_writer()(str(folder), purge_step=done if done else None)
        self._steps = steps

    def step(self, values: Step) -> None:
        for name in ("loss", "lr"):
            self._writer.add_scalar(f"train/{name}", values[name], values["step"])

    def epoch(self, number: int, mean_loss: float) -> None:
        self._writer.add_scalar("train/mean_loss", mean_loss, number * self._steps - 1)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def _reopened(path: Path, keep: Callable[[str], bool]) -> TextIO:
    """The file behind those of its lines that are kept, which come first in it; a line that was cut is not kept."""
    old = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    kept = [line for number, line in enumerate(old) if line.endswith("\n") and (keep(line) or _is_header(number, line))]
    with atomic_path(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")
    return path.open("a", encoding="utf-8", newline="")


def _is_header(number: int, line: str) -> bool:
    return number == 0 and line == ",".join(COLUMNS) + "\n"


def _is_kept(line: str, done: int, epochs: int) -> bool:
    try:
        values = json.loads(line)
    except ValueError:
        return False
    return bool(values["step"] < done if "step" in values else values["epoch"] <= epochs)


def _summary_writer() -> "type[SummaryWriter]":
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            'train.logs=["tensorboard"]: TensorBoard is not here: pip install "relact[tensorboard]", or take "csv"'
        ) from None
    return SummaryWriter
