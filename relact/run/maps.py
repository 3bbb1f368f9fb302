"""Training on a frozen backbone: its maps of every keyframe are computed once and shared by all heads."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from relact.backbones.prepared import prepare_for_inference
from relact.data.maps import Maps, MapStore
from relact.data.samples import Sample
from relact.errors import InputError
from relact.model import ActionDetector
from relact.recipe import Recipe, key_of
from relact.run.loading import in_order
from relact.train.distributed import is_first, mine, wait
from relact.types import Keyframe

SHARD = 64
"""batches of maps that are one file: what a killed run computes again"""


def maps_of(
    recipe: Recipe, model: ActionDetector, samples: Sequence[Sample], *, run: Path, dtype: torch.dtype
) -> MapStore | None:
    """The maps of these keyframes, computed where they are not there yet; None unless the backbone is frozen.

    They lie in `train.maps`, or in `run/maps`, in a folder that is named after the backbone's weights and the clips
    that it saw; several processes compute a share each. Raises InputError for recipes whose clips change from epoch to
    epoch.
    """
    if not recipe.train.freeze_backbone:
        return None
    _require_fixed_clips(recipe)
    folder = Path(recipe.train.maps or run / "maps") / _fingerprint(recipe, model, dtype)
    store = MapStore(folder)
    size = recipe.train.batch_size
    batches = [list(range(i, min(i + size, len(samples)))) for i in range(0, len(samples), size)]
    # whole batches, though some of their maps be there: what a map is must not hang on where a run was killed
    missing = [batch for batch in batches if any(samples[i].key not in store for i in batch)]
    wait()  # until all have looked
    if is_first() and recipe.train.maps is None:
        _sweep(folder)
    wait()
    share = mine(missing)
    for first in range(0, len(share), SHARD):
        computed = _computed(recipe, model, samples, share[first : first + SHARD], dtype)
        store.add((key, maps) for key, maps in computed if key not in store)
    wait()
    return MapStore(folder)


def _sweep(folder: Path) -> None:
    """Removes maps that a killed run left without an index, where no other run can be writing."""
    for data in folder.glob("*.bin"):
        if not data.with_suffix(".json").is_file():
            data.unlink()


def _require_fixed_clips(recipe: Recipe) -> None:
    chosen = recipe.transform
    changing = {
        "flip=0": chosen.flip > 0,
        "crop=null": chosen.crop is not None,
        "train_short_side=null": chosen.train_short_side is not None,
        "frame_jitter=0": chosen.frame_jitter > 0,
        "brightness=0": chosen.brightness > 0,
        "contrast=0": chosen.contrast > 0,
        "saturation=0": chosen.saturation > 0,
        "pca=0": chosen.pca > 0,
        "test_short_sides=[]": bool(chosen.test_short_sides),
        "test_flip=false": chosen.test_flip,
    }
    wrong = [f"transform.{setting}" for setting, changes in changing.items() if changes]
    if wrong:
        raise InputError(
            f"{recipe.name}: train.freeze_backbone keeps one map of a keyframe, so nothing may change its clip: "
            f"set {' and '.join(wrong)}"
        )


def _fingerprint(recipe: Recipe, model: ActionDetector, dtype: torch.dtype) -> str:
    data = key_of(recipe)["data"]
    digest = hashlib.sha256(f"{model.clip} {dtype} {Path(recipe.data.root).resolve()} {data}".encode())
    for name, value in sorted(model.backbone.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]


@torch.inference_mode()
def _computed(
    recipe: Recipe, model: ActionDetector, samples: Sequence[Sample], batches: Sequence[list[int]], dtype: torch.dtype
) -> Iterator[tuple[Keyframe, Maps]]:
    device = next(model.parameters()).device
    backbone = prepare_for_inference(model.backbone.eval(), "bf16" if dtype == torch.bfloat16 else "fp32")
    for batch in in_order(recipe, samples, batches):
        moved = batch.to(device)
        maps = backbone(model.normalise(moved.frames, moved.valid), moved.valid)
        rows, columns = (-(-moved.valid // model.backbone.stride)).unbind(1)
        for clip, key in enumerate(batch.keys):
            real = {name: value[clip, ..., : rows[clip], : columns[clip]].cpu() for name, value in maps.items()}
            yield key, real
