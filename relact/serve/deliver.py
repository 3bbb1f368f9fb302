"""Results on their way out, under the reader's own name of the video: a work that several share knows none."""

import csv
import io
import json
import unicodedata
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path, PurePosixPath
from urllib.parse import quote

NAME = "upload"
"""of the video in the tables and the page that a worker writes"""

_CHUNK = 1 << 20


class Table(StrEnum):
    """The tables of a result."""

    ACTIONS_CSV = "actions.csv"
    ACTIONS_JSON = "actions.json"
    ACTIONS_PARQUET = "actions.parquet"
    SEGMENTS_CSV = "segments.csv"
    AVA_CSV = "ava.csv"


MEDIA = {
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".html": "text/html; charset=utf-8",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}
"""of what is sent; any other file is bytes, which no browser shows or runs"""


def stem(name: str) -> str:
    """A user's name of a video as relact's tables call it: without its folder and suffix."""
    return PurePosixPath(name.replace("\\", "/")).stem or "video"


def attachment(name: str, table: Table) -> str:
    """A Content-Disposition that saves a table under the video's name, with nothing in it that could end it."""
    whole = f"{stem(name)}.{table}"
    plain = unicodedata.normalize("NFKD", whole).encode("ascii", "ignore").decode()
    plain = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in plain)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(whole, safe='')}"


def named_table(path: Path, name: str) -> Iterator[bytes]:
    """A table of a result with `name` where it says NAME, in pieces. Parquet is made anew."""
    if path.suffix == ".csv":
        return _named_csv(path, name)
    if path.suffix == ".json":
        return _named_json(path, name)
    return _named_parquet(path, name)


def named_page(path: Path, name: str) -> Iterator[bytes]:
    """The report with `name` as its title; it stands there as JSON in a block that browsers do not run."""
    text = json.dumps(name).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return _replaced(path, f'"title":"{NAME}"'.encode(), f'"title":{text}'.encode())


def _named_csv(path: Path, name: str) -> Iterator[bytes]:
    cell = io.StringIO()
    csv.writer(cell, lineterminator="").writerow([name])
    return _replaced(path, f"\n{NAME},".encode(), f"\n{cell.getvalue()},".encode(), start=b"\n")


def _named_json(path: Path, name: str) -> Iterator[bytes]:
    head = f'{{"video": "{NAME}",'.encode()
    return _replaced(path, head, f'{{"video": {json.dumps(name, ensure_ascii=False)},'.encode())


def _replaced(path: Path, old: bytes, new: bytes, start: bytes = b"") -> Iterator[bytes]:
    """The file with one text for another, wherever pieces meet; `start` is taken as standing before it."""
    held, lead = start, start
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            held = (held + chunk).replace(old, new)
            keep = next((k for k in range(len(old) - 1, 0, -1) if held.endswith(old[:k])), 0)
            out, held = held[: len(held) - keep], held[len(held) - keep :]
            if out:
                yield out.removeprefix(lead)
                lead = b""
    yield held.removeprefix(lead)


def _named_parquet(path: Path, name: str) -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table, out = pq.read_table(path), io.BytesIO()
    place = table.schema.get_field_index("video")
    column = pa.array([name] * len(table), table.schema.field(place).type)
    pq.write_table(table.set_column(place, table.schema.field(place), column), out, compression="zstd")
    yield out.getvalue()
