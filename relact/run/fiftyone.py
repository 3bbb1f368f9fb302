"""What detect found, as a data set that FiftyOne imports."""

import json
from pathlib import Path

import numpy as np

from relact.errors import InputError
from relact.interop.fiftyone_json import VideoActions, write_fiftyone
from relact.video.tables import read_actions


def export_fiftyone(source: Path, out: Path, *, threshold: float = 0.0) -> Path:
    """The actions of a folder that `relact detect` wrote, or of one that holds several; the manifest that was written.

    In FiftyOne: `fo.Dataset.from_dir(OUT, dataset_type=fo.types.FiftyOneVideoLabelsDataset)`. Raises InputError for a
    folder without results, and for videos that are no longer where detect read them.
    """
    folders = [source] if (source / "run.json").is_file() else sorted(p.parent for p in source.glob("*/run.json"))
    if not folders:
        raise InputError(f"{source}: expected a folder that relact detect wrote (run.json), or one that holds several")
    return write_fiftyone(out, [_video(folder, threshold) for folder in folders])


def _video(folder: Path, threshold: float) -> VideoActions:
    tables = [folder / name for name in ("actions.csv", "actions.parquet", "actions.json")]
    columns = read_actions(next((table for table in tables if table.is_file()), tables[0]))
    try:
        file = Path(str(json.loads((folder / "run.json").read_text(encoding="utf-8"))["source"]["file"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / 'run.json'}: expected the record that relact detect writes: {error!r}") from error
    if not file.is_file():
        raise InputError(f"{folder}: its video is no longer at {file}; FiftyOne needs it there, put it back")
    kept = columns["score"] >= threshold
    return VideoActions(
        file=file,
        frame=columns["frame"][kept],
        person=columns["person_id"][kept],
        boxes=np.stack([columns[name][kept] for name in ("x1", "y1", "x2", "y2")], axis=1),
        action=columns["action"][kept].tolist(),
        score=columns["score"][kept],
    )
