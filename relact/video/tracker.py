"""A causal tracker: every box gets an id at once, by motion and, where pictures are given, by looks.

Tracks and boxes are paired by one Hungarian assignment whose cost is a negative log likelihood: of the box
under the track's Kalman prediction, less the log odds that both look like one person. A pair dearer than a
new person is not made. A track lost for long, or cut away from, can come back by its looks alone.
`benchmarks/tracking.py` measures it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from relact.boxes import Floats, area, intersection
from relact.data.sampling import Picture
from relact.errors import InputError
from relact.video.appearance import SIZE, CutFinder, Telling, colour_features

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerConfig:
    """Spreads are in sizes of the person (the box's longer side), so that near and far are alike; costs are in nats.

    The values come from a random search on generated scenes and real boxes: benchmarks/tracking.py says which.
    """

    jitter: float = 0.042
    """spread of a detection's centre"""
    shape_jitter: float = 0.163
    """the same for width (arms, legs) and, by half, height (bending)"""
    acceleration: float = 0.573
    """spread of speed changes, sizes a second per root second"""
    size_drift: float = 0.13
    first_speed: float = 1.913
    """spread of a new person's speed, sizes a second"""
    damping_s: float = 1.967
    """time after which a speed is forgotten: nobody walks straight on for ever"""
    birth_cost: float = 8.485
    """above it a pair is not made and the box is a new person"""
    gate: float = 19.364
    """squared Mahalanobis distance of a jump, after which motion is learnt anew"""
    jump: float = 0.19
    """spread of a jump (a pan of the camera, a box that changes its mind), times `JUMP`"""
    jump_cost: float = 2.589
    """how unlikely a jump is"""
    gap_cost: float = 0.795
    """for each second that the track was missed"""
    doubt_cost: float = 0.0
    """for a score of 0, less for better ones; 0 because a search found no use for scores"""
    edge_cost: float = 4.0
    """for a track that was lost at the left or right edge of the picture: whoever comes in there is likely new"""
    young_cost: float = 1.503
    """for a track seen once"""
    max_gap_s: float = 1.862
    """how long motion is extrapolated for a person out of sight; at least 2.5 detector periods"""
    looks_limit: tuple[float, float] = (-3.0, 3.0)
    """log odds of looks count between these beside motion: a hidden person looks like another"""
    looks_memory: float = 0.85
    away_s: float = 15.6
    """how long a lost person can come back by looks alone"""
    away_cost: float = 7.242
    """to come back by looks at a cut, less the log odds of looks, which count up to `away_limit`"""
    return_cost: float = 6.885
    """the same in the midst of a shot"""
    away_limit: float = 4.2
    away_hits: int = 3
    """a person seen less often does not come back"""
    overlap_limit: float = 0.35
    """looks are not learnt from a box that others cover by more than this share"""


JUMP = np.asarray([1.0, 1.0, 0.6, 0.8])
"""Of centre x, centre y, width, height."""

EDGE = 0.015
"""Share of the picture's width within which a box touches its edge."""

SIDEWAYS = np.asarray([1.0, 0.4])
"""People move sideways more than up and down the picture."""


TRACK = np.dtype(
    [
        ("id", np.int64),
        ("place", np.float64, 4),  # centre x, centre y, width, height
        ("velocity", np.float64, 4),
        ("spread", np.float64, (4, 3)),  # variance of place, covariance, variance of velocity
        ("seen_s", np.float64),
        ("hits", np.int64),
        ("looks", np.float64, SIZE),
        ("at_edge", np.bool_),  # last seen at the left or right edge of the picture
        ("known", np.bool_),  # looks have been seen
        ("away", np.bool_),  # motion says nothing any more: lost for long, or another shot
    ]
)


class Tracker:
    """Follows the people of one video, picture by picture. Ids count from 1 and are never used twice.

    `rate_hz` is how often `update` will be called, roughly; only a lower bound of patience hangs on it.
    """

    def __init__(self, rate_hz: float = 5.0, config: TrackerConfig | None = None) -> None:
        if not rate_hz > 0:
            raise InputError(f"tracker: rate_hz={rate_hz}; expected pictures a second, above 0")
        self._config = config or TrackerConfig()
        self._patience_s = max(self._config.max_gap_s, 2.5 / rate_hz)
        self._tracks = np.zeros(0, TRACK)
        self._next_id = 1
        self._time_s: float | None = None
        self._telling = Telling()
        self._cuts = CutFinder()

    def update(
        self,
        boxes_px: Floats,
        scores: Floats,
        time_s: float,
        picture: Picture | None = None,
        cut: bool | None = None,
    ) -> Ints:
        """Ids `[N]` of the boxes `[N, 4]` of one picture. Called in order of time, without people too.

        `picture` is what the boxes were found in, of the same pixels. `cut` says that a new shot begins
        here; None lets the tracker judge from the pictures. Raises InputError where time does not advance.
        """
        elapsed = self._advance(time_s)
        if cut is None:
            cut = picture is not None and self._cuts.is_cut(picture)
        boxes = np.asarray(boxes_px, np.float64).reshape(-1, 4)
        places = _places(boxes)
        looks = np.zeros((len(boxes), SIZE)) if picture is None else colour_features(picture, boxes)
        self._retire(time_s, cut, has_looks=picture is not None)
        _predict(self._tracks, elapsed, self._config)
        cost = self._motion_cost(places, np.asarray(scores, np.float64), elapsed)
        if picture is not None:
            cost = self._add_looks(cost, looks, cut)
        track, box = _assign(cost, self._config.birth_cost)
        if picture is not None:
            self._learn_looks(track, looks, box, _covered(boxes) < self._config.overlap_limit)
        self._correct(track, places[box])
        at_edge = _at_edge(boxes, picture)
        self._tracks["at_edge"][track] = at_edge[box]
        self._tracks["seen_s"][track] = time_s
        self._tracks["hits"][track] += 1
        new = np.setdiff1d(np.arange(len(boxes)), box)
        born = self._born(places[new], looks[new], time_s, known=picture is not None)
        born["at_edge"] = at_edge[new]
        ids = np.zeros(len(boxes), np.int64)
        ids[box], ids[new] = self._tracks["id"][track], born["id"]
        self._tracks = np.concatenate([self._tracks, born])
        return ids

    def _advance(self, time_s: float) -> float:
        elapsed = 0.0 if self._time_s is None else time_s - self._time_s
        if not (np.isfinite(time_s) and (self._time_s is None or elapsed > 0)):
            raise InputError(f"tracker: time {time_s} s after {self._time_s} s; expected times that grow")
        self._time_s = time_s
        return elapsed

    def _retire(self, time_s: float, cut: bool, has_looks: bool) -> None:
        """Sends away who has been out of sight for long, all at a cut; forgets who cannot come back."""
        tracks, config = self._tracks, self._config
        gap = time_s - tracks["seen_s"]
        tracks["away"] |= cut | (gap > self._patience_s)
        can_return = has_looks & tracks["known"] & (tracks["hits"] >= config.away_hits) & (gap <= config.away_s)
        self._tracks = tracks[~tracks["away"] | can_return]

    def _motion_cost(self, places: Floats, scores: Floats, elapsed: float) -> Floats:
        """Negative log likelihood `[T, N]`, up to a constant; a jump is a rare second way to be where one is."""
        tracks, config = self._tracks, self._config
        size = _size(tracks["place"])[:, 0]
        variance = tracks["spread"][..., 0] + _detector_variance(tracks["place"], config)
        squared = (places[None] - tracks["place"][:, None]) ** 2
        expected = _unlikeliness(squared, variance, size)
        jumped = config.jump_cost + _unlikeliness(squared, variance + (size[:, None] * config.jump * JUMP) ** 2, size)
        missed_s = (self._now - tracks["seen_s"] - elapsed).clip(min=0)
        prior = 8.0 + config.gap_cost * missed_s + self._edge_cost(missed_s) + config.young_cost * (tracks["hits"] < 2)
        cost = -np.logaddexp(-expected, -jumped) + prior[:, None] + config.doubt_cost * (1 - scores)
        return np.where(tracks["away"][:, None], np.inf, cost)

    def _edge_cost(self, missed_s: Floats) -> Floats:
        return self._config.edge_cost * (self._tracks["at_edge"] & (missed_s > 0))

    @property
    def _now(self) -> float:
        assert self._time_s is not None
        return self._time_s

    def _add_looks(self, motion_cost: Floats, looks: Floats, cut: bool) -> Floats:
        tracks, config = self._tracks, self._config
        odds = self._telling.log_odds(tracks["looks"] @ looks.T)
        odds_beside_motion = np.where(tracks["known"][:, None], odds.clip(*config.looks_limit), 0)
        gone = config.away_cost if cut else config.return_cost + config.edge_cost * tracks["at_edge"][:, None]
        back = gone - odds.clip(max=config.away_limit)
        return np.where(tracks["away"][:, None], back, motion_cost - odds_beside_motion)

    def _learn_looks(self, track: Ints, looks: Floats, box: Ints, clear: Bools) -> None:
        """Updates the linked tracks' looks; boxes that others cover say little and are left out."""
        tracks = self._tracks
        seen = clear[box] & tracks["known"][track]
        likeness = (tracks["looks"][track[seen]] * looks[box[seen]]).sum(axis=1)
        self._telling.learn(likeness, looks[clear])
        fresh = clear[box] | ~tracks["known"][track]
        track, box = track[fresh], box[fresh]
        weight = np.where(tracks["known"][track], self._config.looks_memory, 0)[:, None]
        tracks["looks"][track] = weight * tracks["looks"][track] + (1 - weight) * looks[box]
        tracks["known"][track] = True

    def _correct(self, track: Ints, places: Floats) -> None:
        """Kalman's update of the linked tracks; one that comes back or jumped starts its motion anew."""
        tracks = self._tracks
        place, mixed, speed = np.moveaxis(tracks["spread"][track], -1, 0)
        total = place + _detector_variance(places, self._config)
        surprise = places - tracks["place"][track]
        gain, speed_gain = place / total, mixed / total
        tracks["place"][track] += gain * surprise
        tracks["velocity"][track] += speed_gain * surprise
        tracks["spread"][track] = np.stack(
            [(1 - gain) * place, (1 - gain) * mixed, speed - speed_gain * mixed], axis=-1
        )
        anew = tracks["away"][track] | ((surprise**2 / total).sum(axis=1) > self._config.gate)
        tracks["place"][track[anew]] = places[anew]
        tracks["velocity"][track[anew]] = 0
        tracks["spread"][track[anew]] = _first_spread(places[anew], self._config)
        tracks["away"][track] = False

    def _born(self, places: Floats, looks: Floats, time_s: float, known: bool) -> npt.NDArray[np.void]:
        born = np.zeros(len(places), TRACK)
        born["id"] = np.arange(self._next_id, self._next_id + len(places))
        self._next_id += len(places)
        born["place"], born["looks"], born["known"] = places, looks, known
        born["spread"] = _first_spread(places, self._config)
        born["seen_s"], born["hits"] = time_s, 1
        return born


def _places(boxes: Floats) -> Floats:
    low, high = boxes[:, :2], boxes[:, 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=1)


def _at_edge(boxes: Floats, picture: Picture | None) -> Bools:
    """Whether a box touches the left or right edge, where people leave; no without a picture (size unknown)."""
    if picture is None:
        return np.zeros(len(boxes), np.bool_)
    width = picture.shape[1]
    return (boxes[:, 0] <= EDGE * width) | (boxes[:, 2] >= (1 - EDGE) * width)


def _size(places: Floats) -> Floats:
    """The longer side of each box `[N, 1]`: the measure of all spreads."""
    return places[:, 2:].max(axis=1, keepdims=True, initial=1)


def _unlikeliness(squared: Floats, variance: Floats, size: Floats) -> Floats:
    """Negative log density `[T, N]` in sizes, less its constant: `squared [T, N, 4]`, `variance [T, 4]`."""
    width = 0.5 * np.log(variance / size[:, None] ** 2).sum(axis=1)
    return 0.5 * (squared / variance[:, None]).sum(axis=2) + width[:, None]


def _detector_variance(places: Floats, config: TrackerConfig) -> Floats:
    jitter, shape = config.jitter, config.shape_jitter
    return (_size(places) * np.asarray([jitter, jitter, shape, 0.5 * shape])) ** 2


def _first_spread(places: Floats, config: TrackerConfig) -> Floats:
    variance = _detector_variance(places, config)
    size = _size(places)
    speed = np.concatenate([config.first_speed * size * SIDEWAYS, 0.3 * size.repeat(2, axis=1)], axis=1)
    return np.stack([variance, np.zeros_like(variance), speed**2], axis=-1)


def _predict(tracks: npt.NDArray[np.void], elapsed: float, config: TrackerConfig) -> None:
    """Moves all tracks on by `elapsed` seconds: damped constant velocity, white noise of acceleration."""
    size = _size(tracks["place"])
    drift = np.asarray([config.acceleration, config.acceleration, config.size_drift, config.size_drift])
    noise = (size * drift) ** 2
    fade = np.exp(-elapsed / config.damping_s)
    reach = config.damping_s * (1 - fade)  # how far a speed of 1 still carries
    place, mixed, speed = np.moveaxis(tracks["spread"], -1, 0)
    tracks["spread"] = np.stack(
        [
            place + 2 * reach * mixed + reach**2 * speed + noise * elapsed**3 / 3,
            fade * (mixed + reach * speed + noise * elapsed**2 / 2),
            fade**2 * speed + noise * elapsed * fade,
        ],
        axis=-1,
    )
    tracks["place"] += tracks["velocity"] * reach
    tracks["place"][:, 2:] = tracks["place"][:, 2:].clip(min=1)
    tracks["velocity"] *= fade


def _covered(boxes: Floats) -> Floats:
    """The largest share of each box that one other box covers."""
    share = intersection(boxes[:, None], boxes[None]) / np.maximum(area(boxes), 1e-9)[:, None]
    np.fill_diagonal(share, 0)
    return share.max(axis=1, initial=0)


def _assign(cost: Floats, limit: float) -> tuple[Ints, Ints]:
    """The cheapest pairing in which an unpaired row costs `limit`: rows and columns of the pairs below it."""
    rows, columns = linear_sum_assignment(np.minimum(cost, limit))
    made = cost[rows, columns] < limit
    return rows[made], columns[made]
