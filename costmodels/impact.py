"""From joules and seconds to grams and dollars.

Operational carbon is energy x PUE x grid intensity; embodied carbon is amortised over the time reserved,
``M = TE * TiR / EL`` (SCI, ISO/IEC 21031), where reserved time counts utilisation. Years have 365 days.
"""

from __future__ import annotations

import msgspec

from codesign.costmodels.factors import COUNT, F
from codesign.costmodels.machine import Machine
from codesign.quantity import Column

JOULES_PER_KWH = 3.6e6
SECONDS_PER_YEAR = 365 * 24 * 3600.0


class Site(msgspec.Struct, frozen=True):
    """Where and how long hardware runs. The defaults are assumptions and are labelled as such."""

    grid: float = 369.473
    """Grid intensity, gCO2e per kWh, average, location-based."""
    pue: float = 1.2
    """Facility energy over IT energy."""
    lifetime_years: float = 4.0
    utilisation: float = 0.6
    """Share of the lifetime for which the hardware is reserved for work like this."""


def operational_grams(joules: Column, site: Site) -> Column:
    """Return operational grams of CO2e."""
    grid = Column.of_factor(site.grid / JOULES_PER_KWH, F.GRID, COUNT)
    pue = Column.of_factor(site.pue, F.PUE, COUNT)
    return joules * grid * pue


def embodied_grams(seconds: Column, machine: Machine, devices: float, site: Site) -> Column | None:
    """Return the embodied grams that ``seconds`` on ``devices`` carry, or None where nothing is declared."""
    if machine.embodied_grams is None:
        return None
    rate = machine.embodied_grams * devices / (site.lifetime_years * SECONDS_PER_YEAR * site.utilisation)
    return seconds * Column.of_factor(rate, F.EMBODIED, COUNT)


def dollars(seconds: Column, machine: Machine, devices: float) -> Column | None:
    """Return the price of ``seconds`` on ``devices``, or None where no price is known."""
    if machine.price_per_second is None:
        return None
    return seconds * Column.of_factor(machine.price_per_second * devices, F.PRICE, COUNT)
