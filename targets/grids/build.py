"""Rebuilding the shipped hourly series: ``python -m codesign.targets.grids.build --data DIR [--out FILE]``.

``DIR/grid/AREA_YEAR.csv.gz`` hold generation by fuel in MW of each area in ``hourly.yaml``. Intensities are computed
from them with the named factor set and rounded to the file's step (0.0125 g/kWh); of the generation only its shape is
kept, in 1/255 of its largest hour, which moves the weighted mean by less than 0.005 g/kWh. Arrays are stored
uncompressed: the bytes then depend on the data alone, and on no version of a compressor.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np

from codesign.errors import DataError
from codesign.targets.grids.catalog import data_path, hourly
from codesign.targets.grids.hourly import SHAPE_STEPS
from codesign.targets.grids.series_file import read_series


def hourly_bytes(data: Path) -> bytes:
    """Return the array file of the series under ``data``.

    Raises:
        DataError: a series is missing, has gaps, or is not the year of the catalogue.
    """
    about = hourly()
    intensity, generation = [], []
    for identity in about.areas:
        path = str(data / "grid" / f"{identity}_{about.year}.csv.gz")
        series = read_series(path, factors=about.factors)
        start = series.start.strftime("%Y-%m-%dT%H:%M:%SZ") if series.start else None
        if series.missing_hours or start != about.start or series.step_seconds != about.step_seconds:
            raise DataError(
                f"{path}: starts {start}, {series.missing_hours:g} hours missing", f"expected {about.start}"
            )
        shape = series.generation_mw
        assert shape is not None
        intensity.append(np.rint(series.values / about.intensity_step).astype(np.uint16))
        generation.append(np.rint(shape / shape.max() * SHAPE_STEPS).astype(np.uint8))
    packed = io.BytesIO()
    np.savez(packed, intensity=np.stack(intensity), generation=np.stack(generation))
    return packed.getvalue()


def main() -> None:
    """Write the array file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds grid/AREA_YEAR.csv.gz")
    parser.add_argument("--out", type=Path, default=Path(str(data_path().joinpath(hourly().file))))
    asked = parser.parse_args()
    asked.out.write_bytes(hourly_bytes(asked.data))
    print(f"{asked.out}: {asked.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
