"""What every test may use: a deterministic hypothesis profile and the command line in a subprocess."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# the same examples on every machine and no timing inside a property: a red run is always a real one
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci")

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of the program left behind."""

    rc: int
    stdout: str
    stderr: str


RunCodesign = Callable[..., Outcome]


@pytest.fixture
def run_codesign(tmp_path: Path) -> RunCodesign:
    """Return a function that runs ``codesign`` in an empty folder, as a user does.

    Its keywords: ``cwd``, ``env`` (added to the environment), ``timeout`` in seconds. A traceback without ``--debug``
    fails the test whatever the exit code.
    """

    def run(
        *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 120.0
    ) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-m", "codesign", *arguments],
            cwd=cwd or tmp_path,
            env={**os.environ, "TERM": "dumb", "COLUMNS": "100", **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if "--debug" not in arguments:
            assert "Traceback" not in done.stderr, done.stderr
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the checkout."""
    return ROOT
