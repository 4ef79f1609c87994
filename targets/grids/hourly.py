"""The shipped hourly series: one small array file, decoded on demand.

``intensity`` (areas, hours) counts steps of g/kWh (``hourly.yaml`` says how large), ``generation`` (areas, hours)
counts 1/255 of the largest hour of its area: a shape, which is all that a weighted mean needs.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from codesign.targets.grids.catalog import data_path, hourly
from codesign.targets.grids.grid import Grid, IntensitySeries, assumed_interval

SHAPE_STEPS = 255
"""Steps of the generation shape."""


def hourly_grid(identity: str) -> Grid:
    """Return the grid of a shipped balancing area with its series; the intensity is the mean over hours."""
    about = hourly()
    place = list(about.areas).index(identity)
    intensity, generation = _arrays()
    values = intensity[place] * about.intensity_step
    series = IntensitySeries(
        values, about.step_seconds, datetime.fromisoformat(about.start), generation[place].astype(np.float64)
    )
    area = about.areas[identity]
    return Grid(
        id=identity, name=area.name, intensity=assumed_interval(float(values.mean()), about.source),
        basis=about.basis, year=about.year, source=about.source, licence=about.licence, series=series,
        utc_offset=area.utc_offset,
    )  # fmt: skip


@lru_cache(maxsize=1)
def _arrays() -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    with data_path().joinpath(hourly().file).open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return arrays["intensity"], arrays["generation"]
