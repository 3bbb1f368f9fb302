"""The table and the plot of `relact bench stage`."""

import csv
import io
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from relact.data.stage.families import FAMILIES, Family
from relact.interop.files import atomic_path
from relact.viz.bars import Panel, draw_bars

Result = dict[str, Any]


def grouped(results: Sequence[Result]) -> dict[str, list[Result]]:
    """By head, in the order given."""
    by_head: dict[str, list[Result]] = {}
    for result in results:
        by_head.setdefault(result["head"], []).append(result)
    return by_head


def summary(results: Sequence[Result]) -> Table:
    """For the screen: pair accuracy by family."""
    table = Table("head", *(family.name for family in FAMILIES), "mAP", "parameters", "s")
    for head, runs in grouped(results).items():
        cells = [f"{_mean(_values(runs, family, 'accuracy')):.2f}" for family in FAMILIES]
        table.add_row(head, *cells, f"{_mean([r['mAP'] for r in runs]):.3f}", f"{runs[0]['parameters']:,}",
                      _seconds(runs))  # fmt: skip
    return table


def write_page(results: Sequence[Result], folder: Path) -> None:
    """`stage_accuracy.md`, `stage_ap.md`, `stage_gains.png`: means over seeds, with the spread; `stage_runs.csv`."""
    for measure in ("accuracy", "AP"):
        with atomic_path(folder / f"stage_{measure.lower()}.md") as temporary:
            temporary.write_text(markdown(results, measure), encoding="utf-8")
    with atomic_path(folder / "stage_runs.csv") as temporary:
        temporary.write_text(runs_csv(results), encoding="utf-8")
    by_head = grouped(results)
    if "linear" in by_head:
        title, note = "Stage: pair accuracy above linear, by family", "bar: mean over the seeds; dot: a run"
        draw_bars(_gains(by_head), folder / "stage_gains.png", title=title, note=note)


def markdown(results: Sequence[Result], measure: str) -> str:
    """Head x family; `.97 ±.01` is the mean and half of the range over the seeds."""
    names = [family.name for family in FAMILIES]
    lines = [f"| head | {' | '.join(names)} | mAP | parameters | s |", "|---" * (len(names) + 4) + "|"]
    for head, runs in grouped(results).items():
        cells = [_cell(_values(runs, family, measure)) for family in FAMILIES]
        last = [
            _cell([r["mAP"] for r in runs]),
            f"{runs[0]['parameters']:,}",
            _seconds(runs),
        ]
        lines.append(f"| `{head}` | {' | '.join([*cells, *last])} |")
    return "\n".join(lines) + "\n"


def runs_csv(results: Sequence[Result]) -> str:
    """A row a run, from which the tables can be made again; seconds are missing of runs in several pieces."""
    measures = [(family.name, measure) for family in FAMILIES for measure in ("accuracy", "AP")]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["head", "seed", "mAP", "parameters", "seconds", *(f"{name}: {what}" for name, what in measures)])
    for run in results:
        values = [run["mAP"], *(run["families"][name][what] for name, what in measures)]
        mean, *found = ("" if value is None else f"{value:.4f}" for value in values)
        rows.writerow([run["head"], run["seed"], mean, run["parameters"], run["seconds"], *found])
    return text.getvalue()


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = (max(values) - min(values)) / 2
    return f"{_mean(values):.2f}" + (f" ±{spread:.2f}" if len(values) > 1 else "")


def _seconds(runs: Sequence[Result]) -> str:
    """The mean of those that ran in one piece."""
    known = [run["seconds"] for run in runs if run["seconds"] is not None]
    return f"{_mean(known):.0f}" if known else ""


def _values(runs: Sequence[Result], family: Family, measure: str) -> list[float]:
    found = [run["families"][family.name][measure] for run in runs]
    return [value for value in found if value is not None]


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else float("nan")


def _gains(by_head: dict[str, list[Result]]) -> list[Panel]:
    """A panel a family, a bar a head: how much its runs are above the mean of linear's."""
    panels = []
    for family in FAMILIES:
        base = _mean(_values(by_head["linear"], family, "accuracy"))
        bars = {
            head: [value - base for value in _values(runs, family, "accuracy")]
            for head, runs in by_head.items()
            if head != "linear"
        }
        panels.append(Panel(name=family.name, bars=bars))
    return panels
