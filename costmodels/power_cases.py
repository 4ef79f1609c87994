"""Kinds of case of power: a processor without a counter, a serving job, a power limit.

A table of runs under power limits is a CSV (plain or gzip; at most 16 MB, 64 MB unpacked) with the columns
``power_limit_w``, ``time_per_epoch_s`` and ``average_power_w``; all others together name a load, ``gpu`` its device.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from codesign.cases import file_beside
from codesign.costmodels.carbon.cases.inputs import Positive, Share, read_inputs
from codesign.costmodels.efficiency import PowerCap, table
from codesign.costmodels.power_cap import capped, fit_cap
from codesign.costmodels.serving_power import ServingJob, fitted_on, method_of, serving_power
from codesign.errors import DataError, printable
from codesign.profilers.energy.estimate import fallback_power
from codesign.quantity import Quantity

if TYPE_CHECKING:
    import polars as pl

LARGEST_FILE = 16_000_000
LARGEST_TEXT = 64_000_000
MOST_ROWS = 200_000
LEAST_ROWS = 8
"""Four numbers are fitted to the rows."""

MEASURED = ("power_limit_w", "time_per_epoch_s", "average_power_w")


class FallbackInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``cpu_fallback``."""

    tdp_w: Annotated[float, msgspec.Meta(ge=0.5, le=2000)]
    utilisation: Share


class LlmInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``llm_power``."""

    tdp_w: Positive
    devices: Positive
    peak_flops: Positive
    bandwidth_b_s: Positive
    total_params: Positive
    active_params: Positive
    bytes_per_param: Positive
    batch: Positive
    itl_s: Positive
    tokens_per_s: Positive


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A load of a group as measured at the limit that its device comes with."""

    group: str | int
    power_limit_w: Positive
    time_per_epoch_s: Positive
    average_power_w: Positive


class CapInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``power_cap``."""

    train: str
    probes: Annotated[list[Probe], msgspec.Meta(min_length=1, max_length=10_000)] | str
    limits_w: Annotated[list[Positive], msgspec.Meta(min_length=1, max_length=1_000)]
    max_slowdown: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.10


def cpu_fallback(inputs: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the estimated power of a processor without a counter."""
    given = read_inputs(inputs, FallbackInputs)
    return {"power_w": fallback_power(given.tdp_w, given.utilisation)}


