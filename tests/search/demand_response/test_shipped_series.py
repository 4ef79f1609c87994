"""A grid series by name: what the study takes from the shipped grids."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from codesign.search.demand_response.inlined import from_mapping, inlined


def test_a_series_by_name_is_cut_to_the_days_studied(monkeypatch: pytest.MonkeyPatch) -> None:
    grids = ModuleType("codesign.targets.grids")
    asked: list[str] = []

    def load_grid(text: str) -> SimpleNamespace:
        asked.append(text)
        return SimpleNamespace(series=SimpleNamespace(values=np.arange(8760.0)))

    monkeypatch.setattr(grids, "load_grid", load_grid, raising=False)
    monkeypatch.setitem(sys.modules, "codesign.targets.grids", grids)
    work = {"name": "w", "kind": "batch", "baseline_mw": 1.0, "penalty": {"weight": 1.0}}
    spec = from_mapping({"grid": {"series": "ERCO", "day": 150, "days": 2}, "workloads": [work]}, "test")
    found = inlined(spec, Path(), "test")
    assert asked == ["ERCO"]
    assert found.grid.values == tuple(np.arange(3600.0, 3648.0))
    assert found.grid.source == "ERCO"
    assert not found.grid.series  # written out: the run needs no series of this name any more
