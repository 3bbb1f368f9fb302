"""A causal tracker: every box gets an id, by motion and, where pictures are given, by appearance."""

from dataclasses import dataclass, replace
import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from relact.boxes import Floats, area, intersection
from relact.errors import InputError

Ints = npt.NDArray[np.int64]
Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerConfig:
    max_gap_s: float = 3.0
    sure_score: float = 0.6
    jitter: float = 0.04          # sd of measurement, share of box size
    acceleration: float = 1.6     # sd of random acceleration, box heights per s^1.5
    size_drift: float = 0.25
    first_speed: float = 1.0
    birth_cost: float = 7.0
    gate: float = 30.0
    appearance_limit: float = 6.0
    stage2_cost: float = 6.0
    cut_level: float = 0.1
    memory: float = 0.85
    gap_cost: float = 1.0
    doubt_cost: float = 3.0
    young_cost: float = 1.0
    damping_s: float = 1.5
    max_gap_motion: float = 1.5
    app_low: float = -3.0
    app_high: float = 3.0
    app_weight: float = 1.0
    away_cost: float = 8.0
    away_s: float = 20.0
    away_hits: float = 3.0
    away_high: float = 5.0


class Tracker:
    def __init__(self, rate_hz: float = 5.0, config: TrackerConfig = TrackerConfig()):
        self.config = config
        self.rate_hz = rate_hz
        self.max_gap = max(config.max_gap_s, 2.5 / rate_hz)
        self.next = 1
        T = 0
        self.ids = np.zeros(0, np.int64)
        self.place = np.zeros((0, 4)); self.velocity = np.zeros((0, 4))
        self.cov = np.zeros((0, 4, 3))
        self.seen = np.zeros(0); self.hits = np.zeros(0, np.int64)
        self.look = np.zeros((0, LOOK)); self.known = np.zeros(0, bool); self.away = np.zeros(0, bool)
        self.time = None
        self.similarity = Similarity()
        self.thumb = None

    def keep(self, m):
        for n in ("ids", "place", "velocity", "cov", "seen", "hits", "look", "known", "away"):
            setattr(self, n, getattr(self, n)[m])

    def update(self, boxes, scores, time_s, picture=None, cut=None):
        c = self.config
        boxes = np.asarray(boxes, np.float64)
        dt = 0.0 if self.time is None else time_s - self.time
        self.time = time_s; self.dt = dt
        if picture is not None:
            thumb = thumbnail(picture)
            if cut is None:
                cut = self.thumb is not None and picture_change(self.thumb, thumb) > c.cut_level
            self.thumb = thumb
        gap = time_s - self.seen
        has = picture is not None
        limit = max(c.max_gap_s if has else c.max_gap_motion, 2.5 / self.rate_hz)
        self.away |= (gap > limit)
        if cut:
            self.away[:] = True
        self.keep(~self.away | ((gap <= c.away_s) & self.known & (self.hits >= c.away_hits) & has))
        z = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)
        look = looks(picture, boxes) if picture is not None else np.zeros((len(boxes), LOOK))
        has = picture is not None
        self.predict(dt)
        ids = np.zeros(len(boxes), np.int64)
        cost = self.cost(z, look, has, bool(cut))
        cost = cost + c.doubt_cost * np.maximum(c.sure_score - scores, 0)
        sure = scores >= c.sure_score
        T = len(self.ids)
        free = np.ones(T, bool)
        pairs = []
        for group, limit in ((np.flatnonzero(sure), c.birth_cost), (np.flatnonzero(~sure), c.stage2_cost)):
            rows = np.flatnonzero(free)
            t, d = assign(cost[np.ix_(rows, group)], limit)
            t, d = rows[t], group[d]
            free[t] = False
            pairs.append((t, d))
        t = np.concatenate([p[0] for p in pairs]); d = np.concatenate([p[1] for p in pairs])
        ids[d] = self.ids[t]
        clear = covered(boxes) < 0.35
        if has:
            self.similarity.learn(self.look[t][self.known[t] & clear[d]], look[d][self.known[t] & clear[d]], look[clear])
        self.correct(t, z[d], bool(cut))
        good = t[clear[d] | ~self.known[t]], d[clear[d] | ~self.known[t]]
        if has:
            w = np.where(self.known[good[0]], c.memory, 0)[:, None]
            self.look[good[0]] = w * self.look[good[0]] + (1 - w) * look[good[1]]
            self.known[good[0]] = True
        self.seen[t] = time_s; self.hits[t] += 1
        new = np.flatnonzero(ids == 0)
        ids[new] = np.arange(self.next, self.next + len(new)); self.next += len(new)
        self.start(ids[new], z[new], look[new], time_s, has)
        return ids

    def predict(self, dt):
        c = self.config
        h = self.place[:, 3:4]
        q = np.concatenate([np.repeat(c.acceleration * h, 2, 1), np.repeat(c.size_drift * h, 2, 1)], 1) ** 2
        fade = np.exp(-dt / c.damping_s)
        reach = c.damping_s * (1 - fade)
        self.place = self.place + self.velocity * reach
        self.velocity = self.velocity * fade
        self.place[:, 2:] = np.maximum(self.place[:, 2:], 1.0)
        pp, pv, vv = np.moveaxis(self.cov, -1, 0)
        # OU-like decay of speed: velocity reverts with tau
        self.cov = np.stack([pp + 2 * reach * pv + reach**2 * vv + q * dt**3 / 3, (pv + reach * vv) * fade + q * dt**2 / 2 * fade, vv * fade**2 + q * dt * fade], -1)

    def noise(self, place):
        h = np.maximum(place[:, 3:4], 1)
        return (h * self.config.jitter * np.array([0.6, 0.7, 1.6, 1.4])) ** 2

    def cost(self, z, look, has, cut):
        c = self.config
        S = self.cov[..., 0] + self.noise(self.place)
        y = z[None] - self.place[:, None]
        maha = (y**2 / S[:, None]).sum(-1)
        h = np.maximum(self.place[:, 3], 1)
        cost = 0.5 * maha + 0.5 * np.log(S / h[:, None] ** 2).sum(-1)[:, None] + 8.0
        gap = self.time - self.seen
        cost = cost + (c.gap_cost * np.maximum(gap - self.dt, 0) + c.young_cost * (self.hits < 2))[:, None]
        cost = np.where(maha > c.gate, np.inf, cost)
        if has and len(z):
            s = self.look @ look.T
            llr = np.where(self.known[:, None], self.similarity.ratio(s, c.app_low, c.app_high) * c.app_weight, 0)
            cost = cost - llr
            cost = np.where(self.away[:, None], c.away_cost - self.similarity.ratio(s, -9, c.away_high), cost)
        return cost

    def correct(self, t, z, cut):
        back = t[self.away[t]]
        zb = z[self.away[t]]
        self.place[back] = zb; self.velocity[back] = 0; self.cov[back] = self.first_cov(zb)
        z = z[~self.away[t]]; t = t[~self.away[t]]
        self.away[back] = False
        P = self.cov[t]
        R = self.noise(z)
        S = P[..., 0] + R
        kp, kv = P[..., 0] / S, P[..., 1] / S
        y = z - self.place[t]
        self.place[t] += kp * y
        self.velocity[t] += kv * y
        self.cov[t] = np.stack([(1 - kp) * P[..., 0], (1 - kp) * P[..., 1], P[..., 2] - kv * P[..., 1]], -1)

    def first_cov(self, z):
        R = self.noise(z)
        h = z[:, 3:4]
        v = np.concatenate([np.repeat(self.config.first_speed * h, 2, 1) * [1, .4], np.repeat(.3 * h, 2, 1)], 1) ** 2
        return np.stack([R, np.zeros_like(R), v], -1)

    def start(self, ids, z, look, time_s, has):
        n = len(ids)
        self.ids = np.concatenate([self.ids, ids]); self.place = np.concatenate([self.place, z])
        self.velocity = np.concatenate([self.velocity, np.zeros((n, 4))])
        self.cov = np.concatenate([self.cov, self.first_cov(z)])
        self.seen = np.concatenate([self.seen, np.full(n, time_s)]); self.hits = np.concatenate([self.hits, np.ones(n, np.int64)])
        self.look = np.concatenate([self.look, look]); self.known = np.concatenate([self.known, np.full(n, has)]); self.away = np.concatenate([self.away, np.zeros(n, bool)])


