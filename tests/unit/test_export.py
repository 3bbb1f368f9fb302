"""Exported detectors: what the files say, for how many people, and what is refused."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest
import torch

from relact import create_model
from relact.errors import InputError
from relact.run.export import CROWDS, TOLERANCE, compare, export
from relact.run.export_files import open_file, read_notes
from relact.run.export_trace import as_source, inputs_of, refuse
from tests.make_stage import make_stage

ROOT = Path(__file__).resolve().parents[2]
SIZE = (96, 64)
HEADS = {
    "linear": {},
    "stc": {"d_model": 32, "heads": 2, "ffn": 32},
    "lfb:sto": {"width": 16},
    "pairwise:acrn": {"reduce": 32, "width": 16},
    "acar": {"reduce": 32, "width": 16},
    "amcrnet:no_bank": {"width": 32, "heads": 2, "depth": 2},
    "mrsn": {"width": 32, "ffn": 32, "hidden": 32, "heads": 2},
}


@pytest.fixture(autouse=True)
def _shapes_may_be_symbols() -> Iterator[None]:
    """In a graph in the making a count of people is no int, which the shapes that tests enforce would refuse."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def model_of(head: str, **settings):
    return create_model(head, backbone="slowfast_debug", settings=settings).eval()


def needs_onnx() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed; `make test-all` installs the extra export")


@pytest.mark.parametrize("head", HEADS)
def test_any_number_of_people_as_the_model_says(tmp_path: Path, head: str):
    done = export(model_of(head, **HEADS[head]), tmp_path / "model.pt2", size=SIZE)
    assert done.people == CROWDS
    assert done.difference <= 1e-5
    assert read_notes(done.path)["people"] == "dynamic"


def test_memory_goes_in_and_rows_come_out(tmp_path: Path):
    model = model_of("igmn", width=32, memory_width=16, hidden=16, out=32)
    done = export(model, tmp_path / "model.pt2", size=SIZE)
    assert done.inputs == ("frames", "boxes", "track", "memory", "memory_dt", "memory_mask", "memory_track")
    assert done.outputs == ("scores", "rows")
    inputs, run = inputs_of(model, SIZE[::-1]), open_file(done.path)
    values = inputs.make(4, 19, torch.Generator().manual_seed(5))
    for got, wanted in zip(run(values), as_source(model, inputs, values), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)
    forgotten = values | {"memory_mask": torch.zeros(1, 19, dtype=torch.bool)}
    for got, wanted in zip(run(forgotten), as_source(model, inputs, forgotten), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)


def test_more_people_than_a_head_reads_are_dropped_as_in_the_model(tmp_path: Path):
    """AIA reads the best scored only: the graph may not depend on how many there are."""
    model = model_of("pairwise:aia_no_memory", reduce=16, hidden=16, max_people=3)
    nn_init = torch.nn.init.normal_
    for name, parameter in model.head.named_parameters():
        if name.endswith("out.weight"):
            nn_init(parameter, std=1.0)  # zero at first, which would hide the people
    done = export(model, tmp_path / "model.pt2", size=SIZE)
    assert "box_scores" in done.inputs
    inputs, run = inputs_of(model, SIZE[::-1]), open_file(done.path)
    values = inputs.make(6, 1, torch.Generator().manual_seed(2))
    torch.testing.assert_close(run(values)[0], as_source(model, inputs, values)[0], rtol=0, atol=1e-5)
    swapped = values | {"box_scores": values["box_scores"].flip(0)}
    assert (run(values)[0] - run(swapped)[0]).abs().max() > 1e-4


def test_a_fixed_number_of_people(tmp_path: Path):
    done = export(model_of("linear"), tmp_path / "model.pt2", size=SIZE, people=2)
    assert done.people == (2, 2)
    assert read_notes(done.path)["people"] == 2
    program = torch.export.load(done.path)
    boxes = next(node for node in program.graph.nodes if node.name == "boxes")
    assert tuple(boxes.meta["val"].shape) == (2, 4)


def test_normalised_frames(tmp_path: Path):
    model = model_of("linear")
    done = export(model, tmp_path / "model.pt2", size=SIZE, pixels="normalised")
    notes = read_notes(done.path)
    assert notes["pixels"] == "normalised"
    assert notes["mean"] == pytest.approx([0.45] * 3)
    raw = inputs_of(model, SIZE[::-1]).make(3, 1, torch.Generator().manual_seed(0))
    frames = (raw["frames"].float() / 255 - model.mean) / model.std
    got = open_file(done.path)({"frames": frames, "boxes": raw["boxes"]})[0]
    torch.testing.assert_close(got, as_source(model, inputs_of(model, SIZE[::-1]), raw)[0], rtol=0, atol=1e-5)


