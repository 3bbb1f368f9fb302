"""Ids of one box file judged by those of another (AVA's person ids, say): links between observations, IDF1, switches.

Predicted boxes are matched with true ones by overlap, one to one, instant by instant. A link joins an observation to
the next one of its id. Precision asks each link between predicted boxes whether its two are one true person, one after
the other; recall asks each link between true boxes whether its two got one id. An unmatched box is nobody: a predicted
link that touches one is wrong, a true link that touches one is missed. Instants that the truth does not list do not
count.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from relact.boxes import Floats
from relact.errors import InputError
from relact.interop.box_files import BoxTable, read_boxes
from relact.interop.box_match import Ints, check_ids, match, same_instants, same_videos
from relact.interop.linking import LinkConfig, link_keyframes
from relact.metrics.identity import Tracks, identity_scores, link_scores

MICRO = 1_000_000
"""Ticks a second: the times of both files are rounded to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCounts:
    """The counts of one video, or of all together; shares are None where there is nothing to share.

    `right` of the `predicted` links are true; `found` of the `true` links are predicted; `matched` boxes overlap;
    `id_matched` boxes agree in the best pairing of whole ids.
    """

    predicted: int
    right: int
    true: int
    found: int
    switches: int
    predicted_boxes: int
    true_boxes: int
    matched: int
    id_matched: int

    @property
    def precision(self) -> float | None:
        return self.right / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        return self.found / self.true if self.true else None

    @property
    def idf1(self) -> float | None:
        boxes = self.predicted_boxes + self.true_boxes
        return 2 * self.id_matched / boxes if boxes else None

    def to_dict(self) -> dict[str, float | int | None]:
        """Shares first, then the counts that they come from."""
        counts = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"precision": self.precision, "recall": self.recall, "idf1": self.idf1, **counts}


