"""The carbon hull of a search: which of its designs have the least tCDP for some life, and where they cross.

A run states carbon at one site. Operational carbon of a unit stays as it is when the life changes, the embodied share
falls with it: ``tCDP(L) = D (M L0 / L + O)``, and ``L tCDP(L) = D M L0 + L D O`` is linear in the life L. So the hull
of ``(D M L0, D O)`` answers for every life at once; another grid, PUE or utilisation scales the life by what it does to
the grams of a watt.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from codesign.costmodels.carbon.hull import carbon_hull
from codesign.costmodels.impact import Site
from codesign.errors import DataError, UsageError
from codesign.quantity import Array
from codesign.run import Run
from codesign.strict_yaml import convert


class Columns(NamedTuple):
    """Where the trials of a kind of search have what a hull needs.

    Attributes:
        carbon: Of a unit of work, by its names.
        embodied: The embodied share of it.
        delay: Of a run.
        unit: Of work.
        run: What the delay is of.
    """

    carbon: tuple[str, ...]
    embodied: str
    delay: str
    unit: str
    run: str


COLUMNS = {
    "deployment": Columns(
        ("carbon_per_million_tokens", "carbon"), "embodied_carbon", "request_latency", "Mtoken", "request"
    ),
    "accelerator": Columns(("carbon",), "embodied_share", "latency", "run", "run"),
}
"""Kind of search -> its columns."""


class HullRow(NamedTuple):
    """One design of the hull.

    Attributes:
        id: Of the trial.
        design: Parameter -> value.
        from_years: Life from which it has the least tCDP, at the run's grid, PUE and utilisation.
        delay_s: Of a request, or of what else a run is.
        operational_g: Of a unit of work, such as a million tokens.
        embodied_g: Of the same, at the life of the run.
    """

    id: int
    design: dict[str, Any]
    from_years: float
    delay_s: float
    operational_g: float
    embodied_g: float


class RunHull(NamedTuple):
    """The hull of a run.

    Attributes:
        rows: From short lives to long ones.
        designs: How many were compared.
        site: For which the lives hold.
        columns: What the numbers are of.
    """

    rows: tuple[HullRow, ...]
    designs: int
    site: Site
    columns: Columns


def hull_of_run(run: Run) -> RunHull:
    """Return the hull over the kept, feasible designs of a search that states carbon.

    Raises:
        UsageError: the run is no such search, or kept no design with embodied carbon.
        DataError: the run is damaged.
    """
    stored = run.meta.get("spec", {})
    names = COLUMNS.get(stored.get("problem", ""))
    if names is None:
        raise UsageError(f"{run.path} is no search of {' or '.join(COLUMNS)}s", "its designs state no carbon")
    trials = run.trials()
    columns = set(trials.columns)
    carbon = next((name for name in names.carbon if name in columns), None)
    if carbon is None or not {names.delay, names.embodied} <= columns:
        raise DataError(f"{run.path}: its trials lack carbon, its embodied share or {names.delay}", "search again")
    stated = trials[names.embodied].is_finite() & trials[carbon].is_finite()
    known = trials.filter((trials["status"] == "ok") & stated)
    if known.is_empty():
        raise UsageError(f"{run.path} kept no feasible design with embodied carbon", "search with --keep all")
    whole, embodied, delay = (
        np.asarray(known[name].to_numpy(), np.float64) for name in (carbon, names.embodied, names.delay)
    )
    site: Site = convert(stored["spec"].get("site", {}), Site, "run.json: site")
    operational: Array = whole - embodied
    found = carbon_hull(embodied * site.lifetime_years, operational, delay)
    parameters = [parameter["name"] for parameter in run.meta["problem"]["parameters"]]
    rows = tuple(
        HullRow(
            int(known["id"][place]), {name: known[name][place] for name in parameters}, begins, float(delay[place]),
            float(operational[place]), float(embodied[place]),
        )
        for place, begins in zip(found.design.tolist(), found.begins.tolist(), strict=True)
    )  # fmt: skip
    return RunHull(rows, len(known), site, names)
