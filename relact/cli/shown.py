"""How results look on the screen, and how they are written."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich.table import Table

from relact.cli.app import errors, screen

if TYPE_CHECKING:
    from relact.metrics.compare import Comparison, Difference
    from relact.metrics.errors import ErrorReport
    from relact.metrics.explain import Explanation
    from relact.metrics.links import LinkCounts, LinksReport
    from relact.metrics.videos import VideoReport


class Report(Protocol):
    """What can be written as JSON."""

    def to_json(self) -> str:
        """All of it as text."""


def write_json(path: Path, report: Report) -> None:
    """The report as a file, whole or not at all."""
    from relact.interop.files import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(report.to_json(), encoding="utf-8")


def show_report(report: Any) -> None:
    """AP of each action, of groups, and mAP; the errors where they were counted; what a reader must know."""
    table = Table("id", "action", "AP")
    for action in report.classes:
        table.add_row(str(action.id), action.name, "no truth" if action.ap is None else f"{action.ap:.4f}")
    screen.print(table)
    for group, ap in report.ap_by_group.items():
        screen.print(f"{group:>8}  {'no truth' if ap is None else f'{ap:.4f}'}", highlight=False)
    screen.print(f"mAP@{report.protocol['iou_threshold']:g} {report.mAP:.4f}", highlight=False)
    if report.errors is not None:
        _show_errors(report.errors, {action.id: action.name for action in report.classes})
    _say_what_to_know(report.warnings, report.explanation)


def show_videos(report: "VideoReport") -> None:
    """AP of each action at each threshold, and video-mAP."""
    table = Table("id", "action", *[f"AP@{name}" for name in report.maps], "true tubes", "tubes")
    for entry in report.classes:
        aps: Any = entry["ap"]
        cells = ["no truth" if ap is None else f"{ap:.4f}" for ap in aps.values()]
        table.add_row(str(entry["id"]), str(entry["name"]), *cells, str(entry["truths"]), str(entry["predictions"]))
    screen.print(table)
    for name, value in report.maps.items():
        screen.print(f"video-mAP@{name} {value:.4f}", highlight=False)
    _say_what_to_know(report.warnings, report.explanation)


def _say_what_to_know(warnings: tuple[str, ...], explanation: "Explanation | None") -> None:
    for warning in warnings:
        errors.print(f"warning: {warning}")
    if explanation is None:
        return
    for finding in explanation.findings:
        errors.print(f"why: {finding.text}")
    if explanation.box_recall is not None:
        errors.print(f"recall of the boxes at IoU 0.5, whatever the action: {explanation.box_recall:.4f}")
    if not explanation.findings:
        errors.print("nothing is wrong with names, times, ids, units and boxes: what is low are the scores' merits")


def _show_errors(report: "ErrorReport", names: dict[int, str]) -> None:
    """Errors by kind, what mending them would give, and the commonest confusions."""
    table = Table("error", "count", "mAP if mended", "classes that would gain most")
    for kind, count in report.counts.items():
        best = sorted(report.gain_by_class, key=lambda k: -report.gain_by_class[k][kind])[:3]
        most = ", ".join(
            f"{names[k]} {report.gain_by_class[k][kind]:+.3f}" for k in best if report.gain_by_class[k][kind] > 0
        )
        table.add_row(kind, str(count), f"{report.gain[kind]:+.4f}", most)
    screen.print(table)
    if report.confusions:
        table = Table("predicted", "labelled instead", "rows", "sum of scores")
        for predicted, labelled, rows, score in report.confusions[:10]:
            table.add_row(names[predicted], names[labelled], str(rows), f"{score:.2f}")
        screen.print(table)


def show_links(report: "LinksReport") -> None:
    """A line for each video and one for all."""
    table = Table("video", "precision", "recall", "links made", "true links", "IDF1", "switches", "boxes", "true boxes")
    for name, counts in report.videos.items():
        table.add_row(name or "(no name)", *_cells(counts))
    table.add_section()
    table.add_row("all", *_cells(report.total))
    screen.print(table)
    for warning in report.warnings:
        errors.print(f"warning: {warning}")


def _cells(counts: "LinkCounts") -> list[str]:
    shares = ["none" if share is None else f"{share:.4f}" for share in (counts.precision, counts.recall, counts.idf1)]
    numbers = [str(n) for n in (counts.switches, counts.predicted_boxes, counts.true_boxes)]
    return [*shares[:2], str(counts.predicted), str(counts.true), shares[2], *numbers]


def show_comparison(comparison: "Comparison") -> None:
    """Protocol differences first, then means, groups and classes by the size of their difference."""
    if comparison.protocol:
        errors.print("THE PROTOCOLS DIFFER: the figures below are of different measures")
        table = Table("protocol", "A", "B", style="bold red")
        for name, (ours, theirs) in comparison.protocol.items():
            table.add_row(name, str(ours), str(theirs))
        screen.print(table)
    for title, entries in (("mean", comparison.means), ("group", comparison.groups), ("action", comparison.classes)):
        table = Table(title, "A", "B", "B - A", "labels")
        for entry in entries:
            table.add_row(entry.name, *_values(entry))
        screen.print(table)


def _values(entry: "Difference") -> list[str]:
    values = ["none" if value is None else f"{value:.4f}" for value in (entry.a, entry.b)]
    ours, theirs = entry.truths
    labels = "" if ours is None and theirs is None else f"{ours}" if ours == theirs else f"{ours} / {theirs}"
    return [*values, "" if entry.gain is None else f"{entry.gain:+.4f}", labels]
