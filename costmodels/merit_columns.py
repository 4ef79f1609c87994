"""Figures of merit of an estimate as columns, whose errors stay common with those of time, energy and carbon.

C is the embodied share that a run carries, E its energy, D its delay; a run is a request of a deployment, or one pass
of anything else. Sharing out embodied carbon by the time reserved makes designs of different size comparable: a
deployment of eight devices carries more carbon, and serves more requests with it. Formulas: ``carbon.metrics``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec
import numpy as np

from codesign.costmodels.carbon import metrics
from codesign.costmodels.deployment import Priced
from codesign.costmodels.estimate import Metric
from codesign.quantity import Column

MERITS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("tcdp", "gCO2e s", "run", title="tCDP"),
        Metric("cci", "gCO2e/EFLOP", "", title="CCI"),
        Metric("edp", "J s", "run", title="EDP"),
        Metric("cdp", "gCO2e s", "run", title="CDP"),
        Metric("cep", "gCO2e J", "run", title="CEP"),
        Metric("c2ep", "gCO2e2 J", "run", title="C2EP"),
        Metric("ce2p", "gCO2e J2", "run", title="CE2P"),
    )
}
"""Name -> metric; all lower-is-better."""


def merits(priced: Priced) -> dict[str, Column]:
    """Return the figures of merit of every point; without embodied carbon those that need none."""
    columns = priced.estimate.columns
    served = "energy_per_token" in columns
    run = np.asarray(priced.units_per_run, np.float64)
    energy = columns["energy_per_token" if served else "energy"] * run
    delay = columns["request_latency" if served else "latency"]
    found = {"edp": metrics.edp(energy, delay)}
    if "embodied_carbon" not in columns:
        return found
    shown = run / 1e6 if served else run  # carbon is shown for a million tokens
    embodied, operational = (columns[name] * shown for name in ("embodied_carbon", "operational_carbon"))
    total = metrics.total_carbon(embodied, operational)
    found |= {
        "tcdp": metrics.tcdp(total, delay), "cdp": metrics.cdp(embodied, delay), "cep": metrics.cep(embodied, energy),
        "c2ep": metrics.c2ep(embodied, energy), "ce2p": metrics.ce2p(embodied, energy),
    }  # fmt: skip
    if priced.executed_flop is not None:
        found["cci"] = metrics.cci(total, priced.executed_flop * run)
    return {name: found[name] for name in MERITS if name in found}


class _Later(Mapping[str, Column]):
    """Columns of which some are computed when one of them is first asked for: few callers do."""

    def __init__(self, known: Mapping[str, Column], later: list[str], compute: Callable[[], dict[str, Column]]) -> None:
        self._known, self._later, self._compute = dict(known), later, compute

    def __getitem__(self, name: str) -> Column:
        if name in self._later and name not in self._known:
            self._known |= self._compute()
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._known, *self._later]))

    def __len__(self) -> int:
        return len({*self._known, *self._later})


def with_merits(priced: Priced) -> Priced:
    """Return ``priced`` with the figures of merit among its columns."""
    estimate = priced.estimate
    known = [name for name in MERITS if name == "edp" or "embodied_carbon" in estimate.columns]
    columns = _Later(estimate.columns, known, lambda: merits(priced))
    named = {**estimate.metrics, **{name: MERITS[name] for name in known}}
    return msgspec.structs.replace(priced, estimate=msgspec.structs.replace(estimate, columns=columns, metrics=named))
