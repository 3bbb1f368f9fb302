"""Stage's last shortcut: what a person looks like at the keyframe says nothing of which of the two actions it is."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from relact.data.stage import FAMILIES
from relact.data.stage.backdrop import paint_backdrop
from relact.data.stage.play import LONG, SHORT, Scene, draw

SCENES, SIZE = 500, (48, 32)
QUIET = [family for family in FAMILIES if family.name != "interference"]
"""the arm of the interference family lies in the boxes themselves"""


def crops(family) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pictures `[R, 3, 48, 32]` of the people at a random labelled keyframe, which action, and which scene."""
    pictures, actions, scenes = [], [], []
    for seed in range(SCENES):
        random = np.random.default_rng([seed, 5])
        skit = {**SHORT, **LONG}[family.name](random)
        scene = Scene(skit=skit, start=0, first_person=1, seed=(seed,), drift=(float(random.random()), 8.0))
        labelled = {
            s
            for s in range(1, skit.seconds)
            for i in range(len(skit.people))
            if set(skit.actions(i, s)) & set(family.actions)
        }
        second = int(random.choice(sorted(labelled)))
        frame = Image.fromarray(draw(scene, paint_backdrop(skit.backdrop, random, 1), second, 1))
        for index, person in enumerate(skit.people):
            done = [action for action in skit.actions(index, second) if action in family.actions]
            box = scene.seen(person.box(second), second)
            if done and box:
                pictures.append(np.asarray(frame.crop(tuple(map(round, box))).resize(SIZE[::-1])))
                actions.append(family.actions.index(done[0]))
                scenes.append(seed)
    whole = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return whole, torch.tensor(actions), torch.tensor(scenes)


def accuracy(pictures: torch.Tensor, actions: torch.Tensor, learnt: torch.Tensor) -> float:
    """Of a small network on what it did not learn from."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 32, 3, 2, 1),
        nn.ReLU(), nn.Flatten(), nn.Linear(32 * 6 * 4, 2),
    )  # fmt: skip
    optimiser = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=0.05)
    rows = torch.nonzero(learnt)[:, 0]
    for _ in range(12):
        for some in rows[torch.randperm(len(rows))].split(32):
            loss = F.cross_entropy(net(pictures[some]), actions[some])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        return float((net(pictures[~learnt]).argmax(1) == actions[~learnt]).float().mean())


@pytest.mark.slow
@pytest.mark.parametrize("family", QUIET, ids=lambda family: family.name)
def test_a_classifier_of_the_crop_is_at_chance(family):
    pictures, actions, scenes = crops(family)
    learnt = scenes < 0.65 * SCENES
    tested = len(set(scenes[~learnt].tolist()))
    assert accuracy(pictures, actions, learnt) < 0.5 + 3 * 0.5 / tested**0.5


@pytest.mark.slow
def test_the_classifier_of_crops_can_see():
    """The control: it tells postures that differ, a crouching person from one who stands."""
    crouching, standing = (
        crops(next(f for f in FAMILIES if f.name == name))[0][:300] for name in ("direction", "small")
    )
    pictures = torch.cat([crouching, standing])
    actions = torch.arange(600) // 300
    learnt = torch.arange(600) % 3 > 0
    assert accuracy(pictures, actions, learnt) > 0.9
