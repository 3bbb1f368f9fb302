"""Articulated people: looks, and where their joints are in each posture."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

JOINTS = (
    "head", "neck", "hips", "left_elbow", "left_hand", "right_elbow", "right_hand",
    "left_knee", "left_foot", "right_knee", "right_foot",
)  # fmt: skip
AT = {name: row for row, name in enumerate(JOINTS)}
TRUNK = [AT[name] for name in JOINTS if "elbow" not in name and "hand" not in name]
"""What a box is drawn around: not the arms, so that whose arm it is cannot be read off a box."""

SKINS = ("#8d5524", "#a9714b", "#c68642", "#e0ac69", "#f1c27d", "#ffdbac")
SHIRTS = (
    "#c0392b", "#2471a3", "#1e8449", "#d4ac0d", "#7d3c98", "#d35400", "#148f77", "#ec7fa9", "#ecf0f1", "#212f3d",
)  # fmt: skip
TROUSERS = ("#1b2631", "#5d4037", "#4d5656", "#283593", "#6e2c00", "#7b7d7d", "#33691e")
HAIR = ("#1c1310", "#4e342e", "#8d6e63", "#c9a227", "#9e9e9e", "#a23b17")
HAIRCUTS = ("short", "long", "bun", "cap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one can know a person by."""

    skin: str
    shirt: str
    trousers: str
    hair: str
    haircut: str
    stripes: bool
    build: float
    """thickness of limbs, about 1"""


def looks(random: np.random.Generator, number: int) -> list[Look]:
    """Looks of a cast: shirts differ, but one cast in four has two people in the same one."""
    shirts = [SHIRTS[i] for i in random.permutation(len(SHIRTS))[:number]]
    if number > 1 and random.random() < 0.25:
        shirts[1] = shirts[0]
    trousers = [TROUSERS[i % len(TROUSERS)] for i in random.permutation(max(number, len(TROUSERS)))[:number]]
    return [
        Look(
            skin=str(random.choice(SKINS)),
            shirt=shirt,
            trousers=legs,
            hair=str(random.choice(HAIR)),
            haircut=str(random.choice(HAIRCUTS)),
            stripes=bool(random.random() < 0.3),
            build=float(random.uniform(0.88, 1.15)),
        )
        for shirt, legs in zip(shirts, trousers, strict=True)
    ]


def _legs(hips: float, left: tuple[float, float], right: tuple[float, float], bend: float) -> list[tuple[float, float]]:
    """Knees half way from the hips, bent forward; feet as given."""
    middle = [((x) / 2 + bend, (hips + y) / 2) for x, y in (left, right)]
    return [middle[0], left, middle[1], right]


def _upright(hips: float, lean: float, legs: list[tuple[float, float]]) -> dict[str, tuple[float, float]]:
    neck = (lean, hips - 0.33)
    names = ("left_knee", "left_foot", "right_knee", "right_foot")
    return {
        "head": (lean * 1.25, hips - 0.445),
        "neck": neck,
        "hips": (0.0, hips),
        **dict(zip(names, legs, strict=True)),
    }


def _stand(phase: float) -> dict[str, tuple[float, float]]:
    sway = 0.006 * np.sin(0.7 * phase)
    return _upright(-0.47, sway, _legs(-0.47, (-0.06, 0.0), (0.06, 0.0), 0.01))


def _stride(phase: float, reach: float, lean: float) -> dict[str, tuple[float, float]]:
    swing, lift = np.sin(phase), 0.05 * reach / 0.2
    left = (reach * swing, -lift * max(0.0, np.cos(phase)))
    right = (-reach * swing, -lift * max(0.0, -np.cos(phase)))
    bob = 0.012 * np.cos(2 * phase)
    return _upright(-0.46 + bob, lean, _legs(-0.46 + bob, left, right, 0.05))


def _sit(phase: float) -> dict[str, tuple[float, float]]:
    legs = [(0.18, -0.27), (0.19, 0.0), (0.15, -0.26), (0.14, 0.0)]
    return _upright(-0.27, 0.008 * np.sin(0.6 * phase), legs)


def _crouch(phase: float) -> dict[str, tuple[float, float]]:
    return _upright(-0.24, 0.10 + 0.006 * np.sin(phase), [(0.17, -0.22), (0.05, 0.0), (0.13, -0.21), (-0.05, 0.0)])


