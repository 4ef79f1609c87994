"""Kinds of case of embodied carbon: dies, memory, bills of materials, yields, servers, clusters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from codesign.costmodels.carbon import yields as models
from codesign.costmodels.carbon.boards import package_grams
from codesign.costmodels.carbon.cases.inputs import (
    Abatement,
    NonNegative,
    Positive,
    PositiveShare,
    read_inputs,
)
from codesign.costmodels.carbon.coefficients import coefficient
from codesign.costmodels.carbon.dies import AreaCarbon, carbon_per_area, die_grams, fab_intensity, process_node
from codesign.costmodels.carbon.memory import memory_grams, memory_process
from codesign.costmodels.carbon.servers import ClusterPart, cluster_grams, server_preset
from codesign.errors import DataError

GRAMS_PER_KG = 1e3
GRAMS_PER_TONNE = 1e6
MOST_PARTS = 10_000


class LogicInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``act_logic``."""

    node_nm: Positive
    ci_fab: NonNegative | str
    abatement: Abatement
    die_yield: PositiveShare = msgspec.field(name="yield")
    area_mm2: NonNegative | None = None
    n_ics: NonNegative = 0.0


class MemoryInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``act_memory``."""

    process: str
    capacity_gb: NonNegative
    die_yield: PositiveShare = msgspec.field(name="yield")
    n_ics: NonNegative = 0.0


class PartName(msgspec.Struct, frozen=True):
    """What every part of a bill states, whatever its model; the rest is read by the model."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    model: Literal["logic", "dram", "ssd", "hdd"]
    count: NonNegative = 1.0


class BomInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``bom``."""

    parts: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1, max_length=MOST_PARTS)]


class YieldInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``yields``."""

    area_cm2: NonNegative
    d0_cm2: NonNegative
    alpha: Positive = models.USUAL_ALPHA


class ServerShareInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``server_share``: what the parts add to the base server, and which part of the whole is reserved."""

    memory_kg: NonNegative = 0.0
    storage_kg: NonNegative = 0.0
    cpu_kg: NonNegative = 0.0
    gpu_kg: NonNegative = 0.0
    base_kg: NonNegative | None = None


class ClusterInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``cluster_embodied``."""

    rows_unit_kg_per_unit_count: Annotated[
        list[tuple[NonNegative, NonNegative, NonNegative]], msgspec.Meta(min_length=1, max_length=MOST_PARTS)
    ]
    days: NonNegative
    lifetime_days: Positive


def act_logic(inputs: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the carbon of a cm2 of logic, and of a die and its packages where its area is given."""
    given = read_inputs(inputs, LogicInputs)
    per_area = _per_area(given)
    values: dict[str, Any] = {name: float(value) for name, value in per_area._asdict().items()}
    values["cpa_g_cm2"] = values.pop("total_g_cm2")
    if given.area_mm2 is None:
        return values
    return values | _made(float(die_grams(given.area_mm2, per_area.total_g_cm2)), given.n_ics)


def act_memory(inputs: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the carbon of memory or storage and its packages."""
    given = read_inputs(inputs, MemoryInputs)
    return _made(_memory(given, ""), given.n_ics)


def bom(inputs: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the carbon of a bill of materials: of each part, of all, and of the packages."""
    values: dict[str, Any] = {}
    fabrication = packaging = 0.0
    for place, part in enumerate(read_inputs(inputs, BomInputs).parts):
        try:
            about = read_inputs({k: v for k, v in part.items() if k in ("name", "model", "count")}, PartName)
            rest = {name: value for name, value in part.items() if name not in ("name", "model", "count")}
            made, circuits = _part(about, rest)
        except Exception as error:
            raise _in_part(error, place) from None
        label = f"{about.name}_fabrication_g"
        if label in values:
            raise DataError(f"inputs: parts[{place}].name: {about.name!r} is taken", "names of parts differ")
        values[label] = about.count * made
        fabrication += values[label]
        packaging += about.count * float(package_grams(circuits, coefficient("package", "per_ic").value))
    return values | {
        "fabrication_g": fabrication, "packaging_g": packaging, "total_g": fabrication + packaging
    }  # fmt: skip


def yields(inputs: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the yield of every model."""
    given = read_inputs(inputs, YieldInputs)
    area, d0 = given.area_cm2, given.d0_cm2
    return {
        "poisson": float(models.poisson(area, d0)),
        "murphy": float(models.murphy(area, d0)),
        "exponential": float(models.exponential(area, d0)),
        "negative_binomial": float(models.negative_binomial(area, d0, given.alpha)),
    }


def server_share(inputs: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the carbon of a server: the base of the preset and what its parts add."""
    given = read_inputs(inputs, ServerShareInputs)
    base = server_preset().base / GRAMS_PER_KG if given.base_kg is None else given.base_kg
    return {"total_kg": base + given.memory_kg + given.storage_kg + given.cpu_kg + given.gpu_kg}


def cluster_embodied(inputs: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the embodied carbon that days of a cluster carry."""
    given = read_inputs(inputs, ClusterInputs)
    parts = [ClusterPart(units, kg * GRAMS_PER_KG, count) for units, kg, count in given.rows_unit_kg_per_unit_count]
    return {"embodied_t": float(cluster_grams(parts, given.days, given.lifetime_days)) / GRAMS_PER_TONNE}


def _per_area(given: LogicInputs) -> AreaCarbon:
    node = process_node(given.node_nm)
    return carbon_per_area(node, fab_intensity(given.ci_fab), given.abatement, given.die_yield)


def _memory(given: MemoryInputs, kind: str) -> float:
    return float(memory_grams(memory_process(given.process, kind).value, given.capacity_gb, given.die_yield))


def _made(fabrication: float, circuits: float) -> dict[str, Any]:
    packaging = float(package_grams(circuits, coefficient("package", "per_ic").value))
    return {"fabrication_g": fabrication, "packaging_g": packaging, "total_g": fabrication + packaging}


def _part(about: PartName, rest: dict[str, Any]) -> tuple[float, float]:
    """Return grams of making one part, and its integrated circuits."""
    if about.model == "logic":
        logic = read_inputs(rest, LogicInputs)
        if logic.area_mm2 is None:
            raise DataError("inputs: missing field 'area_mm2'")
        return float(die_grams(logic.area_mm2, _per_area(logic).total_g_cm2)), logic.n_ics
    memory = read_inputs(rest, MemoryInputs)
    return _memory(memory, about.model), memory.n_ics


def _in_part(error: Exception, place: int) -> Exception:
    """Return an error of ours that names the part."""
    from codesign.errors import CodesignError

    if not isinstance(error, CodesignError):
        return error
    return DataError(f"inputs: parts[{place}]: {error.message.removeprefix('inputs: ')}", error.hint)
