"""Banks on disk: what is written is read, and what is not what it should be is refused by name."""

import dataclasses
import multiprocessing as mp
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch.utils.data import DataLoader, Dataset

from relact.bank import BankWriter, FeatureBank, OnlineBank, Producer, Rows
from relact.bank.video_file import ROOM, stem
from relact.errors import InputError
from relact.head import MemorySpec
from relact.types import Keyframe

DIM = 8
PRODUCER = Producer(head="acar", recipe="1" * 64, weights="2" * 64)
SPEC = MemorySpec(radius=2, dim=DIM)


def rows(tick: int, count: int, dim: int = DIM, seed: int = 0) -> Rows:
    random = np.random.default_rng([seed, tick, count])
    return Rows.of(
        tick, random.normal(size=(count, dim)), boxes=random.random((count, 4)), track=np.arange(count),
        score=random.random(count), tag=0.5,
    )  # fmt: skip


def write(folder: Path, videos: dict[str, list[int]], producer: Producer = PRODUCER, finish: bool = True) -> Path:
    """People at ticks 0, 1, …"""
    writer = BankWriter(folder, producer=producer, dim=DIM)
    for seed, (video, counts) in enumerate(videos.items()):
        of_video = writer.video(video)
        for tick, count in enumerate(counts):
            of_video.write(tick, rows(tick, count, seed=seed))
        writer.seal(of_video)
    if finish:
        writer.finish(list(videos))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "bank", {"a": [2, 0, 3], "b": [1, 1]})


def test_what_is_written_is_read_also_by_safetensors(folder: Path):
    expected = [rows(0, 2), rows(2, 3)]
    stored = load_file(folder / "a.safetensors")
    assert set(stored) == {"features", "tick", "track", "tag", "score", "boxes"}
    for name, values in stored.items():
        joined = np.concatenate([getattr(part, name) for part in expected])
        assert values.dtype == joined.dtype
        np.testing.assert_array_equal(values, joined)
    bank = FeatureBank.open(folder, producer=PRODUCER, spec=SPEC)
    assert (len(bank), bank.videos, bank.nbytes) == (7, ["a", "b"], 7 * DIM * 2)
    for name, values in stored.items():
        np.testing.assert_array_equal(getattr(bank.rows("a"), name), values)


def test_features_are_rounded_to_halves_and_what_is_too_large_is_cut():
    values = np.array([[1 + 2**-12, 1e9, -np.inf, np.inf, 65504, -1e5]])
    kept = Rows.of(0, values, boxes=np.zeros((1, 4))).features
    assert kept.tolist() == [[1, 65504, -65504, 65504, 65504, -65504]]


@pytest.mark.parametrize(
    ("change", "spec", "words"),
    [
        ({"head": "lfb"}, SPEC, ["head acar", "head lfb"]),
        ({"recipe": "9" * 64}, SPEC, ["recipe 111111111111", "recipe 999999999999"]),
        ({"weights": "9" * 64}, SPEC, ["weights 222222222222", "weights 999999999999"]),
        ({}, MemorySpec(radius=1, dim=16), ["8 channels", "16 channels", "acar"]),
        ({}, MemorySpec(radius=1, dim=8, grid=(2, 2)), ["8 channels", "2 channels x 2 x 2"]),
    ],
)
def test_another_bank_is_refused_and_both_are_named(folder: Path, change: dict, spec: MemorySpec, words: list[str]):
    expected = dataclasses.replace(PRODUCER, **change)
    with pytest.raises(InputError) as refused:
        FeatureBank.open(folder, producer=expected, spec=spec)
    assert all(word in str(refused.value) for word in [str(folder), *words])
    with pytest.raises(InputError) as refused:
        BankWriter(folder, producer=expected, dim=spec.dim, grid=spec.grid)
    assert all(word in str(refused.value) for word in words)
    if not change:
        with pytest.raises(InputError, match="rows of 8 channels"):
            FeatureBank.open(folder).window([Keyframe("a", 0)], spec)


def test_two_heads_with_maps_of_other_grids_are_told_apart(tmp_path: Path):
    writer = BankWriter(tmp_path, producer=PRODUCER, dim=DIM, grid=(2, 2))
    writer.finish([])
    with pytest.raises(InputError, match=r"2 channels x 2 x 2.* 1 channels x 2 x 4"):
        FeatureBank.open(tmp_path, spec=MemorySpec(radius=1, dim=DIM, grid=(2, 4)))
    assert len(FeatureBank.open(tmp_path, spec=MemorySpec(radius=1, dim=DIM, grid=(2, 2)))) == 0


