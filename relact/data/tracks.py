"""Who is who across the keyframes of a data set whose annotation does not say: from a file of tracks, or by linking."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from relact.data.extracted import looked_at
from relact.data.samples import Sample
from relact.errors import InputError
from relact.interop.box_files import read_boxes
from relact.interop.box_match import check_ids, match, same_instants
from relact.interop.box_table import VideoBoxes
from relact.interop.faults import Faults
from relact.interop.linking import link_keyframes

Ints = npt.NDArray[np.int64]

MIN_IOU = 0.5
"""A person takes the id of a box of the file from this overlap on."""


def tracks_of_file(samples: Sequence[Sample], path: Path, faults: Faults) -> list[Sample]:
    """The same samples with the ids of a box file: one to one by IoU, keyframe by keyframe; -1 where no box fits.

    The file counts seconds as the annotation does. Broken rows and videos that it does not have are faults: where they
    are skipped, the people there have no id. Raises InputError for a file that counts frames, that lacks ids, that
    gives two people of a moment one, and that fits nobody: which of the two is meant, nobody knows.
    """
    table = read_boxes(path, expect_ids=True, faults=faults)
    if table.clock == "frames":
        raise InputError(f"{path}: counts frames; expected tracks on the seconds of the annotation")
    check_ids(table, "or leave data.tracks out; data.link=true links boxes without ids")
    ids = [np.full(len(sample.boxes), -1, np.int64) for sample in samples]
    for video, members in _by_video(samples).items():
        info = looked_at(samples[members[0]].path)
        try:
            tracks = table.for_video(video, info.width, info.height, faults)
        except InputError as error:
            faults.add(str(error))
            continue
        found = _ids_of_video([samples[k] for k in members], tracks)
        for k, known in zip(members, found, strict=True):
            ids[k] = known
    people = sum(map(len, ids))
    if people and not any((known >= 0).any() for known in ids):
        raise InputError(
            f"{path}: none of its {len(table)} boxes covers one of the {people} annotated people (IoU >= {MIN_IOU:g}); "
            f"it has seconds {table.instant.min():g} to {table.instant.max():g}, they have "
            f"{min(sample.stamp for sample in samples):g} to {max(sample.stamp for sample in samples):g}"
        )
    return [replace(sample, person=known) for sample, known in zip(samples, ids, strict=True)]


def linked(samples: Sequence[Sample]) -> list[Sample]:
    """The same samples; people of videos without any id are linked from keyframe to keyframe by overlap."""
    done = list(samples)
    for members in _by_video(samples).values():
        chosen = [samples[k] for k in members]
        if any((sample.person >= 0).any() for sample in chosen):
            continue
        boxes, keyframe = _rows(chosen)
        ids = link_keyframes(boxes, np.asarray([sample.stamp for sample in chosen])[keyframe])
        for k, known in zip(members, _split(ids, chosen), strict=True):
            done[k] = replace(samples[k], person=known)
    return done


def _by_video(samples: Sequence[Sample]) -> dict[str, list[int]]:
    """Indices of each video's samples with people, by time."""
    members: dict[str, list[int]] = {}
    for k in sorted((k for k, sample in enumerate(samples) if len(sample.boxes)), key=lambda k: samples[k].stamp):
        members.setdefault(samples[k].key.video, []).append(k)
    return members


def _ids_of_video(samples: Sequence[Sample], tracks: VideoBoxes) -> list[Ints]:
    keyframe, instant = same_instants(
        np.asarray([sample.stamp for sample in samples]), tracks.instants, tracks.tolerance()
    )
    keyframe_of = np.full(len(tracks.instants), -1)
    keyframe_of[instant] = keyframe
    boxes, tick = _rows(samples)
    theirs = np.repeat(keyframe_of, np.diff(tracks.start))
    a, b = match(tick, boxes, theirs, tracks.boxes, MIN_IOU)
    ids = np.full(len(boxes), -1, np.int64)
    ids[a] = tracks.person_id[b]
    return _split(ids, samples)


def _rows(samples: Sequence[Sample]) -> tuple[npt.NDArray[np.float64], Ints]:
    """All boxes `[R, 4]`, and the index of each one's sample."""
    counts = [len(sample.boxes) for sample in samples]
    boxes = np.concatenate([np.zeros((0, 4)), *(sample.boxes for sample in samples)])
    return boxes, np.repeat(np.arange(len(samples)), counts)


def _split(ids: Ints, samples: Sequence[Sample]) -> list[Ints]:
    return np.split(ids, np.cumsum([len(sample.boxes) for sample in samples])[:-1])
