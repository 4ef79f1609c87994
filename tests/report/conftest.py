"""Made-up runs for the tests of reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codesign.testing.synthetic_run import synthetic_run


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a made-up run directory."""

    def make(name: str = "run", **options: Any) -> Path:
        return synthetic_run(tmp_path / name, **options)

    return make
