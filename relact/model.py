"""ActionDetector: frames → maps → actors → relations → logits."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from relact.backbones.base import Backbone, BackboneConfig
from relact.head import HeadConfig, Interface, MemorySpec, RelationHead
from relact.labels import LabelMap
from relact.losses import scores
from relact.nn.padding import Padding, cells, zero_padding
from relact.nn.precision import exactly
from relact.nn.roi import RoIConfig, average_time, read_boxes, rois
from relact.types import Actors, Memory, Relations, Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What the model says of a batch."""

    logits: Float[Tensor, "A K"]
    relations: Relations
    exclusive: tuple[int, ...]

    @property
    def scores(self) -> Float[Tensor, "A K"]:
        """Probabilities: softmax over the actions that exclude each other, sigmoid on the rest."""
        return scores(self.logits, self.exclusive)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSpec:
    """The window of frames that a model was made for."""

    num_frames: int
    frame_stride: int
    short_side: int
    """pixels"""
    rate: float | None = 30.0
    """ticks a second of the clock that `frame_stride` counts; None = the video's own frames (UCF101-24)"""


class ActionDetector(nn.Module):
    """A backbone, RoIAlign, a head and a classifier, with the actions that it knows and the clips that it wants."""

    mean: Tensor
    std: Tensor
    remembers: bool = True
    """whether a head with memory is given one in detection: False where it was trained without"""
    foreign_rows: bool = False
    """whether its head was trained with a bank that another model wrote (`producer/` in the run folder)"""

    def __init__(
        self,
        *,
        backbone: Backbone,
        head: RelationHead,
        roi: RoIConfig,
        labels: LabelMap,
        exclusive: Sequence[int],
        clip: ClipSpec,
        mean: Sequence[float],
        std: Sequence[float],
        dropout: float,
        classifier_bias: bool,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.roi = roi
        self.labels = labels
        self.exclusive = tuple(exclusive)
        self.clip = clip
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(head.out_dim, len(labels), bias=classifier_bias)
        self.register_buffer("mean", torch.tensor(list(mean)).view(3, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(list(std)).view(3, 1, 1, 1), persistent=False)

    @classmethod
    def of(
        cls,
        backbone: BackboneConfig,
        head: HeadConfig,
        *,
        roi: RoIConfig | None = None,
        labels: LabelMap,
        exclusive: Sequence[int],
        short_side: int = 256,
        rate: float | None = 30.0,
    ) -> "ActionDetector":
        """The model that these configs describe, with random weights; boxes are read as the head's system does."""
        network = backbone.build()
        interface = Interface(
            channels=network.channels,
            frames=network.frames,
            num_classes=len(labels),
            exclusive=tuple(exclusive),
            roi=roi or head.roi,
        )
        return cls(
            backbone=network,
            head=head.build(interface),
            roi=interface.roi,
            labels=labels,
            exclusive=exclusive,
            clip=ClipSpec(
                num_frames=backbone.num_frames,
                frame_stride=backbone.frame_stride,
                short_side=short_side,
                rate=rate,
            ),
            mean=backbone.mean,
            std=backbone.std,
            dropout=head.dropout,
            classifier_bias=head.classifier_bias,
        )

    def forward(
        self,
        frames: Shaped[Tensor, "B 3 T H W"],
        actors: Actors,
        *,
        valid: Int[Tensor, "B 2"] | None = None,
        memory: Memory | None = None,
        objects: Actors | None = None,
        labels: Float[Tensor, "A K"] | None = None,
        maps: dict[str, Tensor] | None = None,
    ) -> Output:
        """Logits of every actor.

        `frames` are 0..255 in uint8, or floats already normalised; `valid` is each clip's real (height, width) where
        clips of unequal size were padded, on the host. Boxes of `actors` are pixels of the clip. `objects` are things
        near them (AIA); `labels` the truth in training, for heads with losses of their own; `maps` what the backbone
        made of the frames at another time (only their size is then read).
        """
        if len(actors.counts) != len(frames):
            raise ValueError(
                f"{len(frames)} clips but boxes for {len(actors.counts)}: give Actors.of one tensor a clip"
            )
        if valid is None:
            valid = torch.tensor([frames.shape[-2:]] * len(frames)).reshape(-1, 2)
        frames = self.normalise(frames, valid)
        scene = self.look(frames, actors, valid=valid, memory=memory, objects=objects, labels=labels, maps=maps)
        return self.judge(scene)

    @property
    def memory(self) -> MemorySpec | None:
        """What a bank must give its head; None for a head that looks at one clip, or was trained to."""
        return self.head.memory if self.remembers else None

    def judge(self, scene: Scene) -> Output:
        """Everything behind `look`."""
        relations = self.head(scene)
        return Output(logits=self._classify(relations.features), relations=relations, exclusive=self.exclusive)

    def _classify(self, features: Float[Tensor, "A D"]) -> Float[Tensor, "A K"]:
        """In full precision also under autocast: it costs nothing, and scores of three digits would be tied."""
        with exactly(features.device):
            return self.classifier(self.dropout(features.to(self.classifier.weight.dtype)))

    def with_backbone(self, backbone: Backbone) -> "ActionDetector":
        """The same model, head and classifier shared, on another form of its backbone."""
        twin = copy.copy(self)
        twin._modules = {**self._modules, "backbone": backbone}  # a copy shares the dictionary itself
        return twin

    def look(
        self,
        frames: Float[Tensor, "B 3 T H W"],
        actors: Actors,
        *,
        valid: Int[Tensor, "B 2"],
        memory: Memory | None = None,
        objects: Actors | None = None,
        labels: Float[Tensor, "A K"] | None = None,
        maps: dict[str, Tensor] | None = None,
    ) -> Scene:
        """Everything before the head."""
        padded = None if self.head.mask_padding else (frames.shape[3], frames.shape[4])
        seen = valid if padded is None else torch.tensor([padded] * len(valid)).reshape(-1, 2)
        if padded is not None and maps is None:  # with zeros that no layer zeroes again
            frames = zero_padding(frames, Padding.of(frames, valid), 1)
        maps = self.backbone(frames, seen) if maps is None else {name: map_.float() for name, map_ in maps.items()}
        pooled = average_time(maps)
        on_map = cells(seen, self.backbone.stride)
        read = partial(rois, pooled, frame=seen, valid=on_map, stride=self.backbone.stride, config=self.roi)
        size = (self.roi.size, self.roi.size)
        boxes = read_boxes(actors, frame=valid, config=self.roi, training=self.training)
        return Scene(
            maps=maps,
            pooled=pooled,
            valid=cells(valid, self.backbone.stride),
            actors=actors,
            rois=read(actors, boxes=boxes) if self.head.reads_rois else pooled.new_zeros(len(actors), 0, *size),
            roi_boxes=boxes,
            frame=valid,
            stride=self.backbone.stride,
            padded=padded,
            memory=None if memory is None else memory.full(),
            objects=objects,
            object_rois=None if objects is None else read(objects),
            labels=labels,
        )

    def normalise(self, frames: Shaped[Tensor, "B 3 T H W"], valid: Int[Tensor, "B 2"]) -> Float[Tensor, "B 3 T H W"]:
        """uint8 → (x / 255 - mean) / std; padding is left to the backbone, which zeroes it or cuts it off."""
        if frames.dtype != torch.uint8:
            return frames
        return (frames.float() / 255 - self.mean) / self.std
