"""What is in a bank, for `relact bank show`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from relact.bank.feature_bank import FeatureBank, Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSummary:
    """Ticks with rows; `first` and `last` are None where there is none."""

    rows: int
    ticks: int
    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BankSummary:
    """Counts of rows, of ticks that have any, and of people a tick; sizes in bytes."""

    folder: Path
    manifest: Manifest
    rows: int
    ticks: int
    people: int
    """with ids, each video's counted for itself; 0 where rows have no ids"""
    rows_per_tick: tuple[float, int]
    """mean and most, of ticks that have rows"""
    nbytes: int
    empty: int
    """rows that are all zeros"""
    videos: dict[str, VideoSummary]
    verified: bool

    @property
    def warnings(self) -> list[str]:
        """What is odd."""
        found = [f"{self.empty} of {self.rows} rows are all zeros: was the network trained?"] if self.empty else []
        silent = [name for name, video in self.videos.items() if not video.rows]
        if silent:
            found.append(f"{len(silent)} videos have no rows, such as {silent[0]}: nobody was seen in them")
        return found

    def lines(self) -> list[tuple[str, str]]:
        """For a table of two columns."""
        manifest, (mean, most) = self.manifest, self.rows_per_tick
        shape = f"{manifest.dim} x {manifest.dtype}"
        if manifest.grid is not None:
            rows, columns = manifest.grid
            shape += f", maps of {manifest.dim // (rows * columns)} x {rows} x {columns}"
        return [
            ("bank", str(self.folder)),
            ("made by head", manifest.producer.head),
            ("recipe, sha256", manifest.producer.recipe),
            ("weights, sha256", manifest.producer.weights),
            ("of keyframes and boxes, sha256", manifest.producer.data),
            ("a row", shape),
            ("rows", f"{self.rows} in {len(self.videos)} videos, {self.nbytes / 1e6:.1f} MB"),
            ("ticks with rows", f"{self.ticks}; {mean:.2f} rows each, {most} at most"),
            ("people with ids", str(self.people)),
            ("checksums", "all compared" if self.verified else "of headers and indices only"),
        ]

    def video_lines(self) -> list[tuple[str, str]]:
        """One a video."""
        return [
            (name, f"{v.rows} in {v.ticks} ticks" + ("" if v.first is None else f", {v.first} … {v.last}"))
            for name, v in self.videos.items()
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        producer = dataclasses.asdict(self.manifest.producer)
        return {
            "folder": str(self.folder),
            "producer": producer,
            "dim": self.manifest.dim,
            "grid": self.manifest.grid,
            "dtype": self.manifest.dtype,
            "rows": self.rows,
            "ticks": self.ticks,
            "people": self.people,
            "bytes": self.nbytes,
            "verified": self.verified,
            "videos": {name: dataclasses.asdict(video) for name, video in self.videos.items()},
            "warnings": self.warnings,
        }


def summary(folder: Path, *, verify: bool = True) -> BankSummary:
    """Reads a finished bank. Raises InputError for one that is unfinished or damaged."""
    bank = FeatureBank.open(folder, verify=verify)
    videos, people, empty, most, ticks = {}, 0, 0, 0, 0
    for video in bank.videos:
        rows = bank.rows(video)
        found, count = np.unique(rows.tick, return_counts=True)
        videos[video] = VideoSummary(
            rows=len(rows),
            ticks=len(found),
            first=int(found[0]) if len(found) else None,
            last=int(found[-1]) if len(found) else None,
        )
        people += len(np.unique(rows.track[rows.track >= 0]))
        empty += int((~rows.features.any(axis=1)).sum()) if verify else 0
        most, ticks = max(most, int(count.max(initial=0))), ticks + len(found)
    return BankSummary(
        folder=folder, manifest=bank.manifest, rows=len(bank), ticks=ticks, people=people,
        rows_per_tick=(len(bank) / max(ticks, 1), most), nbytes=bank.nbytes, empty=empty, videos=videos,
        verified=verify,
    )  # fmt: skip
