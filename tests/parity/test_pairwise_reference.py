"""ACRN and AIA as plain loops over clips, actors, places, keys and slots, from the description of the released code."""

import dataclasses
import itertools

import pytest
import torch
from torch import Tensor
from torchvision.ops import roi_align

from relact.heads import pairwise
from relact.types import Scene
from tests.heads.scenes import built, scene_for
from tests.heads.test_pairwise import SMALL

Named = dict[str, Tensor]


def relu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, x * 0)


def affine(named: Named, name: str, x: Tensor) -> Tensor:
    """One row after the other."""
    rows = [(row * x).sum() for row in named[f"{name}.weight"].flatten(1)]
    return torch.stack(rows) + named.get(f"{name}.bias", torch.zeros(len(rows), dtype=x.dtype))


def convolve(weight: Tensor, x: Tensor, padding: int) -> Tensor:
    """3x3, place by place and tap by tap, beyond the edge is zero."""
    rows, columns = x.shape[1:]
    places = []
    for i, j in itertools.product(range(-padding, rows - 2 + padding), range(-padding, columns - 2 + padding)):
        inside = [
            weight[:, :, a, b] @ x[:, i + a, j + b]
            for a, b in itertools.product(range(3), range(3))
            if 0 <= i + a < rows and 0 <= j + b < columns
        ]
        places.append(torch.stack(inside).sum(0))
    return torch.stack(places, dim=1).unflatten(1, (rows - 2 + 2 * padding, columns - 2 + 2 * padding))


def at_every_place(weight: Tensor, parts: list[Tensor]) -> Tensor:
    """A 1x1 convolution over maps side by side; a vector stands at every place."""
    rows, columns = next(part.shape[1:] for part in parts if part.ndim == 3)
    result = []
    for i, j in itertools.product(range(rows), range(columns)):
        result.append(weight[:, :, 0, 0] @ torch.cat([p if p.ndim == 1 else p[:, i, j] for p in parts]))
    return torch.stack(result, dim=1).unflatten(1, (rows, columns))


def acrn(named: Named, context: Tensor, box: Tensor, frame: list[int]) -> Tensor:
    """One actor at the scale of ACAR-Net: reduced map and region, two convolutions, the mean, the actor beside it."""
    reduced = at_every_place(named["conv_reduce.weight"], [context])
    (height, width), (rows, columns) = frame, reduced.shape[1:]
    on_map = box.to(context) * torch.tensor([columns / width, rows / height] * 2).to(context)
    region = roi_align(reduced[None], [on_map[None]], 7, 1.0, -1, False)[0]  # ACAR-Net's: box x map / frame
    actor = region.amax(dim=(1, 2))
    relation = relu(at_every_place(named["conv1.weight"], [reduced, actor]))
    relation = relu(convolve(named["conv2.weight"], relation, padding=0))
    places = relation.shape[1] * relation.shape[2]
    return torch.cat([relu(affine(named, "fc1", actor)), relation.sum(dim=(1, 2)) / places])


def mmaction(named: Named, buffers: Named, context: Tensor, roi: Tensor) -> Tensor:
    """One actor, tiled before the map; batch norm with what it has seen; the largest of all places."""

    def normed(x: Tensor, name: str) -> Tensor:
        mean, variance = buffers[f"{name}.running_mean"], buffers[f"{name}.running_var"]
        scaled = [(x[c] - mean[c]) / (variance[c] + 1e-5) ** 0.5 for c in range(len(x))]
        return torch.stack([named[f"{name}.weight"][c] * y + named[f"{name}.bias"][c] for c, y in enumerate(scaled)])

    relation = relu(normed(at_every_place(named["conv1.conv.weight"], [roi.amax(dim=(1, 2)), context]), "conv1.bn"))
    layer = 0
    while f"convs.{layer}.conv.weight" in named:
        relation = relu(normed(convolve(named[f"convs.{layer}.conv.weight"], relation, padding=1), f"convs.{layer}.bn"))
        layer += 1
    return relation.amax(dim=(1, 2))


def interact(named: Named, block: str, x: Tensor, keys: list[tuple[Tensor, int | None]]) -> Tensor:
    """One interaction block for one actor; keys are (feature, second)."""
    short = affine(named, f"{block}.shortcut", x) if f"{block}.shortcut.weight" in named else x
    if not keys:
        return short
    q = affine(named, f"{block}.query", x)
    scores, values = [], []
    for feature, tick in keys:
        k, v = affine(named, f"{block}.key", feature), affine(named, f"{block}.value", feature)
        if tick is not None:
            k, v = k + named[f"{block}.time_key.weight"][tick], v + named[f"{block}.time_value.weight"][tick]
        scores.append((q * k).sum() / len(q) ** 0.5)
        values.append(v)
    total = torch.stack([score.exp() for score in scores]).sum()
    gathered = torch.stack([score.exp() / total * v for score, v in zip(scores, values, strict=True)]).sum(0)
    mean = gathered.sum() / len(gathered)
    variance = ((gathered - mean) ** 2).sum() / len(gathered)
    return short + affine(named, f"{block}.out", relu((gathered - mean) / (variance + 1e-5) ** 0.5))


