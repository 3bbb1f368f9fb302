"""Shared by all tests: shapes are enforced here (free in production), and real data is found or the test skips."""

import os
from pathlib import Path

# Workers that each take all processors wait for each other most of the time; commands that tests start obey it too.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    threads = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, threads)))

import pytest
import torch
from jaxtyping import install_import_hook

hook = install_import_hook(
    [
        "relact.types",
        "relact.ragged",
        "relact.nn",
        "relact.head",
        "relact.heads",
        "relact.losses",
        "relact.model",
    ],
    "beartype.beartype",
)
hook.__enter__()

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout (never in the repository: licences), or a skip."""
    folder = Path(os.environ.get("RELACT_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real data is not here ({folder}); set RELACT_SHARED_DATA to its folder")
    return folder


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
