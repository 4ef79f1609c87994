"""Kinds of case of wafers and chiplets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from codesign.costmodels.carbon import metrics
from codesign.costmodels.carbon.cases.inputs import NonNegative, Positive, PositiveShare, Share, read_inputs
from codesign.costmodels.carbon.chiplet_packages import package, system_carbon
from codesign.costmodels.carbon.chiplets import Chiplet, DesignEffort, Operation, Silicon, chiplet_process
from codesign.costmodels.carbon.wafers import INDUSTRY_WAFER_MM, wafer_die_grams, wafer_grams
from codesign.costmodels.carbon.yields import ECO_CHIP_ALPHA
from codesign.errors import DataError

MOST_CHIPLETS = 256
GRAMS_PER_KG = 1e3


class WaferInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``wafer_die``."""

    epa_kwh_wafer: NonNegative
    facility_factor: Positive
    ci_fab: NonNegative
    gpa_ref_g_wafer: NonNegative
    gpa_ref_kwh_wafer: Positive
    mpa_g_wafer: NonNegative
    dies: Positive
    die_yield: PositiveShare = msgspec.field(name="yield")
    operational_g_month: NonNegative | None = None
    delay_s: NonNegative | None = None
    months: tuple[NonNegative, ...] = ()


class ChipletInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One chiplet; ``d0_cm2`` replaces the published defect density."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    type: str
    area_mm2_7nm: Positive
    node_nm: Positive
    d0_cm2: NonNegative | None = None


class SystemInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``chiplets``: package, design and use; what is left out is as in ECO-CHIP, the wafer as in industry."""

    chiplets: Annotated[list[ChipletInputs], msgspec.Meta(min_length=1, max_length=MOST_CHIPLETS)]
    power_w: NonNegative
    ci: NonNegative
    lifetime_h: NonNegative
    package: str = "RDL"
    interposer_node_nm: Positive = 65
    rdl_layers: Positive = 6
    beol_layers: Positive = 8
    wafer_mm: Positive = INDUSTRY_WAFER_MM
    alpha: Positive = ECO_CHIP_ALPHA
    bonding_yield: PositiveShare | None = None
    bridge_pitch_mm: Positive = 10
    tsv_pitch_mm: Positive = 0.025
    tsv_size_mm: Positive = 0.005
    transistors_per_gate: Positive = 8
    power_per_core_w: NonNegative = 10
    design_iterations: NonNegative = 90
    parts_made: Positive = 100_000
    on: Share = 0.667
    avg_power: Share = 0.1
    active: Share = 0.2


def wafer_die(inputs: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the carbon of a wafer from its steps, of a good die, and of months of its use."""
    given = read_inputs(inputs, WaferInputs)
    wafer = wafer_grams(
        given.epa_kwh_wafer, given.facility_factor, given.ci_fab, given.gpa_ref_g_wafer, given.gpa_ref_kwh_wafer,
        given.mpa_g_wafer,
    )  # fmt: skip
    die = float(wafer_die_grams(wafer, given.dies, given.die_yield))
    values: dict[str, Any] = {"wafer_g": float(wafer), "die_g": die}
    if given.months and given.operational_g_month is None:
        raise DataError("inputs: months without operational_g_month", "state the carbon of a month of use")
    for month in given.months:
        total = float(metrics.total_carbon(die, month * (given.operational_g_month or 0.0)))
        values[f"tc_g_month{month:g}"] = total
        if given.delay_s is not None:
            values[f"tcdp_gs_month{month:g}"] = float(metrics.tcdp(total, given.delay_s))
    return values


def chiplets(inputs: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the carbon of chiplets and of their package, kg."""
    given = read_inputs(inputs, SystemInputs)
    names = [chiplet.name for chiplet in given.chiplets]
    if len(set(names)) != len(names):
        raise DataError("inputs: chiplets: two have one name", "names of chiplets differ")
    chosen = package(given.package, given.interposer_node_nm, given.rdl_layers, given.beol_layers)
    chosen = chosen._replace(
        bridge_pitch_mm=given.bridge_pitch_mm, tsv_pitch_mm=given.tsv_pitch_mm, tsv_size_mm=given.tsv_size_mm,
        bonding_yield=chosen.bonding_yield if given.bonding_yield is None else given.bonding_yield,
    )  # fmt: skip
    found = system_carbon(
        [_chiplet(chiplet) for chiplet in given.chiplets],
        chosen,
        Operation(given.power_w, given.lifetime_h, given.on, given.avg_power, given.active),
        given.ci,
        Silicon(given.wafer_mm, given.alpha),
        DesignEffort(given.transistors_per_gate, given.power_per_core_w, given.design_iterations, given.parts_made),
    )
    values: dict[str, Any] = {}
    for name, made, used, designed in zip(names, found.manufacturing_g, found.operation_g, found.design_g, strict=True):
        values |= {
            f"{name}_{label}_kg": float(grams) / GRAMS_PER_KG
            for label, grams in (("mfg", made), ("op", used), ("design", designed))
        }
    return values | {
        "packaging_mfg_kg": float(found.packaging_g) / GRAMS_PER_KG,
        "packaging_design_kg": float(found.packaging_design_g) / GRAMS_PER_KG,
    }


def _chiplet(written: ChipletInputs) -> Chiplet:
    process = chiplet_process(written.type, written.node_nm)
    if written.d0_cm2 is not None:
        process = process._replace(defects_cm2=written.d0_cm2)
    return Chiplet(written.area_mm2_7nm, written.node_nm, process)