def chain(named: Named, name: str, letters: str, dense: bool, x: Tensor, keys: dict[str, list]) -> Tensor:
    outputs: list[Tensor] = []
    for index, letter in enumerate(letters):
        if dense and index >= 2:
            share = named[f"{name}.mix.{index - 2}"].exp()
            share = share / share.sum(0)
            x = torch.stack([share[e] * output for e, output in enumerate(outputs)]).sum(0)
        x = interact(named, f"{name}.blocks.{index}", x, keys[letter])
        outputs.append(x)
    return outputs[-1]


def seconds(config: pairwise.Config, whole: Scene, clip: int) -> list[tuple[Tensor, int]]:
    """The clip's memory, second by second; unmasked, each second is filled up with zeros."""
    memory, result = whole.memory, []
    assert memory is not None
    for tick in range(2 * config.radius + 1):
        found = 0
        for slot in range(memory.mask.shape[1]):
            if memory.mask[clip, slot] and memory.dt[clip, slot] + config.radius == tick:
                result.append((memory.features[clip, slot], tick))
                found += 1
        zero = torch.zeros_like(memory.features[clip, 0])
        result += [] if config.mask_padding else [(zero, tick)] * (config.max_per_tick - found)
    return result


def aia(config: pairwise.Config, named: Named, whole: Scene, clip: int) -> list[Tensor]:
    people = [roi.amax(dim=(1, 2)) for roi in whole.rois[whole.actors.clip == clip]]

    def reduced(letter: str, features: list[Tensor], limit: int) -> list[tuple[Tensor, None]]:
        rows = [affine(named, f"reduce_keys.{letter}", feature) for feature in features][:limit]
        empty = torch.zeros(config.reduce, dtype=torch.float64)
        return [(row, None) for row in rows + ([] if config.mask_padding else [empty] * (limit - len(rows)))]

    keys: dict[str, list] = {}
    if "P" in config.blocks:
        keys["P"] = reduced("P", people, config.max_people)
    if "O" in config.blocks and config.objects == "boxes":
        assert whole.objects is not None
        assert whole.object_rois is not None
        things = [roi.amax(dim=(1, 2)) for roi in whole.object_rois[whole.objects.clip == clip]]
        keys["O"] = reduced("O", things, config.max_objects)
    elif "O" in config.blocks:
        rows, columns = whole.valid[clip].tolist()
        cells = [whole.pooled[clip, :, i, j] for i in range(rows) for j in range(columns)]
        keys["O"] = [(affine(named, "reduce_keys.O", cell), None) for cell in cells]
    if "M" in config.blocks:
        keys["M"] = [(affine(named, "reduce_keys.M", row), tick) for row, tick in seconds(config, whole, clip)]
    chains = [config.blocks]
    if config.structure == "parallel":
        chains = [letter * config.blocks.count(letter) for letter in "POM" if letter in config.blocks]
    result = []
    for person in people:
        query = affine(named, "reduce_query", person)
        gathered = [
            chain(named, f"chains.{number}", letters, config.structure == "dense_serial", query, keys)
            for number, letters in enumerate(chains)
        ]
        hidden = relu(affine(named, "fc1", person + torch.stack(gathered).sum(0)))
        result.append(relu(affine(named, "fc2", hidden)))
    return result


def reference(config: pairwise.Config, named: Named, buffers: Named, whole: Scene) -> Tensor:
    rows: list[Tensor] = []
    for clip, (height, width) in enumerate(whole.valid.tolist()):
        context, own = whole.pooled[clip, :, :height, :width], whole.actors.clip == clip
        if config.method == "aia":
            rows += aia(config, named, whole, clip)
        elif config.method == "acrn":
            rows += [acrn(named, context, box, whole.frame[clip].tolist()) for box in whole.roi_boxes[own]]
        else:
            rows += [mmaction(named, buffers, context, roi) for roi in whole.rois[own]]
    return torch.stack(rows)


CONFIGS = {
    **pairwise.VARIANTS,
    "two_convolutions": dataclasses.replace(pairwise.VARIANTS["acrn_mmaction"], convolutions=2),
    "one_letter": dataclasses.replace(pairwise.VARIANTS["aia_dense_serial"], blocks="MMM"),
    "parallel_padded": dataclasses.replace(pairwise.VARIANTS["aia_padded"], structure="parallel", blocks="PMMO"),
}


@pytest.mark.parametrize("variant", CONFIGS)
def test_values_and_gradients_are_those_of_the_description(variant: str):
    config = dataclasses.replace(CONFIGS[variant], **SMALL)
    head = built(config)
    for name, buffer in head.named_buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + (0.5 if "var" in name else 0))
    for name, parameter in head.named_parameters():
        if ".mix." in name:
            torch.nn.init.normal_(parameter)
    whole = scene_for(head, (2, 3, 2, 0))  # the third clip's memory is empty
    leaves: Named = {"rois": whole.rois, "pooled": whole.pooled, **dict(head.named_parameters())}
    for leaf in leaves.values():
        leaf.requires_grad_(True)
    named, buffers = dict(head.named_parameters()), dict(head.named_buffers())
    got, want = head(whole).features, reference(config, named, buffers, whole)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
    along = torch.randn_like(got)
    ours = torch.autograd.grad((got * along).sum(), list(leaves.values()), materialize_grads=True)
    theirs = torch.autograd.grad((want * along).sum(), list(leaves.values()), materialize_grads=True)
    for name, a, b in zip(leaves, ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, msg=name)
