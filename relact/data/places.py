"""Where the files of a data set are, and what to say when they are not."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from relact.errors import InputError
from relact.interop.faults import Faults

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v")
INCOMPLETE = ".incomplete"
"""in a folder that is being written"""
SHOWN = 5
"""so many of several missing things are named"""


def check_files(what: str, root: Path, wanted: Mapping[Path, str], remedy: str) -> None:
    """Raises InputError that lists all files and folders that are not there, and where each can be had.

    `wanted`: path → where it comes from; `remedy`: what else may be wrong. Also refuses a folder whose writing was cut
    off.
    """
    refuse_unfinished(root)
    missing = {path: source for path, source in wanted.items() if not path.exists()}
    if missing:
        lines = [f"{path}: {source}" for path, source in missing.items()]
        raise InputError(
            f"{what}: {len(missing)} of {len(wanted)} files and folders looked for are not there; {remedy}\n  "
            + "\n  ".join(lines)
        )


def refuse_unfinished(root: Path) -> None:
    """Raises InputError for a folder whose writing was cut off."""
    if (root / INCOMPLETE).exists():
        raise InputError(f"{root}: its writing was cut off ({INCOMPLETE} is there); make it again")


def videos_below(folder: Path) -> dict[str, Path]:
    """Name without suffix → video file, anywhere below a folder."""
    found = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in VIDEO_SUFFIXES)
    return {path.stem: path for path in found}


def frame_folders(folder: Path) -> dict[str, Path]:
    """Name → folder of frames, one or two levels below (`video/`, `Class/video/`); those with files in them."""
    inner = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    deeper = [path for parent in inner for path in sorted(parent.iterdir()) if path.is_dir()]
    parents = {path.parent for path in deeper}
    return {path.name: path for path in [*inner, *deeper] if path not in parents}


def name_missing(
    what: str, folder: Path, names: Iterable[str], known: Mapping[str, Path], remedy: str, faults: Faults | None = None
) -> None:
    """Raises InputError, with the first few, for names that are not known; `faults` that skip raise it for all only."""
    names = list(names)
    missing = [name for name in names if name not in known]
    if missing and faults is not None and faults.skip and len(missing) < len(names):
        for name in missing:
            faults.add(f"{folder}: {name} is not there")
    elif missing:
        more = " …" if len(missing) > SHOWN else ""
        raise InputError(
            f"{folder}: {len(missing)} of {len(names)} {what} are missing, such as "
            f"{', '.join(missing[:SHOWN])}{more}; {remedy}"
        )
