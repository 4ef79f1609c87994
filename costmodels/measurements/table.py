"""A CSV of measurements: a row is a design and what was measured of it.

Columns are named as the options of ``estimate``; a metric's column ends in its unit: ``ttft_ms``, ``latency_s``,
``throughput_per_s``. Rows of one design are repeats of each other. An empty cell of a metric was not measured; other
cells may not be empty.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from codesign.costmodels.measurements.measurement import METRICS, UNKNOWN_NOISE, Design, Measurement, Source, merged
from codesign.errors import DataError, nearest, printable

KIND = "CSV of measurements"
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
COLUMNS = {
    **{f"{m}_{unit}": (m, scale) for m in METRICS if m != "throughput" for unit, scale in SECONDS.items()},
    "throughput_per_s": ("throughput", 1.0),
}
"""Column of a metric -> (metric, SI units in one of it)."""

TEXT = ("dtype", "kv_dtype", "execution", "mode", "framework")
COUNTS = ("tp", "pp", "ep", "nodes", "chunk")
SIZES = ("batch", "prompt", "generate")
KNOWN = ("id", "model", "target", "noise", *TEXT, *COUNTS, *SIZES, *COLUMNS)
MOST_ROWS = 20_000


def recognises(data: bytes) -> bool:
    """Return whether the first line names the column of a metric."""
    first = data[:65_536].lstrip(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode("utf-8", "replace")
    return any(column.strip().strip('"') in COLUMNS for column in first.split(","))


def read(data: bytes, name: str) -> Source:
    """Return the measurements of a table; repeats are merged into their median.

    Raises:
        DataError: it cannot be read, or names column or row that is wrong.
    """
    rows = _rows(data, name)
    columns = rows[0].keys()
    for column in columns:
        if column in METRICS:
            units = " or ".join(known for known, (metric, _) in COLUMNS.items() if metric == column)
            raise DataError(f"{name}: column {column!r} states no unit", f"name it {units}")
        if column not in KNOWN:
            raise DataError(f"{name}: unknown column {printable(repr(column), 60)}", nearest(column, KNOWN))
    if not COLUMNS.keys() & columns:
        raise DataError(f"{name}: no column of a metric", f"expected one of {', '.join(COLUMNS)}")
    measurements: list[Measurement] = []
    for index, row in enumerate(rows):
        measurements += _measurements(row, f"{name}:{index + 2}")
    if not measurements:
        raise DataError(f"{name}: every cell of a metric is empty", "nothing was measured")
    return Source(name, KIND, merged(measurements))


def _rows(data: bytes, name: str) -> list[dict[str, Any]]:
    import polars as pl

    try:
        frame = pl.read_csv(io.BytesIO(data), infer_schema=False)
    except Exception as error:  # polars raises many kinds for broken files
        reason = printable((str(error).splitlines() or [type(error).__name__])[0], 200)
        raise DataError(f"{name}: cannot be read as CSV: {reason}", "expected a header line and rows") from None
    if not 1 <= len(frame) <= MOST_ROWS:
        raise DataError(f"{name}: {len(frame):,} rows", f"expected 1 to {MOST_ROWS:,}")
    return frame.rename(lambda column: column.strip()).to_dicts()


def _measurements(row: dict[str, Any], where: str) -> list[Measurement]:
    for column, cell in row.items():
        if column not in COLUMNS and (cell is None or not cell.strip()):
            raise DataError(f"{where}: {column} is empty", "give a value in every row, or leave the column out")
    texts = {column: row[column].strip() for column in TEXT if column in row}
    counts = {column: _whole(row, column, where) for column in COUNTS if column in row}
    sizes = {column: _number(row, column, where) for column in SIZES if column in row}
    design = Design(**texts, **counts, **sizes)  # type: ignore[arg-type]
    noise = _number(row, "noise", where, least=0.0) if "noise" in row else UNKNOWN_NOISE
    model, target = (row.get(column, "").strip() for column in ("model", "target"))
    return [
        Measurement(where, metric, _number(row, column, where) * scale, noise, 1, design, model, target)
        for column, (metric, scale) in COLUMNS.items()
        if (row.get(column) or "").strip()
    ]


def _number(row: dict[str, Any], column: str, where: str, least: float = np.nextafter(0.0, 1.0)) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = np.nan
    if not least <= value < np.inf:
        expected = "a plain number above 0" if least else "a plain number of at least 0"
        raise DataError(f"{where}: {column} is {printable(repr(row[column]), 60)}", f"expected {expected}")
    return value


def _whole(row: dict[str, Any], column: str, where: str) -> int:
    value = _number(row, column, where)
    if value != int(value):
        raise DataError(f"{where}: {column} is {printable(repr(row[column]), 60)}", "expected a whole number")
    return int(value)