def _lie(phase: float) -> dict[str, tuple[float, float]]:
    breath = 0.004 * np.sin(0.9 * phase)
    return {
        "head": (-0.45, -0.085), "neck": (-0.33, -0.09 + breath), "hips": (0.0, -0.07),
        "left_knee": (0.24, -0.12), "left_foot": (0.46, -0.05),
        "right_knee": (0.24, -0.06), "right_foot": (0.47, -0.03),
    }  # fmt: skip


_BODIES = {
    "stand": _stand,
    "walk": lambda phase: _stride(phase, 0.16, 0.02),
    "run": lambda phase: _stride(1.6 * phase, 0.25, 0.08),
    "sit": _sit,
    "crouch": _crouch,
    "lie": _lie,
}
_CHANGES = {
    "sit down": ("stand", "sit"), "get up": ("sit", "stand"), "fall": ("stand", "lie"), "lie down": ("stand", "lie"),
}  # fmt: skip
"""Bodies on the way from one posture to another."""


def _arms(arms: str, neck: tuple[float, float], phase: float) -> list[tuple[float, float]]:
    """Left elbow, left hand, right elbow, right hand, from the neck; the person looks to the right."""
    x, y = neck
    beat = np.sin(phase * 1.5)

    def at(*steps: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x + dx, y + dy) for dx, dy in steps]

    swing = 0.11 * np.sin(phase)
    return {
        "down": at((-0.06, 0.17), (-0.05, 0.34), (0.06, 0.17), (0.05, 0.34)),
        "swing": at((-swing * 0.6, 0.16), (-swing + 0.05, 0.30), (swing * 0.6, 0.16), (swing + 0.05, 0.30)),
        "forward": at((0.13, 0.07), (0.28, 0.06), (0.13, 0.04), (0.29, 0.02)),
        "hips": at((-0.12, 0.15), (-0.03, 0.29), (0.13, 0.15), (0.04, 0.29)),
        "chin": at((0.04, 0.18), (0.12, 0.22), (0.11, 0.15), (0.09, -0.02)),
        "low": at((0.10, 0.13), (0.19, 0.24 + 0.02 * beat), (0.05, 0.17), (0.06, 0.33)),
        "lap": at((0.03, 0.17), (0.16, 0.24), (0.05, 0.16), (0.17, 0.22)),
        "up": at((-0.12, -0.04), (-0.08, -0.22), (0.12, -0.04), (0.08, -0.22)),
        "folded": at((-0.09, 0.15), (0.09, 0.17), (0.11, 0.15), (-0.05, 0.19)),
        "wave": at((-0.06, 0.17), (-0.05, 0.34), (0.14, -0.04), (0.14 + 0.08 * np.sin(2.4 * phase), -0.22)),
        "guitar": at((-0.08, 0.15), (0.02, 0.22 + 0.03 * beat), (0.12, 0.13), (0.22, 0.08)),
        "book": at((0.03, 0.16), (0.15, 0.14), (0.09, 0.15), (0.18, 0.13)),
        "flail": at((-0.16, -0.05), (-0.24, -0.18), (0.15, -0.02), (0.27, -0.13)),
        "push": at((0.03, 0.17), (0.05, 0.34), (0.17, 0.06), (0.36 + 0.05 * np.sin(2.0 * phase), 0.06)),
        "shut": at((0.0, 0.15), (0.04, 0.30), (0.02, 0.15), (0.06, 0.30)),
        "rest": at((0.12, 0.02), (0.25, 0.03), (0.10, -0.01), (0.20, -0.02)),
    }[arms]  # fmt: skip


def joints(body: str, arms: str, *, done: float, phase: float, facing: int) -> Points:
    """`[11, 2]` from the point below the hips on the ground, in body heights, y down.

    `done` is how much of a change of posture is over, `phase` what swings (radians), `facing` 1 right or -1 left.
    """
    if body in _CHANGES:
        before, after = _CHANGES[body]
        ease = done * done * (3 - 2 * done) if body != "fall" else done**2.5
        points = (1 - ease) * _posed(before, arms, phase) + ease * _posed(after, arms, phase)
    else:
        points = _posed(body, arms, phase)
    return points * (facing, 1.0)


def _posed(body: str, arms: str, phase: float) -> Points:
    where = _BODIES[body](phase)
    elbows_hands = _arms("rest" if body == "lie" and arms == "down" else arms, where["neck"], phase)
    names = ("left_elbow", "left_hand", "right_elbow", "right_hand")
    where |= dict(zip(names, elbows_hands, strict=True))
    return np.array([where[name] for name in JOINTS])
