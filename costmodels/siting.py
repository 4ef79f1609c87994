"""From what a user writes about a place to the site that carbon is computed with, and to the spec that runs store.

``grid`` may be a number, a country, a cloud region, an hourly area or a CSV (``codesign.targets.grids.load_grid``). A
load is taken as flat: of an hourly series the mean over hours counts, each hour alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.impact import Site, grid_notes
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


def placed(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the spec with the grid of its site looked up, so that a run stores the number and not a name alone.

    A site that has been looked up before keeps the number it had then, whatever became of the file or the catalogue.
    """
    site = spec.get("site")
    if not isinstance(site, Mapping) or "grid" not in site or "grid_line" in site:
        return spec
    found = msgspec.to_builtins(site_at({"grid": site["grid"]}))
    looked_up = {name: value for name, value in found.items() if name.startswith("grid")}
    return {**spec, "site": {**site, **looked_up}}


def grid_lines(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the line about the grid of a stored spec; none of a spec without a site, which is of another problem."""
    site = spec.get("site")
    return grid_notes(msgspec.convert(site, Site)) if isinstance(site, Mapping) else ()