def llm_power(inputs: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the mean power of all devices of a serving job."""
    given = read_inputs(inputs, LlmInputs)
    known = fitted_on(given.tdp_w, given.peak_flops, given.bandwidth_b_s)
    found = serving_power(ServingJob(*msgspec.structs.astuple(given)), known)
    power, low, high = (float(value) for value in found)
    return {"power_w": Quantity(power, low, high, "W", method_of(known).value)}


def power_cap(inputs: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return what each limit does to each group, and the limit of least energy within the allowed slowdown.

    ``time_ratio`` and ``energy_ratio`` are in the order of ``limits_w``, over those at the limit of the probe;
    ``limit_w`` is that limit where every other one slows the group down too far.
    """
    given = read_inputs(inputs, CapInputs)
    probes = given.probes if isinstance(given.probes, list) else _probes(folder, given.probes)
    form = fitted(_table(folder, given.train, "train"), given.train)
    limits = np.asarray(given.limits_w)
    rows = []
    for probe in probes:
        found = capped(probe.average_power_w, limits, probe.power_limit_w, form=form)
        allowed = np.flatnonzero(found.slowdown <= 1.0 + given.max_slowdown)
        best = limits[allowed[found.energy[allowed].argmin()]] if allowed.size else probe.power_limit_w
        rows.append({
            "group": probe.group, "limit_w": float(best), "time_ratio": found.slowdown.tolist(),
            "energy_ratio": found.energy.tolist(),
        })  # fmt: skip
    return {"groups": rows}


def fitted(runs: pl.DataFrame, name: str) -> PowerCap:
    """Return the power limit's form fitted to measured ``runs``; ``name`` is the file named in errors.

    Raises:
        DataError: too few loads were measured at the highest limit of their device.
    """
    import polars as pl

    load = [column for column in runs.columns if column not in MEASURED]
    highest = pl.col("power_limit_w").max()
    top = runs.filter(pl.col("power_limit_w") == (highest.over("gpu") if "gpu" in load else highest))
    top = top.group_by(load).agg(
        pl.col("time_per_epoch_s").mean().alias("time"), pl.col("average_power_w").mean().alias("power"),
        pl.col("power_limit_w").max().alias("rated"),
    )  # fmt: skip
    data = runs.join(top, on=load)
    if len(data) < LEAST_ROWS:
        found = f"inputs: train: {name}: {len(data)} runs of loads that were measured at the highest limit as well"
        raise DataError(found, f"at least {LEAST_ROWS} are needed")
    columns = {column: data[column].to_numpy() for column in (*MEASURED, "time", "power", "rated")}
    return fit_cap(
        columns["power"], columns["power_limit_w"], columns["rated"], columns["time_per_epoch_s"] / columns["time"],
        columns["average_power_w"] / columns["power"], table().power.cap,
    )  # fmt: skip


def _table(folder: Path, name: str, field: str) -> pl.DataFrame:
    """Return the rows of a table, its measured columns as positive numbers, all others as text."""
    import polars as pl

    where = f"inputs: {field}: {printable(name, 100)}"
    data = _unpacked(file_beside(folder, name, field), where)
    try:
        frame = pl.read_csv(io.BytesIO(data), infer_schema=False)
    except Exception as error:  # polars raises many kinds for broken files
        reason = printable((str(error).splitlines() or [type(error).__name__])[0], 200)
        raise DataError(f"{where}: cannot be read as CSV: {reason}", "expected a header line and rows") from None
    missing = [column for column in MEASURED if column not in frame.columns]
    if missing:
        raise DataError(f"{where}: no column {missing[0]!r}", f"expected {', '.join(MEASURED)} and what names a load")
    if not 1 <= len(frame) <= MOST_ROWS:
        raise DataError(f"{where}: {len(frame):,} rows", f"expected 1 to {MOST_ROWS:,}")
    frame = frame.with_columns(pl.col(*MEASURED).str.strip_chars().cast(pl.Float64, strict=False)).with_columns(
        pl.exclude(*MEASURED).fill_null("")
    )
    for column in MEASURED:
        values = frame[column].to_numpy()
        wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0.0)))
        if wrong.size:
            raise DataError(f"{where}: row {wrong[0] + 2}: {column} is no positive number", "every row states one")
    return frame


def _probes(folder: Path, name: str) -> list[Probe]:
    rows = _table(folder, name, "probes").to_dicts()
    known = ("group", *MEASURED)
    return [read_inputs({k: v for k, v in row.items() if k in known}, Probe) for row in rows]


def _unpacked(path: Path, where: str) -> bytes:
    """Return the bytes of a file, of a gzip file its text.

    Raises:
        DataError: it is larger than the bounds, or a damaged gzip file.
    """
    if path.stat().st_size > LARGEST_FILE:
        raise DataError(f"{where}: {path.stat().st_size:,} bytes", f"at most {LARGEST_FILE:,} are read")
    data = path.read_bytes()
    if data[:2] != b"\x1f\x8b":
        return data
    stream = zlib.decompressobj(wbits=31)
    try:
        text = stream.decompress(data, LARGEST_TEXT)
    except zlib.error as error:
        raise DataError(f"{where}: a damaged gzip file: {error}", "pack it again") from None
    if stream.unconsumed_tail or (not stream.eof and len(text) == LARGEST_TEXT):
        raise DataError(f"{where}: unpacks to more than {LARGEST_TEXT:,} bytes", "keep what is needed")
    if not stream.eof:
        raise DataError(f"{where}: the gzip file ends early", "pack it again")
    return text
