"""What ``codesign carbon footprint`` shows: tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from codesign.cli.output import Table
from codesign.units import format_digits, scale_of

if TYPE_CHECKING:
    from codesign.costmodels.carbon.footprints import Result
    from codesign.quantity import Quantity

MOST_PAIRED = 3
"""Systems that are compared pair by pair in the terminal; of more it is shown how often each is the best."""

FIGURES = {"sci": "SCI", "tcdp": "tCDP"}


def tables(result: Result) -> list[Table]:
    """Return the tables of a footprint: carbon, merit, embodied parts, comparisons, crossovers."""
    found = [_carbon(result), _merit(result), _embodied(result)]
    if result.comparisons:
        found.append(_comparisons(result) if len(result.embodied) <= MOST_PAIRED else _best(result))
    if len(result.crossovers) > 1:
        found.append(_crossovers(result))
    return [table for table in found if table.rows]


def notes(result: Result) -> list[str]:
    """Return the lines under the tables: what was declared, assumed, and where intensities come from."""
    method = "; ".join(f"{name}: energy {how}" for name, how in result.method.items())
    lines = [
        f"boundary: {result.boundary}; functional unit: {result.functional_unit}",
        f"{method}; location-based, no offsets; intervals 90 %, {result.draws:,} draws, seed {result.seed}",
        *([f"assumed: {'; '.join(result.assumed)}"] if result.assumed else []),
        *result.grids,
    ]
    if len(result.crossovers) == 1 and len(result.embodied) > 1:
        lines.append(f"{result.crossovers[0].system} has the least tCDP for every life, grid and utilisation")
    missing = {row.label for row in result.footprints} - {"operational and embodied"}
    lines += [f"{row.system}: {row.label}" for row in result.footprints if row.label in missing][:4]
    return list(dict.fromkeys(lines))


def _carbon(result: Result) -> Table:
    rows = [
        (
            row.system, row.grid or "-", _range(row.figures, "operational"), _range(row.figures, "embodied"),
            _range(row.figures, "sci"), _percent(row.figures),
        )
        for row in result.footprints
    ]  # fmt: skip
    heads = ("system", "grid", ">operational", ">embodied", ">SCI [90 %]", ">made")
    unit = "a unit" if result.functional_unit == "not declared" else result.functional_unit
    title = f"{result.title or 'Footprint'}\ncarbon of {unit}, gCO2e; made: embodied share"
    return Table(title, heads, rows)


def _merit(result: Result) -> Table:
    rows = [
        (row.system, row.grid or "-", *(_range(row.figures, name) for name in ("tcdp", "cci", "edp")))
        for row in result.footprints
        if "tcdp" in row.figures
    ]
    return Table(
        "Merit: total carbon x delay, carbon of executed work, energy x delay",
        ("system", "grid", ">tCDP [gCO2e s]", ">CCI [gCO2e/EFLOP]", ">EDP [J s]"), rows,
    )  # fmt: skip


def _embodied(result: Result) -> Table:
    rows: list[tuple[Any, ...]] = []
    for system, parts in result.parts.items():
        rows += [(system if place == 0 else "", part.name, _of(part.grams)) for place, part in enumerate(parts)]
        whole = result.embodied[system]
        if whole is not None and len(parts) > 1:
            rows.append(("", "whole", _of(whole)))
    return Table("Embodied carbon of a system", ("system", "part", ">carbon"), rows)


def _comparisons(result: Result) -> Table:
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in result.comparisons:
        found.setdefault((row.one, row.other, row.grid), {})[row.figure] = row.share
    rows = [
        (f"{one} below {other}", grid or "-", *(_share(shares.get(name)) for name in FIGURES))
        for (one, other, grid), shares in found.items()
    ]
    heads = ("in how many draws", "grid", *(f">by {name}" for name in FIGURES.values()))
    return Table("Compared with the same draws", heads, rows)


def _best(result: Result) -> Table:
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in result.best:
        found.setdefault((row.system, row.grid), {})[row.figure] = row.share
    rows = [
        (system, grid or "-", *(_share(shares.get(name)) for name in FIGURES))
        for (system, grid), shares in sorted(found.items(), key=lambda item: item[0][1])
    ]
    heads = ("best in how many draws", "grid", *(f">by {name}" for name in FIGURES.values()))
    return Table("Compared with the same draws (pairs: --json)", heads, rows)


def _crossovers(result: Result) -> Table:
    grids = list(result.crossovers[0].years)
    rows = [
        (row.system, *("from the start" if not row.begins_g_per_w else _years(row.years[g]) for g in grids))
        for row in result.crossovers
    ]
    title = "Least total carbon x delay, by years of life (carbon hull)"
    return Table(title, ("best system", *(f">from, {grid}" for grid in grids)), rows)


def _years(years: float | None) -> str:
    return f"{format_digits(years, 2)} years" if years is not None and years < 1e4 else "never"


def _share(share: float | None) -> str:
    if share is None:
        return "-"
    return f"{share:.1%}" if 0.0005 < share < 0.9995 else ("none" if share < 0.5 else "all")


def _percent(figures: Mapping[str, Quantity]) -> str:
    share = figures.get("embodied_share")
    return "-" if share is None else f"{share.value:.0%}"


def _range(figures: Mapping[str, Quantity], name: str) -> str:
    found = figures.get(name)
    if found is None:
        return "-"
    value = format_digits(found.value)
    if name not in ("sci", "tcdp"):
        return value
    return f"{value} [{format_digits(found.low, 2)}-{format_digits(found.high, 2)}]"


def _of(found: Quantity) -> str:
    scale, unit = scale_of(found.value, found.unit)
    low, value, high = (format_digits(end / scale) for end in (found.low, found.value, found.high))
    return f"{value} [{low} to {high}] {unit}"