def test_an_unfinished_bank_is_refused_and_one_that_lacks_a_video_is_not_finished(tmp_path: Path):
    write(tmp_path, {"a": [1]}, finish=False)
    with pytest.raises(InputError, match="not finished"):
        FeatureBank.open(tmp_path)
    with pytest.raises(InputError, match="b is not finished"):
        BankWriter(tmp_path, producer=PRODUCER, dim=DIM).finish(["a", "b"])
    with pytest.raises(InputError, match="no feature bank there"):
        FeatureBank.open(tmp_path / "elsewhere")
    (tmp_path / "bank.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="another version of relact"):
        FeatureBank.open(tmp_path)


def refused(folder: Path, verify: bool) -> None:
    with pytest.raises(InputError) as error:
        FeatureBank.open(folder, verify=verify)
    assert str(folder) in str(error.value)


def test_every_flipped_byte_is_found(folder: Path):
    """Each byte of the manifest and of a file, but for the spaces in its header, of which some; one bit each."""
    features = range(ROOM, ROOM + 5 * DIM * 2)
    for path in (folder / "bank.json", folder / "a.safetensors"):
        good = path.read_bytes()
        text = len(good[:ROOM].rstrip(b" ")) if path.suffix == ".safetensors" else len(good)
        for at in [*range(text), *range(text, min(ROOM, len(good)), 97), *range(ROOM, len(good))]:
            path.write_bytes(good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :])
            refused(folder, verify=True)
            if path.suffix == ".json" or at not in features:
                refused(folder, verify=False)
        path.write_bytes(good)
    FeatureBank.open(folder)


def test_a_file_cut_short_at_any_byte_or_grown_is_refused(folder: Path):
    for path in (folder / "bank.json", folder / "a.safetensors"):
        good = path.read_bytes()
        for length in [*range(0, len(good), 41), len(good) - 1]:
            path.write_bytes(good[:length])
            refused(folder, verify=False)
        path.write_bytes(good + b"\0")
        refused(folder, verify=False)
        path.write_bytes(good)


def test_a_file_of_another_video_a_missing_one_and_an_older_one_are_refused(folder: Path, tmp_path: Path):
    path = folder / "a.safetensors"
    good = path.read_bytes()
    shutil.copy(folder / "b.safetensors", path)
    refused(folder, verify=False)
    with pytest.raises(InputError, match="holds b"):
        BankWriter(folder, producer=PRODUCER, dim=DIM).done("a")
    path.unlink()
    with pytest.raises(InputError, match="is not there"):
        FeatureBank.open(folder)
    other = write(tmp_path / "other", {"a": [1, 1]})
    shutil.copy(other / "a.safetensors", path)
    refused(folder, verify=False)
    path.write_bytes(good)
    FeatureBank.open(folder)


def test_a_sealed_file_of_another_producer_is_not_taken_over(folder: Path, tmp_path: Path):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(folder / "a.safetensors", other)
    writer = BankWriter(other, producer=dataclasses.replace(PRODUCER, weights="9" * 64), dim=DIM)
    with pytest.raises(InputError, match=r"2222.*9999"):
        writer.finish(["a"])


def test_unfinished_videos_without_a_manifest_are_not_gone_on_with(tmp_path: Path):
    BankWriter(tmp_path, producer=PRODUCER, dim=DIM).video("a").close()
    (tmp_path / "bank.json").unlink()
    with pytest.raises(InputError, match=r"without its bank\.json"):
        BankWriter(tmp_path, producer=PRODUCER, dim=DIM)


def test_a_tick_twice_or_too_late_or_with_other_rows_is_refused_and_nothing_is_written(tmp_path: Path):
    writer = BankWriter(tmp_path, producer=PRODUCER, dim=DIM)
    of_video = writer.video("a")
    of_video.write(3, rows(3, 2))
    of_video.write(4, rows(4, 0))
    for tick, bad, words in [
        (4, rows(4, 1), "tick 4 of a after tick 4"),
        (3, rows(3, 1), "tick 3 of a after tick 4"),
        (5, rows(5, 1, dim=9), "rows of 9 channels, this bank's have 8"),
        (5, rows(6, 1), r"rows of tick \[6\] at tick 5"),
    ]:
        with pytest.raises(InputError, match=words):
            of_video.write(tick, bad)
    of_video.close()
    again = writer.video("a")
    assert again.last == 4
    writer.seal(again)
    with pytest.raises(InputError, match="a is finished"):
        writer.video("a")
    writer.finish(["a"])
    assert FeatureBank.open(tmp_path).rows("a").tick.tolist() == [3, 3]


def test_a_video_that_the_bank_does_not_have_is_named(folder: Path):
    bank = FeatureBank.open(folder)
    with pytest.raises(InputError, match=r"no video c \(asked at tick 7\)"):
        bank.window([Keyframe("a", 0), Keyframe("c", 7)], SPEC)
    with pytest.raises(InputError, match="no video c"):
        bank.rows("c")
    with pytest.raises(InputError, match="2 of the 3 videos of the training set, such as c"):
        bank.require(["d", "a", "c"], "the training set")
    bank.require(["a", "b"], "the training set")


ODD = [
    "a/b", "a%2Fb", "a%252Fb", "a b", "a+b", ".a", "%2Ea", "..", "../a", "", "%", "A", "Ä", "a.part", "a.journal",
    "视频", "🎬 x", "tab\there", "x" * 300, "x" * 299 + "y", "X" * 300, "ü" * 300, "🎬" * 300, "\udcff",
    "-5KQ66BBWC4", "%-",
]  # fmt: skip


