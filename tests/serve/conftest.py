"""A short video and servers to send it to."""

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed: pip install '.[serve]'")

from tests.make_stage import make_stage


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_stage(tmp_path_factory.mktemp("served"), rate=25) / "videos" / "stage_3_0000.mp4"
