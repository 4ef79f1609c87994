"""What a footprint is asked: systems, where they stand, what they deliver. A strict YAML file.

A boundary and a functional unit are declared or the result says that they are not; nothing is invented for them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from codesign.costmodels.carbon.coefficients import coefficient
from codesign.costmodels.carbon.draws import DRAWS, Uncertain
from codesign.costmodels.carbon.operation import Operated, Run, estimated, stated
from codesign.costmodels.carbon.parts import KINDS, AnyPart
from codesign.costmodels.carbon.uncertain import of_coefficient, written
from codesign.errors import DataError, UsageError, nearest
from codesign.strict_yaml import decode_yaml, read_text
from codesign.targets.grids import Grid, load_grid, mean_by_load

SCHEMA = 1
UNKNOWN_KIND = re.compile(r"\.kind: invalid value '(.*?)'")
MOST_SYSTEMS = 64
MOST_GRIDS = 32
MOST_PARTS = 256
MOST_DRAWS = 1_000_000

UTILISATION = Uncertain(0.4, 0.6, 0.8, "triangular")
"""Share of the life for which hardware is in use, where a spec does not say (assumed)."""


class FunctionalUnit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What R counts: its name, and how many natural units of the systems one is."""

    name: str
    size: float = 1.0


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Facility and life of the hardware; what is left out has the assumed range of the coefficients.

    ``load`` is the power over the hours of a day (UTC, any unit, from 0): it weights grids that have an hourly series.
    """

    load: tuple[float, ...] | None = None
    pue: Any = None
    lifetime: Any = None
    utilisation: Any = None


class System(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One system: how it is used, and what it is made of.

    Attributes:
        name: For tables.
        estimate: Options of ``codesign estimate``: model, target, batch and so on.
        run: A run as stated; one of the two.
        parts: What it is made of; None takes the figure of the target, an empty list declares nothing.
        beside: Parts beside the target's figure, such as its share of a server.
    """

    name: str
    estimate: dict[str, Any] | None = None
    run: Run | None = None
    parts: tuple[AnyPart, ...] | None = None
    beside: tuple[AnyPart, ...] = ()


class FootprintSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    schema: int
    systems: tuple[System, ...]
    title: str = ""
    boundary: str = ""
    functional_unit: FunctionalUnit | None = None
    grids: tuple[str | float, ...] = ()
    site: Place = Place()
    draws: int = DRAWS
    seed: int = 0


class Asked(msgspec.Struct, frozen=True, eq=False):
    """A spec with everything looked up.

    Attributes:
        spec: As written.
        grids: In order.
        operated: Use of each system.
        pue: Facility over equipment energy.
        lifetime_years: Years of 365 days.
        utilisation: Share of the life in use.
        assumed: What the spec left out, and what was taken.
    """

    spec: FootprintSpec
    grids: tuple[Grid, ...]
    operated: tuple[Operated, ...]
    pue: Uncertain
    lifetime_years: Uncertain
    utilisation: Uncertain
    assumed: tuple[str, ...]


def read_footprint(path: str) -> Asked:
    """Return the question of a spec file; CSV files of grids are found beside it.

    Raises:
        DataError: naming file, field, found, expected.
        UsageError: an unknown grid, node, process or target; the nearest is named.
    """
    try:
        spec = decode_yaml(read_text(path), FootprintSpec, path)
    except DataError as error:
        wrong = UNKNOWN_KIND.search(error.message)
        raise DataError(error.message, nearest(wrong[1], KINDS) if wrong else error.hint) from None
    return asked_footprint(spec, path, Path(path).parent)


