"""`relact bench stage` on little plays: who writes a bank is trained once, and what is there is not done again."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from relact.errors import InputError
from relact.recipe import override, read
from relact.recipes import load
from relact.run.stage import Bench, run_bench
from relact.run.stage_table import markdown, write_page
from tests.make_stage import make_stage


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("bench")
    plays = make_stage(folder / "stage", videos=4)
    return Bench(
        data=plays, out=folder / "runs", heads=("acar_bank", "linear", "acar"), load=short, seeds=1, jobs=2, epochs=1
    )


def short(name: str):
    """The recipes, with one epoch of the warm-up as well."""
    recipe = load(name)
    return override(recipe, {"train.epochs": "1"}) if name == "stage_warmup" else recipe


def with_a_wrong_writer(name: str):
    """LFB's rows are of another width than ACAR-Net's."""
    return override(load(name), {"memory.producer": "acar:r50"}) if name == "stage_lfb" else short(name)


def test_a_bench_trains_each_once_and_goes_on_where_it_was(bench: Bench, tmp_path: Path):
    said: list[str] = []
    results = run_bench(bench, said.append)
    assert [(r["head"], r["seed"]) for r in results] == [("acar_bank", 0), ("linear", 0), ("acar", 0)]
    assert said.index("acar_bank, seed 0: " + said[-1].split(": ")[1]) == len(said) - 1, "the reader comes last"
    with_bank = read(bench.folder("acar_bank", 0) / "recipe.json")
    assert with_bank.memory.producer_run == str(bench.folder("acar", 0))
    written = [bench.folder("acar", 0), bench.folder("acar_bank", 0) / "producer"]
    first, copied = [(folder / "model.safetensors").read_bytes() for folder in written]
    assert first == copied

    (bench.folder("linear", 0) / "stage.json").unlink()  # killed after training, before its result
    said.clear()
    again = run_bench(bench, said.append)
    assert "2 runs are there, 1 to go" in said
    assert again[0] == results[0]
    assert again[1] == {**results[1], "seconds": None}

    write_page(again, tmp_path)
    assert (tmp_path / "stage_gains.png").is_file()
    lines = (tmp_path / "stage_accuracy.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith("| `acar`"))
    found = again[2]["families"]["second order"]["accuracy"]
    assert row.split("|")[5].strip() == f"{found:.2f}"
    with (tmp_path / "stage_runs.csv").open(newline="") as file:
        rows = {(row["head"], row["seed"]): row for row in csv.DictReader(file)}
    assert list(rows) == [("acar_bank", "0"), ("linear", "0"), ("acar", "0")]
    assert rows["acar", "0"]["second order: accuracy"] == f"{found:.4f}"
    assert float(rows["acar", "0"]["seconds"]) == again[2]["seconds"]
    assert rows["linear", "0"]["seconds"] == "", "it was trained in two pieces"


def test_without_its_writer_among_the_heads_a_bank_is_written_by_a_network_of_its_own(bench: Bench):
    assert replace(bench, heads=("acar_bank", "linear")).recipe("acar_bank", 0).memory.producer_run is None
    assert bench.recipe("acar", 0).memory.producer_run is None


def test_a_table_tells_means_spread_and_the_seconds_of_whole_runs():
    result = {"head": "x", "mAP": 0.5, "parameters": 1000, "families": Families()}
    runs = [{**result, "seed": 0, "seconds": 10.0}, {**result, "seed": 1, "seconds": None}]
    assert markdown(runs, "accuracy").splitlines()[-1].endswith("| 0.50 ±0.00 | 1,000 | 10 |")


class Families(dict):
    """The same of every family."""

    def __missing__(self, name: str) -> dict[str, float]:
        return {"accuracy": 0.5, "AP": 0.5}


def test_a_failed_run_is_named_with_its_reason(bench: Bench):
    wrong = replace(bench, heads=("linear", "lfb"), load=with_a_wrong_writer)
    # `linear` is there already, unless this test runs by itself
    with pytest.raises(InputError, match=r"1 of [12] runs failed:\n  lfb, seed 0: .*made by head acar"):
        run_bench(wrong, lambda text: None)