def test_any_name_of_a_video_has_a_file_of_its_own(tmp_path: Path):
    videos = {"a": [1], **{name: [1 + i % 3, 1] for i, name in enumerate(ODD)}}
    bank = FeatureBank.open(write(tmp_path / "bank", videos))
    assert bank.videos == sorted(videos)
    assert len(list((tmp_path / "bank").iterdir())) == len(videos) + 1
    assert [path.name for path in tmp_path.iterdir()] == ["bank"]
    for seed, (video, counts) in enumerate(videos.items()):
        expected = np.concatenate([rows(tick, count, seed=seed).features for tick, count in enumerate(counts)])
        np.testing.assert_array_equal(bank.rows(video).features, expected)
    long = "x" * 300
    assert stem(stem(long)) != stem(long) != stem(long[:-1])


def test_a_name_without_room_in_the_header_is_refused_before_the_work(tmp_path: Path):
    with pytest.raises(InputError, match="a video's name of 3000 characters"):
        BankWriter(tmp_path, producer=PRODUCER, dim=DIM).video("x" * 3000)


def test_a_bank_a_video_and_a_tick_may_be_empty(tmp_path: Path):
    bank = FeatureBank.open(write(tmp_path / "some", {"a": [0, 0], "b": [], "c": [0, 1]}), spec=SPEC)
    assert bank.window([Keyframe(v, 1) for v in "abc"], SPEC).mask.tolist() == [[False], [False], [True]]
    assert load_file(tmp_path / "some" / "b.safetensors")["features"].shape == (0, DIM)
    empty = FeatureBank.open(write(tmp_path / "none", {}))
    memory = empty.window([], SPEC)
    assert (len(empty), memory.features.shape) == (0, (0, 0, DIM))


class Windows(Dataset[torch.Tensor]):
    """What a loader's worker reads of a bank."""

    def __init__(self, bank: FeatureBank) -> None:
        self._bank = bank

    def __len__(self) -> int:
        return 4

    def __getitem__(self, item: int) -> torch.Tensor:
        return self._bank.window([Keyframe("a", item)], SPEC).features


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_a_loader_read_the_same(folder: Path, start: str):
    windows = Windows(FeatureBank.open(folder))
    loader = DataLoader(windows, batch_size=None, num_workers=1, multiprocessing_context=mp.get_context(start))
    for ours, theirs in zip([windows[i] for i in range(4)], loader, strict=True):
        assert torch.equal(ours, theirs)


def test_a_bank_travels_by_name_and_not_another_in_its_place(folder: Path):
    bank = FeatureBank.open(folder)
    message = pickle.dumps(bank)
    assert len(message) < 2000
    assert pickle.loads(message).videos == bank.videos
    shutil.rmtree(folder)
    write(folder, {"a": [1], "b": [1]})
    with pytest.raises(InputError, match="has been replaced"):
        pickle.loads(message)


def online(dim: int = DIM, people: tuple[int, ...] = (2, 1), video: str = "a") -> OnlineBank:
    return OnlineBank([Keyframe(video, 0), Keyframe(video, 1)], people, dim=dim)


def test_the_bank_of_a_training_refuses_what_is_not_its_own(tmp_path: Path):
    bank, path = online(), tmp_path / "online.safetensors"
    with pytest.raises(InputError, match="a, tick 1: this keyframe is in the set twice"):
        OnlineBank([Keyframe("a", 1)] * 2, [1, 1], dim=DIM)
    for key, bad, words in [
        (Keyframe("a", 5), rows(5, 1), "tick 5: not a keyframe of the set"),
        (Keyframe("a", 1), rows(1, 2), "2 people, expected at most 1"),
        (Keyframe("a", 1), rows(1, 1, dim=1), f"rows of 1 channels, expected {DIM}"),
    ]:
        with pytest.raises(InputError, match=words):
            bank.write(key, bad, 1.0)
    assert len(bank) == 0
    with pytest.raises(InputError, match="b, tick 0: not a video of the set"):
        bank.window([Keyframe("b", 0)], SPEC)
    with pytest.raises(InputError, match="rows of 8 channels, this head reads 9"):
        bank.window([Keyframe("a", 0)], dataclasses.replace(SPEC, dim=9))
    bank.write(Keyframe("a", 1), rows(1, 1), 1.0)
    bank.save(path)
    for other in (online(dim=9), online(people=(1, 2)), online(video="b")):
        with pytest.raises(InputError, match="expected that of this training's 2 keyframes"):
            other.load(path)
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :])
        with pytest.raises(InputError):
            online().load(path)
    path.write_bytes(good[:-1])
    with pytest.raises(InputError, match="not a saved bank"):
        online().load(path)
    with pytest.raises(InputError, match="not a saved bank"):
        online().load(tmp_path / "elsewhere")
