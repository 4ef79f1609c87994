"""Mean power of a device while an operator runs, from what the operator asks of it, and the energy that follows.

``P / TDP = soft minimum of 1 and  awake + (1 - exp(-t / ramp)) * (running + a * u_flop^p + b * u_byte^q)``: a share to
be awake at full clock, a share to have its cores filled, and shares for arithmetic and for traffic to memory, each by
its achieved rate over the peak (the energy roofline of Choi et al., IPDPS 2013, with sub-linear rates). At its limit a
device lowers its clock, so that ``t`` grows: the latency holds that, and power stays at the limit. ``a`` is fitted for
each family of operators and format; the others are common, ``b`` because a byte costs the same whoever asks for it.

Units: watts, joules, seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from codesign.costmodels.efficiency import table
from codesign.costmodels.operators import physics
from codesign.costmodels.operators.device import Device
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.formats import Format, format_of
from codesign.costmodels.operators.tables import Indices, Mask, Rows
from codesign.quantity import Z90, Array

LONG = 1e-4
"""Seconds from which a recorded power is of its kernel. The tables average readings of the driver, each of about a
second, over at most 3,000 launches: of a shorter kernel they hold what ran before it."""

RAMP = 5e-6
"""Seconds that the cores take to fill (assumed, a launch and its first wave: see ``LONG`` why it cannot be fitted)."""

SHARPNESS = 12.0
"""Exponent of the soft minimum with the limit (assumed)."""

OVERSHOOT = 1.05
"""Mean power over its limit that is taken for possible: the highest recorded is 1.04."""

LEAST_ROWS, MOST_ROWS = 200, 12_000
"""Long rows from which a family and format gets a share of its own; rows of a family that are fitted on."""

FOLDS = 5

NOISE = 0.1
"""Of ln(recorded / predicted) at which errors begin to count less than squared (assumed)."""

COMMON = ("awake", "running", "flop_exponent", "byte_exponent", "byte")
FIRST, LEAST, MOST = (0.24, 0.12, 0.5, 0.5, 0.5), (0.1, 0.0, 0.2, 0.2, 0.0), (0.3, 0.4, 1.0, 1.0, 10.0)
"""Common parameters, where a search for them begins and between which it stays. Exponents of at most 1 keep the energy
of an operator from falling where it takes longer."""

SHARES_OF = {"convolution": "gemm", "vector": "gemm"}
"""Families without a recorded power -> whose shares of arithmetic they have."""


class PowerScore(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How power does on shapes that were left out, |predicted - measured| / measured, rows from ``LONG`` on.

    Attributes:
        family: Of the operators.
        rows: From ``LONG`` on.
        mean: Of the error.
        median: Of the error.
        ninetieth: Its 90 % quantile.
        constant: Mean error of their median.
        short_rows: Rows of shorter kernels.
        short_median: Their median error: of the reading more than of the kernel.
    """

    family: str
    rows: int
    mean: float
    median: float
    ninetieth: float
    constant: float
    short_rows: int
    short_median: float


class PowerModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fitted shares of the thermal design power, and how far off they are.

    Attributes:
        awake: At full clock with nothing to do.
        running: With cores filled.
        flop_exponent: p.
        byte_exponent: q.
        byte: b.
        flop: Family -> format -> a.
        devices: Ids of the devices with recorded power.
        architectures: Theirs.
        spread: Family -> 5 and 95 % quantile of ln(measured / predicted) on shapes left out, rows from ``LONG`` on.
        short_spread: The same of shorter rows.
        scores: By family.
    """

    awake: float
    running: float
    flop_exponent: float
    byte_exponent: float
    byte: float
    flop: dict[str, dict[str, float]]
    devices: tuple[str, ...]
    architectures: tuple[str, ...]
    spread: dict[str, tuple[float, float]] = {}
    short_spread: dict[str, tuple[float, float]] = {}
    scores: tuple[PowerScore, ...] = ()

    def watts(self, rows: Rows, seconds: Array) -> Array:
        """Return the mean power while each row runs.

        Args:
            rows: Operators, n.
            seconds: They take, shape (..., n).
        """
        flop, byte = _utilisation(rows, seconds)
        flops = np.array([_flop_of(self.flop, rows.family, form) for form in rows.formats])[rows.form]
        common = (self.awake, self.running, self.flop_exponent, self.byte_exponent, self.byte)
        return _share(common, flops, flop, byte, seconds) * rows.columns.power


class Energy(NamedTuple):
    """Of each row, shape (n,): mean power in W, energy with a 90 % interval in J, and TDP times latency in J."""

    watts: Array
    joules: Array
    low: Array
    high: Array
    thermal: Array


def energy_of(model: PowerModel, rows: Rows, seconds: Array, low: Array, high: Array) -> Energy:
    """Return power and energy of each row.

    The interval of the latency acts on both: an operator that takes longer does the same work at less power, so that
    its energy moves by less than its latency. The error of the power itself is independent of it.

    Args:
        model: Of power.
        rows: Operators, n.
        seconds: Latency of each, shape (n,).
        low: Its 90 % interval.
        high: The same.
    """
    times = np.stack([seconds, low, high])
    watts = model.watts(rows, times)
    joules, fast, slow = watts * times
    below, above = _spread(model, rows, seconds)
    limit = OVERSHOOT * rows.columns.power
    return Energy(
        watts[0], joules,
        joules * np.exp(-np.hypot(np.log(joules / fast), below)),
        np.maximum(np.minimum(joules * np.exp(np.hypot(np.log(slow / joules), above)), limit * high), joules),
        rows.columns.power * seconds,
    )  # fmt: skip


def _spread(model: PowerModel, rows: Rows, seconds: Array) -> tuple[Array, Array]:
    """Return how far ln(power) may lie below and above, both positive: wider on devices without a recorded power."""
    families = [rows.family] if rows.family in model.spread else list(model.spread)
    ends = []
    for spread in (model.spread, model.short_spread):
        pairs = [spread[family] for family in families if family in spread] or [(0.0, 0.0)]
        ends.append((max(0.0, *(-low for low, _ in pairs)), max(0.0, *(high for _, high in pairs))))
    below, above = (np.where(seconds < LONG, short, long) for long, short in zip(*ends, strict=True))
    other = np.array([Z90 * _sigma(model, device) for device in rows.devices])[rows.device]
    return np.hypot(below, other), np.hypot(above, other)


def _sigma(model: PowerModel, device: Device) -> float:
    """Return the standard deviation of ln(power) that a device adds: none where its power was recorded."""
    if device.id in model.devices:
        return 0.0
    return table().power.sigma if device.architecture in model.architectures else table().power.other_sigma


def _utilisation(rows: Rows, seconds: Array) -> tuple[Array, Array]:
    """Return achieved FLOP rate over peak and byte rate over bandwidth, the latter at most 1: the cache moves more."""
    on = rows.columns
    work = FAMILIES[rows.family].work(rows.shapes, on)
    flop = work.flops / physics.rate(work, on) / seconds
    return np.minimum(flop, 1.0), np.minimum(work.bytes / on.bandwidth / seconds, 1.0)


def _share(common: Sequence[float] | Array, flop_share: Array, flop: Array, byte: Array, seconds: Array) -> Array:
    awake, running, p, q, byte_share = common
    ramp = 1.0 - np.exp(-seconds / RAMP)
    asked = awake + ramp * (running + flop_share * flop**p + byte_share * byte**q)
    return np.asarray((asked**-SHARPNESS + 1.0) ** (-1.0 / SHARPNESS))


def _flop_of(shares: Mapping[str, Mapping[str, float]], family: str, form: Format) -> float:
    """Return a of a family and format: of the same format, else the mean of those that compute alike, else of all."""
    for name in (SHARES_OF.get(family, family), *shares):
        own = shares.get(name, {})
        if form.name in own:
            return own[form.name]
        alike = [share for known, share in own.items() if format_of(known).compute == form.compute]
        if alike:
            return float(np.mean(alike))
    every = [share for own in shares.values() for share in own.values()]
    return float(np.mean(every)) if every else 0.0


def fit_power(tables: Mapping[str, Rows], seed: int = 0) -> PowerModel | None:
    """Return the power model fitted on the rows of ``tables`` with a recorded power, scored on shapes left out.

    Returns:
        None where no family has ``LEAST_ROWS`` rows from ``LONG`` on.
    """
    recorded = {name: rows.take(np.isfinite(rows.watts)) for name, rows in tables.items() if rows.watts is not None}
    recorded = {rows.family: rows for rows in recorded.values() if int((rows.seconds >= LONG).sum()) >= LEAST_ROWS}
    if not recorded:
        return None
    rng = np.random.default_rng(seed)
    folds = {family: _folds(rows, rng) for family, rows in recorded.items()}
    found = {family: np.empty(len(rows)) for family, rows in recorded.items()}
    for fold in range(FOLDS):
        model = _fitted({family: rows.take(folds[family] != fold) for family, rows in recorded.items()}, rng)
        for family, rows in recorded.items():
            out = folds[family] == fold
            found[family][out] = model.watts(rows.take(out), rows.seconds[out])
    long = {family: rows.seconds >= LONG for family, rows in recorded.items()}
    ratio = {family: np.log(_recorded(rows) / found[family]) for family, rows in recorded.items()}
    return msgspec.structs.replace(
        _fitted(recorded, rng),
        spread={family: _quantiles(ratio[family][long[family]]) for family in recorded},
        short_spread={family: _quantiles(ratio[family][~long[family]]) for family in recorded if
                      not long[family].all()},
        scores=tuple(_score(rows, found[family], long[family]) for family, rows in recorded.items()),
    )  # fmt: skip


def _recorded(rows: Rows) -> Array:
    assert rows.watts is not None
    return rows.watts


def _quantiles(ratio: Array) -> tuple[float, float]:
    low, high = np.quantile(ratio, [0.05, 0.95])
    return float(low), float(high)


def _folds(rows: Rows, rng: np.random.Generator) -> Indices:
    """Return the fold of each row: rows that differ in the column that their family sweeps alone stay together."""
    swept = FAMILIES[rows.family].sweeps
    shapes = np.stack([values for name, values in rows.shapes.items() if name != swept], axis=1)
    place = np.unique(shapes, axis=0, return_inverse=True)[1].ravel()
    return np.asarray(rng.integers(0, FOLDS, int(place.max()) + 1)[place])


def _score(rows: Rows, found: Array, long: Mask) -> PowerScore:
    watts = _recorded(rows)
    error = np.abs(found - watts) / watts
    constant = np.abs(np.median(watts[long]) - watts[long]) / watts[long]
    return PowerScore(
        rows.family, int(long.sum()), float(error[long].mean()), float(np.median(error[long])),
        float(np.quantile(error[long], 0.9)), float(constant.mean()), int((~long).sum()),
        float(np.median(error[~long])) if not long.all() else 0.0,
    )  # fmt: skip


class _Sample(NamedTuple):
    """Rows of all families as columns, shape (n,): position of their coefficient, rates, time, share, weight."""

    place: Indices
    flop: Array
    byte: Array
    seconds: Array
    share: Array
    weight: Array


def _fitted(tables: Mapping[str, Rows], rng: np.random.Generator) -> PowerModel:
    """Return the model most probable under heavy-tailed errors of ln(power); families count alike."""
    from scipy.optimize import least_squares

    samples = [_chosen(rows, rng) for rows in tables.values()]
    keys = _keys(samples)
    parts = [_sample(rows, keys) for rows in samples]
    s = _Sample(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    common = len(COMMON)
    first = np.concatenate([FIRST, np.full(len(keys), 1.0)])

    def left(x: Array) -> Array:
        share = _share(x[:common], x[common:][s.place], s.flop, s.byte, s.seconds)
        return np.asarray(s.weight * np.log(share / s.share) / NOISE)

    least = np.concatenate([LEAST, np.zeros(len(keys))])
    most = np.concatenate([MOST, np.full(len(keys), 10.0)])
    x = least_squares(left, first, bounds=(least, most), loss="soft_l1").x
    flop: dict[str, dict[str, float]] = {}
    for (family, form), share in zip(keys, x[common:].tolist(), strict=True):
        flop.setdefault(family, {})[form] = share
    devices = [rows.devices[number] for rows in tables.values() for number in np.unique(rows.device).tolist()]
    awake, running, flop_exponent, byte_exponent, byte = x[:common].tolist()
    return PowerModel(
        awake,
        running,
        flop_exponent,
        byte_exponent,
        byte,
        flop,
        tuple(sorted({device.id for device in devices})),
        tuple(sorted({device.architecture for device in devices})),
    )


def _chosen(rows: Rows, rng: np.random.Generator) -> Rows:
    """Return long rows of a family, at most ``MOST_ROWS``."""
    rows = rows.take(rows.seconds >= LONG)
    if len(rows) > MOST_ROWS:
        rows = rows.take(np.sort(rng.choice(len(rows), MOST_ROWS, replace=False)))
    return rows


def _keys(samples: Sequence[Rows]) -> list[tuple[str, str]]:
    """Return the families and formats with enough rows for a share of arithmetic of their own."""
    count: Counter[tuple[str, str]] = Counter()
    for rows in samples:
        for form, found in zip(rows.formats, np.bincount(rows.form, minlength=len(rows.formats)).tolist(), strict=True):
            count[SHARES_OF.get(rows.family, rows.family), form.name] += found
    return [key for key, found in count.items() if found >= LEAST_ROWS]


def _sample(rows: Rows, keys: Sequence[tuple[str, str]]) -> _Sample:
    """Return the rows whose format is among ``keys``."""
    own = [(SHARES_OF.get(rows.family, rows.family), form.name) for form in rows.formats]
    place = np.array([keys.index(key) if key in keys else -1 for key in own], np.int64)[rows.form]
    rows, place = rows.take(place >= 0), place[place >= 0]
    flop, byte = _utilisation(rows, rows.seconds)
    weight = np.full(len(rows), 1.0 / np.sqrt(max(len(rows), 1)))
    return _Sample(place, flop, byte, rows.seconds, _recorded(rows) / rows.columns.power, weight)
