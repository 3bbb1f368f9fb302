"""A short video and servers to send it to."""

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed: pip install '.[serve]'")

from relact.data.toy import generate


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    generate(folder, videos=1, people=2, seconds=3, seed=5)
    return folder / "videos" / "toy_00.mp4"
