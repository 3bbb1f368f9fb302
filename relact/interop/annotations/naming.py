"""What was written beside a box → who it is and what they do.

The rule. A checkbox that is set is an action of the attribute's name. The value of a select or radio attribute is an
action, of a group that bears the attribute's name (so an attribute `pose` makes AVA's poses, of which a person does
exactly one). The words of a text attribute, between commas, are actions. A number is none. The label of the box is
the action where no attribute of the annotation can be one ("auto"), always ("action"), or never ("person").
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from relact.errors import InputError
from relact.interop.annotations.tracks import Annotations, Kind, Notes, Track
from relact.labels import Label, LabelMap

PERSON = ("person", "person_id", "person id", "track", "track_id", "id")
"""Attributes that say who, where nothing else is told."""
NOTHING = frozenset(["", "none", "no", "nothing", "-", "n/a", "undefined", "__undefined__", "false"])
"""Values that are no action."""
_BRACES = str.maketrans("{}", "()")


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How labels and attributes become actions and people."""

    label_is: Literal["auto", "action", "person"] = "auto"
    actions: tuple[str, ...] = ()
    """attributes whose values are actions; empty: all but those that say who"""
    person: str | None = None
    """the attribute that says who; None: the tool's tracks, or an attribute of one of the names in PERSON"""
    labels: tuple[str, ...] = ()
    """labels of people: boxes of others are left out; empty: all are people's"""


class Reading:
    """A naming rule applied to one annotation. Raises InputError for attributes or labels that it does not have."""

    def __init__(self, found: Annotations, naming: Naming) -> None:
        known = dict.fromkeys([*found.kinds, *(name for notes in found.notes for name, _ in notes)])
        asked = [*naming.actions, *([naming.person] if naming.person else [])]
        _all_known(asked, known, "attribute")
        _all_known(naming.labels, dict.fromkeys([*found.labels, *(t.label for t in found.tracks)]), "label")
        self._found, self._naming = found, naming
        self._kinds = {name: found.kinds.get(name) or _guessed(name, found.notes) for name in known}
        who = naming.person or next((name for name in known if name.casefold() in PERSON), None)
        self._who_of_notes = None
        if who is not None and (naming.person or not found.tracked):
            self._who_of_notes = [dict(notes).get(who, "").strip() or None for notes in found.notes]
        self._speaking = [
            name
            for name in (naming.actions or known)
            if name != naming.person
            and (naming.actions or (name.casefold() not in PERSON and self._kinds[name] != "number"))
        ]
        self.label_is_action = naming.label_is == "action" or (naming.label_is == "auto" and not self._speaking)
        self.actions_of_notes = [self._actions(notes) for notes in found.notes]
        """names of the actions of each entry of `Annotations.notes`"""

    def is_person(self, track: Track) -> bool:
        """Whether the label of the box is one of the people's."""
        return not self._naming.labels or track.label in self._naming.labels

    def people(self, track: Track) -> list[str | None]:
        """The name of the person of each shape, unique in the video; None: nobody knows."""
        if self._who_of_notes is None:
            return [track.who] * len(track.instants)
        return [self._who_of_notes[k] or track.who for k in track.notes.tolist()]

    def of_label(self, track: Track) -> tuple[str, ...]:
        """The action that the label of the box is, if it is one."""
        return (tidy(track.label),) if self.label_is_action and tidy(track.label).casefold() not in NOTHING else ()

    def label_map(self, used: Iterable[str]) -> LabelMap:
        """The actions that the tool offers, in its order, then any others that were used; ids from 1."""
        groups: dict[str, str] = {}
        for name in self._speaking:
            kind = self._kinds[name]
            offered = self._found.options.get(name, ()) if kind == "select" else [name] if kind == "checkbox" else []
            for action in map(tidy, offered):
                if action.casefold() not in NOTHING:
                    groups.setdefault(action, name if kind == "select" else "action")
        if self.label_is_action:
            labels = [tidy(label) for label in self._found.labels if label in (self._naming.labels or (label,))]
            groups |= {label: "action" for label in labels if label not in groups and label.casefold() not in NOTHING}
        written = dict.fromkeys(note for notes in self._found.notes for note in notes)
        of_value = {tidy(value): name for name, value in written if self._kinds[name] == "select"}
        for action in sorted(set(used) - groups.keys()):
            groups[action] = of_value.get(action, "action")
        named = [(action, tidy(group) or "action") for action, group in groups.items()]
        return LabelMap(Label(id=k, name=name, group=group) for k, (name, group) in enumerate(named, start=1))

    def _actions(self, notes: Notes) -> tuple[str, ...]:
        found: list[str] = []
        for name, value in notes:
            kind = self._kinds[name] if name in self._speaking else None
            if kind == "checkbox":
                found += [name] if value.strip().casefold() in ("true", "1", "yes") else []
            elif kind is not None:
                found += re.split(r"[,;|\n]", value) if kind == "text" else [value]
        return tuple(dict.fromkeys(action for action in map(tidy, found) if action.casefold() not in NOTHING))


def tidy(name: str) -> str:
    """A name that a label file can hold: on one line, and without the braces by which `LabelMap` knows a pbtxt."""
    return " ".join(name.translate(_BRACES).split())


def matched(names: Iterable[str], labels: LabelMap, where: str) -> dict[str, int]:
    """Name of an action → its id in a given label map, without regard to case.

    AVA's long names may be given in short: `talk to` for `talk to (e.g., self, a person, a group)`, where no other
    name begins so. Raises InputError with the nearest name for one that is not in the map.
    """
    whole_names = {tidy(label.name).casefold(): label.id for label in labels}
    stems = [tidy(label.name.split("(")[0]).casefold() for label in labels]
    short = {stem: label.id for stem, label in zip(stems, labels, strict=True) if stems.count(stem) == 1}
    found: dict[str, int] = {}
    unknown: list[str] = []
    for name in names:
        known = whole_names.get(name.casefold(), short.get(name.casefold()))
        if known is None:
            near = get_close_matches(name.casefold(), whole_names, n=1)
            unknown.append(f"{name!r}" + (f" (nearest: {near[0]!r})" if near else ""))
        else:
            found[name] = known
    if unknown:
        raise InputError(f"{where}: {len(unknown)} actions are not in the label map, such as {', '.join(unknown[:5])}")
    return found


def _guessed(name: str, all_notes: Iterable[Notes]) -> Kind:
    """How an attribute asks of which the file only has values."""
    values = {value.strip().casefold() for notes in all_notes for key, value in notes if key == name}
    return "checkbox" if values and values <= {"true", "false"} else "select"


def _all_known(asked: Iterable[str], known: dict[str, None], what: str) -> None:
    for name in asked:
        if name not in known:
            has = ", ".join(known) or "none"
            raise InputError(f"no {what} is called {name!r}; the annotation has {has}")
