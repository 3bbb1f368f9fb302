"""The model over the keyframes of one pass: looks at each once, and judges it when its memory is there."""

import copy
import dataclasses
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from relact.bank.recent import RecentBank
from relact.bank.rows import LARGEST, Halves, Rows
from relact.bank.window import reach
from relact.data.source import VideoInfo
from relact.data.windows import KeyframeWindow
from relact.errors import InputError
from relact.interop.linking import SparseLinker
from relact.model import ActionDetector
from relact.nn.precision import autocast, resolve
from relact.types import Actors, Detections, Keyframe, Memory, Scene, View
from relact.video.journal import Journal, Kind
from relact.video.progress import Progress
from relact.video.sources import Ids, People

Floats = npt.NDArray[np.float32]

NO_FRAMES = np.zeros((0, 1, 1, 3), np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A keyframe with its people; times in seconds of `time.perf_counter`."""

    window: KeyframeWindow
    people: People
    came: float
    """when its own frame was decoded"""
    complete: float
    """when the last frame of its window was"""


@dataclass(slots=True, kw_only=True)
class _Batch:
    """Keyframes that are looked at together, until they are judged together; their pictures are gone."""

    keyframes: list[Known]
    tracks: list[Ids]
    """ids of the people of each keyframe, as the model sees them"""
    scene: Scene | None
    """of the keyframes with people; None where nobody is in any, or an earlier run has judged them"""
    due: int
    """how many of them still wait for their memory"""
    memories: list[Memory] = field(default_factory=list)
    """of the keyframes with people"""


class Judge:
    """Detections of keyframes that come in batches, in order.

    A head without memory judges each batch at once. For one with memory, the rows of every keyframe go into a bank as
    they come, and a batch waits until the bank knows the future that the head reads (`causal`: none); what waits is
    its scene, so that the backbone sees every clip once, and what is held is bounded by the head's window.
    `producer` writes the rows where that is another model. `journal` knows what an earlier run has found out.
    """

    def __init__(
        self,
        model: ActionDetector,
        *,
        name: str,
        every: float,
        precision: str,
        producer: ActionDetector | None = None,
        causal: bool = False,
        journal: Journal | None = None,
    ) -> None:
        self.device = next(model.parameters()).device
        self._model = model
        self._name = name
        self._dtype = resolve(precision, self.device)
        self._linker = SparseLinker(period=every)
        spec = model.memory
        self._spec = dataclasses.replace(spec, future=0) if spec is not None and causal else spec
        self._bank = None if self._spec is None else RecentBank(self._spec)
        self._ahead = 0 if self._spec is None else reach(self._spec)[1]
        self._writer = model if producer is None else producer
        self._archive = copy.copy(self._writer.head)  # shares the weights
        self._archive.archive = True
        self._journal = journal
        self._batches: deque[_Batch] = deque()
        self._waiting: deque[tuple[_Batch, Known, Ids]] = deque()
        self._taken = 0

    def take(self, keyframes: Sequence[Known], info: VideoInfo, progress: Progress) -> Iterator[Detections]:
        """One batch more: the detections of what can be judged now. People in none of them cost no forward pass."""
        since = time.perf_counter()
        batch = self._look(keyframes)
        progress.spend("model", since)
        yield from self._judge(batch.keyframes[-1].complete, info, progress)

    def finish(self, came: float, info: VideoInfo, progress: Progress) -> Iterator[Detections]:
        """The detections of all that waited for more, now that the video is over; `came`: its last frame."""
        while self._waiting:
            self._remember(*self._waiting.popleft())
        yield from self._judge(came, info, progress)

    def _look(self, keyframes: Sequence[Known]) -> _Batch:
        tracks = [self._tracks(known) for known in keyframes]
        judged = self._journal is not None and self._taken < self._journal.judged
        self._taken += 1
        rows = None if self._journal is None or self._bank is None else self._journal.recall(Kind.ROWS)
        assert not judged or self._bank is None or rows is not None, "rows stand before the scores in a journal"
        frames, actors, scene = None, None, None
        if not judged and any(len(ids) for ids in tracks):
            frames, actors = _clips(keyframes, tracks)
            scene = self._see(self._model, frames, actors)
        slim = [dataclasses.replace(known, window=_without_frames(known.window)) for known in keyframes]
        batch = _Batch(keyframes=slim, tracks=tracks, scene=scene, due=len(slim))
        self._batches.append(batch)
        if self._bank is None:
            batch.due = 0
            return batch
        features = self._rows(scene, frames, actors) if rows is None else rows["rows"]
        if rows is None and self._journal is not None:
            self._journal.append(Kind.ROWS, {"rows": features})
        self._write(batch, features)
        if scene is not None and not self._model.head.reads_maps:
            batch.scene = dataclasses.replace(scene, maps={})
        return batch

    def _tracks(self, known: Known) -> Ids:
        """Who they are, as far as that is known before the model has run; a head that follows people must know."""
        people = known.people
        if self._spec is None or not self._spec.identity or (people.ids >= 0).all():
            return people.ids
        return self._linker.update(people.boxes, known.window.time_s)

    @torch.inference_mode()
    def _see(self, model: ActionDetector, frames: Tensor, actors: Actors) -> Scene:
        valid = torch.tensor([frames.shape[-2:]] * len(frames))
        with autocast(self.device, self._dtype):
            moved = frames.to(self.device, non_blocking=True)
            return model.look(model.normalise(moved, valid), actors.to(self.device), valid=valid)

    @torch.inference_mode()
    def _rows(self, scene: Scene | None, frames: Tensor | None, actors: Actors | None) -> Halves:
        """What the producer stores of these people, `[A, E]`: without memory, so that rows hang on their clip alone."""
        assert self._spec is not None
        if frames is None or actors is None:
            return np.zeros((0, self._spec.dim), np.float16)
        if self._writer is not self._model or scene is None:
            scene = self._see(self._writer, frames, actors)
        with autocast(self.device, self._dtype):
            relations = self._archive(scene)
        rows = (relations.features if relations.store is None else relations.store).float().cpu().numpy()
        if rows.shape[1] != self._spec.dim:
            raise InputError(
                f"the model that writes the memory gives rows of {rows.shape[1]} channels, the head reads "
                f"{self._spec.dim}: it was trained with the bank of another model, its producer"
            )
        return np.clip(rows, -LARGEST, LARGEST).astype(np.float16)

    def _write(self, batch: _Batch, features: Halves) -> None:
        """Rows into the bank, tick by tick; after each, the windows that are complete with it are read."""
        assert self._bank is not None
        first = 0
        for known, ids in zip(batch.keyframes, batch.tracks, strict=True):
            people, tick = known.people, known.window.tick
            of_tick = features[first : first + len(ids)]
            first += len(ids)
            self._bank.write(tick, Rows.of(tick, of_tick, boxes=people.boxes, track=ids, score=people.scores))
            self._waiting.append((batch, known, ids))
            while self._waiting and self._waiting[0][1].window.tick + self._ahead <= tick:
                self._remember(*self._waiting.popleft())

    def _remember(self, batch: _Batch, known: Known, ids: Ids) -> None:
        """Reads the memory of a keyframe: the bank holds its window now, and not much longer."""
        assert self._bank is not None
        if len(ids) and batch.scene is not None:
            batch.memories.append(self._bank.window(known.window.tick, ids))
        batch.due -= 1

    def _judge(self, ready: float, info: VideoInfo, progress: Progress) -> Iterator[Detections]:
        while self._batches and not self._batches[0].due:
            batch = self._batches.popleft()
            since = time.perf_counter()
            scores, features = self._answers(batch)
            progress.spend("model", since)
            last = 0
            for known, tracks in zip(batch.keyframes, batch.tracks, strict=True):
                rows = slice(last, last + len(tracks))
                last = rows.stop
                person = self._people(known, tracks, None if features is None else features[rows])
                progress.keyframes += 1
                progress.boxes += len(tracks)
                progress.delays.emitted(known.came, ready)
                yield self._detections(known, scores[rows], person, info)

    def _answers(self, batch: _Batch) -> tuple[Floats, Floats | None]:
        """Scores `[A, K]` of a batch's people and, where they are yet to be linked, features `[A, E]`."""
        known = None if self._journal is None else self._journal.recall(Kind.JUDGED)
        if known is None:
            linked = all((tracks >= 0).all() for tracks in batch.tracks)
            scores, features = self._forward(batch)
            known = {"scores": scores} | ({} if linked else {"features": features})
            if self._journal is not None:
                self._journal.append(Kind.JUDGED, known)
        return known["scores"], known.get("features")

    @torch.inference_mode()
    def _forward(self, batch: _Batch) -> tuple[Floats, Floats]:
        if batch.scene is None:
            return np.zeros((0, len(self._model.labels)), np.float32), np.zeros((0, 1), np.float32)
        scene = batch.scene
        if batch.memories:
            scene = dataclasses.replace(scene, memory=stacked(batch.memories).to(self.device))
        with autocast(self.device, self._dtype):
            output = self._model.judge(scene)
        store = output.relations.store if output.relations.store is not None else output.relations.features
        return output.scores.float().cpu().numpy(), store.float().cpu().numpy()

    def _people(self, known: Known, tracks: Ids, features: Floats | None) -> Ids:
        if (tracks >= 0).all():
            return tracks
        return self._linker.update(known.people.boxes, known.window.time_s, features)

    def _detections(self, known: Known, scores: Floats, person: Ids, info: VideoInfo) -> Detections:
        window, people = known.window, known.people
        return Detections(
            key=Keyframe(self._name, window.tick),
            time=window.time_s,
            frame=window.index,
            pts=window.pts if window.pts is not None else -1,
            width=info.width,
            height=info.height,
            boxes=people.boxes,
            box_scores=people.scores,
            scores=scores,
            person=person,
            track=people.ids,
        )


def stacked(memories: Sequence[Memory]) -> Memory:
    """Memories of one clip each as one of them all, in full precision; shorter ones end in empty slots."""
    most = max(memory.mask.shape[1] for memory in memories)

    def together(name: str, empty: float) -> Tensor:
        rows = [getattr(memory, name) for memory in memories]
        short = [row.new_full((1, most - row.shape[1], *row.shape[2:]), empty) for row in rows]
        return torch.cat([torch.cat([row, rest], dim=1) for row, rest in zip(rows, short, strict=True)])

    return Memory(
        features=together("features", 0).float(), dt=together("dt", 0), track=together("track", -1),
        tag=together("tag", 1), mask=together("mask", False),
    )  # fmt: skip


def _clips(keyframes: Sequence[Known], tracks: Sequence[Ids]) -> tuple[Tensor, Actors]:
    """Frames `[B, 3, T, H, W]` and people of the keyframes that have any."""
    full = [(known, ids) for known, ids in zip(keyframes, tracks, strict=True) if len(ids)]
    # [B, T, H, W, 3] seen as [B, 3, T, H, W] is channels-last already; one window alone is not copied at all
    windows = [known.window.frames for known, _ in full]
    frames = torch.from_numpy(np.stack(windows) if len(windows) > 1 else windows[0][None]).permute(0, 4, 1, 2, 3)
    view = View.whole(frames.shape[-1], frames.shape[-2])
    actors = Actors.of(
        [view.to_clip(torch.from_numpy(known.people.boxes)) for known, _ in full],
        scores=[torch.from_numpy(known.people.scores) for known, _ in full],
        track=[torch.from_numpy(ids.astype(np.int64)) for _, ids in full],
    )
    return frames, actors


def _without_frames(window: KeyframeWindow) -> KeyframeWindow:
    return dataclasses.replace(window, frames=NO_FRAMES)
