"""Label maps: which actions there are, their ids, names and groups, and which of them count in the metric."""

import csv
import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from relact.errors import InputError, at

SHIPPED = ("ava", "ava60", "ucf24")
"""Names that `LabelMap.load` knows without a file: AVA's 80, the 60 of them that are evaluated, UCF101-24's 24."""

POSE = "pose"
"""The group whose actions exclude each other: a person sits or stands (AVA's PERSON_MOVEMENT)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One action: `id` as in annotation files, a name for people, its group, whether the metric counts it."""

    id: int
    name: str
    group: str = "action"
    evaluated: bool = True


class LabelMap(Sequence[Label]):
    """The actions of a model or a data set, in the order of the classifier's outputs (column k is `labels[k]`)."""

    def __init__(self, labels: Iterable[Label]) -> None:
        self._labels = tuple(labels)
        self._column = {label.id: k for k, label in enumerate(self._labels)}
        if len(self._column) != len(self._labels):
            raise InputError("a label map lists an id twice; every action needs an id of its own")

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, column):  # type: ignore[no-untyped-def] # Sequence's overloads: an int or a slice
        return self._labels[column]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelMap) and self._labels == other._labels

    def __hash__(self) -> int:
        return hash(self._labels)

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(label.id for label in self._labels)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self._labels)

    @property
    def exclusive(self) -> tuple[int, ...]:
        """Columns of the actions of which a person does exactly one (AVA's poses), for the softmax part of the loss."""
        return tuple(k for k, label in enumerate(self._labels) if label.group == POSE)

    def column(self, action_id: int) -> int | None:
        """The classifier's column of an annotation's action id, or None for an action that is not in the map."""
        return self._column.get(action_id)

    def groups(self) -> dict[str, tuple[int, ...]]:
        """Group name → the ids in it, groups in the order in which they first appear."""
        groups: dict[str, list[int]] = {}
        for label in self._labels:
            groups.setdefault(label.group, []).append(label.id)
        return {name: tuple(ids) for name, ids in groups.items()}

    def evaluated(self) -> "LabelMap":
        """The actions that count in the metric, order kept."""
        return LabelMap(label for label in self._labels if label.evaluated)

    @classmethod
    def load(cls, source: "str | Path | LabelMap") -> "LabelMap":
        """A shipped map by name (`ava`, `ava60`, `ucf24`), or a file: pbtxt, or csv `id,name[,group[,evaluated]]`.

        Raises InputError for a file that is none of these, naming the line.
        """
        if isinstance(source, LabelMap):
            return source
        if str(source) in SHIPPED:
            return _shipped(str(source))
        path = Path(source)
        if not path.is_file():
            raise InputError(f"{path}: no such label map; give a pbtxt or csv file, or one of {', '.join(SHIPPED)}")
        text = path.read_text(encoding="utf-8-sig")
        return cls(_parse_pbtxt(text, path) if "{" in text else _parse_csv(text.splitlines(), path))


@functools.cache
def _shipped(name: str) -> LabelMap:
    file = resources.files("relact") / "label_maps" / ("ava.csv" if name.startswith("ava") else f"{name}.csv")
    whole = LabelMap(_parse_csv(file.read_text(encoding="utf-8").splitlines(), Path(name)))
    return whole.evaluated() if name == "ava60" else whole


def _parse_csv(lines: list[str], path: Path) -> list[Label]:
    labels = []
    for number, row in enumerate(csv.reader(lines), start=1):
        if not row or (number == 1 and not row[0].strip().isdigit()):
            continue  # a blank line, or the header
        if len(row) < 2 or not row[0].strip().isdigit() or int(row[0]) < 1:
            raise InputError(
                f"{at(path, number)}: expected id,name[,group[,evaluated]] with an id from 1, got {','.join(row)!r}"
            )
        group = row[2].strip() if len(row) > 2 and row[2].strip() else "action"
        labels.append(
            Label(
                id=int(row[0]),
                name=row[1].strip(),
                group=group,
                evaluated=len(row) < 4 or row[3].strip() != "0",
            )
        )
    if not labels:
        raise InputError(f"{path}: no labels in it; expected lines id,name or an AVA pbtxt")
    return labels


_BLOCK = re.compile(r"(?:label|item)\s*\{(.*?)\n\s*\}|(?:label|item)\s*\{([^{}]*)\}", re.DOTALL)
_FIELD = re.compile(r"^\s*(name|id|label_id|label_type)\s*:\s*(?:\"(.*)\"|'(.*)'|(\w+))\s*$", re.MULTILINE)
_GROUPS = {"PERSON_MOVEMENT": POSE, "OBJECT_MANIPULATION": "object", "PERSON_INTERACTION": "person"}


def _parse_pbtxt(text: str, path: Path) -> list[Label]:
    """AVA's two layouts: `label {name, label_id, label_type}` (80) and `item {name, id}` (the 60; groups by AVA id)."""
    labels = []
    for block in _BLOCK.finditer(text):
        fields = {m[1]: m[2] or m[3] or m[4] or "" for m in _FIELD.finditer(block[1] or block[2] or "")}
        identity = fields.get("label_id", fields.get("id", ""))
        if not identity.isdigit() or int(identity) < 1 or "name" not in fields:
            line = text.count("\n", 0, block.start()) + 1
            raise InputError(
                f"{at(path, line)}: expected a name and an id from 1 in this block, got {fields or 'nothing readable'}"
            )
        known = _GROUPS.get(fields.get("label_type", ""))
        labels.append(
            Label(
                id=int(identity),
                name=fields["name"],
                group=known or _ava_group(int(identity), fields["name"]),
            )
        )
    if not labels:
        raise InputError(f"{path}: no label or item block in it; expected AVA's pbtxt")
    return labels


def _ava_group(action_id: int, name: str) -> str:
    """The list of the 60 carries no groups: an entry that is AVA's own (id and name agree) takes AVA's."""
    column = _shipped("ava").column(action_id)
    known = _shipped("ava")[column] if column is not None else None
    return known.group if known is not None and known.name == name else "action"
