"""Every head learns on the debug recipe: a step of its optimiser lowers the loss of the batch that it was taken on."""

import dataclasses

import pytest
import torch

from relact import heads
from relact.losses import action_loss
from relact.recipe import Recipe, build_model
from relact.recipes.debug import debug
from relact.run.training import loader
from relact.train.optim import optimiser, rate
from relact.train.step import Objective, train_step
from relact.types import Batch
from tests.make_stage import make_stage


@pytest.fixture(scope="module")
def batch_of(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Batch]:
    folder = make_stage(tmp_path_factory.mktemp("play"), family="direction", seconds=6)
    recipe = debug()
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, root=str(folder)))
    return recipe, next(iter(loader(recipe, recipe.data.samples("train"), training=True)))


@pytest.mark.slow
@pytest.mark.parametrize("name", heads.available())
def test_a_step_lowers_the_loss(name: str, batch_of: tuple[Recipe, Batch]):
    recipe, batch = batch_of
    recipe = dataclasses.replace(recipe, head=heads.preset(name))
    torch.manual_seed(0)
    model = build_model(recipe, recipe.data.label_map())
    steps = optimiser(model, recipe.optim)

    def loss() -> float:
        torch.manual_seed(1)  # the same dropout and noise every time
        model.train()
        with torch.no_grad():
            output = model(batch.frames, batch.actors, valid=batch.valid, labels=batch.labels)
        value = action_loss(output.logits, batch.labels, exclusive=model.exclusive, config=recipe.loss)
        return float(value + sum(output.relations.aux.values()))

    before = loss()
    torch.manual_seed(1)
    for group in steps.param_groups:
        group["lr"] = rate(recipe.optim, 0.0, recipe.train.epochs)
    objective = Objective(model, loss=recipe.loss, dtype=torch.float32)
    train_step(objective, [batch], steps, clip_norm=recipe.optim.clip_norm)
    after = loss()
    print(f"\n{name}: loss {before:.4f} → {after:.4f} in one step")
    assert after < before
