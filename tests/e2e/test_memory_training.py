"""Training with memory: two stages with a frozen network, or a bank that training keeps; both resume exactly."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from relact import heads, recipes
from relact.bank import FeatureBank, Producer
from relact.errors import InputError
from relact.head import HeadConfig
from relact.heads import acar, amcrnet, igmn, lfb, linear, mrsn, pairwise
from relact.labels import LabelMap
from relact.recipe import Recipe, build_model, read
from relact.recipes.debug import debug
from relact.run import banks
from relact.run.training import loader, train
from relact.run.training import test as run_test
from relact.train.memory import MemoryConfig
from relact.train.optim import optimiser
from relact.train.step import Objective, train_step
from tests.make_stage import make_stage

SMALL: dict[str, HeadConfig] = {
    "lfb": lfb.Config(width=16),
    "acfb": acar.Config(reduce=16, width=8, window=10, grid=(4, 5)),
    "hrfb": amcrnet.Config(width=16, depth=1, history_depth=1, heads=2),
    "hrafb": amcrnet.Config(width=16, depth=1, history_depth=1, heads=2, history="hrafb"),
    "lrb": mrsn.Config(width=16, ffn=16, heads=2, grid=4, consensus="long", bank_width=16, hidden=16),
    "igmn": igmn.Config(width=16, memory_width=16, hidden=16, layers=2),
    "aia": pairwise.Config(method="aia", reduce=16, hidden=16),
}
OFFLINE = ["lfb", "acfb", "hrfb", "hrafb", "lrb"]
ONLINE = ["acfb", "hrfb", "hrafb", "igmn", "aia"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of two scenes: four keyframes each, with two people."""
    return make_stage(tmp_path_factory.mktemp("play"), videos=2, seconds=6)


@pytest.fixture
def recipe(scenes: Path) -> Callable[..., Recipe]:
    def make(bank: str, mode: str, epochs: int = 2, **memory: object) -> Recipe:
        base = debug()
        return replace(
            base,
            data=replace(base.data, root=str(scenes)),
            head=SMALL[bank],
            transform=replace(base.transform, short_side=48, flip=0.5),
            train=replace(base.train, epochs=epochs, batch_size=4),
            memory=MemoryConfig(mode=mode, **memory),  # type: ignore[arg-type]
        )

    return make


def quiet(_: str) -> None:
    """Says nothing."""


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("bank", "mode"), [*((bank, "offline") for bank in OFFLINE), *((bank, "online") for bank in ONLINE)]
)
def test_each_bank_trains_and_is_tested(bank: str, mode: str, recipe: Callable[..., Recipe], tmp_path: Path):
    chosen = recipe(bank, mode, epochs=1)
    report = train(chosen, tmp_path, say=quiet)
    assert 0 <= report.mAP <= 1
    assert read(tmp_path / "recipe.json").memory.mode == mode
    made = FeatureBank.open(tmp_path / "bank" / "val")
    assert len(made) == 2 * 4 * 2
    source = tmp_path / "producer" if mode == "offline" else tmp_path
    assert made.manifest.producer == banks.producer_of(source, chosen.data.samples("val"))
    assert run_test(tmp_path).mAP == report.mAP


def test_the_first_stage_is_the_head_without_its_bank_or_the_baseline(recipe: Callable[..., Recipe]):
    stages = {bank: banks.first_stage(recipe(bank, "offline")) for bank in OFFLINE}
    assert stages["acfb"].head == replace(SMALL["acfb"], window=0)
    assert stages["hrfb"].head == replace(SMALL["hrfb"], history="none")
    assert stages["hrafb"].head == replace(SMALL["hrafb"], history="none", movement=True)
    assert stages["lrb"].head == replace(SMALL["lrb"], consensus="short")
    assert isinstance(stages["lfb"].head, linear.Config)
    assert stages["lfb"].roi == SMALL["lfb"].roi
    assert all(stage.memory.mode == "none" for stage in stages.values())
    named = recipe("lfb", "offline", producer="acar:r101")
    assert banks.first_stage(named).head == heads.preset("acar:r101")


def test_a_two_stage_run_goes_on_where_it_stopped(recipe: Callable[..., Recipe], tmp_path: Path):
    chosen = recipe("lrb", "offline")
    train(chosen, tmp_path / "whole", say=quiet)
    stopped = tmp_path / "stopped"
    interrupted(chosen, stopped)
    assert not (stopped / "bank").exists()
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        train(chosen, stopped, resume=True, say=Interrupting("stage 2 of 2", said))
    assert weights(stopped / "producer") == weights(tmp_path / "whole" / "producer")
    before = weights(stopped / "producer")
    train(chosen, stopped, resume=True, say=said.append)
    assert any("is trained already" in line for line in said)
    assert weights(stopped / "producer") == before
    assert weights(stopped) == weights(tmp_path / "whole")


class Interrupting:
    """Ctrl-C at the line that begins so."""

    def __init__(self, beginning: str, said: list[str]) -> None:
        self._beginning = beginning
        self._said = said

    def __call__(self, line: str) -> None:
        self._said.append(line)
        if line.startswith(self._beginning):
            raise KeyboardInterrupt


