"""From joules and seconds to grams and dollars.

The arithmetic is that of ``carbon.accounting`` (SCI, ISO/IEC 21031): operational carbon is energy x PUE x grid
intensity; embodied carbon is amortised over the time reserved, ``M = TE * TiR / EL``, where reserved time counts
utilisation. Years have 365 days.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.carbon.accounting import (
    DAYS_PER_YEAR,
    HOURS_PER_DAY,
    JOULES_PER_KWH,
    SECONDS_PER_HOUR,
    amortised_grams,
    facility_grams,
)
from codesign.costmodels.factors import COUNT, LABELS, F
from codesign.costmodels.machine import Machine
from codesign.quantity import Column, Factor, Method, Origin

DEFAULT_GRID = 369.473
"""Grid intensity of a site that names none, gCO2e per kWh: the mean of the United States in 2023 (country USA)."""

GRID_SIGMA = 0.061
"""Log standard deviation of an annual mean known to 10 % at 90 % coverage."""


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where and how long hardware runs. The defaults are assumptions and are labelled as such.

    ``site_at`` (costmodels/siting.py) makes one from what a user writes.
    """

    grid: Any = DEFAULT_GRID
    """Grid intensity, gCO2e per kWh: a number, or an array over designs."""
    pue: float = 1.2
    """Facility energy over IT energy."""
    lifetime_years: float = 4.0
    utilisation: float = 0.6
    """Share of the lifetime for which the hardware is reserved for work like this."""
    grid_sigma: float = GRID_SIGMA
    """Log standard deviation of the grid intensity, from the grid's own interval."""
    grid_named: str = ""
    """Name or path of the grid as given; empty for a number."""
    grid_line: str = ""
    """What the grid is, in one line for people; empty where nobody looked it up."""


def at_site(factors: tuple[Factor, ...], site: Site) -> tuple[Factor, ...]:
    """Return the error factors of a target (in the order of ``F``) with the grid's uncertainty that of the site."""
    origin = Origin.PUBLISHED if site.grid_named else Origin.ASSUMED
    grid = Factor(LABELS[F.GRID], site.grid_sigma, Method.ANALYTICAL, origin, site.grid_line)
    return (*factors[: F.GRID], grid, *factors[F.GRID + 1 :])


def grid_notes(site: Site) -> tuple[str, ...]:
    """Return the line that says which grid was used; none for grids that differ between designs."""
    if site.grid_line:
        return (site.grid_line,)
    if np.ndim(site.grid) or site.grid != DEFAULT_GRID:
        return ()
    return (f"grid: United States 2023 average, {DEFAULT_GRID:.1f} gCO2e/kWh, assumed: name yours with --grid",)


def operational_grams(joules: Column, site: Site) -> Column:
    """Return operational grams of CO2e."""
    grid, pue = Column.of_factor(site.grid, F.GRID, COUNT), Column.of_factor(site.pue, F.PUE, COUNT)
    grams: Column = facility_grams(joules * (1.0 / JOULES_PER_KWH), grid, pue)
    return grams


def embodied_grams(seconds: Column, machine: Machine, devices: float, site: Site) -> Column | None:
    """Return the embodied grams that ``seconds`` on ``devices`` carry, or None where nothing is declared."""
    if machine.embodied_grams is None:
        return None
    second_reserved_h = 1.0 / (SECONDS_PER_HOUR * site.utilisation)
    life_h = site.lifetime_years * DAYS_PER_YEAR * HOURS_PER_DAY
    rate = amortised_grams(machine.embodied_grams * devices, second_reserved_h, life_h)
    return seconds * Column.of_factor(rate, F.EMBODIED, COUNT)


def dollars(seconds: Column, machine: Machine, devices: float) -> Column | None:
    """Return the price of ``seconds`` on ``devices``, or None where no price is known."""
    if machine.price_per_second is None:
        return None
    return seconds * Column.of_factor(machine.price_per_second * devices, F.PRICE, COUNT)
