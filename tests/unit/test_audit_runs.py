"""What is said of a run that cannot be gone on with; and one video under two spellings."""

import json
from pathlib import Path

import pytest
import torch

from relact.errors import InputError
from relact.recipe import Recipe, override, to_dict
from relact.recipes import load
from relact.run.many_videos import list_videos
from relact.run.resuming import begin
from relact.train.checkpoint import FORMAT, STATE, read_state


def test_the_class_that_differs_is_told_first(tmp_path: Path):
    before = load("debug")
    now: Recipe = override(load("ucf24_acar_r50"), {"head.name": "mrsn"})
    torch.save({"format": FORMAT, "recipe": json.dumps(to_dict(before)), "data": ""}, tmp_path / STATE)
    with pytest.raises(InputError) as caught:
        begin(now, [], tmp_path, resume=True, say=print)
    lines = str(caught.value).splitlines()
    assert lines[1].strip() == "head.name: was 'linear', now 'mrsn'"
    assert any(line.strip().startswith("data.source: ") for line in lines[1:5])
    assert len(lines) == 14  # what it is, twelve of them, and how many more
    assert "more" in lines[-1]


def kinds_of_garbage(folder: Path) -> dict[str, bytes]:
    torch.save({"format": FORMAT, "model": torch.ones(4096)}, folder / "whole.pt")
    whole = (folder / "whole.pt").read_bytes()
    torch.save([1, 2], folder / "list.pt")
    return {
        "empty": b"", "text": b"nothing of the kind", "zeros": bytes(5000), "cut": whole[: len(whole) // 2],
        "cut early": whole[:40], "pickle": b"\x80\x02cos\nsystem\nq\x00.", "stop": b".", "get": b"h\x05.", "pop": b"0.",
        "list": (folder / "list.pt").read_bytes(),
    }  # fmt: skip


def test_a_broken_state_is_told_in_one_line_without_torch_s_advice(tmp_path: Path):
    for kind, content in kinds_of_garbage(tmp_path).items():
        (tmp_path / STATE).write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_state(tmp_path)
        told = str(caught.value)
        assert told.startswith(f"{tmp_path / STATE}: not the state of a run"), kind
        assert "\n" not in told
        assert "remove it to begin anew" in told
        assert "weights_only" not in told


def test_a_file_is_one_video_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("a/x.mp4", "b/x.mp4", "c/y.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"video")
    (tmp_path / "d").symlink_to(tmp_path / "c")
    (tmp_path / "b" / "z.mp4").symlink_to(tmp_path / "a" / "x.mp4")
    (tmp_path / "list.txt").write_text(
        f"a/x.mp4\n./a/../a/x.mp4\n{tmp_path}/b/../a/x.mp4\nb/../b/x.mp4\nd/y.mp4\nc/y.mp4\nb/z.mp4\n"
    )
    monkeypatch.chdir(tmp_path)
    videos = list_videos(["@list.txt", "a"], tmp_path / "out")
    assert sorted(video.source for video in videos) == [
        str(tmp_path / name) for name in ("a/x.mp4", "b/x.mp4", "b/z.mp4", "d/y.mp4")
    ]
    assert sorted(video.name for video in videos) == ["a__x", "b__x", "y", "z"]
