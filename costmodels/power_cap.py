"""What a power limit does: the device lowers its clock until it draws what it may, and the work takes longer.

With demand ``P0`` (mean power at the rated limit) and limit ``L`` the mean power is the soft minimum of the demand and
of what the governor keeps below the limit, ``(1 + (slack L / P0)^-m)^(-1/m)`` of it: a load that draws ``P0`` on
average draws more at times, and less. A static part of the power does not fall with the clock, the dynamic part does
with its ``alpha``-th power (voltage falls with the clock: ``C V^2 f``); a share of the time stretches with the clock,
the rest waits for memory or the host. Everything is relative to the same formulas at the rated limit.

The form was fitted on training runs of three GPUs under every limit they allow (``efficiency.yaml``, power, cap).
Units: watts; factors of time and energy are relative to the rated limit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np

from codesign.costmodels.efficiency import PowerCap, table
from codesign.errors import UsageError
from codesign.quantity import Array

LEAST_CLOCK = 0.1
"""Lowest clock as a share of the highest (assumed): below, a limit is not kept."""

NOISE = 0.03
"""Of ln(measured / predicted) at which errors begin to count less than squared in a fit (assumed)."""


class Capped(NamedTuple):
    """What a limit does to a load; arrays broadcast over loads and limits.

    Attributes:
        power: Mean power, W.
        slowdown: Time over that at the rated limit, at least 1.
        slowdown_low: Of its 90 % interval, which holds how runs scatter: it may lie below 1.
        slowdown_high: The same.
        energy: Energy over that at the rated limit.
        energy_low: Of its 90 % interval.
        energy_high: The same.
    """

    power: Array
    slowdown: Array
    slowdown_low: Array
    slowdown_high: Array
    energy: Array
    energy_low: Array
    energy_high: Array


def capped(power: Any, limit: Any, rated: Any, clocked: Any = None, form: PowerCap | None = None) -> Capped:
    """Return what a power limit does to a load.

    Args:
        power: Mean power of the load at the rated limit, W.
        limit: Power limit, W; at or above ``rated`` it changes nothing.
        rated: Limit that the device comes with, W.
        clocked: Share of the time that stretches with the clock, 0 to 1; None for that of the fitted training runs.
            1 is arithmetic alone, 0 waits for memory or the host.
        form: Fitted numbers; None for the shipped ones.

    Raises:
        UsageError: a power is not positive, or ``clocked`` lies outside 0 to 1.
    """
    form = form or table().power.cap
    share = np.asarray(form.clocked_share if clocked is None else clocked, np.float64)
    power, limit, rated = (np.asarray(values, np.float64) for values in (power, limit, rated))
    for name, values in (("power", power), ("limit", limit), ("rated limit", rated)):
        if not (np.isfinite(values) & (values > 0.0)).all():
            raise UsageError(f"a {name} is not positive", "powers are in W")
    if not ((share >= 0.0) & (share <= 1.0)).all():
        raise UsageError("the share of time that stretches with the clock lies outside 0 to 1")
    slowdown, drawn = _factors(form, power, np.minimum(limit, rated), rated, share)
    error = np.exp(np.where(drawn < form.deep, form.deep_spread, form.spread) * (drawn < 1.0))
    energy = slowdown * drawn
    return Capped(
        power * drawn, slowdown, slowdown / error, slowdown * error,
        energy, energy / error, energy * error,
    )  # fmt: skip


def _factors(form: PowerCap, power: Array, limit: Array, rated: Array, clocked: Array) -> tuple[Array, Array]:
    """Return time and mean power over those at the rated limit."""
    slow, drawn = _absolute(form, power, limit, rated, clocked)
    slow_rated, drawn_rated = _absolute(form, power, rated, rated, clocked)
    return slow / slow_rated, drawn / drawn_rated


def _absolute(form: PowerCap, power: Array, limit: Array, rated: Array, clocked: Array) -> tuple[Array, Array]:
    """Return time and power over those of a device without any limit."""
    drawn = (1.0 + (form.slack * limit / power) ** -form.sharpness) ** (-1.0 / form.sharpness)
    static = np.minimum(form.static_share * rated / power, 0.9)
    clock = np.clip((drawn - static) / (1.0 - static), 0.0, 1.0) ** (1.0 / form.exponent)
    clock = np.maximum(clock, LEAST_CLOCK)
    return 1.0 - clocked + clocked / clock, np.maximum(drawn, static + (1.0 - static) * clock**form.exponent)


def fit_cap(power: Array, limit: Array, rated: Array, slowdown: Array, drawn: Array, start: PowerCap) -> PowerCap:
    """Return the numbers most probable given measured runs, under heavy-tailed errors of the logarithms.

    Args:
        power: Mean power of each load at its rated limit, W, shape (n,).
        limit: W.
        rated: W.
        slowdown: Measured time over that at the rated limit.
        drawn: Measured mean power over that at the rated limit.
        start: Where the search begins; its exponent and spreads stay.
    """
    from scipy.optimize import least_squares

    def of(x: Array) -> PowerCap:
        names = ("slack", "sharpness", "static_share", "clocked_share")
        return msgspec.structs.replace(start, **dict(zip(names, x.tolist(), strict=True)))

    def left(x: Array) -> Array:
        form = of(x)
        time, power_share = _factors(form, power, limit, rated, np.asarray(form.clocked_share))
        return np.concatenate([np.log(time / slowdown), np.log(power_share / drawn)]) / NOISE

    first = [start.slack, start.sharpness, start.static_share, start.clocked_share]
    found = least_squares(left, first, bounds=([0.5, 1.0, 0.0, 0.01], [1.5, 30.0, 0.4, 1.0]), loss="soft_l1").x
    return of(found)