def covered(boxes):
    other = intersection(boxes[:, None], boxes[None]) / np.maximum(area(boxes), 1e-9)[:, None]
    np.fill_diagonal(other, 0)
    return other.max(1, initial=0)


def assign(cost, limit):
    if not cost.size:
        e = np.zeros(0, np.int64)
        return e, e
    capped = np.minimum(cost, limit)
    t, d = linear_sum_assignment(capped)
    ok = cost[t, d] < limit
    return t[ok], d[ok]

class Similarity:
    def __init__(self):
        self.same = [0.95, 0.05**2, 10.0]
        self.other = [0.75, 0.12**2, 10.0]
    def learn(self, a, b, look):
        s = (a * b).sum(1)
        o = (look @ look.T)[np.triu_indices(len(look), 1)]
        for stat, x in ((self.same, s), (self.other, o)):
            if len(x) == 0: continue
            n = min(stat[2], 300.0)
            m = (stat[0] * n + x.sum()) / (n + len(x))
            v = (stat[1] * n + ((x - m) ** 2).sum()) / (n + len(x))
            stat[:] = [m, v, n + len(x)]
    def ratio(self, s, lo, hi):
        (ms, vs, _), (mo, vo, _) = self.same, self.other
        vs = max(vs, 0.02**2); vo = max(vo, vs)
        s = np.minimum(s, ms)   # closer than usual is no worse than usual
        r = -0.5 * (s - ms) ** 2 / vs + 0.5 * (s - mo) ** 2 / vo + 0.5 * np.log(vo / vs)
        # below mo, monotone
        return np.clip(r, lo, hi)

