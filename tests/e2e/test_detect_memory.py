"""`detect` with heads that remember: one pass with a delay equals two passes with plain loops."""

import copy
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from memory_models import HEADS, run_folder
from typer.testing import CliRunner

import relact
from relact.cli import app
from relact.data.decode import FrameStream, read_clip
from relact.data.sampling import window_times
from relact.errors import InputError
from relact.head import MemorySpec
from relact.heads import lfb, linear
from relact.labels import LabelMap
from relact.model import ActionDetector
from relact.recipe import Recipe
from relact.run.detection import prepare
from relact.types import Actors, Detections, Memory, Scene
from relact.video.pipeline import DetectConfig
from tests.make_stage import make_stage

SECONDS = 12
EXACT = DetectConfig(precision="fp32", batch=1)


@pytest.fixture(scope="module")
def long_play(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One scene of three people, who are in `seconds.csv` until second 7, in `gaps.csv` not at 4 and 5 either."""
    folder = make_stage(tmp_path_factory.mktemp("long_play"), family="owner", seconds=SECONDS, seed=1)
    header, *lines = (folder / "people.csv").read_text().splitlines()
    whole = [line for line in lines if float(line.split(",")[1]) in range(8)]
    (folder / "seconds.csv").write_text("\n".join([header, *whole]) + "\n")
    kept = [line for line in whole if float(line.split(",")[1]) not in (4, 5)]
    (folder / "gaps.csv").write_text("\n".join([header, *kept]) + "\n")
    return folder


def model_of(name: str, small: Recipe, long_play: Path, tmp_path: Path, seed: int = 0) -> ActionDetector:
    folder = run_folder(tmp_path / f"{name}_{seed}", small, HEADS[name], LabelMap.load(long_play / "labels.csv"), seed)
    return relact.load_model(folder)


def scene_of(model: ActionDetector, video: Path, found: Detections, ids: np.ndarray) -> Scene:
    clip = model.clip
    times = window_times(found.time, clip.num_frames, clip.frame_stride, clip.rate or 0)
    frames = read_clip(video, times=times, short_side=clip.short_side)[None]
    height, width = frames.shape[-2:]
    boxes = torch.from_numpy(found.boxes) * torch.tensor([width, height, width, height])
    actors = Actors.of([boxes], scores=[torch.from_numpy(found.box_scores)], track=[torch.from_numpy(ids)])
    valid = torch.tensor([[height, width]])
    return model.look(model.normalise(frames, valid), actors, valid=valid)


def rows_of(producer: ActionDetector, video: Path, found: Detections, ids: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """(row, id) of each person, in the order that a bank keeps."""
    head = copy.copy(producer.head)
    head.archive = True
    relations = head(scene_of(producer, video, found, ids))
    rows = (relations.features if relations.store is None else relations.store).numpy().astype(np.float16)

    def place(row: int) -> tuple[float, ...]:
        return (-found.box_scores[row], *found.boxes[row][::-1], ids[row])

    return [(rows[row], int(ids[row])) for row in sorted(range(len(rows)), key=place)]


def memory_of(
    tick: int, bank: dict[int, list[tuple[np.ndarray, int]]], spec: MemorySpec, ids: Sequence[int], ahead: int
) -> Memory:
    features, dt, track = [], [], []
    for other in range(tick - spec.radius, tick + ahead + 1):
        if other == tick and not spec.include_current:
            continue
        rows = list(range(len(bank.get(other, []))))
        if spec.max_per_tick is not None:
            if spec.identity:
                rows.sort(key=lambda row: bank[other][row][1] not in ids)
            rows = sorted(rows[: spec.max_per_tick])
        for row in rows:
            features.append(bank[other][row][0])
            dt.append(other - tick)
            track.append(bank[other][row][1])
    count = len(dt)
    return Memory(
        features=torch.from_numpy(np.array(features, np.float16).reshape(1, count, spec.dim)).float(),
        dt=torch.tensor([dt], dtype=torch.long).reshape(1, count),
        track=torch.tensor([track], dtype=torch.long).reshape(1, count),
        tag=torch.ones(1, count),
        mask=torch.ones(1, count, dtype=torch.bool),
    )


@torch.inference_mode()
def two_passes(
    model: ActionDetector, producer: ActionDetector, video: Path, detections: Sequence[Detections], causal: bool
) -> list[np.ndarray]:
    """All rows first, then all windows."""
    spec = model.head.memory
    assert spec is not None
    ahead = 0 if causal else spec.radius if spec.future is None else spec.future
    ids = {d.key.tick: d.person if spec.identity else d.track for d in detections}
    bank = {d.key.tick: rows_of(producer, video, d, ids[d.key.tick]) for d in detections if len(d.boxes)}
    scores = []
    for d in detections:
        if not len(d.boxes):
            scores.append(np.zeros((0, len(model.labels)), np.float32))
            continue
        memory = memory_of(d.key.tick, bank, spec, ids[d.key.tick].tolist(), ahead)
        scene = dataclasses.replace(scene_of(model, video, d, ids[d.key.tick]), memory=memory)
        scores.append(model.judge(scene).scores.numpy())
    return scores


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", list(HEADS))
def test_one_pass_with_a_delay_is_two_passes(name: str, causal: bool, small: Recipe, long_play: Path, tmp_path: Path):
    video, model = long_play / "videos" / "stage_1_0000.mp4", model_of(name, small, long_play, tmp_path)
    config = dataclasses.replace(EXACT, causal=causal)
    found = list(relact.detect(video, model=model, boxes=long_play / "gaps.csv", config=config))
    assert [d.key.tick for d in found] == list(range(SECONDS))
    assert [len(d.boxes) for d in found] == [3, 3, 3, 3, 0, 0, 3, 3, 0, 0, 0, 0]
    ready = prepare(model, "fp32")
    for d, scores in zip(found, two_passes(ready, ready, video, found, causal), strict=True):
        np.testing.assert_array_equal(d.scores, scores, err_msg=f"second {d.key.tick}")
    with torch.inference_mode():
        alone = ready.judge(scene_of(ready, video, found[2], found[2].person)).scores.numpy()
    assert np.abs(found[2].scores - alone).max() > 1e-5, "the memory says nothing"


@pytest.mark.parametrize("name", ["lfb", "igmn"])
def test_a_memory_of_another_model(name: str, small: Recipe, long_play: Path, tmp_path: Path):
    video, labels = long_play / "videos" / "stage_1_0000.mp4", LabelMap.load(long_play / "labels.csv")
    run = run_folder(tmp_path / "run", small, HEADS[name], labels)
    run_folder(run / "producer", small, HEADS[name], labels, seed=1)
    found = list(relact.detect(video, model=run, boxes=long_play / "gaps.csv", config=EXACT))
    model, producer = relact.load_model(run), relact.load_model(run / "producer")
    ready, writer = prepare(model, "fp32"), prepare(producer, "fp32")
    for d, scores in zip(found, two_passes(ready, writer, video, found, causal=False), strict=True):
        np.testing.assert_array_equal(d.scores, scores)
    with pytest.raises(InputError, match="memory that another model wrote"):
        next(relact.detect(video, model=model, boxes=long_play / "gaps.csv"))


def test_a_producer_without_a_head_of_its_own_gives_its_features(small: Recipe, long_play: Path, tmp_path: Path):
    labels = LabelMap.load(long_play / "labels.csv")
    run = run_folder(tmp_path / "run", small, HEADS["lfb"], labels)
    run_folder(run / "producer", small, linear.Config(), labels, seed=1)
    video = long_play / "videos" / "stage_1_0000.mp4"
    found = list(relact.detect(video, model=run, boxes=long_play / "gaps.csv", config=EXACT))
    ready, writer = (prepare(relact.load_model(folder), "fp32") for folder in (run, run / "producer"))
    for d, scores in zip(found, two_passes(ready, writer, video, found, causal=False), strict=True):
        np.testing.assert_array_equal(d.scores, scores)


def test_a_producer_that_does_not_fit_is_named(small: Recipe, long_play: Path, tmp_path: Path):
    labels = LabelMap.load(long_play / "labels.csv")
    run = run_folder(tmp_path / "run", small, HEADS["lfb"], labels)
    run_folder(run / "producer", small, HEADS["mrsn"], labels)
    with pytest.raises(InputError, match="rows of 48 channels, the head reads 320"):
        list(relact.detect(long_play / "videos" / "stage_1_0000.mp4", model=run, boxes=long_play / "gaps.csv"))
    other = dataclasses.replace(small, transform=dataclasses.replace(small.transform, short_side=64))
    run_folder(run / "producer", other, linear.Config(), labels)
    with pytest.raises(InputError, match="short side 64"):
        next(relact.detect(long_play / "videos" / "stage_1_0000.mp4", model=run, boxes=long_play / "gaps.csv"))


def test_batches_wait_together_and_say_the_same(small: Recipe, long_play: Path, tmp_path: Path):
    model = model_of("lfb", small, long_play, tmp_path)
    one, three = (
        list(
            relact.detect(
                long_play / "videos" / "stage_1_0000.mp4",
                model=model,
                boxes=long_play / "gaps.csv",
                config=DetectConfig(precision="fp32", batch=size),
            )
        )
        for size in (1, 3)
    )
    for a, b in zip(one, three, strict=True):
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)


def test_people_without_ids_are_followed_before_a_head_that_needs_to_know_them(
    small: Recipe, long_play: Path, tmp_path: Path
):
    rows = (long_play / "gaps.csv").read_text().splitlines()
    (tmp_path / "boxes.csv").write_text("\n".join(row.rpartition(",")[0] for row in rows) + "\n")
    model = model_of("igmn", small, long_play, tmp_path)
    video = long_play / "videos" / "stage_1_0000.mp4"
    found = list(relact.detect(video, model=model, boxes=tmp_path / "boxes.csv", config=EXACT))
    assert all((d.track == -1).all() and (d.person > 0).all() for d in found)
    assert set(found[0].person) & set(found[1].person)
    ready = prepare(model, "fp32")
    for d, scores in zip(found, two_passes(ready, ready, video, found, causal=False), strict=True):
        np.testing.assert_array_equal(d.scores, scores)


@pytest.mark.parametrize("name", ["lfb", "acar", "amcrnet"])
def test_causal_says_nothing_of_what_comes_after_the_clip(name: str, small: Recipe, long_play: Path, tmp_path: Path):
    model = model_of(name, small, long_play, tmp_path)
    clip, second = model.clip, 4
    assert clip.rate is not None
    half = clip.num_frames // 2 * clip.frame_stride / clip.rate
    whole, cut = tmp_path / "whole.avi", tmp_path / "cut.avi"
    for target, last in ((whole, 100.0), (cut, second + half)):
        lossless(long_play / "videos" / "stage_1_0000.mp4", target, last)
    config = dataclasses.replace(EXACT, causal=True)
    boxes = (long_play / "seconds.csv").read_text()
    runs = {}
    for video in (whole, cut):
        table = tmp_path / f"{video.stem}.csv"
        table.write_text(boxes.replace("stage_1_0000", video.stem))
        runs[video.stem] = {
            causal: list(
                relact.detect(video, model=model, boxes=table, config=dataclasses.replace(config, causal=causal))
            )
            for causal in (True, False)
        }
    for tick in range(second + 1):
        np.testing.assert_array_equal(runs["whole"][True][tick].scores, runs["cut"][True][tick].scores)
    assert np.abs(runs["whole"][True][second + 2].scores - runs["cut"][True][second + 2].scores).max() > 0
    assert np.abs(runs["whole"][False][second].scores - runs["cut"][False][second].scores).max() > 0


def lossless(video: Path, target: Path, last: float) -> None:
    """The video in FFV1, every picture by itself, so that no change shows in earlier ones; black after `last`."""
    with FrameStream(video) as frames, av.open(str(target), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = *frames.info.size, "yuv420p"
        for frame in frames:
            picture = frame.rgb() * np.uint8(frame.time_s <= last)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def test_run_json_says_what_the_memory_was_and_how_late_results_came(small: Recipe, long_play: Path, tmp_path: Path):
    run = run_folder(tmp_path / "run", small, HEADS["lfb"], LabelMap.load(long_play / "labels.csv"))
    video = long_play / "videos" / "stage_1_0000.mp4"
    for words, memory in (([], [3, 2]), (["--causal"], [3, 0])):
        result = CliRunner().invoke(
            app,
            [
                "detect",
                str(video),
                "-w",
                str(run),
                "--boxes",
                str(long_play / "gaps.csv"),
                "-o",
                str(tmp_path),
                "--no-draw",
                "--every",
                "2",
                *words,
            ],
        )
        assert result.exit_code == 0, result.output
        record = json.loads((tmp_path / "stage_1_0000" / "run.json").read_text())
        assert record["protocol"]["memory"] == memory
        assert record["protocol"]["causal"] == bool(words)
        assert record["delay"]["keyframes"] == 6
        assert 0 < record["delay"]["after_last_frame_ms"]["median"] <= record["delay"]["after_last_frame_ms"]["max"]
        assert record["delay"]["after_keyframe_ms"] is None
        assert any("the head's memory counts keyframes: 2 s apart" in said for said in record["warnings"])
        assert ("delay after the last frame" in result.output) == bool(words)


def test_a_short_video_is_over_before_the_future_has_come(small: Recipe, play: Path, tmp_path: Path):
    head = lfb.Config(radius=30, future=29, width=16)
    model = relact.load_model(run_folder(tmp_path / "run", small, head, LabelMap.load(play / "labels.csv")))
    video = play / "videos" / "stage_3_0000.mp4"
    found = list(relact.detect(video, model=model, boxes=play / "people.csv", config=EXACT))
    assert [len(d.scores) for d in found] == [2, 2, 2]
