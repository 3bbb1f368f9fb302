"""The commands that tell what there is: recipes, heads, backbones, weights, this machine."""

import json
from typing import Annotated

import typer
from rich.table import Table

from relact.cli.app import app, print_rows, screen, weights_app
from relact.errors import InputError

recipes_app = typer.Typer(help="The recipes: list, show.")
app.add_typer(recipes_app, name="recipes")

Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


@recipes_app.callback(invoke_without_command=True)
def recipes(context: typer.Context, as_json: Json = False) -> None:
    """The recipes that ship, beside the rows of the papers' tables; `show NAME` prints one with its sources."""
    if context.invoked_subcommand is None:
        recipes_list(as_json)
    elif as_json:
        raise InputError(f"recipes: write --json behind {context.invoked_subcommand}")


@recipes_app.command("list")
def recipes_list(as_json: Json = False) -> None:
    """Every row of the papers' tables with its recipe, then the other recipes.

    Example: relact recipes list --json
    """
    from relact import recipes as shipped
    from relact.recipes.tables import ROWS

    others = [name for name in shipped.available() if name not in {row.recipe for row in ROWS}]
    if as_json:
        others_ = [{"recipe": name, "what": shipped.describe(name)} for name in others]
        print(json.dumps({"tables": [row._asdict() for row in ROWS], "others": others_}, indent=2, ensure_ascii=False))
        return
    for place in dict.fromkeys((row.paper, row.table) for row in ROWS):
        table = Table("row", "mAP", "recipe", "note", title=f"{place[0]}, {place[1]}", title_justify="left")
        for row in ROWS:
            if (row.paper, row.table) == place:
                table.add_row(row.row, row.figure, row.recipe or "none", row.note)
        screen.print(table)
    print_rows("other recipes", "what it is", [(name, shipped.describe(name)) for name in others])


@recipes_app.command("show")
def recipes_show(
    name: Annotated[str, typer.Argument(help="A recipe's name, a recipe.json, or file.py:function.")],
    as_json: Json = False,
) -> None:
    """All settings of a recipe, and where each comes from: a section of a paper, released code, or our choice.

    Example: relact recipes show acar_r50
    """
    from relact import recipes as shipped
    from relact.recipe import settings_of
    from relact.recipes.layers import source_of
    from relact.recipes.tables import ROWS

    values = settings_of(shipped.load(name))
    experiment = shipped.EXPERIMENTS.get(name)
    sources = experiment.sources() if experiment is not None else {}
    whence = "default" if experiment is not None else ""
    told = [{"setting": path, "value": value, "source": source_of(path, sources) or whence}
            for path, value in values.items() if path != "name"]  # fmt: skip
    published = [row for row in ROWS if row.recipe == name]
    if as_json:
        rows = [row._asdict() for row in published]
        print(json.dumps({"recipe": name, "published": rows, "settings": told}, indent=2, ensure_ascii=False))
        return
    print(f"{name}: {shipped.describe(name)}" if name in shipped.RECIPES else name)
    for row in published:
        print(f"  {row.paper}, {row.table}, {row.row}: {row.figure}" + (f" ({row.note})" if row.note else ""))
    table = Table("setting", "value", "where it comes from")
    for entry in told:
        table.add_row(entry["setting"], json.dumps(entry["value"]), entry["source"])
    screen.print(table)


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
