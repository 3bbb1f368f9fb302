"""Made-up scenes for the tests of heads, with memory, things and labels for those that look at them."""

import dataclasses

import torch
from torch import Tensor

from relact.head import HeadConfig, Interface, MemorySpec, RelationHead
from relact.types import Actors, Memory, Scene

CHANNELS = {"slow": 24, "fast": 8}
INTERFACE = Interface(channels=CHANNELS, frames={"slow": 2, "fast": 4}, num_classes=6, exclusive=(0, 1))
STRIDE = 16


def scene(
    counts: tuple[int, ...],
    *,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    memory: MemorySpec | None = None,
    interface: Interface = INTERFACE,
) -> Scene:
    """A random scene whose second clip is narrower than the first: its padding is zero."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).relu().to(dtype)

    valid = torch.tensor([[5, 7 if clip != 1 else 5] for clip in range(len(counts))]).reshape(-1, 2)
    maps = {
        name: random(len(counts), channels, interface.frames[name], 5, 7)
        for name, channels in interface.channels.items()
    }
    for clip, (rows, columns) in enumerate(valid.tolist()):
        for pathway in maps.values():
            pathway[clip, :, :, rows:] = 0
            pathway[clip, :, :, :, columns:] = 0
    corners = [random(count, 2, 2) * 20 for count in counts]
    boxes = [torch.cat([c[:, 0], c[:, 0] + c[:, 1] + 8], dim=1).to(torch.float32).clamp(max=80) for c in corners]
    actors = Actors.of(boxes, track=[torch.arange(count) for count in counts])
    objects = Actors.of([random(1 + clip % 2, 4).to(torch.float32) for clip in range(len(counts))])
    labels = random(sum(counts), interface.num_classes) > 0.5
    return Scene(
        maps=maps,
        pooled=torch.cat([pathway.mean(2) for pathway in maps.values()], dim=1),
        valid=valid,
        actors=actors,
        rois=random(sum(counts), interface.width, 7, 7),
        roi_boxes=actors.boxes,
        frame=valid * STRIDE,
        stride=STRIDE,
        memory=None if memory is None else past(memory, len(counts), dtype=dtype, generator=generator),
        objects=objects,
        object_rois=random(len(objects), interface.width, 7, 7),
        labels=labels.to(dtype),
    )


def past(
    spec: MemorySpec, num_clips: int, *, dtype: torch.dtype = torch.float64, generator: torch.Generator | None = None
) -> Memory:
    """Two people (tracks 0 and 1) at every tick: all of it for most clips, half for clip 1, nothing for clip 2."""
    generator = generator or torch.Generator().manual_seed(7)
    future = spec.radius if spec.future is None else spec.future
    ticks = [tick for tick in range(-spec.radius, future + 1) if tick or spec.include_current]
    dt = torch.tensor(ticks).repeat_interleave(2)
    mask = torch.ones(num_clips, len(dt) + 3, dtype=torch.bool)  # and three empty slots
    mask[:, len(dt) :] = False
    mask[1:2] &= torch.cat([dt > 0, torch.zeros(3, dtype=torch.bool)])
    mask[2:3] = False
    slots = torch.cat([dt, torch.zeros(3, dtype=torch.long)]).expand(num_clips, -1)
    track = torch.arange(len(dt) + 3).expand(num_clips, -1) % 2
    features = torch.randn(*mask.shape, spec.dim, generator=generator, dtype=torch.float64).relu().to(dtype)
    return Memory(
        features=features * mask[..., None],
        dt=slots * mask,
        track=torch.where(mask, track, -1),
        tag=torch.rand(*mask.shape, generator=generator, dtype=torch.float64).to(dtype) + 0.5,
        mask=mask,
    )


def built(config: HeadConfig, dtype: torch.dtype = torch.float64, interface: Interface = INTERFACE) -> RelationHead:
    """In evaluation mode, with every parameter away from zero so that no branch is silent."""
    torch.manual_seed(1)
    head = config.build(dataclasses.replace(interface, roi=config.roi)).double().eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return head.to(dtype)


def scene_for(head: RelationHead, counts: tuple[int, ...], *, dtype: torch.dtype = torch.float64) -> Scene:
    """A scene with all that this head can look at."""
    return scene(counts, dtype=dtype, memory=head.memory)


def one_clip(whole: Scene, clip: int) -> Scene:
    """What a batch of this clip alone would hold, in maps of the same size."""
    actors, chosen = _of_clip(whole.actors, clip)
    assert whole.objects is not None
    assert whole.object_rois is not None
    assert whole.labels is not None
    objects, things = _of_clip(whole.objects, clip)
    memory = whole.memory
    if memory is not None:
        fields = {f.name: getattr(memory, f.name)[clip : clip + 1] for f in dataclasses.fields(memory)}
        memory = Memory(**fields)
    return dataclasses.replace(
        whole,
        maps={name: pathway[clip : clip + 1] for name, pathway in whole.maps.items()},
        pooled=whole.pooled[clip : clip + 1],
        valid=whole.valid[clip : clip + 1],
        frame=whole.frame[clip : clip + 1],
        actors=actors,
        rois=whole.rois[chosen],
        roi_boxes=whole.roi_boxes[chosen],
        memory=memory,
        objects=objects,
        object_rois=whole.object_rois[things],
        labels=whole.labels[chosen],
    )


def _of_clip(people: Actors, clip: int) -> tuple[Actors, Tensor]:
    chosen = people.clip == clip
    found = Actors.of([people.boxes[chosen]], scores=[people.scores[chosen]], track=[people.track[chosen]])
    assert found.counts == (people.counts[clip],)
    return found, chosen
