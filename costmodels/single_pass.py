"""What one run of a model costs that does not serve tokens: an image, a batch of samples, a captured module."""

from __future__ import annotations

from typing import Any

import numpy as np

from codesign.costmodels.deployment import MEMORY_SHARE, Load, Priced, Structure
from codesign.costmodels.energy import device_energy
from codesign.costmodels.estimate import Estimate, Metric
from codesign.costmodels.impact import Site, dollars, embodied_grams, operational_grams
from codesign.costmodels.latency import PhaseCost, phase_cost
from codesign.costmodels.machine import machine
from codesign.models import Model
from codesign.quantity import Column, total
from codesign.targets import Target
from codesign.workload.liveness import LASTING, peak_activations
from codesign.workload.mesh import Mesh, shard


def price_pass(model: Model, target: Target, structure: Structure, load: Load, site: Site | None = None) -> Priced:
    """Price one run of ``model`` for every point of ``load`` (its batch, and its lengths where it has them)."""
    site = site or Site()
    here = machine(target, structure.axes(), structure.nodes)
    mesh = dict(structure.axes())
    sizes = {"batch": load.batch, "prompt": load.prompt, "generate": load.generate}
    accepted = {
        name: np.atleast_1d(np.asarray(value, np.float64)) for name, value in sizes.items() if value is not None
    }
    workload = shard(model.workload(**accepted, dtype=structure.dtype), Mesh(mesh))
    costs = [phase_cost(phase, here, mesh, structure.launched(target)) for phase in workload.phases]
    seconds = total(cost.seconds for cost in costs)
    unit, count = main_unit(workload.units)
    work = {name: np.asarray(sum(getattr(cost, name) for cost in costs)) for name in ("flops", "bytes", "peak_seconds")}
    busy = total(cost.busy for cost in costs)
    whole = PhaseCost("run", seconds, busy, work["flops"], work["bytes"], work["peak_seconds"], ())
    joules = device_energy(whole, seconds, here) * float(structure.devices)
    memory: dict[str, Any] = {role.value: np.asarray(workload.footprint(role), np.float64) for role in LASTING}
    passing: Any = 0.0
    for phase in workload.phases:
        passing = np.maximum(passing, peak_activations(phase))
    memory["activation"] = np.asarray(passing, np.float64)
    needed = sum(memory.values(), start=np.zeros(1))
    rows = float(structure.devices)
    columns = {
        "latency": seconds,
        "throughput": seconds.reciprocal() * count,
        "memory": Column.exact(
            np.broadcast_to(needed, np.broadcast_shapes(needed.shape, seconds.value.shape)), len(here.factors)
        ),
        "energy": joules * (1.0 / count),
        "power": joules * seconds.reciprocal() * (1.0 / rows),
    }
    carbon = operational_grams(joules, site)
    embodied = embodied_grams(seconds, here, rows, site)
    carbon = carbon if embodied is None else carbon + embodied
    columns["carbon"] = carbon * (1.0 / count)
    paid = dollars(seconds, here, rows)
    if paid is not None:
        columns["cost"] = paid * (1.0 / count)
    metrics = {
        "latency": Metric("latency", "s", "run", title="latency of one run"),
        "throughput": Metric("throughput", f"{unit}/s", "deployment", "higher", title=f"{unit}s per second"),
        "memory": Metric("memory", "B", "device", title="peak memory"),
        "energy": Metric("energy", "J", unit, title="energy"),
        "power": Metric("power", "W", "device", title="mean power"),
        "carbon": Metric("carbon", "gCO2e", unit, title="carbon"),
        "cost": Metric("cost", "$", unit, title="cost"),
    }
    code = np.where(needed > MEMORY_SHARE * here.capacity, 1, 0)
    reasons = ("", f"memory: exceeds {MEMORY_SHARE:.0%} of {target.id}")
    notes = () if embodied is not None else ("embodied carbon not declared: carbon is operational only",)
    estimate = Estimate(
        {name: metrics[name] for name in columns}, columns, here.factors, code == 0, code, reasons, notes
    )
    return Priced(estimate, tuple(costs), memory, here)


def main_unit(units: Any) -> tuple[str, Any]:
    """Return the first functional unit of a workload with its count per run."""
    for unit, count in units.items():
        return unit, np.asarray(count, np.float64)
    return "run", 1.0
