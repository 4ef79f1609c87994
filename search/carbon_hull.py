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

CARBON = ("carbon_per_million_tokens", "carbon")
DELAY = "request_latency"


class HullRow(NamedTuple):
    """One design of the hull.

    Attributes:
        id: Of the trial.
        design: Parameter -> value.
        from_years: Life from which it has the least tCDP, at the run's grid, PUE and utilisation.
        delay_s: Of a request.
        operational_g: Of a million tokens.
        embodied_g: Of a million tokens, at the life of the run.
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
    """

    rows: tuple[HullRow, ...]
    designs: int
    site: Site


def hull_of_run(run: Run) -> RunHull:
    """Return the hull over the kept, feasible designs of a deployment search.

    Raises:
        UsageError: the run is no deployment search, or kept no design with embodied carbon.
        DataError: the run is damaged.
    """
    stored = run.meta.get("spec", {})
    if stored.get("problem") != "deployment":
        raise UsageError(f"{run.path} is no deployment search", "its designs state no carbon")
    trials = run.trials()
    columns = set(trials.columns)
    carbon = next((name for name in CARBON if name in columns), None)
    if carbon is None or not {DELAY, "embodied_carbon"} <= columns:
        raise DataError(f"{run.path}: its trials lack carbon, its embodied share or {DELAY}", "search again")
    stated = trials["embodied_carbon"].is_finite() & trials[carbon].is_finite()
    known = trials.filter((trials["status"] == "ok") & stated)
    if known.is_empty():
        raise UsageError(f"{run.path} kept no feasible design with embodied carbon", "search with --keep all")
    whole, embodied, delay = (
        np.asarray(known[name].to_numpy(), np.float64) for name in (carbon, "embodied_carbon", DELAY)
    )
    site: Site = convert(stored["spec"].get("site", {}), Site, "run.json: site")
    operational: Array = whole - embodied
    found = carbon_hull(embodied * site.lifetime_years, operational, delay)
    names = [parameter["name"] for parameter in run.meta["problem"]["parameters"]]
    rows = tuple(
        HullRow(
            int(known["id"][place]), {name: known[name][place] for name in names}, begins, float(delay[place]),
            float(operational[place]), float(embodied[place]),
        )
        for place, begins in zip(found.design.tolist(), found.begins.tolist(), strict=True)
    )  # fmt: skip
    return RunHull(rows, len(known), site)
