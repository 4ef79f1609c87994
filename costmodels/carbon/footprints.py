"""Footprints of systems in several grids, compared with the same draws, and which is best for which life.

Of each system and grid: operational and embodied carbon of a functional unit, their sum (SCI), and figures of merit.
Every number has the 90 % interval of its draws; between two systems stands the share of draws in which one is better,
because intervals that overlap say little about inputs that they share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np

from codesign.costmodels.carbon import metrics
from codesign.costmodels.carbon.accounting import (
    DAYS_PER_YEAR,
    HOURS_PER_DAY,
    JOULES_PER_KWH,
    SECONDS_PER_HOUR,
    amortised_grams,
    facility_grams,
    footprint,
)
from codesign.costmodels.carbon.draws import Uncertain, share_below, summary
from codesign.costmodels.carbon.footprint_spec import Asked, System
from codesign.costmodels.carbon.hull import CarbonHull, carbon_hull
from codesign.costmodels.carbon.operation import Operated, Use
from codesign.costmodels.carbon.parts import of_module, part_grams, part_name
from codesign.costmodels.carbon.uncertain import Draws, Nominal, Take
from codesign.errors import UsageError
from codesign.quantity import Array, Quantity
from codesign.targets.grids import Grid

UNITS = {
    "operational": "gCO2e", "embodied": "gCO2e", "sci": "gCO2e", "embodied_share": "", "tcdp": "gCO2e s",
    "cdp": "gCO2e s", "cep": "gCO2e J", "c2ep": "gCO2e2 J", "ce2p": "gCO2e J2", "edp": "J s",
    "cci": "gCO2e/EFLOP", "energy": "J", "delay": "s",
}  # fmt: skip
"""Figures of a functional unit (delay: of a run) -> unit. Products with delay are of one functional unit's carbon."""

COMPARED = ("sci", "tcdp")

_SOURCES = {"energy": "{}", "delay": "{}", "edp": "{}", "embodied": "analytical"}
"""Figure -> its source, given that of the energy."""


class PartFootprint(msgspec.Struct, frozen=True):
    """What a part adds to the embodied carbon of a whole system."""

    name: str
    grams: Quantity


class SystemFootprint(msgspec.Struct, frozen=True):
    """One system in one grid.

    Attributes:
        system: Name.
        grid: Id of the grid; empty where none is stated.
        figures: By name, with the units of ``UNITS``; what is unknown is missing, and ``reasons`` says why.
        reasons: Figure -> why it is missing.
        label: ``operational and embodied``, ``operational only`` or ``embodied only``.
    """

    system: str
    grid: str
    figures: Mapping[str, Quantity]
    reasons: Mapping[str, str]
    label: str


class Comparison(msgspec.Struct, frozen=True):
    """In which share of the draws ``one`` is below ``other``, by figure of merit."""

    grid: str
    figure: str
    one: str
    other: str
    share: float


class Best(msgspec.Struct, frozen=True):
    """In which share of the draws a system has the least of a figure of merit, of all systems that have it."""

    grid: str
    figure: str
    system: str
    share: float


class Crossover(msgspec.Struct, frozen=True):
    """A system that has the least tCDP from some use on; the first from none.

    Attributes:
        system: Name.
        begins_g_per_w: Use from which it is best: grams of operational carbon per watt of mean power over the life.
        years: Grid id -> years of life, at the stated utilisation and PUE, from which it is best there; None is never.
    """

    system: str
    begins_g_per_w: float
    years: Mapping[str, float | None]


class Result(msgspec.Struct, frozen=True):
    """Everything that a footprint gives.

    Attributes:
        title: As declared.
        boundary: As declared, or that it is not.
        functional_unit: The same.
        method: System -> how its energy came about.
        embodied: System -> carbon of making it, whole; None where nothing is declared.
        parts: System -> what its embodied carbon is made of.
        footprints: One for each system and grid.
        comparisons: Of every pair.
        best: Of every system, where there are two or more.
        crossovers: The carbon hull, where two systems or more declare both carbons.
        lines: System -> tCDP over years of life, for each grid: what is plotted.
        years: Of the lines.
        grids: Lines that say what each grid is.
        assumed: What the spec left open.
        notes: For people.
        draws: How many.
        seed: Of them.
    """

    title: str
    boundary: str
    functional_unit: str
    method: Mapping[str, str]
    embodied: Mapping[str, Quantity | None]
    parts: Mapping[str, tuple[PartFootprint, ...]]
    footprints: tuple[SystemFootprint, ...]
    comparisons: tuple[Comparison, ...]
    best: tuple[Best, ...]
    crossovers: tuple[Crossover, ...]
    lines: Mapping[str, Mapping[str, tuple[float, ...]]]
    years: tuple[float, ...]
    grids: tuple[str, ...]
    assumed: tuple[str, ...]
    notes: tuple[str, ...]
    draws: int
    seed: int


