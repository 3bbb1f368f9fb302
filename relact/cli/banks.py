"""The commands of feature banks: bank build, bank show."""

import json
from pathlib import Path
from typing import Annotated

import typer

from relact.cli.app import SkipBad, bank_app, errors, pairs, print_rows, say, with_skip_bad


@bank_app.command("build")
def bank_build(
    run: Annotated[Path, typer.Argument(help="The run folder of the network that makes the rows.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the bank; one that was interrupted goes on.")],
    split: Annotated[str, typer.Option(help="train or val.")] = "train",
    settings: Annotated[list[str] | None, typer.Option("--set", help="Override a field, such as data.root=…")] = None,
    skip_bad: SkipBad = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda …")] = None,
) -> None:
    """Store what a trained network sees of every person of a data set, for heads with memory.

    Example: relact bank build runs/acar_producer --split val --out banks/val
    """
    from relact.run.banks import build

    chosen = pairs(with_skip_bad(settings, skip_bad))
    bank = build(run, out, split=split, settings=chosen, device=device, say=say)
    say(f"{len(bank)} rows of {len(bank.videos)} videos are in {out}")


@bank_app.command("show")
def bank_show(
    bank: Annotated[Path, typer.Argument(help="A folder that `relact bank build` or `relact train` wrote.")],
    verify: Annotated[bool, typer.Option(help="Read all of it, and compare its checksums.")] = True,
    videos: Annotated[bool, typer.Option(help="A line a video.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Who made a bank, and what is in it.

    Example: relact bank show runs/acar/bank/train
    """
    from relact.bank.summary import summary

    found = summary(bank, verify=verify)
    if as_json:
        print(json.dumps(found.to_json(), indent=2))
        return
    print_rows("", "", found.lines())
    if videos:
        print_rows("video", "rows, ticks", found.video_lines())
    for warning in found.warnings:
        errors.print(f"warning: {warning}")
