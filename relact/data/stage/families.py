"""The actions of Stage, the pairs that isolate a relation, and the primitives that a network is warmed up on."""

from dataclasses import dataclass
from typing import Literal

POSES = (
    "stand", "walk", "run", "sit", "crouch", "sit down", "get up", "fall", "lie down",
    "lie after a fall", "lie at rest",
)  # fmt: skip
WITH_THINGS = (
    "watch TV", "look out of a window", "listen to a gramophone", "look at a painting", "call a cat", "call a duck",
    "drive a boat", "mind the anchor", "ride a boat", "wait at anchor", "play the guitar", "read a book", "hold a ball",
)  # fmt: skip
WITH_PEOPLE = (
    "give", "receive", "sing to", "talk to", "listen to", "return to its owner", "give away", "wait for someone",
    "linger", "wave to", "chase", "be chased", "push", "be pushed",
)  # fmt: skip
ACTIONS = (*POSES, *WITH_THINGS, *WITH_PEOPLE)
"""Ids begin at 1, in this order."""
GROUPS = {
    **dict.fromkeys(POSES, "pose"),
    **dict.fromkeys(WITH_THINGS, "object"),
    **dict.fromkeys(WITH_PEOPLE, "person"),
}

KINDS = (
    "tv", "window", "gramophone", "painting", "cat", "duck", "helm", "anchor", "ball", "chest", "stool",
)  # fmt: skip
"""Things whose kind the warm-up names."""
SIDED = KINDS[: KINDS.index("ball")]
"""Things that stand at one end of the stage: the warm-up names kind and side in one; no head need join these two."""
HELD = ("guitar", "book")
"""What people hold at one end of the stage: the warm-up names it and the way they face in one."""
PRIMITIVES = (
    *(f"is a {kind}" for kind in KINDS),
    *(f"is a {kind} at the {side}" for kind in SIDED for side in ("left", "right")),
    "is a person", "moves left", "moves right", "faces left", "faces right",
    "stands", "walks", "runs", "sits", "lies", "sits down", "gets up", "falls", "lies down", "crouches", "speaks",
    "arms forward", "arms up", "waves", "has a guitar", "has a book", "has a ball", "pushes",
    *(f"has a {thing} and faces {way}" for thing in HELD for way in ("left", "right")),
)  # fmt: skip
"""What the warm-up names of every person and thing, all of it in the box itself or beside it: no relation."""


FamilyName = Literal[
    "large", "medium", "small", "second order", "direction", "support", "posture", "interference",
    "owner", "waiting", "fall", "chase",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One claim: actions that a box alone cannot tell apart."""

    name: FamilyName
    actions: tuple[str, str]
    claim: str
    """whose, and what of it"""
    far: bool = True
    """the evidence lies out of reach of the box in space, or in time (`memory`); False: within it, a control"""
    memory: bool = False
    """the evidence lies outside of the clip"""


FAMILIES = (
    Family(name="large", actions=("watch TV", "look out of a window"), claim="AMCRNet, Fig. 1: large context"),
    Family(
        name="medium", actions=("listen to a gramophone", "look at a painting"), claim="AMCRNet, Fig. 1: medium context"
    ),
    Family(name="small", actions=("call a cat", "call a duck"), claim="AMCRNet, Fig. 1: small context"),
    Family(
        name="second order",
        actions=("ride a boat", "wait at anchor"),
        claim="ACAR-Net, Fig. 1: by what the other does with a thing",
    ),
    Family(name="direction", actions=("give", "receive"), claim="STC, Fig. 1: by the frames before and after"),
    Family(name="support", actions=("sing to", "talk to"), claim="MRSN, Fig. 1: by what the other one does"),
    Family(name="posture", actions=("sit down", "get up"), claim="control: in the box itself, over time", far=False),
    Family(name="interference", actions=("push", "be pushed"), claim="IGMN, Fig. 1: by whose arm it is", far=False),
    Family(name="owner", actions=("return to its owner", "give away"), claim="long memory: who had it", memory=True),
    Family(name="waiting", actions=("wait for someone", "linger"), claim="long memory: who comes later", memory=True),
    Family(name="fall", actions=("lie after a fall", "lie at rest"), claim="IGMN, Fig. 1: seconds ago", memory=True),
    Family(name="chase", actions=("chase", "be chased"), claim="IGMN: identity after a crossing", memory=True),
)
