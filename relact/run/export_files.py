"""The files of an exported detector: written with its notes, and run again as anyone would."""

import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relact.errors import InputError

SUFFIXES = (".onnx", ".pt2")
NOTES = "relact"
"""the key of the notes, a JSON text: in ONNX's metadata_props, and in a .pt2 as extra file `relact.json`"""
BY_PERSON = ("boxes", "box_scores", "track")
"""inputs with a row a person"""

Run = Callable[[Mapping[str, Tensor]], list[Tensor]]
"""An opened file: inputs by name → outputs, in order."""


def check_name(path: Path) -> None:
    """Raises InputError for a name that no format is known by, or a format whose packages are not installed."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: expected a name that ends in .onnx or .pt2, got {path.suffix or 'no suffix'!r}")
    if path.suffix == ".onnx":
        _packages(path)


def write(program: torch.export.ExportedProgram, path: Path, notes: Mapping[str, Any], outputs: list[str]) -> None:
    """Writes the graph in the format of the name's suffix. Raises InputError where ONNX has no words for it."""
    text = json.dumps(notes, ensure_ascii=False)
    if path.suffix == ".pt2":
        torch.export.save(program, path, extra_files={f"{NOTES}.json": text})
        return
    _packages(path)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of the converter: what it got wrong, the check finds
            onnx = torch.onnx.export(program, dynamo=True, verbose=False, output_names=outputs)
    except torch.onnx.OnnxExporterError as error:
        raise InputError(
            f"{notes['head']}: ONNX has no operator for {_missing(error)}; export to a .pt2 file, or choose another "
            "variant of the head (`relact heads`)"
        ) from error
    assert onnx is not None
    graph = onnx.model.graph
    for value, axis, name in _free_axes(notes, list(graph.inputs), list(graph.outputs)):
        value.shape[axis] = name
    onnx.model.metadata_props[NOTES] = text
    onnx.save(path, external_data=False)
    if notes["people"] == "dynamic":
        _allow_nobody(path)


def _allow_nobody(path: Path) -> None:
    """Adds a person to a clip without people, and leaves it out of what comes out: ONNX's Reshape cannot take 0 rows.

    Where there are people nothing is added, as anyone more would be met by the others.
    """
    import onnx
    from onnx import helper

    model = onnx.load(path)
    graph = model.graph
    inputs = [value for value in graph.input if value.name in BY_PERSON]
    renamed = {value.name: f"{value.name}_of_somebody" for value in [*inputs, *graph.output]}
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
    constants = {"nobody_0": [0], "nobody_1": [1], "nobody_00": [0, 0]}
    graph.initializer.extend(
        helper.make_tensor(name, onnx.TensorProto.INT64, [len(values)], values) for name, values in constants.items()
    )
    first = [
        helper.make_node("Shape", ["boxes"], ["num_people"], start=0, end=1),
        helper.make_node("Sub", ["nobody_1", "num_people"], ["nobody_less"]),
        helper.make_node("Max", ["nobody_less", "nobody_0"], ["nobody_missing"]),
        helper.make_node("Concat", ["nobody_00", "nobody_missing", "nobody_0"], ["nobody_pads_2"], axis=0),
        helper.make_node("Concat", ["nobody_0", "nobody_missing"], ["nobody_pads_1"], axis=0),
    ]
    for value in inputs:
        pads = f"nobody_pads_{len(value.type.tensor_type.shape.dim)}"
        first.append(helper.make_node("Pad", [value.name, pads], [renamed[value.name]]))
    last = [
        helper.make_node("Slice", [renamed[value.name], "nobody_0", "num_people"], [value.name])
        for value in graph.output
    ]
    nodes = [*first, *graph.node, *last]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]  # shapes that hold for those inside; they are worked out again
    onnx.save(model, path)


def open_file(path: Path) -> Run:
    """A written file, ready to run on the CPU; ONNX in onnxruntime."""
    if path.suffix == ".pt2":
        module = torch.export.load(path).module()

        def run_program(values: Mapping[str, Tensor]) -> list[Tensor]:
            with torch.no_grad():
                return list(module(**values))

        return run_program
    runtime = _packages(path)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with _refusals(path):
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]

    def run_session(values: Mapping[str, Tensor]) -> list[Tensor]:
        with _refusals(path):
            return [torch.from_numpy(x) for x in session.run(None, {name: values[name].numpy() for name in names})]

    return run_session


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Errors of onnxruntime, which share no class but Exception, as InputError."""
    try:
        yield
    except Exception as error:
        said = str(error).strip().partition("\n")[0]
        raise InputError(f"{path}: onnxruntime cannot run it ({said}); export to a .pt2 file") from error


def read_notes(path: Path) -> dict[str, Any]:
    """The notes of a written file. Raises InputError for a file that has none."""
    if path.suffix == ".pt2":
        extra = {f"{NOTES}.json": ""}
        torch.export.load(path, extra_files=extra)
        text = extra[f"{NOTES}.json"]
    else:
        session = _packages(path).InferenceSession(str(path), providers=["CPUExecutionProvider"])
        text = session.get_modelmeta().custom_metadata_map.get(NOTES, "")
    if not text:
        raise InputError(f"{path}: holds no notes of relact's; expected a file that `relact export` wrote")
    return dict(json.loads(text))


def _free_axes(notes: Mapping[str, Any], inputs: list[Any], outputs: list[Any]) -> list[tuple[Any, int, str]]:
    """The axes without a fixed length, with the names that readers of the file see."""
    if notes["people"] != "dynamic":
        people = []
    else:
        people = [(v, 0, "people") for v in inputs if v.name in BY_PERSON]
        people += [(v, 0, "people") for v in outputs]
    return people + [(v, 1, "slots") for v in inputs if v.name.startswith("memory")]


def _missing(error: BaseException) -> str:
    """Which operator of torch's a converter did not know."""
    seen: BaseException | None = error
    while seen is not None:
        found = re.search(r"aten[.:]+(\w+)", str(seen).partition("\n")[0]) or re.search(
            r"No (?:ONNX )?(?:function|decompositions).*?aten[.:]+(\w+)", str(seen), re.DOTALL
        )
        if found:
            return f"torch.{found[1]}"
        seen = seen.__cause__
    return "one of its steps"


def _packages(path: Path) -> Any:
    """onnxruntime, with all that writes ONNX, or what to install. Raises InputError."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(
            f'{path}: ONNX needs {error.name}: pip install "relact[export]"; a .pt2 file needs nothing more'
        ) from error
    return onnxruntime
