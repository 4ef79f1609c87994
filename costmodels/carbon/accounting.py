"""Accounting after SCI (ISO/IEC 21031, specification 1.1.0): operational and embodied carbon of a functional unit.

``O = E * PUE * CI``; ``M = TE * TiR/EL * RR/ToR``; ``SCI = (O + M) / R``. E in kWh, CI in g/kWh, grams. The intensity
is location-based, without offsets or certificates; whether it is average or marginal is stated. Reserved but idle time
counts, in M by the time reserved and in O by the energy drawn. A year has 365 days.

What is not known is None with a reason, never zero: no functional unit, no SCI; embodied carbon not declared, and the
result is labelled operational only.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np

from codesign.costmodels.carbon.domains import at_least, non_negative, positive, share
from codesign.errors import UsageError
from codesign.quantity import Array

JOULES_PER_KWH = 3.6e6
HOURS_PER_DAY = 24.0
SECONDS_PER_HOUR = 3600.0
DAYS_PER_YEAR = 365.0

EnergyMethod = Literal["measured", "estimated", "modelled"]
"""Of an energy: by a counter, by a rule where there is none, or of a design that does not exist."""

IntensityKind = Literal["average", "marginal"]

NO_UNIT = "no functional unit is declared"
NO_EMBODIED = "embodied carbon is not declared"
NO_OPERATION = "energy is not declared"
WHOLE_GIVEN = "the whole carbon is given, not its parts"

__all__ = [
    "DAYS_PER_YEAR",
    "HOURS_PER_DAY",
    "JOULES_PER_KWH",
    "SECONDS_PER_HOUR",
    "Footprint",
    "amortised_grams",
    "energy_kwh",
    "facility_grams",
    "footprint",
]


class Footprint(msgspec.Struct, frozen=True, kw_only=True):
    """Carbon of a service in the terms of SCI; grams, arrays where the arguments were arrays.

    Attributes:
        operational_g: O; None with ``operational_reason``.
        embodied_g: M; None with ``embodied_reason``.
        sci_g_per_unit: (O + M) / R; None with ``sci_reason``.
        label: ``operational and embodied``, ``operational only``, ``embodied only`` or ``whole as given``.
        boundary: What is inside, as declared.
        functional_unit: What R counts, as declared.
        method: How the energy came about.
        intensity: Average or marginal, location-based.
    """

    operational_g: Array | None
    operational_reason: str
    embodied_g: Array | None
    embodied_reason: str
    sci_g_per_unit: Array | None
    sci_reason: str
    label: str
    boundary: str
    functional_unit: str
    method: EnergyMethod
    intensity: IntensityKind


def energy_kwh(power_w: Any, hours: Any, duty: Any = 1.0) -> Array:
    """Return the energy of ``power_w`` drawn for the share ``duty`` of ``hours``, kWh.

    Raises:
        UsageError: an argument lies outside its domain.
    """
    return np.asarray(non_negative("power_w", power_w) * share("duty", duty) * non_negative("hours", hours) / 1e3)


def facility_grams(it_kwh: Any, ci: Any, pue: Any = 1.0) -> Any:
    """Return operational carbon, g; columns of an estimate keep their errors.

    Args:
        it_kwh: Energy of the equipment, kWh.
        ci: Grid intensity, g/kWh.
        pue: Facility energy over that of the equipment, at least 1.

    Raises:
        UsageError: an argument lies outside its domain.
    """
    return non_negative("energy_kwh", it_kwh) * at_least("pue", pue, 1.0) * non_negative("ci", ci)


def amortised_grams(
    total_g: Any, reserved_h: Any, lifetime_h: Any, resources_reserved: Any = 1.0, resources_total: Any = 1.0
) -> Array:
    """Return the embodied carbon that a reservation carries, g: linear in time and in resources.

    Args:
        total_g: Embodied carbon of the hardware (TE).
        reserved_h: Time reserved (TiR), idle or not.
        lifetime_h: Expected life (EL).
        resources_reserved: RR.
        resources_total: ToR.

    Raises:
        UsageError: an argument lies outside its domain, or more is reserved than there is.
    """
    time, life = non_negative("reserved_h", reserved_h), positive("lifetime_h", lifetime_h)
    part, whole = non_negative("resources_reserved", resources_reserved), positive("resources_total", resources_total)
    if not (part <= whole).all():
        raise UsageError("resources_reserved: found more than resources_total", "reserve at most what there is")
    if not (time <= life).all():
        raise UsageError("reserved_h: found more than lifetime_h", "hardware carries its carbon once")
    return np.asarray(non_negative("te_g", total_g) * (time / life) * (part / whole))


def footprint(
    *,
    operational_g: Any = None,
    embodied_g: Any = None,
    whole_g: Any = None,
    functional_units: Any = None,
    functional_unit: str = "",
    boundary: str = "",
    method: EnergyMethod = "modelled",
    intensity: IntensityKind = "average",
) -> Footprint:
    """Return the footprint of what is declared.

    Args:
        operational_g: O; None where energy is not declared.
        embodied_g: M; None where it is not declared.
        whole_g: O + M where only their sum is known; excludes both.
        functional_units: R; None or 0 where none is declared. In an array every entry is positive.
        functional_unit: What R counts.
        boundary: What is inside.
        method: How the energy came about.
        intensity: Average or marginal.

    Raises:
        UsageError: the whole beside a part of it, or an argument outside its domain.
    """
    if whole_g is not None and (operational_g is not None or embodied_g is not None):
        raise UsageError("carbon_g beside energy or embodied carbon", "give the whole, or its parts")
    given = {"operational_g": operational_g, "embodied_g": embodied_g, "carbon_g": whole_g}
    grams = {name: None if value is None else non_negative(name, value) for name, value in given.items()}
    operational, embodied, whole = grams.values()
    missing = WHOLE_GIVEN if whole is not None else ""
    # without operation the sum is no SCI: energy of reserved hardware is a part of it by definition
    total = whole if whole is not None else operational
    if whole is None and operational is not None and embodied is not None:
        total = np.asarray(operational + embodied)
    sci, reason = _per_unit(total, functional_units)
    return Footprint(
        operational_g=operational, operational_reason=missing or ("" if operational is not None else NO_OPERATION),
        embodied_g=embodied, embodied_reason=missing or ("" if embodied is not None else NO_EMBODIED),
        sci_g_per_unit=sci, sci_reason=reason, label=_label(operational, embodied, whole),
        boundary=boundary or "not declared", functional_unit=functional_unit or "not declared", method=method,
        intensity=intensity,
    )  # fmt: skip


def _per_unit(total: Array | None, functional_units: Any) -> tuple[Array | None, str]:
    if total is None:
        return None, NO_OPERATION
    if functional_units is None:
        return None, NO_UNIT
    units = non_negative("functional_units", functional_units)
    if units.ndim == 0 and units == 0.0:
        return None, NO_UNIT
    return np.asarray(total / positive("functional_units", units)), ""


def _label(operational: Array | None, embodied: Array | None, whole: Array | None) -> str:
    if whole is not None:
        return "whole as given"
    if operational is not None:
        return "operational only" if embodied is None else "operational and embodied"
    return "nothing declared" if embodied is None else "embodied only"
