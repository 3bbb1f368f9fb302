"""Threads wait for each other as `spin_briefly` asks, which OpenMP tells when torch loads it."""

import os
import subprocess
import sys

import pytest


def told(**environment: str) -> dict[str, str]:
    """What GNU's OpenMP says of itself in `relact doctor`."""
    kept = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    run = subprocess.run(
        [sys.executable, "-m", "relact", "doctor"],
        env={**kept, "OMP_DISPLAY_ENV": "VERBOSE", **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line.strip().split(" = ") for line in run.stderr.splitlines() if " = " in line]
    settings = {line[0]: line[1].strip("'") for line in lines}
    if "GOMP_SPINCOUNT" not in settings:
        pytest.skip("torch comes with another OpenMP than GNU's here")
    return settings


def test_threads_sleep_soon():
    assert told()["GOMP_SPINCOUNT"] == "2000"


@pytest.mark.parametrize(
    ("name", "value", "spins"), [("GOMP_SPINCOUNT", "77", "77"), ("OMP_WAIT_POLICY", "passive", "0")]
)
def test_who_sets_it_keeps_it(name: str, value: str, spins: str):
    assert told(**{name: value})["GOMP_SPINCOUNT"] == spins
