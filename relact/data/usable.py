"""What of a data set its videos make useless: they do not open, or end before a keyframe."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from relact.data.decode import probe
from relact.data.extracted import looked_at
from relact.data.samples import Sample
from relact.errors import InputError
from relact.interop.faults import Faults


def unreadable(videos: Iterable[Path], faults: Faults) -> set[Path]:
    """The video files and folders of frames that do not open; each is a fault.

    Where faults are not skipped nothing is opened here: whoever reads the video says what is wrong with it. Damage in
    the middle of a video is not seen (`relact data check --decode` does) and stops training.
    """
    broken = set()
    for path in dict.fromkeys(videos) if faults.skip else ():
        try:
            looked_at(path)
        except InputError as error:
            faults.add(str(error))
            broken.add(path)
    return broken


def of_readable_videos(samples: Sequence[Sample], faults: Faults) -> list[Sample]:
    """The samples whose videos are not `unreadable`."""
    broken = unreadable((sample.path for sample in samples), faults)
    return [sample for sample in samples if sample.path not in broken]


def within_their_videos(samples: Sequence[Sample], faults: Faults) -> list[Sample]:
    """The samples whose keyframe lies in their video file; the others are faults.

    Clamping would train on the last frame of a video over and over without a word.
    """
    lengths = {path: probe(path).announced_s for path in {sample.path for sample in samples}}
    late = [
        (sample, length)
        for sample in samples
        if (length := lengths[sample.path]) is not None
        and sample.time is not None
        and not 0 <= sample.time <= length + 1
    ]
    if not late:
        return list(samples)
    said = [f"{sample.key.video} at {sample.stamp:g} s ({length:.1f} s long)" for sample, length in late]
    if not faults.skip:
        raise InputError(
            f"{len(late)} of {len(samples)} keyframes lie outside of their videos, such as {', '.join(said[:5])}; "
            "does a file begin at another second (data.start)?"
        )
    for text in said:
        faults.add(f"a keyframe outside of its video: {text}")
    gone = {sample.key for sample, _ in late}
    return [sample for sample in samples if sample.key not in gone]