class Evaluated(NamedTuple):
    """Figures of one system in one grid as arrays of draws, or numbers; None where unknown."""

    figures: dict[str, Any]
    reasons: dict[str, str]
    label: str


def footprints(asked: Asked) -> Result:
    """Return the footprints of a question.

    Raises:
        DataError, UsageError: a part, place or number of the spec is wrong; the field is named.
    """
    draws = Draws(asked.spec.draws, asked.spec.seed)
    grids: tuple[Grid | None, ...] = asked.grids or (None,)
    rows, drawn = [], {}
    for system, operated in zip(asked.spec.systems, asked.operated, strict=True):
        for grid in grids:
            nominal, spread = (evaluate(asked, system, operated, grid, take) for take in (Nominal(), draws))
            drawn[system.name, _id(grid)] = spread
            rows.append(_row(system.name, _id(grid), nominal, spread, operated.source))
    names = [system.name for system in asked.spec.systems]
    parts = {s.name: _parts(s, o, draws) for s, o in zip(asked.spec.systems, asked.operated, strict=True)}
    wholes = {s.name: _whole(s, o, draws) for s, o in zip(asked.spec.systems, asked.operated, strict=True)}
    hull = _hull(asked, Nominal())
    years = _years(asked, hull)
    return Result(
        title=asked.spec.title, boundary=asked.spec.boundary or "not declared",
        functional_unit=_unit_name(asked), method={s: o.method for s, o in zip(names, asked.operated, strict=True)},
        embodied=wholes, parts=parts, footprints=tuple(rows), comparisons=_comparisons(names, grids, drawn),
        best=_best(names, grids, drawn),
        crossovers=_crossovers(asked, hull), lines=_lines(asked, years), years=tuple(years.tolist()),
        grids=tuple(grid.line() for grid in asked.grids), assumed=asked.assumed,
        notes=tuple(dict.fromkeys(note for o in asked.operated for note in o.notes)), draws=draws.count,
        seed=draws.seed,
    )  # fmt: skip


def evaluate(
    asked: Asked, system: System, operated: Operated, grid: Grid | None, take: Take, years: Any = None
) -> Evaluated:
    """Return the figures of one system in one grid.

    Args:
        asked: The question.
        system: Of it.
        operated: Its use.
        grid: None where none is stated: operational carbon is then unknown.
        take: What answers for uncertain inputs.
        years: Of life, instead of those of the question; broadcasts.
    """
    use: Use = operated.use(take)
    unit = asked.spec.functional_unit
    size = 1.0 if unit is None else unit.size
    whole = embodied_grams(system, operated, take)
    life = take("lifetime", asked.lifetime_years) if years is None else years
    used = take("utilisation", asked.utilisation)
    # by the hour: a functional unit may take more than a life, and then carries more than one system
    hours = use.reserved_s * size / SECONDS_PER_HOUR / used
    embodied = None if whole is None else hours * amortised_grams(whole, 1.0, life * DAYS_PER_YEAR * HOURS_PER_DAY)
    operational = None if grid is None else facility_grams(
        use.energy_j * size / JOULES_PER_KWH, take(f"grid {grid.id}", _of_grid(grid)), take("PUE", asked.pue)
    )  # fmt: skip
    found = footprint(
        operational_g=operational, embodied_g=embodied, functional_units=None if unit is None else 1.0,
        functional_unit="" if unit is None else unit.name, boundary=asked.spec.boundary, method=operated.method,
        intensity="average" if grid is None else grid.kind,
    )  # fmt: skip
    figures: dict[str, Any] = {
        "operational": operational, "embodied": embodied, "sci": found.sci_g_per_unit, "energy": use.energy_j * size,
        "delay": use.delay_s, "edp": metrics.edp(use.energy_j * size, use.delay_s),
    }  # fmt: skip
    reasons = {"operational": "no grid is stated" if grid is None else "", "embodied": found.embodied_reason,
               "sci": found.sci_reason}  # fmt: skip
    return Evaluated(*_merits(figures, reasons, use, size), found.label)


