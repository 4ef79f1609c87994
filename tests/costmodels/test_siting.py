"""Carbon at a place: what ``grid`` takes, what it changes, and what is said about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codesign.costmodels.api import estimate
from codesign.costmodels.factors import F
from codesign.costmodels.impact import GRID_SIGMA, Site
from codesign.costmodels.siting import check_site, placed, site_at
from codesign.errors import CodesignError, UsageError
from codesign.search.deployment_spec import DeploymentSpec
from codesign.strict_yaml import convert
from codesign.targets.grids import load_grid
from tests.targets.grid_files import HOURS, write

DESIGN: dict[str, Any] = {"model": "llama-3.1-8b", "target": "h100-sxm", "batch": 8}


def carbon(**place: Any) -> float:
    return float(estimate(**DESIGN, **place).estimate.columns["carbon_per_million_tokens"].value[0])


def test_a_name_is_its_number() -> None:
    for name in ("france", "ERCO", "gcp:us-central1"):
        grid = load_grid(name)
        assert carbon(grid=name) == carbon(grid=grid) == pytest.approx(carbon(grid=grid.intensity.value), rel=1e-12)
    assert carbon() == carbon(grid="USA") == carbon(grid="369.473")
    assert carbon(grid="0.4 kg/kWh") == carbon(grid=400)


def test_operational_carbon_is_linear_in_the_intensity() -> None:
    embodied, at_400, at_800 = carbon(grid=0), carbon(grid=400), carbon(grid=800)
    assert at_800 - at_400 == pytest.approx(at_400 - embodied, rel=1e-12)
    assert embodied > 0.0


def test_a_series_counts_by_its_mean_over_hours(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.csv", HOURS, ["100"] * 24 + ["500"] * 24)
    assert carbon(grid=path) == carbon(grid=300)
    notes = estimate(**DESIGN, grid=path).estimate.notes
    assert any("mine.csv" in note and "mean over hours" in note and "2022" in note for note in notes)


def test_designs_may_stand_in_different_grids() -> None:
    both = estimate("llama-3.1-8b", "h100-sxm", batch=np.array([8, 8]), grid=np.array([100.0, 400.0]))
    found = both.estimate.columns["carbon_per_million_tokens"].value
    np.testing.assert_allclose(found, [carbon(grid=100), carbon(grid=400)], rtol=1e-12)


def test_the_interval_of_the_grid_drives_its_factor() -> None:
    site = site_at({"grid": "france"})
    assert site.grid_sigma == pytest.approx(GRID_SIGMA, rel=1e-3)
    wide = estimate(**DESIGN, site=Site(grid=400.0, grid_sigma=0.5)).estimate
    narrow = estimate(**DESIGN, site=Site(grid=400.0, grid_sigma=0.0)).estimate
    assert wide.factors[F.GRID].sigma == 0.5
    low, high = ("carbon_per_million_tokens", "energy_per_token")
    assert np.ptp(wide.interval(low)) > np.ptp(narrow.interval(low))
    np.testing.assert_array_equal(wide.interval(high), narrow.interval(high))


def test_the_line_says_name_year_kind_number_and_source() -> None:
    (line,) = (note for note in estimate(**DESIGN, grid="FRA").estimate.notes if note.startswith("grid:"))
    assert all(word in line for word in ("France", "2023", "average", "56.0 gCO2e/kWh", "Our World in Data"))
    (line,) = (note for note in estimate(**DESIGN).estimate.notes if note.startswith("grid:"))
    assert "assumed" in line


@pytest.mark.parametrize(
    "grid", ["nowhere", "0.369", -4, 3000, float("nan"), True, [1], "CAF", np.array([100.0, -1.0])]
)
def test_what_is_no_grid_is_refused(grid: Any) -> None:
    with pytest.raises(CodesignError):
        check_site(site_at({"grid": grid}))


def test_a_spec_stores_the_number_behind_the_name() -> None:
    spec = placed({"model": "m", "targets": ["l4"], "site": {"grid": "sweden", "pue": 1.1}})
    site = convert(dict(spec), DeploymentSpec, "spec").site
    assert (site.grid, site.grid_named, site.pue) == (40.695, "sweden", 1.1)
    assert placed(spec) is spec  # looked up once: what became of the name since does not matter
    with pytest.raises(UsageError, match="Sweden"):
        placed({"site": {"grid": "swedn"}})
    with pytest.raises(CodesignError, match="grid"):
        convert({"model": "m", "targets": ["l4"], "site": {"gird": 3}}, DeploymentSpec, "spec")