@pytest.mark.parametrize("bank", ["igmn", "hrfb"])
def test_an_online_run_goes_on_with_its_bank(bank: str, recipe: Callable[..., Recipe], tmp_path: Path):
    train(recipe(bank, "online", epochs=2), tmp_path / "whole", say=quiet)
    first = recipe(bank, "online", epochs=2)
    stopped = tmp_path / "stopped"
    interrupted(first, stopped)
    assert [path.name for path in stopped.glob("bank.*")] == ["bank.2.safetensors"]
    train(first, stopped, resume=True, say=quiet)
    assert [path.name for path in stopped.glob("bank.*")] == ["bank.4.safetensors"]
    assert weights(stopped) == weights(tmp_path / "whole")


def interrupted(recipe: Recipe, out: Path) -> None:
    """Ctrl-C at the end of the second epoch."""

    def at_the_second(_: object, number: int, mean_loss: float) -> None:
        if number == 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("relact.train.log.TrainLog.epoch", at_the_second)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, out, say=quiet)


def test_a_bank_of_other_weights_is_built_again(recipe: Callable[..., Recipe], tmp_path: Path):
    chosen = recipe("lfb", "offline", epochs=1)
    train(chosen, tmp_path, say=quiet)
    old = FeatureBank.open(tmp_path / "bank" / "train").manifest.producer
    other = replace(chosen, train=replace(chosen.train, seed=1))
    train(other, tmp_path, say=quiet)
    new = FeatureBank.open(tmp_path / "bank" / "train").manifest.producer
    assert new != old
    assert new == banks.producer_of(tmp_path / "producer", chosen.data.samples("train"))


def test_a_bank_of_other_boxes_is_built_again(recipe: Callable[..., Recipe], scenes: Path, tmp_path: Path):
    chosen = recipe("lfb", "offline", epochs=1)
    train(chosen, tmp_path / "run", say=quiet)
    rows = (scenes / "groundtruth.csv").read_text().splitlines()
    (scenes / "fewer.csv").write_text("".join(f"{row}\n" for row in rows if row.endswith((",1", ",3"))))
    before = FeatureBank.open(tmp_path / "run" / "bank" / "val")
    run_test(tmp_path / "run", settings={"data.val": "fewer.csv"})
    after = FeatureBank.open(tmp_path / "run" / "bank" / "val")
    assert after.manifest.producer.weights == before.manifest.producer.weights
    assert after.manifest.producer.data != before.manifest.producer.data
    assert 0 < len(after) < len(before)


def test_a_trained_network_can_be_given_as_the_producer(recipe: Callable[..., Recipe], tmp_path: Path):
    chosen = recipe("lfb", "offline", epochs=1)
    train(banks.first_stage(chosen), tmp_path / "baseline", say=quiet)
    given = recipe("lfb", "offline", epochs=1, producer_run=str(tmp_path / "baseline"))
    train(given, tmp_path / "lfb", say=quiet)
    assert weights(tmp_path / "lfb" / "producer") == weights(tmp_path / "baseline")
    shutil.rmtree(tmp_path / "baseline")
    run_test(tmp_path / "lfb")  # the run can be carried elsewhere
    missing = recipe("lfb", "offline", producer_run=str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="expected a run folder"):
        train(missing, tmp_path / "x", say=quiet)


def test_a_head_without_memory_is_refused(recipe: Callable[..., Recipe], tmp_path: Path):
    chosen = replace(recipe("lfb", "online"), head=linear.Config())
    with pytest.raises(InputError, match=r"memory.mode=online: the head linear .* no memory"):
        train(chosen, tmp_path, say=quiet)


def test_an_offline_bank_is_an_online_bank_of_weights_that_do_not_move(recipe: Callable[..., Recipe], tmp_path: Path):
    chosen = recipe("igmn", "online")
    chosen = replace(
        chosen,
        transform=replace(chosen.transform, flip=0.0),
        head=replace(SMALL["igmn"], layers=1),
        optim=replace(chosen.optim, kind="sgd", lr=1e-30, weight_decay=0.0),
    )
    samples = chosen.data.samples("train")
    torch.manual_seed(0)
    model = build_model(chosen, chosen.data.label_map())
    memory = banks.online(chosen, model, samples)
    assert memory is not None
    steps = optimiser(model, chosen.optim)
    objective = Objective(model, loss=chosen.loss, dtype=torch.float32)
    model.eval()  # batch norm's statistics are weights too
    for batch in loader(chosen, samples, training=False):
        train_step(objective, [batch], steps, memory=memory)
    offline = banks.build_bank(
        model, samples, tmp_path / "bank", recipe=chosen, producer=Producer(head="igmn", recipe="", weights=""),
        dtype=torch.float32, run=tmp_path,
    )  # fmt: skip
    keys = [sample.key for sample in samples]
    tracks = [sample.person.astype(np.int64) for sample in samples]
    assert model.head.memory is not None
    kept, made = (bank.window(keys, model.head.memory, tracks=tracks) for bank in (memory.bank, offline))
    assert kept.mask.sum() == made.mask.sum() > 0
    for name in ("features", "dt", "track", "mask"):
        torch.testing.assert_close(getattr(kept, name), getattr(made, name), rtol=1e-3, atol=1e-3)


def test_shipped_recipes_with_memory_have_heads_with_memory():
    named = [recipes.load(name) for name in recipes.available()]
    for recipe in named:
        if recipe.memory.mode != "none":
            with torch.device("meta"):
                assert build_model(recipe, LabelMap.load("ucf24")).head.memory is not None
    small = [recipe for recipe in named if recipe.name.startswith(("debug", "stage"))]
    assert sum(recipe.memory.mode == "offline" for recipe in small) == 5 + 4
    assert sum(recipe.memory.mode == "online" for recipe in small) == 2 + 3
