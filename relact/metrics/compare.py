"""Two results of one measure: where their protocols differ, and where their figures do, by class and group."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from relact.errors import InputError, at

PATHS = ("groundtruth", "predictions", "exclude", "videos", "labels")
"""Fields of a protocol that name files: the name alone is compared, not the folder."""
_VIDEO = "video-mAP"
_COMPARABLE = (
    "what can be compared are two results of one measure on one data set: AVA frame-mAP, frame-mAP (metrics.json of "
    "runs), or video-mAP (metrics_video.json)"
)
_EXPECTED = "expected a result of `relact evaluate --json`, or metrics.json of a run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One class or group in both results; None where a result has no truth of it, or does not judge it."""

    name: str
    a: float | None
    b: float | None
    group: str = ""
    truths: tuple[int | None, int | None] = (None, None)

    @property
    def gain(self) -> float | None:
        """By how much b is more, None unless both are known."""
        return None if self.a is None or self.b is None else self.b - self.a


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`protocol`: field → both values, of what makes the figures incomparable; `means`: mAP by threshold or group
    name; `classes` by falling size of their difference, those that only one result has last.
    """

    a: str
    b: str
    measure: str
    protocol: dict[str, tuple[Any, Any]]
    means: tuple[Difference, ...]
    groups: tuple[Difference, ...]
    classes: tuple[Difference, ...]

    def to_dict(self) -> dict[str, object]:
        """All of it as plain values."""
        parts = {
            name: [{**asdict(entry), "gain": entry.gain} for entry in entries]
            for name, entries in (("means", self.means), ("groups", self.groups), ("classes", self.classes))
        }
        differences = {name: list(values) for name, values in self.protocol.items()}
        return {"a": self.a, "b": self.b, "measure": self.measure, "protocol_differences": differences, **parts}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True)
class _Result:
    measure: str
    protocol: Mapping[str, Any]
    means: dict[str, float | None]
    groups: dict[str, float | None]
    classes: dict[int, tuple[str, str, float | None, int | None]]
    known: bool = True
    """whether the file says its measure; those of older versions do not"""
    named: bool = True
    """whether the file names its classes"""


def compare_results(a: str | Path, b: str | Path, *, threshold: str = "0.5") -> Comparison:
    """Two JSON results of `relact evaluate`. `threshold`: at which IoU classes of video-mAP are compared.

    Raises InputError for files that are none, for results of different measures, and where no class is in both.
    """
    first, second = _read(a, threshold), _read(b, threshold)
    _require_comparable(a, first, b, second)
    ids = list(dict.fromkeys([*first.classes, *second.classes]))
    nobody = ("", "", None, None)
    classes = []
    for identity in ids:
        ours, theirs = first.classes.get(identity, nobody), second.classes.get(identity, nobody)
        classes.append(
            Difference(
                name=ours[0] or theirs[0],
                group=ours[1] or theirs[1],
                a=ours[2],
                b=theirs[2],
                truths=(ours[3], theirs[3]),
            )
        )
    classes.sort(key=lambda entry: -abs(entry.gain) if entry.gain is not None else 1.0)
    return Comparison(
        a=str(a),
        b=str(b),
        measure=first.measure,
        protocol=_protocol(first.protocol, second.protocol),
        means=_both(first.means, second.means),
        groups=_both(first.groups, second.groups),
        classes=tuple(classes),
    )


def _require_comparable(a: str | Path, first: _Result, b: str | Path, second: _Result) -> None:
    """Raises InputError for two measures, and for two sets of actions."""
    of_tubes = _VIDEO in (first.measure, second.measure)
    if first.measure != second.measure and (of_tubes or (first.known and second.known)):
        raise InputError(
            f"{a} is {first.measure}, {b} is {second.measure}: these are two measures, and a figure of one says "
            f"nothing of the other; {_COMPARABLE}"
        )
    ours, theirs = ({(k, found[0]) for k, found in result.classes.items()} for result in (first, second))
    if first.named and second.named and ours and theirs and not ours & theirs:
        names = (next(iter(result.classes.values()))[0] for result in (first, second))
        raise InputError(
            f"{a} and {b} have no action in common ({next(names)!r} …, {next(names)!r} …): results of two data sets; "
            f"{_COMPARABLE}"
        )


def _both(a: Mapping[str, float | None], b: Mapping[str, float | None]) -> tuple[Difference, ...]:
    return tuple(Difference(name=name, a=a.get(name), b=b.get(name)) for name in dict.fromkeys([*a, *b]))


def _protocol(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Fields that differ; the predictions always do. A field that one result lacks is of an older version: unknown."""
    found = {}
    for name in dict.fromkeys([*a, *b]):
        ours, theirs = a.get(name, "not recorded"), b.get(name, "not recorded")
        if name in PATHS and isinstance(ours, str) and isinstance(theirs, str):
            ours, theirs = Path(ours).name, Path(theirs).name
        if ours != theirs and name != "predictions":
            found[name] = (ours, theirs)
    return found


def _read(path: str | Path, threshold: str) -> _Result:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{at(path)}: cannot be read ({error.strerror}); {_EXPECTED}") from error
    except ValueError as error:
        raise InputError(f"{at(path)}: not JSON ({error}); {_EXPECTED}") from error
    if isinstance(content, dict) and {"videos", "total"} <= content.keys():
        raise InputError(f"{at(path)}: says how well people are followed (relact evaluate links); {_COMPARABLE}")
    if not isinstance(content, dict) or not ("mAP" in content or "video_mAP" in content) or "protocol" not in content:
        raise InputError(f"{at(path)}: {_EXPECTED}")
    try:
        return _of_tubes(content, threshold, path) if "video_mAP" in content else _of_frames(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{at(path)}: broken result ({type(error).__name__}: {error}); {_EXPECTED}") from error


def _of_frames(content: dict[str, Any]) -> _Result:
    known = {entry["id"]: entry for entry in content.get("classes", [])}
    classes = {}
    for identity, ap in content["ap_by_class"].items():
        entry = known.get(int(identity), {})
        name = entry.get("name", f"action {identity}")
        classes[int(identity)] = (name, entry.get("group", ""), _number(ap), entry.get("truths"))
    protocol = content["protocol"]
    groups = {name: _number(ap) for name, ap in content.get("ap_by_group", {}).items()}
    return _Result(
        protocol.get("protocol", "frame-mAP"), protocol, {"mAP": _number(content["mAP"])}, groups, classes,
        known="protocol" in protocol, named=bool(known),
    )  # fmt: skip


def _of_tubes(content: dict[str, Any], threshold: str, path: str | Path) -> _Result:
    means = {f"mAP@{name}": _number(value) for name, value in content["video_mAP"].items()}
    if f"mAP@{threshold}" not in means:
        raise InputError(f"{at(path)}: no IoU {threshold} in it; there are {', '.join(content['video_mAP'])}")
    classes = {
        entry["id"]: (entry["name"], entry["group"], _number(entry["ap"][threshold]), entry["truths"])
        for entry in content["classes"]
    }
    groups: dict[str, list[float]] = {}
    for _, group, ap, _ in classes.values():
        groups.setdefault(group, []).extend([] if ap is None else [ap])
    return _Result(
        _VIDEO,
        content["protocol"],
        means,
        {name: float(np.mean(values)) if values else None for name, values in groups.items()},
        classes,
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
