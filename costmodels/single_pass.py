"""What one run of a model costs that does not serve tokens: an image, a batch of samples, a captured module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from codesign.costmodels.deployment import MEMORY_SHARE, Priced
from codesign.costmodels.energy import device_energy
from codesign.costmodels.estimate import Estimate, Metric
from codesign.costmodels.impact import Site, at_site, dollars, embodied_grams, grid_notes, operational_grams
from codesign.costmodels.latency import PhaseCost, phase_cost
from codesign.costmodels.machine import Machine, machine
from codesign.costmodels.power_limit import check_limit, limited, sentence
from codesign.costmodels.structure import Load, Structure, check_structure
from codesign.errors import UsageError
from codesign.models import Model
from codesign.quantity import Column, total
from codesign.targets import Target
from codesign.workload.graph import Workload
from codesign.workload.liveness import LASTING, peak_activations, saved_activations
from codesign.workload.mesh import Mesh, shard


def price_pass(model: Model, target: Target, structure: Structure, load: Load, site: Site | None = None) -> Priced:
    """Price one run of ``model`` for every point of ``load`` (its batch, and its lengths where it has them).

    Raises:
        UsageError: the target lacks the dtype, or pipeline stages are asked of a model that is not served.
    """
    if structure.pp > 1:
        raise UsageError(
            f"pp is {structure.pp}", "pipeline stages are priced for served language models only; use --tp"
        )
    return price_workload(_workload(model, structure, load), target, structure, load, site, model)


def price_workload(
    workload: Workload,
    target: Target,
    structure: Structure,
    load: Load,
    site: Site | None = None,
    model: Model | None = None,
) -> Priced:
    """Price one run of ``workload`` for every point that its arrays are over.

    ``load`` gives a power limit, if any; where ``model`` is given, what engines do not split so is refused.
    """
    site = site or Site()
    here = machine(target, structure.axes(), structure.nodes)
    mesh = dict(structure.axes())
    workload = shard(workload, Mesh(mesh))
    costs = [phase_cost(phase, here, mesh, structure.launched(target)) for phase in workload.phases]
    one = np.ones(1)  # sizes that are plain numbers still make one design point
    seconds = total(cost.seconds for cost in costs) * one
    work = {
        name: np.asarray(sum(getattr(cost, name) for cost in costs)) * one
        for name in ("flops", "bytes", "peak_seconds")
    }
    busy = total(cost.busy for cost in costs) * one
    whole = PhaseCost("run", seconds, busy, work["flops"], work["bytes"], work["peak_seconds"], ())
    facts: tuple[str, ...] = ()
    if load.power_limit is not None:
        limit = check_limit(load.power_limit, target)
        whole, effect = limited(whole, here, limit)
        seconds, facts = whole.seconds, (sentence(limit, here, {"run": effect}),)
    joules = device_energy(whole, seconds, here, most=load.power_limit) * float(structure.devices)
    memory = _memory(workload)
    needed = sum(memory.values(), start=np.zeros(1))
    unit, count = main_unit(workload.units)
    columns, notes = _columns(seconds, joules, count, float(structure.devices), here, site)
    shape = np.broadcast_shapes(needed.shape, seconds.value.shape)
    columns["memory"] = Column.exact(np.broadcast_to(needed, shape), len(here.factors))
    misplaced = check_structure(structure, target, model)
    reasons = ("", f"memory: exceeds {MEMORY_SHARE:.0%} of {target.id}", f"placement: {misplaced}")
    code = np.where(needed > MEMORY_SHARE * here.capacity, 1, 0)
    code = np.full_like(code, 2) if misplaced else code
    metrics = _metrics(unit)
    factors, notes = at_site(here.factors, site), (*facts, *grid_notes(site), *notes)
    estimate = Estimate({name: metrics[name] for name in columns}, columns, factors, code == 0, code, reasons, notes)
    executed = whole.flops * float(structure.devices) / count
    return Priced(estimate, tuple(costs), memory, here, None, executed, count)


def _workload(model: Model, structure: Structure, load: Load) -> Workload:
    sizes = {"batch": load.batch, "prompt": load.prompt, "generate": load.generate}
    if structure.mode == "training":
        sizes.pop("generate")
    given = {name: np.atleast_1d(np.asarray(value, np.float64)) for name, value in sizes.items() if value is not None}
    mode = "training" if structure.mode == "training" else "inference"
    return model.workload(**given, dtype=structure.dtype, mode=mode)


def _memory(workload: Workload) -> dict[str, Any]:
    """Return the bytes on one device by role; training keeps the activations that its backward pass reads."""
    memory: dict[str, Any] = {role.value: np.asarray(workload.footprint(role), np.float64) for role in LASTING}
    passing: Any = 0.0
    for phase in workload.phases:
        passing = np.maximum(passing, peak_activations(phase))
    if {"forward", "backward"} <= {phase.name for phase in workload.phases}:
        passing = passing + saved_activations(workload.phase("forward"), workload.phase("backward"))
    memory["activation"] = np.asarray(passing, np.float64)
    return memory


def _columns(
    seconds: Column, joules: Column, count: Any, devices: float, here: Machine, site: Site
) -> tuple[dict[str, Column], tuple[str, ...]]:
    """Return the metrics of a run that delivers ``count`` units, and what is not declared."""
    columns = {
        "latency": seconds,
        "throughput": seconds.reciprocal() * count,
        "energy": joules * (1.0 / count),
        "power": joules * seconds.reciprocal() * (1.0 / devices),
    }
    operational = operational_grams(joules, site) * (1.0 / count)
    embodied = embodied_grams(seconds, here, devices, site)
    columns["carbon"] = columns["operational_carbon"] = operational
    if embodied is not None:
        columns["embodied_carbon"] = embodied * (1.0 / count)
        columns["carbon"] = operational + columns["embodied_carbon"]
    paid = dollars(seconds, here, devices)
    if paid is not None:
        columns["cost"] = paid * (1.0 / count)
    return columns, () if embodied is not None else ("embodied carbon not declared: carbon is operational only",)


def _metrics(unit: str) -> dict[str, Metric]:
    return {
        "latency": Metric("latency", "s", "run", title="one run"),
        "throughput": Metric("throughput", f"{unit}/s", "deployment", "higher", title="throughput"),
        "energy": Metric("energy", "J", unit, title="energy"),
        "power": Metric("power", "W", "device", title="mean power"),
        "carbon": Metric("carbon", "gCO2e", unit, title="carbon"),
        "operational_carbon": Metric("operational_carbon", "gCO2e", unit, title="of it operational"),
        "embodied_carbon": Metric("embodied_carbon", "gCO2e", unit, title="of it embodied"),
        "cost": Metric("cost", "$", unit, title="cost"),
        "memory": Metric("memory", "B", "device", title="peak memory"),
    }


def main_unit(units: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the functional unit of a run and its count: tokens of a training step, else the first one declared."""
    unit = "token" if "training step" in units and "token" in units else next(iter(units), "run")
    return unit, np.asarray(units.get(unit, 1.0), np.float64)
