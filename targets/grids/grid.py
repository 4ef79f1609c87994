"""What a grid is: the carbon intensity of its electricity with interval, kind, year and source.

Intensities are g CO2e per kWh. They are ``average`` (all that is generated) or ``marginal`` (what one more kWh makes
run); the two answer different questions and every grid names its own. Where nothing better is known an annual mean
holds to 10 % (assumed): a production mix lacks imports, and factors of fuels differ between sources.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Literal

import msgspec
import numpy as np

from codesign.quantity import Z90, Array, Quantity

UNIT = "gCO2e/kWh"

ASSUMED_RANGE = 0.10
"""Half-width of the 90 % interval of an annual mean, relative, where nothing better is known (assumed)."""

HIGHEST = 2500.0
"""Above it an intensity is taken for a wrong unit: burning the worst lignite gives about 1,500 g/kWh."""

LOWEST = 2.0
"""A whole series, or a bare number, below it is taken for kg/kWh."""

Kind = Literal["average", "marginal"]


class IntensitySeries(msgspec.Struct, frozen=True, eq=False):
    """Intensity over time on a regular axis.

    Attributes:
        values: g/kWh of each slot, shape (slots,); NaN where missing.
        step_seconds: Length of a slot, s.
        start: UTC start of the first slot; None where the source only counts hours.
        generation_mw: Generation of each slot, MW or in any common unit, shape (slots,); None where unknown.
        notes: What was found while reading, for people.
    """

    values: Array
    step_seconds: float
    start: datetime | None = None
    generation_mw: Array | None = None
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> Array:
        """The values that are not missing, shape (known,)."""
        return self.values[np.isfinite(self.values)]

    @property
    def hours(self) -> float:
        """Hours with a value."""
        return float(np.isfinite(self.values).sum()) * self.step_seconds / 3600.0

    @property
    def missing_hours(self) -> float:
        """Hours between the first and the last slot that have no value."""
        return float(np.isnan(self.values).sum()) * self.step_seconds / 3600.0


class Grid(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The electricity of one place.

    Attributes:
        id: Name that ``load_grid`` takes.
        name: Name for people.
        intensity: Mean intensity, g/kWh, with its 90 % interval; of a series the mean over hours.
        kind: ``average`` or ``marginal``.
        basis: What is counted, for example "location-based, production mix"; "as given" of a number.
        year: Year of the data; None where the source states none.
        source: Where the number comes from.
        licence: Licence of the data.
        range_source: Where the interval comes from.
        series: The intensity over time, where known.
        utc_offset: Standard time of the place, hours ahead of UTC; None where unknown.
        named: Whether a catalogue or a file stands behind it, instead of a typed number.
        notes: What a reader should know.
    """

    id: str
    name: str
    intensity: Quantity
    kind: Kind = "average"
    basis: str = "as given"
    year: int | None = None
    source: str = "as given"
    licence: str = ""
    range_source: str = f"assumed +-{ASSUMED_RANGE:.0%}"
    series: IntensitySeries | None = None
    utc_offset: float | None = None
    named: bool = True
    notes: tuple[str, ...] = ()

    @property
    def sigma(self) -> float:
        """Standard deviation of the logarithm that the interval implies."""
        return log_sigma(self.intensity.low, self.intensity.high)

    def __str__(self) -> str:
        return self.id

    def line(self) -> str:
        """Return the grid in one line: name, year, kind, intensity with interval, basis, source."""
        value, low, high = self.intensity.value, self.intensity.low, self.intensity.high
        numbers = f"{value:.1f} {UNIT} [{low:.1f} to {high:.1f}, {self.range_source}]"
        if not self.named:
            return f"grid: {numbers}, as given, taken as {self.kind}"
        year = f" {self.year}" if self.year else ""
        how = ", mean over hours" if self.series is not None else ""
        return f"grid: {self.name}{year} {self.kind}{how}, {numbers}, {self.basis}; {self.source}"


def log_sigma(low: float, high: float) -> float:
    """Return the log standard deviation of a 90 % interval; that of the assumed range where an end is not positive."""
    if low <= 0.0 or high <= 0.0:
        low, high = 1.0 - ASSUMED_RANGE, 1.0 + ASSUMED_RANGE
    return math.log(high / low) / (2.0 * Z90)


def assumed_interval(value: float, source: str) -> Quantity:
    """Return ``value`` in g/kWh with the range assumed of annual means."""
    return Quantity(value, value * (1.0 - ASSUMED_RANGE), value * (1.0 + ASSUMED_RANGE), UNIT, source)
