"""The site of the documentation, built as `make docs` does, apart from the checkout."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def build(folder: Path) -> Path:
    """The folder of the built site. Skips where what builds it is not installed; any warning fails."""
    pytest.importorskip("zensical", reason="zensical is not installed: pip install '.[docs]'")
    pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed: pip install '.[docs]'")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    shutil.copytree(ROOT / "docs", folder / "docs")
    (folder / "relact").symlink_to(ROOT / "relact")
    for command in ([str(folder / "docs" / "commands.py")], ["-m", "zensical", "build", "--strict"]):
        done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"
