"""Where a head looks: one keyframe of a video, one person in it, and a picture of what the head makes of them."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from relact.bank.recent import RecentBank
from relact.bank.rows import LARGEST, Halves, Rows
from relact.bank.window import reach
from relact.data.decode import read_clip, video_index
from relact.data.sampling import window_offsets, window_times
from relact.errors import InputError
from relact.interop.box_files import read_boxes
from relact.interop.box_table import VideoBoxes
from relact.model import ActionDetector
from relact.run.look_maps import GraphLayer, Seen, listen, sections_of
from relact.run.models import load_model, load_producer
from relact.types import Actors, Memory, Scene, View
from relact.video.sources import Ids, People
from relact.video.tables import FORMATS, Columns, read_actions
from relact.viz.canvas import Picture
from relact.viz.draw import short_names
from relact.viz.heat import Floats
from relact.viz.relations import RelationPicture, check_suffix

RECORD = "run.json"
TOP = 5
"""actions beside the keyframe"""
PAPERS = {
    "acar": "ACAR-Net", "amcrnet": "AMCRNet", "mrsn": "MRSN", "stc": "STC", "igmn": "IGMN", "lfb": "LFB", "aia": "AIA",
}  # fmt: skip


class Watched(Protocol):
    """Who is in a video, keyframe by keyframe."""

    every: float
    """seconds between keyframes, the ticks of a memory"""

    def keyframe(self, second: float) -> float:
        """The keyframe that a second means. Raises InputError where there is none."""

    def at(self, second: float) -> People:
        """The people of a keyframe."""

    def seconds_of(self, person: int | None) -> list[float]:
        """When this person, or anybody, is there."""


class FoundPeople:
    """Those that `relact detect` found."""

    def __init__(self, actions: Columns, every: float, path: Path) -> None:
        self.every = every
        self._path = path
        _, first = np.unique(
            np.stack([actions["time_s"].astype(np.float64), actions["person_id"]]), axis=1, return_index=True
        )
        rows = {name: values[first] for name, values in actions.items()}
        self._ticks = (rows["time_s"].astype(np.float64) / every).round().astype(np.int64)
        self._boxes = np.stack([rows[name] for name in ("x1", "y1", "x2", "y2")], axis=1).astype(np.float32)
        self._scores, self._ids = rows["box_score"].astype(np.float32), rows["person_id"].astype(np.int64)

    def keyframe(self, second: float) -> float:
        return round(second / self.every) * self.every

    def at(self, second: float) -> People:
        here = self._ticks == round(second / self.every)
        return People(boxes=self._boxes[here], scores=self._scores[here], ids=self._ids[here])

    def seconds_of(self, person: int | None) -> list[float]:
        ticks = self._ticks if person is None else self._ticks[self._ids == person]
        return (np.unique(ticks) * self.every).tolist()


class BoxedPeople:
    """Those of a box file; where it has no ids, the people of a keyframe are 1, 2, … in its order."""

    def __init__(self, boxes: VideoBoxes, times: Floats, every: float) -> None:
        self.every = every
        self._boxes, self._times = boxes, times

    def keyframe(self, second: float) -> float:
        return second

    def at(self, second: float) -> People:
        instant = second
        if self._boxes.clock == "frames":
            instant = float(np.abs(self._times - second).argmin())
        rows = self._boxes.nearest(instant)
        ids = self._boxes.person_id[rows].copy()
        if (ids < 0).any():
            ids = np.arange(1, len(ids) + 1)
        return People(
            boxes=self._boxes.boxes[rows].astype(np.float32), scores=self._boxes.score[rows].astype(np.float32), ids=ids
        )

    @property
    def known(self) -> bool:
        """Whether the file says who is who."""
        return bool((self._boxes.person_id >= 0).all())

    def seconds_of(self, person: int | None) -> list[float]:
        seconds = self._boxes.instants.astype(np.float64)
        if self._boxes.clock == "frames":
            seconds = self._times[self._boxes.instants.astype(np.int64).clip(0, len(self._times) - 1)]
        there = [
            rows.stop > rows.start and (person is None or person in self._boxes.person_id[rows])
            for rows in map(self._boxes.rows, range(len(seconds)))
        ]
        return seconds[np.array(there, np.bool_)].tolist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a picture is made from."""

    video: str
    model: ActionDetector
    watched: Watched
    producer: ActionDetector | None = None
    short_side: int | None = None
    causal: bool = False


