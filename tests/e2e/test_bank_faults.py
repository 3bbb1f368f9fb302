"""Whatever stops the writer of a bank, what is sealed stays, and the next run ends with the same bytes."""

import itertools
import multiprocessing as mp
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from relact.bank import BankWriter, FeatureBank, Producer, Rows
from relact.bank.video_file import ROOM, VideoWriter
from relact.errors import InputError

DIM, VIDEOS, TICKS = 16, ["a", "b/c", "d", "e"], 120
PRODUCER = Producer(head="acar", recipe="1" * 64, weights="2" * 64)
FORK = mp.get_context("fork")  # a child writes at once: no seconds of imports before each kill


def rows_of(video: str, tick: int) -> Rows:
    """None to three people, the same in every process."""
    numbers = np.random.default_rng([VIDEOS.index(video), tick])
    count = int(numbers.integers(4))
    return Rows.of(
        tick, numbers.normal(size=(count, DIM)), boxes=numbers.random((count, 4)), score=numbers.random(count),
        track=numbers.integers(0, 9, count), tag=float(numbers.random()),
    )  # fmt: skip


def fill(folder: Path, begun: Connection | None = None, ticks: int = TICKS) -> None:
    """A run: goes on where the last one has stopped, and finishes."""
    writer = BankWriter(folder, producer=PRODUCER, dim=DIM)
    if begun is not None:
        begun.send(True)
    for video in VIDEOS:
        if not writer.done(video):
            of_video = writer.video(video)
            for tick in range(0 if of_video.last is None else of_video.last + 1, ticks):
                of_video.write(tick, rows_of(video, tick))
            writer.seal(of_video)
    writer.finish(VIDEOS)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    fill(folder)
    return content(folder)


def killed(folder: Path, seconds: float) -> bool:
    """Whether a run on this folder was still at work when it was killed, this long after its start."""
    here, there = FORK.Pipe(duplex=False)
    child = FORK.Process(target=fill, args=(folder, there))
    child.start()
    here.recv()
    child.join(seconds)
    if child.is_alive():
        child.kill()
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode != 0


def test_killed_sixty_times_it_ends_with_the_same_bytes(tmp_path: Path, undisturbed: dict[str, bytes]):
    began = time.perf_counter()
    assert not killed(tmp_path / "measured", 60)
    whole, dice, kills, seen = time.perf_counter() - began, random.Random(1), 0, set()
    for round_ in itertools.count():
        folder = tmp_path / str(round_)
        while killed(folder, dice.uniform(0, whole / 3)):
            kills += 1
            found = content(folder)
            sealed = {name for name in found if name.endswith(".safetensors")}
            assert all(found[name] == undisturbed[name] for name in sealed)
            if not json_is_sealed(found):
                with pytest.raises(InputError, match="not finished"):
                    FeatureBank.open(folder)
            seen.add((len(sealed), any(name.endswith(".part") for name in found)))
        assert {name: data for name, data in content(folder).items() if not name.startswith(".")} == undisturbed
        if kills >= 60:
            break
    print(f"{kills} kills in {round_ + 1} banks, in the states (sealed videos, one unfinished) {sorted(seen)}")
    assert len(seen) >= 3, "the kills did not fall at different moments"


def json_is_sealed(found: dict[str, bytes]) -> bool:
    return b'"sealed": true' in found["bank.json"]


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are stopped here, not machines, and the system keeps what they wrote: no need to wait for disks."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


def begin(folder: Path, ticks: int) -> tuple[Path, Path, list[tuple[int, int]]]:
    """An unfinished video: its part, its journal, and how long both were behind each tick."""
    writer = BankWriter(folder, producer=PRODUCER, dim=DIM).video("a")
    part, journal, sizes = folder / "a.part", folder / "a.journal", []
    for tick in range(ticks):
        writer.write(tick, rows_of("a", tick))
        sizes.append((part.stat().st_size, journal.stat().st_size))
    writer.close()
    return part, journal, sizes


def damages(path: Path, begin: int) -> list[tuple[int, Callable[[bytes], bytes]]]:
    """(where, what): from there on cut off, turned into zeros, or one bit turned."""
    size = path.stat().st_size
    return [
        *((at, lambda good, at=at: good[:at]) for at in range(begin, size)),
        *((at, lambda good, at=at: good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :])
          for at in range(begin, size)),
    ]  # fmt: skip


@pytest.mark.usefixtures("unsynced")
@pytest.mark.parametrize("which", [0, 1], ids=["part", "journal"])
def test_a_torn_tail_is_cut_off_and_written_again(which: int, tmp_path: Path, undisturbed: dict[str, bytes]):
    *paths, sizes = begin(tmp_path, 12)
    good = [path.read_bytes() for path in paths]
    first = 8 if which else 9
    assert [len(rows_of("a", tick)) for tick in range(first, 12)].count(0) < 3
    for at, damage in damages(paths[which], sizes[first][which]):
        for path, data in zip(paths, good, strict=True):
            path.write_bytes(data)
        paths[which].write_bytes(damage(good[which]))
        whole = next((tick for tick in range(12) if sizes[tick][which] > at), 12) - 1
        writer = BankWriter(tmp_path, producer=PRODUCER, dim=DIM)
        of_video = writer.video("a")
        assert of_video.last == whole, (at, of_video.last)
        assert tuple(path.stat().st_size for path in paths) == sizes[whole]
        go_on(writer, of_video)
        sealed = tmp_path / "a.safetensors"
        assert sealed.read_bytes() == undisturbed["a.safetensors"], at
        sealed.unlink()


