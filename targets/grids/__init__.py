"""Carbon intensity of electricity: shipped grids, a user's own series, and their means.

Everything is g CO2e per kWh, location-based, and says whether it is average or marginal. Time is UTC.
"""

from __future__ import annotations

from codesign.targets.grids.facilities import Facility, list_facilities, load_facility
from codesign.targets.grids.fuels import fuel_factors, mix_intensity
from codesign.targets.grids.grid import Grid, IntensitySeries, Kind
from codesign.targets.grids.loader import Entry, list_grids, load_grid
from codesign.targets.grids.means import (
    Mean,
    Profile,
    daily_spread,
    hour_of_day,
    mean_by_generation,
    mean_by_load,
    mean_over_hours,
)
from codesign.targets.grids.series_file import open_series, read_series
from codesign.targets.grids.slots import bridged, days, gaps, resample

__all__ = [
    "Entry",
    "Facility",
    "Grid",
    "IntensitySeries",
    "Kind",
    "Mean",
    "Profile",
    "bridged",
    "daily_spread",
    "days",
    "fuel_factors",
    "gaps",
    "hour_of_day",
    "list_facilities",
    "list_grids",
    "load_facility",
    "load_grid",
    "mean_by_generation",
    "mean_by_load",
    "mean_over_hours",
    "mix_intensity",
    "open_series",
    "read_series",
    "resample",
]
