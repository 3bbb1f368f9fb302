"""What detect writes per keyframe, as it comes: actions as csv, Parquet or JSON, and AVA's submission csv."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from relact.errors import InputError, at
from relact.interop.ava_csv import format_time
from relact.interop.files import atomic_path
from relact.labels import LabelMap
from relact.types import Detections

if TYPE_CHECKING:
    import _csv

    import pyarrow as pa

Columns = Mapping[str, npt.NDArray[Any]]

KINDS = {
    "video": str, "time_s": float, "frame": int, "pts": int, "person_id": int,
    "x1_px": float, "y1_px": float, "x2_px": float, "y2_px": float,
    "x1": float, "y1": float, "x2": float, "y2": float, "box_score": float,
    "action_id": int, "action": str, "score": float,
}  # fmt: skip
"""The columns of actions.csv and actions.parquet, in order: one row per person and action of a keyframe."""

_ROW = np.dtype([(name, object if kind is str else kind) for name, kind in KINDS.items()])

FORMATS = (".csv", ".parquet", ".json")
ROW_GROUP = 65536
THRESHOLD = 0.05
"""Actions below it are left out of the actions tables (never out of AVA's)."""


class Table(Protocol):
    """A table that is open for writing."""

    def write(self, detections: Detections) -> None:
        """Append what is known of one keyframe."""


@contextmanager
def open_actions(path: Path, labels: LabelMap, *, video: str, threshold: float = THRESHOLD) -> Iterator[Table]:
    """`actions.csv`, `.parquet` or `.json`, by the suffix; appears under its name when the block ends well.

    A row for each person and action of a score of `threshold` or more; a person who reaches it with no action
    keeps the best one, so that no box is lost. Raises InputError for another suffix, or for Parquet without
    pyarrow.
    """
    if path.suffix not in FORMATS:
        raise InputError(f"{path}: cannot write this kind of table; expected a name ending in {', '.join(FORMATS)}")
    if path.suffix == ".parquet":
        with _open_parquet(path, labels, threshold) as parquet:
            yield parquet
        return
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            yield CsvTable(file, labels, threshold)
        else:
            document = JsonTable(file, labels, threshold, video)
            yield document
            document.close()


@contextmanager
def open_ava(path: Path, labels: LabelMap, *, every: float = 1.0, threshold: float = 0.0) -> Iterator[Table]:
    """AVA's submission csv, as its official evaluator reads it: every box, every evaluated action.

    Times are those of the grid of keyframes, `every` seconds apart, not of the frames next to it: the
    evaluator takes whole seconds only.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        yield AvaTable(file, labels, every, threshold)


def kept(scores: npt.NDArray[np.floating], threshold: float) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """(row, column) of the scores `[N, K]` to write: >= threshold or the row's best; best first in a row."""
    mask = scores >= threshold
    mask[np.arange(len(scores)), scores.argmax(axis=1)] = True
    person, action = np.nonzero(mask)
    order = np.lexsort((-scores[person, action], person))
    return person[order], action[order]


def boxes_px(detections: Detections) -> npt.NDArray[np.float64]:
    """The boxes in pixels of the upright frame, `[N, 4]`."""
    size = [detections.width, detections.height, detections.width, detections.height]
    return detections.boxes.astype(np.float64) * size


class CsvTable:
    """actions.csv: the text of a person is made once and shared by the rows of all actions."""

    def __init__(self, file: IO[str], labels: LabelMap, threshold: float) -> None:
        self._file, self._threshold = file, threshold
        self._actions = [f"{label.id},{_quoted(label.name)}," for label in labels]
        file.write(",".join(KINDS) + "\n")

    def write(self, detections: Detections) -> None:
        """Append one line for each person and action above the threshold."""
        person, action = kept(detections.scores, self._threshold)
        numbers = np.column_stack([detections.person, boxes_px(detections), detections.boxes, detections.box_scores])
        key = f"{_quoted(detections.key.video)},{detections.time:.6f},{detections.frame},{detections.pts},"
        line = key.replace("%", "%%") + "%d," + "%.2f," * 4 + "%.6f," * 5
        people = [line % tuple(row) for row in numbers.tolist()]
        rows = zip(person.tolist(), action.tolist(), detections.scores[person, action].tolist(), strict=True)
        self._file.write("".join([f"{people[i]}{self._actions[k]}{score:.6f}\n" for i, k, score in rows]))


class AvaTable:
    """AVA's csv: one template holds the lines of all classes of a box, filled by one formatting operation."""

    def __init__(self, file: IO[str], labels: LabelMap, every: float, threshold: float) -> None:
        self._file, self._every, self._threshold = file, every, threshold
        self._columns = [k for k, label in enumerate(labels) if label.evaluated]
        self._ids = [labels[k].id for k in self._columns]
        self._template = "".join(f"\0{action_id},%.7g\n" for action_id in self._ids)

    def write(self, detections: Detections) -> None:
        """Append video, second, box, action id and score for each evaluated action of each person."""
        scores = detections.scores[:, self._columns].astype(np.float64)
        time = round(round(detections.time / self._every) * self._every, 6)
        key = f"{_quoted(detections.key.video)},{format_time(time)},"
        boxes = [key + "{:.6f},{:.6f},{:.6f},{:.6f},".format(*box) for box in detections.boxes.tolist()]
        if self._threshold <= 0:
            lines = [
                (self._template % tuple(row)).replace("\0", box)
                for box, row in zip(boxes, scores.tolist(), strict=True)
            ]
        else:
            person, column = np.nonzero(scores >= self._threshold)
            rows = zip(person.tolist(), column.tolist(), scores[person, column].tolist(), strict=True)
            lines = [f"{boxes[i]}{self._ids[k]},{score:.7g}\n" for i, k, score in rows]
        self._file.write("".join(lines))


class JsonTable:
    """actions.json: `{video, labels, keyframes: [{time_s, …, people: [{person_id, …, actions: […]}]}]}`."""

    def __init__(self, file: IO[str], labels: LabelMap, threshold: float, video: str) -> None:
        self._file, self._labels, self._threshold = file, labels, threshold
        named = [{"id": label.id, "name": label.name, "group": label.group} for label in labels]
        head = {"video": video, "labels": named, "keyframes": []}
        file.write(json.dumps(head, ensure_ascii=False).removesuffix("]}"))
        self._separator = "\n"

    def write(self, detections: Detections) -> None:
        """Append one keyframe, people without actions above the threshold with their best."""
        person, action = kept(detections.scores, self._threshold)
        keyframe = {
            "time_s": round(detections.time, 6),
            "frame": detections.frame,
            "pts": detections.pts,
            "width": detections.width,
            "height": detections.height,
            "people": people_json(detections, self._labels, person, action),
        }
        self._file.write(self._separator + json.dumps(keyframe, ensure_ascii=False))
        self._separator = ",\n"

    def close(self) -> None:
        """End the document."""
        self._file.write("\n]}\n")


def people_json(
    detections: Detections, labels: LabelMap, person: npt.NDArray[np.intp], action: npt.NDArray[np.intp]
) -> list[dict[str, Any]]:
    """The people of a keyframe, with the actions that `person` and `action` pair: rows and columns of the scores."""
    actions: list[list[dict[str, Any]]] = [[] for _ in detections.person]
    scores = _rounded(detections.scores[person, action], 6)
    for i, k, score in zip(person.tolist(), action.tolist(), scores, strict=True):
        actions[i].append({"id": labels[k].id, "name": labels[k].name, "score": score})
    columns = (
        detections.person.tolist(),
        _rounded(detections.boxes, 6),
        _rounded(boxes_px(detections), 2),
        _rounded(detections.box_scores, 6),
        actions,
    )
    names = ("person_id", "box", "box_px", "box_score", "actions")
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


class ParquetTable:
    """actions.parquet: rows gather until a row group is full."""

    def __init__(self, writer: "pa.parquet.ParquetWriter", labels: LabelMap, threshold: float) -> None:
        self._writer, self._threshold = writer, threshold
        self._ids, self._names = np.array(labels.ids), np.array(labels.names, dtype=object)
        self._waiting: list[dict[str, npt.NDArray[Any]]] = []
        self._num_waiting = 0

    def write(self, detections: Detections) -> None:
        """Append one row for each person and action above the threshold."""
        person, action = kept(detections.scores, self._threshold)
        once = (detections.key.video, detections.time, detections.frame, detections.pts)
        columns = [np.full(len(person), value, dtype=object if isinstance(value, str) else None) for value in once]
        columns += [detections.person[person], *boxes_px(detections)[person].T, *detections.boxes[person].T]
        columns += [
            detections.box_scores[person],
            self._ids[action],
            self._names[action],
            detections.scores[person, action],
        ]
        self._waiting.append(dict(zip(KINDS, columns, strict=True)))
        self._num_waiting += len(person)
        if self._num_waiting >= ROW_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what waits as a row group."""
        if self._num_waiting:
            columns = {name: np.concatenate([part[name] for part in self._waiting]) for name in KINDS}
            self._writer.write(_arrow().Table.from_pydict(columns, schema=self._writer.schema))
        self._waiting, self._num_waiting = [], 0


@contextmanager
def _open_parquet(path: Path, labels: LabelMap, threshold: float) -> Iterator[ParquetTable]:
    arrow = _arrow(path)
    kinds = {str: arrow.string(), float: arrow.float32(), int: arrow.int64()}
    schema = arrow.schema(
        [(name, arrow.float64() if name == "time_s" else kinds[kind]) for name, kind in KINDS.items()]
    )
    with (
        atomic_path(path) as temporary,
        arrow.parquet.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        table = ParquetTable(writer, labels, threshold)
        yield table
        table.flush()


def read_actions(path: Path) -> Columns:
    """An actions table of any of the three formats as columns, named and ordered as `KINDS`.

    Raises InputError naming the file and line for one that relact did not write.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected the actions.csv, .parquet or .json that relact detect writes")
    if path.suffix == ".parquet":
        columns = _arrow(path).parquet.read_table(path, columns=list(KINDS)).to_pydict()
        return {name: np.array(columns[name], dtype=_dtype(kind)) for name, kind in KINDS.items()}
    rows = _json_rows(path) if path.suffix == ".json" else _csv_rows(path)
    return {name: np.ascontiguousarray(rows[name]) for name in KINDS}


def _csv_rows(path: Path) -> npt.NDArray[np.void]:
    """The fast way, and where it fails a slow one that finds the line."""
    with path.open(encoding="utf-8", newline="") as file:
        header = file.readline().rstrip("\r\n")
        if header != ",".join(KINDS):
            raise InputError(f"{at(path, 1)}: expected the header {','.join(KINDS)}, got {header!r}")
        if not file.read(1):
            return np.zeros(0, _ROW)
        try:
            return np.loadtxt(
                path, _ROW, delimiter=",", quotechar='"', comments=None, skiprows=1, ndmin=1, encoding="utf-8"
            )
        except ValueError:
            file.seek(0)
            raise _first_bad(path, csv.reader(file)) from None


def _first_bad(path: Path, lines: "_csv.Reader") -> InputError:
    next(lines)
    for cells in lines:
        where = at(path, lines.line_num)
        if len(cells) != len(KINDS):
            return InputError(f"{where}: expected {len(KINDS)} columns as in the header, got {len(cells)}")
        for cell, (name, kind) in zip(cells, KINDS.items(), strict=True):
            try:
                kind(cell)
            except ValueError:
                return InputError(f"{where}: expected {kind.__name__} in column {name}, got {cell!r}")
    return InputError(f"{path}: cannot be read as the actions.csv that relact detect writes")


def _json_rows(path: Path) -> npt.NDArray[np.void]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        rows = [
            (
                document["video"],
                keyframe["time_s"],
                keyframe["frame"],
                keyframe["pts"],
                person["person_id"],
                *person["box_px"],
                *person["box"],
                person["box_score"],
                action["id"],
                action["name"],
                action["score"],
            )
            for keyframe in document["keyframes"]
            for person in keyframe["people"]
            for action in person["actions"]
        ]
        return np.array(rows, _ROW)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected the actions.json that relact detect writes: {error!r}") from error


def _dtype(kind: type) -> type:
    return object if kind is str else kind


def _rounded(values: npt.NDArray[np.floating], digits: int) -> list[Any]:
    return values.astype(np.float64).round(digits).tolist()


def _quoted(text: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([text])
    return line.getvalue()


def _arrow(path: Path | None = None) -> Any:
    """Pyarrow, or what to install. Raises InputError."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(f'{path}: Parquet needs pyarrow: pip install "relact[parquet]"') from error
    return pyarrow
