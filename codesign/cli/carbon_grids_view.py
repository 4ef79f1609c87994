"""What ``codesign carbon grids`` shows: facts, means, and a profile by hour of the day drawn in characters."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from codesign.cli.output import Table
from codesign.quantity import Array
from codesign.targets.grids import Grid, daily_spread, hour_of_day, mean_by_generation, mean_over_hours

UNITS = {
    "low": "gCO2e/kWh", "value": "gCO2e/kWh", "high": "gCO2e/kWh", "min": "gCO2e/kWh", "max": "gCO2e/kWh",
    "mean_over_hours": "gCO2e/kWh", "mean_by_generation": "gCO2e/kWh", "profile": "gCO2e/kWh", "values": "gCO2e/kWh",
    "hours": "h", "missing_hours": "h", "utc_offset": "h", "step_seconds": "s",
}  # fmt: skip

CHART_ROWS = 8
EIGHTHS = " ▁▂▃▄▅▆▇█"
PLAIN = "    ####"
"""Half a cell or more is a mark where the terminal has no blocks."""


def intensity(value: float | None) -> str:
    """Return g/kWh with one decimal, ``-`` where unknown."""
    return "-" if value is None else f"{value:.1f}"


def facts(grid: Grid, utc_offset: float | None, hours: bool) -> dict[str, Any]:
    """Return what ``--json`` prints of one grid; the series itself with ``hours``."""
    found: dict[str, Any] = {
        "id": grid.id, "name": grid.name, "kind": grid.kind, "basis": grid.basis, "year": grid.year,
        "low": grid.intensity.low, "value": grid.intensity.value, "high": grid.intensity.high,
        "range_source": grid.range_source, "source": grid.source, "licence": grid.licence, "notes": grid.notes,
        "series": None,
    }  # fmt: skip
    series = grid.series
    if series is None:
        return found
    offset = utc_offset if utc_offset is not None else (grid.utc_offset or 0.0)
    profile = hour_of_day(series, offset) if series.step_seconds <= 3600.0 else None
    known = series.generation_mw is not None
    found["series"] = {
        "hours": series.hours, "missing_hours": series.missing_hours, "step_seconds": series.step_seconds,
        "start": None if series.start is None else series.start.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "mean_over_hours": mean_over_hours(series).value,
        "mean_by_generation": mean_by_generation(series).value if known else None,
        "min": float(series.known.min()), "max": float(series.known.max()), "daily_spread": daily_spread(series),
        "utc_offset": offset,
        "profile": None if profile is None else {
            part: _plain(getattr(profile, part)) for part in ("mean", "low", "high")
        },
        **({"values": _plain(series.values)} if hours else {}),
    }  # fmt: skip
    return found


def _plain(values: Array) -> list[float | None]:
    """Return values for JSON, which knows no NaN: null where missing."""
    return [value if np.isfinite(value) else None for value in values.tolist()]


def tables(grids: Sequence[Grid], results: Sequence[dict[str, Any]], hours: bool) -> Iterator[Table]:
    """Yield a comparison of several grids, or everything about one; profiles of all that have a series."""
    if len(grids) > 1:
        heads = ("grid", "name", "kind", ">year", ">g/kWh", ">min", ">max", ">missing h")
        yield Table("", heads, [_short(grid, result["series"]) for grid, result in zip(grids, results, strict=True)])
    else:
        yield Table("", ("fact", "value"), _facts(grids[0], results[0]["series"]))
    for grid, result in zip(grids, results, strict=True):
        profile = (result["series"] or {}).get("profile")
        if profile is not None:
            zone = f"UTC{result['series']['utc_offset']:+g}"
            title = f"{grid.id}: g/kWh by hour of the day, {zone}, mean of the days"
            yield Table("", (title,), [(line,) for line in chart(profile["mean"])])
            if hours:
                rows = [
                    (f"{hour:02d}", *(intensity(profile[part][hour]) for part in ("mean", "low", "high")))
                    for hour in range(24)
                ]
                yield Table("", ("hour", ">mean", ">lowest", ">highest"), rows)


def _short(grid: Grid, series: dict[str, Any] | None) -> tuple[str, ...]:
    here = series or {}
    ends = (intensity(here.get("min")), intensity(here.get("max")))
    missing = f"{here['missing_hours']:g}" if series else "-"
    return (grid.id, grid.name, grid.kind, str(grid.year or "-"), intensity(grid.intensity.value), *ends, missing)


def _facts(grid: Grid, series: dict[str, Any] | None) -> list[tuple[str, str]]:
    q = grid.intensity
    rows = [
        ("grid", grid.id if grid.name == grid.id else f"{grid.id}, {grid.name}"),
        ("intensity", f"{q.value:.2f} {q.unit} [{q.low:.1f} to {q.high:.1f}, {grid.range_source}]"),
        ("kind", f"{grid.kind}, {grid.basis}"),
        ("year", str(grid.year or "not stated")),
    ]
    if series is not None:
        weighted, spread = series["mean_by_generation"], series["daily_spread"]
        rows += [
            ("mean over hours", f"{series['mean_over_hours']:.2f} g/kWh, {series['hours']:g} hours"),
            ("mean by generation", "-" if weighted is None else f"{weighted:.2f} g/kWh"),
            ("lowest, highest", f"{series['min']:.2f} to {series['max']:.2f} g/kWh"),
            ("daily spread", "-" if spread is None else f"{spread:.3f} of the day's mean, mean over days"),
            ("missing hours", f"{series['missing_hours']:g}"),
        ]
    return [*rows, ("source", grid.source), ("licence", grid.licence or "-")]


def chart(means: Sequence[float | None]) -> list[str]:
    """Return a bar chart of 24 values from 0, 3 characters an hour, with the scale on the left: 79 columns."""
    blocks = EIGHTHS if _has_blocks() else PLAIN + "#"
    known = [value for value in means if value is not None]
    top = max(known, default=0.0) or 1.0
    lines = []
    for row in range(CHART_ROWS, 0, -1):
        filled = [0.0 if value is None else value / top * CHART_ROWS - (row - 1) for value in means]
        bars = [blocks[round(8 * min(max(share, 0.0), 1.0))] * 2 for share in filled]
        label = f"{top * row / CHART_ROWS:6.0f}" if row % 2 == 0 else " " * 6
        lines.append(f"{label} {' '.join(bars)}")
    return [*lines, f"{0:6d} {' '.join(f'{hour:02d}' for hour in range(24))}"]


def _has_blocks() -> bool:
    """Say whether the terminal can show block characters."""
    try:
        EIGHTHS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