def _merits(
    figures: dict[str, Any], reasons: dict[str, str], use: Use, size: float
) -> tuple[dict[str, Any], dict[str, str]]:
    """Add the figures that need embodied carbon, or work; say why one is missing."""
    operational, embodied, energy = (figures[name] for name in ("operational", "embodied", "energy"))
    if embodied is not None:
        figures |= {
            "cdp": metrics.cdp(embodied, use.delay_s), "cep": metrics.cep(embodied, energy),
            "c2ep": metrics.c2ep(embodied, energy), "ce2p": metrics.ce2p(embodied, energy),
        }  # fmt: skip
    if embodied is not None and operational is not None:
        total = metrics.total_carbon(embodied, operational)
        figures |= {"tcdp": metrics.tcdp(total, use.delay_s), "embodied_share": embodied / total}
        if use.flop is not None:
            figures["cci"] = metrics.cci(total, use.flop * size)
    why = reasons["embodied"] or reasons["operational"]
    for name in UNITS:
        if figures.get(name) is None:
            reasons[name] = reasons.get(name) or why or "the work in FLOP is not stated"
    return {name: value for name, value in figures.items() if value is not None}, {
        name: text for name, text in reasons.items() if text
    }


def embodied_grams(system: System, operated: Operated, take: Take) -> Any:
    """Return the carbon of making a whole system, g; None where nothing is declared."""
    terms = [grams for _, grams in _terms(system, operated, take)]
    return sum(terms[1:], start=terms[0]) if terms else None


def _terms(system: System, operated: Operated, take: Take) -> list[tuple[str, Any]]:
    where = f"systems: {system.name}"
    if system.parts is not None:
        terms = [(part_name(p), part_grams(p, take, f"{where}: parts[{n}]")) for n, p in enumerate(system.parts)]
    else:
        declared = operated.target.embodied if operated.target is not None else None
        terms = []
        if declared is not None and operated.target is not None:
            grams = take(f"module {operated.target.id}", of_module(declared))
            times = f"{operated.devices:g} x " if operated.devices != 1.0 else ""
            terms = [(f"{times}{operated.target.id}", grams * operated.devices)]
    return terms + [(part_name(p), part_grams(p, take, f"{where}: beside[{n}]")) for n, p in enumerate(system.beside)]


def _row(system: str, grid: str, nominal: Evaluated, spread: Evaluated, source: str) -> SystemFootprint:
    figures = {}
    for name, value in nominal.figures.items():
        middle = float(np.ravel(value)[0])
        # the value is the nominal one, the interval that of the draws
        ends = summary(np.ravel(spread.figures[name]), UNITS[name], "")
        low, high = min(ends.low, middle), max(ends.high, middle)
        figures[name] = Quantity(
            middle, low, high, UNITS[name], _SOURCES.get(name, "analytical; energy {}").format(source)
        )
    return SystemFootprint(system, grid, figures, nominal.reasons, nominal.label)


def _comparisons(
    names: list[str], grids: tuple[Grid | None, ...], drawn: dict[tuple[str, str], Evaluated]
) -> tuple[Comparison, ...]:
    found = []
    for grid in grids:
        for place, one in enumerate(names):
            for other in names[place + 1 :]:
                for figure in COMPARED:
                    pair = [drawn[name, _id(grid)].figures.get(figure) for name in (one, other)]
                    if pair[0] is not None and pair[1] is not None:
                        share = share_below(np.ravel(pair[0]), np.ravel(pair[1]))
                        found.append(Comparison(_id(grid), figure, one, other, share))
    return tuple(found)


def _best(
    names: list[str], grids: tuple[Grid | None, ...], drawn: dict[tuple[str, str], Evaluated]
) -> tuple[Best, ...]:
    found = []
    for grid in grids:
        for figure in COMPARED:
            known = [name for name in names if figure in drawn[name, _id(grid)].figures]
            if len(known) < 2:
                continue
            rows = np.stack(np.broadcast_arrays(*(np.ravel(drawn[name, _id(grid)].figures[figure]) for name in known)))
            counts = np.bincount(rows.argmin(axis=0), minlength=len(known))
            found += [
                Best(_id(grid), figure, name, float(count) / rows.shape[1])
                for name, count in zip(known, counts.tolist(), strict=True)
            ]
    return tuple(found)


