"""The notebook runs from top to bottom, and is kept without outputs."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parent.parent.parent / "examples" / "relact.ipynb"
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install '.[dev]'")


def test_the_notebook_is_kept_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) >= 8
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path):
    client = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install '.[dev]'")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install '.[dev]'")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    text = "".join(output.get("text", "") for output in outputs)
    assert "people" in text
    assert float(text.split("mAP@0.5 ")[1].split()[0]) > 0.2
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 2, "the drawn keyframe, and where the head looked"
    assert list(tmp_path.iterdir()) == [], "nothing is left beside the notebook"
