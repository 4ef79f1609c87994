"""Kinds of case of operation and accounting: energy, SCI, mixes of electricity, training, figures of merit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from codesign.cases import Unknown
from codesign.costmodels.carbon import metrics as merit
from codesign.costmodels.carbon.accounting import (
    DAYS_PER_YEAR,
    HOURS_PER_DAY,
    JOULES_PER_KWH,
    amortised_grams,
    energy_kwh,
    facility_grams,
    footprint,
)
from codesign.costmodels.carbon.cases.inputs import (
    NonNegative,
    Overhead,
    Percent,
    Positive,
    PositiveShare,
    Share,
    read_inputs,
)
from codesign.costmodels.carbon.processor_power import log_power
from codesign.costmodels.carbon.servers import server_year_grams
from codesign.costmodels.carbon.training import training as train
from codesign.errors import DataError

MOST_ENTRIES = 10_000
SHARES_OFF = 1e-3
"""How far shares may miss 1: they are rounded where they are published."""


class OperationalInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``operational``: an energy, or a power and a time."""

    ci: NonNegative
    pue: Overhead = 1.0
    energy_kwh: NonNegative | None = None
    power_w: NonNegative | None = None
    duty: Share = 1.0
    hours: NonNegative | None = None
    years: NonNegative | None = None
    year_days: Positive = DAYS_PER_YEAR


class SciInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``sci``."""

    energy_kwh: NonNegative | None = None
    ci: NonNegative | None = None
    pue: Overhead = 1.0
    carbon_g: NonNegative | None = None
    te_g: NonNegative | None = None
    reserved_h: NonNegative | None = None
    lifetime_h: Positive | None = None
    resources_reserved: NonNegative = 1.0
    resources_total: Positive = 1.0
    functional_units: NonNegative | None = None


class MetricsInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``metrics``."""

    embodied_g: NonNegative
    delay_s: NonNegative
    energy_j: NonNegative
    ci: NonNegative
    pue: Overhead = 1.0
    runs_in_life: NonNegative


class MixInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``mix_ci``."""

    shares: Annotated[list[NonNegative], msgspec.Meta(min_length=1, max_length=MOST_ENTRIES)]
    factors_g_per_kwh: list[NonNegative]


class ServerYearInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``server_year``."""

    embodied_kg_per_year: NonNegative
    ci_kg_per_kwh: NonNegative
    kwh_per_year: NonNegative


class TrainingInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``training``."""

    params: Positive
    tokens: Positive
    devices: Positive
    peak_flops: Positive
    efficiency: PositiveShare
    power_w: Positive
    pue: Overhead
    ci: NonNegative


class CciInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``cci``."""

    embodied_g: NonNegative
    devices: Positive
    flops: Positive
    utilisation: PositiveShare
    years: Positive


class LogPowerInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``cpu_log_power``."""

    a: float
    b: float
    c: float
    d: float
    utilisation_pct: Annotated[list[Percent], msgspec.Meta(min_length=1, max_length=MOST_ENTRIES)]


def operational(inputs: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return energy and operational carbon of a device."""
    given = read_inputs(inputs, OperationalInputs)
    energy = _energy(given)
    return {"energy_kwh": energy, "operational_g": float(facility_grams(energy, given.ci, given.pue))}


def _energy(given: OperationalInputs) -> float:
    if given.energy_kwh is not None:
        if (given.power_w, given.hours, given.years) != (None, None, None):
            raise DataError("inputs: energy_kwh beside power_w, hours or years", "give the energy, or power and time")
        return given.energy_kwh
    if given.power_w is None:
        raise DataError("inputs: missing field 'energy_kwh' or 'power_w'")
    if (given.hours is None) == (given.years is None):
        raise DataError("inputs: power_w needs either hours or years", "give one of them")
    hours = given.hours if given.hours is not None else (given.years or 0.0) * given.year_days * HOURS_PER_DAY
    return float(energy_kwh(given.power_w, hours, given.duty))


