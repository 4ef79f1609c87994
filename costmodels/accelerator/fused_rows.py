"""The costs of one mapping of a cascade as rows for tables: its Einsums, what its tensors move, its levels."""

from __future__ import annotations

from typing import Any

from codesign.costmodels.accelerator.fused import FusedCosts


def einsum_rows(costs: FusedCosts) -> list[dict[str, Any]]:
    """Return a row for every Einsum: its unit, the group that it runs in (from 1), operations and cycles."""
    group = {at: place + 1 for place, (first, last) in enumerate(costs.groups) for at in range(first, last + 1)}
    return [
        {
            "einsum": part.problem.name, "unit": part.slots.unit, "operation": part.problem.operation,
            "group": group[at], "operations": part.problem.operations, "cycles": int(part.cycles[0]),
        }
        for at, part in enumerate(costs.parts)
    ]  # fmt: skip


def traffic_rows(costs: FusedCosts) -> list[dict[str, Any]]:
    """Return a row for every tensor: bits over the outermost level, the least there can be, and where it stays."""
    moved, stays = costs.moved, costs.retained
    names = dict.fromkeys([*moved, *stays])
    return [
        {
            "tensor": name, "bits": float(moved[name][0]) if name in moved else 0.0,
            "least_bits": costs.cascade.external.get(name), "stays_at": stays.get(name),
        }
        for name in names
    ]  # fmt: skip


def level_rows(costs: FusedCosts) -> list[dict[str, Any]]:
    """Return a row for every level, the networks and the compute units; unknown energies are null."""
    rows = [
        {
            "level": name, "energy": None if name in costs.unpriced else float(energy[0]),
            "occupancy": float(costs.occupancy[place, 0]) or None,
        }
        for place, (name, energy) in enumerate(costs.level_energy.items())
    ]  # fmt: skip
    networks = sum(float(part.network_energy[1, 0]) for part in costs.parts)
    if networks:
        rows.append({"level": "networks", "energy": networks, "occupancy": None})
    units: dict[str, float] = {}
    for part in costs.parts:
        units[part.slots.unit] = units.get(part.slots.unit, 0.0) + float(part.compute_energy[1, 0])
    more = [
        {"level": name, "energy": None if name in costs.unpriced else energy, "occupancy": None}
        for name, energy in units.items()
    ]
    return [*rows, *more]
