"""The data set of clips: samples in, decoded and transformed clips out."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from relact.data.decode import read_clip
from relact.data.extracted import FrameFolder, looked_at, read_frames
from relact.data.maps import MapStore
from relact.data.samples import Sample
from relact.data.sampling import frame_window, window_times
from relact.data.source import VideoInfo
from relact.data.transforms import Draw, TransformConfig, apply, draw, inside, jittered, recoloured
from relact.types import Clip


class ClipDataset(Dataset[Clip]):
    """Decodes the window around each keyframe, resized once, straight from the video file or its extracted frames.

    `train` turns augmentation on; it depends on (seed, epoch, index) alone, so an epoch can be repeated exactly.
    `rate` is the clock on which windows are laid out; None = the video's own frames. With `maps` nothing is decoded:
    clips have the maps of a frozen backbone, and frames of their size but T = 0. `view` is how all clips of a test are
    seen, where that is not `transform.short_side`.
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
        maps: MapStore | None = None,
        view: Draw | None = None,
    ) -> None:
        self.samples = samples
        self.epoch = 0
        self._num_frames = num_frames
        self._frame_stride = frame_stride
        self._rate = rate
        self._transform = transform
        self._train = train
        self._seed = seed
        self.maps = maps
        self._view = view
        self._files: dict[Path, VideoInfo | FrameFolder] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def aspects(self) -> list[float]:
        """Width over height of every sample."""
        files = [self._file(sample.path) for sample in self.samples]
        return [file.width / file.height for file in files]

    def __getitem__(self, index: int) -> Clip:
        sample = self.samples[index]
        random = np.random.default_rng([self._seed, self.epoch, index]) if self._train else None
        chosen = self._view or draw(self._transform, random)
        frames, view = apply(
            self._decode(sample, chosen, random), chosen, self._transform.crop if self._train else None
        )
        boxes = view.to_clip(torch.from_numpy(sample.boxes).float())
        if random is not None:
            frames = recoloured(frames, self._transform, random)
            boxes = jittered(boxes, view, self._transform.box_jitter, random)
        keep = inside(boxes, view) if self._train else torch.ones(len(boxes), dtype=torch.bool)
        return Clip(
            key=sample.key,
            frames=frames,
            view=view,
            boxes=boxes[keep],
            labels=torch.from_numpy(sample.labels)[keep],
            scores=torch.ones(int(keep.sum())) if sample.scores is None else torch.from_numpy(sample.scores)[keep],
            track=torch.from_numpy(sample.person.astype(np.int64))[keep],
            maps=None if self.maps is None else self.maps[sample.key],
        )

    def _file(self, path: Path) -> VideoInfo | FrameFolder:
        """Looked at once, and not for each of its keyframes."""
        if path not in self._files:
            self._files[path] = looked_at(path)
        return self._files[path]

    def _decode(self, sample: Sample, chosen: Draw, random: np.random.Generator | None) -> torch.Tensor:
        if self.maps is not None:
            width, height = self._file(sample.path).resized(chosen.short_side)
            return torch.empty(3, 0, height, width, dtype=torch.uint8)
        early = np.zeros(self._num_frames, np.int64)
        if random is not None and self._transform.frame_jitter:
            early = random.integers(0, self._transform.frame_jitter + 1, self._num_frames)
        read = partial(read_frames, rate=self._rate) if sample.path.is_dir() else read_clip
        if self._rate is None:
            assert sample.frame is not None, (
                f"{sample.key}: windows in frames need a keyframe that is counted in frames"
            )
            wanted = frame_window(sample.frame, self._num_frames, self._frame_stride)
            return read(sample.path, frames=(wanted - early).clip(min=0), short_side=chosen.short_side)
        assert sample.time is not None, f"{sample.key}: windows in seconds need a keyframe in seconds"
        times = window_times(sample.time, self._num_frames, self._frame_stride, self._rate)
        return read(sample.path, times=times - early / self._rate, short_side=chosen.short_side)
