"""The data set of clips: samples in, decoded and transformed clips out."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from relact.data.decode import probe, read_clip
from relact.data.samples import Sample
from relact.data.sampling import frame_window, window_times
from relact.data.transforms import TransformConfig, apply, draw, inside
from relact.types import Clip


class ClipDataset(Dataset[Clip]):
    """Decodes the window around each keyframe, resized once, straight from the video file.

    `train` turns augmentation on; it depends on (seed, epoch, index) alone, so an epoch can be repeated exactly.
    `rate` is the clock on which windows are laid out; None = the video's own frames.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        num_frames: int,
        frame_stride: int,
        rate: float | None,
        transform: TransformConfig,
        train: bool,
        seed: int = 0,
    ) -> None:
        self.samples = samples
        self.epoch = 0
        self._num_frames = num_frames
        self._frame_stride = frame_stride
        self._rate = rate
        self._transform = transform
        self._train = train
        self._seed = seed

    def __len__(self) -> int:
        return len(self.samples)

    def aspects(self) -> list[float]:
        """Width over height of every sample, each video probed once."""
        sizes = {path: probe(path) for path in {sample.path for sample in self.samples}}
        return [sizes[sample.path].width / sizes[sample.path].height for sample in self.samples]

    def __getitem__(self, index: int) -> Clip:
        sample = self.samples[index]
        random = np.random.default_rng([self._seed, self.epoch, index]) if self._train else None
        chosen = draw(self._transform, random)
        frames, view = apply(
            self._decode(sample, chosen.short_side), chosen, self._transform.crop if self._train else None
        )
        boxes = view.to_clip(torch.from_numpy(sample.boxes).float())
        keep = inside(boxes, view) if self._train else torch.ones(len(boxes), dtype=torch.bool)
        return Clip(
            key=sample.key,
            frames=frames,
            view=view,
            boxes=boxes[keep],
            labels=torch.from_numpy(sample.labels)[keep],
            scores=torch.ones(int(keep.sum())),
            track=torch.from_numpy(sample.person.astype(np.int64))[keep],
        )

    def _decode(self, sample: Sample, short_side: int) -> torch.Tensor:
        if self._rate is None:
            assert sample.frame is not None, (
                f"{sample.key}: windows in frames need a keyframe that is counted in frames"
            )
            wanted = frame_window(sample.frame, self._num_frames, self._frame_stride)
            return read_clip(sample.path, frames=wanted, short_side=short_side)
        assert sample.time is not None, f"{sample.key}: windows in seconds need a keyframe in seconds"
        times = window_times(sample.time, self._num_frames, self._frame_stride, self._rate)
        return read_clip(sample.path, times=times, short_side=short_side)