def asked_footprint(spec: FootprintSpec, name: str = "spec", folder: Path = Path()) -> Asked:
    """Return a spec with everything looked up; ``name`` is the file named in errors.

    Raises:
        DataError: naming the field, found and expected.
        UsageError: an unknown name; the nearest follow.
    """
    _check_counts(spec, name)
    operated = []
    for number, system in enumerate(spec.systems):
        where = f"{name}: systems[{number}]"
        if (system.estimate is None) == (system.run is None):
            raise DataError(
                f"{where}: found {'neither' if system.run is None else 'both'} of estimate and run", "give one"
            )
        operated.append(
            estimated(system.estimate, f"{where}.estimate")
            if system.estimate is not None
            else stated(system.run, f"{where}.run")  # type: ignore[arg-type]
        )
    units = {found.unit for found in operated}
    if len(units) > 1:
        raise DataError(
            f"{name}: systems deliver different units: {', '.join(sorted(units))}", "compare like with like"
        )
    pue, years, used, assumed = _place(spec.site, f"{name}: site")
    grids = tuple(_loaded(_grid(text, name, folder), spec.site.load, f"{name}: site.load") for text in spec.grids)
    return Asked(spec, grids, tuple(operated), pue, years, used, assumed)


def _check_counts(spec: FootprintSpec, name: str) -> None:
    if spec.schema != SCHEMA:
        raise DataError(f"{name}: schema: found {spec.schema}, expected {SCHEMA}")
    for field, count, least, most in (
        ("systems", len(spec.systems), 1, MOST_SYSTEMS), ("grids", len(spec.grids), 0, MOST_GRIDS),
        ("draws", spec.draws, 100, MOST_DRAWS),
        ("parts", max((len(s.parts or ()) + len(s.beside) for s in spec.systems), default=0), 0, MOST_PARTS),
    ):  # fmt: skip
        if not least <= count <= most:
            raise DataError(f"{name}: {field}: found {count:,}, expected {least:,} to {most:,}")
    names = [system.name for system in spec.systems]
    if len(set(names)) < len(names) or not all(names):
        raise DataError(f"{name}: systems: names are empty or repeat", "each system needs a name of its own")
    if spec.functional_unit is not None and not 0.0 < spec.functional_unit.size < 1e30:
        raise DataError(f"{name}: functional_unit.size: found {spec.functional_unit.size:g}, expected above 0")
    if not 0 <= spec.seed < 2**63:
        raise DataError(f"{name}: seed: found {spec.seed}, expected 0 or above")


def _grid(text: str | float, name: str, folder: Path) -> Grid:
    words = str(text)
    if words.endswith((".csv", ".csv.gz")) and not Path(words).is_absolute():
        words = str(folder / words)
    try:
        return load_grid(words)
    except UsageError as error:
        raise DataError(f"{name}: grids: {error.message}", error.hint) from None


def _loaded(grid: Grid, load: tuple[float, ...] | None, where: str) -> Grid:
    """Return ``grid`` with its intensity the mean weighted by a daily load, where it has a series."""
    if load is None or grid.series is None:
        return grid
    try:
        mean = mean_by_load(grid.series, load)
    except UsageError as error:
        raise DataError(f"{where}: {error.message}", error.hint) from None
    scaled = grid.intensity.scaled(mean.value / grid.intensity.value, grid.intensity.unit)
    return msgspec.structs.replace(grid, name=f"{grid.name}, weighted by the load", intensity=scaled)


def _place(place: Place, where: str) -> tuple[Uncertain, Uncertain, Uncertain, tuple[str, ...]]:
    """Return PUE, lifetime and utilisation, and what of them is assumed."""
    assumed = []

    def read(field: str, unit: str, default: Uncertain, least: float, most: float) -> Uncertain:
        given = getattr(place, field)
        if given is None:
            assumed.append(f"{field} {default.value:g} ({default.low:g} to {default.high:g})")
            return default
        found = written(given, unit, f"{where}.{field}")
        if not least <= found.low <= found.high <= most:
            raise DataError(f"{where}.{field}: found {found.value:g}", f"expected {least:g} to {most:g}")
        return found

    pue = read("pue", "", of_coefficient(coefficient("default", "pue"))._replace(shape="triangular"), 1.0, 5.0)
    years = read("lifetime", "year", of_coefficient(coefficient("default", "lifetime")), 0.01, 50.0)
    used = read("utilisation", "", UTILISATION, 1e-6, 1.0)
    return pue, years, used, tuple(assumed)
