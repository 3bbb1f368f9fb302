"""The folder that labels of one's own live in: `videos/`, `groundtruth.csv`, `labels.csv`.

While it is being written it holds `.incomplete`; a `manifest.json`, where there is one, must name what is there:
`{"files": {"groundtruth.csv": "sha256 in hexadecimal digits", …}}`, as `relact data stage` writes it.
"""

import csv
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from relact.data.convert import Rows
from relact.data.places import INCOMPLETE as INCOMPLETE
from relact.errors import InputError, at
from relact.interop.ava_csv import format_time
from relact.interop.files import atomic_path, sha256_of
from relact.labels import LabelMap

MANIFEST = "manifest.json"
TRUTH, LABELS, VIDEOS = "groundtruth.csv", "labels.csv", "videos"


@contextmanager
def being_written(folder: Path) -> Iterator[None]:
    """Marks a folder as unfinished until the block ends well."""
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / INCOMPLETE
    marker.touch()
    yield
    marker.unlink()


def check_complete(folder: Path) -> None:
    """Raises InputError for a folder whose writing was cut off, or that is not what its manifest says."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one with {VIDEOS}/, {TRUTH} and {LABELS}")
    if (folder / INCOMPLETE).exists():
        raise InputError(f"{folder}: its writing was cut off ({INCOMPLETE} is there); make it again")
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return
    try:
        claims = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        wrong = not all(isinstance(digest, str) for digest in claims.values())
    except json.JSONDecodeError as error:
        where = at(manifest, error.lineno)
        raise InputError(f"{where}: broken JSON ({error.msg}); was its writing cut off?") from error
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise InputError(f'{manifest}: expected {{"files": {{name: sha256}}}}, got {error!r}') from error
    if wrong:
        raise InputError(f'{manifest}: expected {{"files": {{name: sha256}}}}, got something else than texts')
    for name, digest in claims.items():
        path = folder / name
        if not path.is_file():
            raise InputError(f"{manifest}: names {name}, which is not there")
        if sha256_of(path) != digest:
            raise InputError(f"{path}: its content is not what {MANIFEST} says (sha256)")


def write_folder(rows: Rows, out: Path, *, copy: bool = False, overwrite: bool = False) -> None:
    """Writes the folder; its videos are links to the files, or copies.

    Raises InputError where there is a finished ground truth already, unless it may be overwritten.
    """
    if (out / TRUTH).exists() and not overwrite and not (out / INCOMPLETE).exists():
        raise InputError(f"{out / TRUTH}: exists already; give another folder, or --overwrite")
    with being_written(out):
        (out / VIDEOS).mkdir(exist_ok=True)
        for name, path in rows.files.items():
            _place(path, out / VIDEOS / f"{name}{path.suffix}", copy)
        write_labels(out / LABELS, rows.labels)
        write_csv(out / TRUTH, _truth(rows))


def write_labels(path: Path, labels: LabelMap) -> None:
    """A label map as `id,name,group,evaluated`."""
    lines = [(label.id, label.name, label.group, int(label.evaluated)) for label in labels]
    write_csv(path, [("id", "name", "group", "evaluated"), *lines])


def write_csv(path: Path, lines: Iterable[Iterable[object]]) -> None:
    """Whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def _truth(rows: Rows) -> list[tuple[object, ...]]:
    """AVA's rows, one a person and action, and `video,second` for keyframes without people; by video and second."""
    lines: list[tuple[str, float, tuple[object, ...]]] = [(video, second, ()) for video, second in rows.empty]
    people = zip(rows.video, rows.second.tolist(), rows.boxes.tolist(), rows.person.tolist(), rows.actions, strict=True)
    for video, second, box, person, actions in people:
        corners = [f"{value:.6f}" for value in box]
        last = [person] if person >= 0 else []
        lines += [(video, second, (*corners, rows.ids[action], *last)) for action in actions]
    lines.sort(key=lambda line: line[:2])
    return [(video, format_time(second), *rest) for video, second, rest in lines]


def _place(source: Path, target: Path, copy: bool) -> None:
    if target.exists() and target.samefile(source) and (copy is False or not target.is_symlink()):
        return
    target.unlink(missing_ok=True)
    if not copy:
        try:
            os.symlink(source.resolve(), target)
            return
        except OSError:
            pass  # a file system without links: a copy serves
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