def _hull(asked: Asked, take: Take) -> tuple[list[int], CarbonHull] | None:
    """Return which systems can be compared by total carbon, and their hull; None with fewer than two."""
    places, columns = [], []
    for place, (system, operated) in enumerate(zip(asked.spec.systems, asked.operated, strict=True)):
        whole = embodied_grams(system, operated, take)
        if whole is None:
            continue
        use: Use = operated.use(take)
        # a unit holds the whole system for its reserved time: grams and joules of a unit, in proportion
        columns.append((float(whole) * use.reserved_s, use.energy_j, use.delay_s))
        places.append(place)
    if len(places) < 2:
        return None
    embodied, energy, delay = (np.array(values, np.float64) for values in zip(*columns, strict=True))
    return places, carbon_hull(embodied, energy, delay)


def _crossovers(asked: Asked, found: tuple[list[int], CarbonHull] | None) -> tuple[Crossover, ...]:
    if found is None:
        return ()
    places, hull = found
    rows = []
    for design, begins in zip(hull.design.tolist(), hull.begins.tolist(), strict=True):
        years = {grid.id: _years_of(asked, grid, begins) for grid in asked.grids}
        rows.append(Crossover(asked.spec.systems[places[design]].name, begins, years))
    return tuple(rows)


def _years_of(asked: Asked, grid: Grid, use: float) -> float | None:
    """Return the years of life in which a watt of mean power emits ``use`` grams in use; None where it never does."""
    a_year = grid.intensity.value * asked.pue.value * asked.utilisation.value * DAYS_PER_YEAR * HOURS_PER_DAY / 1e3
    if not use:
        return 0.0
    return use / a_year if a_year else None


def _years(asked: Asked, found: tuple[list[int], CarbonHull] | None) -> Array:
    """Return the years of life to plot: up to 10, or past the last crossover within 50."""
    all_years = [years for row in _crossovers(asked, found) for years in row.years.values()]
    last = max((years for years in all_years if years is not None and years <= 50.0), default=0.0)
    return np.geomspace(0.1, max(10.0, 1.5 * last), 81)


def _lines(asked: Asked, years: Array) -> dict[str, dict[str, tuple[float, ...]]]:
    """Return tCDP of each system in each grid over the years of life."""
    lines: dict[str, dict[str, tuple[float, ...]]] = {}
    for system, operated in zip(asked.spec.systems, asked.operated, strict=True):
        for grid in asked.grids:
            found = evaluate(asked, system, operated, grid, Nominal(), years).figures.get("tcdp")
            if found is not None:
                lines.setdefault(system.name, {})[grid.id] = tuple(np.ravel(found).tolist())
    return lines


def _parts(system: System, operated: Operated, draws: Draws) -> tuple[PartFootprint, ...]:
    nominal, spread = (_terms(system, operated, take) for take in (Nominal(), draws))
    return tuple(
        PartFootprint(name, _grams(float(value), grams))
        for (name, value), (_, grams) in zip(nominal, spread, strict=True)
    )


def _whole(system: System, operated: Operated, draws: Draws) -> Quantity | None:
    value = embodied_grams(system, operated, Nominal())
    return None if value is None else _grams(float(value), embodied_grams(system, operated, draws))


def _grams(value: float, draws: Any) -> Quantity:
    ends = summary(np.ravel(np.asarray(draws, np.float64)), "gCO2e", "")
    return Quantity(value, min(ends.low, value), max(ends.high, value), "gCO2e", "analytical")


def _of_grid(grid: Grid) -> Uncertain:
    found = grid.intensity
    if found.low <= 0.0:
        return Uncertain(found.low, found.value, found.high, "triangular")
    return Uncertain(found.low, found.value, found.high)


def _id(grid: Grid | None) -> str:
    return "" if grid is None else grid.id


def _unit_name(asked: Asked) -> str:
    unit = asked.spec.functional_unit
    if unit is None:
        return "not declared"
    return unit.name


def check_comparable(asked: Asked) -> None:
    """Refuse a question without any number to show.

    Raises:
        UsageError: no grid and nothing embodied.
    """
    if not asked.grids and all(
        embodied_grams(s, o, Nominal()) is None for s, o in zip(asked.spec.systems, asked.operated, strict=True)
    ):
        raise UsageError("neither a grid nor embodied carbon is declared", "add grids: [USA], or parts")
