"""Measurements of whole models, read from the files that benchmarks and profilers write."""

from __future__ import annotations

from codesign.costmodels.measurements.files import read_file
from codesign.costmodels.measurements.measurement import Design, Measurement, Source

__all__ = ["Design", "Measurement", "Source", "read_file"]
