"""The commands that tell what there is: recipes, heads, backbones, weights, this machine."""

import json
from typing import Annotated

import typer
from rich.table import Table

from relact.cli.app import app, print_rows, screen, weights_app


@app.command()
def recipes() -> None:
    """The recipes that ship, by name."""
    from relact import recipes as shipped

    print_rows("recipe", "what it is", [(name, shipped.describe(name)) for name in shipped.available()])


@app.command()
def heads(
    backbone: Annotated[str, typer.Option(help="On which backbone (relact backbones).")] = "slowfast_r50_8x8",
    num_classes: Annotated[int, typer.Option(min=1, help="Actions of the classifier.")] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """The relation heads and their variants: parameters, work for a clip with 5 people, and published figures.

    Example: relact heads --backbone slowonly_r50_4x16
    """
    from relact import heads as found
    from relact.run import head_table

    rows = head_table(backbone=backbone, num_classes=num_classes)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    print_rows("head", "what it is", [(name, found.summary(name)) for name in found.available()])
    table = Table(
        "head:variant", "parameters", "with backbone", "GMAC", "memory", "published (AVA v2.2 mAP, parameters)"
    )
    for row in rows:
        name = f"{row['head']}:{row['variant']}"
        if "error" in row:
            table.add_row(name, row["error"])
            continue
        seconds = "" if row["memory"] is None else f"± {row['memory']} s"
        table.add_row(
            name, f"{row['parameters']:,}", f"{row['with_backbone']:,}", f"{row['gmac']:.2f}", seconds, row["published"]
        )
    screen.print(table)


@app.command()
def backbones(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """The backbones, by name, with their windows and parameter counts."""
    from relact.run import backbone_table

    rows = backbone_table()
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("backbone", "frames x stride", "maps", "parameters")
    for row in rows:
        table.add_row(row["name"], row["window"], row["maps"], f"{row['parameters']:,}")
    screen.print(table)


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """What this machine has, and what relact will use."""
    from relact.run import doctor as examine

    found = examine()
    print(json.dumps(found, indent=2)) if as_json else print_rows("", "", [(k, str(v)) for k, v in found.items()])


@weights_app.command("list")
def weights_list(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """Public weights that relact can read: what each is good for, its size, licence and place."""
    from relact.weights import list_weights

    rows = list_weights()
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        here = ", here" if row["cached"] else ""
        print(f"{row['name']}\n  {row['architecture']}, {row['trained_on']}: {row['figure']}; {row['size']}{here}")
        print(f"  good for: {row['good_for']}\n  licence: {row['licence']}\n  {row['url']}")
