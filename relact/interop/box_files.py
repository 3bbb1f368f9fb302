"""Person boxes from a file of any known format, as one table.

    ava     csv without header: video,seconds,x1,y1,x2,y2,[action],[score or person id]   (0 to 1)
    pickle  published proposals: {"video,0902": [N, 5]} (MMAction2), or ACAR-Net's (list of dicts, classes)
    mot     text: frame,id,left,top,width,height,conf,...; frame, left and top count from 1
    json    see `relact.interop.box_json`
    csv     with header: time_s or frame (from 0), x1,y1,x2,y2 (or x1_px ...),
    [video,person_id,score,action_id] ucf24   pyannot.pkl, UCF101v2-GT.pkl, or the folder of label text files

A format is told by suffix and content; `format` overrides. Formats without a video's name serve the video at
hand.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from relact.errors import InputError, at
from relact.interop import box_json, box_pickle, ucf24
from relact.interop.ava_csv import read_ava_csv
from relact.interop.box_table import Bools, BoxTable, Floats, Ints, Units, VideoBoxes, make_table
from relact.interop.faults import Faults
from relact.interop.unpickle import restricted_load

__all__ = ["BoxTable", "Format", "VideoBoxes", "read_boxes"]

Format = Literal["ava", "pickle", "mot", "json", "csv", "ucf24"]


def read_boxes(
    path: str | Path,
    format: str | None = None,
    units: str | None = None,
    *,
    expect_ids: bool = False,
    faults: Faults | None = None,
) -> BoxTable:
    """The person boxes of `path`; `format` (see above) and `units` ("unit" or "pixel") where the file leaves
    them open. An AVA csv whose last column is 1 everywhere holds scores, or, with `expect_ids`, one person's id.

    Raises InputError with file and line (or entry) for a missing, broken or unknown file, NaN, and x2 < x1. `faults`
    that skip leave broken rows and entries out; a file that is broken as a whole, or its header, raises anyhow.
    """
    faults = Faults() if faults is None else faults
    if format is not None and format not in get_args(Format):
        raise InputError(f"box format {format!r}; expected one of {', '.join(get_args(Format))}")
    if units is not None and units not in get_args(Units):
        raise InputError(f"box units {units!r}; expected 'unit' (0 to 1) or 'pixel'")
    if not Path(path).exists():
        raise InputError(f"{at(path)}: no such file; expected person boxes")
    kind = format or _format_of(Path(path))
    if kind == "ava":
        return _read_ava(path, units, expect_ids, faults)
    if kind == "pickle":
        return _read_pickle(path, units, faults)
    if kind == "mot":
        return _read_mot(path, units, faults)
    if kind == "json":
        return box_json.read(path, _text(path), units, faults)
    if kind == "ucf24":
        return _from_ucf24(path, _ucf24_tubes(path, faults), faults)
    return _read_csv(path, units, faults)


def _format_of(path: Path) -> str:
    if path.is_dir():
        return "ucf24"
    suffix = Path(path.stem).suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    if suffix in (".pkl", ".pickle"):
        return "pickle"
    if suffix == ".json":
        return "json"
    first = next((line for line in _text(path).splitlines() if line.strip()), "")
    cells = [cell.strip() for cell in first.replace(" ", ",").split(",")]
    if any(cell in ("x1", "x1_px") for cell in cells):
        return "csv"
    numeric = all(_is_number(cell) for cell in cells if cell)
    if numeric and len(cells) >= 6 and (suffix == ".txt" or len(cells) >= 9):
        return "mot"
    if suffix in (".csv", ".txt"):
        return "ava"
    raise InputError(f"{at(path)}: cannot tell the format of these boxes; give it: {', '.join(get_args(Format))}")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # float() reads 1_000; numpy does not


def _text(path: str | Path) -> str:
    try:
        content = Path(path).read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        return content.decode("utf-8-sig")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{at(path)}: the gzip file is cut off or damaged ({error})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{at(path)}: not a text file ({error.reason}); expected person boxes") from error
    except OSError as error:
        raise InputError(f"{at(path)}: cannot be read ({error.strerror})") from error


def _read_ava(path: str | Path, units: str | None, expect_ids: bool, faults: Faults) -> BoxTable:
    """The last column is a person id where all rows have actions and whole numbers, as in the ground truth.

    Beside actions, a fraction is the score of the action and says nothing of the box. A row of the ground truth
    without its last column has no id (-1).
    """
    told = Faults(skip=faults.skip)
    table = read_ava_csv(path, "boxes", "pixel" if units == "pixel" else "unit", told)
    assert table.score is not None
    labelled = table.action >= 0
    score = np.where(labelled, 1.0, table.score)
    whole = bool((table.score == np.floor(table.score)).all())
    if whole and bool(labelled.all()) and (expect_ids or bool((table.score != 1).any())):
        told = Faults(skip=faults.skip)
        table = read_ava_csv(path, "groundtruth", "pixel" if units == "pixel" else "unit", told)
        score = np.ones(len(table))
    faults.join(told)
    return make_table(
        path=path,
        clock="seconds",
        units="pixel" if units == "pixel" else "unit",
        videos=table.videos,
        video=table.video,
        instant=table.time,
        boxes=table.boxes,
        score=score,
        person_id=table.person,
        label=table.action,
        line=table.lines,
        empty_video=table.empty.video,
        empty_instant=table.empty.microseconds / 1e6,
        faults=faults,
    )


def _read_pickle(path: str | Path, units: str | None, faults: Faults) -> BoxTable:
    content = restricted_load(path)
    if ucf24.is_annotation(content):
        return _from_ucf24(path, ucf24.read_annotation(path, content, faults), faults)
    return box_pickle.read(path, content, units, faults)


def _ucf24_tubes(path: str | Path, faults: Faults) -> ucf24.UcfTubes:
    is_folder = Path(path).is_dir()
    return ucf24.read_label_folder(path, faults) if is_folder else ucf24.read_annotation(path, faults=faults)


def _from_ucf24(path: str | Path, tubes: ucf24.UcfTubes, faults: Faults) -> BoxTable:
    """Whole pixels 3 out of the picture and more stand in the annotation: they are cut, not refused."""
    return make_table(
        path=path,
        clock="frames",
        units="pixel",
        picture=ucf24.PICTURE,
        amodal=True,
        videos=tubes.videos,
        video=tubes.video,
        instant=tubes.frame,
        boxes=tubes.boxes,
        person_id=np.where(tubes.tube > 0, tubes.tube, -1),
        label=tubes.label,
        line_word="box",
        faults=faults,
    )


def _read_mot(path: str | Path, units: str | None, faults: Faults) -> BoxTable:
    """MOTChallenge: frame, left and top count from 1. Ground truth has 9 columns: rows flagged 0 are not
    judged.
    """
    expected = "frame,id,left,top,width,height,conf,..."
    values, line = _number_rows(path, _text(path), least=6, expected=expected, faults=faults)
    columns = values.shape[1]
    if columns == 9:
        kept = values[:, 6] != 0
        values, line = values[kept], line[kept]
    corner = values[:, 2:4] - (0 if units == "unit" else 1)
    conf = values[:, 6] if columns > 6 else np.ones(len(values))
    return make_table(
        path=path,
        clock="frames",
        units="unit" if units == "unit" else "pixel",
        amodal=True,
        videos=("",),
        video=np.zeros(len(values), np.int64),
        instant=values[:, 0] - 1,
        boxes=np.concatenate([corner, corner + values[:, 4:6]], axis=1),
        score=np.where(conf == -1, 1.0, conf),
        person_id=values[:, 1],
        line=line,
        faults=faults,
    )


def _number_rows(path: str | Path, text: str, least: int, expected: str, faults: Faults) -> tuple[Floats, Ints]:
    """Rows of numbers of equal width, at least `least`, and their line numbers; other lines are `faults`."""
    lines = text.splitlines()
    line = np.asarray([k for k, row in enumerate(lines, start=1) if row.strip()], np.int64)
    rows = [row.strip().rstrip(",") for row in lines if row.strip()]
    if not rows:
        return np.zeros((0, least)), line
    comma = "," in rows[0]
    try:
        values = np.loadtxt(rows, delimiter="," if comma else None, ndmin=2, comments=None)
        if values.shape[1] >= least:
            return values, line
    except ValueError:
        pass  # the careful pass below says where
    width = max(len(_cells(rows[0], comma)), least)
    good: list[tuple[int, list[float]]] = []
    for number, row in zip(line.tolist(), rows, strict=True):
        cells = _cells(row, comma)
        bad = next((cell for cell in cells if not _is_number(cell)), None)
        if len(cells) != width:
            cut = "; is the file cut off?" if number == line[-1] else ""
            faults.add(f"{at(path, number)}: {len(cells)} columns; expected {width} as {expected}{cut}")
        elif bad is not None:
            faults.add(f"{at(path, number)}: {bad!r} is not a number; expected {expected}")
        else:
            good.append((number, [float(cell) for cell in cells]))
    assert len(good) < len(rows), "numpy refused rows in which nothing is wrong"
    return np.asarray([row for _, row in good]).reshape(-1, width), np.asarray([number for number, _ in good], np.int64)


def _cells(row: str, comma: bool) -> list[str]:
    return row.split(",") if comma else row.split()


_UNIT_COLUMNS, _PIXEL_COLUMNS = ("x1", "y1", "x2", "y2"), ("x1_px", "y1_px", "x2_px", "y2_px")


def _read_csv(path: str | Path, units: str | None, faults: Faults) -> BoxTable:
    """Plain csv with a header, our own actions.csv included (there `score` is the action's, `box_score` the
    box's).
    """
    columns, line = _csv_columns(path, _text(path), faults)
    has_unit = all(name in columns for name in _UNIT_COLUMNS)
    has_pixel = all(name in columns for name in _PIXEL_COLUMNS)
    if not has_unit and not has_pixel:
        raise InputError(f"{at(path, 1)}: header {', '.join(columns)}; expected x1,y1,x2,y2 (or x1_px …) among them")
    clock: Literal["seconds", "frames"] = "seconds" if "time_s" in columns else "frames"
    if clock == "frames" and "frame" not in columns:
        raise InputError(f"{at(path, 1)}: header {', '.join(columns)}; expected time_s or frame among them")
    pixel = not has_unit or (units == "pixel")
    chosen = _PIXEL_COLUMNS if has_pixel and pixel else _UNIT_COLUMNS
    videos, video = np.unique(np.asarray(columns.get("video", [""] * len(line)), str), return_inverse=True)

    broken = np.zeros(len(line), np.bool_)

    def numbers(name: str, blank: float) -> Floats:
        if name not in columns:
            return np.full(len(line), blank)
        values, bad = _numbers(columns[name], blank)
        cells = columns[name]
        faults.add_rows(bad & ~broken, lambda k: f"{at(path, int(line[k]))}: {name} is {cells[k]!r}; expected a number")
        broken[bad] = True
        return values

    is_actions = "action" in columns or "action_id" in columns
    instant = numbers("time_s" if clock == "seconds" else "frame", np.nan)
    boxes = np.stack([numbers(name, np.nan) for name in chosen], axis=1)
    score = numbers("box_score" if "box_score" in columns or is_actions else "score", 1.0)
    person, label = numbers("person_id", -1), numbers("action_id", -1)
    good = ~broken
    return make_table(
        path=path,
        clock=clock,
        units="pixel" if pixel else "unit",
        videos=tuple(videos.tolist()),
        video=video[good],
        instant=instant[good],
        boxes=boxes[good],
        score=score[good],
        person_id=person[good],
        label=label[good],
        line=line[good],
        faults=faults,
    )


def _csv_columns(path: str | Path, text: str, faults: Faults) -> tuple[dict[str, Sequence[str]], Ints]:
    reader = csv.reader(io.StringIO(text))
    header: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        if not header:
            header = [cell.strip() for cell in row]
            continue
        if len(row) != len(header):
            faults.add(
                f"{at(path, reader.line_num)}: {len(row)} columns; expected {len(header)} as the header says"
                " (is the file cut off here?)"
            )
            continue
        rows.append(row)
        lines.append(reader.line_num)
    cells: list[Any] = list(zip(*rows, strict=True)) if rows else [()] * len(header)
    return dict(zip(header, cells, strict=True)), np.asarray(lines, np.int64)


def _numbers(cells: Sequence[str], blank: float) -> tuple[Floats, Bools]:
    """Of a column, `blank` for an empty cell and one that is no number; and which are no numbers."""
    filled = [cell if cell.strip() else blank for cell in cells]
    try:
        return np.asarray(filled, np.float64), np.zeros(len(filled), np.bool_)
    except ValueError:
        bad = np.asarray([bool(cell.strip()) and not _is_number(cell) for cell in cells])
        good = [blank if wrong else value for value, wrong in zip(filled, bad.tolist(), strict=True)]
        return np.asarray(good, np.float64), bad