@dataclass(frozen=True, slots=True, kw_only=True)
class LinksReport:
    """Each video of the truth by its name; `protocol` is what the figures depend on, `warnings` what did not count."""

    videos: dict[str, LinkCounts]
    protocol: dict[str, str | float | None]
    warnings: tuple[str, ...]

    @property
    def total(self) -> LinkCounts:
        """All videos together: sums of their counts, for ids are of one video only."""
        names = [field.name for field in fields(LinkCounts)]
        return LinkCounts(**{name: sum(getattr(counts, name) for counts in self.videos.values()) for name in names})

    def to_json(self) -> str:
        content = {
            "total": self.total.to_dict(),
            "videos": {name: counts.to_dict() for name, counts in self.videos.items()},
            "protocol": self.protocol,
            "warnings": list(self.warnings),
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def judge_links(truth: Tracks, predicted: Tracks, *, max_gap: int | None = None, min_iou: float = 0.5) -> LinkCounts:
    """One video; `max_gap` in ticks: longer links count on neither side."""
    t, p = match(truth.tick, truth.boxes, predicted.tick, predicted.boxes, min_iou)
    _, true_ids = np.unique(truth.ids, return_inverse=True)
    _, predicted_ids = np.unique(predicted.ids, return_inverse=True)
    true_of_predicted = len(true_ids) + np.arange(len(predicted_ids))  # of its own where nobody matches
    true_of_predicted[p] = true_ids[t]
    predicted_of_true = len(predicted_ids) + np.arange(len(true_ids))
    predicted_of_true[t] = predicted_ids[p]
    made = link_scores(predicted.tick, true_of_predicted, predicted_ids, max_gap)
    wanted = link_scores(truth.tick, true_ids, predicted_of_true, max_gap)
    identity = identity_scores(truth, predicted, min_iou)
    return LinkCounts(
        predicted=made.predicted,
        right=round(made.precision * made.predicted),
        true=wanted.true,
        found=round(wanted.recall * wanted.true),
        switches=identity.switches,
        predicted_boxes=len(predicted.ids),
        true_boxes=len(truth.ids),
        matched=len(t),
        id_matched=round(identity.id_recall * len(truth.ids)),
    )


def evaluate_links(
    predictions: str | Path,
    groundtruth: str | Path,
    *,
    max_gap: float | None = None,
    min_iou: float = 0.5,
    relink: LinkConfig | None = None,
    box_threshold: float = 0.0,
    box_units: str | None = None,
    fps: float | None = None,
    picture: tuple[int, int] | None = None,
) -> LinksReport:
    """Judges the ids of `predictions` by those of `groundtruth`, box files of any format that `read_boxes` knows.

    `max_gap`: seconds; longer links count on neither side. `relink`: boxes of `predictions` get new ids from the
    keyframe linker, whatever the file says. `box_threshold` leaves out predicted boxes that score less. `fps` turns
    the frames of files that count them into seconds; `picture` (width, height) is needed where one file has pixels
    and the other fractions. Raises InputError for files without boxes, without ids or with ids on some rows only,
    for an id on two boxes of an instant, and where no video or no instant is in both.
    """
    if not 0 < min_iou <= 1:
        raise InputError(f"least overlap {min_iou:g}; expected an IoU above 0 and up to 1")
    if max_gap is not None and not max_gap > 0:
        raise InputError(f"gap {max_gap:g}; expected seconds, more than 0")
    if fps is not None and not 0 < fps < np.inf:
        raise InputError(f"fps {fps:g}; expected frames a second, more than 0")
    truth, found = _read(groundtruth, box_units), _read(predictions, box_units)
    check_ids(truth, "the truth needs them")
    if relink is None:
        check_ids(found, "add --relink to link its boxes here")
    pairs = same_videos(truth.videos, found.videos)
    if not pairs:
        raise InputError(f"{found.path} and {truth.path} have no video in common: {_names(found)} and {_names(truth)}")
    unit = _ticks_per_unit(truth, found, fps, max_gap)
    size = _size(truth, found, picture)
    gap = None if max_gap is None else round(max_gap * unit) + 1  # both ends are rounded
    videos, unlisted, shared = {}, 0, 0
    for code, name in enumerate(truth.videos):
        true = _Side.of(truth, code, size, fps)
        guess = _Side.of(found, pairs[code], size, fps, box_threshold) if code in pairs else _Side.nothing()
        guess = guess if relink is None else guess.relinked(relink)
        t, p = same_instants(true.instants, guess.instants, true.tolerance)
        ticks = np.rint(true.instants * unit).astype(np.int64)
        tick_of = np.full(len(guess.instants), -1)
        tick_of[p] = ticks[t]
        judged = guess.tracks(tick_of)
        videos[name] = judge_links(true.tracks(ticks), judged, max_gap=gap, min_iou=min_iou)
        unlisted, shared = unlisted + len(guess.ids) - len(judged.ids), shared + len(t)
    if not shared:
        raise InputError(f"no instant is in both: {_span(found)}, {_span(truth)}; does one begin at another second?")
    protocol: dict[str, str | float | None] = {
        "predictions": str(predictions),
        "groundtruth": str(groundtruth),
        "ids": "of the predictions" if relink is None else f"keyframe linker by overlap, max_gap {relink.max_gap}",
        "min_iou": min_iou,
        "max_gap_s": max_gap,
        "box_threshold": box_threshold,
    }
    return LinksReport(videos=videos, protocol=protocol, warnings=_warnings(truth, found, pairs, unlisted))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One video of one file: `instants [I]` in seconds or frames, the row of `instants` of each box, boxes, ids."""

    instants: Floats
    instant_of: Ints
    boxes: Floats
    ids: Ints
    tolerance: float

    @classmethod
    def of(
        cls, table: BoxTable, code: int, size: tuple[int, int], fps: float | None, threshold: float = -np.inf
    ) -> "_Side":
        boxes = table.for_video(table.videos[code], *size)
        factor = 1 / fps if fps is not None and boxes.clock == "frames" else 1.0
        kept = boxes.score >= threshold
        return cls(
            instants=boxes.instants * factor,
            instant_of=np.repeat(np.arange(len(boxes.instants)), np.diff(boxes.start))[kept],
            boxes=boxes.boxes[kept],
            ids=boxes.person_id[kept],
            tolerance=boxes.tolerance() * factor,
        )

    @classmethod
    def nothing(cls) -> "_Side":
        none = np.zeros(0, np.int64)
        return cls(instants=np.zeros(0), instant_of=none, boxes=np.zeros((0, 4)), ids=none, tolerance=0.0)

    def relinked(self, config: LinkConfig) -> "_Side":
        ids = link_keyframes(self.boxes, self.instants[self.instant_of], config=config)
        return _Side(
            instants=self.instants, instant_of=self.instant_of, boxes=self.boxes, ids=ids, tolerance=self.tolerance
        )

    def tracks(self, ticks: Ints) -> Tracks:
        """The boxes at the tick `[I]` of their instant, those at -1 left out, in an order that no file decides."""
        tick = ticks[self.instant_of]
        order = np.lexsort((*self.boxes.T, tick))
        order = order[tick[order] >= 0]
        return Tracks(tick=tick[order], boxes=self.boxes[order], ids=self.ids[order])


def _read(path: str | Path, units: str | None) -> BoxTable:
    table = read_boxes(path, units=units, expect_ids=True)
    if not len(table):
        raise InputError(f"{table.path}: no boxes in it; expected person boxes with ids")
    return table


def _ticks_per_unit(truth: BoxTable, found: BoxTable, fps: float | None, max_gap: float | None) -> int:
    """Ticks in one unit of the common clock: seconds, or frames where both count them and no rate is known."""
    clocks = {truth.clock, found.clock}
    if fps is not None or clocks == {"seconds"}:
        return MICRO
    if len(clocks) == 2:
        counts, other = (found, truth) if found.clock == "frames" else (truth, found)
        raise InputError(f"{counts.path} counts frames and {other.path} seconds; add --fps, the frames a second")
    if max_gap is not None:
        raise InputError(f"{truth.path} and {found.path} count frames, the gap is in seconds; add --fps")
    return 1


def _size(truth: BoxTable, found: BoxTable, picture: tuple[int, int] | None) -> tuple[int, int]:
    """Width and height that pixels refer to. IoU is the same in any, so that none is needed for pixels on both sides:
    one that holds all boxes does.
    """
    known = picture or truth.picture or found.picture
    if known is not None:
        return known
    if truth.units != found.units:
        pixel, other = (truth, found) if truth.units == "pixel" else (found, truth)
        raise InputError(
            f"{pixel.path} has pixels and {other.path} fractions of the picture; add --picture WIDTHxHEIGHT"
        )
    corner = np.concatenate([truth.boxes, found.boxes])[:, 2:].max(axis=0)
    return int(max(np.ceil(corner[0]), 1)), int(max(np.ceil(corner[1]), 1))


def _names(table: BoxTable) -> str:
    named = [repr(name) if name else "(no name)" for name in table.videos[:3]]
    return ", ".join(named) + (", …" if len(table.videos) > 3 else "")


def _span(table: BoxTable) -> str:
    return f"{table.path} has {table.clock} {table.instant.min():g} to {table.instant.max():g}"


def _warnings(truth: BoxTable, found: BoxTable, pairs: dict[int, int], unlisted: int) -> tuple[str, ...]:
    missing = [name for code, name in enumerate(truth.videos) if code not in pairs]
    extra = [name for code, name in enumerate(found.videos) if code not in set(pairs.values())]
    said = []
    if missing:
        said.append(f"{len(missing)} of {len(truth.videos)} videos have no predictions, such as {missing[0]!r}: missed")
    if extra:
        said.append(f"{len(extra)} predicted videos are not in the truth, such as {extra[0]!r}: left out")
    if unlisted:
        said.append(f"{unlisted} predicted boxes are at instants that the truth does not list: left out")
    return tuple(said)