class Looker:
    """Pictures of one video, as many as are asked for: the model is loaded once, rows of a memory are kept."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._model = source.model
        self._device = next(source.model.parameters()).device
        self._index = video_index(source.video)
        self._rows: dict[float, Halves] = {}
        self._frames: dict[float, Picture] = {}

    def picture(self, second: float, person: int | None = None) -> RelationPicture:
        """Of the keyframe at this second (a result's nearest); of its only person, where none is named.

        Raises InputError for a second or a person that is not there, and for a head that leaves nothing to draw.
        """
        moment, people, row = self._chosen(second, person)
        frames, times, scene = self._look(self._model, moment, people)
        scene = replace(scene, memory=self._memory(moment, people))
        seen = self._relate(scene, people, row, moment, frames, times)
        sections, scores = sections_of(seen[0]), seen[1]
        best = np.argsort(-scores, kind="stable")[:TOP].tolist()
        names = short_names(self._model.labels)
        head = type(self._model.head).__name__.lower()
        return RelationPicture(
            title=f"{PAPERS.get(head, head)}: what it relates person {seen[0].person} to",
            note=f"{Path(self._source.video).name}, keyframe at {moment:g} s",
            keyframe=self._frame(moment), people=seen[0].people, boxes=people.boxes.astype(np.float64),
            person=seen[0].person, actions=tuple((names[k], float(scores[k])) for k in best), sections=sections,
            remarks=("Weights say what a head read, not why it decided: they are its attention, computed in full "
                     "precision. Backbones see around each place, so what is light may lie next to it.",),
        )  # fmt: skip

    def keyframe(self, second: float) -> tuple[float, list[int]]:
        """The keyframe that a second means, and who is in it, ascending."""
        moment = self._source.watched.keyframe(second)
        return moment, sorted(self._source.watched.at(moment).ids.tolist())

    def _chosen(self, second: float, person: int | None) -> tuple[float, People, int]:
        """(keyframe, its people, the row of the chosen one)."""
        video, watched, last = self._source.video, self._source.watched, float(self._index.times[-1])
        moment = watched.keyframe(second)
        if not (second >= 0 and moment <= last + 1e-6):
            raise InputError(f"--at {second:g}: {video} goes from 0 to {last:g} s; choose a second within it")
        people = watched.at(moment)
        if not len(people.ids):
            raise InputError(f"--at {second:g}: nobody is in the keyframe at {moment:g} s; {_when(watched, None)}")
        if person is None and len(people.ids) > 1:
            raise InputError(f"--person: who? at {moment:g} s there are {_names(people.ids)}")
        row = 0 if person is None else next((k for k, i in enumerate(people.ids.tolist()) if i == person), -1)
        if row < 0:
            raise InputError(
                f"--person {person}: not in the keyframe at {moment:g} s, where there are {_names(people.ids)}; "
                f"{_when(watched, person)}"
            )
        return moment, people, row

    @torch.inference_mode()
    def _look(self, model: ActionDetector, moment: float, people: People) -> tuple[list[Picture], Floats, Scene]:
        """The clip's frames, their seconds, and what the model sees of it."""
        clip, times = model.clip, self._index.times
        if clip.rate is None:
            centre = int(np.abs(times - moment).argmin())
            numbers = (centre + window_offsets(clip.num_frames, clip.frame_stride)).clip(0, len(times) - 1)
            wanted = times[numbers]
        else:
            wanted = window_times(moment, clip.num_frames, clip.frame_stride, clip.rate)
        side = self._source.short_side or clip.short_side
        frames = read_clip(self._source.video, times=wanted, short_side=side, index=self._index)
        height, width = frames.shape[-2:]
        actors = Actors.of(
            [View.whole(width, height).to_clip(torch.from_numpy(people.boxes))],
            scores=[torch.from_numpy(people.scores)], track=[torch.from_numpy(people.ids)],
        )  # fmt: skip
        valid = torch.tensor([[height, width]])
        moved = frames[None].to(self._device)
        scene = model.look(model.normalise(moved, valid), actors.to(self._device), valid=valid)
        return list(frames.permute(1, 2, 3, 0).numpy()), wanted, scene

    @torch.inference_mode()
    def _relate(
        self, scene: Scene, people: People, row: int, moment: float, frames: list[Picture], times: Floats
    ) -> tuple[Seen, Floats]:
        """What the head made of the scene, its maps kept, and the chosen person's scores."""
        head, heard = self._model.head, list[GraphLayer]()
        before, handles = head.explain, listen(head, heard)
        head.explain = True
        try:
            output = self._model.judge(scene)
        except ValueError as error:
            raise InputError(f"{self._source.video}: {error}") from error
        finally:
            head.explain = before
            for handle in handles:
                handle.remove()
        seen = Seen(
            head=head, scene=scene, relations=output.relations, row=row, people=tuple(people.ids.tolist()),
            second=moment, every=self._source.watched.every, frames=frames, frame_times=times, portrait=self._portrait,
            graph=tuple(heard),
        )  # fmt: skip
        return seen, output.scores[row].double().cpu().numpy()

    def _memory(self, moment: float, people: People) -> Memory | None:
        """What detect would have given the head: rows of the keyframes around, written by the model or its producer."""
        spec = self._model.memory
        if spec is None:
            return None
        if self._source.causal:
            spec = replace(spec, future=0)
        watched = self._source.watched
        if spec.identity and isinstance(watched, BoxedPeople) and not watched.known:
            raise InputError("this head follows people: give --boxes with person ids, or a folder of relact detect")
        bank, (back, ahead) = RecentBank(spec), reach(spec)
        for tick in range(-back, ahead + 1):
            second = moment + tick * watched.every
            there = watched.at(second) if -1e-6 <= second <= self._index.times[-1] + 1e-6 else People.nobody()
            if len(there.ids):
                rows = self._stored(second, there)
                bank.write(tick, Rows.of(tick, rows, boxes=there.boxes, track=there.ids, score=there.scores))
        return bank.window(0, people.ids).full().to(self._device)

    @torch.inference_mode()
    def _stored(self, second: float, people: People) -> Halves:
        """The rows of a keyframe's people, `[N, E]`."""
        key = round(second, 6)
        if key not in self._rows:
            writer = self._source.producer or self._model
            scene, before = self._look(writer, second, people)[2], writer.head.archive
            writer.head.archive = True
            relations = writer.head(scene)
            writer.head.archive = before
            rows = (relations.features if relations.store is None else relations.store).float().cpu().numpy()
            self._rows[key] = np.clip(rows, -LARGEST, LARGEST).astype(np.float16)
        return self._rows[key]

    def _frame(self, second: float) -> Picture:
        """The whole frame at its own size."""
        key = round(second, 6)
        if key not in self._frames:
            clip = read_clip(self._source.video, times=np.array([second]), index=self._index)
            self._frames[key] = clip[:, 0].permute(1, 2, 0).numpy()
        return self._frames[key]

    def _portrait(self, person: int, second: float) -> Picture | None:
        """What the box of a person shows at a second."""
        people = self._source.watched.at(second)
        here = np.flatnonzero(people.ids == person)
        if not len(here):
            return None
        frame = self._frame(second)
        high, wide = frame.shape[:2]
        x1, y1, x2, y2 = (people.boxes[here[0]] * np.array([wide, high, wide, high])).tolist()
        left, top = max(0, int(x1 - 2)), max(0, int(y1 - 2))
        return frame[top : max(int(y2 + 2), top + 4), left : max(int(x2 + 2), left + 4)]


def open_looker(
    video_or_result: str | Path,
    *,
    weights: str | Path | None = None,
    boxes: str | Path | None = None,
    every: float = 1.0,
    device: str = "cpu",
) -> Looker:
    """A folder that `relact detect` wrote, which knows its video and model; or a video, its people and a model.

    `boxes` is such a folder or any box file; without it the people of a video are those in `VIDEO.relact`. `every`:
    seconds between the keyframes of a memory, for a box file. Raises InputError for what is not there.
    """
    result = Path(video_or_result) if Path(video_or_result).is_dir() else None
    video = str(video_or_result)
    if result is None and boxes is None:
        beside = Path(video).with_suffix(".relact")
        if not beside.is_dir():
            raise InputError(f"{video}: who is in it? give --boxes, a box file or a folder of relact detect")
        boxes = beside
    found = result or (Path(boxes) if boxes is not None and Path(boxes).is_dir() else None)
    record = None if found is None else _record(found)
    if result is not None and record is not None:
        video = _video_of(result, record)
    chosen = weights or (None if record is None else _weights_of(record))
    if chosen is None:
        raise InputError(f"{video}: with which model? give --weights, a run folder or a name of `relact weights list`")
    if found is not None and record is not None:
        watched: Watched = FoundPeople(_actions(found), float(record["protocol"]["keyframe_period"]), found)
    else:
        index = video_index(video)
        table = read_boxes(Path(str(boxes))).for_video(video, *index.info.size)
        table.check_frames(len(index.times))
        watched = BoxedPeople(table, index.times, every)
    protocol: dict[str, Any] = {} if record is None else record["protocol"]
    source = Source(
        video=video, model=load_model(chosen, device=device), producer=load_producer(chosen, device=device),
        watched=watched, short_side=protocol.get("short_side") if weights is None else None,
        causal=bool(protocol.get("causal", False)),
    )  # fmt: skip
    return Looker(source)


def show_relations(
    video_or_result: str | Path,
    out: str | Path,
    *,
    at: float,
    person: int | None = None,
    weights: str | Path | None = None,
    boxes: str | Path | None = None,
    device: str = "cpu",
    say: Callable[[str], None] = print,
) -> None:
    """Write a PNG or SVG of what a model's head relates a person to. Raises InputError as `Looker.picture` does."""
    check_suffix(str(out))
    looker = open_looker(video_or_result, weights=weights, boxes=boxes, device=device)
    looker.picture(at, person).write(str(out))
    say(f"look at {out}")


def _record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        record["protocol"]["keyframe_period"], record["source"]["file"]
        return dict(record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder}: expected a folder that relact detect wrote ({RECORD}): {error!r}") from error


def _video_of(folder: Path, record: dict[str, Any]) -> str:
    name = Path(record["source"]["file"])
    for path in (name, folder / name.name, folder.parent / name.name):
        if path.is_file():
            return str(path)
    raise InputError(f"{folder}: its video {name} is not here; give the video, and this folder as --boxes")


def _weights_of(record: dict[str, Any]) -> str | None:
    """The run folder that the result was made with, if it is still there."""
    folder = Path(str((record.get("weights") or {}).get("path", ""))).parent
    return str(folder) if (folder / "recipe.json").is_file() else None


def _actions(folder: Path) -> Columns:
    for suffix in FORMATS:
        if (folder / f"actions{suffix}").is_file():
            return read_actions(folder / f"actions{suffix}")
    raise InputError(f"{folder}: expected one of {', '.join(f'actions{suffix}' for suffix in FORMATS)}, found none")


def _names(ids: Ids) -> str:
    return ", ".join(str(person) for person in sorted(ids.tolist()))


def _when(watched: Watched, person: int | None) -> str:
    """When to look instead, in few words."""
    who = "somebody" if person is None else f"person {person}"
    seconds = watched.seconds_of(person)
    if not seconds:
        return f"{who} is in no keyframe"
    told = ", ".join(f"{second:g}" for second in seconds[:8])
    return f"{who} is there at {told}{', …' if len(seconds) > 8 else ''} s"