def test_the_notes_say_what_the_file_needs(tmp_path: Path):
    model = model_of("linear")
    notes = read_notes(export(model, tmp_path / "model.pt2", size=SIZE).path)
    assert [label["name"] for label in notes["labels"]] == list(model.labels.names)
    assert notes["exclusive"] == list(model.exclusive)
    assert notes["clip"] == {
        "num_frames": 16, "frame_stride": model.clip.frame_stride, "short_side": 256, "rate": 30.0, "width": 96,
        "height": 64,
    }  # fmt: skip
    assert notes["memory"] is None
    assert list(notes["inputs"]) == ["frames", "boxes"]


def test_a_file_that_differs_from_its_model_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The truth that it is compared with is moved by twice what is allowed."""
    from relact.run import export as module

    def moved(model, inputs, values):
        return [score + 2 * TOLERANCE for score in as_source(model, inputs, values)]

    monkeypatch.setattr(module, "as_source", moved)
    with pytest.raises(InputError, match=r"removed, as its scores differ .* by 0\.0002, expected at most 0\.0001"):
        export(model_of("linear"), tmp_path / "model.pt2", size=SIZE)
    assert list(tmp_path.iterdir()) == []


def test_not_a_number_is_no_agreement(tmp_path: Path):
    model = model_of("linear")
    done = export(model, tmp_path / "model.pt2", size=SIZE)
    with torch.no_grad():
        model.classifier.bias.fill_(torch.nan)
    inputs = inputs_of(model, SIZE[::-1])
    clip = torch.zeros(1, 3, 16, 64, 96, dtype=torch.uint8)
    assert compare(model, inputs, done.path, [clip])[0] == torch.inf


def test_what_cannot_be_exported_is_said(tmp_path: Path):
    random = model_of("amcrnet:no_bank", width=16, heads=2, resample_in_test=True)
    with pytest.raises(InputError, match="draws new noise for every clip"):
        refuse(random)
    with pytest.raises(InputError, match=r"ends in \.onnx or \.pt2, got '\.pb'"):
        export(model_of("linear"), tmp_path / "model.pb")
    with pytest.raises(InputError, match="expected at least 48 pixels a side"):
        export(model_of("linear"), tmp_path / "model.pt2", size=(96, 32))
    with pytest.raises(InputError, match="people=0: expected at least 1"):
        export(model_of("linear"), tmp_path / "model.pt2", size=SIZE, people=0)
    assert list(tmp_path.iterdir()) == []


def test_without_the_packages_onnx_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r'needs onnx: pip install "relact\[export\]"'):
        export(model_of("linear"), tmp_path / "model.onnx", size=SIZE)


def test_onnx_gives_the_models_scores(tmp_path: Path):
    needs_onnx()
    done = export(model_of("acar", reduce=32, width=16, grid=(4, 6)), tmp_path / "model.onnx", size=SIZE)
    assert done.people == CROWDS
    assert done.difference <= 1e-5
    notes = read_notes(done.path)
    assert (notes["head"], notes["version"]) == ("acar", __import__("relact").__version__)
    import onnxruntime

    session = onnxruntime.InferenceSession(str(done.path))
    assert [(value.name, value.shape[0]) for value in session.get_inputs()] == [("frames", 1), ("boxes", "people")]
    assert session.get_outputs()[0].shape == ["people", 60]


def test_a_head_that_onnx_has_no_words_for(tmp_path: Path):
    needs_onnx()
    model = model_of("acar:relation_network", reduce=32, width=16)
    with pytest.raises(InputError, match=r"ONNX has no operator for torch\.searchsorted; export to a \.pt2 file"):
        export(model, tmp_path / "model.onnx", size=SIZE)
    assert list(tmp_path.iterdir()) == []
    assert export(model, tmp_path / "model.pt2", size=SIZE).difference <= 1e-5


def test_checked_on_a_real_video(tmp_path: Path, shared_data: Path):
    video = shared_data / "ucf24" / "clips" / "v_Biking_g01_c01.mp4"
    model = model_of("linear")
    done = export(model, tmp_path / "model.pt2", video=video)
    clip = read_notes(done.path)["clip"]
    assert (clip["width"], clip["height"]) == (340, 256)
    assert done.difference <= TOLERANCE


def test_the_example_says_what_relact_says(tmp_path: Path):
    """On a generated video, without torch and relact, in a process of its own."""
    needs_onnx()
    from relact.data.decode import read_clip
    from relact.data.sampling import window_times

    video = make_stage(tmp_path / "play") / "videos" / "stage_3_0000.mp4"
    model = model_of("linear")
    export(model, tmp_path / "model.onnx", size=(144, 48))
    boxes = torch.tensor([[0.1, 0.2, 0.4, 0.9], [0.5, 0.1, 0.9, 0.95]])
    lines = ["time_s,x1,y1,x2,y2", *(f"1.0,{a},{b},{c},{d}" for a, b, c, d in boxes.tolist())]
    (tmp_path / "people.csv").write_text("\n".join(lines))
    blocked = "import sys; sys.modules.update(torch=None, relact=None); import runpy; sys.argv = sys.argv[1:]; "
    done = subprocess.run(
        [sys.executable, "-c", blocked + "runpy.run_path(sys.argv[0], run_name='__main__')",
         str(ROOT / "examples" / "onnx_detect.py"), "model.onnx", str(video), "people.csv"],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [line.split(",") for line in done.stdout.splitlines()[1:]]
    assert {row[0] for row in rows} == {"1"}
    clip = read_clip(video, times=window_times(1.0, 16, model.clip.frame_stride), short_side=48)
    assert clip.shape == (3, 16, 48, 144)
    inputs = inputs_of(model, (48, 144))
    values = {"frames": clip[None], "boxes": boxes * torch.tensor([144, 48, 144, 48])}
    scores = as_source(model, inputs, values)[0]
    named = {int(label.id): k for k, label in enumerate(model.labels)}
    for number, row in enumerate(rows):
        person = 0 if row[2] == "0.1" else 1
        assert float(row[-1]) == pytest.approx(float(scores[person, named[int(row[6])]]), abs=2e-4), number
    assert len(rows) == int((scores >= 0.05).sum())


def test_the_example_answers_what_it_cannot_read_in_a_line(tmp_path: Path):
    needs_onnx()
    video = make_stage(tmp_path / "play") / "videos" / "stage_3_0000.mp4"
    export(model_of("linear"), tmp_path / "model.onnx", size=(144, 48))
    good, columns, half = (tmp_path / name for name in ("people.csv", "columns.csv", "half.csv"))
    good.write_text("time_s,x1,y1,x2,y2\n1.0,0.1,0.2,0.4,0.9\n")
    columns.write_text("time,x1,y1,x2,y2\n1.0,0.1,0.2,0.4,0.9\n")
    half.write_text("time_s,x1,y1,x2,y2\n1.0,0.1,0.2,0.4,0.9\n1.0,0.1\n")
    model = tmp_path / "model.onnx"
    for words, answer in (
        ((model, video, "gone.csv"), "no such file: gone.csv"),
        (("gone.onnx", "gone.mp4", good), "no such file: gone.onnx, gone.mp4"),
        ((model, video, columns), "there is no time_s"),
        ((model, video, half), "half.csv line 3: expected numbers"),
        ((model, good, good), "people.csv: expected a video: "),
        ((good, video, good), "people.csv: expected an ONNX file"),
    ):
        done = subprocess.run(
            [sys.executable, str(ROOT / "examples" / "onnx_detect.py"), *map(str, words)],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 1
        assert answer in done.stderr
        assert done.stderr.count("\n") == 1, done.stderr


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    from relact.cli.export import export as command
    from relact.run import export as module

    monkeypatch.setattr(module, "load_model", lambda weights: model_of("linear"))
    out = tmp_path / "model.pt2"
    command("runs/x", out, people="dynamic", size="96x64", pixels="uint8", video=None)
    printed = capsys.readouterr().err
    assert "frames, boxes → scores" in printed
    assert "clips of 0, 1, 5, 25 people: scores differ by at most" in printed.replace("\n", " ")
    assert json.loads(json.dumps(read_notes(out)))["weights"] == "runs/x"
    with pytest.raises(InputError, match="--people none: expected dynamic, or a number"):
        command("runs/x", out, people="none", size=None, pixels="uint8", video=None)
    with pytest.raises(InputError, match="--size 455: expected WIDTHxHEIGHT"):
        command("runs/x", out, people="dynamic", size="455", pixels="uint8", video=None)