def go_on(writer: BankWriter, of_video: VideoWriter) -> None:
    for tick in range(0 if of_video.last is None else of_video.last + 1, TICKS):
        of_video.write(tick, rows_of("a", tick))
    writer.seal(of_video)


@pytest.mark.usefixtures("unsynced")
def test_bytes_behind_the_last_tick_are_cut_off(tmp_path: Path, undisturbed: dict[str, bytes]):
    """Half a tick, or what a file system leaves where a length was written and its bytes were not: zeros."""
    for kind, tail in itertools.product(("part", "journal"), (b"\0" * 5000, b"\xff" * 33)):
        part, journal, sizes = begin(tmp_path, 12)
        with {"part": part, "journal": journal}[kind].open("ab") as file:
            file.write(tail)
        writer = BankWriter(tmp_path, producer=PRODUCER, dim=DIM)
        of_video = writer.video("a")
        assert (of_video.last, (part.stat().st_size, journal.stat().st_size)) == (11, sizes[-1])
        go_on(writer, of_video)
        assert (tmp_path / "a.safetensors").read_bytes() == undisturbed["a.safetensors"]
        (tmp_path / "a.safetensors").unlink()


@pytest.mark.usefixtures("unsynced")
@pytest.mark.parametrize("lost", ["part", "journal", "header"])
def test_a_lost_half_begins_the_video_anew(lost: str, tmp_path: Path, undisturbed: dict[str, bytes]):
    part, journal, _ = begin(tmp_path, 12)
    if lost == "header":
        part.write_bytes(part.read_bytes()[: ROOM - 1])
    else:
        {"part": part, "journal": journal}[lost].unlink()
    writer = BankWriter(tmp_path, producer=PRODUCER, dim=DIM)
    of_video = writer.video("a")
    empty = sum(1 for _ in itertools.takewhile(lambda tick: len(rows_of("a", tick)) == 0, range(12)))
    assert of_video.last in (None, empty - 1)
    go_on(writer, of_video)
    assert (tmp_path / "a.safetensors").read_bytes() == undisturbed["a.safetensors"]


class Stopped(BaseException):
    """In place of a kill, where the moment must be exact."""


def stop(*_: object) -> None:
    raise Stopped


@pytest.mark.parametrize(
    ("where", "is_sealed"),
    [
        ("relact.bank.video_file._header", False),
        ("os.fsync", False),
        ("os.replace", False),
        ("relact.bank.video_file._sync_folder", True),
        ("pathlib.Path.unlink", True),
    ],
)
def test_a_stop_at_each_step_of_sealing(
    where: str, is_sealed: bool, tmp_path: Path, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    """Before the header, between header and rename, between rename and the journal's removal."""
    writer = BankWriter(tmp_path, producer=PRODUCER, dim=DIM)
    with monkeypatch.context() as patch:
        patch.setattr(where, stop)
        with pytest.raises(Stopped):
            go_on(writer, writer.video("a"))
    again = BankWriter(tmp_path, producer=PRODUCER, dim=DIM)
    assert again.done("a") is is_sealed
    assert (tmp_path / "a.journal").is_file()
    if is_sealed:
        with pytest.raises(InputError, match="a is finished"):
            again.video("a")
    else:
        of_video = again.video("a")
        assert of_video.last == TICKS - 1
        again.seal(of_video)
    again.finish(["a"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "bank.json"]
    assert (tmp_path / "a.safetensors").read_bytes() == undisturbed["a.safetensors"]
    FeatureBank.open(tmp_path)


def test_a_stale_journal_says_nothing_about_a_video_that_is_made_again(tmp_path: Path):
    writer = BankWriter(tmp_path, producer=PRODUCER, dim=DIM)
    of_video = writer.video("a")
    of_video.write(0, Rows.of(0, np.zeros((0, DIM)), boxes=np.zeros((0, 4))))
    stale = (tmp_path / "a.journal").read_bytes()
    writer.seal(of_video)
    (tmp_path / "a.safetensors").unlink()
    (tmp_path / "a.journal").write_bytes(stale)
    assert writer.video("a").last is None


def test_a_stop_while_the_manifest_is_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fill(tmp_path, ticks=3)
    before = content(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", stop)
        with pytest.raises(Stopped):
            BankWriter(tmp_path, producer=PRODUCER, dim=DIM).finish(VIDEOS[:2])
    assert content(tmp_path) == before
    FeatureBank.open(tmp_path)
