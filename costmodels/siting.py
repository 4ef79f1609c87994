"""From what a user writes about a place to the site that carbon is computed with.

``grid`` may be a number, a country, a cloud region, an hourly area or a CSV (``codesign.targets.grids.load_grid``). A
load is taken as flat: of an hourly series the mean over hours counts, each hour alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from codesign.costmodels.impact import Site
from codesign.errors import UsageError
from codesign.targets.grids.grid import HIGHEST, Grid
from codesign.targets.grids.loader import load_grid


def site_at(given: Mapping[str, Any]) -> Site:
    """Return the site of these options; those left out take the defaults of ``Site``.

    Args:
        given: Any of ``grid`` (what ``load_grid`` takes, a loaded grid, or an array of g/kWh over designs), ``pue``,
            ``lifetime_years``, ``utilisation``.

    Raises:
        UsageError: unknown grid, or a value that is no number.
        DataError: a series that is wrong.
    """
    plain: dict[str, Any] = {name: _number(name, value) for name, value in given.items() if name != "grid"}
    asked = given.get("grid")
    if asked is None:
        return Site(**plain)
    if isinstance(asked, np.ndarray) and asked.ndim:
        return Site(grid=asked.astype(np.float64), **plain)
    grid = asked if isinstance(asked, Grid) else load_grid(asked.item() if isinstance(asked, np.generic) else asked)
    if grid.named and grid.intensity.value == 0.0:
        raise UsageError(f"the source rounds the intensity of {grid.name} to 0", "give a number, such as '24 g/kWh'")
    return Site(
        grid=grid.intensity.value, grid_sigma=grid.sigma, grid_named=str(asked) if grid.named else "",
        grid_line="; ".join((grid.line(), *grid.notes)), **plain,
    )  # fmt: skip


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UsageError(f"{name} is {value!r}", "expected a number") from None


def check_site(site: Site) -> None:
    """Refuse impossible sites; intensities above 2,500 g/kWh are taken for a wrong unit."""
    intensities = np.atleast_1d(np.asarray(site.grid, dtype=np.float64))
    wrong = ~((intensities >= 0.0) & (intensities <= HIGHEST))
    if wrong.any():
        raise UsageError(f"grid is {intensities[wrong][0]:g} gCO2e/kWh", "expected 0 to 2500 g per kWh, not kg")
    if not 0 <= site.grid_sigma <= 10:
        raise UsageError(f"grid_sigma is {site.grid_sigma:g}", "expected 0 to 10, the spread of a logarithm")
    if not 1 <= site.pue <= 5:
        raise UsageError(f"pue is {site.pue:g}", "expected 1 to 5: facility energy over IT energy")
    if not 0 < site.lifetime_years <= 50:
        raise UsageError(f"lifetime is {site.lifetime_years:g} years", "expected above 0, at most 50")
    if not 0 < site.utilisation <= 1:
        raise UsageError(f"utilisation is {site.utilisation:g}", "expected above 0, at most 1")