def sci(inputs: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return operational and embodied carbon and SCI; what is not declared is null with a reason."""
    given = read_inputs(inputs, SciInputs)
    found = footprint(
        operational_g=_operational(given), embodied_g=_embodied(given), whole_g=given.carbon_g,
        functional_units=given.functional_units,
    )  # fmt: skip
    return {
        "operational_g": _known(found.operational_g, found.operational_reason),
        "embodied_g": _known(found.embodied_g, f"{found.embodied_reason}: the result is {found.label}"),
        "sci_g_per_unit": _known(found.sci_g_per_unit, found.sci_reason),
    }


def _operational(given: SciInputs) -> Any:
    if given.energy_kwh is None:
        return None
    if given.ci is None:
        raise DataError("inputs: energy_kwh without ci", "state the grid intensity, g/kWh")
    return facility_grams(given.energy_kwh, given.ci, given.pue)


def _embodied(given: SciInputs) -> Any:
    if given.te_g is None:
        return None
    if given.reserved_h is None or given.lifetime_h is None:
        raise DataError("inputs: te_g without reserved_h and lifetime_h", "embodied carbon is shared over the life")
    return amortised_grams(
        given.te_g, given.reserved_h, given.lifetime_h, given.resources_reserved, given.resources_total
    )


def _known(value: Any, reason: str) -> Any:
    return Unknown(reason) if value is None else float(value)


def metrics(inputs: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the figures of merit of carbon, delay and energy."""
    given = read_inputs(inputs, MetricsInputs)
    embodied, delay, joules = given.embodied_g, given.delay_s, given.energy_j
    life = facility_grams(given.runs_in_life * joules / JOULES_PER_KWH, given.ci, given.pue)
    total = merit.total_carbon(embodied, life)
    values = {
        "tc_g": total,
        "tcdp_gs": merit.tcdp(total, delay),
        "cdp_gs": merit.cdp(embodied, delay),
        "cep_gj": merit.cep(embodied, joules),
        "c2ep_g2j": merit.c2ep(embodied, joules),
        "ce2p_gj2": merit.ce2p(embodied, joules),
        "edp_js": merit.edp(joules, delay),
    }
    return {name: float(value) for name, value in values.items()}


def mix_ci(inputs: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the intensity of a mix of sources of electricity."""
    given = read_inputs(inputs, MixInputs)
    if len(given.shares) != len(given.factors_g_per_kwh):
        raise DataError(
            f"inputs: found {len(given.shares)} shares and {len(given.factors_g_per_kwh)} factors",
            "one of each a source",
        )
    whole = sum(given.shares)
    if abs(whole - 1.0) > SHARES_OFF:
        raise DataError(f"inputs: shares: found a sum of {whole:g}, expected 1", "shares are of the whole generation")
    return {"ci_g_per_kwh": float(np.dot(given.shares, given.factors_g_per_kwh))}


def server_year(inputs: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the carbon of a server in a year, kg."""
    given = read_inputs(inputs, ServerYearInputs)
    grams = server_year_grams(given.embodied_kg_per_year * 1e3, given.ci_kg_per_kwh * 1e3, given.kwh_per_year)
    return {"total_kg_per_year": float(grams) / 1e3}


def training(inputs: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return days, facility energy in MWh and carbon in t of a training run."""
    given = read_inputs(inputs, TrainingInputs)
    found = train(
        given.params, given.tokens, given.devices, given.peak_flops, given.efficiency, given.power_w, given.pue,
        given.ci,
    )  # fmt: skip
    return {
        "days": float(found.seconds) / (3600.0 * HOURS_PER_DAY),
        "energy_mwh": float(found.facility_kwh) / 1e3,
        "carbon_t": float(found.carbon_g) / 1e6,
    }


def cci(inputs: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return embodied carbon over executed work; ``flops`` times ``utilisation`` is the achieved rate."""
    given = read_inputs(inputs, CciInputs)
    seconds = given.years * DAYS_PER_YEAR * HOURS_PER_DAY * 3600.0
    achieved = given.devices * given.flops * given.utilisation * seconds
    return {"cci_g_per_eflop": float(merit.cci(given.embodied_g, achieved))}


def cpu_log_power(inputs: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the power of a processor at each utilisation, W."""
    given = read_inputs(inputs, LogPowerInputs)
    watts = log_power(given.utilisation_pct, given.a, given.b, given.c, given.d)
    return {f"power_w_{u:g}": float(w) for u, w in zip(given.utilisation_pct, watts, strict=True)}
