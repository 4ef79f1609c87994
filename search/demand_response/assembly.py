"""From a spec to a fleet: every number checked, loads scaled, penalty curves cut or fitted."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.errors import DataError
from codesign.search.demand_response.convex_fit import TOLERANCE, fit_convex
from codesign.search.demand_response.curves import Curve, chords, padded
from codesign.search.demand_response.fleet import Fleet
from codesign.search.demand_response.inlined import repeated
from codesign.search.demand_response.spec import (
    MOST_INTENSITY,
    MOST_MW,
    MOST_PIECES,
    MOST_SEGMENTS,
    MOST_WORKLOADS,
    Column,
    DemandResponseSpec,
    Numbers,
    Workload,
)

Floats = NDArray[np.float64]

CURTAIL = {"online": 0.5, "batch": 0.8}
MAKE_UP = 0.5
BACKLOG_H = 6.0
MOST_WEIGHT = 1e9


class Assembled(NamedTuple):
    """A fleet, and what a reader must know of how its curves came about."""

    fleet: Fleet
    notes: tuple[str, ...]


class _Made(NamedTuple):
    """One workload in numbers."""

    power: Floats
    curve: Curve
    curtail: float
    make_up: float
    note: str


def assemble(asked: DemandResponseSpec, name: str) -> Assembled:
    """Return the fleet of an inlined spec.

    Args:
        asked: The study, its series written out.
        name: The file that errors name.

    Raises:
        DataError: a number is absurd, or the study is too large; names the field.
    """
    intensity = np.array([_number(v, 0.0, MOST_INTENSITY, f"{name}: grid.values[{i}]", " g/kWh")
                          for i, v in enumerate(asked.grid.values)])  # fmt: skip
    count, hours = len(asked.workloads), len(intensity)
    if not 1 <= count <= MOST_WORKLOADS:
        raise DataError(f"{name}: workloads: found {count}, expected 1 to {MOST_WORKLOADS}")
    segments = asked.chords.segments
    if not 1 <= segments <= MOST_SEGMENTS:
        raise DataError(f"{name}: chords.segments: found {segments}, expected 1 to {MOST_SEGMENTS}")
    pieces = count * hours * segments
    if pieces > MOST_PIECES:
        raise DataError(
            f"{name}: {count} workloads x {hours:,} hours x {segments} segments: found {pieces:,} pieces, "
            f"expected at most {MOST_PIECES:,}",
            "study fewer days, or fewer segments",
        )
    _check_names(asked.workloads, name)
    shared = sum(w.share or 0.0 for w in asked.workloads)
    if shared > 1.0 + 1e-6:
        raise DataError(f"{name}: workloads: shares sum to {shared:g}, expected at most 1", "they share fleet.mean_mw")
    made = [_workload(asked, place, hours, name) for place in range(count)]
    curves = [padded(m.curve, segments) for m in made]
    fleet = Fleet(
        names=tuple(w.name for w in asked.workloads),
        online=np.array([w.kind == "online" for w in asked.workloads]),
        baseline_mw=np.stack([m.power for m in made]),
        knots=np.stack([c.knots for c in curves]),
        penalty=np.stack([c.values for c in curves]),
        weight=np.array([math.nan if w.penalty.weight is None else w.penalty.weight for w in asked.workloads]),
        most_curtailed=np.array([m.curtail for m in made]),
        most_made_up=np.array([m.make_up for m in made]),
        intensity_t_mwh=intensity / 1000.0,
        advance=asked.advance,
    )
    return Assembled(_limited(fleet, asked, name), tuple(m.note for m in made if m.note))


def _limited(fleet: Fleet, asked: DemandResponseSpec, name: str) -> Fleet:
    """Return the fleet under the stated capacity."""
    if asked.capacity_mw == "none":
        return fleet
    if asked.capacity_mw == "peak":
        return replace(fleet, capacity_mw=fleet.peak_mw)
    return replace(fleet, capacity_mw=_number(asked.capacity_mw, 0.0, 1e9, f"{name}: capacity_mw", " MW"))


def _check_names(workloads: tuple[Workload, ...], name: str) -> None:
    seen: set[str] = set()
    for place, workload in enumerate(workloads):
        where = f"{name}: workloads[{place}].name"
        if not workload.name.strip() or len(workload.name) > 60 or not workload.name.isprintable():
            raise DataError(f"{where}: found {workload.name[:70]!r}, expected 1 to 60 printable characters")
        if workload.name in seen:
            raise DataError(f"{where}: {workload.name!r} is taken", "names tell workloads apart: make them unique")
        seen.add(workload.name)


def _workload(asked: DemandResponseSpec, place: int, hours: int, name: str) -> _Made:
    workload, where = asked.workloads[place], f"{name}: workloads[{place}]"
    power = _power(asked, workload, hours, name, where)
    if not power.max() > 0.0:
        raise DataError(f"{where}: the baseline is 0 MW in every hour", "leave the workload out")
    curtail = workload.max_curtail if workload.max_curtail is not None else _curtail_of(workload)
    curtail = _number(curtail, 0.0, 1.0, f"{where}.max_curtail")
    if workload.kind == "online":
        for field in ("max_make_up", "max_backlog_h"):
            if getattr(workload, field) is not None:
                raise DataError(f"{where}.{field}: online work is not made up", "leave it out, or kind: batch")
        make_up, largest = 0.0, curtail
    else:
        make_up = MAKE_UP if workload.max_make_up is None else workload.max_make_up
        make_up = _number(make_up, 0.0, 100.0, f"{where}.max_make_up")
        stated = workload.max_backlog_h
        last = max((x for x, _ in workload.penalty.samples), default=BACKLOG_H)
        largest = _number(last if stated is None else stated, 0.0, 1e4, f"{where}.max_backlog_h", " h")
    curve, note = _curve(asked, workload, largest, where)
    return _Made(power, curve, curtail, make_up, note)


def _curtail_of(workload: Workload) -> float:
    """Return the default of ``max_curtail``: no further than the samples of online work reach."""
    default = CURTAIL[workload.kind]
    sampled = max((x for x, _ in workload.penalty.samples), default=default)
    return min(default, sampled) if workload.kind == "online" else default


def _power(asked: DemandResponseSpec, workload: Workload, hours: int, name: str, where: str) -> Floats:
    """Return the baseline of a workload, (H,) MW."""
    if (workload.baseline_mw is None) == (workload.share is None):
        raise DataError(f"{where}: expected one of baseline_mw and share", "share is of the fleet's load")
    if workload.baseline_mw is not None:
        given = workload.baseline_mw if isinstance(workload.baseline_mw, tuple) else (workload.baseline_mw,)
        shown = [f"{where}.baseline_mw[{i}]" if len(given) > 1 else f"{where}.baseline_mw" for i in range(len(given))]
        checked = tuple(_number(v, 0.0, MOST_MW, at, " MW") for v, at in zip(given, shown, strict=True))
        if workload.shape is not None:
            raise DataError(f"{where}.shape: baseline_mw already has the hours", "leave out one of them")
        return repeated(checked, hours, f"{where}.baseline_mw")
    if asked.fleet is None:
        raise DataError(f"{where}.share: the spec has no fleet to share", "add fleet: {mean_mw: ..., shape: ...}")
    share = _number(workload.share, 0.0, 1.0, f"{where}.share")
    mean = _number(asked.fleet.mean_mw, 0.0, MOST_MW, f"{name}: fleet.mean_mw", " MW")
    if workload.shape is not None:
        return share * mean * _relative(workload.shape, hours, f"{where}.shape")
    return share * mean * _relative(asked.fleet.shape, hours, f"{name}: fleet.shape")


def _relative(shape: Column | Numbers, hours: int, where: str) -> Floats:
    """Return a load shape over the hours, (H,), its mean 1."""
    assert isinstance(shape, tuple)  # an inlined spec has no columns
    checked = tuple(_number(value, 0.0, 1e12, f"{where}[{place}]") for place, value in enumerate(shape))
    values = repeated(checked, hours, where)
    mean = float(values.mean())
    if not mean > 0.0:
        raise DataError(f"{where}: 0 in every hour", "give relative power, such as 0.6 to 1")
    return values / mean


def _curve(asked: DemandResponseSpec, workload: Workload, largest: float, where: str) -> tuple[Curve, str]:
    """Return the penalty curve up to ``largest``, and a note where it is a fit."""
    penalty, where = workload.penalty, f"{where}.penalty"
    if (penalty.weight is None) == (not penalty.samples):
        raise DataError(f"{where}: expected one of weight and samples", "weight: k, or samples: [[x, penalty], ...]")
    if penalty.weight is not None:
        weight = _number(penalty.weight, 0.0, MOST_WEIGHT, f"{where}.weight")
        return chords(workload.kind, weight, largest, asked.chords.segments, asked.chords.spacing), ""
    x = np.array([_number(a, 0.0, 1e4, f"{where}.samples[{i}][0]") for i, (a, _) in enumerate(penalty.samples)])
    y = np.array([_number(b, 0.0, 1e12, f"{where}.samples[{i}][1]") for i, (_, b) in enumerate(penalty.samples)])
    if not x.max() > 0.0:
        raise DataError(f"{where}.samples: all are at x = 0", "sample the curtailed share or the backlog above 0")
    if largest > x.max() * (1.0 + 1e-12):
        limit = "max_curtail" if workload.kind == "online" else "max_backlog_h"
        raise DataError(f"{where}.samples: end at {x.max():g}, but {limit} is {largest:g}",
                        f"sample further, or lower {limit}: nothing is extrapolated")  # fmt: skip
    fit = fit_convex(x, y, asked.chords.segments)
    knots = np.minimum(fit.curve.knots, largest)
    curve = Curve(knots, np.interp(knots, fit.curve.knots, fit.curve.values))
    note = f"{workload.name}: penalty fitted to {len(x)} samples, largest miss {fit.largest_miss:.3g} at x = {fit.at:g}"
    if fit.missed:
        note += (f"; {fit.missed} samples miss by more than {TOLERANCE:.0%} of the largest penalty: "
                 "they are not convex and non-decreasing from 0")  # fmt: skip
    return curve, note


def _number(value: float | None, low: float, high: float, where: str, unit: str = "") -> float:
    """Return ``value`` if it is finite and in its range."""
    if value is None or not math.isfinite(value) or not low <= value <= high:
        raise DataError(f"{where}: found {value!r}, expected {low:g} to {high:g}{unit}")
    return float(value)