GRID_Y, GRID_X, BINS = 12, 6, 8
LOOK = 3 * 3 * BINS

def looks(picture, boxes):
    n = len(boxes)
    hgt, wid = picture.shape[:2]
    fy = (np.arange(GRID_Y) + .5) / GRID_Y; fx = .25 + .5 * (np.arange(GRID_X) + .5) / GRID_X
    y = np.clip((boxes[:, 1:2] + (boxes[:, 3:4] - boxes[:, 1:2]) * fy), 0, hgt - 1).astype(np.int64)
    x = np.clip((boxes[:, 0:1] + (boxes[:, 2:3] - boxes[:, 0:1]) * fx), 0, wid - 1).astype(np.int64)
    rgb = picture[y[:, :, None], x[:, None, :]].astype(np.float64)  # n,gy,gx,3
    s = rgb.sum(-1) + 30
    l = rgb.sum(-1) / 765
    ch = np.stack([l, ((rgb[..., 0] - rgb[..., 1]) / s * 1.2 + .5), ((rgb[..., 2] - (rgb[..., 0] + rgb[..., 1]) / 2) / s * 1.2 + .5)], -1)
    p = np.clip(ch * (BINS - 1), 0, BINS - 1 - 1e-6)
    low = p.astype(np.int64); frac = p - low
    stripe = (np.arange(GRID_Y) * 3 // GRID_Y)[None, :, None, None]
    base = ((np.arange(n)[:, None, None, None] * 3 + stripe) * 3 + np.arange(3)) * BINS + low
    hist = np.bincount(base.ravel(), (1 - frac).ravel(), n * LOOK) + np.bincount(base.ravel() + 1, frac.ravel(), n * LOOK)
    f = np.sqrt(hist.reshape(n, LOOK))
    return f / np.maximum(np.linalg.norm(f, axis=1, keepdims=True), 1e-9)

def thumbnail(picture):
    h, w = picture.shape[0] // 16, picture.shape[1] // 16
    small = picture[: h * 16 : 2, : w * 16 : 2, 1]
    return small.reshape(h, 8, w, 8).mean((1, 3))

def picture_change(a, b):
    return np.abs(a - b).mean() / 255 if a.shape == b.shape else 1.0
